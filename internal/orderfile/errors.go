package orderfile

import (
	"fmt"
	"slices"
	"strings"

	"cardbatch/internal/issuance"
	"cardbatch/internal/tableschema"
)

// HeaderError says that the first line is not the header that the schema asks
// for. Its text is safe to show: of a first line that is data it repeats
// nothing.
type HeaderError struct {
	Problems []tableschema.HeaderProblem // every wrong column; nil when nothing resembles a header
	Hint     string                      // the likely cause, if there is one
}

// maxProblems is how many problems of a header are told: all columns may be
// wrong, but a line full of repeated names is a line of noise.
const maxProblems = 60

// Error lists the problems in one line.
func (e *HeaderError) Error() string {
	var texts []string
	if e.Hint != "" {
		texts = append(texts, e.Hint)
	}
	for _, p := range e.Problems[:min(len(e.Problems), maxProblems)] {
		texts = append(texts, p.String())
	}
	if more := len(e.Problems) - maxProblems; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return "header: " + strings.Join(texts, "; ")
}

// newHeaderError describes a header that has problems.
func newHeaderError(l *Layout, columns []string, problems []tableschema.HeaderProblem) *HeaderError {
	unknown := 0
	for i := range problems {
		if problems[i].Fault == tableschema.Unknown {
			unknown++
		}
	}
	hint := headerHint(l, columns)
	if known := len(columns) - unknown; known*2 < len(columns) {
		// Likely not a header at all, and then these are somebody's data.
		if hint == "" {
			hint = fmt.Sprintf("the first line is not the header: %d of its %d values are not column names", unknown, len(columns))
		}
		return &HeaderError{Hint: hint}
	}
	for i := range problems {
		if problems[i].Fault == tableschema.Unknown {
			problems[i].Column = showColumn(problems[i].Column)
		}
	}
	return &HeaderError{Problems: problems, Hint: hint}
}

// headerHint looks for the usual causes.
func headerHint(l *Layout, columns []string) string {
	if len(columns) == 1 {
		for _, d := range []byte{',', ';', '\t', '|'} {
			if d != l.delim && strings.IndexByte(columns[0], d) >= 0 {
				return fmt.Sprintf("the columns are separated by %s, but %s are agreed", delimiterName(d), delimiterName(l.delim))
			}
		}
	}
	var similar []string
	names := l.names()
	for _, c := range columns {
		if slices.Contains(names, c) {
			continue
		}
		if name, ok := tableschema.Similar(c, names); ok {
			similar = append(similar, name)
		}
	}
	switch {
	case len(similar) == 0:
		return ""
	case l.naming == nil:
		return fmt.Sprintf("column names must be written exactly, lower case and without spaces: %s", strings.Join(similar, ", "))
	default:
		return fmt.Sprintf("column names must be written exactly: %s", strings.Join(similar, ", "))
	}
}

// delimiterName names a delimiter in the plural.
func delimiterName(d byte) string {
	switch d {
	case ',':
		return "commas"
	case ';':
		return "semicolons"
	case '\t':
		return "tabs"
	case '|':
		return "vertical bars"
	default:
		return fmt.Sprintf("characters %q", d)
	}
}

// maxShownColumn is the longest unknown column name worth repeating.
const maxShownColumn = 48

// showColumn returns an unknown column name as far as it looks like one.
func showColumn(name string) string {
	if name == "" || len(name) > maxShownColumn {
		return "..."
	}
	digits := 0
	for _, c := range []byte(name) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == '-', c == '.', c == ' ':
		default:
			return "..."
		}
	}
	if digits > 4 {
		return "..."
	}
	return name
}

// FormatError says that the file is not one of rows: it will not get better by
// reading it again.
type FormatError struct {
	Line int64         // physical, from 1
	Code issuance.Code // empty: FILE_UNREADABLE
	Text string
}

// Error names the line and the reason.
func (e *FormatError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }
