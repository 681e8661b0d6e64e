package tableschema

import (
	"fmt"
	"slices"
)

// HeaderFault says what is wrong with a column of a header.
type HeaderFault string

// The header faults.
const (
	Missing   HeaderFault = "missing"
	Unknown   HeaderFault = "unknown"
	Repeated  HeaderFault = "repeated"
	Misplaced HeaderFault = "misplaced"
)

// HeaderProblem is one wrong column.
type HeaderProblem struct {
	Column   string // as the schema writes it or, when unknown, as the file does
	Fault    HeaderFault
	Position int    // in the file, from 1; 0 when missing
	Want     int    // in the schema, from 1; 0 when unknown
	After    string // misplaced: the column it should follow, empty when it is the first
}

// CheckHeader compares the columns of a file with the schema and returns what
// is wrong, nothing when every column is there exactly once and in order. It
// is the only place that knows what fieldsMatch "exact" means.
//
// Of columns in the wrong order it names as few as possible: those that would
// have to be moved.
func (s *Schema) CheckHeader(columns []string) []HeaderProblem {
	var problems []HeaderProblem
	seen := make([]int, len(s.Fields)) // position in the file, from 1
	var order []int                    // the known columns of the file, as positions in the schema
	for i, column := range columns {
		want, known := s.index[column]
		switch {
		case !known:
			problems = append(problems, HeaderProblem{Column: column, Fault: Unknown, Position: i + 1})
		case seen[want] > 0:
			problems = append(problems, HeaderProblem{Column: column, Fault: Repeated, Position: i + 1, Want: want + 1})
		default:
			seen[want] = i + 1
			order = append(order, want)
		}
	}
	inPlace := longestRising(order)
	for want := range s.Fields {
		p := HeaderProblem{Column: s.Fields[want].Name, Position: seen[want], Want: want + 1}
		switch {
		case p.Position == 0:
			p.Fault = Missing
		case !inPlace[want]:
			p.Fault = Misplaced
			if want > 0 {
				p.After = s.Fields[want-1].Name
			}
		default:
			continue
		}
		problems = append(problems, p)
	}
	return problems
}

// String says the problem to a person who writes the export.
func (p HeaderProblem) String() string {
	switch p.Fault {
	case Missing:
		return fmt.Sprintf("column %s is missing", p.Column)
	case Repeated:
		return fmt.Sprintf("column %s is there again at position %d", p.Column, p.Position)
	case Misplaced:
		if p.After == "" {
			return fmt.Sprintf("column %s at position %d belongs first", p.Column, p.Position)
		}
		return fmt.Sprintf("column %s at position %d belongs after %s", p.Column, p.Position, p.After)
	default:
		return fmt.Sprintf("column %q at position %d is not known", p.Column, p.Position)
	}
}

// longestRising returns the members of a longest rising subsequence of
// distinct numbers. Headers are short, so the simple method will do.
func longestRising(numbers []int) map[int]bool {
	length := make([]int, len(numbers))
	before := make([]int, len(numbers))
	best := -1
	for i := range numbers {
		length[i], before[i] = 1, -1
		for j := range i {
			if numbers[j] < numbers[i] && length[j]+1 > length[i] {
				length[i], before[i] = length[j]+1, j
			}
		}
		if best < 0 || length[i] > length[best] {
			best = i
		}
	}
	members := make(map[int]bool, len(numbers))
	for i := best; i >= 0; i = before[i] {
		members[numbers[i]] = true
	}
	return members
}

// Similar returns the column whose name differs from the given one only in
// letter case, spaces or hyphens, if there is one.
func (s *Schema) Similar(column string) (string, bool) {
	wanted := fold(column)
	i := slices.IndexFunc(s.Fields, func(f Field) bool { return fold(f.Name) == wanted })
	if i < 0 {
		return "", false
	}
	return s.Fields[i].Name, true
}

// fold reduces a name to its lower-case ASCII letters and digits.
func fold(name string) string {
	folded := make([]byte, 0, len(name))
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'A' && c <= 'Z':
			folded = append(folded, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			folded = append(folded, c)
		}
	}
	return string(folded)
}
