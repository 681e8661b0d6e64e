package cardholder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gocarina/gocsv"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

const (
	clearName = "ZOFIA TESTOWA 000123"
	clearPAN  = "4111110000000187"
	maskedPAN = "411111******0187"
)

// holder has what fmt cannot see through methods: unexported fields.
type holder struct {
	text  Text
	pan   PAN
	texts []Text
	card  Card
	m     map[string]Text
	p     *Text
}

// TestNothingPrints tries every verb and the usual encoders on the types, on
// structs that hold them, and on pointers and slices of them.
func TestNothingPrints(t *testing.T) {
	text, pan := NewText(clearName), NewPAN(clearPAN)
	card := Card{PAN: pan, Expiry: text, Name: text, CVV2: text}
	address := Address{LastName: text, Line1: text}
	values := []any{
		text, &text, pan, &pan, card, &card, address, &address, []Text{text}, map[string]PAN{"k": pan},
		holder{text, pan, []Text{text}, card, map[string]Text{"k": text}, &text},
		&holder{text, pan, []Text{text}, card, map[string]Text{"k": text}, &text},
		Instruction{Card: &card, MemberID: text, DesignLines: []Text{text}, DeliveryAddress: address},
		struct{ A, b any }{text, pan},
	}
	verbs := []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%c", "%U", "%e", "%20s", "%w", "%z", "% x", "%#q"}
	for i, v := range values {
		for _, verb := range verbs {
			if leaks(fmt.Sprintf(verb, v)) {
				t.Errorf("value %d shows clear data with verb %s", i, verb)
			}
		}
		for name, encode := range encoders() {
			if leaks(encode(v)) {
				t.Errorf("value %d shows clear data when encoded by %s", i, name)
			}
		}
		if err := fmt.Errorf("row: %v", v); leaks(err.Error()) {
			t.Errorf("value %d shows clear data in an error", i)
		}
	}
}

func encoders() map[string]func(any) string {
	return map[string]func(any) string{
		"json": func(v any) string { b, _ := json.Marshal(v); return string(b) },
		"slog text": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
			return b.String()
		},
		"slog json": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
			return b.String()
		},
		"zerolog": func(v any) string {
			var b bytes.Buffer
			logger := zerolog.New(&b)
			logger.Info().Interface("v", v).Send()
			return b.String()
		},
		"cmp.Diff": func(v any) string {
			if _, isHolder := v.(holder); isHolder {
				return "" // cmp refuses unexported fields
			}
			if text, ok := v.(Text); ok {
				return cmp.Diff(text, NewText("other"))
			}
			return ""
		},
	}
}

// leaks looks for the clear values in any of the usual spellings.
func leaks(s string) bool {
	for _, clear := range []string{clearName, clearPAN} {
		for _, form := range []string{clear, fmt.Sprintf("%x", clear), fmt.Sprintf("%X", clear), fmt.Sprintf("% x", clear)} {
			if strings.Contains(s, form) {
				return true
			}
		}
	}
	return false
}

// TestGocsvCannotWriteClearData fills a struct by gocsv and writes it back.
func TestGocsvCannotWriteClearData(t *testing.T) {
	type row struct {
		Name Text `csv:"name"`
		PAN  PAN  `csv:"pan"`
	}
	var rows []row
	if err := gocsv.UnmarshalString("name,pan\n"+clearName+","+clearPAN+"\n", &rows); err != nil {
		t.Fatal(err)
	}
	if rows[0].Name.Reveal() != clearName || rows[0].PAN.Reveal() != clearPAN {
		t.Fatal("the cells were not taken over")
	}
	out, err := gocsv.MarshalString(rows)
	if err != nil {
		t.Fatal(err)
	}
	if leaks(out) {
		t.Error("gocsv writes clear data")
	}
}

func TestPAN(t *testing.T) {
	tests := []struct {
		name, pan, masked string
		valid             bool
	}{
		{"sixteen digits", clearPAN, maskedPAN, true},
		{"wrong check digit", "4111110000000188", "411111******0188", false},
		{"nineteen digits", WithCheckDigit("411111000000000001"), "411111*********" + WithCheckDigit("411111000000000001")[15:], true},
		{"thirteen digits", WithCheckDigit("411111000001"), "411111***" + WithCheckDigit("411111000001")[9:], true},
		{"twelve digits show nothing", WithCheckDigit("41111100000"), "************", true},
		{"eleven digits", WithCheckDigit("4111110000"), "***********", false},
		{"twenty digits", WithCheckDigit("4111110000000000001"), "[hidden]", false},
		{"letters", "ZOFIA TESTOWA", "[hidden]", false},
		{"spaces", "4111 1100 0000 0187", "[hidden]", false},
		{"other digits", "٤١١١١١٠٠٠٠٠٠٠١٨٧", "[hidden]", false},
		{"empty", "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := NewPAN(tt.pan)
			if p.Valid() != tt.valid {
				t.Errorf("Valid() = %v, want %v", p.Valid(), tt.valid)
			}
			if p.Masked() != tt.masked {
				t.Errorf("Masked() = %q, want %q", p.Masked(), tt.masked)
			}
		})
	}
}

func TestLooksLikePAN(t *testing.T) {
	for text, want := range map[string]bool{
		clearPAN: true, WithCheckDigit("411111000001"): true, "4111110000000188": false, WithCheckDigit("41111100000"): false,
		WithCheckDigit("4111110000000000001"): false, "411111000000018x": false, "": false,
	} {
		if LooksLikePAN(text) != want {
			t.Errorf("%s: want %v", NewPAN(text), want)
		}
	}
}

func TestShownForms(t *testing.T) {
	b, err := json.Marshal(map[string]any{"pan": NewPAN(clearPAN), "name": NewText(clearName)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), `{"name":"[personal]","pan":"`+maskedPAN+`"}`; got != want {
		t.Errorf("JSON %s, want %s", got, want)
	}
	if got := NewPAN(clearPAN).String() + " " + NewText(clearName).String(); got != maskedPAN+" [personal]" {
		t.Errorf("String %s", got)
	}
	if (Text{}).Reveal() != "" || (PAN{}).Reveal() != "" {
		t.Error("an empty value reveals something")
	}
}

// TestMaskHidesTheMiddle holds for every string of digits.
func TestMaskHidesTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[0-9]{1,24}`).Draw(t, "digits")
		masked := NewPAN(digits).Masked()
		shown := strings.Count(masked, "*")
		if len(digits) <= maxPAN && len(masked) != len(digits) {
			t.Fatalf("a mask of %d characters for %d digits", len(masked), len(digits))
		}
		if len(digits) >= minMasked && len(digits) <= maxPAN && shown != len(digits)-10 {
			t.Fatalf("%d of %d digits hidden", shown, len(digits))
		}
	})
}

// TestLuhnFindsEverySingleWrongDigit is what the check digit is for.
func TestLuhnFindsEverySingleWrongDigit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := WithCheckDigit(rapid.StringMatching(`[0-9]{11,18}`).Draw(t, "digits"))
		if !Luhn(digits) {
			t.Fatal("the check digit does not fit")
		}
		i := rapid.IntRange(0, len(digits)-1).Draw(t, "at")
		wrong := (digits[i]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "by")))%10 + '0'
		if Luhn(digits[:i] + string(wrong) + digits[i+1:]) {
			t.Fatal("a wrong digit passes")
		}
	})
}

func TestEqual(t *testing.T) {
	if !NewText(clearName).Equal(NewText(clearName)) || NewText(clearName).Equal(NewText("x")) {
		t.Error("Text.Equal")
	}
	if !NewPAN(clearPAN).Equal(NewPAN(clearPAN)) || NewPAN(clearPAN).Equal(PAN{}) {
		t.Error("PAN.Equal")
	}
	if !NewText("").IsZero() || !NewPAN("").IsZero() || !(Address{Title: NewText("")}).IsZero() {
		t.Error("an empty value is not zero")
	}
	if (Address{City: NewText("Gent")}).IsZero() {
		t.Error("an address with a city is zero")
	}
}

func TestFingerprinter(t *testing.T) {
	f, other := NewFingerprinter([]byte("key one")), NewFingerprinter([]byte("key two"))
	pan := NewPAN(clearPAN)
	same := func(a, b []byte) bool { return bytes.Equal(a, b) }
	switch {
	case len(f.PAN(pan)) != fingerprintSize:
		t.Error("wrong size")
	case !same(f.PAN(pan), f.PAN(NewPAN(clearPAN))):
		t.Error("the same PAN has two fingerprints")
	case same(f.PAN(pan), other.PAN(pan)):
		t.Error("the key does not matter")
	case same(f.PAN(pan), f.Content(clearPAN)):
		t.Error("the domains are not separate")
	case same(f.Content("ab", "c"), f.Content("a", "bc")) || same(f.Content("a"), f.Content("a", "")):
		t.Error("parts run into each other")
	case f.PAN(PAN{}) != nil:
		t.Error("no PAN has a fingerprint")
	}
	if s := fmt.Sprintf("%v %+v %#v", f, f, struct{ f *Fingerprinter }{f}); strings.Contains(s, "key one") || strings.Contains(s, "107 101 121") {
		t.Error("the key can be printed")
	}
}

// TestFingerprinterKeepsItsKey guards against a caller who wipes its copy.
func TestFingerprinterKeepsItsKey(t *testing.T) {
	key := []byte("key one")
	f := NewFingerprinter(key)
	before := f.Content("x")
	clear(key)
	if !bytes.Equal(before, f.Content("x")) {
		t.Error("the fingerprint changed with the caller's copy of the key")
	}
}

func BenchmarkFingerprintContent(b *testing.B) {
	f := NewFingerprinter([]byte("key one"))
	parts := make([]string, 53)
	for i := range parts {
		parts[i] = "some value"
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Content(parts...)
	}
}
