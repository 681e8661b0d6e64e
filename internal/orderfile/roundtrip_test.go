package orderfile

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/cardholder"
)

// rowOf fills a row with cells in column order.
func rowOf(cells []string) *Row {
	row := &Row{}
	v := reflect.ValueOf(row).Elem()
	for i, cell := range cells {
		switch field := v.Field(i).Addr().Interface().(type) {
		case *string:
			*field = cell
		case *cardholder.Text:
			*field = cardholder.NewText(cell)
		case *cardholder.PAN:
			*field = cardholder.NewPAN(cell)
		}
	}
	return row
}

// cell draws values with everything that CSV finds hard. Line breaks inside
// values are LF: CRLF arrives as LF.
func cell() *rapid.Generator[string] {
	hard := rapid.StringOfN(rapid.SampledFrom([]rune("a\",\n;'|\t é漢🂡\u2028 =")), 0, 12, -1)
	any := rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") })
	return rapid.OneOf(hard, any, rapid.Just(""))
}

// TestEncodeDecode: what is written is what is read, row by row, with the line
// each row starts on.
func TestEncodeDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		e, err := NewEncoder(&b)
		if err != nil {
			t.Fatal(err)
		}
		rows := rapid.SliceOfN(rapid.SliceOfN(cell(), columns, columns), 0, 4).Draw(t, "rows")
		var lines []int64
		for _, cells := range rows {
			if err := e.Flush(); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, int64(bytes.Count(b.Bytes(), []byte("\n")))+1)
			if err := e.Encode(rowOf(cells)); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Flush(); err != nil {
			t.Fatal(err)
		}
		d, err := NewDecoder(&b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range rows {
			rec, err := d.Next()
			if err != nil || rec.Err != nil {
				t.Fatalf("row %d: %v %v", i+1, rec.Err, err)
			}
			if rec.RowNo != int64(i+1) || rec.Line != lines[i] {
				t.Fatalf("row %d on line %d, want row %d on line %d", rec.RowNo, rec.Line, i+1, lines[i])
			}
			if diff := cmp.Diff(want, rec.Row.AppendValues(nil)); diff != "" {
				t.Fatal(diff)
			}
		}
		if _, err := d.Next(); !errors.Is(err, io.EOF) || d.EndedInsideRow() {
			t.Fatalf("after the last row: %v", err)
		}
	})
}

// FuzzDecoder: no panic on any bytes; every good row survives another round
// trip; rows and lines only go up; the quoting of package encoding/csv is never
// found stricter than ours.
func FuzzDecoder(f *testing.F) {
	good := encoded(f, fullRow())
	for _, seed := range []string{
		"", header(), string(good), string(good) + "short\n", string(good) + line("a", `"open`), "\xEF\xBB\xBF" + header(),
		header() + line("a", "\"b\r\nc\""), header() + line("a", `"b"c`), header() + line("a", `b"c`) + "\r\n\r",
		header() + line("\"a\"\r"), header() + strings.TrimSuffix(line("x"), "\n") + "\"\"\r",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, tail []byte) {
		for _, file := range [][]byte{tail, append([]byte(header()), tail...)} {
			fuzzFile(t, file)
		}
	})
}

func fuzzFile(t *testing.T, file []byte) {
	t.Helper()
	d, err := NewDecoder(bytes.NewReader(file), Options{MaxRow: 8 << 10})
	if err != nil {
		return
	}
	last := Record{Line: 1}
	for {
		rec, err := d.Next()
		if err != nil {
			var fe *FormatError
			if !errors.Is(err, io.EOF) && !errors.As(err, &fe) {
				t.Fatalf("error of no known kind: %v", err)
			}
			return
		}
		if rec.RowNo != last.RowNo+1 || rec.Line <= last.Line {
			t.Fatalf("row %d on line %d follows row %d on line %d", rec.RowNo, rec.Line, last.RowNo, last.Line)
		}
		last = rec
		if rec.Err != nil {
			if rec.Err.Text == "the row is not CSV" {
				t.Fatal("encoding/csv refuses a row that the framer lets pass")
			}
			if !utf8.ValidString(rec.Row.OrderID) && rec.Err.Code == "BAD_QUOTE" {
				t.Fatal("an order_id that is not text")
			}
			continue
		}
		again, _ := decode(t, bytes.NewReader(encoded(t, rec.Row)), Options{})
		if len(again) != 1 || again[0].Err != nil {
			t.Fatal("a good row does not survive a round trip")
		}
		if diff := cmp.Diff(rec.Row.AppendValues(nil), again[0].Row.AppendValues(nil)); diff != "" {
			t.Fatal(diff)
		}
	}
}
