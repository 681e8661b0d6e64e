package orderfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/tableschema"
)

// Layout is a [Format] made ready for reading and writing. It is safe for
// concurrent use. A nil Layout is that of the contract.
type Layout struct {
	content Content
	schema  *tableschema.Schema
	delim   byte
	charset Charset
	bytes   *byteTable // of a charset of single bytes; nil: the file is or becomes UTF-8

	naming    *tableschema.Naming // nil: our names in our order
	constants []constant
	values    []translation
	remarks   map[string]string // by column of ours: how it stands in the file
}

type constant struct {
	column int
	value  string
}

type translation struct {
	column int
	values map[string]string // theirs to ours
}

// contract is the layout of the contract of order files itself.
func contract() *Layout { return contractOf(Orders) }

func contractOf(content Content) *Layout {
	return &Layout{content: content, schema: content.schema(), delim: ',', charset: UTF8}
}

// blank returns an empty row of the layout's content.
func (l *Layout) blank() any {
	if l.content == Changes {
		return &ChangeRow{}
	}
	return &Row{}
}

// NewLayout checks a format and makes it ready. The error names everything
// that is wrong.
func NewLayout(f Format) (*Layout, error) {
	if problems := f.Check(); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = fmt.Errorf("format: %s: %s", p.Key, p.Text)
		}
		return nil, errors.Join(errs...)
	}
	l := contractOf(f.Content)
	if f.Delimiter != "" {
		l.delim = f.Delimiter[0]
	}
	if f.Charset != "" {
		l.charset = f.Charset
	}
	l.bytes = newByteTable(l.charset)
	for i, name := range l.schema.Names() {
		if v, ok := f.Constants[name]; ok {
			l.constants = append(l.constants, constant{i, v})
		}
		if v, ok := f.Values[name]; ok {
			l.values = append(l.values, translation{i, v})
		}
	}
	if f.Columns != nil || len(f.Constants) > 0 || f.AbsentColumns || f.ExtraColumns {
		l.naming = l.newNaming(&f)
	}
	l.remarks = l.newRemarks()
	return l, nil
}

func (l *Layout) newNaming(f *Format) *tableschema.Naming {
	n := &tableschema.Naming{Names: l.schema.Names(), Absent: f.AbsentColumns, Extra: f.ExtraColumns}
	for i, name := range n.Names {
		if _, ok := f.Constants[name]; ok {
			n.Names[i] = ""
		} else if f.Columns != nil {
			n.Names[i] = f.Columns[name]
		}
	}
	return n
}

func (l *Layout) newRemarks() map[string]string {
	remarks := map[string]string{}
	for i, name := range l.names() {
		if ours := l.schema.Fields[i].Name; name != "" && name != ours {
			remarks[ours] = " (the file's column " + name + ")"
		}
	}
	for _, t := range l.values {
		ours := l.schema.Fields[t.column].Name
		if remark, ok := remarks[ours]; ok {
			remarks[ours] = strings.TrimSuffix(remark, ")") + ", whose values are translated)"
		} else {
			remarks[ours] = " (its values are translated)"
		}
	}
	for _, c := range l.constants {
		remarks[l.schema.Fields[c.column].Name] = " (a constant of the source's format)"
	}
	return remarks
}

// names returns the file's names by column of ours, empty where it has none.
func (l *Layout) names() []string {
	if l.naming == nil {
		return l.schema.Names()
	}
	return l.naming.Names
}

// label returns the file's name of one of our columns.
func (l *Layout) label(i int) string {
	if name := l.names()[i]; name != "" {
		return name
	}
	return l.schema.Fields[i].Name
}

// Explain adds to the errors of a row how their columns are called in the file,
// where that is not our name.
func (l *Layout) Explain(found []issuance.RowError) {
	if l == nil {
		return
	}
	for i := range found {
		found[i].Text += l.remarks[found[i].Column]
	}
}

// place compares a header with the layout. It returns the position in the
// schema of each column of the file, -1 for those to be ignored.
func (l *Layout) place(columns []string) ([]int, []tableschema.HeaderProblem) {
	if l.naming != nil {
		return l.schema.MatchHeader(columns, *l.naming)
	}
	problems := l.schema.CheckHeader(columns)
	places := make([]int, len(columns))
	for i := range places {
		places[i] = i
	}
	return places, problems
}

// ourHeader is the file's header in our names. Ignored columns are called what
// no column of ours is.
func (l *Layout) ourHeader(places []int) []byte {
	names := make([]string, len(places))
	for i, at := range places {
		names[i] = "-"
		if at >= 0 {
			names[i] = l.schema.Fields[at].Name
		}
	}
	return []byte(strings.Join(names, string(rune(l.delim))) + "\n")
}

// finish turns the cells of a row from theirs into ours.
func (l *Layout) finish(row cells) {
	for _, t := range l.values {
		cell := row.field(t.column)
		if ours, ok := t.values[cell.get()]; ok {
			cell.set(ours)
		}
	}
	for _, c := range l.constants {
		row.field(c.column).set(c.value)
	}
}

// theirs turns the cells of a row into those of the file, in the order of the
// schema and only those that the file has. It fails where reading them back
// would give another row.
func (l *Layout) theirs(cells []string) ([]string, error) {
	for _, c := range l.constants {
		if cells[c.column] != c.value {
			return nil, fmt.Errorf("column %s: is a constant of the format and has another value", l.schema.Fields[c.column].Name)
		}
		cells[c.column] = ""
	}
	for _, t := range l.values {
		value, ok := t.reverse(cells[t.column])
		if !ok {
			return nil, fmt.Errorf("column %s: the value has another meaning in the format", l.schema.Fields[t.column].Name)
		}
		cells[t.column] = value
	}
	var out []string
	for i, name := range l.names() {
		switch {
		case name != "":
			out = append(out, cells[i])
		case cells[i] != "":
			return nil, fmt.Errorf("column %s: has a value, and the format has no such column", l.schema.Fields[i].Name)
		}
	}
	return out, nil
}

// reverse finds what a file writes for a value of ours.
func (t *translation) reverse(ours string) (string, bool) {
	var candidates []string
	for theirs, value := range t.values {
		if value == ours {
			candidates = append(candidates, theirs)
		}
	}
	if len(candidates) > 0 {
		return slices.Min(candidates), true
	}
	_, taken := t.values[ours]
	return ours, !taken
}

// field points to a field of a row.
type field struct{ to any }

func (f field) get() string {
	switch to := f.to.(type) {
	case *string:
		return *to
	case *cardholder.Text:
		return to.Reveal()
	case *cardholder.PAN:
		return to.Reveal()
	default:
		return ""
	}
}

func (f field) set(value string) {
	switch to := f.to.(type) {
	case *string:
		*to = value
	case *cardholder.Text:
		*to = cardholder.NewText(value)
	case *cardholder.PAN:
		*to = cardholder.NewPAN(value)
	}
}
