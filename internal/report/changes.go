package report

import (
	"context"
	"io"

	"cardbatch/internal/issuance"
	"cardbatch/internal/reconcile"
)

// kindChanges is what the control file of the reconciliation of a change file
// calls it: its columns are others than those of an order file's.
const kindChanges = "change-reconciliation"

// The columns of schemas/report-change-reconciliation.v1.table.json. There is no
// address among them.
func changeColumns() []string {
	return []string{"line", "order_id", "change", "disposition", "code", "reason", "operation_id", "attempts",
		"received_at", "submitted_at", "finished_at"}
}

func (r *run) renderChanges(ctx context.Context, d *issuance.Delivery, b *issuance.Batch, w io.Writer) (Control, error) {
	t := newTable(w, changeColumns())
	result, err := reconcile.Changes(b, r.store.ChangesOfBatch(ctx, b.No), func(c *issuance.Change) error {
		t.number(c.Line)
		t.id(c.OrderID)
		t.id(string(c.Type))
		t.plain(string(c.State))
		t.id(string(c.Code))
		t.text(c.Reason)
		t.id(c.OperationID)
		t.number(int64(c.Attempts))
		t.time(b.ReceivedAt)
		t.time(c.SubmittedAt)
		t.time(c.FinishedAt)
		return t.end()
	})
	if err != nil {
		return Control{}, err
	}
	c := newControl(d, b)
	c.Rows, c.Totals = t.rows, result.Totals.Terms()
	c.addBreaks(result.Breaks)
	return c, t.close()
}

// countChanges is how a change file was received.
func (r *run) countChanges(ctx context.Context, b *issuance.Batch, c *Control) (intakeTotals, error) {
	totals, err := r.store.ChangeTotals(ctx, b.No)
	if err != nil {
		return intakeTotals{}, err
	}
	totals.Rows = b.Rows
	c.addBreaks(totals.Breaks())
	counts := intakeTotals{rows: b.Rows, rejected: totals.State(issuance.ChangeRejected), duplicate: totals.State(issuance.ChangeDuplicate)}
	for _, s := range issuance.ChangeStates() {
		if s.Taken() {
			counts.accepted += totals.State(s)
		}
	}
	c.Totals = counts.terms()
	return counts, nil
}

// changeErrors is receiptRows for a change file.
func (r *run) changeErrors(ctx context.Context, b *issuance.Batch, errs *cursor, out *receipt) error {
	for c, err := range r.store.ChangesOfBatch(ctx, b.No) {
		if err != nil {
			return err
		}
		if c.State.Taken() {
			continue
		}
		row := issuance.Order{Ref: c.Ref, Line: c.Line, OrderID: c.OrderID, Code: c.Code, Reason: c.Reason}
		if err := r.notAccepted(&row, errs, out); err != nil {
			return err
		}
	}
	return nil
}
