package storetest

import (
	"time"

	"cardbatch/internal/issuance"
)

func notificationTests() map[string]func(*world) {
	return map[string]func(*world){
		"news reaches its order":                      newsReachesOrder,
		"the same body counts once":                   sameBodyOnce,
		"every live state yields to evidence":         evidence,
		"rows that were never sent hear nothing":      neverSent,
		"news without issuerRequestId":                newsByCard,
		"news before the order is kept":               newsBeforeOrder,
		"another issuer's news is not ours":           otherIssuer,
		"other kinds of operations change nothing":    otherKinds,
		"a closed batch opens for an order made good": closedBatchOpens,
	}
}

func newsReachesOrder(w *world) {
	w.submitted("a", "b")
	at := w.clock.now()
	shipped := produce("a", issuance.CardShipped, at.Add(time.Hour))
	shipped.Shipment = issuance.Shipment{Carrier: "ups", TrackingNumber: "T1", Status: "InTransit"}
	w.clock.advance(2 * time.Hour)
	a := w.notify("n1", shipped, produce("b", issuance.DataPrepared, at))
	w.equal(a, issuance.Applied{Matched: 2, Changed: 2})
	a = w.notify("n2", produce("a", issuance.CardProdDone, at)) // late
	w.equal(a, issuance.Applied{Matched: 1, Changed: 1})
	o := w.order("a")
	p := o.Production
	if p.Status != issuance.CardShipped || p.Shipment != shipped.Shipment || !p.At.Equal(shipped.EndTime) || !p.HeardAt.Equal(w.clock.now()) {
		w.Errorf("the order is %+v", o)
	}
	events, err := w.s.Events(w.ctx(), o.Ref)
	w.must(err)
	var kinds []issuance.Kind
	for i, e := range events {
		if said := e.Said; (e.Kind == issuance.KindState) != said.IsZero() || e.Kind == issuance.KindShipment && !said.Equal(shipped.EndTime) {
			w.Errorf("%s said at %s", e.Kind, said)
		}
		kinds = append(kinds, e.Kind)
		if i > 0 && e.ID <= events[i-1].ID {
			w.Error("events do not rise")
		}
		if e.Ref != o.Ref || e.Batch != o.Ref.Batch() || e.At.IsZero() || e.Stage == "" || e.Session != w.session {
			w.Errorf("event %+v", e)
		}
	}
	w.equal(kinds, []issuance.Kind{issuance.KindState, issuance.KindState, issuance.KindProduction, issuance.KindShipment, issuance.KindLateNews})
	w.balance()
}

func sameBodyOnce(w *world) {
	w.submitted("a")
	op := produce("a", issuance.DataPrepared, w.clock.now())
	w.equal(w.notify("n", op), issuance.Applied{Matched: 1, Changed: 1})
	w.equal(w.notify("n", op), issuance.Applied{Repeated: true})
	w.equal(w.notify("m", op), issuance.Applied{Matched: 1})
	w.balance()
}

func evidence(w *world) {
	now := w.clock.now()
	w.accepted("submitting", "unknown", "refused", "held", "ready")
	claims := w.claim(4)
	w.record(outcome(claims[1], issuance.Unknown), outcome(claims[2], issuance.Refused), outcome(claims[3], issuance.Held))
	for _, key := range []string{"submitting", "unknown", "refused", "held", "ready"} {
		w.wantState(key, issuance.State(key))
		w.notify("n"+key, produce(key, issuance.CardProdRequested, now))
		w.wantState(key, issuance.Submitted)
		o := w.order(key)
		if o.SubmittedAt.IsZero() || o.OperationID != "op-order-"+key {
			w.Errorf("the order is %+v", o)
		}
	}
	w.equal(len(w.claim(9)), 0)
	w.balance()
}

func neverSent(w *world) {
	w.submitted("a")
	b := w.claimFile()
	conflict := row(b.No, 2, "a")
	conflict.ContentMAC = nil
	w.add(b, row(b.No, 1, "a"), conflict)
	w.decide(b, issuance.BatchAccepted, 2)
	w.equal(w.notify("n", produce("a", issuance.DataPrepared, w.clock.now())), issuance.Applied{Matched: 1, Changed: 1})
	orders := collect(w, w.s.OrdersOfBatch(w.ctx(), b.No))
	w.equal([]issuance.State{orders[0].State, orders[1].State}, []issuance.State{issuance.Duplicate, issuance.Rejected})
	w.balance()
}

// newsByCard: D1 may leave out the id of the request.
func newsByCard(w *world) {
	anonymous := func(key, operationID string) issuance.Operation {
		op := produce(key, issuance.DataPrepared, w.clock.now())
		op.IssuerRequestID, op.OperationID = "", operationID
		return op
	}
	w.accepted("a", "never sent")
	w.record(outcome(w.claim(1)[0], issuance.Submitted))
	w.equal(w.notify("by operation", anonymous("a", "op-order-a")), issuance.Applied{Matched: 1, Changed: 1})
	w.equal(w.notify("of another operation", anonymous("a", "op-old")), issuance.Applied{Unmatched: 1})
	w.equal(w.notify("never sent", anonymous("never sent", "op-old")), issuance.Applied{Unmatched: 1})
	w.wantState("never sent", issuance.Ready)
	c := w.claim(1)[0]
	w.record(outcome(c, issuance.Unknown))
	w.equal(w.notify("no proof", anonymous("never sent", "op-new")), issuance.Applied{Unmatched: 1})
	w.wantState("never sent", issuance.Unknown)
	at := outcome(c, issuance.Submitted)
	at.OperationID = "" // D1 may leave it out of its answer
	w.record(at)
	w.equal(w.notify("the only one", anonymous("never sent", "op-newer")), issuance.Applied{Matched: 1, Changed: 1})
	w.equal(w.order("never sent").OperationID, "op-newer")

	wrongCard := produce("a", issuance.CardShipped, w.clock.now())
	wrongCard.CardID = "card-other"
	w.equal(w.notify("wrong card", wrongCard), issuance.Applied{Unmatched: 1})
	w.balance()
}

func newsBeforeOrder(w *world) {
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"))
	w.equal(w.notify("n", produce("a", issuance.DataPrepared, w.clock.now()), produce("z", issuance.DataPrepared, w.clock.now())),
		issuance.Applied{Unmatched: 2})
	w.wantState("a", issuance.Ready)
	w.decide(b, issuance.BatchAccepted, 1)
	w.wantState("a", issuance.Submitted)
	w.equal(w.order("a").Production.Status, issuance.DataPrepared)
	n, err := w.s.ParkedCount(w.ctx(), bank)
	w.must(err)
	w.equal(n, int64(1))
	w.equal(len(w.claim(9)), 0)
	w.balance()
}

func otherIssuer(w *world) {
	w.submitted("a")
	applied, err := w.s.ApplyNotification(w.ctx(), issuance.Notification{IssuerID: "bank-2", Digest: []byte("n"),
		Operations: []issuance.Operation{produce("a", issuance.CardShipped, w.clock.now())}})
	w.must(err)
	w.equal(applied, issuance.Applied{Unmatched: 1})
	w.equal(w.order("a").Production.Status, issuance.ProductionStatus(""))
	w.equal(w.notify("n").Repeated, false) // a digest is an issuer's
}

func otherKinds(w *world) {
	w.submitted("a")
	update, strange := produce("a", issuance.CardProdCanceled, w.clock.now()), produce("a", issuance.CardShipped, w.clock.now())
	update.Operation, strange.Operation = "ACTIVATE", "SOMETHING_NEW"
	w.equal(w.notify("n", update, strange), issuance.Applied{Other: 2, Strange: 1})
	w.equal(w.order("a").Production.Status, issuance.ProductionStatus(""))
	w.balance()
}

func closedBatchOpens(w *world) {
	b := w.accepted("a")
	w.record(outcome(w.claim(1)[0], issuance.Refused))
	_, closed, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(closed, 1)
	w.notify("n", produce("a", issuance.DataPrepared, w.clock.now()))
	w.equal(w.batch(b).State, issuance.BatchAccepted)
	settled, closed, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal([]int{settled, closed}, []int{1, 0})
	w.notify("m", produce("a", issuance.CardShipped, w.clock.now()))
	_, closed, err = w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(closed, 1)
	w.balance()
}
