package storetest

import (
	"context"
	"fmt"

	"cardbatch/internal/issuance"
)

func readTests() map[string]func(*world) {
	return map[string]func(*world){
		"totals by state, phase and product": totals,
		"batches settle and close":           batchesAdvance,
		"streams go over pages":              streams,
		"a stream can be left":               streamLeft,
		"changed orders and batches":         changed,
		"batches are filtered":               filtered,
		"nothing found":                      nothingFound,
		"an ended context stops the work":    endedContext,
	}
}

func totals(w *world) {
	b := w.claimFile()
	rows := []issuance.NewOrder{row(b.No, 1, "a"), row(b.No, 2, "b"), rejectedRow(b.No, 3), row(b.No, 4, "a"), row(b.No, 5, "c")}
	rows[1].ProductID = "MC_CREDIT_GOLD"
	w.add(b, rows...)
	w.decide(b, issuance.BatchAccepted, 5)
	claims := w.claim(2)
	w.record(outcome(claims[0], issuance.Submitted), outcome(claims[1], issuance.Refused))
	w.notify("n", produce("a", issuance.CardProdOnHold, w.clock.now()))
	t, err := w.s.BatchTotals(w.ctx(), b.No)
	w.must(err)
	w.equal(t.Breaks(), []issuance.Break(nil))
	got := map[string]int64{}
	for _, term := range t.Terms() {
		if term.Count > 0 {
			got[term.Name] = term.Count
		}
	}
	w.equal(got, map[string]int64{"rows": 5, "rejected": 1, "duplicate": 1, "ready": 1, "refused": 1, "submitted": 1, "on_hold": 1})
	products, err := w.s.ProductTotals(w.ctx(), b.No)
	w.must(err)
	gold := products["MC_CREDIT_GOLD"]
	w.equal([]int64{gold.Rows, gold.State(issuance.Refused), int64(len(products))}, []int64{1, 1, 3})
	_, err = w.s.BatchTotals(w.ctx(), 99)
	w.wantErr(err, issuance.ErrNotFound)
}

func batchesAdvance(w *world) {
	advance := func(settled, closed int) {
		w.Helper()
		s, c, err := w.s.AdvanceBatches(w.ctx())
		w.must(err)
		w.equal([]int{s, c}, []int{settled, closed})
	}
	b, nilReturn := w.accepted("a", "b"), w.accepted()
	advance(1, 1)
	w.equal(w.batch(nilReturn).State, issuance.BatchClosed)
	claims := w.claim(2)
	w.record(outcome(claims[0], issuance.Submitted))
	advance(0, 0)
	w.record(outcome(claims[1], issuance.Refused))
	advance(1, 0)
	w.notify("n", produce("a", issuance.CardProdDone, w.clock.now()))
	advance(0, 0)
	w.notify("m", produce("a", issuance.CardShipped, w.clock.now()))
	advance(0, 1)
	got := w.batch(b)
	if got.State != issuance.BatchClosed || got.SettledAt.IsZero() || got.ClosedAt.IsZero() {
		w.Errorf("the batch is %+v", got)
	}
	advance(0, 0)
	w.balance()
}

func streams(w *world) {
	const n = 2000 // two full pages, and none after
	b := w.claimFile()
	rows := make([]issuance.NewOrder, n)
	for i := range rows {
		rows[i] = rejectedRow(b.No, int64(i+1))
	}
	w.add(b, rows...)
	w.decide(b, issuance.BatchAccepted, n)
	w.accepted("other")
	orders, errs := collect(w, w.s.OrdersOfBatch(w.ctx(), b.No)), collect(w, w.s.RowErrors(w.ctx(), b.No))
	if len(orders) != n || len(errs) != 2*n {
		w.Fatalf("%d orders and %d row errors, want %d and %d", len(orders), len(errs), n, 2*n)
	}
	for i, o := range orders {
		if o.Ref.Row() != int64(i+1) || errs[2*i].Ref != o.Ref || errs[2*i+1].Column != "expiry" {
			w.Fatalf("row %d is out of order", i+1)
		}
	}
}

func streamLeft(w *world) {
	b := w.accepted("a", "b")
	for o, err := range w.s.OrdersOfBatch(w.ctx(), b.No) {
		w.must(err)
		w.equal(o.OrderID, "order-a")
		break
	}
	for _, err := range w.s.RowErrors(w.ctx(), b.No) {
		w.must(err)
	}
	w.notify("n", produce("a", issuance.DataPrepared, w.clock.now()), produce("b", issuance.DataPrepared, w.clock.now()))
	for o, err := range w.s.ChangedOrders(w.ctx(), bank, 0, 100) {
		w.must(err)
		w.equal(o.OrderID, "order-a")
		break
	}
	w.accepted("c")
}

func changed(w *world) {
	a, b := w.submitted("a", "b"), w.submitted("c")
	start, err := w.s.LastEventID(w.ctx())
	w.must(err)
	ids := func(after, upTo int64) []string {
		var ids []string
		for _, o := range collect(w, w.s.ChangedOrders(w.ctx(), bank, after, upTo)) {
			ids = append(ids, o.OrderID)
		}
		return ids
	}
	w.equal(ids(0, start), []string(nil)) // submission is no news of production
	w.notify("n", produce("c", issuance.DataPrepared, w.clock.now()), produce("a", issuance.DataPrepared, w.clock.now()))
	middle, err := w.s.LastEventID(w.ctx())
	w.must(err)
	w.notify("m", produce("a", issuance.CardShipped, w.clock.now()))
	end, err := w.s.LastEventID(w.ctx())
	w.must(err)
	w.equal(ids(start, middle), []string{"order-a", "order-c"})
	w.equal(ids(middle, end), []string{"order-a"})
	w.equal(ids(end, end+10), []string(nil))
	last, err := w.s.ChangedBatches(w.ctx(), start, end)
	w.must(err)
	w.equal(last, map[issuance.BatchNo]int64{a.No: end, b.No: start + 1})
	if n := len(collect(w, w.s.ChangedOrders(w.ctx(), "bank-2", start, end))); n != 0 {
		w.Errorf("%d changed orders of another issuer", n)
	}
}

func filtered(w *world) {
	a, b := w.accepted("a"), w.claimFile()
	for name, tc := range map[string]struct {
		f    issuance.BatchFilter
		want []issuance.BatchNo
	}{
		"all":      {issuance.BatchFilter{}, []issuance.BatchNo{a.No, b.No}},
		"newest":   {issuance.BatchFilter{Limit: 1}, []issuance.BatchNo{b.No}},
		"state":    {issuance.BatchFilter{States: []issuance.BatchState{issuance.BatchAccepted, issuance.BatchHeld}}, []issuance.BatchNo{a.No}},
		"date":     {issuance.BatchFilter{BusinessDate: "2026-03-01", Source: source, IssuerID: bank}, []issuance.BatchNo{a.No}},
		"stranger": {issuance.BatchFilter{IssuerID: "x"}, nil},
	} {
		found, err := w.s.Batches(w.ctx(), tc.f)
		w.must(err)
		var got []issuance.BatchNo
		for _, f := range found {
			got = append(got, f.No)
		}
		if fmt.Sprint(got) != fmt.Sprint(tc.want) {
			w.Errorf("%s: batches %v, want %v", name, got, tc.want)
		}
	}
	byID, err := w.s.Batch(w.ctx(), a.ID)
	w.must(err)
	w.equal(byID, w.batch(a))
}

func nothingFound(w *world) {
	_, err := w.s.Batch(w.ctx(), "none")
	w.wantErr(err, issuance.ErrNotFound)
	_, err = w.s.OrderByRef(w.ctx(), 7)
	w.wantErr(err, issuance.ErrNotFound)
	orders, err := w.s.Order(w.ctx(), bank, "none")
	w.must(err)
	w.equal(len(orders), 0)
	w.wantErr(w.s.ResetBatch(w.ctx(), 9), issuance.ErrNotFound)
	w.wantErr(w.s.DecideBatch(w.ctx(), issuance.Batch{No: 9}, issuance.BatchAccepted, issuance.Why{}), issuance.ErrNotFound)
}

func endedContext(w *world) {
	b := w.accepted("a")
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	_, err := w.s.ClaimReady(ctx, bank, w.session, 1)
	w.wantErr(err, context.Canceled)
	for _, err := range w.s.OrdersOfBatch(ctx, b.No) {
		w.wantErr(err, context.Canceled)
	}
	w.wantState("a", issuance.Ready)
}
