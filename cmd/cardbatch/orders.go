package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/reconcile"
	"cardbatch/internal/store"
	"cardbatch/internal/timeline"

	"github.com/spf13/cobra"
)

// orderView is an order as JSON.
type orderView struct {
	OrderID       string     `json:"order_id"`
	Batch         string     `json:"batch"`
	Line          int64      `json:"line"`
	CardID        string     `json:"card_id"`
	ProductID     string     `json:"card_product_id"`
	MaskedPAN     string     `json:"masked_pan,omitempty"`
	State         string     `json:"state"`
	Disposition   string     `json:"disposition"`
	Code          string     `json:"code,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	Attempts      int        `json:"attempts"`
	OperationID   string     `json:"operation_id,omitempty"`
	AlsoAs        []string   `json:"other_operation_ids,omitempty"` // D1 took it more than once
	CorrelationID string     `json:"correlation_id,omitempty"`
	SubmittedAt   *time.Time `json:"submitted_at,omitempty"`
	Production    string     `json:"production_status,omitempty"`
	Carrier       string     `json:"carrier,omitempty"`
	Tracking      string     `json:"tracking_number,omitempty"`
}

func viewOrder(o issuance.Order, batch string) orderView {
	v := orderView{OrderID: o.OrderID, Batch: batch, Line: o.Line, CardID: o.CardID, ProductID: o.ProductID, MaskedPAN: o.MaskedPAN,
		State: string(o.State), Disposition: o.Disposition(), Code: string(reconcile.LineOf(&o).Code), Reason: o.Reason, Attempts: o.Attempts,
		OperationID: o.OperationID, AlsoAs: o.OtherOperations, CorrelationID: o.CorrelationID, Production: string(o.Production.Status),
		Carrier: o.Production.Shipment.Carrier, Tracking: o.Production.Shipment.TrackingNumber}
	if !o.SubmittedAt.IsZero() {
		v.SubmittedAt = &o.SubmittedAt
	}
	return v
}

// eventView is a line of history as JSON.
type eventView struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	From     string    `json:"from,omitempty"`
	To       string    `json:"to"`
	Stage    string    `json:"stage"`
	Operator string    `json:"operator,omitempty"`
	Code     string    `json:"code,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

func viewEvents(events []issuance.Event) []eventView {
	views := make([]eventView, len(events))
	for i, e := range events {
		views[i] = eventView{At: e.At, Kind: string(e.Kind), From: e.From, To: e.To, Stage: e.Stage, Operator: e.Operator,
			Code: string(e.Code), Reason: e.Reason}
	}
	return views
}

// orderFilter selects orders of the newest batches.
type orderFilter struct {
	batch, issuer string
	dispositions  []string
	limit         int
	exceptions    bool // instead: what needs a person
}

func newOrders(s *settings) *cobra.Command {
	var f orderFilter
	cmd := &cobra.Command{
		Use:   "orders [ID]",
		Short: "show orders, those of the newest files first, or one order with its history",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.look(cmd, func(st *store.Store) error {
				if len(args) == 1 {
					return s.oneOrder(cmd, st, f.issuer, args[0])
				}
				if f.exceptions {
					return s.exceptions(cmd, st, &f)
				}
				views, err := f.find(cmd.Context(), st)
				if err != nil {
					return err
				}
				if s.output == outputJSON {
					return writeJSON(cmd.OutOrStdout(), views)
				}
				return writeOrders(cmd.OutOrStdout(), views)
			})
		},
	}
	cmd.Flags().StringVar(&f.batch, "batch", "", "only of this `batch`")
	cmd.Flags().StringVar(&f.issuer, "issuer", "", "only of this `issuer`")
	cmd.Flags().StringSliceVar(&f.dispositions, "state", nil, "only with these `states` or dispositions: ready, unknown, refused, shipped, ...")
	cmd.Flags().BoolVar(&f.exceptions, "exceptions", false, "instead, what needs a person as of now, the worst first")
	cmd.Flags().IntVar(&f.limit, "limit", 50, "at most this many; 0 for all")
	return cmd
}

func (f *orderFilter) find(ctx context.Context, st *store.Store) ([]orderView, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	batches, err := st.Batches(ctx, issuance.BatchFilter{IssuerID: f.issuer})
	if err != nil {
		return nil, err
	}
	if f.batch != "" && !slices.ContainsFunc(batches, func(b issuance.Batch) bool { return b.ID == f.batch }) {
		return nil, errNothing("batch", f.batch)
	}
	views := []orderView{}
	for _, b := range slices.Backward(batches) {
		if f.batch != "" && b.ID != f.batch {
			continue
		}
		for o, err := range st.OrdersOfBatch(ctx, b.No) {
			if err != nil {
				return nil, err
			}
			if f.limit > 0 && len(views) >= f.limit {
				return views, nil
			}
			if len(f.dispositions) == 0 || slices.Contains(f.dispositions, string(o.State)) || slices.Contains(f.dispositions, o.Disposition()) {
				views = append(views, viewOrder(o, b.ID))
			}
		}
	}
	return views, nil
}

// check refuses a state that no order can have: the empty answer would mislead.
func (f *orderFilter) check() error {
	for _, d := range f.dispositions {
		if !issuance.State(d).Valid() && !slices.Contains(issuance.Phases(), issuance.Phase(d)) {
			return exitcode.Mark(errors.New("look at orders: there is no state "+d), exitcode.Usage,
				"`cardbatch batches ID` shows all states")
		}
	}
	return nil
}

func writeOrders(w io.Writer, views []orderView) error {
	t := newTable("order", "batch", ">line", "product", "pan", "disposition", "code", ">attempts", "production", "carrier", "tracking")
	for _, v := range views {
		t.add(orDash(v.OrderID), v.Batch, v.Line, orDash(v.ProductID), orDash(v.MaskedPAN), v.Disposition, orDash(v.Code), v.Attempts,
			orDash(v.Production), orDash(v.Carrier), orDash(v.Tracking))
	}
	return t.write(w)
}

func (s *settings) oneOrder(cmd *cobra.Command, st *store.Store, issuer, id string) error {
	ctx, w := cmd.Context(), cmd.OutOrStdout()
	orders, err := st.Order(ctx, issuer, id)
	if err != nil && !errors.Is(err, issuance.ErrNotFound) {
		return err
	}
	if len(orders) == 0 {
		return s.onlyChanges(cmd, st, issuer, id)
	}
	type withLife struct {
		orderView
		Changes  []changeView `json:"changes,omitempty"`
		Now      string       `json:"now"`
		Timeline []entryView  `json:"timeline"`
		History  []eventView  `json:"history"`
	}
	var views []withLife
	for n, o := range orders {
		l, err := life(ctx, st, o)
		if err != nil {
			return err
		}
		story := timeline.Tell(l)
		changes := viewChanges(l.Changes)
		views = append(views, withLife{viewOrder(o, l.Batch.ID), changes, story.Now, viewStory(story), viewEvents(l.Events)})
		if s.output == outputJSON {
			continue
		}
		zone, err := s.zoneOf(o.IssuerID)
		if err != nil {
			return err
		}
		if n > 0 {
			err = line(w)
		}
		if err := errors.Join(err, writeLife(w, l, story, zone)); err != nil {
			return err
		}
		if len(changes) > 0 {
			if err := errors.Join(line(w), writeChanges(w, changes)); err != nil {
				return err
			}
		}
	}
	if s.output == outputJSON {
		return writeJSON(w, views)
	}
	return nil
}
func writeEvents(w io.Writer, events []issuance.Event) error {
	t := newTable("at", "what", "from", "to", "by", "code", "reason")
	for _, e := range events {
		by := e.Stage
		if e.Operator != "" {
			by += " " + e.Operator
		}
		t.add(e.At, string(e.Kind), orDash(e.From), orDash(e.To), orDash(by), orDash(string(e.Code)), orDash(e.Reason))
	}
	return t.write(w)
}
