package orderfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gocarina/gocsv"

	"cardbatch/internal/issuance"
)

// DefaultMaxRow bounds a row unless [Options] say otherwise. The longest legal
// row, with every column full, has some 15 KiB.
const DefaultMaxRow = 64 << 10

// Options are a source's peculiarities.
type Options struct {
	MaxRow int     // bytes of a row, line breaks included; 0: DefaultMaxRow
	Layout *Layout // nil: that of the contract
}

// Record is one row of the file, good or not.
type Record struct {
	Row    *Row       // nil unless the file's content is [Orders]
	Change *ChangeRow // nil unless it is [Changes]
	RowNo  int64      // from 1, the header not counted
	Line   int64      // physical line the row starts on; the header is on line 1
	// Err says that the row could not be taken apart. Row then has what could
	// be made out, its order_id at most.
	Err *issuance.RowError
}

// cells returns the row, whatever it is of.
func (r *Record) cells() cells {
	if r.Change != nil {
		return r.Change
	}
	return r.Row
}

// set takes a row as the CSV library gives it.
func (r *Record) set(row any) {
	r.Row, _ = row.(*Row)
	r.Change, _ = row.(*ChangeRow)
}

// Decoder reads the rows of an order file. It is for one goroutine.
type Decoder struct {
	*Layout
	frames  *framer
	header  []byte // in our names
	places  []int  // by column of the file: position in the schema, -1: ignored
	text    []byte // of the row, converted to UTF-8
	stage   *stage
	rows    *gocsv.Unmarshaller
	last    Record
	cutOff  bool
	scratch []string
}

// stage hands gocsv exactly one row at a time.
type stage struct{ pending []byte }

func (s *stage) Read(p []byte) (int, error) {
	if len(s.pending) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// NewDecoder reads the header and compares it with the schema. It fails with a
// [HeaderError], with a [FormatError], or as reading fails.
func NewDecoder(r io.Reader, o Options) (*Decoder, error) {
	if o.MaxRow <= 0 {
		o.MaxRow = DefaultMaxRow
	}
	d := &Decoder{Layout: o.Layout, stage: &stage{}}
	if d.Layout == nil {
		d.Layout = contract()
	}
	if d.charset == UTF16 {
		r = &utf16Reader{r: r}
	}
	d.frames = newFramer(r, o.MaxRow, d.delim)
	if err := d.skipMark(); err != nil {
		return nil, err
	}
	if err := d.readHeader(); err != nil {
		return nil, err
	}
	return d, d.reset()
}

// skipMark drops a byte order mark and recognizes files that are not the text
// that was agreed.
func (d *Decoder) skipMark() error {
	head, err := d.frames.peek(4)
	switch {
	case err != nil:
		return d.readError(err)
	case len(head) == 0:
		return &HeaderError{Hint: "the file is empty, it has not even a header"}
	case d.charset == UTF16: // its byte order mark has been read
		return nil
	case d.charset == UTF8 && bytes.HasPrefix(head, []byte("\xEF\xBB\xBF")):
		d.frames.skip(3)
		return nil
	}
	return checkMark(head, d.charset)
}

func (d *Decoder) readHeader() error {
	if d.frames.endsLinesWithCR() {
		d.frames.useCR()
	}
	fr, err := d.frames.next()
	switch {
	case errors.Is(err, io.EOF):
		return &HeaderError{Hint: "the file has no header"}
	case err != nil:
		return d.readError(err)
	case fr.quote != quotesFine:
		return &HeaderError{Hint: string(fr.quote)}
	}
	text, wrong := d.decodeText(fr.raw)
	switch {
	case wrong >= 0:
		return &FormatError{Line: fr.line, Code: issuance.CharsetInvalid, Text: d.wrongByte(fr, wrong)}
	case bytes.IndexByte(text, 0) >= 0:
		return &FormatError{Line: fr.line, Text: "the first line is not text, it has NUL bytes"}
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma = rune(d.delim)
	columns, err := r.Read()
	if err != nil {
		return &HeaderError{Hint: "the first line is not CSV"}
	}
	places, problems := d.place(columns)
	if len(problems) > 0 {
		return newHeaderError(d.Layout, columns, problems)
	}
	d.places, d.header = places, d.ourHeader(places)
	d.cutOff = !fr.ended
	return nil
}

// decodeText returns the UTF-8 of a row and the position of the first byte in
// it that is no character of the charset, -1 when there is none.
func (d *Decoder) decodeText(raw []byte) ([]byte, int) {
	if d.bytes == nil {
		if utf8.Valid(raw) {
			return raw, -1
		}
		return raw, firstInvalid(raw)
	}
	if ascii(raw) {
		return raw, -1
	}
	var wrong int
	d.text, wrong = d.bytes.decode(d.text[:0], raw)
	return d.text, wrong
}

func firstInvalid(raw []byte) int {
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// wrongByte says where a byte is that is no character. Offsets count the bytes
// of the text as it was before any conversion.
func (d *Decoder) wrongByte(fr frame, at int) string {
	offset := fr.offset + int64(at)
	if d.bytes == nil {
		return fmt.Sprintf("the byte at offset %d is not UTF-8 text; is the file in ISO-8859-1 or Windows-1252?", offset)
	}
	text := fmt.Sprintf("the byte at offset %d, 0x%02X, is not a character of %s", offset, fr.raw[at], d.charset)
	if d.charset != Windows1252 {
		text += "; is the file in Windows-1252 or UTF-8?"
	}
	return text
}

// reset starts gocsv on the header that was found right.
func (d *Decoder) reset() error {
	d.stage.pending = d.header
	r := csv.NewReader(d.stage)
	r.ReuseRecord = true
	r.Comma = rune(d.delim)
	rows, err := gocsv.NewUnmarshaller(r, d.blank())
	if err != nil {
		return fmt.Errorf("prepare rows: %w", err)
	}
	d.rows = rows
	return nil
}

// Next returns the next row, io.EOF after the last one. It fails with a
// [FormatError], or as reading fails; either way it is the last call.
func (d *Decoder) Next() (Record, error) {
	fr, err := d.frames.next()
	if errors.Is(err, io.EOF) {
		return Record{}, io.EOF
	}
	if err != nil {
		return Record{}, d.readError(err)
	}
	rec := Record{RowNo: d.last.RowNo + 1, Line: fr.line}
	rec.set(d.blank())
	rec.Err = d.decode(fr, &rec)
	d.last = rec
	d.cutOff = !fr.ended && rec.Err != nil
	return rec, nil
}

func (d *Decoder) decode(fr frame, rec *Record) *issuance.RowError {
	switch {
	case fr.quote != quotesFine:
		rec.cells().setOrderID(d.orderID(fr.raw))
		return rec.fault(issuance.BadQuote, string(fr.quote))
	case fr.fields != len(d.places):
		rec.cells().setOrderID(d.orderID(fr.raw))
		fields := "fields"
		if fr.fields == 1 {
			fields = "field"
		}
		return rec.fault(issuance.FieldCount,
			fmt.Sprintf("the row has %d %s, the header has %d", fr.fields, fields, len(d.places)))
	}
	text, wrong := d.decodeText(fr.raw)
	d.stage.pending = text // gocsv copies it before the framer goes on
	if !fr.ended {
		d.stage.pending = terminated(text)
	}
	row, err := d.rows.Read()
	if err != nil {
		// The framer and encoding/csv disagree, which no fuzzing has found.
		// Whatever is left of the row must not run into the next one.
		if err := d.reset(); err != nil {
			return rec.fault(issuance.BadQuote, err.Error())
		}
		return rec.fault(issuance.BadQuote, "the row is not CSV")
	}
	rec.set(row)
	d.finish(rec.cells())
	if d.bytes != nil && looksUTF8(fr.raw) {
		return rec.fault(issuance.FormatInvalid, fmt.Sprintf("the row is in UTF-8, %s is agreed", d.charset))
	}
	if wrong >= 0 {
		return rec.fault(issuance.FormatInvalid, strings.Join(append(d.notText(rec.cells()), d.wrongByte(fr, wrong)), ": "))
	}
	return nil
}

func (r *Record) fault(code issuance.Code, text string) *issuance.RowError {
	return &issuance.RowError{Line: r.Line, Code: code, Text: text}
}

// orderID returns what is in the place of order_id in a row that cannot be
// taken apart, so that the report can name the order.
func (d *Decoder) orderID(raw []byte) string {
	at := slices.Index(d.places, d.schema.Index("order_id"))
	fields := bytes.SplitN(trimLineEnd(raw), []byte{d.delim}, at+2)
	if at < 0 || at >= len(fields) {
		return ""
	}
	text, _ := d.decodeText(fields[at])
	return strings.ToValidUTF8(strings.Trim(string(text), `"`), "\uFFFD")
}

// notText names the columns that have bytes which are no text, in one string if
// there are any: ignored columns can have them, too.
func (d *Decoder) notText(row cells) []string {
	d.scratch = row.AppendValues(d.scratch[:0])
	var names []string
	for i, v := range d.scratch {
		if !utf8.ValidString(v) || (d.bytes != nil && strings.ContainsRune(v, utf8.RuneError)) {
			names = append(names, d.label(i))
		}
	}
	if names == nil {
		return nil
	}
	return []string{strings.Join(names, ", ")}
}

func (d *Decoder) readError(err error) error {
	var wrong *FormatError
	if errors.As(err, &wrong) {
		return wrong
	}
	if errors.Is(err, errLineTooLong) {
		return &FormatError{Line: d.frames.line, Text: fmt.Sprintf("longer than %d bytes; are the line ends LF, CRLF or CR?", d.frames.max)}
	}
	return fmt.Errorf("read order file after line %d: %w", d.frames.line, err)
}

// EndedInsideRow reports, once Next has returned io.EOF, that the last row has
// no line end and could not be taken apart: the file was cut off. A file cut
// off between two rows, or inside its very last field, cannot be told from a
// whole one; that is what the control file is for.
func (d *Decoder) EndedInsideRow() bool { return d.cutOff }

// terminated returns the row with a line end of its own.
func terminated(raw []byte) []byte {
	own := append(make([]byte, 0, len(raw)+1), raw...)
	if !bytes.HasSuffix(own, []byte{'\n'}) {
		own = append(own, '\n')
	}
	return own
}
