package main

import (
	"context"
	"errors"
	"io"
	"time"

	"cardbatch/internal/store"

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

// viewChanges returns the changes asked of an order, by issuer.
func viewChanges(ctx context.Context, st *store.Store, issuerID, orderID string) (map[string][]changeView, error) {
	found, err := st.ChangesOfOrder(ctx, issuerID, orderID)
	if err != nil {
		return nil, err
	}
	views := map[string][]changeView{}
	for _, c := range found {
		b, err := st.BatchByNo(ctx, c.Ref.Batch())
		if err != nil {
			return nil, err
		}
		v := changeView{Change: string(c.Type), Batch: b.ID, File: b.FileName, Line: c.Line, State: string(c.State), Code: string(c.Code),
			Reason: c.Reason, Attempts: c.Attempts, OperationID: c.OperationID, ReceivedAt: b.ReceivedAt}
		if !c.SubmittedAt.IsZero() {
			v.SubmittedAt = &c.SubmittedAt
		}
		if !c.FinishedAt.IsZero() {
			v.FinishedAt = &c.FinishedAt
		}
		views[c.IssuerID] = append(views[c.IssuerID], v)
	}
	return views, nil
}

// writeChanges shows a line for each change, nothing when there is none.
func writeChanges(w io.Writer, changes []changeView) error {
	if len(changes) == 0 {
		return nil
	}
	t := newTable("change", "received", "file", ">line", "state", "finished", "code", "reason")
	for _, c := range changes {
		finished := any("-")
		if c.FinishedAt != nil {
			finished = *c.FinishedAt
		}
		t.add(c.Change, c.ReceivedAt, c.File, c.Line, c.State, finished, orDash(c.Code), orDash(c.Reason))
	}
	return errors.Join(t.write(w), line(w))
}

// onlyChanges shows the changes that wait for an order, or have waited in vain.
func (s *settings) onlyChanges(cmd *cobra.Command, st *store.Store, issuerID, orderID string) error {
	views, err := viewChanges(cmd.Context(), st, issuerID, orderID)
	if err != nil {
		return err
	}
	if len(views) == 0 {
		return errNothing("order", orderID)
	}
	if s.output == outputJSON {
		var all []any
		for _, changes := range views {
			all = append(all, map[string]any{"order_id": orderID, "changes": changes})
		}
		return writeJSON(cmd.OutOrStdout(), all)
	}
	for _, changes := range views {
		if err := writeChanges(cmd.OutOrStdout(), changes); err != nil {
			return err
		}
	}
	return nil
}
