package unwrap

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"cardbatch/internal/issuance"
)

// Compression is how a file is compressed.
type Compression string

// The compressions.
const (
	None Compression = "none"
	Gzip Compression = "gzip"
	Zip  Compression = "zip"
)

// Limits bound what comes out of a compressed file.
type Limits struct {
	MaxBytes int64 // unpacked
	MaxRatio int64 // unpacked bytes per compressed byte, beyond the first MiB; 0: DefaultRatio
}

// DefaultRatio is ten times what order files come to, and a fifth of what
// Deflate can do.
const DefaultRatio = 200

// freeBytes may come out before the ratio counts: short files compress as they
// like and harm nobody.
const freeBytes = 1 << 20

// Reader returns what is inside a compressed file.
func Reader(r io.Reader, c Compression, limits Limits) (io.Reader, error) {
	if c == None || c == "" {
		return r, nil
	}
	if limits.MaxRatio <= 0 {
		limits.MaxRatio = DefaultRatio
	}
	in := &source{r: r}
	in.buf = bufio.NewReaderSize(&in.raw, 64<<10)
	in.raw.source = in
	u := &reader{in: in, limits: limits}
	var err error
	switch c {
	case Gzip:
		u.member, err = openGzip(in)
	case Zip:
		u.member, err = openZip(in)
	default:
		return nil, fmt.Errorf("unpack: unknown compression %q", c)
	}
	if err != nil {
		return nil, u.judge(err)
	}
	return u, nil
}

// member is the one file inside.
type member interface {
	io.Reader
	// finish is called after io.EOF; it reads and checks what follows.
	finish() error
}

// reader applies the limits.
type reader struct {
	in     *source
	member member
	limits Limits
	out    int64
	err    error
}

// Read implements [io.Reader].
func (u *reader) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.member.Read(p)
	u.out += int64(n)
	switch {
	case u.out > u.limits.MaxBytes:
		n, err = 0, wrong(issuance.TooLarge, "the file unpacks to more than %d bytes", u.limits.MaxBytes)
	case u.out > freeBytes && u.out/u.limits.MaxRatio > u.in.n:
		n, err = 0, wrong(issuance.TooLarge, "the file unpacks to more than %d times its size", u.limits.MaxRatio)
	case errors.Is(err, io.EOF):
		if err = u.member.finish(); err == nil {
			err = io.EOF
		}
		if u.in.err != nil { // whoever met it may not have passed it on
			err = u.in.err
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.judge(err)
	}
	u.err = err
	return n, err
}

// judge tells the source's errors from the file's.
func (u *reader) judge(err error) error {
	var file *issuance.FileError
	switch {
	case u.in.err != nil:
		return u.in.err
	case errors.As(err, &file):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return wrong(issuance.Truncated, "the compressed file ends early: send it again in full")
	default:
		return wrong(issuance.CompressionInvalid, "the compressed file is damaged at about byte %d", u.in.n)
	}
}

func wrong(code issuance.Code, format string, args ...any) error {
	return &issuance.FileError{Code: code, Text: fmt.Sprintf(format, args...)}
}

// source counts the compressed bytes and remembers whether reading them failed.
// It gives single bytes, so that nobody reads ahead.
type source struct {
	r   io.Reader
	raw rawSource
	buf *bufio.Reader
	n   int64 // taken
	err error // of r, but io.EOF
}

// rawSource is what the buffer reads from.
type rawSource struct{ source *source }

// Read implements [io.Reader].
func (s *rawSource) Read(p []byte) (int, error) {
	n, err := s.source.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.source.err = err
	}
	return n, err
}

// Read implements [io.Reader].
func (s *source) Read(p []byte) (int, error) {
	n, err := s.buf.Read(p)
	s.n += int64(n)
	return n, err
}

// ReadByte implements [io.ByteReader].
func (s *source) ReadByte() (byte, error) {
	b, err := s.buf.ReadByte()
	if err == nil {
		s.n++
	}
	return b, err
}

// skip passes over n bytes.
func (s *source) skip(n int64) error {
	_, err := io.CopyN(io.Discard, s, n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// ended checks that nothing follows.
func (s *source) ended() error {
	_, err := s.buf.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		return wrong(issuance.CompressionInvalid, "something follows the end of the compressed file at byte %d", s.n)
	}
}

// gzipMember is the one member of a gzip file.
type gzipMember struct {
	*gzip.Reader
	in *source
}

func openGzip(in *source) (member, error) {
	z, err := gzip.NewReader(in)
	if errors.Is(err, gzip.ErrHeader) {
		return nil, wrong(issuance.CompressionInvalid, "the file is not compressed by gzip, which is agreed")
	}
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gzipMember{z, in}, nil
}

func (m *gzipMember) finish() error {
	if next, err := m.in.buf.Peek(2); err == nil && next[0] == 0x1F && next[1] == 0x8B {
		return wrong(issuance.CompressionInvalid, "the gzip file has more than one member")
	}
	return m.in.ended()
}

// Writer compresses what is written to it, as one member called name. Close
// ends the file and does not close w.
func Writer(w io.Writer, c Compression, name string) (io.WriteCloser, error) {
	switch c {
	case None, "":
		return nopCloser{w}, nil
	case Gzip:
		z, err := gzip.NewWriterLevel(w, flate.DefaultCompression)
		if err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
		z.Name = name
		return z, nil
	case Zip:
		return newZipWriter(w, name)
	default:
		return nil, fmt.Errorf("compress: unknown compression %q", c)
	}
}

type nopCloser struct{ io.Writer }

// Close implements [io.Closer].
func (nopCloser) Close() error { return nil }
