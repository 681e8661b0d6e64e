package orderfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"cardbatch/internal/issuance"
)

// Charset is the character set of an order file.
type Charset string

// The character sets.
const (
	UTF8        Charset = "utf-8"  // with or without byte order mark
	UTF16       Charset = "utf-16" // of either byte order, with byte order mark
	ISO88591    Charset = "iso-8859-1"
	ISO885915   Charset = "iso-8859-15"
	Windows1252 Charset = "windows-1252"
)

// Charsets returns all character sets.
func Charsets() []Charset { return []Charset{UTF8, UTF16, ISO88591, ISO885915, Windows1252} }

func charsetNames() []string {
	names := make([]string, 0, 5)
	for _, c := range Charsets() {
		names = append(names, string(c))
	}
	return names
}

// marks are the beginnings by which files are recognized that are something
// else than was agreed.
var marks = []struct {
	start   string
	charset Charset // empty: it is compressed
	what    string
}{
	{"\xEF\xBB\xBF", UTF8, "UTF-8"},
	{"\xFF\xFE", UTF16, "UTF-16"},
	{"\xFE\xFF", UTF16, "UTF-16"},
	{"\x1F\x8B", "", "compressed by gzip"},
	{"PK\x03\x04", "", "a ZIP archive"},
}

// checkMark compares the first bytes of a file with the agreed charset.
func checkMark(head []byte, agreed Charset) error {
	for _, m := range marks {
		switch {
		case !bytes.HasPrefix(head, []byte(m.start)) || m.charset == agreed:
		case m.charset == "":
			return &FormatError{Line: 1, Code: issuance.CompressionInvalid, Text: "the file is " + m.what + ", here plain text is agreed"}
		default:
			return &FormatError{Line: 1, Code: issuance.CharsetInvalid,
				Text: fmt.Sprintf("the file is %s by its byte order mark, %s is agreed", m.what, agreed)}
		}
	}
	return nil
}

// byteTable translates a charset in which every byte is a character and the
// first 128 are those of ASCII.
type byteTable struct {
	name Charset
	utf8 [128][]byte // by byte - 0x80; nil: no character
	back map[rune]byte
}

// newByteTable returns nil for the charsets that are no such. Bytes 0x80 to
// 0x9F of the ISO charsets are control characters, which no value has; there
// they only ever mean that the file is in Windows-1252. The five bytes that
// Windows-1252 leaves undefined are undefined, although decoders for the web
// make control characters of them.
func newByteTable(c Charset) *byteTable {
	source := map[Charset]*charmap.Charmap{
		ISO88591: charmap.ISO8859_1, ISO885915: charmap.ISO8859_15, Windows1252: charmap.Windows1252,
	}[c]
	if source == nil {
		return nil
	}
	t := &byteTable{name: c, back: map[rune]byte{}}
	for i := range t.utf8 {
		b := byte(i + 0x80)
		if r := source.DecodeByte(b); r > 0x9F && r != utf8.RuneError {
			t.utf8[i] = utf8.AppendRune(nil, r)
			t.back[r] = b
		}
	}
	return t
}

// decode appends the UTF-8 of src to dst. It returns the position of the first
// byte that is no character, -1 when there is none; such bytes become U+FFFD.
func (t *byteTable) decode(dst, src []byte) ([]byte, int) {
	wrong := -1
	plain := 0 // where a run of ASCII begins
	for i, b := range src {
		if b < utf8.RuneSelf {
			continue
		}
		dst = append(dst, src[plain:i]...)
		plain = i + 1
		c := t.utf8[b-0x80]
		if c == nil {
			if wrong < 0 {
				wrong = i
			}
			c = []byte("\uFFFD")
		}
		dst = append(dst, c...)
	}
	return append(dst, src[plain:]...), wrong
}

// looksUTF8 reports whether a row is in UTF-8 although another charset is
// agreed, which would print "BesanÃ§on" on letters without any byte being wrong:
// all of it is valid UTF-8, and it has one of the letters from À to ÿ in it,
// which in these charsets is an Ã before a sign that follows no letter.
func looksUTF8(raw []byte) bool {
	for i := bytes.IndexByte(raw, 0xC3); i >= 0 && i+1 < len(raw); {
		if raw[i+1] >= 0x80 && raw[i+1] <= 0xBF {
			return utf8.Valid(raw)
		}
		next := bytes.IndexByte(raw[i+1:], 0xC3)
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return false
}

// encode appends the bytes of a text to dst.
func (t *byteTable) encode(dst []byte, text string) ([]byte, error) {
	for _, r := range text {
		b, ok := t.back[r]
		switch {
		case r < utf8.RuneSelf:
			b = byte(r)
		case !ok:
			return dst, fmt.Errorf("a character does not exist in %s", t.name)
		}
		dst = append(dst, b)
	}
	if looksUTF8(dst) {
		return dst, fmt.Errorf("a text could not be told from UTF-8")
	}
	return dst, nil
}

// ascii reports whether there are no other bytes than ASCII's.
func ascii(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	return !slices.ContainsFunc(b, func(c byte) bool { return c >= utf8.RuneSelf })
}

// utf16Reader turns UTF-16 into UTF-8. It fails with an [issuance.FileError] at
// the first thing that is not UTF-16: a lost or doubled byte makes everything
// after it another text, so this is about the file and not about a row.
type utf16Reader struct {
	r      io.Reader
	order  binary.ByteOrder // nil until the byte order mark has been read
	offset int64            // of in[lo] in the file
	in     [4096]byte
	lo, hi int
	out    []byte
	at     int   // of out, what is to be given next
	err    error // of r
}

// Read implements [io.Reader].
func (u *utf16Reader) Read(p []byte) (int, error) {
	for tries := 0; u.at == len(u.out); tries++ {
		if tries == 100 { // as bufio does
			return 0, io.ErrNoProgress
		}
		u.out, u.at = u.out[:0], 0
		if err := u.convert(); err != nil && len(u.out) == 0 {
			return 0, err
		}
	}
	n := copy(p, u.out[u.at:])
	u.at += n
	return n, nil
}

func (u *utf16Reader) convert() error {
	if u.err == nil {
		u.hi = copy(u.in[:], u.in[u.lo:u.hi])
		u.lo = 0
		var n int
		n, u.err = u.r.Read(u.in[u.hi:])
		u.hi += n
	}
	ended := errors.Is(u.err, io.EOF)
	if u.order == nil {
		if u.hi-u.lo < 2 && !ended {
			return u.err
		}
		if err := u.readMark(); err != nil {
			return err
		}
	}
	for u.hi-u.lo >= 2 {
		size := 2
		r := rune(u.order.Uint16(u.in[u.lo:]))
		if utf16.IsSurrogate(r) {
			if u.hi-u.lo < 4 && !ended {
				break
			}
			low := rune(0)
			if u.hi-u.lo >= 4 {
				low = rune(u.order.Uint16(u.in[u.lo+2:]))
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return u.invalid("half of a surrogate pair")
			}
			size = 4
		}
		u.out = utf8.AppendRune(u.out, r)
		u.lo += size
		u.offset += int64(size)
	}
	if ended && u.hi > u.lo && len(u.out) == 0 {
		return u.invalid("half of a character at the end of the file")
	}
	return u.err
}

func (u *utf16Reader) readMark() error {
	switch head := u.in[u.lo:u.hi]; {
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		u.order = binary.LittleEndian
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		u.order = binary.BigEndian
	case len(head) == 0:
		return u.err
	default:
		if err := checkMark(head, UTF16); err != nil {
			return err
		}
		return &FormatError{Line: 1, Code: issuance.CharsetInvalid, Text: "the file does not begin with the byte order mark of UTF-16, which is agreed"}
	}
	u.lo += 2
	u.offset += 2
	return nil
}

func (u *utf16Reader) invalid(what string) error {
	return &issuance.FileError{Code: issuance.CharsetInvalid, Text: fmt.Sprintf("%s at byte %d is not UTF-16", what, u.offset)}
}
