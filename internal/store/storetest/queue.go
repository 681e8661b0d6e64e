package storetest

import (
	"time"

	"cardbatch/internal/issuance"
)

func attemptOfAWrongClock(w *world) {
	w.accepted("a", "b")
	claims := w.claim(2)
	later, years := outcome(claims[0], issuance.Ready), outcome(claims[1], issuance.Ready)
	later.NextAttemptAt, years.NextAttemptAt = w.clock.now().Add(time.Hour), w.clock.now().AddDate(3, 0, 0)
	w.record(later, years)
	w.equal(orderIDs(w.claim(9)), []string{"order-b"})
	w.equal(len(w.claim(9)), 0)
	w.clock.advance(time.Hour)
	again := w.claim(9)
	w.equal(orderIDs(again), []string{"order-a"})

	years = outcome(again[0], issuance.Unknown)
	years.NextAttemptAt = w.clock.now().AddDate(3, 0, 0)
	w.record(years)
	w.equal(len(w.due(9)), 1)
}

// mixed accepts a batch with orders of every urgency.
func mixed(w *world, prefix string) issuance.Batch {
	b := w.claimFile()
	rows := []issuance.NewOrder{row(b.No, 1, prefix+"relaxed"), row(b.No, 2, prefix+"normal"), row(b.No, 3, prefix+"urgent"), row(b.No, 4, prefix+"normal2")}
	rows[0].Urgency, rows[2].Urgency = issuance.Relaxed, issuance.Urgent
	w.add(b, rows...)
	w.decide(b, issuance.BatchAccepted, 4)
	return b
}

func onlyUrgent(w *world) {
	mixed(w, "x")
	mixed(w, "y")
	claims, err := w.s.ClaimUrgent(w.ctx(), bank, w.session, 9)
	w.must(err)
	w.equal(orderIDs(claims), []string{"order-xurgent", "order-yurgent"})
	claims, err = w.s.ClaimUrgent(w.ctx(), bank, w.session, 9)
	w.must(err)
	w.equal(len(claims), 0)
	w.equal(orderIDs(w.claim(2)), []string{"order-xnormal", "order-xnormal2"})
}

func waitingInOrder(w *world) {
	x, y := mixed(w, "x"), mixed(w, "y")
	loading := w.claimFile()
	w.add(loading, row(loading.No, 1, "later"))
	claims := w.claim(3) // both urgent ones, and a normal one of x
	later := outcome(claims[0], issuance.Ready)
	later.NextAttemptAt = w.clock.now().Add(time.Minute)
	w.record(later, outcome(claims[1], issuance.Submitted))
	got, err := w.s.Waiting(w.ctx(), bank)
	w.must(err)
	w.equal(got, []issuance.Waiting{
		{BatchNo: x.No, Urgency: issuance.Urgent, Orders: 1},
		{BatchNo: x.No, Urgency: issuance.Normal, Orders: 1, Due: 1}, {BatchNo: y.No, Urgency: issuance.Normal, Orders: 2, Due: 2},
		{BatchNo: x.No, Urgency: issuance.Relaxed, Orders: 1, Due: 1}, {BatchNo: y.No, Urgency: issuance.Relaxed, Orders: 1, Due: 1},
	})
	got, err = w.s.Waiting(w.ctx(), "another")
	w.must(err)
	w.equal(len(got), 0)
}

func pace(w *world) {
	n, _, _, err := w.s.Pace(w.ctx(), bank, time.Time{})
	w.must(err)
	w.equal(n, int64(0))
	start := w.clock.now()
	w.accepted("a", "b", "c")
	for _, c := range w.claim(3) {
		w.clock.advance(time.Second)
		w.record(outcome(c, issuance.Submitted))
	}
	n, first, last, err := w.s.Pace(w.ctx(), bank, start)
	w.must(err)
	w.equal([]any{n, first, last}, []any{int64(3), start.Add(time.Second), start.Add(3 * time.Second)})
	n, _, _, err = w.s.Pace(w.ctx(), bank, start.Add(2*time.Second))
	w.must(err)
	w.equal(n, int64(2))
	n, _, _, err = w.s.Pace(w.ctx(), "another", start)
	w.must(err)
	w.equal(n, int64(0))
}
