package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"cardbatch/internal/issuance"
)

// Control is the control file of a report, written after it: the report is
// complete when, and only when, its control file is there. The contract is
// schemas/report-control.v1.schema.json.
type Control struct {
	File                 string          `json:"file"`
	Kind                 string          `json:"kind"`
	Rows                 int64           `json:"rows"` // without the header
	SHA256               string          `json:"sha256"`
	Size                 int64           `json:"size"`
	IssuerID             string          `json:"issuer_id"`
	BusinessDate         string          `json:"business_date"`
	Revision             int             `json:"revision"`
	CreatedAt            string          `json:"created_at"`
	Batch                string          `json:"batch,omitempty"`
	SourceFile           string          `json:"source_file,omitempty"`
	Sequence             int64           `json:"sequence,omitempty"`
	NextExpectedSequence int64           `json:"next_expected_sequence,omitempty"`
	ControlTotals        string          `json:"control_totals,omitempty"`
	Verdict              string          `json:"verdict,omitempty"`
	State                string          `json:"state,omitempty"`
	Code                 issuance.Code   `json:"code,omitempty"`
	Reason               string          `json:"reason,omitempty"`
	Totals               Totals          `json:"totals"`
	Ageing               Totals          `json:"ageing,omitempty"` // rows by age, of an exceptions file
	Products             Products        `json:"products"`
	Balanced             bool            `json:"balanced"`
	Breaks               []string        `json:"breaks"`
	Echo                 json.RawMessage `json:"echo,omitempty"`
}

// Values of Control.ControlTotals.
const (
	totalsPresent = "present" // the order file came with a control file
	totalsNone    = "none"    // no control totals: nothing but the file itself says that it was complete
)

// Totals are counts in the order in which they add up.
type Totals []issuance.Term

// MarshalJSON writes an object that keeps the order.
func (t Totals) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, term := range t {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%d", term.Name, term.Count)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON reads an object, terms sorted by name.
func (t *Totals) UnmarshalJSON(data []byte) error {
	var terms map[string]int64
	if err := json.Unmarshal(data, &terms); err != nil {
		return err
	}
	*t = nil
	for _, name := range slices.Sorted(maps.Keys(terms)) {
		*t = append(*t, issuance.Term{Name: name, Count: terms[name]})
	}
	return nil
}

// Products are totals by card_product_id.
type Products map[string]Totals

// noProduct stands for rows whose product could not be read.
const noProduct = "(none)"

func (c *Control) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		return nil, fmt.Errorf("encode control file: %w", err)
	}
	return b.Bytes(), nil
}

// newControl fills in what is known before a report is written.
func newControl(d *issuance.Delivery, b *issuance.Batch) Control {
	c := Control{
		File: d.Name, Kind: string(d.Kind), IssuerID: d.IssuerID, BusinessDate: d.BusinessDate,
		Revision: d.Revision, CreatedAt: stamp(d.PlannedAt),
		Products: Products{}, Balanced: true, Breaks: []string{},
	}
	if b == nil {
		return c
	}
	if b.Kind == issuance.BatchChanges && d.Kind == issuance.DeliverReconciliation {
		c.Kind = kindChanges
	}
	c.Batch, c.SourceFile = b.ID, b.FileName
	c.Verdict, c.State = string(verdict(b)), string(b.State)
	c.Code, c.Reason = b.Code, maskNumbers(oneLine(b.Reason))
	c.ControlTotals = totalsNone
	if b.Control != nil {
		c.ControlTotals, c.Sequence, c.Echo = totalsPresent, b.Control.Sequence, b.Control.Echo
	}
	return c
}

// verdict is what was decided on a file; a settled or closed one was accepted.
func verdict(b *issuance.Batch) issuance.BatchState {
	switch b.State {
	case issuance.BatchHeld, issuance.BatchRefused:
		return b.State
	default:
		return issuance.BatchAccepted
	}
}

func (c *Control) addBreaks(breaks []issuance.Break) {
	for _, b := range breaks {
		c.Breaks = append(c.Breaks, b.String())
	}
	c.Balanced = len(c.Breaks) == 0
}
