package storetest

import (
	"time"

	"cardbatch/internal/issuance"
)

const silence = 24 * time.Hour

func trackTests() map[string]func(*world) {
	return map[string]func(*world){
		"unknown orders are due at their time":       unknownDue,
		"silent orders are due":                      silentDue,
		"what was heard has the effect of the news":  heardIsNews,
		"final orders are never due":                 finalNeverDue,
		"whatever made it known, silence is noticed": silentByAnyWay,
	}
}

func (w *world) due(max int) []string {
	w.Helper()
	orders, err := w.s.DueForTracking(w.ctx(), bank, silence, max)
	w.must(err)
	var ids []string
	for _, o := range orders {
		ids = append(ids, o.OrderID)
	}
	return ids
}

// An order is asked about when it is silent, however we know that D1 has it: by
// news while it was ready, being sent, unknown, held or refused.
func silentByAnyWay(w *world) {
	w.accepted("ready", "sending", "unknown", "held", "refused", "closed")
	for _, c := range w.claim(6) {
		o, err := w.s.OrderByRef(w.ctx(), c.Ref)
		w.must(err)
		switch o.OrderID {
		case "order-ready":
			out := outcome(c, issuance.Ready)
			out.NextAttemptAt = w.clock.now().Add(time.Hour)
			w.record(out)
		case "order-unknown":
			w.record(outcome(c, issuance.Unknown))
		case "order-held":
			w.record(outcome(c, issuance.Unknown))
			w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{{Ref: c.Ref, Attempt: 1, To: issuance.Held, Code: issuance.OutcomeUnclear}}))
		case "order-refused", "order-closed":
			w.record(outcome(c, issuance.Refused))
		}
	}
	all := []string{"ready", "sending", "unknown", "held", "refused", "closed"}
	for _, key := range all {
		if key == "closed" {
			w.advance()
			w.advance()
		}
		w.notify("first of "+key, produce(key, issuance.DataPrepared, w.clock.now()))
		w.wantState(key, issuance.Submitted)
	}
	w.clock.advance(silence)
	w.equal(sorted(w.due(9)), []string{"order-closed", "order-held", "order-ready", "order-refused", "order-sending", "order-unknown"})
	for _, key := range all {
		w.notify("last of "+key, produce(key, issuance.CardShipped, w.clock.now()))
	}
	w.clock.advance(2 * silence)
	w.equal(w.due(9), []string(nil))
	w.clock.advance(time.Second)
	w.erased(issuance.ErasePayloads, 0)
	w.balance()
}

func unknownDue(w *world) {
	w.accepted("a", "b", "c")
	for _, c := range w.claim(2) {
		out := outcome(c, issuance.Unknown)
		out.NextAttemptAt = w.clock.now().Add(time.Duration(c.Ref.Row()) * time.Minute)
		w.record(out)
	}
	w.equal(w.due(9), []string(nil))
	w.clock.advance(time.Minute)
	w.equal(w.due(9), []string{"order-a"})
	w.clock.advance(time.Minute)
	w.equal(w.due(9), []string{"order-a", "order-b"})
	w.equal(w.due(1), []string{"order-a"})
}

func silentDue(w *world) {
	w.submitted("a", "b")
	w.clock.advance(silence / 2)
	w.submitted("c")
	w.notify("n", produce("b", issuance.DataPrepared, w.clock.now()))
	w.clock.advance(silence / 2)
	w.equal(w.due(9), []string{"order-a"})
	w.equal(w.due(1), []string{"order-a"})
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("a").Ref}}))
	w.equal(w.due(9), []string(nil))
	w.clock.advance(silence / 2)
	w.equal(sorted(w.due(9)), []string{"order-b", "order-c"})
	w.clock.advance(silence / 2)
	w.equal(sorted(w.due(9)), []string{"order-a", "order-b", "order-c"})
	w.balance()
}

func heardIsNews(w *world) {
	w.accepted("a", "b")
	for _, c := range w.claim(2) {
		w.record(outcome(c, issuance.Unknown))
	}
	old, of := produce("a", issuance.CardShipped, w.clock.now()), produce("a", issuance.DataPrepared, w.clock.now())
	old.IssuerRequestID, of.CardID = "order-before-our-time", ""
	update := of
	update.Operation = issuance.OperationUpdateOrder
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{
		{Ref: w.order("a").Ref, Operations: []issuance.Operation{old, update, of}}, {Ref: w.order("b").Ref}, {Ref: issuance.NewRef(77, 7)}}))
	w.wantState("a", issuance.Submitted)
	w.wantState("b", issuance.Unknown)
	w.equal(w.order("a").Production.Status, issuance.DataPrepared)
	n, err := w.s.ParkedCount(w.ctx(), bank)
	w.must(err)
	w.equal(n, int64(0))
	events, err := w.s.Events(w.ctx(), w.order("a").Ref)
	w.must(err)
	w.equal(events[len(events)-1].Stage, "track")
	w.balance()
}

func finalNeverDue(w *world) {
	w.submitted("shipped", "failed", "busy")
	now := w.clock.now()
	w.notify("n", produce("shipped", issuance.CardShipped, now), produce("failed", issuance.DataException, now), produce("busy", issuance.CardProdOnHold, now))
	w.clock.advance(1000 * time.Hour)
	w.equal(w.due(9), []string{"order-busy"})
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("shipped").Ref}}))
	w.clock.advance(1000 * time.Hour)
	w.equal(w.due(9), []string{"order-busy"})
}
