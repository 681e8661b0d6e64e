package unwrap

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"cardbatch/internal/issuance"
)

// The parts of a ZIP archive, by APPNOTE.TXT 6.3.10.
const (
	sigLocal      = 0x04034b50
	sigDescriptor = 0x08074b50
	sigCentral    = 0x02014b50
	sigEnd64      = 0x06064b50
	sigLocator64  = 0x07064b50
	sigEnd        = 0x06054b50

	localSize   = 30
	centralSize = 46
	endSize     = 22
	locatorSize = 20

	flagEncrypted  = 1 << 0
	flagDescriptor = 1 << 3 // sizes and CRC follow the data
	flagPatch      = 1 << 5
	flagStrong     = 1 << 6
	flagMasked     = 1 << 13

	zip64Extra = 1
	in64       = 0xFFFFFFFF // the field is in the extra of ZIP64
)

var le = binary.LittleEndian

// zipMember is the one file of a ZIP archive, read front to back.
type zipMember struct {
	in    *source
	data  io.Reader
	start int64 // of the data in the archive
	crc   hash.Hash32
	size  int64 // read so far

	name       []byte
	method     uint16
	descriptor bool
	// as the local header says; unknown with a descriptor
	wantCRC          uint32
	wantIn, wantSize int64
}

func openZip(in *source) (member, error) {
	head, err := in.take(4)
	if (err == nil && le.Uint32(head) != sigLocal) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, notZip(head)
	}
	if err != nil {
		return nil, err
	}
	head, err = in.take(localSize - 4)
	if err != nil {
		return nil, err
	}
	m := &zipMember{in: in, crc: crc32.NewIEEE()}
	flags := le.Uint16(head[2:])
	m.method = le.Uint16(head[4:])
	m.wantCRC = le.Uint32(head[10:])
	m.wantIn, m.wantSize = int64(le.Uint32(head[14:])), int64(le.Uint32(head[18:]))
	m.descriptor = flags&flagDescriptor != 0
	nameLength, extraLength := int(le.Uint16(head[22:])), int(le.Uint16(head[24:]))
	if m.name, err = in.take(nameLength); err != nil {
		return nil, err
	}
	extra, err := in.take(extraLength)
	if err != nil {
		return nil, err
	}
	if m.wantSize == in64 || m.wantIn == in64 {
		if err := m.sizes64(extra); err != nil {
			return nil, err
		}
	}
	if err := m.acceptable(flags); err != nil {
		return nil, err
	}
	m.start = in.n
	m.data = flate.NewReader(in)
	if m.method == zip.Store {
		m.data = io.LimitReader(in, m.wantSize)
	}
	return m, nil
}

func notZip(head []byte) error {
	if len(head) == 4 && le.Uint32(head) == sigEnd {
		return wrong(issuance.CompressionInvalid, "the ZIP archive is empty")
	}
	return wrong(issuance.CompressionInvalid, "the file is not a ZIP archive, which is agreed")
}

// sizes64 takes the sizes from the extra field of ZIP64.
func (m *zipMember) sizes64(extra []byte) error {
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if len(extra) < 4+n {
			break
		}
		if id == zip64Extra && n >= 16 { // both are there in a local header
			m.wantSize, m.wantIn = int64(le.Uint64(extra[4:])), int64(le.Uint64(extra[12:]))
			if m.wantSize >= 0 && m.wantIn >= 0 {
				return nil
			}
			break
		}
		extra = extra[4+n:]
	}
	if m.descriptor {
		return nil
	}
	return damaged("has no sizes")
}

// acceptable refuses what cannot be read front to back, or at all.
func (m *zipMember) acceptable(flags uint16) error {
	switch {
	case flags&(flagEncrypted|flagStrong|flagMasked) != 0:
		return wrong(issuance.CompressionInvalid, "the ZIP archive is encrypted with a password, which is not agreed")
	case flags&flagPatch != 0, m.method != zip.Deflate && m.method != zip.Store:
		return wrong(issuance.CompressionInvalid, "the ZIP archive uses compression method %d; only Deflate is read", m.method)
	case bytes.HasSuffix(m.name, []byte{'/'}):
		return wrong(issuance.CompressionInvalid, "the ZIP archive begins with a directory; it must hold one file and nothing else")
	case m.method == zip.Store && m.descriptor:
		return wrong(issuance.CompressionInvalid, "the ZIP archive holds a file that is not compressed and whose size is not said in front of it")
	case m.method == zip.Store && m.wantIn != m.wantSize:
		return damaged("says two sizes of a file that is not compressed")
	default:
		return nil
	}
}

func damaged(how string) error {
	return wrong(issuance.CompressionInvalid, "the ZIP archive is damaged: it %s", how)
}

// Read implements [io.Reader].
func (m *zipMember) Read(p []byte) (int, error) {
	n, err := m.data.Read(p)
	m.size += int64(n)
	_, _ = m.crc.Write(p[:n]) // never fails
	return n, err
}

// finish compares what was read with what the archive says of it, here and in
// its directory, and sees that nothing else is in it.
func (m *zipMember) finish() error {
	in := m.in.n - m.start
	if m.method == zip.Store && m.size < m.wantSize {
		return io.ErrUnexpectedEOF
	}
	if m.descriptor {
		if err := m.readDescriptor(in); err != nil {
			return err
		}
	} else if m.wantIn != in || m.wantSize != m.size || m.wantCRC != m.crc.Sum32() {
		return damaged("holds other data than it says")
	}
	directory := m.in.n
	if err := m.readCentral(in); err != nil {
		return err
	}
	return m.readEnd(directory)
}

// readDescriptor reads CRC and sizes after the data. It may have a signature or
// not, and sizes of 4 or 8 bytes; which one it is shows by its content.
func (m *zipMember) readDescriptor(in int64) error {
	head, err := m.in.buf.Peek(24)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, signed := range []bool{true, false} {
		for _, wide := range []bool{false, true} {
			want := m.descriptorBytes(in, signed, wide)
			if want != nil && bytes.HasPrefix(head, want) {
				return m.in.skip(int64(len(want)))
			}
		}
	}
	if len(head) < 24 { // more than that follows in a whole archive
		return io.ErrUnexpectedEOF
	}
	return damaged("holds other data than it says")
}

func (m *zipMember) descriptorBytes(in int64, signed, wide bool) []byte {
	var b []byte
	if signed {
		b = le.AppendUint32(b, sigDescriptor)
	}
	b = le.AppendUint32(b, m.crc.Sum32())
	if wide {
		return le.AppendUint64(le.AppendUint64(b, uint64(in)), uint64(m.size))
	}
	if in >= in64 || m.size >= in64 {
		return nil
	}
	return le.AppendUint32(le.AppendUint32(b, uint32(in)), uint32(m.size))
}

// readCentral reads the directory, which must have the one entry.
func (m *zipMember) readCentral(in int64) error {
	head, err := m.in.take(4)
	if err != nil {
		return err
	}
	if le.Uint32(head) == sigLocal {
		return wrong(issuance.CompressionInvalid, "the ZIP archive holds more than one file")
	}
	if le.Uint32(head) != sigCentral {
		return damaged("has no directory where it belongs")
	}
	if head, err = m.in.take(centralSize - 4); err != nil {
		return err
	}
	crc, packed, size := le.Uint32(head[12:]), int64(le.Uint32(head[16:])), int64(le.Uint32(head[20:]))
	nameLength := int(le.Uint16(head[24:]))
	rest := int64(le.Uint16(head[26:])) + int64(le.Uint16(head[28:]))
	at := le.Uint32(head[38:])
	name, err := m.in.take(nameLength)
	if err != nil {
		return err
	}
	agrees := crc == m.crc.Sum32() && le.Uint16(head[6:]) == m.method && bytes.Equal(name, m.name) &&
		(packed == in || packed == in64) && (size == m.size || size == in64) && (at == 0 || at == in64)
	if !agrees {
		return damaged("has a directory that does not agree with its content")
	}
	return m.in.skip(rest)
}

// readEnd reads the end of the directory, in both forms.
func (m *zipMember) readEnd(directory int64) error {
	head, err := m.in.take(4)
	if err != nil {
		return err
	}
	if le.Uint32(head) == sigCentral {
		return wrong(issuance.CompressionInvalid, "the ZIP archive holds more than one file")
	}
	if le.Uint32(head) == sigEnd64 {
		if head, err = m.in.take(8); err != nil {
			return err
		}
		length := le.Uint64(head)
		if length < 44 || length > 64<<10 {
			return damaged("ends with something else than its directory")
		}
		if err := m.in.skip(int64(length)); err != nil {
			return err
		}
		if head, err = m.in.take(locatorSize); err != nil {
			return err
		}
		if le.Uint32(head) != sigLocator64 {
			return damaged("ends with something else than its directory")
		}
		if head, err = m.in.take(4); err != nil {
			return err
		}
	}
	if le.Uint32(head) != sigEnd {
		return damaged("ends with something else than its directory")
	}
	if head, err = m.in.take(endSize - 4); err != nil {
		return err
	}
	entries, at := le.Uint16(head[6:]), le.Uint32(head[12:])
	if (entries != 1 && entries != 0xFFFF) || (int64(at) != directory && at != in64) {
		return damaged("has a directory that does not agree with its content")
	}
	if err := m.in.skip(int64(le.Uint16(head[16:]))); err != nil { // a comment
		return err
	}
	return m.in.ended()
}

// take returns the next n bytes.
func (s *source) take(n int) ([]byte, error) {
	b := make([]byte, n)
	read, err := io.ReadFull(s, b)
	if errors.Is(err, io.EOF) && n > 0 {
		err = io.ErrUnexpectedEOF
	}
	return b[:read], err
}

// zipWriter writes an archive of one file.
type zipWriter struct {
	io.Writer
	archive *zip.Writer
}

func newZipWriter(w io.Writer, name string) (io.WriteCloser, error) {
	z := &zipWriter{archive: zip.NewWriter(w)}
	var err error
	if z.Writer, err = z.archive.Create(name); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return z, nil
}

// Close implements [io.Closer].
func (z *zipWriter) Close() error { return z.archive.Close() }
