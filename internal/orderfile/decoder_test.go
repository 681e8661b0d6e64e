package orderfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/tableschema"
)

// found is what tests look at of a record.
type found struct {
	RowNo, Line int64
	OrderID     string
	Code        issuance.Code
}

// decode reads a whole file.
func decode(tb testing.TB, r io.Reader, o Options) ([]Record, *Decoder) {
	tb.Helper()
	d, err := NewDecoder(r, o)
	if err != nil {
		tb.Fatal(err)
	}
	var recs []Record
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			return recs, d
		}
		if err != nil {
			tb.Fatal(err)
		}
		recs = append(recs, rec)
	}
}

func findings(recs []Record) []found {
	var fs []found
	for _, r := range recs {
		f := found{RowNo: r.RowNo, Line: r.Line, OrderID: r.Row.OrderID}
		if r.Err != nil {
			f.Code = r.Err.Code
		}
		fs = append(fs, f)
	}
	return fs
}

func header() string { return strings.Join(Schema().Names(), ",") + "\n" }

// line returns a row with the first cells given and the others empty.
func line(cells ...string) string {
	return strings.Join(cells, ",") + strings.Repeat(",", columns-len(cells)) + "\n"
}

// TestRowMatchesSchema: every column is a field of Row, in the same place, of
// an unprintable type when it is sensitive, and AppendValues gives it.
func TestRowMatchesSchema(t *testing.T) {
	typ := reflect.TypeFor[Row]()
	var names []string
	for i := range typ.NumField() {
		names = append(names, typ.Field(i).Tag.Get("csv"))
	}
	if diff := cmp.Diff(Schema().Names(), names); diff != "" {
		t.Fatalf("schema and Row differ (-schema +Row):\n%s", diff)
	}
	if len(names) != columns {
		t.Errorf("columns is %d, Row has %d", columns, len(names))
	}
	for i, f := range Schema().Fields {
		want := reflect.TypeFor[string]()
		switch {
		case f.Sensitive == tableschema.PAN:
			want = reflect.TypeFor[cardholder.PAN]()
		case f.Sensitive == tableschema.Personal && f.Name != "encrypted_data":
			want = reflect.TypeFor[cardholder.Text]()
		}
		if typ.Field(i).Type != want {
			t.Errorf("%s is a %s, want a %s", f.Name, typ.Field(i).Type, want)
		}
	}
	row := &Row{}
	for i := range columns {
		field, value := reflect.ValueOf(row).Elem().Field(i), fmt.Sprint("value ", i)
		if u, ok := field.Addr().Interface().(interface{ UnmarshalCSV(string) error }); ok {
			if err := u.UnmarshalCSV(value); err != nil {
				t.Fatal(err)
			}
		} else {
			field.SetString(value)
		}
		if got := row.AppendValues(nil)[i]; got != value {
			t.Errorf("AppendValues has another column in place %d", i)
		}
	}
}

func TestRowCannotBePrinted(t *testing.T) {
	row := fullRow()
	rec := Record{Row: row, RowNo: 1}
	if b, err := json.Marshal(rec); err != nil || !strings.Contains(string(b), "[row]") || strings.Contains(string(b), "Testowa") {
		t.Error("JSON shows card data")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{row, *row, rec, struct{ r Row }{*row}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "4111110000000187") || strings.Contains(s, "Testowa") {
				t.Errorf("%s of a %T shows card data", verb, v)
			}
		}
	}
}

// TestValuesStayText is trap C1: no value is read as a number.
func TestValuesStayText(t *testing.T) {
	values := []string{"010", "009", "0x10", "1_000", "1.9", "300", " x ", "NULL", "true", "=1+1"}
	for _, v := range values {
		recs, _ := decode(t, strings.NewReader(header()+line("a", v, v)), Options{})
		if recs[0].Row.CardID != v || recs[0].Row.ConsumerID != v {
			t.Errorf("%q became %q", v, recs[0].Row.CardID)
		}
	}
}

// TestHeader is trap C2: a header that is not exact is an error before any row.
func TestHeader(t *testing.T) {
	names := Schema().Names()
	tests := []struct {
		name, file string
		want       []string // parts of the error
	}{
		{"semicolons", strings.ReplaceAll(header(), ",", ";"), []string{"separated by semicolons"}},
		{"tabs", strings.ReplaceAll(header(), ",", "\t"), []string{"separated by tabs"}},
		{"typo", strings.Replace(header(), "expiry", "expiri", 1), []string{`"expiri" at position 13`, "expiry is missing"}},
		{"upper case", strings.Replace(header(), "order_id", "ORDER_ID", 1), []string{"written exactly", "order_id is missing"}},
		{"space", strings.Replace(header(), ",card_id", ", card_id", 1), []string{"written exactly", "card_id is missing"}},
		{"missing", strings.Replace(header(), "pan,", "", 1), []string{"column pan is missing"}},
		{"repeated", strings.Replace(header(), "pan,", "pan,pan,", 1), []string{"column pan is there again at position 13"}},
		{"extra", strings.TrimSuffix(header(), "\n") + ",branch\n", []string{`"branch" at position 55`}},
		{"misplaced", strings.Join(append(slices.Clone(names[1:]), names[0]), ",") + "\n", []string{"order_id at position 54 belongs first"}},
		{"all kinds", "card_id,order_id,order_id," + strings.Join(names[3:], ",") + ",x\n",
			[]string{"order_id is there again", `"x" at position`, "consumer_id is missing", "order_id at position 2 belongs first"}},
		{"no file", "", []string{"empty"}},
		{"blank lines", "\n\r\n\n", []string{"no header"}},
		{"quote", `"order_id,card_id` + "\n", []string{"double quote"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewDecoder(strings.NewReader(tt.file), Options{})
			var he *HeaderError
			if !errors.As(err, &he) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// TestHeaderErrorIsBounded: it goes into the store, the receipt and the log.
func TestHeaderErrorIsBounded(t *testing.T) {
	_, err := NewDecoder(strings.NewReader(strings.TrimSuffix(header(), "\n")+strings.Repeat(",pan", 15000)+"\n"), Options{})
	if err == nil || len(err.Error()) > 5000 {
		t.Errorf("%d bytes of error", len(fmt.Sprint(err)))
	} else if !strings.HasSuffix(err.Error(), "; and 14940 more") {
		t.Errorf("...%s", err.Error()[len(err.Error())-100:])
	}
}

// TestHeaderErrorRepeatsNoData: a file without a header starts with a row.
func TestHeaderErrorRepeatsNoData(t *testing.T) {
	file := encoded(t, fullRow())
	_, row, _ := bytes.Cut(file, []byte("\n"))
	almost := strings.Replace(header(), "pan,", "4111110000000187,", 1)
	almost = strings.Replace(almost, "delivery_city", "Zofia's Testowa-Straße", 1)
	for _, f := range []string{string(row), almost} {
		_, err := NewDecoder(strings.NewReader(f), Options{})
		var he *HeaderError
		if !errors.As(err, &he) {
			t.Fatal("no header error")
		}
		for _, secret := range []string{"4111", "0187", "Testowa", "TESTOWA", "Specimen"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error repeats data of the first line")
			}
		}
	}
}

// TestBadRowsAreDelivered is trap C3: a bad row is marked, not passed off as
// good, and C4: it does not end the file.
func TestBadRowsAreDelivered(t *testing.T) {
	file := header() +
		line("one") +
		"two,too,short\n" +
		strings.TrimSuffix(line("three"), "\n") + ",one too many\n" +
		line("four", `in"side`) +
		line("five", `"after"x`) +
		"\n" +
		line("six") +
		line(`seven`, `"opens`) +
		line("eight") +
		line("nine", `"a ""quoted"" word, a comma"`)
	recs, d := decode(t, strings.NewReader(file), Options{})
	want := []found{
		{1, 2, "one", ""},
		{2, 3, "two", issuance.FieldCount},
		{3, 4, "three", issuance.FieldCount},
		{4, 5, "four", issuance.BadQuote},
		{5, 6, "five", issuance.BadQuote},
		{6, 8, "six", ""},
		{7, 9, "seven", issuance.BadQuote},
		{8, 10, "eight", ""},
		{9, 11, "nine", ""},
	}
	if diff := cmp.Diff(want, findings(recs)); diff != "" {
		t.Error(diff)
	}
	if recs[8].Row.CardID != `a "quoted" word, a comma` {
		t.Errorf("card_id %q", recs[8].Row.CardID)
	}
	if d.EndedInsideRow() {
		t.Error("the file is said to end inside a row")
	}
	if text := decodeOne(t, "alone\n"); text != "the row has 1 field, the header has 54" {
		t.Errorf("text %q", text)
	}
	if text := recs[1].Err.Text; !strings.Contains(text, "3 fields") || !strings.Contains(text, "54") {
		t.Errorf("text %q does not count", text)
	}
}

// decodeOne returns what is wrong with a row.
func decodeOne(t *testing.T, row string) string {
	t.Helper()
	recs, _ := decode(t, strings.NewReader(header()+row), Options{})
	return recs[0].Err.Text
}

// TestLineNumbers is trap C5: they are those of the file, also after quoted
// line breaks, CRLF and blank lines.
func TestLineNumbers(t *testing.T) {
	for _, eol := range []string{"\n", "\r\n"} {
		file := header() + line("one", "\"a\nb\nc\"") + "\n\n" + line("two") + line("three", "\"x\n\n\"") + "short\n" + line("four")
		recs, _ := decode(t, strings.NewReader(strings.ReplaceAll(file, "\n", eol)), Options{})
		want := []found{{1, 2, "one", ""}, {2, 7, "two", ""}, {3, 8, "three", ""}, {4, 11, "short", issuance.FieldCount}, {5, 12, "four", ""}}
		if diff := cmp.Diff(want, findings(recs)); diff != "" {
			t.Error(diff)
		}
		if got := recs[0].Row.CardID; got != "a\nb\nc" {
			t.Errorf("card_id %q", got)
		}
	}
}

// TestByteOrderMark is trap C6, with the first column bare and quoted.
func TestByteOrderMark(t *testing.T) {
	for _, h := range []string{header(), strings.Replace(header(), "order_id", `"order_id"`, 1)} {
		recs, _ := decode(t, strings.NewReader("\xEF\xBB\xBF"+h+line("one")), Options{})
		if recs[0].Row.OrderID != "one" {
			t.Errorf("order_id %q", recs[0].Row.OrderID)
		}
	}
}

// TestALoneQuoteSwallowsNothing: the rows after it are read, whatever its
// distance from the end of the file and the quotes that follow.
func TestALoneQuoteSwallowsNothing(t *testing.T) {
	good := line("good", `"quoted, "`, "x")
	for _, rows := range []int{0, 1, 3, 1000} {
		file := header() + line("bad", `"lone`) + strings.Repeat(line("plain"), rows) + strings.Repeat(good, rows)
		recs, _ := decode(t, strings.NewReader(file), Options{MaxRow: 4 << 10})
		if len(recs) != 1+2*rows {
			t.Fatalf("%d rows, want %d", len(recs), 1+2*rows)
		}
		for i, r := range recs {
			if (r.Err != nil) != (i == 0) {
				t.Errorf("row %d of %d: error %v", i+1, len(recs), r.Err)
			}
		}
	}
}

func TestRowBounds(t *testing.T) {
	long := strings.Repeat("x", 4<<10)
	t.Run("a quoted row beyond the bound is one bad row", func(t *testing.T) {
		file := header() + line("one", "\"a\n"+long+"\"") + line("two")
		recs, err := NewDecoder(strings.NewReader(file), Options{MaxRow: 3 << 10})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := recs.Next()
		if err != nil || rec.Err == nil || rec.Err.Code != issuance.BadQuote {
			t.Errorf("first row: %v, %v", rec.Err, err)
		}
	})
	t.Run("a line beyond the bound is no text", func(t *testing.T) {
		d, err := NewDecoder(strings.NewReader(header()+line("one")+line("two", long)), Options{MaxRow: 3 << 10})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
		var fe *FormatError
		if _, err := d.Next(); !errors.As(err, &fe) || fe.Line != 3 || !strings.HasPrefix(fe.Error(), "line 3: longer than 3072 bytes") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a row of exactly the bound is fine", func(t *testing.T) {
		row := line("one", strings.Repeat("x", 3<<10-len(line("one", ""))))
		recs, _ := decode(t, strings.NewReader(header()+row+row), Options{MaxRow: 3 << 10})
		if len(recs) != 2 || recs[0].Err != nil {
			t.Errorf("%d rows", len(recs))
		}
	})
}

func TestNotText(t *testing.T) {
	for name, file := range map[string]string{
		"UTF-16":          "\xFF\xFEo\x00r\x00",
		"UTF-16 reversed": "\xFE\xFF\x00o\x00r",
		"gzip":            "\x1F\x8B\x08\x00",
		"zip":             "PK\x03\x04",
		"NUL bytes":       "order_id\x00,card_id\n",
		"ISO-8859-1":      "order_id,pr\xE9nom\n",
	} {
		t.Run(name, func(t *testing.T) {
			var fe *FormatError
			if _, err := NewDecoder(strings.NewReader(file), Options{}); !errors.As(err, &fe) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestInvalidUTF8NamesTheColumns(t *testing.T) {
	row := fullRow()
	row.DeliveryCity = cardholder.NewText("Besan\xE7on")
	recs, _ := decode(t, bytes.NewReader(encoded(t, row, fullRow())), Options{})
	e := recs[0].Err
	if e == nil || e.Code != issuance.FormatInvalid || !strings.Contains(e.Text, "delivery_city") || strings.Contains(e.Text, "Besan") {
		t.Errorf("error %v", e)
	}
	if recs[1].Err != nil {
		t.Error("the next row is bad too")
	}
}

// TestEndedInsideRow cuts a file at every byte. Wherever the cut leaves less
// than a whole row, it is told.
func TestEndedInsideRow(t *testing.T) {
	row := fullRow()
	row.DeliveryLine2 = cardholder.NewText("Bât. B,\nescalier \"2\"")
	file := encoded(t, row, row)
	body := bytes.IndexByte(file, '\n') + 1
	rowEnd := body + (len(file)-body)/2
	lastField := bytes.LastIndexByte(file[:rowEnd], ',')
	for cut := body; cut <= len(file); cut++ {
		recs, d := decode(t, bytes.NewReader(file[:cut]), Options{})
		inRow := cut - body
		if cut >= rowEnd {
			inRow = cut - rowEnd
		}
		// A row can end with or without its line end, and within its last
		// field nothing shows that it has been cut.
		whole := inRow == 0 || inRow > lastField-body
		if d.EndedInsideRow() == whole {
			// A cut at a line break inside quotes leaves a line that is terminated.
			if inRow > 0 && file[cut-1] == '\n' && recs[len(recs)-1].Err != nil {
				continue
			}
			t.Fatalf("cut after %d bytes of the row: EndedInsideRow() = %v", inRow, d.EndedInsideRow())
		}
	}
}

// TestReadErrorsPassThrough: trouble in reading is not a fault of the file.
func TestReadErrorsPassThrough(t *testing.T) {
	broken := errors.New("connection lost")
	file := string(encoded(t, fullRow(), fullRow()))
	for cut := 0; cut < len(file); cut += 7 {
		r := io.MultiReader(strings.NewReader(file[:cut]), iotest.ErrReader(broken))
		d, err := NewDecoder(r, Options{})
		for err == nil {
			_, err = d.Next()
		}
		if !errors.Is(err, broken) {
			t.Fatalf("cut at %d: error %v", cut, err)
		}
	}
}

// TestReadersOfAnyKind: the result does not depend on how the bytes arrive.
func TestReadersOfAnyKind(t *testing.T) {
	row := fullRow()
	row.DeliveryLine2 = cardholder.NewText("Bât. B,\nescalier \"2\"")
	file := append(encoded(t, row, fullRow()), line("bad", `"x`)...)
	want, _ := decode(t, bytes.NewReader(file), Options{})
	for name, r := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(bytes.NewReader(file)),
		"half":     iotest.HalfReader(bytes.NewReader(file)),
		"data+EOF": iotest.DataErrReader(bytes.NewReader(file)),
	} {
		got, _ := decode(t, r, Options{MaxRow: 4 << 10})
		if diff := cmp.Diff(findings(want), findings(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := NewDecoder(stuckReader{}, Options{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// TestMemoryIsBounded reads a large file and a file that is one long quote.
// Trap C7: nothing is kept per row.
func TestMemoryIsBounded(t *testing.T) {
	row := encoded(t, fullRow())
	_, row, _ = bytes.Cut(row, []byte("\n"))
	const rows = 20_000
	r := io.MultiReader(strings.NewReader(header()), &repeat{row, rows, 0})
	d, err := NewDecoder(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		_, err := d.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		if cap(d.frames.buf) > DefaultMaxRow+readSize {
			t.Fatal("the buffer grows")
		}
	}
	if n != rows {
		t.Errorf("%d rows", n)
	}
}

// repeat gives the same bytes n times.
type repeat struct {
	b  []byte
	n  int
	at int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	k := copy(p, r.b[r.at:])
	if r.at += k; r.at == len(r.b) {
		r.at, r.n = 0, r.n-1
	}
	return k, nil
}
