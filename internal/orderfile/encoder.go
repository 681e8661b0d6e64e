package orderfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// Encoder writes order files. It writes values as they are: an order file is
// read by programs, and a guard against spreadsheet formulas would change them.
type Encoder struct {
	*Layout
	w       *csv.Writer
	out     *bufio.Writer // of another charset than UTF-8: where row goes
	row     bytes.Buffer
	scratch []string
	encoded []byte
}

// NewEncoder returns an encoder of the contract's own format and writes the header.
func NewEncoder(w io.Writer) (*Encoder, error) { return NewLayoutEncoder(w, nil) }

// NewLayoutEncoder returns an encoder of another format and writes the header.
// What it writes, a [Decoder] of the same layout reads as the same rows.
func NewLayoutEncoder(w io.Writer, l *Layout) (*Encoder, error) {
	e := &Encoder{Layout: l}
	if l == nil {
		e.Layout = contract()
	}
	if e.charset == UTF8 {
		e.w = csv.NewWriter(w)
	} else {
		e.w, e.out = csv.NewWriter(&e.row), bufio.NewWriter(w)
	}
	e.w.Comma = rune(e.delim)
	if e.charset == UTF16 {
		e.row.WriteRune('\uFEFF')
	}
	var header []string
	for _, name := range e.names() {
		if name != "" {
			header = append(header, name)
		}
	}
	return e, e.write(header)
}

// Encode writes one row. It may stay in a buffer until Flush. It fails for a
// row that the format cannot express.
func (e *Encoder) Encode(row *Row) error { return e.encode(row) }

// EncodeChange is Encode for a change file.
func (e *Encoder) EncodeChange(row *ChangeRow) error { return e.encode(row) }

func (e *Encoder) encode(row cells) error {
	e.scratch = row.AppendValues(e.scratch[:0])
	cells, err := e.theirs(e.scratch)
	if err != nil {
		return fmt.Errorf("write order file: %w", err)
	}
	return e.write(cells)
}

func (e *Encoder) write(cells []string) error {
	if err := e.w.Write(cells); err != nil {
		return fmt.Errorf("write order file: %w", err)
	}
	if e.out == nil {
		return nil
	}
	defer e.row.Reset()
	e.w.Flush()
	var err error
	if e.bytes != nil {
		e.encoded, err = e.bytes.encode(e.encoded[:0], e.row.String())
	} else {
		e.encoded, err = encodeUTF16(e.encoded[:0], e.row.Bytes())
	}
	if err == nil {
		_, err = e.out.Write(e.encoded)
	}
	if err != nil {
		return fmt.Errorf("write order file: %w", err)
	}
	return nil
}

// encodeUTF16 appends a text in UTF-16, low byte first.
func encodeUTF16(dst, text []byte) ([]byte, error) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			return dst, fmt.Errorf("a value is not text")
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			dst = append(dst, byte(unit), byte(unit>>8))
		}
		text = text[size:]
	}
	return dst, nil
}

// Flush writes what is buffered and returns the first error of all writing.
func (e *Encoder) Flush() error {
	e.w.Flush()
	err := e.w.Error()
	if e.out != nil && err == nil {
		err = e.out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write order file: %w", err)
	}
	return nil
}
