package storetest

import (
	"fmt"
	"slices"
	"time"

	"cardbatch/internal/issuance"
)

func lifeTests() map[string]func(*world) {
	return map[string]func(*world){
		"made is the end of a card that is not shipped":      noShipment,
		"an order taken twice is seen":                       takenTwice,
		"an order taken twice is seen from D1's answer":      takenTwiceByAnswer,
		"an order that D1 has lost is seen":                  lostAtD1,
		"a pause is over when production goes on":            pauses,
		"parked news waits for a file that is held":          parkedHeld,
		"parked news without a name finds its order":         parkedByCard,
		"parked news whose order never comes is listed":      parkedForever,
		"words we do not know are counted":                   strangeWords,
		"an allowance is a day's, whatever process takes it": allowance,
		"each order of a card hears its own":                 sameCard,
		"ready orders can be doubted":                        doubt,
		"older news of a shipment changes nothing":           lateShipment,
	}
}

func noShipment(w *world) {
	b := w.claimFile()
	rows := []issuance.NewOrder{row(b.No, 1, "home"), row(b.No, 2, "sent")}
	rows[0].Production.NoShipment = true
	w.add(b, rows...)
	w.decide(b, issuance.BatchAccepted, 2)
	for _, c := range w.claim(2) {
		w.record(outcome(c, issuance.Submitted))
	}
	w.notify("n", produce("home", issuance.CardProdDone, w.clock.now()), produce("sent", issuance.CardProdDone, w.clock.now()))
	w.equal([]string{disposition(w, "home"), disposition(w, "sent")}, []string{"produced", "in_production"})
	w.clock.advance(2 * silence)
	w.equal(w.due(9), []string{"order-sent"})
	t, err := w.s.BatchTotals(w.ctx(), b.No)
	w.must(err)
	w.equal([]int64{t.Phase(issuance.Produced), t.Phase(issuance.InProduction)}, []int64{1, 1})
	w.equal(t.Breaks(), []issuance.Break(nil))
	w.notify("m", produce("sent", issuance.CardShipped, w.clock.now()))
	_, closed, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
	w.equal(closed, 1)
	w.balance()
	w.notify("all the same", produce("home", issuance.CardShipped, w.clock.now()))
	w.equal(disposition(w, "home"), "shipped")
	w.balance()
}

func disposition(w *world, key string) string {
	w.Helper()
	o := w.order(key)
	return o.Disposition()
}

func takenTwice(w *world) {
	w.submitted("a", "b")
	second := produce("a", issuance.CardProdOngoing, w.clock.now())
	second.OperationID = "op-second"
	w.notify("n", produce("a", issuance.DataPrepared, w.clock.now()), produce("b", issuance.DataPrepared, w.clock.now()))
	for i := range 3 {
		w.notify(fmt.Sprint("m", i), second)
	}
	w.wantTwice("a", "op-order-a", "op-second")
	w.equal(w.order("a").Production.Status, issuance.CardProdOngoing)
	nameless := second
	nameless.IssuerRequestID, nameless.Production = "", issuance.CardShipped
	w.notify("by either operation", nameless)
	w.equal(disposition(w, "a"), "shipped")
	w.balance()
}

// takenTwiceByAnswer: the first answer was lost and D1 said for too long that it
// does not have the order, so it was sent again; and only then the first one's
// news came.
func takenTwiceByAnswer(w *world) {
	w.accepted("a", "b")
	for _, c := range w.claim(2) {
		w.record(outcome(c, issuance.Unknown))
		again := outcome(c, issuance.Ready)
		w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{again}))
	}
	claims := w.claim(2)
	first := func(key string) issuance.Operation {
		op := produce(key, issuance.DataPrepared, w.clock.now())
		op.OperationID = "op-first"
		return op
	}
	w.notify("before the answer", first("a"))
	w.record(outcome(claims[0], issuance.Submitted), outcome(claims[1], issuance.Submitted))
	w.notify("after the answer", first("b"))
	twice := collect(w, w.s.OrdersTakenTwice(w.ctx(), bank))
	w.equal(len(twice), 2)
	for _, o := range twice {
		ids := append([]string{o.OperationID}, o.OtherOperations...)
		slices.Sort(ids)
		w.equal(ids, []string{"op-first", "op-" + o.OrderID})
	}
	w.balance()
}

func (w *world) wantTwice(key string, ids ...string) {
	w.Helper()
	twice := collect(w, w.s.OrdersTakenTwice(w.ctx(), bank))
	if len(twice) != 1 {
		w.Fatalf("%d orders were taken twice, want 1", len(twice))
	}
	w.equal(append([]string{twice[0].OperationID}, twice[0].OtherOperations...), ids)
	events, err := w.s.Events(w.ctx(), w.order(key).Ref)
	w.must(err)
	said := 0
	for _, e := range events {
		if e.Code == issuance.SecondOperation {
			said++
		}
	}
	w.equal(said, 1)
}

func lostAtD1(w *world) {
	w.submitted("a", "b")
	ref := w.order("a").Ref
	for range 2 {
		w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: ref, Missing: true}, {Ref: w.order("b").Ref}}))
	}
	missing := collect(w, w.s.MissingOrders(w.ctx(), bank))
	if len(missing) != 1 || missing[0].OrderID != "order-a" || missing[0].NotFound != 2 {
		w.Fatalf("missing: %+v", missing)
	}
	events, err := w.s.Events(w.ctx(), ref)
	w.must(err)
	w.equal(events[len(events)-1].Code, issuance.MissingAtD1)
	w.equal(len(events), 3) // said once
	w.notify("there it is", produce("a", issuance.DataPrepared, w.clock.now()))
	w.equal(len(collect(w, w.s.MissingOrders(w.ctx(), bank))), 0)
	w.balance()
}

func pauses(w *world) {
	w.submitted("timed", "same time")
	start := w.clock.now()
	at := func(key string, s issuance.ProductionStatus, h int) issuance.Operation {
		op := produce(key, s, start.Add(time.Duration(h)*time.Hour))
		op.Status = issuance.OperationPending
		return op
	}
	w.notify("n", at("timed", issuance.CardProdOngoing, 1), at("timed", issuance.CardProdOnHold, 2), at("timed", issuance.CardProdReady, 0))
	w.equal(disposition(w, "timed"), "on_hold")
	w.notify("on it goes", at("timed", issuance.CardProdOngoing, 3))
	w.equal(disposition(w, "timed"), "in_production")
	w.notify("the pause again", at("timed", issuance.CardProdOnHold, 2))
	w.equal(disposition(w, "timed"), "in_production")

	w.notify("m", at("same time", issuance.CardProdOngoing, 0), at("same time", issuance.CardProdOnHold, 0))
	w.equal(disposition(w, "same time"), "on_hold")
	answer := at("same time", issuance.CardProdReady, 0)
	ask := func() {
		w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("same time").Ref, Operations: []issuance.Operation{answer}}}))
	}
	ask()
	w.equal(disposition(w, "same time"), "on_hold") // the answer lags behind what we know
	answer.Production = issuance.CardProdOngoing
	ask()
	w.equal(disposition(w, "same time"), "in_production")
	w.balance()
}

func parkedHeld(w *world) {
	b := w.claimFile()
	w.add(b, row(b.No, 1, "a"))
	w.notify("while loading", produce("a", issuance.DataPrepared, w.clock.now()))
	w.decide(b, issuance.BatchHeld, 1)
	w.notify("while held", produce("a", issuance.CardProdReady, w.clock.now()))
	w.restart()
	w.wantState("a", issuance.Ready)
	w.decide(b, issuance.BatchAccepted, 1)
	w.equal(w.order("a").Production.Status, issuance.CardProdReady)
	w.equal(len(w.claim(9)), 0)
	n, err := w.s.ParkedCount(w.ctx(), bank)
	w.must(err)
	w.equal(n, int64(0))
	w.balance()
}

func parkedByCard(w *world) {
	w.accepted("a", "b")
	claims := w.claim(2)
	op := produce("a", issuance.DataPrepared, w.clock.now())
	op.IssuerRequestID = ""
	w.equal(w.notify("before the answer", op), issuance.Applied{Unmatched: 1})
	apply := func(want int) {
		w.Helper()
		n, err := w.s.ApplyParked(w.ctx(), bank)
		w.must(err)
		w.equal(n, want)
	}
	apply(0)
	w.record(outcome(claims[0], issuance.Submitted), outcome(claims[1], issuance.Submitted))
	w.restart()
	apply(1)
	apply(0)
	w.equal(w.order("a").Production.Status, issuance.DataPrepared)
	w.equal(w.order("b").Production.Status, issuance.ProductionStatus(""))
	w.balance()
}

func parkedForever(w *world) {
	w.submitted("a")
	for i := range page + 5 {
		op := produce(fmt.Sprint("z", i), issuance.CardShipped, w.clock.now())
		op.InputFileName = "theirs.csv"
		w.notify(fmt.Sprint("n", i), op)
	}
	w.clock.advance(time.Hour)
	w.notify("young", produce("young", issuance.CardShipped, w.clock.now()))
	old := collect(w, w.s.ParkedOperations(w.ctx(), bank, w.clock.now().Add(-time.Minute)))
	if len(old) != page+5 || old[page+4].IssuerRequestID != fmt.Sprint("order-z", page+4) || old[0].CardID != "card-z0" || old[0].InputFileName != "theirs.csv" ||
		old[0].Status != issuance.CardShipped || !old[0].ParkedAt.Equal(w.clock.now().Add(-time.Hour)) {
		w.Fatalf("%d old ones, the first is %+v", len(old), old[0])
	}
	w.equal(len(collect(w, w.s.ParkedOperations(w.ctx(), "bank-2", w.clock.now()))), 0)
	n, err := w.s.ApplyParked(w.ctx(), bank)
	w.must(err)
	w.equal(n, 0)
}

// page is more rows than the store reads at a time.
const page = 1001

func strangeWords(w *world) {
	w.submitted("a")
	op := produce("a", "CARD_PROD_CANCELLED", w.clock.now()) // two L's are not D1's word
	op.Shipment = issuance.Shipment{Carrier: "pigeon", Status: "Lost"}
	w.equal(w.notify("n", op), issuance.Applied{Matched: 1, Changed: 1, Strange: 3})
	w.equal(w.order("a").Production.Status, issuance.ProductionStatus("CARD_PROD_CANCELLED"))
	w.equal(disposition(w, "a"), "in_production")
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("a").Ref, Operations: []issuance.Operation{op}}}))
	for i := range 250 {
		w.notify(fmt.Sprint("m", i), issuance.Operation{Operation: fmt.Sprint("NEW_", i)})
	}
	words, err := w.s.StrangeWords(w.ctx(), bank)
	w.must(err)
	total := int64(0)
	times := map[string]int64{}
	for _, word := range words {
		times[string(word.Kind)+" "+word.Word] = word.Times
		total += word.Times
	}
	w.equal([]int64{times["status CARD_PROD_CANCELLED"], times["carrier pigeon"], times["shipment_status Lost"], times["operation (other)"], total},
		[]int64{2, 2, 2, 50, 256})
}

func allowance(w *world) {
	take := func(name, day string, n, want int) {
		w.Helper()
		got, err := w.s.TakeAllowance(w.ctx(), name, day, n, 100)
		w.must(err)
		w.equal(got, want)
	}
	take("track/a", "2026-03-01", 70, 70)
	w.restart()
	take("track/a", "2026-03-01", 70, 30)
	take("track/a", "2026-03-01", 1, 0)
	take("track/b", "2026-03-01", 1, 1)
	w.must(w.s.ReturnAllowance(w.ctx(), "track/a", "2026-03-01", 10))
	take("track/a", "2026-03-01", 70, 10)
	take("track/a", "2026-03-02", 70, 70)
	w.must(w.s.ReturnAllowance(w.ctx(), "track/a", "2026-03-01", 70)) // of a day that is over
	take("track/a", "2026-03-02", 70, 30)
}

// sameCard: D1 answers with all operations of a card.
func sameCard(w *world) {
	w.submitted("a")
	first := produce("a", issuance.CardShipped, w.clock.now())
	w.notify("n", first)
	b := w.claimFile()
	r := row(b.No, 1, "again")
	r.CardID = "card-a"
	w.add(b, r)
	w.decide(b, issuance.BatchAccepted, 1)
	w.record(outcome(w.claim(1)[0], issuance.Submitted))
	second := produce("again", issuance.CardProdOngoing, w.clock.now())
	second.CardID, first.Production = "card-a", issuance.CardReturned
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: r.Ref, Operations: []issuance.Operation{first, second}}}))
	w.equal([]issuance.ProductionStatus{w.order("a").Production.Status, w.order("again").Production.Status},
		[]issuance.ProductionStatus{issuance.CardReturned, issuance.CardProdOngoing})
	nameless := produce("again", issuance.CardProdDone, w.clock.now())
	nameless.IssuerRequestID, nameless.CardID = "", "card-a"
	w.notify("m", nameless)
	nameless.OperationID = ""
	nameless.Production = issuance.CardShipped
	w.notify("l", nameless) // only one of the two is not finished
	w.equal(w.order("again").Production.Status, issuance.CardShipped)
	w.equal(len(collect(w, w.s.OrdersTakenTwice(w.ctx(), bank))), 0)
	w.balance()
}

// doubt: after a backup was restored, D1 is asked before anything is sent.
func doubt(w *world) {
	w.accepted("a", "b", "c")
	held := w.claimFile()
	w.add(held, row(held.No, 1, "h"))
	w.decide(held, issuance.BatchHeld, 1)
	w.record(outcome(w.claim(1)[0], issuance.Refused))
	why := issuance.Why{Stage: "operator", Operator: "ann", Reason: "restored"}
	for _, want := range []int{2, 0} {
		n, err := w.s.DoubtReady(w.ctx(), bank, why)
		w.must(err)
		w.equal(n, want)
	}
	w.wantState("h", issuance.Ready)
	w.equal(len(w.claim(9)), 0)
	w.equal(sorted(w.due(9)), []string{"order-b", "order-c"})
	events, err := w.s.Events(w.ctx(), w.order("b").Ref)
	w.must(err)
	e := events[len(events)-1]
	w.equal([]string{e.From, e.To, e.Operator, e.Reason}, []string{"ready", "unknown", "ann", "restored"})
	w.must(w.s.HearOrders(w.ctx(), bank, "track", []issuance.Heard{{Ref: w.order("b").Ref,
		Operations: []issuance.Operation{produce("b", issuance.DataPrepared, w.clock.now())}}}))
	c := w.order("c")
	w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{{Ref: c.Ref, Attempt: c.Attempts, To: issuance.Ready}}))
	w.equal(orderIDs(w.claim(9)), []string{"order-c"})
	w.balance()
}

func lateShipment(w *world) {
	w.submitted("a")
	at := func(status, number string, h int) issuance.Operation {
		op := produce("a", issuance.CardShipped, w.clock.now().Add(time.Duration(h)*time.Hour))
		op.Shipment = issuance.Shipment{Carrier: "ups", TrackingNumber: number, Status: status}
		return op
	}
	w.notify("1", at("InTransit", "T1", 1))
	w.notify("3", at("Delivered", "", 3))
	w.notify("2", at("OutForDelivery", "T1", 2))
	w.equal(w.order("a").Production.Shipment, issuance.Shipment{Carrier: "ups", TrackingNumber: "T1", Status: "Delivered"})
	events, err := w.s.Events(w.ctx(), w.order("a").Ref)
	w.must(err)
	last := events[len(events)-1]
	w.equal([]string{string(last.Kind), last.From, last.To}, []string{"late", "Delivered", "OutForDelivery"})
	w.notify("another parcel", at("InTransit", "T2", 4))
	w.equal(w.order("a").Production.Shipment.TrackingNumber, "T2")
	w.balance()
}
