package tableschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Sensitivity says how much of a field's values may be shown.
type Sensitivity string

// The sensitivities.
const (
	Public   Sensitivity = ""
	Personal Sensitivity = "personal" // never shown
	PAN      Sensitivity = "pan"      // masked at most
)

// Schema is a table's contract. It is immutable and safe for concurrent use.
type Schema struct {
	Name    string
	Version string
	Fields  []Field // in column order
	index   map[string]int
}

// Field is one column.
type Field struct {
	Name        string
	Description string
	Rule        string // the constraints in words
	RejectCode  string // for a value that breaks pattern or length; may be empty
	Sensitive   Sensitivity
	Required    bool
	Enum        []string

	pattern   matcher // nil: any
	minLength int
	maxLength int // 0: no limit
}

// Violation is a way to break a field's constraints.
type Violation string

// The violations; None is no violation.
const (
	None     Violation = ""
	Required Violation = "required"
	Enum     Violation = "enum"
	Pattern  Violation = "pattern"
	Length   Violation = "length"
)

// document is a Table Schema as far as we support it.
type document struct {
	Profile       string          `json:"$schema"`
	Name          string          `json:"name"`
	Version       string          `json:"version"`
	Title         string          `json:"title"`
	Description   string          `json:"description"`
	FieldsMatch   []string        `json:"fieldsMatch"`
	MissingValues []string        `json:"missingValues"`
	PrimaryKey    []string        `json:"primaryKey"`
	Fields        []documentField `json:"fields"`
}

type documentField struct {
	Name        string      `json:"name"`
	Type        string      `json:"type"`
	Description string      `json:"description"`
	Rule        string      `json:"rule"`
	RejectCode  string      `json:"rejectCode"`
	Sensitive   Sensitivity `json:"sensitive"`
	Constraints struct {
		Required  bool     `json:"required"`
		Enum      []string `json:"enum"`
		Pattern   string   `json:"pattern"`
		MinLength int      `json:"minLength"`
		MaxLength int      `json:"maxLength"`
	} `json:"constraints"`
}

// Parse reads a schema. It fails on everything it would not check.
func Parse(schema []byte) (*Schema, error) {
	var doc document
	dec := json.NewDecoder(bytes.NewReader(schema))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("parse table schema: %w", err)
	}
	if !slices.Equal(doc.FieldsMatch, []string{"exact"}) {
		return nil, fmt.Errorf("table schema %s: fieldsMatch must be [\"exact\"]", doc.Name)
	}
	if !slices.Equal(doc.MissingValues, []string{""}) {
		return nil, fmt.Errorf("table schema %s: missingValues must be [\"\"]", doc.Name)
	}
	s := &Schema{Name: doc.Name, Version: doc.Version, index: make(map[string]int, len(doc.Fields))}
	for i, d := range doc.Fields {
		f, err := d.field()
		if err != nil {
			return nil, fmt.Errorf("table schema %s: field %q: %w", doc.Name, d.Name, err)
		}
		if _, ok := s.index[f.Name]; ok {
			return nil, fmt.Errorf("table schema %s: field %q is there twice", doc.Name, d.Name)
		}
		s.index[f.Name] = i
		s.Fields = append(s.Fields, f)
	}
	return s, nil
}

func (d documentField) field() (Field, error) {
	f := Field{
		Name: d.Name, Description: d.Description, Rule: d.Rule, RejectCode: d.RejectCode, Sensitive: d.Sensitive,
		Required: d.Constraints.Required, Enum: d.Constraints.Enum,
		minLength: d.Constraints.MinLength, maxLength: d.Constraints.MaxLength,
	}
	switch {
	case d.Name == "":
		return f, errors.New("has no name")
	case d.Type != "string":
		return f, fmt.Errorf("type %q is not supported", d.Type)
	case d.Sensitive != Public && d.Sensitive != Personal && d.Sensitive != PAN:
		return f, fmt.Errorf("sensitive %q is not known", d.Sensitive)
	case d.Rule == "":
		return f, errors.New("has no rule to show when it is broken")
	}
	if d.Constraints.Pattern != "" {
		m, err := compile(d.Constraints.Pattern)
		if err != nil {
			return f, err
		}
		f.pattern = m
	}
	return f, nil
}

// Index returns the position of a column, from 0, or -1 when there is no such.
func (s *Schema) Index(name string) int {
	if i, ok := s.index[name]; ok {
		return i
	}
	return -1
}

// Names returns the columns' names in their order.
func (s *Schema) Names() []string {
	names := make([]string, len(s.Fields))
	for i := range s.Fields {
		names[i] = s.Fields[i].Name
	}
	return names
}

// Check returns the first constraint that a cell breaks. An empty cell is a
// missing value, which only a required field minds.
func (f *Field) Check(cell string) Violation {
	if cell == "" {
		if f.Required {
			return Required
		}
		return None
	}
	if f.minLength > 0 || f.maxLength > 0 {
		n := utf8.RuneCountInString(cell)
		if n < f.minLength || (f.maxLength > 0 && n > f.maxLength) {
			return Length
		}
	}
	if f.pattern != nil && !f.pattern.match(cell) {
		return Pattern
	}
	if len(f.Enum) > 0 && !slices.Contains(f.Enum, cell) {
		return Enum
	}
	return None
}
