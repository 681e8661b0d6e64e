package unwrap

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"cardbatch/internal/issuance"
)

var roomy = Limits{MaxBytes: 1 << 30}

func sample() []byte { return []byte(strings.Repeat("order_id,card_id\nA-1,K-1\n", 3000)) }

func packed(tb testing.TB, c Compression, content []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := Writer(&b, c, "cards.csv")
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// archive makes a ZIP archive with the given members.
func archive(tb testing.TB, add ...func(*zip.Writer) error) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, a := range add {
		if err := a(z); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// raw adds a member with all sizes in front of it.
func raw(name string, method uint16, data, content []byte) func(*zip.Writer) error {
	return func(z *zip.Writer) error {
		w, err := z.CreateRaw(&zip.FileHeader{
			Name: name, Method: method, CRC32: crc32.ChecksumIEEE(content),
			CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(content)),
		})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
}

func streamed(name string, method uint16, content []byte) func(*zip.Writer) error {
	return func(z *zip.Writer) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = w.Write(content)
		}
		return err
	}
}

func read(file io.Reader, c Compression, l Limits) ([]byte, error) {
	r, err := Reader(file, c, l)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func TestReadsWhatIsWritten(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 3*freeBytes)
	for name, content := range map[string][]byte{"empty": {}, "one byte": {'x'}, "rows": sample(), "large": big} {
		for _, c := range []Compression{None, "", Gzip, Zip} {
			for how, wrap := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data+EOF": iotest.DataErrReader,
			} {
				got, err := read(wrap(bytes.NewReader(packed(t, c, content))), c, Limits{MaxBytes: int64(len(content)), MaxRatio: 2000})
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s, %s, %s: %d bytes, %v", name, c, how, len(got), err)
				}
			}
		}
	}
	if _, err := Reader(nil, "lzh", roomy); err == nil {
		t.Error("an unknown compression is read")
	}
	if _, err := Writer(nil, "lzh", ""); err == nil {
		t.Error("an unknown compression is written")
	}
}

// zip64 is an archive with sizes of 8 bytes everywhere, which archive/zip only
// writes for huge files.
func zip64(content []byte) []byte {
	var b []byte
	crc, n := crc32.ChecksumIEEE(content), uint64(len(content))
	extra := le.AppendUint64(le.AppendUint64([]byte{1, 0, 16, 0}, n), n)
	fields := func(b []byte, sizes uint32) []byte {
		b = append(b, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0) // version, flags, stored, time
		b = le.AppendUint32(b, crc)
		b = le.AppendUint32(le.AppendUint32(b, sizes), sizes)
		return append(b, 1, 0, byte(len(extra)), 0)
	}
	b = fields(le.AppendUint32(b, sigLocal), in64)
	b = append(append(append(b, 'x'), extra...), content...)
	directory := uint64(len(b))
	b = fields(append(le.AppendUint32(b, sigCentral), 45, 0), in64)
	b = append(b, make([]byte, 14)...)
	b = append(append(b, 'x'), extra...)
	end := uint64(len(b))
	b = le.AppendUint64(le.AppendUint32(b, sigEnd64), 44)
	b = append(b, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, v := range []uint64{1, 1, end - directory, directory} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(le.AppendUint64(append(le.AppendUint32(b, sigLocator64), 0, 0, 0, 0), end), 1)
	b = append(le.AppendUint32(b, sigEnd), 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF)
	b = le.AppendUint32(le.AppendUint32(b, in64), in64)
	return append(b, 0, 0)
}

// TestForms: every form in which a single file is zipped is read, as
// archive/zip reads it.
func TestForms(t *testing.T) {
	content := sample()
	deflated := packed(t, Gzip, content)
	deflated = deflated[10+len("cards.csv")+1 : len(deflated)-8]
	plain := archive(t, streamed("a.csv", zip.Deflate, content))
	at := bytes.LastIndex(plain, le.AppendUint32(nil, sigDescriptor))
	for name, file := range map[string][]byte{
		"sizes after the data":   plain,
		"sizes in front":         archive(t, raw("a.csv", zip.Deflate, deflated, content)),
		"stored":                 archive(t, raw("a.csv", zip.Store, content, content)),
		"stored and empty":       archive(t, raw("a.csv", zip.Store, nil, nil)),
		"path and accents":       archive(t, raw("out/März.csv", zip.Deflate, deflated, content)),
		"comment":                archive(t, streamed("a.csv", zip.Deflate, content), func(z *zip.Writer) error { return z.SetComment("night run") }),
		"ZIP64":                  zip64(content),
		"descriptor not signed ": unsigned(plain, at),
	} {
		t.Run(name, func(t *testing.T) {
			want := content
			if z, err := zip.NewReader(bytes.NewReader(file), int64(len(file))); err != nil {
				t.Errorf("archive/zip: %v", err)
			} else if f, err := z.File[0].Open(); err != nil {
				t.Errorf("archive/zip: %v", err)
			} else if want, err = io.ReadAll(f); err != nil {
				t.Errorf("archive/zip: %v", err)
			}
			got, err := read(iotest.OneByteReader(bytes.NewReader(file)), Zip, roomy)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// unsigned takes the optional signature of the data descriptor out of an archive.
func unsigned(file []byte, at int) []byte {
	file = slices.Delete(slices.Clone(file), at, at+4)
	end := len(file) - endSize
	le.PutUint32(file[end+16:], le.Uint32(file[end+16:])-4)
	return file
}

func TestRefusals(t *testing.T) {
	content := sample()
	gz, zp := packed(t, Gzip, content), packed(t, Zip, content)
	set := func(file []byte, at int, b byte) []byte {
		file = slices.Clone(file)
		file[(len(file)+at)%len(file)] ^= b
		return file
	}
	one := streamed("a.csv", zip.Deflate, content)
	tests := []struct {
		name        string
		compression Compression
		file        []byte
		code        issuance.Code
		want        string
	}{
		{"plain text for gzip", Gzip, content, issuance.CompressionInvalid, "not compressed by gzip"},
		{"plain text for zip", Zip, content, issuance.CompressionInvalid, "not a ZIP archive"},
		{"zip for gzip", Gzip, zp, issuance.CompressionInvalid, "not compressed by gzip"},
		{"gzip for zip", Zip, gz, issuance.CompressionInvalid, "not a ZIP archive"},
		{"nothing for zip", Zip, nil, issuance.CompressionInvalid, "not a ZIP archive"},
		{"nothing for gzip", Gzip, nil, issuance.Truncated, "ends early"},
		{"two gzip members", Gzip, append(slices.Clone(gz), gz...), issuance.CompressionInvalid, "more than one member"},
		{"something after gzip", Gzip, append(slices.Clone(gz), 0), issuance.CompressionInvalid, "something follows"},
		{"gzip checksum", Gzip, set(gz, -6, 1), issuance.CompressionInvalid, "damaged"},
		{"gzip data", Gzip, set(gz, 30, 0xFF), issuance.CompressionInvalid, "damaged"},
		{"two files", Zip, archive(t, one, one), issuance.CompressionInvalid, "more than one file"},
		{"two entries for one file", Zip, twoEntries(t, content), issuance.CompressionInvalid, "more than one file"},
		{"a directory first", Zip, archive(t, raw("out/", zip.Store, nil, nil), one), issuance.CompressionInvalid, "begins with a directory"},
		{"empty archive", Zip, archive(t), issuance.CompressionInvalid, "is empty"},
		{"encrypted", Zip, set(zp, 6, flagEncrypted), issuance.CompressionInvalid, "password"},
		{"method", Zip, archive(t, raw("a.csv", 12, content, content)), issuance.CompressionInvalid, "method 12"},
		{"stored without size", Zip, archive(t, streamed("a.csv", zip.Store, content)), issuance.CompressionInvalid, "size is not said"},
		{"stored with two sizes", Zip, archive(t, raw("a.csv", zip.Store, content[:5], content[:6])), issuance.CompressionInvalid, "two sizes"},
		{"other size than said", Zip, archive(t, raw("a.csv", zip.Deflate, []byte{3, 0}, content)), issuance.CompressionInvalid, "other data than it says"},
		{"checksum", Zip, archive(t, raw("a.csv", zip.Store, content, append([]byte{'x'}, content[1:]...))), issuance.CompressionInvalid, "other data"},
		{"checksum after the data", Zip, set(zp, bytes.LastIndex(zp, []byte("PK\x07\x08"))-len(zp)+4+len(zp), 1), issuance.CompressionInvalid, "other data"},
		{"other name in the directory", Zip, set(zp, bytes.LastIndex(zp, []byte("cards")), 1), issuance.CompressionInvalid, "does not agree"},
		{"other checksum in the directory", Zip, set(zp, bytes.LastIndex(zp, []byte("PK\x01\x02"))+16, 1), issuance.CompressionInvalid, "does not agree"},
		{"two files by the count", Zip, set(zp, -endSize+10, 3), issuance.CompressionInvalid, "does not agree"},
		{"something after zip", Zip, append(slices.Clone(zp), 'x'), issuance.CompressionInvalid, "something follows"},
		{"no directory", Zip, set(zp, bytes.LastIndex(zp, []byte("PK\x01\x02"))+1, 0x40), issuance.CompressionInvalid, "no directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(bytes.NewReader(tt.file), tt.compression, roomy)
			var fe *issuance.FileError
			if !errors.As(err, &fe) || fe.Code != tt.code || !strings.Contains(fe.Text, tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// twoEntries is an archive whose directory has another entry for its one file.
func twoEntries(tb testing.TB, content []byte) []byte {
	tb.Helper()
	file := packed(tb, Zip, content)
	from := bytes.LastIndex(file, []byte("PK\x01\x02"))
	entry := slices.Clone(file[from : len(file)-endSize])
	file = slices.Insert(file, from, entry...)
	end := len(file) - endSize
	file[end+8], file[end+10] = 2, 2
	return file
}

// TestCutAnywhere: a file that ends early never passes for a whole one.
func TestCutAnywhere(t *testing.T) {
	for _, c := range []Compression{Gzip, Zip} {
		file := packed(t, c, []byte("order_id,card_id\nA-1,K-1\n"))
		for cut := range file {
			_, err := read(bytes.NewReader(file[:cut]), c, roomy)
			var fe *issuance.FileError
			if !errors.As(err, &fe) {
				t.Fatalf("%s cut after %d of %d bytes: error %v", c, cut, len(file), err)
			}
			if cut >= 30 && fe.Code != issuance.Truncated {
				t.Errorf("%s cut after %d of %d bytes: %v", c, cut, len(file), err)
			}
		}
	}
}

// TestBombs: what comes out is bounded, and so is what is read for it.
func TestBombs(t *testing.T) {
	zeros := make([]byte, 8<<20)
	for _, c := range []Compression{Gzip, Zip} {
		file := packed(t, c, zeros)
		for name, tt := range map[string]struct {
			limits Limits
			most   int64
			want   string
		}{
			"size":          {Limits{MaxBytes: 2 << 20, MaxRatio: 1 << 20}, 2 << 20, "more than 2097152 bytes"},
			"ratio":         {Limits{MaxBytes: 1 << 30}, freeBytes + 64<<10, "more than 200 times its size"},
			"one too many":  {Limits{MaxBytes: int64(len(zeros)) - 1, MaxRatio: 1 << 20}, int64(len(zeros)), "more than 8388607 bytes"},
			"ratio of 1000": {Limits{MaxBytes: 1 << 30, MaxRatio: 1000}, 8 << 20, "more than 1000 times"},
		} {
			got, err := read(bytes.NewReader(file), c, tt.limits)
			var fe *issuance.FileError
			if !errors.As(err, &fe) || fe.Code != issuance.TooLarge || !strings.Contains(fe.Text, tt.want) {
				t.Errorf("%s, %s: error %v", c, name, err)
			}
			if int64(len(got)) > tt.most {
				t.Errorf("%s, %s: %d bytes came out", c, name, len(got))
			}
		}
	}
}

// TestReadErrorsPassThrough: trouble in reading is not a fault of the file, and
// an objection of the source is heard even after the last byte of the content.
func TestReadErrorsPassThrough(t *testing.T) {
	lost := errors.New("connection lost")
	for _, c := range []Compression{Gzip, Zip} {
		file := packed(t, c, sample())
		for cut := 0; cut <= len(file); cut++ {
			r := io.MultiReader(bytes.NewReader(file[:cut]), iotest.ErrReader(lost))
			if _, err := read(r, c, roomy); !errors.Is(err, lost) {
				t.Fatalf("%s cut after %d of %d bytes: error %v", c, cut, len(file), err)
			}
		}
	}
}

// objector fails once at its end, then says that all is well.
type objector struct {
	r    io.Reader
	err  error
	said bool
}

func (o *objector) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if errors.Is(err, io.EOF) && !o.said {
		o.said, err = true, o.err
	}
	return n, err
}

// TestAnObjectionIsHeard: a signature that does not fit shows only at the end.
func TestAnObjectionIsHeard(t *testing.T) {
	forged := &issuance.FileError{Text: "forged"}
	for _, c := range []Compression{Gzip, Zip} {
		_, err := read(&objector{r: bytes.NewReader(packed(t, c, sample())), err: forged}, c, roomy)
		if !errors.Is(err, forged) {
			t.Errorf("%s: error %v", c, err)
		}
	}
}

// TestToolsOfTheOtherSide: what the usual programs write is read.
func TestToolsOfTheOtherSide(t *testing.T) {
	content := sample()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cards.csv"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		compression Compression
		command     string
	}{
		{Gzip, "gzip -c cards.csv"}, {Gzip, "gzip -9 < cards.csv"},
		{Zip, "zip -q a.zip cards.csv && cat a.zip"}, {Zip, "zip -q -0 b.zip cards.csv && cat b.zip"},
		{Zip, "zip -q - cards.csv | cat"}, {Zip, "cat cards.csv | zip -q - - | cat"},
	} {
		if _, err := exec.LookPath(string(tt.compression)); err != nil {
			t.Logf("%s is not installed", tt.compression)
			continue
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", tt.command)
		cmd.Dir = dir
		file, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(bytes.NewReader(file), tt.compression, roomy); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", tt.command, len(got), err)
		}
	}
}

// FuzzZip: no panic; what is read is what archive/zip reads, and it is the only
// file in there.
func FuzzZip(f *testing.F) {
	content := []byte("order_id\nA-1\n")
	f.Add(packed(f, Zip, content))
	f.Add(zip64(content))
	f.Add(archive(f, raw("a.csv", zip.Store, content, content)))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := read(bytes.NewReader(file), Zip, Limits{MaxBytes: 1 << 20})
		var fe *issuance.FileError
		if err != nil {
			if !errors.As(err, &fe) {
				t.Fatalf("error of no known kind: %v", err)
			}
			return
		}
		z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
		if err != nil || len(z.File) != 1 {
			t.Skip() // archive/zip minds something that does not change the content
		}
		r, err := z.File[0].Open()
		if err != nil {
			t.Skip()
		}
		want, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(got, want) {
			t.Fatal("archive/zip reads something else")
		}
	})
}

// FuzzGzip: no panic; what is read is what compress/gzip reads.
func FuzzGzip(f *testing.F) {
	f.Add(packed(f, Gzip, []byte("order_id\nA-1\n")))
	f.Add([]byte{0x1F, 0x8B, 8, 0})
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := read(bytes.NewReader(file), Gzip, Limits{MaxBytes: 1 << 20})
		var fe *issuance.FileError
		if err != nil {
			if !errors.As(err, &fe) {
				t.Fatalf("error of no known kind: %v", err)
			}
			return
		}
		z, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		if want, err := io.ReadAll(z); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("compress/gzip reads something else: %v", err)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	rows := make([]byte, 0, 4<<20)
	for i := range uint64(32 << 10) {
		rows = binary.BigEndian.AppendUint64(append(rows, "order,VISA_DEBIT_STD,CREATION,usps-imb,std-carrier,"...), i*0x9E3779B97F4A7C15)
	}
	for _, c := range []Compression{Gzip, Zip} {
		b.Run(string(c), func(b *testing.B) {
			file := packed(b, c, rows)
			b.SetBytes(int64(len(rows)))
			for b.Loop() {
				r, err := Reader(bytes.NewReader(file), c, roomy)
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
