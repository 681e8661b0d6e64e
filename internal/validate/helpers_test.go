package validate

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/schemas"
)

func encodedRow(tb testing.TB, r *orderfile.Row) []string {
	tb.Helper()
	return r.AppendValues(nil)
}

// rowOf makes a row of cells by way of a file.
func rowOf(tb testing.TB, cells []string) *orderfile.Row {
	tb.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll([][]string{orderfile.Schema().Names(), cells}); err != nil {
		tb.Fatal(err)
	}
	d, err := orderfile.NewDecoder(&b, orderfile.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	rec, err := d.Next()
	if err != nil || rec.Err != nil {
		tb.Fatal("the row cannot be read back")
	}
	return rec.Row
}

func rowCodes(tb testing.TB) []issuance.Code {
	tb.Helper()
	b, err := schemas.FS.ReadFile(schemas.RejectCodesV1)
	if err != nil {
		tb.Fatal(err)
	}
	var doc struct {
		Codes []struct {
			Code  issuance.Code
			Level string
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		tb.Fatal(err)
	}
	var codes []issuance.Code
	for _, c := range doc.Codes {
		if c.Level == "row" && !strings.HasPrefix(string(c.Code), "ORDER_") {
			codes = append(codes, c.Code)
		}
	}
	return codes
}
