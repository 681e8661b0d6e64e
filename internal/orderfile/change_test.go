package orderfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/tableschema"
)

// TestChangeRowMatchesSchema is TestRowMatchesSchema for changes; and every
// column but two is one of an order file, under the same rules.
func TestChangeRowMatchesSchema(t *testing.T) {
	typ := reflect.TypeFor[ChangeRow]()
	var names []string
	for i := range typ.NumField() {
		names = append(names, typ.Field(i).Tag.Get("csv"))
	}
	if diff := cmp.Diff(ChangeSchema().Names(), names); diff != "" {
		t.Fatalf("schema and ChangeRow differ (-schema +ChangeRow):\n%s", diff)
	}
	row := &ChangeRow{}
	for i, f := range ChangeSchema().Fields {
		want := reflect.TypeFor[string]()
		if f.Sensitive == tableschema.Personal {
			want = reflect.TypeFor[cardholder.Text]()
		}
		if typ.Field(i).Type != want {
			t.Errorf("%s is a %s, want a %s", f.Name, typ.Field(i).Type, want)
		}
		row.field(i).set(fmt.Sprint("value ", i))
		if got := row.AppendValues(nil)[i]; got != fmt.Sprint("value ", i) {
			t.Errorf("AppendValues has another column in place %d", i)
		}
		j := Schema().Index(f.Name)
		if f.Name == "change" {
			continue
		}
		if o := Schema().Fields[j]; o.Rule != f.Rule || o.Sensitive != f.Sensitive {
			t.Errorf("%s has other rules than in an order file", f.Name)
		}
	}
}

func changeLayout(tb testing.TB, f Format) *Layout {
	tb.Helper()
	f.Content = Changes
	l, err := NewLayout(f)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func decodeChanges(tb testing.TB, r io.Reader, l *Layout) []Record {
	tb.Helper()
	d, err := NewDecoder(r, Options{Layout: l})
	if err != nil {
		tb.Fatal(err)
	}
	var records []Record
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			tb.Fatal(err)
		}
		records = append(records, rec)
	}
}

func TestEncodeDecodeChanges(t *testing.T) {
	for _, f := range []Format{{}, {Delimiter: ";", Charset: UTF16}, {Columns: map[string]string{"order_id": "Auftrag", "change": "Art", "delivery_city": "Ort"},
		Values: map[string]map[string]string{"change": {"S": "CANCEL", "U": "REDIRECT"}}}} {
		l := changeLayout(t, f)
		rapid.Check(t, func(rt *rapid.T) {
			var b bytes.Buffer
			e, err := NewLayoutEncoder(&b, l)
			if err != nil {
				t.Fatal(err)
			}
			var want [][]string
			for range rapid.IntRange(0, 4).Draw(rt, "rows") {
				row := &ChangeRow{OrderID: cell().Draw(rt, "id"), Change: rapid.SampledFrom([]string{"CANCEL", "REDIRECT"}).Draw(rt, "change"),
					DeliveryCity: cardholder.NewText(cell().Draw(rt, "city"))}
				if f.Columns == nil {
					row.DeliveryPhone = cardholder.NewText(cell().Draw(rt, "phone"))
				}
				if strings.ContainsRune(strings.Join(row.AppendValues(nil), ""), '\uFEFF') {
					continue
				}
				if e.EncodeChange(row) != nil {
					rt.Skip() // not text
				}
				want = append(want, row.AppendValues(nil))
			}
			if err := e.Flush(); err != nil {
				rt.Fatal(err)
			}
			var got [][]string
			for _, rec := range decodeChanges(t, &b, l) {
				if rec.Err != nil && strings.Contains(strings.Join(want[rec.RowNo-1], ""), "\uFFFD") || rec.Err == nil {
					got = append(got, rec.Change.AppendValues(nil))
					continue
				}
				rt.Skip() // bytes that are no text
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Error(diff)
			}
		})
	}
}

func TestChangeRowsThatCannotBeTakenApart(t *testing.T) {
	l := changeLayout(t, Format{})
	head := strings.Join(ChangeSchema().Names(), ",") + "\n"
	empty := strings.Repeat(",", 12)
	records := decodeChanges(t, strings.NewReader(head+"a,CANCEL"+empty+"\nb,CANCEL\nc,\"CANCEL"+empty+"\nd,CANCEL"+empty+"\n"), l)
	var got []string
	for _, rec := range records {
		code := issuance.Code("")
		if rec.Err != nil {
			code = rec.Err.Code
		}
		got = append(got, fmt.Sprintf("%d %s %s", rec.Line, rec.Change.OrderID, code))
		if rec.Row != nil {
			t.Error("an order in a file of changes")
		}
	}
	if diff := cmp.Diff([]string{"2 a ", "3 b FIELD_COUNT", "4 c BAD_QUOTE", "5 d "}, got); diff != "" {
		t.Error(diff)
	}
	for _, v := range []any{*records[0].Change, records[0].Change} {
		if s := fmt.Sprintf("%+v", v); strings.Contains(s, "CANCEL") {
			t.Errorf("a row is printed: %s", s)
		}
	}
}

func TestChangeFormats(t *testing.T) {
	f := Format{Content: Changes, Columns: map[string]string{"order_id": "Auftrag"}, Constants: map[string]string{"change": "STOP", "order_id": "x"},
		Values: map[string]map[string]string{"pan": {"a": "b"}}}
	var keys []string
	for _, p := range f.Check() {
		keys = append(keys, p.Key)
	}
	if diff := cmp.Diff([]string{"constants.change", "constants.order_id", "values.pan"}, keys); diff != "" {
		t.Error(diff)
	}
	onlyCancel := Format{Content: Changes, Columns: map[string]string{"order_id": "Auftrag"}, Constants: map[string]string{"change": "CANCEL"}}
	if problems := onlyCancel.Check(); len(problems) > 0 {
		t.Errorf("a file that only cancels: %v", problems)
	}
	records := decodeChanges(t, strings.NewReader("Auftrag\nord-1\n"), changeLayout(t, onlyCancel))
	if len(records) != 1 || records[0].Change.Change != "CANCEL" {
		t.Errorf("%d rows", len(records))
	}
}

// A change file of any bytes ends, and in rows or in a verdict on the file.
func FuzzChangeFile(f *testing.F) {
	head := strings.Join(ChangeSchema().Names(), ",") + "\n"
	f.Add([]byte(head + "ord-1,CANCEL,,,,,,,,,,,,\n"))
	f.Add([]byte(head + "ord-1,\"CANCEL\n"))
	f.Add([]byte("\xEF\xBB\xBF" + head))
	f.Fuzz(func(t *testing.T, file []byte) {
		d, err := NewDecoder(bytes.NewReader(file), Options{Layout: changeLayout(t, Format{})})
		if err != nil {
			return
		}
		for row := int64(1); ; row++ {
			rec, err := d.Next()
			if err != nil {
				return
			}
			if rec.Change == nil || rec.Row != nil || rec.RowNo != row {
				t.Fatalf("row %d: %+v", row, rec)
			}
		}
	})
}
