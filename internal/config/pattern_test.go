package config

import "testing"

func TestOverlap(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"*.csv", "*.csv", true},
		{"*.csv", "cards*.csv", true},
		{"*.csv", "*.csv.pgp", false},
		{"*.csv", "*.csv.gz", false},
		{"*", "x", true},
		{"*", "", true},
		{"?", "", false},
		{"a*", "*b", true},
		{"a*.csv", "b*.csv", false},
		{"[a-c]*", "[d-f]*", false},
		{"[a-c]*", "[^a]x", true},
		{"[^a]", "a", false},
		{"\\*x", "yx", false},
		{"\\*x", "?x", true},
		{"[\\]]*", "]x", true},
		{"ä?", "?ö", true},
		{"Ü*", "[Ü]", true},
		{"a**b*", "*a*c", true},
		{"cards-???.csv", "cards-????.csv", false},
		{"cards-*.csv", "CARDS-*.csv", false},
	} {
		if got := overlap(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %v, want %v", tt.a, tt.b, got, tt.want)
		}
		if got := overlap(tt.b, tt.a); got != tt.want {
			t.Errorf("%q and %q: %v, want %v", tt.b, tt.a, got, tt.want)
		}
	}
}
