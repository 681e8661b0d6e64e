package storetest

import (
	"fmt"
	"slices"
	"time"

	"cardbatch/internal/issuance"
)

func suspectTests() map[string]func(*world) {
	return map[string]func(*world){
		"what is under way or ended badly is suspect": suspects,
		"what went well is not":                       unsuspected,
		"what ended long ago is not":                  longEnded,
		"suspects are as many as there are":           manySuspects,
		"suspects know since when":                    suspectTimes,
		"suspects are found by their refs":            suspectsByRef,
		"what was not changed as asked is suspect":    notChanged,
	}
}

// filter looks for what is quiet for three days, due before March 4, and ended
// in the last ten days.
func (w *world) filter() issuance.SuspectFilter {
	now := w.clock.now()
	return issuance.SuspectFilter{IssuerID: bank, QuietSince: now.Add(-3 * day), DueBefore: "2026-03-04", EndedAfter: now.Add(-10 * day)}
}

const day = 24 * time.Hour

// suspected returns the order ids of suspects, each once.
func (w *world) suspected(f issuance.SuspectFilter) []string {
	w.Helper()
	ids := []string{}
	for _, s := range collect(w, w.s.Suspects(w.ctx(), f)) {
		ids = append(ids, s.OrderID)
	}
	return slices.Compact(sorted(ids))
}

func refusal(c issuance.Claim) issuance.Outcome {
	o := outcome(c, issuance.Refused)
	o.Code, o.Reason = "INVALID_FIELD", "no such packaging"
	return o
}

func suspects(w *world) {
	w.submitted("failed", "hold", "due", "due-oddly", "quiet", "returned", "twice", "missing", "fine", "due-later")
	w.accepted("held", "refused", "unknown", "ready")
	for _, c := range w.claim(3) {
		switch c.OrderID {
		case "order-held":
			w.record(outcome(c, issuance.Unknown))
			o := outcome(c, issuance.Held)
			o.Code = issuance.OutcomeUnclear
			w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{o}))
		case "order-refused":
			w.record(refusal(c))
		default:
			w.record(outcome(c, issuance.Unknown))
		}
	}
	w.equal(w.suspected(w.filter()), []string{"order-held", "order-refused", "order-unknown"})
	due, later := produce("due", issuance.CardProdReady, w.clock.now()), produce("due-later", issuance.CardProdReady, w.clock.now())
	due.DueDate, later.DueDate = "2026-03-03T17:00:00Z", "2026-03-04"
	oddly := produce("due-oddly", issuance.CardProdReady, w.clock.now())
	oddly.DueDate = "20270101" // who compares letters would think it later than it is, or earlier
	second := produce("twice", issuance.CardProdReady, w.clock.now())
	second.OperationID = "op-second"
	w.notify("first", produce("quiet", issuance.CardProdReady, w.clock.now()))
	w.clock.advance(3 * day)
	failed := produce("failed", issuance.CardProdReady, w.clock.now())
	failed.Status = issuance.OperationFailed
	w.notify("second", failed, produce("hold", issuance.CardProdOnHold, w.clock.now()), due, oddly, later,
		produce("returned", issuance.CardReturned, w.clock.now()), produce("twice", issuance.CardProdReady, w.clock.now()), second,
		produce("missing", issuance.CardProdReady, w.clock.now()), produce("fine", issuance.CardProdReady, w.clock.now()))
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("missing").Ref, Missing: true}}))
	w.equal(w.suspected(w.filter()), []string{"order-due", "order-due-oddly", "order-failed", "order-held", "order-hold", "order-missing", "order-quiet",
		"order-refused", "order-returned", "order-twice", "order-unknown"})
	// That D1 says the same when asked is no news.
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("quiet").Ref,
		Operations: []issuance.Operation{produce("quiet", issuance.CardProdReady, w.clock.now().Add(-3*day))}}}))
	f := w.filter()
	if got := w.suspected(f); !slices.Contains(got, "order-quiet") {
		w.Errorf("an answer without news ended the silence: %q", got)
	}
	f.IssuerID = "another"
	w.equal(w.suspected(f), []string{})
}

func unsuspected(w *world) {
	b := w.claimFile()
	rows := []issuance.NewOrder{row(b.No, 1, "shipped"), row(b.No, 2, "canceled"), rejectedRow(b.No, 3), row(b.No, 4, "made"), row(b.No, 5, "awaiting")}
	rows[3].Production.NoShipment = true
	w.add(b, rows...)
	w.decide(b, issuance.BatchAccepted, 5)
	for _, c := range w.claim(4) {
		w.record(outcome(c, issuance.Submitted))
	}
	w.accepted("ready")
	w.notify("n", produce("shipped", issuance.CardShipped, w.clock.now()), produce("canceled", issuance.CardProdCanceled, w.clock.now()),
		produce("made", issuance.CardProdDone, w.clock.now()), produce("awaiting", issuance.DataPrepared, w.clock.now()))
	w.equal(w.suspected(w.filter()), []string{})
}

func longEnded(w *world) {
	w.submitted("failed", "returned", "refused")
	w.notify("n", produce("failed", issuance.DataException, w.clock.now()), produce("returned", issuance.CardShipped, w.clock.now()),
		produce("refused", issuance.CardProdException, w.clock.now()))
	_, closed, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(closed, 1)
	w.equal(w.suspected(w.filter()), []string{"order-failed", "order-refused"})
	w.clock.advance(11 * day)
	w.equal(w.suspected(w.filter()), []string{})
	w.notify("m", produce("returned", issuance.CardReturned, w.clock.now()))
	w.equal(w.suspected(w.filter()), []string{"order-returned"})
	w.clock.advance(11 * day)
	w.equal(w.suspected(w.filter()), []string{})
}

func manySuspects(w *world) {
	const n = 2300 // more than two pages
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("%04d", i))
	}
	w.accepted(keys...)
	var outcomes []issuance.Outcome
	for i, c := range w.claim(n) {
		switch i % 3 {
		case 0:
			outcomes = append(outcomes, refusal(c))
		case 1:
			outcomes = append(outcomes, outcome(c, issuance.Unknown))
		default:
			outcomes = append(outcomes, outcome(c, issuance.Submitted))
		}
	}
	w.record(outcomes...)
	w.clock.advance(4 * day)
	all := collect(w, w.s.Suspects(w.ctx(), w.filter()))
	w.equal(len(all), n)
	w.equal(len(w.suspected(w.filter())), n)
	for _, err := range w.s.Suspects(w.ctx(), w.filter()) {
		w.must(err)
		break // and nothing more is read
	}
}

func suspectTimes(w *world) {
	w.submitted("a", "twice")
	sent := w.clock.now()
	w.clock.advance(time.Hour)
	w.notify("1", produce("a", issuance.CardProdReady, w.clock.now()), produce("twice", issuance.CardProdReady, w.clock.now()))
	ready := w.clock.now()
	w.clock.advance(time.Hour)
	second := produce("twice", issuance.CardProdReady, w.clock.now())
	second.OperationID = "op-second"
	w.notify("2", second)
	doubted := w.clock.now()
	w.clock.advance(time.Hour)
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("a").Ref, Missing: true}}))
	missing := w.clock.now()
	w.clock.advance(time.Hour)
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("a").Ref, Missing: true}}))
	w.accepted("b")
	for _, c := range w.claim(1) {
		w.record(refusal(c))
	}
	failed := produce("twice", issuance.CardProdReady, w.clock.now()) // the same status, and the end of it
	failed.Status = issuance.OperationFailed
	w.notify("3", failed)
	times := map[string][4]time.Time{}
	for _, s := range collect(w, w.s.Suspects(w.ctx(), w.filter())) {
		times[s.OrderID] = [4]time.Time{s.StateAt, s.StatusAt, s.DoubtAt, s.NewsAt}
	}
	w.equal(times, map[string][4]time.Time{
		"order-a":     {sent, ready, missing, missing},
		"order-twice": {sent, w.clock.now(), doubted, w.clock.now()},
		"order-b":     {w.clock.now(), {}, {}, w.clock.now()},
	})
}

func suspectsByRef(w *world) {
	w.submitted("a", "b", "c")
	a, b, c := w.order("a").Ref, w.order("b").Ref, w.order("c").Ref
	var ids []string
	found, err := w.s.SuspectsByRef(w.ctx(), []issuance.Ref{c, a, issuance.NewRef(99, 1), b})
	w.must(err)
	for _, s := range found {
		ids = append(ids, s.OrderID)
		w.equal(s.StateAt, w.clock.now())
	}
	w.equal(ids, []string{"order-c", "order-a", "order-b"})
	found, err = w.s.SuspectsByRef(w.ctx(), nil)
	w.must(err)
	w.equal(len(found), 0)
}

func notChanged(w *world) {
	w.submitted("late", "redirected", "changed", "again", "shipped")
	w.notify("n", produce("shipped", issuance.CardShipped, w.clock.now()))
	w.changeFile("CANCEL", "late", "REDIRECT", "redirected", "REDIRECT", "changed", "CANCEL", "again", "CANCEL", "shipped")
	for i, c := range w.changeClaims() {
		w.recordChange(c, issuance.ChangeSubmitted, fmt.Sprint("up-", i))
	}
	w.notify("n2", update("late", "up-0", issuance.OperationFailed, w.clock.now()), update("redirected", "up-1", issuance.OperationFailed, w.clock.now()),
		update("changed", "up-2", issuance.OperationSuccessful, w.clock.now()), update("again", "up-3", issuance.OperationFailed, w.clock.now()))
	w.clock.advance(time.Hour)
	w.changeFile("REDIRECT", "redirected", "CANCEL", "again")
	for i, c := range w.changeClaims() {
		w.recordChange(c, issuance.ChangeSubmitted, fmt.Sprint("again-", i))
	}
	w.notify("n3", update("redirected", "again-0", issuance.OperationSuccessful, w.clock.now()), update("again", "again-1", issuance.OperationFailed, w.clock.now()))
	found := map[string]string{}
	for _, s := range collect(w, w.s.Suspects(w.ctx(), w.filter())) {
		if s.ChangeFailed != "" {
			found[s.OrderID] = s.ChangeFailed[:15] + s.ChangeFailedAt.Format(" 15:04")
		}
	}
	w.equal(found, map[string]string{"order-late": "CANCEL came too 22:00", "order-again": "CANCEL came too 23:00", "order-shipped": "CANCEL came too 22:00"})
	w.clock.advance(11 * day)
	for _, s := range collect(w, w.s.Suspects(w.ctx(), issuance.SuspectFilter{IssuerID: bank, EndedAfter: w.clock.now().Add(-10 * day)})) {
		if s.ChangeFailed != "" {
			w.Errorf("%s is still told of", s.OrderID)
		}
	}
}
