package reconcile

import (
	"iter"
	"strconv"

	"cardbatch/internal/issuance"
)

// ChangeResult is the sum of the rows of a change file.
type ChangeResult struct {
	Totals issuance.ChangeTotals // Rows as read from the file
	Breaks []issuance.Break      // empty when all of it balances
}

// Changes is [Reconcile] for a change file: what became of each row, that each
// is there exactly once, and that they are as many as announced. The change is
// valid only until emit returns.
func Changes(b *issuance.Batch, changes iter.Seq2[issuance.Change, error], emit func(*issuance.Change) error) (ChangeResult, error) {
	var result ChangeResult
	var w walk
	var current issuance.Change
	for c, err := range changes {
		if err != nil {
			return result, err
		}
		current = c
		result.Totals.Add(c.State, 1)
		if row := c.Ref.Row(); row != w.lastRow+1 {
			w.rowBreak("row after row "+strconv.FormatInt(w.lastRow, 10), w.lastRow+1, row)
		}
		w.lastRow = c.Ref.Row()
		if err := emit(&current); err != nil {
			return result, err
		}
	}
	result.Totals.Rows = b.Rows
	if w.lastRow != b.Rows {
		w.breakAt("rows of the file = last row", b.Rows, w.lastRow)
	}
	if b.Control != nil && b.Control.Rows != b.Rows {
		w.breakAt("rows announced = rows of the file", b.Control.Rows, b.Rows)
	}
	result.Breaks = append(result.Totals.Breaks(), w.result.Breaks...)
	return result, nil
}
