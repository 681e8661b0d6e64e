package report

import (
	"encoding/csv"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"cardbatch/internal/cardholder"
)

// table writes a CSV file row by row into one record that it uses again.
type table struct {
	w    *csv.Writer
	row  []string
	rows int64 // without the header
	err  error // the first one; nothing is written after it

	stampOf   time.Time // the last time formatted: rows of a batch share most of them
	stampText string
}

func newTable(w io.Writer, header []string) *table {
	t := &table{w: csv.NewWriter(w), row: make([]string, 0, len(header))}
	t.err = t.w.Write(header)
	return t
}

// Cells are added in the order of the header; end writes the row.

func (t *table) number(n int64) { t.row = append(t.row, strconv.FormatInt(n, 10)) }

func (t *table) empty() { t.row = append(t.row, "") }

// plain adds a cell of our own words, which need no guard.
func (t *table) plain(s string) { t.row = append(t.row, s) }

// id adds an identifier: as it is when it is made as identifiers should be,
// else like any text of unknown origin.
func (t *table) id(s string) {
	if !plainIdentifier(s) {
		s = guarded(oneLine(s))
	}
	t.row = append(t.row, s)
}

// text adds words for people that came from somebody else.
func (t *table) text(s string) {
	if s != "" {
		s = guarded(maskNumbers(oneLine(s)))
	}
	t.row = append(t.row, s)
}

// foreign adds a value of D1's or a carrier's, such as a tracking number, which
// may look like a PAN and yet be none.
func (t *table) foreign(s string) {
	if s != "" {
		s = guarded(oneLine(s))
	}
	t.row = append(t.row, s)
}

func (t *table) time(at time.Time) {
	if at.IsZero() {
		t.empty()
		return
	}
	if !at.Equal(t.stampOf) {
		t.stampOf, t.stampText = at, stamp(at)
	}
	t.row = append(t.row, t.stampText)
}

func (t *table) end() error {
	if t.err == nil {
		t.err = t.w.Write(t.row)
		t.rows++
	}
	t.row = t.row[:0]
	return t.err
}

func (t *table) close() error {
	t.w.Flush()
	if t.err == nil {
		t.err = t.w.Error()
	}
	return t.err
}

// stamp formats a time as all our files do; nothing for the zero time.
func stamp(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339)
}

func plainIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// oneLine makes text fit for one cell of one line: valid UTF-8, every control
// character a space, nothing around it.
func oneLine(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f {
			s = strings.ToValidUTF8(s, string(utf8.RuneError))
			s = strings.Map(func(r rune) rune {
				if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
					return ' '
				}
				return r
			}, s)
			break
		}
	}
	return strings.TrimSpace(s)
}

// guarded keeps a spreadsheet from reading text as a formula. The full-width
// forms are there because some spreadsheets take them for the plain ones. Tab
// and CR, also dangerous in front, do not survive oneLine.
func guarded(s string) string {
	if first, _ := utf8.DecodeRuneInString(s); strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + s
	}
	return s
}

// digitGroups finds numbers, written in one or in groups.
var digitGroups = regexp.MustCompile(`[0-9]+(?:[ -][0-9]+)*`)

// maskNumbers masks what could be a PAN in text for people. Nobody should have
// written one there; D1 and its suppliers are beyond our control.
func maskNumbers(s string) string {
	digits := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			digits++
		}
	}
	if digits < 13 {
		return s // as nearly always
	}
	return digitGroups.ReplaceAllStringFunc(s, maskGroups)
}

// maskGroups masks every run of whole groups that makes a PAN.
func maskGroups(number string) string {
	starts := []int{0}
	for i := range len(number) {
		if number[i] == ' ' || number[i] == '-' {
			starts = append(starts, i+1)
		}
	}
	ends := append(starts[1:len(starts):len(starts)], len(number)+1)
	for i, start := range starts {
		for _, end := range ends[i:] {
			digits := strings.NewReplacer(" ", "", "-", "").Replace(number[start : end-1])
			if looksLikePAN(digits) {
				rest := number[end-1:]
				return number[:start] + cardholder.NewPAN(digits).Masked() + maskGroups(rest)
			}
		}
	}
	return number
}

// looksLikePAN leaves dates and times alone: the check digit is right for one
// number in ten, but no card begins with 0, 1, 7, 8, 9 or 20.
func looksLikePAN(digits string) bool {
	return cardholder.LooksLikePAN(digits) && digits[0] >= '2' && digits[0] <= '6' && !strings.HasPrefix(digits, "20")
}
