package app_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

// 30 % of D1's notifications are lost, 30 % come twice and all are out of order:
// one run of track later every order stands where D1's own ledger says, in the
// middle of production and when all is over.
func TestLostNewsIsFound(t *testing.T) {
	const orders = 300
	w := newWorld(t)
	w.cfg.Issuers[0].Track.SilentAfter = time.Nanosecond
	a, _ := w.start(t)
	must(t, w.sim.Adjust(func(s *d1sim.Settings) {
		s.Day = 100 * time.Millisecond
		s.Faults = d1sim.Faults{LostNotifications: 0.3, DuplicateNotifications: 0.3, ReorderedNotifications: 1}
		s.Production = d1sim.Production{DataException: 0.1, OnHold: 0.2, Cancelled: 0.1, ShipmentUpdates: 1}
	}))
	w.dropGenerated(t, orders)
	for _, job := range []string{"pickup", "submit"} {
		if _, err := a.RunJob(t.Context(), job, ""); err != nil {
			t.Fatalf("%s: %v", job, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := 0
	for _, moment := range []struct {
		name string
		ripe func(d1sim.Summary) bool
	}{
		{"half made", func(s d1sim.Summary) bool { return s.CardsMade >= orders/4 }}, // what is delayed comes after the question
		{"over", func(s d1sim.Summary) bool { return s.Open == 0 && s.NotificationsPending == 0 }},
	} {
		must(t, w.sim.Wait(ctx, moment.ripe))
		must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Day = 10_000 * time.Hour })) // D1 stands still
		before := w.unlike(t, orders)
		if _, err := a.RunJob(t.Context(), "track", ""); err != nil {
			t.Fatal(err)
		}
		found += len(before)
		if after := w.unlike(t, orders); len(after) > 0 {
			t.Errorf("%s: %d orders are not as D1 has them, such as %s", moment.name, len(after), after[0])
		}
		t.Logf("%s: track found what was hidden of %d orders", moment.name, len(before))
		must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Day = 5 * time.Millisecond }))
	}
	if sum := w.sim.Summary(); found == 0 || sum.NotificationsLost == 0 || sum.OrdersAccepted != orders || sum.ProducedTwice != 0 {
		t.Errorf("nothing was proved: found %d; %+v", found, sum)
	}
}

// dropGenerated drops an order file of good rows.
func (w *world) dropGenerated(t *testing.T, rows int) {
	t.Helper()
	var content bytes.Buffer
	now := time.Now().UTC()
	file, err := sample.Generate(&content, sample.Options{Rows: rows, Seed: 4, Now: now})
	must(t, err)
	ctl, err := orderfile.EncodeControl(file.Control("many.csv", issuerID, 1, now.Format(time.DateOnly), now))
	must(t, err)
	w.write(t, "drop/drop/many.csv", content.String())
	w.write(t, "drop/drop/many.csv.ctl", string(ctl))
}

// unlike compares every order with D1's ledger and describes those that differ.
func (w *world) unlike(t *testing.T, orders int) []string {
	t.Helper()
	s, err := app.OpenStore(t.Context(), w.cfg, true, nil)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	var unlike []string
	ledger := w.sim.Ledger()
	if len(ledger) != orders {
		t.Fatalf("D1 has %d orders", len(ledger))
	}
	for _, e := range ledger {
		found, err := s.Order(t.Context(), issuerID, e.IssuerRequestID)
		must(t, err)
		o := found[0]
		p := &o.Production
		truth := issuance.Production{NoShipment: p.NoShipment, Status: issuance.ProductionStatus(e.Status)}
		if o.State != issuance.Submitted || o.OperationID != e.OperationID || p.Status != truth.Status ||
			o.Disposition() != string(truth.Phase()) || o.Final() != e.Final && e.Status != "CARD_SHIPPED" || p.Shipment.TrackingNumber != e.TrackingNumber {
			unlike = append(unlike, fmt.Sprintf("%s: %s, %s, %q; D1 says %s, %q", o.OrderID, o.State, p.Status, p.Shipment.TrackingNumber, e.Status, e.TrackingNumber))
		}
		if len(o.OtherOperations) > 0 || o.NotFound > 0 {
			t.Errorf("%s counts as taken twice or missing", o.OrderID)
		}
	}
	return unlike
}
