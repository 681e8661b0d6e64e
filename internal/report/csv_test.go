package report

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/cardholder"
)

func one(t interface{ Fatal(...any) }, add func(*table)) string {
	var b bytes.Buffer
	out := newTable(&b, []string{"cell"})
	add(out)
	_ = out.end()
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(b.String(), "cell\n"))).ReadAll()
	if err != nil || len(records) > 1 {
		t.Fatal(err, len(records))
	}
	if len(records) == 0 {
		return "" // encoding/csv skips an empty line
	}
	return records[0][0]
}

func TestTextCells(t *testing.T) {
	pan := cardholder.WithCheckDigit("411111111111111")
	for in, want := range map[string]string{
		"":                          "",
		"on time":                   "on time",
		"=HYPERLINK(\"http://x\")":  "'=HYPERLINK(\"http://x\")",
		"+1":                        "'+1",
		"-1":                        "'-1",
		"@SUM(A1)":                  "'@SUM(A1)",
		"\t=1+1":                    "'=1+1",
		"\r\n=1+1":                  "'=1+1",
		"＝1+1":                      "'＝1+1",
		"two\nlines\r\n":            "two lines",
		"a\x00b\u2028c\u0085d":      "a b c d",
		"caf\xe9":                   "caf\ufffd",
		"card " + pan + " stuck":    "card 411111******1111 stuck",
		"4111 1111 1111 1111 2026":  "411111******1111 2026",
		"12-4111-1111-1111-1111":    "12-411111******1111",
		"cards-20260301221503.csv":  "cards-20260301221503.csv",
		"2026-03-01 22 15 03 17":    "2026-03-01 22 15 03 17",
		"9400110200881234567890123": "9400110200881234567890123",
	} {
		if got := one(t, func(out *table) { out.text(in) }); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestIdentifierCells(t *testing.T) {
	for in, want := range map[string]string{
		"ORD-1":     "ORD-1",
		"-ORD_1":    "-ORD_1", // the other end must find it again
		"--":        "--",
		"-1+A1":     "'-1+A1",
		"=1":        "'=1",
		"@x":        "'@x",
		"a b":       "a b",
		"41\n11":    "41 11",
		"****":      "****",
		"ÉTÉ":       "ÉTÉ",
		"-ÉTÉ(A1)":  "'-ÉTÉ(A1)",
		"\x0b=cmd|": "'=cmd|",
	} {
		if got := one(t, func(out *table) { out.id(in) }); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestForeignValuesKeepTheirDigits(t *testing.T) {
	tracking := cardholder.WithCheckDigit("411111111111111") // looks like a PAN, is a tracking number
	if got := one(t, func(out *table) { out.foreign(tracking) }); got != tracking {
		t.Error("a tracking number was changed")
	}
	if got := one(t, func(out *table) { out.foreign("=1") }); got != "'=1" {
		t.Errorf("got %q", got)
	}
}

func TestTimeCells(t *testing.T) {
	paris := time.FixedZone("CET", 3600)
	for want, at := range map[string]time.Time{
		"":                     {},
		"2026-03-01T22:15:03Z": time.Date(2026, 3, 1, 23, 15, 3, 999999000, paris),
	} {
		if got := one(t, func(out *table) { out.time(at) }); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// No text whatever makes a formula, breaks a line, or is not valid UTF-8.
func TestNoTextIsAFormula(t *testing.T) {
	alphabet := []rune("=+-@\t\r\n '\"|,;09AZaé\u2028\x00\u0085＝")
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringOfN(rapid.SampledFrom(alphabet), 0, 12, -1).Draw(t, "text")
		for name, add := range map[string]func(*table){
			"text":    func(out *table) { out.text(in) },
			"foreign": func(out *table) { out.foreign(in) },
			"id":      func(out *table) { out.id(in) },
		} {
			got := one(t, add)
			if strings.ContainsAny(got, "\r\n\t") || !utf8.ValidString(got) {
				t.Fatalf("%s: %q becomes %q", name, in, got)
			}
			if strings.IndexAny(got, "=+-@＝") == 0 && (name != "id" || !plainIdentifier(got)) {
				t.Fatalf("%s: %q becomes %q", name, in, got)
			}
		}
	})
}

func TestWritingErrorsSurface(t *testing.T) {
	out := newTable(broken{}, []string{"a"})
	for range 10_000 {
		out.plain("x")
		_ = out.end()
	}
	if err := out.close(); err == nil {
		t.Error("no error")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, cmpError{} }

type cmpError struct{}

func (cmpError) Error() string { return "disk full" }

func FuzzMaskNumbers(f *testing.F) {
	for _, seed := range []string{"", "4111 1111 1111 1111", "5555-5555-5555-4444 3", "1234567890123456789012345", "- -"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := maskNumbers(s)
		if again := maskNumbers(got); again != got {
			t.Errorf("masking twice: %q, then %q", got, again)
		}
		if strip := strings.NewReplacer("*", ""); len(strip.Replace(got)) > len(s) {
			t.Errorf("%q grew to %q", s, got)
		}
	})
}

func TestTermsKeepTheirOrder(t *testing.T) {
	data, err := Totals{{Name: "rows", Count: 2}, {Name: "accepted", Count: 1}}.MarshalJSON()
	if diff := cmp.Diff(`{"rows":2,"accepted":1}`, string(data)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
