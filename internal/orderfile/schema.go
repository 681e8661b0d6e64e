package orderfile

import (
	"fmt"
	"sync"

	"cardbatch/internal/tableschema"
	"cardbatch/schemas"
)

// Content says what the rows of a file are.
type Content string

// The contents.
const (
	Orders  Content = "orders"  // [Row]
	Changes Content = "changes" // [ChangeRow]
)

// Schema returns the contract of order files, version 1.
func Schema() *tableschema.Schema { return orderSchema() }

// ChangeSchema returns the contract of change files, version 1.
func ChangeSchema() *tableschema.Schema { return changeSchema() }

func (c Content) schema() *tableschema.Schema {
	if c == Changes {
		return ChangeSchema()
	}
	return Schema()
}

var (
	orderSchema  = sync.OnceValue(func() *tableschema.Schema { return mustParse(schemas.OrderFileV1) })
	changeSchema = sync.OnceValue(func() *tableschema.Schema { return mustParse(schemas.ChangeFileV1) })
)

func mustParse(name string) *tableschema.Schema {
	s, err := parseSchema(name)
	if err != nil {
		panic(err) // the schema is part of the program, and a test parses it
	}
	return s
}

func parseSchema(name string) (*tableschema.Schema, error) {
	b, err := schemas.FS.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read schema %s: %w", name, err)
	}
	return tableschema.Parse(b)
}
