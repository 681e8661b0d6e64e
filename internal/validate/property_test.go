package validate

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

// TestAnyCells: whatever is in the cells, Check does not panic, errors name
// columns of the schema in their order, and an accepted row keeps every rule of
// the schema and every id it was given.
func TestAnyCells(t *testing.T) {
	v := validator()
	schema := orderfile.Schema()
	good := goodRow().AppendValues(nil)
	value := rapid.OneOf(
		rapid.Just(""), rapid.StringMatching(`[0-9]{1,20}`), rapid.StringMatching(`[A-Za-z0-9 _.|/'-]{1,30}`),
		rapid.SampledFrom([]string{"BULK", "INDIVIDUAL", "true", "FR", "KP", "3306", "0633", "411111", sample.ProductMastercard, sampleJWE(), "a.b.c.d.e"}),
		rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\r", "") }),
	)
	rapid.Check(t, func(rt *rapid.T) {
		cells := slices.Clone(good)
		for range rapid.IntRange(0, 4).Draw(rt, "changes") {
			cells[rapid.IntRange(0, len(cells)-1).Draw(rt, "column")] = value.Draw(rt, "value")
		}
		rec := orderfile.Record{Row: rowOf(t, cells), RowNo: 1, Line: 2}
		in, errs := v.Check(rec)
		last := -1
		for _, e := range errs {
			at := schema.Index(e.Column)
			if at < last || at < 0 || e.Line != 2 || e.Code == "" || e.Text == "" {
				rt.Fatalf("error %+v after column %d", e, last)
			}
			last = at
		}
		if len(errs) > 0 {
			return
		}
		for i := range cells {
			if schema.Fields[i].Check(cells[i]) != "" {
				rt.Fatalf("accepted, although %s breaks the schema", schema.Fields[i].Name)
			}
		}
		o := v.Summary(rec)
		if in.OrderID != cells[0] || o.OrderID != cells[0] || (in.Card == nil) != (in.EncryptedData != "") || in.IndividualAddress.Line1.IsZero() {
			rt.Fatal("the instruction is not that of the row")
		}
	})
}
