package validate

import (
	"strings"
	"testing"
)

func TestPostalCodes(t *testing.T) {
	tests := []struct {
		country   string
		good, bad string // separated by |
	}{
		{"FR", "25000|01000|98799", "1000|F-25000|250000|2500O|25 000"},
		{"DE", "01067|50999", "1067|D-50999"},
		{"BE", "1000|4999", "B-1000|01000"},
		{"CH", "8001", "CH-8001|800"},
		{"AT", "1010", "10100"},
		{"NL", "1012 AB|1012AB|1012 ab", "1012|1012  AB|AB 1012"},
		{"PT", "1000-001", "1000|1000001"},
		{"ES", "28001", "2801"},
		{"IT", "00118", "118"},
		{"US", "10001|10001-0001", "1001|10001-|10001 0001|100010001"},
		{"GB", "SW1A 1AA|M1 1AE|B33 8TH|CR2 6XH|DN55 1PT|W1A 0AX|EC1A1BB|ec1a 1bb", "SW1A|SW1A 1A|12345|SW1A1AAA"},
		{"CA", "K1A 0B1|k1a0b1", "K1A|K1A-0B1|11A 0B1"},
		{"IE", "D6W X234|A65 F4E2|A65F4E2", "Dublin 6|A65"},
		{"LU", "1234|L-1234", "LU-1234|12345"},
		{"PL", "00-950", "00950"},
		{"SE", "114 55|11455", "1145"},
		{"LV", "LV-1010|1010", "LT-1010"},
		{"HK", "000000|none|-", ""}, // has none
	}
	for _, tt := range tests {
		for code := range strings.SplitSeq(tt.good, "|") {
			if !fits(tt.country, code) {
				t.Errorf("%s: %q is refused", tt.country, code)
			}
		}
		for code := range strings.SplitSeq(tt.bad, "|") {
			if code != "" && fits(tt.country, code) {
				t.Errorf("%s: %q is taken", tt.country, code)
			}
		}
	}
}

func fits(country, code string) bool {
	forms := newPostalForms()[country]
	for _, form := range forms {
		if hasForm(code, form) {
			return true
		}
	}
	return len(forms) == 0
}

// TestPostalCodesAreOfCountries guards the table against a slip.
func TestPostalCodesAreOfCountries(t *testing.T) {
	forms := newPostalForms()
	for country := range forms {
		if !isCountry(country) {
			t.Errorf("%s is no country", country)
		}
	}
	if len(forms) < 70 {
		t.Errorf("only %d countries", len(forms))
	}
}
