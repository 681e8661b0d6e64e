package orderfile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/issuance"
)

// parseColumns reads "ours=theirs" lines for the fuzzer, over those given.
func parseColumns(text string, m map[string]string) map[string]string {
	for line := range strings.SplitSeq(text, "\n") {
		if ours, theirs, ok := strings.Cut(line, "="); ok {
			if m == nil {
				m = map[string]string{}
			}
			m[ours] = theirs
		}
	}
	return m
}

// FuzzFormat: no panic on any format and any file; a format that is accepted
// reads what it writes, and every good row can be written and is read back the
// same.
func FuzzFormat(f *testing.F) {
	var names strings.Builder
	for ours, theirs := range bankColumns() {
		names.WriteString(ours + "=" + theirs + "\n")
	}
	l := layoutOf(f, bank())
	_, row, _ := bytes.Cut(encodedAs(f, l, bankRow()), []byte("\n"))
	f.Add(";", uint8(4), true, false, names.String(), "delivery=laposte-cip", "N=CREATION", row)
	f.Add(";", uint8(254), true, true, "priority=P", "delivery=laposte-cip", "N=CREATION\n=RENEWAL", row)
	f.Add(",", uint8(0), false, false, "", "", "", []byte("a,b\n"))
	f.Add("\t", uint8(1), false, true, "order_id=x", "pan=1", "=", utf16File("a", true))
	f.Add(";", uint8(2), true, true, "", "delivery_country_code=FR", "1=RENEWAL\n2=CREATION", []byte("\x80;\r\r"))
	f.Fuzz(func(t *testing.T, delimiter string, charset uint8, absent, extra bool, columns, constants, values string, rows []byte) {
		format := Format{
			Delimiter: delimiter, Charset: Charsets()[int(charset)%len(Charsets())], AbsentColumns: absent, ExtraColumns: extra,
			Columns: parseColumns(columns, nil), Constants: parseColumns(constants, nil),
		}
		if charset >= 128 { // most maps of a fuzzer's own lack something
			format.Columns = parseColumns(columns, bankColumns())
		}
		if v := parseColumns(values, nil); v != nil {
			format.Values = map[string]map[string]string{"issuance": v}
		}
		l, err := NewLayout(format)
		if err != nil {
			return
		}
		fuzzLayout(t, l, rows)
		fuzzLayout(t, l, append(encodedAs(t, l), rows...))
	})
}

func fuzzLayout(t *testing.T, l *Layout, file []byte) {
	t.Helper()
	d, err := NewDecoder(bytes.NewReader(file), Options{MaxRow: 8 << 10, Layout: l})
	for err == nil {
		var rec Record
		if rec, err = d.Next(); err != nil {
			break
		}
		if rec.Err != nil {
			if rec.Err.Text == "the row is not CSV" {
				t.Fatal("encoding/csv refuses a row that the framer lets pass")
			}
			continue
		}
		want := rec.Row.AppendValues(nil)
		again, _ := decode(t, bytes.NewReader(encodedAs(t, l, rec.Row)), Options{Layout: l})
		if len(again) != 1 || again[0].Err != nil {
			t.Fatalf("a good row does not survive a round trip: %d rows", len(again))
		}
		if diff := cmp.Diff(want, again[0].Row.AppendValues(nil)); diff != "" {
			t.Fatal(diff)
		}
	}
	var header *HeaderError
	var format *FormatError
	var whole *issuance.FileError
	if !errors.Is(err, io.EOF) && !errors.As(err, &header) && !errors.As(err, &format) && !errors.As(err, &whole) {
		t.Fatalf("error of no known kind: %v", err)
	}
}
