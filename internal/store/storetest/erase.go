package storetest

import (
	"fmt"
	"time"

	"cardbatch/internal/issuance"
)

func eraseTests() map[string]func(*world) {
	return map[string]func(*world){
		"payloads nobody will send are erased":      erasesPayloads,
		"bodies of notifications are erased":        erasesBodies,
		"operations that found their order go":      erasesParked,
		"operations that found none go":             erasesUnmatched,
		"runs are erased but the last of each job":  erasesRuns,
		"what cannot be erased has a name of ours":  erasesKnownKinds,
		"erasing is done in slices, oldest first":   erasesInSlices,
		"a body that is still needed ends the mark": erasesNoneTooEarly,
	}
}

// erased erases a kind until nothing is left, as the count said before.
func (w *world) erased(kind issuance.Erasable, want int64) {
	w.Helper()
	n, err := w.s.CountErasable(w.ctx(), kind, w.clock.now())
	w.must(err)
	var all int64
	for {
		n, err := w.s.Erase(w.ctx(), kind, w.clock.now(), 2)
		w.must(err)
		if n == 0 {
			break
		}
		all += n
	}
	if n != want || all != want {
		w.Errorf("%s: %d counted, %d erased, want %d", kind, n, all, want)
	}
}

func erasesPayloads(w *world) {
	w.accepted("a", "b", "c")
	claims := w.claim(3)
	w.record(outcome(claims[0], issuance.Submitted), outcome(claims[1], issuance.Refused), outcome(claims[2], issuance.Unknown))
	w.erased(issuance.ErasePayloads, 0) // its batch has not settled
	w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{{Ref: claims[2].Ref, Attempt: 1, To: issuance.Held, Code: issuance.OutcomeUnclear}}))
	w.advance()
	w.clock.advance(time.Second)
	w.erased(issuance.ErasePayloads, 0) // a held order keeps it from settling
	w.notify("n", produce("c", issuance.CardProdRequested, w.clock.now()))
	w.advance()
	w.erased(issuance.ErasePayloads, 0) // settled this very moment
	w.clock.advance(time.Second)
	w.erased(issuance.ErasePayloads, 1)
	w.wantState("b", issuance.Refused)
	w.balance()
}

func (w *world) advance() {
	w.Helper()
	_, _, err := w.s.AdvanceBatches(w.ctx())
	w.must(err)
}

func erasesBodies(w *world) {
	w.submitted("a")
	op := produce("a", issuance.DataPrepared, w.clock.now())
	w.notify("n1", op)
	w.clock.advance(time.Second)
	w.erased(issuance.EraseNotifications, 1)
	w.erased(issuance.EraseNotifications, 0)
	w.equal(w.notify("n1", op), issuance.Applied{Repeated: true}) // it is still known
	w.clock.advance(time.Second)
	w.erased(issuance.EraseNotifications, 0)
	w.balance()
}

func erasesNoneTooEarly(w *world) {
	w.submitted("a")
	before := w.clock.now().Add(time.Second)
	for i := range 4 {
		w.notify(fmt.Sprint("n", i), produce("a", issuance.DataPrepared, w.clock.now()))
		w.clock.advance(2 * time.Second)
		if i == 1 {
			w.clock.advance(-4 * time.Second) // the clock was set back
		}
	}
	// Of the four, the first and the third are old enough. The second is not, and
	// whatever lies behind it waits.
	n, err := w.s.CountErasable(w.ctx(), issuance.EraseNotifications, before)
	w.must(err)
	w.equal(n, int64(1))
	n, err = w.s.Erase(w.ctx(), issuance.EraseNotifications, before, 10)
	w.must(err)
	w.equal(n, int64(1))
	w.clock.advance(time.Hour)
	w.erased(issuance.EraseNotifications, 3)
}

func erasesInSlices(w *world) {
	w.submitted("a")
	for i := range 5 {
		w.notify(fmt.Sprint("n", i), produce("a", issuance.DataPrepared, w.clock.now()))
	}
	w.clock.advance(time.Second)
	for _, want := range []int64{2, 2, 1, 0} {
		n, err := w.s.Erase(w.ctx(), issuance.EraseNotifications, w.clock.now(), 2)
		w.must(err)
		w.equal(n, want)
	}
}

func erasesUnmatched(w *world) {
	w.notify("early", produce("a", issuance.DataPrepared, w.clock.now()), produce("never", issuance.DataPrepared, w.clock.now()))
	w.erased(issuance.EraseUnmatched, 0) // this very moment
	w.submitted("a")
	w.clock.advance(time.Second)
	w.erased(issuance.EraseUnmatched, 1)
	n, err := w.s.ParkedCount(w.ctx(), bank)
	w.must(err)
	w.equal(n, int64(0))
	w.erased(issuance.EraseParked, 1) // the one that found its order is not among them
	w.balance()
}

func erasesParked(w *world) {
	w.notify("early", produce("a", issuance.DataPrepared, w.clock.now()), produce("never", issuance.DataPrepared, w.clock.now()))
	w.clock.advance(time.Second)
	w.erased(issuance.EraseParked, 0)
	w.submitted("a")
	w.clock.advance(time.Second)
	w.erased(issuance.EraseParked, 1)
	w.balance()
}

func erasesRuns(w *world) {
	run := func(wall, summary string, outcome issuance.RunOutcome) {
		r, err := w.s.StartRun(w.ctx(), dueRun(wall))
		w.must(err)
		w.must(w.s.FinishRun(w.ctx(), r.ID, outcome, summary))
	}
	run("2026-03-01T22:00", `{"done":{"claimed":0},"idle":true}`, issuance.RunDone)
	run("2026-03-01T22:01", `{"done":{"claimed":5}}`, issuance.RunDone)
	run("2026-03-01T22:02", `{"done":{"claimed":0},"idle":true}`, issuance.RunFailed)
	run("2026-03-01T22:03", `{"done":{"claimed":0},"idle":true}`, issuance.RunDone)
	w.clock.advance(time.Second)
	w.erased(issuance.EraseIdleRuns, 1)
	w.erased(issuance.EraseRuns, 2)
	last, found, err := w.s.LastDue(w.ctx(), "submit")
	w.must(err)
	if !found || last.DueWall != "2026-03-01T22:03" {
		w.Errorf("the last due time is %q", last.DueWall)
	}
}

func erasesKnownKinds(w *world) {
	for _, kind := range issuance.Erasables() {
		w.erased(kind, 0)
	}
	if _, err := w.s.Erase(w.ctx(), "orders", w.clock.now(), 1); err == nil {
		w.Error("orders can be erased")
	}
	if _, err := w.s.CountErasable(w.ctx(), "orders", w.clock.now()); err == nil {
		w.Error("orders can be erased")
	}
}
