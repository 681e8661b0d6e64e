package storetest

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

// life is what really happens to an order at D1, told one operation at a time.
type life struct {
	noShipment bool
	told       []issuance.Operation
}

// drawLife draws a life, as far as it has come. Until the end of its operation
// D1 gives every step the same time, its start, or each its own.
func drawLife(rt *rapid.T, key string, start time.Time) life {
	l := life{noShipment: rapid.Bool().Draw(rt, "no shipment")}
	ownTimes, hours := rapid.Bool().Draw(rt, "own times"), 0
	tell := func(s issuance.ProductionStatus, outcome, reason string) *issuance.Operation {
		hours++
		op := produce(key, s, time.Time{})
		op.Status, op.Reason, op.StartTime = outcome, reason, start
		if outcome != issuance.OperationPending || ownTimes {
			op.EndTime = start.Add(time.Duration(hours) * time.Hour)
		}
		l.told = append(l.told, op)
		return &l.told[len(l.told)-1]
	}
	pending := func(s issuance.ProductionStatus) {
		for range rapid.IntRange(0, 2).Draw(rt, "pauses before") {
			if len(l.told) == 0 {
				break
			}
			before := l.told[len(l.told)-1].Production
			tell(issuance.CardProdOnHold, issuance.OperationPending, "STOCK_UNAVAILABLE")
			tell(before, issuance.OperationPending, "")
		}
		tell(s, issuance.OperationPending, "")
	}
	end := func(at string) bool { return rapid.IntRange(0, 9).Draw(rt, at) == 0 }
	func() {
		pending(issuance.CardProdRequested)
		if end("data exception") {
			tell(issuance.DataException, issuance.OperationFailed, "INVALID_ADDRESS")
			return
		}
		pending(issuance.DataPrepared)
		pending(issuance.CardProdReady)
		if end("canceled") {
			tell(issuance.CardProdCanceled, issuance.OperationFailed, "")
			return
		}
		if end("a status of tomorrow, failed") {
			tell("CARD_PROD_LOST", issuance.OperationFailed, "WHO_KNOWS")
			return
		}
		pending(issuance.CardProdOngoing)
		if end("production exception") {
			tell(issuance.CardProdException, issuance.OperationFailed, "CHIP")
			return
		}
		tell(issuance.CardProdDone, issuance.OperationPending, "")
		if l.noShipment {
			return
		}
		for i := range rapid.IntRange(1, 4).Draw(rt, "shipments") {
			status := rapid.SampledFrom([]string{"InfoReceived", "InTransit", "Exception", "Delivered"}).Draw(rt, "carrier says")
			tell(issuance.CardShipped, issuance.OperationSuccessful, "").Shipment = issuance.Shipment{Carrier: "ups",
				TrackingNumber: fmt.Sprint("T", i/2), Status: status, Message: fmt.Sprint("at stop ", i)}
		}
		if end("returned") {
			back := l.told[len(l.told)-1].Shipment
			tell(issuance.CardReturned, issuance.OperationSuccessful, "").Shipment = back
		}
	}()
	l.told = l.told[:rapid.IntRange(1, len(l.told)).Draw(rt, "so far")]
	return l
}

// ending is what must be known of an order in the end.
type ending struct {
	State       issuance.State
	Disposition string
	Status      issuance.ProductionStatus
	Failed      bool
	Reason      string
	Shipment    issuance.Shipment
}

func endingOf(o *issuance.Order) ending {
	p := &o.Production
	return ending{o.State, o.Disposition(), p.Status, p.Failed, p.Reason, p.Shipment}
}

// truth is the ending that D1 itself would state.
func (l *life) truth() ending {
	last := l.told[len(l.told)-1]
	o := issuance.Order{State: issuance.Submitted, Production: issuance.Production{NoShipment: l.noShipment, Status: last.Production,
		Failed: last.Status == issuance.OperationFailed, Reason: last.Reason, Shipment: last.Shipment}}
	return endingOf(&o)
}

// delivery is what happens on our side of D1: a notification arrives, or D1 is
// asked and answers how things stand.
type delivery struct {
	op    issuance.Operation
	asked bool
}

// drawDeliveries loses, repeats, delays and reorders what D1 tells, and has
// questions asked in between. The last question comes after all that has happened;
// repeats of old notifications may still follow.
func (l *life) drawDeliveries(rt *rapid.T) []delivery {
	var all []delivery
	var flying []issuance.Operation
	land := func() {
		if len(flying) == 0 {
			return
		}
		i := rapid.IntRange(0, len(flying)-1).Draw(rt, "which")
		all = append(all, delivery{op: flying[i]})
		if rapid.IntRange(0, 2).Draw(rt, "again") > 0 {
			flying = append(flying[:i:i], flying[i+1:]...)
		}
	}
	for _, op := range l.told {
		if rapid.IntRange(0, 9).Draw(rt, "lost") >= 3 {
			flying = append(flying, op)
		}
		for range rapid.IntRange(0, 2).Draw(rt, "arrive") {
			land()
		}
		if rapid.IntRange(0, 4).Draw(rt, "ask") == 0 {
			all = append(all, delivery{op, true})
		}
	}
	for range rapid.IntRange(0, len(l.told)).Draw(rt, "arrive late") {
		land()
	}
	all = append(all, delivery{l.told[len(l.told)-1], true})
	for range rapid.IntRange(0, 3).Draw(rt, "arrive too late") {
		land()
	}
	return all
}

// anyDelivery: whatever becomes of the notifications, in the end an order stands
// where D1 says it does; by the pure rules and through the store.
func anyDelivery(t *testing.T, create func(tb testing.TB) Database) {
	t.Helper()
	w := newWorld(t, create(t))
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		key := fmt.Sprint("life", n)
		l := drawLife(rt, key, w.clock.now())
		b := w.claimFile()
		r := row(b.No, 1, key)
		r.Production.NoShipment = l.noShipment
		w.add(b, r)
		w.decide(b, issuance.BatchAccepted, 1)
		c := w.claim(1)[0]
		if rapid.Bool().Draw(rt, "answered") {
			w.record(outcome(c, issuance.Submitted))
		}
		pure := issuance.Order{State: issuance.Unknown, Production: issuance.Production{NoShipment: l.noShipment}}
		for i, d := range l.drawDeliveries(rt) {
			if d.asked {
				w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: r.Ref, Operations: []issuance.Operation{d.op}}}))
			} else {
				w.notify(fmt.Sprint(key, " ", i), d.op)
			}
			d.op.Current = d.asked
			if _, err := pure.Hear(d.op, issuance.Why{At: w.clock.now()}); err != nil {
				rt.Fatal(err)
			}
		}
		stored := w.order(key)
		for where, got := range map[string]ending{"the store": endingOf(&stored), "the rules": endingOf(&pure)} {
			if diff := gocmp.Diff(l.truth(), got); diff != "" {
				rt.Errorf("%s ends elsewhere (-D1 +%s):\n%s", where, where, diff)
			}
		}
		if len(stored.OtherOperations) > 0 || cmp.Or(stored.NotFound, stored.Asks) != 0 {
			rt.Errorf("taken for what it is not: %+v", stored)
		}
	})
	w.balance()
}
