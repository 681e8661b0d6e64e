package ops

import (
	"io"
	"regexp"
)

// Scrub returns a writer that masks everything that looks like a card number
// before it reaches w: 12 to 19 digits, perhaps in groups separated by a space
// or a dash, whose check digit is right. The first six and last four digits stay.
//
// It is the last line of defence and no more: nothing may rely on it. One in
// ten other numbers of that length is masked, too, but none that begins with 20. A number that is split over
// two calls of Write is not seen; loggers write whole lines.
func Scrub(w io.Writer) io.Writer { return &scrubber{w} }

type scrubber struct{ w io.Writer }

var digitRuns = regexp.MustCompile(`[0-9](?:[ -]?[0-9]){11,}`)

// Write implements [io.Writer].
func (s *scrubber) Write(p []byte) (int, error) {
	if !digitRuns.Match(p) {
		return s.w.Write(p)
	}
	if _, err := s.w.Write(digitRuns.ReplaceAllFunc(p, maskPANs)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// maskPANs masks a run of digits if it is a card number, or has one inside, as
// when another number stands beside it.
func maskPANs(run []byte) []byte {
	var at []int // where the digits are
	for i, c := range run {
		if c >= '0' && c <= '9' {
			at = append(at, i)
		}
	}
	masked := append([]byte(nil), run...)
	for start := 0; start+12 <= len(at); start++ {
		if run[at[start]] == '2' && run[at[start+1]] == '0' {
			continue // a date, as in names of files: no card begins like this
		}
		for length := min(19, len(at)-start); length >= 12; length-- {
			// Inside a longer run only the commonest length is looked for, or
			// nearly every long number would be masked.
			if whole := length == len(at); !whole && length != 16 {
				continue
			}
			if luhn(run, at[start:start+length]) {
				for _, i := range at[start+6 : start+length-4] {
					masked[i] = '*'
				}
			}
		}
	}
	return masked
}

func luhn(run []byte, at []int) bool {
	sum := 0
	for n := range at {
		d := int(run[at[len(at)-1-n]] - '0')
		if n%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
