package orderfile

import (
	"fmt"
	"sync"

	"cardbatch/internal/tableschema"
	"cardbatch/schemas"
)

// Schema returns the contract of order files, version 1.
func Schema() *tableschema.Schema { return schemaV1() }

var schemaV1 = sync.OnceValue(func() *tableschema.Schema {
	s, err := parseSchema()
	if err != nil {
		panic(err) // the schema is part of the program, and a test parses it
	}
	return s
})

func parseSchema() (*tableschema.Schema, error) {
	b, err := schemas.FS.ReadFile(schemas.OrderFileV1)
	if err != nil {
		return nil, fmt.Errorf("read order file schema: %w", err)
	}
	return tableschema.Parse(b)
}
