package orderfile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cardbatch/internal/tableschema"
)

// Format is how a source writes its order files, where that differs from our
// own contract. The zero value is the contract. [NewLayout] makes it usable.
//
// Once Columns, AbsentColumns or ExtraColumns say something about columns,
// these are found by their names, in any order.
type Format struct {
	Content   Content // empty: Orders
	Delimiter string  // one character of ASCII; empty: a comma
	Charset   Charset // empty: UTF8
	// Columns gives the file's own name of each of our columns that the file
	// has. Given at all, it is complete: what it does not name, the file does
	// not have. Nil: all of them, under our names.
	Columns map[string]string
	// Constants are the values of columns that the file does not have.
	Constants map[string]string
	// Values translates values of a column, theirs to ours. A value that it
	// does not name stays as it is.
	Values map[string]map[string]string
	// AbsentColumns allows a file not to have columns that are optional: they
	// are empty.
	AbsentColumns bool
	// ExtraColumns allows a file to have other columns: they are ignored.
	ExtraColumns bool
}

// FormatProblem is one mistake in a [Format]. Key tells where: columns,
// constants.issuance, values.issuance.N and so on.
type FormatProblem struct {
	Key, Text string
}

// perRow are columns that cannot be the same in all rows, nor be translated.
var perRow = []string{"order_id", "card_id", "pan", "encrypted_data"}

// Check returns everything that is wrong with a format, sorted by key.
func (f *Format) Check() []FormatProblem {
	c := formatCheck{Format: f, schema: f.Content.schema()}
	if f.Delimiter != "" && !validDelimiter(f.Delimiter) {
		c.add("delimiter", "%q is not one ASCII character that can separate columns, such as ; or a tab", f.Delimiter)
	}
	if f.Charset != "" && !slices.Contains(Charsets(), f.Charset) {
		c.add("charset", "%q is not one of %s", f.Charset, strings.Join(charsetNames(), ", "))
	}
	c.columns()
	c.constants()
	c.values()
	c.complete()
	slices.SortStableFunc(c.problems, func(a, b FormatProblem) int { return cmp.Compare(a.Key, b.Key) })
	return c.problems
}

// formatCheck is the state of checking one format.
type formatCheck struct {
	*Format
	schema   *tableschema.Schema
	problems []FormatProblem
}

func (c *formatCheck) add(key, format string, args ...any) {
	c.problems = append(c.problems, FormatProblem{key, fmt.Sprintf(format, args...)})
}

// field returns one of our columns, nil when there is none of the name.
func (c *formatCheck) field(key, name string) *tableschema.Field {
	if i := c.schema.Index(name); i >= 0 {
		return &c.schema.Fields[i]
	}
	hint := ""
	if similar, ok := tableschema.Similar(name, c.schema.Names()); ok {
		hint = fmt.Sprintf("; did you mean %s?", similar)
	}
	file := "order"
	if c.Content == Changes {
		file = "change"
	}
	c.add(key, "is not a column of the %s file's schema%s", file, hint)
	return nil
}

func (c *formatCheck) columns() {
	users := map[string]string{} // of the file's columns
	for _, ours := range slices.Sorted(maps.Keys(c.Columns)) {
		key, theirs := "columns."+ours, c.Columns[ours]
		field := c.field(key, ours)
		switch first, taken := users[theirs]; {
		case field == nil:
		case theirs == "":
			c.add(key, "names no column; leave out what the file does not have")
		case !utf8.ValidString(theirs) || strings.ContainsFunc(theirs, notInNames):
			c.add(key, "is not the name of a column")
		case !c.writable(theirs):
			c.add(key, "%q has a character that does not exist in %s", theirs, c.Charset)
		case taken:
			c.add(key, "column %q is already the source of %s", theirs, first)
		}
		users[theirs] = ours
	}
}

func (c *formatCheck) constants() {
	for _, ours := range slices.Sorted(maps.Keys(c.Constants)) {
		key, value := "constants."+ours, c.Constants[ours]
		field := c.field(key, ours)
		_, mapped := c.Columns[ours]
		switch {
		case field == nil:
		case slices.Contains(perRow, ours):
			c.add(key, "cannot be the same in every row")
		case mapped:
			c.add(key, "is a column of the file already: columns.%s", ours)
		case value == "":
			c.add(key, "is empty; leave out what has no value")
		case !utf8.ValidString(value) || field.Check(value) != tableschema.None:
			c.add(key, "must be %s", field.Rule)
		}
	}
}

func (c *formatCheck) values() {
	for _, ours := range slices.Sorted(maps.Keys(c.Values)) {
		key := "values." + ours
		field := c.field(key, ours)
		_, constant := c.Constants[ours]
		_, mapped := c.Columns[ours]
		switch {
		case field == nil:
			continue
		case slices.Contains(perRow, ours):
			c.add(key, "has values of its own in every row, they cannot be translated")
			continue
		case constant:
			c.add(key, "is a constant, there is nothing to translate: constants.%s", ours)
			continue
		case c.Columns != nil && !mapped:
			c.add(key, "is not among columns, there is nothing to translate")
			continue
		case len(c.Values[ours]) == 0:
			c.add(key, "translates no value")
			continue
		}
		for _, theirs := range slices.Sorted(maps.Keys(c.Values[ours])) {
			c.value(key+"."+theirs, field, theirs, c.Values[ours][theirs])
		}
	}
}

func (c *formatCheck) value(key string, field *tableschema.Field, theirs, value string) {
	switch {
	case theirs == "" && field.Name == "delivery":
		c.add(key, "delivery must be said by the file or be a constant, it has no default")
	case !utf8.ValidString(value) || !utf8.ValidString(theirs) || strings.Contains(theirs, "\r"):
		c.add(key, "is not a value that a file can have")
	case !c.writable(theirs):
		c.add(key, "%q has a character that does not exist in %s", theirs, c.Charset)
	case field.Check(value) != tableschema.None:
		c.add(key, "%q must be %s", value, field.Rule)
	}
}

// writable reports whether a file in the format's charset can have a text.
func (c *formatCheck) writable(text string) bool {
	table := newByteTable(c.Charset)
	if table == nil {
		return true
	}
	_, err := table.encode(nil, text)
	return err == nil
}

// notInNames: control characters and the byte order mark are in no name.
func notInNames(r rune) bool { return unicode.IsControl(r) || r == '\uFEFF' }

// complete reports what a row can never have.
func (c *formatCheck) complete() {
	if c.Columns == nil {
		return
	}
	has := func(ours string) bool {
		_, mapped := c.Columns[ours]
		_, constant := c.Constants[ours]
		return mapped || constant
	}
	for i := range c.schema.Fields {
		if f := &c.schema.Fields[i]; f.Required && !has(f.Name) {
			c.add("columns", "%s is required, but is neither here nor among constants", f.Name)
		}
	}
	if c.Content == Changes {
		return // without an address a source can still cancel and accelerate
	}
	if !has("encrypted_data") {
		for _, ours := range []string{"pan", "expiry", "cardholder_name"} {
			if !has(ours) {
				c.add("columns", "%s is required as long as there is no encrypted_data", ours)
			}
		}
	}
	if !has("delivery_first_name") && !has("delivery_last_name") && !has("delivery_company_name") {
		c.add("columns", "an address needs a name: delivery_first_name, delivery_last_name or delivery_company_name")
	}
}

// validDelimiter: anything that is not part of unquoted values all the time
// and that encoding/csv can work with.
func validDelimiter(d string) bool {
	if len(d) != 1 {
		return false
	}
	switch c := d[0]; {
	case c == '\t', c >= 0x1C && c <= 0x1F:
		return true
	case c <= ' ', c >= 0x7F, c == '"', c == '_':
		return false
	case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
		return false
	default:
		return true
	}
}
