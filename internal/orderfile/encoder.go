package orderfile

import (
	"encoding/csv"
	"fmt"
	"io"
)

// Encoder writes order files. It writes values as they are: an order file is
// read by programs, and a guard against spreadsheet formulas would change them.
type Encoder struct {
	w       *csv.Writer
	scratch []string
}

// NewEncoder returns an encoder and writes the header.
func NewEncoder(w io.Writer) (*Encoder, error) {
	e := &Encoder{w: csv.NewWriter(w)}
	if err := e.w.Write(Schema().Names()); err != nil {
		return nil, fmt.Errorf("write order file: %w", err)
	}
	return e, nil
}

// Encode writes one row. It may stay in a buffer until Flush.
func (e *Encoder) Encode(row *Row) error {
	e.scratch = row.AppendValues(e.scratch[:0])
	if err := e.w.Write(e.scratch); err != nil {
		return fmt.Errorf("write order file: %w", err)
	}
	return nil
}

// Flush writes what is buffered and returns the first error of all writing.
func (e *Encoder) Flush() error {
	e.w.Flush()
	if err := e.w.Error(); err != nil {
		return fmt.Errorf("write order file: %w", err)
	}
	return nil
}
