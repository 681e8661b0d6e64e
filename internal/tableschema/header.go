package tableschema

import (
	"cmp"
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
	Column   string // as it is, or should be, in the file
	Ours     string // the schema's name of it, when the file has a name of its own for it
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

// Naming is how a file names the columns of a schema that it has. Its columns
// may be in any order.
type Naming struct {
	Names  []string // by column of the schema; empty: the file does not have it
	Absent bool     // columns that the schema does not require may be missing
	Extra  bool     // columns of other names are ignored
}

// MatchHeader finds the columns of the schema by the names that a file has for
// them. It returns, for each column of the file, its position in the schema
// from 0, or -1 when it is to be ignored; and what is wrong.
//
// An unknown column that resembles a missing one is never ignored: it is a
// misspelt one, and the values in it would be lost.
func (s *Schema) MatchHeader(columns []string, n Naming) ([]int, []HeaderProblem) {
	var problems []HeaderProblem
	byName := make(map[string]int, len(n.Names))
	for i, name := range n.Names {
		if name != "" {
			byName[name] = i
		}
	}
	places := make([]int, len(columns))
	seen := make([]bool, len(s.Fields))
	for i, column := range columns {
		want, known := byName[column]
		switch {
		case !known:
			places[i] = -1
		case seen[want]:
			problems = append(problems, HeaderProblem{Column: column, Ours: s.ours(column, want), Fault: Repeated, Position: i + 1, Want: want + 1})
		default:
			places[i], seen[want] = want, true
		}
	}
	var missing []string
	for i, name := range n.Names {
		if name != "" && !seen[i] {
			missing = append(missing, name)
		}
	}
	misspelt := map[string]bool{}
	for i, column := range columns {
		if places[i] >= 0 {
			continue
		}
		name, similar := Similar(column, missing)
		if similar {
			misspelt[name] = true
		}
		if similar || !n.Extra {
			problems = append(problems, HeaderProblem{Column: column, Fault: Unknown, Position: i + 1})
		}
	}
	for _, name := range missing {
		want := byName[name]
		if !n.Absent || s.Fields[want].Required || misspelt[name] {
			problems = append(problems, HeaderProblem{Column: name, Ours: s.ours(name, want), Fault: Missing, Want: want + 1})
		}
	}
	slices.SortStableFunc(problems, func(a, b HeaderProblem) int { return cmp.Compare(rank(a), rank(b)) })
	return places, problems
}

// rank sorts problems by their place in the file, then what is not there by
// its place in the schema.
func rank(p HeaderProblem) int {
	if p.Position > 0 {
		return p.Position - 1<<30
	}
	return p.Want
}

// ours returns the schema's name of a column unless the file uses it, too.
func (s *Schema) ours(name string, i int) string {
	if s.Fields[i].Name == name {
		return ""
	}
	return s.Fields[i].Name
}

// name gives the column's name with ours.
func (p HeaderProblem) name() string {
	if p.Ours == "" {
		return p.Column
	}
	return p.Column + " (" + p.Ours + ")"
}

// String says the problem to a person who writes the export.
func (p HeaderProblem) String() string {
	switch p.Fault {
	case Missing:
		return fmt.Sprintf("column %s is missing", p.name())
	case Repeated:
		return fmt.Sprintf("column %s is there again at position %d", p.name(), p.Position)
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

// Similar returns the name that differs from the given one only in letter case,
// spaces or punctuation, if there is one.
func Similar(column string, names []string) (string, bool) {
	wanted := fold(column)
	i := slices.IndexFunc(names, func(name string) bool { return wanted != "" && fold(name) == wanted })
	if i < 0 {
		return "", false
	}
	return names[i], true
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
