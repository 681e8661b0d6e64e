package cardholder

import (
	"fmt"
	"strings"
)

// The lengths of a PAN, and the shortest one of which first six and last four
// digits still hide something worth hiding.
const (
	minPAN     = 12
	maxPAN     = 19
	minMasked  = 13
	shownFirst = 6
	shownLast  = 4
)

// PAN is a primary account number, valid or not. The zero value is empty.
type PAN struct{ reveal func() string }

// NewPAN wraps what is supposed to be a PAN.
func NewPAN(digits string) PAN {
	if digits == "" {
		return PAN{}
	}
	return PAN{func() string { return digits }}
}

// Reveal returns the clear PAN.
func (p PAN) Reveal() string {
	if p.reveal == nil {
		return ""
	}
	return p.reveal()
}

// IsZero reports whether there is no PAN.
func (p PAN) IsZero() bool { return p.reveal == nil }

// Equal reports whether both PANs are the same.
func (p PAN) Equal(q PAN) bool { return p.Reveal() == q.Reveal() }

// Valid reports whether the PAN has 12 to 19 digits and a correct check digit.
func (p PAN) Valid() bool {
	digits := p.Reveal()
	return len(digits) >= minPAN && len(digits) <= maxPAN && Luhn(digits)
}

// Masked returns the first six and the last four digits with a star for every
// digit between them. What is shorter than 13 digits gets stars only, and what
// is longer than a PAN or not made of digits shows nothing of itself, not even
// its length.
func (p PAN) Masked() string {
	digits := p.Reveal()
	switch {
	case digits == "":
		return ""
	case !allDigits(digits) || len(digits) > maxPAN:
		return "[hidden]"
	case len(digits) < minMasked:
		return strings.Repeat("*", len(digits))
	default:
		hidden := len(digits) - shownFirst - shownLast
		return digits[:shownFirst] + strings.Repeat("*", hidden) + digits[len(digits)-shownLast:]
	}
}

// Format implements [fmt.Formatter] and shows the masked PAN, whatever the verb.
func (p PAN) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(p.Masked())) }

// String implements [fmt.Stringer].
func (p PAN) String() string { return p.Masked() }

// MarshalText implements [encoding.TextMarshaler] with the masked PAN.
func (p PAN) MarshalText() ([]byte, error) { return []byte(p.Masked()), nil }

// MarshalJSON implements [encoding/json.Marshaler] with the masked PAN.
func (p PAN) MarshalJSON() ([]byte, error) { return []byte(`"` + p.Masked() + `"`), nil }

// UnmarshalCSV takes over a cell of a CSV file. There is no way back: encoding
// a PAN as CSV gives the masked form.
func (p *PAN) UnmarshalCSV(cell string) error {
	*p = NewPAN(cell)
	return nil
}

// Luhn reports whether a non-empty string of digits ends with the correct
// check digit (ISO/IEC 7812-1 annex B).
func Luhn(digits string) bool {
	sum, double := 0, false
	for i := len(digits) - 1; i >= 0; i-- {
		d := int(digits[i]) - '0'
		if d < 0 || d > 9 {
			return false
		}
		if double {
			d *= 2
			if d > 9 {
				d -= 9
			}
		}
		sum, double = sum+d, !double
	}
	return digits != "" && sum%10 == 0
}

// WithCheckDigit appends the Luhn check digit to a string of digits. It exists
// for generators of test data.
func WithCheckDigit(digits string) string {
	for c := '0'; c <= '9'; c++ {
		if full := digits + string(c); Luhn(full) {
			return full
		}
	}
	return digits // unreachable for digits: one of the ten always fits
}

// LooksLikePAN reports whether a text could be a PAN that somebody put where it
// does not belong: 13 to 19 digits with a correct check digit.
func LooksLikePAN(text string) bool {
	return len(text) >= minMasked && len(text) <= maxPAN && Luhn(text)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
