package main

import (
	"context"
	"io"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
	"cardbatch/internal/timeline"

	"github.com/spf13/cobra"
)

// changeView is a change of an order as JSON.
type changeView struct {
	Change      string     `json:"change"`
	Batch       string     `json:"batch"`
	File        string     `json:"file"`
	Line        int64      `json:"line"`
	State       string     `json:"state"`
	Code        string     `json:"code,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Attempts    int        `json:"attempts"`
	OperationID string     `json:"operation_id,omitempty"`
	ReceivedAt  time.Time  `json:"received_at"`
	SubmittedAt *time.Time `json:"submitted_at,omitempty"`
	FinishedAt  *time.Time `json:"finished_at,omitempty"`
}

// asked reads what was asked of an order row; a row that was never an order has
// had nothing asked of it.
func asked(ctx context.Context, st *store.Store, o issuance.Order) ([]timeline.Asked, error) {
	if o.State == issuance.Rejected || o.State == issuance.Duplicate {
		return nil, nil
	}
	found, err := st.ChangesOfOrder(ctx, o.IssuerID, o.OrderID)
	if err != nil {
		return nil, err
	}
	var all []timeline.Asked
	for _, c := range found {
		a := timeline.Asked{Change: c}
		if a.Batch, err = st.BatchByNo(ctx, c.Ref.Batch()); err != nil {
			return nil, err
		}
		if a.Events, err = st.ChangeEvents(ctx, c.Ref); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// viewChanges shows the changes of an order.
func viewChanges(changes []timeline.Asked) []changeView {
	var views []changeView
	for i := range changes {
		c, b := &changes[i].Change, &changes[i].Batch
		v := changeView{Change: string(c.Type), Batch: b.ID, File: b.FileName, Line: c.Line, State: string(c.State), Code: string(c.Code),
			Reason: c.Reason, Attempts: c.Attempts, OperationID: c.OperationID, ReceivedAt: b.ReceivedAt}
		if !c.SubmittedAt.IsZero() {
			v.SubmittedAt = &c.SubmittedAt
		}
		if !c.FinishedAt.IsZero() {
			v.FinishedAt = &c.FinishedAt
		}
		views = append(views, v)
	}
	return views
}

// writeChanges shows a line for each change.
func writeChanges(w io.Writer, changes []changeView) error {
	t := newTable("change", "received", "file", ">line", "state", "finished", "code", "reason")
	for _, c := range changes {
		finished := any("-")
		if c.FinishedAt != nil {
			finished = *c.FinishedAt
		}
		t.add(c.Change, c.ReceivedAt, c.File, c.Line, c.State, finished, orDash(c.Code), orDash(c.Reason))
	}
	return t.write(w)
}

// onlyChanges shows the changes that wait for an order, or have waited in vain.
func (s *settings) onlyChanges(cmd *cobra.Command, st *store.Store, issuerID, orderID string) error {
	found, err := asked(cmd.Context(), st, issuance.Order{IssuerID: issuerID, OrderID: orderID})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errNothing("order", orderID)
	}
	views := viewChanges(found)
	if s.output == outputJSON {
		return writeJSON(cmd.OutOrStdout(), []any{map[string]any{"order_id": orderID, "changes": views}})
	}
	return writeChanges(cmd.OutOrStdout(), views)
}
