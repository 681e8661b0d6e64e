package orderfile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/issuance"
)

func control() issuance.Control {
	return issuance.Control{
		File: "cards-20300301-0001.csv", Rows: 2, SHA256: strings.Repeat("0a", 32), IssuerID: "DEMO_BANK1",
		Environment: "TEST", Sequence: 1, BusinessDate: "2030-03-01", CreatedAt: "2030-03-01T22:15:00+01:00",
		Products: map[string]int64{"VISA_DEBIT_STD": 2}, Echo: json.RawMessage(`{"run":"4711","list":[1,{"a":null}]}`),
	}
}

func compact(tb testing.TB, c issuance.Control) string {
	tb.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func TestControlRoundTrip(t *testing.T) {
	b, err := EncodeControl(control())
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseControl(b)
	if err != nil {
		t.Fatal(err)
	}
	if compact(t, got) != compact(t, control()) {
		t.Error(cmp.Diff(control(), got))
	}
}

func TestParseControl(t *testing.T) {
	good := compact(t, control())
	tests := []struct {
		name, old, new, want string // empty want: no error
	}{
		{"as it is", "", "", ""},
		{"byte order mark", good, "\xEF\xBB\xBF" + good, ""},
		{"zero rows", `"rows":2`, `"rows":0`, ""},
		{"upper case checksum", "0a0a", "0A0A", ""},
		{"no products, no echo", good[strings.Index(good, `,"products"`):], "}", ""},
		{"missing member", `"rows":2,`, ``, "rows"},
		{"several mistakes", `"rows":2,"sha256"`, `"sequence_no":2,"sha"`, "sha256"},
		{"unknown member", `"rows":2`, `"rows":2,"row":2`, "row"},
		{"wrong letter case", `"rows"`, `"Rows"`, "Rows"},
		{"member twice", `"rows":2`, `"rows":2,"rows":3`, `"rows" is there twice`},
		{"product twice", `{"VISA_DEBIT_STD":2}`, `{"A":2,"A":3}`, `"A" is there twice`},
		{"member twice in echo", `"run":"4711"`, `"run":1,"run":2`, `"run" is there twice`},
		{"negative rows", `"rows":2`, `"rows":-1`, "rows"},
		{"rows as text", `"rows":2`, `"rows":"2"`, "rows"},
		{"rows with a fraction", `"rows":2`, `"rows":2.5`, "rows"},
		{"rows in E notation", `"rows":2`, `"rows":2e0`, "rows"},
		{"too many rows", `"rows":2`, `"rows":16777216`, "rows"},
		{"a path", "cards-2030", "../cards-2030", "file"},
		{"short checksum", "0a0a", "0a", "sha256"},
		{"environment", `"TEST"`, `"test"`, "environment"},
		{"sequence", `"sequence":1`, `"sequence":0`, "sequence"},
		{"no such day", "2030-03-01\"", "2030-02-30\"", "business_date"},
		{"no offset", "22:15:00+01:00", "22:15:00", "created_at"},
		{"not an object", good, "[]", "object"},
		{"not JSON", good, "file;rows", "is not JSON"},
		{"cut off", good, good[:40], "is not JSON"},
		{"empty", good, "", "is not JSON"},
		{"two values", good, good + "{}", "something follows"},
		{"too deep", `"4711"`, strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested"},
		{"too long", `"4711"`, `"` + strings.Repeat("x", MaxControl) + `"`, "more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := strings.Replace(good, tt.old, tt.new, 1)
			c, err := ParseControl([]byte(file))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("error %v", err)
			case tt.want == "" && c.SHA256 != strings.Repeat("0a", 32):
				t.Errorf("checksum %s", c.SHA256)
			case tt.want != "" && err == nil:
				t.Error("accepted")
			case tt.want != "" && !strings.Contains(err.Error(), tt.want):
				t.Errorf("error %q does not name %q", err, tt.want)
			}
		})
	}
}

// TestParseControlNamesEveryMistake: one round trip with the sender is enough.
func TestParseControlNamesEveryMistake(t *testing.T) {
	_, err := ParseControl([]byte(`{"file":"a.csv","rows":-1,"sha256":"x","issuer_id":"DEMO_BANK1","environment":"x","sequence":0,
		"business_date":"1 March","created_at":"now","extra":1}`))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, member := range []string{"rows", "sha256", "environment", "sequence", "business_date", "created_at", "extra"} {
		if !strings.Contains(err.Error(), member) {
			t.Errorf("%q does not name %s", err, member)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add([]byte(compact(f, control())))
	f.Add([]byte(`{"file":"a.csv"}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := ParseControl(file)
		if err != nil {
			return
		}
		b, err := EncodeControl(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseControl(b)
		if err != nil {
			t.Fatal(err)
		}
		if compact(t, c) != compact(t, again) {
			t.Error("does not survive a round trip")
		}
	})
}

// TestControlErrorIsBounded: it goes into the store, the receipt and the log.
func TestControlErrorIsBounded(t *testing.T) {
	for _, file := range []string{
		`{"file": "` + strings.Repeat("é", 60000) + `"}`,
		`{"` + strings.Repeat("x", 60000) + `": 1}`,
		`{"` + strings.Repeat("x", 60000) + `": 1, "` + strings.Repeat("x", 60000) + `": 1}`,
	} {
		_, err := ParseControl([]byte(file))
		if err == nil || len(err.Error()) > 1100 || !utf8.ValidString(err.Error()) {
			t.Errorf("%d bytes of error", len(fmt.Sprint(err)))
		}
	}
}
