package orderfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/gocarina/gocsv"

	"cardbatch/internal/issuance"
	"cardbatch/internal/tableschema"
)

// DefaultMaxRow bounds a row unless [Options] say otherwise. The longest legal
// row, with every column full, has some 15 KiB.
const DefaultMaxRow = 64 << 10

// Options are a source's peculiarities.
type Options struct {
	MaxRow int // bytes of a row, line breaks included; 0: DefaultMaxRow
}

// Record is one row of the file, good or not.
type Record struct {
	Row   *Row
	RowNo int64 // from 1, the header not counted
	Line  int64 // physical line the row starts on; the header is on line 1
	// Err says that the row could not be taken apart. Row then has what could
	// be made out, its order_id at most.
	Err *issuance.RowError
}

// Decoder reads the rows of an order file. It is for one goroutine.
type Decoder struct {
	schema  *tableschema.Schema
	frames  *framer
	header  []byte
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
	d := &Decoder{schema: Schema(), frames: newFramer(r, o.MaxRow), stage: &stage{}}
	if err := d.skipMark(); err != nil {
		return nil, err
	}
	if err := d.readHeader(); err != nil {
		return nil, err
	}
	return d, d.reset()
}

// skipMark drops a byte order mark and recognizes files that are not text.
func (d *Decoder) skipMark() error {
	head, err := d.frames.peek(4)
	switch {
	case err != nil:
		return fmt.Errorf("read order file: %w", err)
	case bytes.HasPrefix(head, []byte("\xEF\xBB\xBF")):
		d.frames.skip(3)
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}), bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		return &FormatError{Line: 1, Text: "the file is UTF-16, UTF-8 is agreed"}
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte{0x1F, 0x8B}):
		return &FormatError{Line: 1, Text: "the file is compressed, plain text is agreed"}
	case len(head) == 0:
		return &HeaderError{Hint: "the file is empty, it has not even a header"}
	}
	return nil
}

func (d *Decoder) readHeader() error {
	fr, err := d.frames.next()
	switch {
	case errors.Is(err, io.EOF):
		return &HeaderError{Hint: "the file has no header"}
	case err != nil:
		return d.readError(err)
	case fr.quote != quotesFine:
		return &HeaderError{Hint: string(fr.quote)}
	case !utf8.Valid(fr.raw) || bytes.IndexByte(fr.raw, 0) >= 0:
		return &FormatError{Line: fr.line, Text: "the first line is not UTF-8 text"}
	}
	columns, err := csv.NewReader(bytes.NewReader(fr.raw)).Read()
	if err != nil {
		return &HeaderError{Hint: "the first line is not CSV"}
	}
	if problems := d.schema.CheckHeader(columns); len(problems) > 0 {
		return newHeaderError(d.schema, columns, problems)
	}
	d.header = terminated(fr.raw)
	d.cutOff = !fr.ended
	return nil
}

// reset starts gocsv on the header that was found right.
func (d *Decoder) reset() error {
	d.stage.pending = d.header
	r := csv.NewReader(d.stage)
	r.ReuseRecord = true
	rows, err := gocsv.NewUnmarshaller(r, &Row{})
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
	rec := Record{Row: &Row{}, RowNo: d.last.RowNo + 1, Line: fr.line}
	rec.Err = d.decode(fr, &rec)
	d.last = rec
	d.cutOff = !fr.ended && rec.Err != nil
	return rec, nil
}

func (d *Decoder) decode(fr frame, rec *Record) *issuance.RowError {
	switch {
	case fr.quote != quotesFine:
		rec.Row.OrderID = d.orderID(fr.raw)
		return rec.fault(issuance.BadQuote, string(fr.quote))
	case fr.fields != len(d.schema.Fields):
		rec.Row.OrderID = d.orderID(fr.raw)
		fields := "fields"
		if fr.fields == 1 {
			fields = "field"
		}
		return rec.fault(issuance.FieldCount,
			fmt.Sprintf("the row has %d %s, the header has %d", fr.fields, fields, len(d.schema.Fields)))
	}
	d.stage.pending = fr.raw // gocsv copies it before the framer goes on
	if !fr.ended {
		d.stage.pending = terminated(fr.raw)
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
	rec.Row = row.(*Row)
	if !utf8.Valid(fr.raw) {
		return rec.fault(issuance.FormatInvalid, "not UTF-8 text in "+strings.Join(d.notText(rec.Row), ", ")+
			"; is the file in ISO-8859-1 or Windows-1252?")
	}
	return nil
}

func (r *Record) fault(code issuance.Code, text string) *issuance.RowError {
	return &issuance.RowError{Line: r.Line, Code: code, Text: text}
}

// orderID returns what is in the place of order_id in a row that cannot be
// taken apart, so that the report can name the order.
func (d *Decoder) orderID(raw []byte) string {
	at := d.schema.Index("order_id")
	fields := bytes.SplitN(trimLineEnd(raw), []byte{d.frames.delim}, at+2)
	if at >= len(fields) {
		return ""
	}
	return strings.ToValidUTF8(strings.Trim(string(fields[at]), `"`), "\uFFFD")
}

// notText names the columns that are not UTF-8.
func (d *Decoder) notText(row *Row) []string {
	d.scratch = row.AppendValues(d.scratch[:0])
	var names []string
	for i, v := range d.scratch {
		if !utf8.ValidString(v) {
			names = append(names, d.schema.Fields[i].Name)
		}
	}
	return names
}

func (d *Decoder) readError(err error) error {
	if errors.Is(err, errLineTooLong) {
		return &FormatError{Line: d.frames.line, Text: fmt.Sprintf("longer than %d bytes; are the line ends LF or CRLF?", d.frames.max)}
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
