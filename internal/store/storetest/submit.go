package storetest

import (
	"regexp"
	"slices"
	"time"

	"cardbatch/internal/issuance"
)

func submitTests() map[string]func(*world) {
	return map[string]func(*world){
		"a claim is exclusive and complete":          claimIsExclusive,
		"the most urgent goes first":                 urgentFirst,
		"an order is sent again not before its time": notBeforeItsTime,
		"an attempt that a wrong clock put off":      attemptOfAWrongClock,
		"only urgent orders are claimed":             onlyUrgent,
		"what waits is counted in order":             waitingInOrder,
		"the pace of submission":                     pace,
		"every outcome of a claim":                   everyOutcome,
		"the payload goes when D1 has the order":     payloadGoes,
		"a late outcome changes nothing":             lateOutcome,
		"late success is evidence":                   lateSuccess,
		"an outcome after the news learns its id":    outcomeAfterNews,
		"a release gives the attempt back":           release,
		"an outcome is of one claim":                 outcomeOfOneClaim,
		"unknown orders are decided":                 decideUnknown,
		"slots follow the simulation":                slots,
		"slots are shared and kept":                  slotsShared,
		"slots of a clock that was ahead give way":   slotsOfAWrongClock,
		"what was not sent costs no attempt":         notSentCostsNoAttempt,
	}
}

var correlationID = regexp.MustCompile(`^[A-Za-z0-9_-]{8,64}$`)

func claimIsExclusive(w *world) {
	w.accepted("a", "b", "c")
	first, second := w.claim(2), w.claim(2)
	w.equal(orderIDs(append(first, second...)), []string{"order-a", "order-b", "order-c"})
	w.equal(len(w.claim(2)), 0)
	seen := map[string]bool{}
	for _, c := range append(first, second...) {
		if c.Attempt != 1 || c.CardID == "" || !correlationID.MatchString(c.CorrelationID) || seen[c.CorrelationID] {
			w.Errorf("claim %+v", c)
		}
		seen[c.CorrelationID] = true
		w.equal(string(c.Payload), "sealed "+c.OrderID[len("order-"):])
		if o, err := w.s.OrderByRef(w.ctx(), c.Ref); err != nil || o.State != issuance.Submitting || o.CorrelationID != c.CorrelationID || o.Attempts != 1 {
			w.Errorf("claimed order is %+v, %v", o, err)
		}
	}
	w.balance()
}

func urgentFirst(w *world) {
	b := w.claimFile()
	rows := []issuance.NewOrder{row(b.No, 1, "relaxed"), row(b.No, 2, "normal"), row(b.No, 3, "urgent")}
	rows[0].Urgency, rows[2].Urgency = issuance.Relaxed, issuance.Urgent
	w.add(b, rows...)
	w.decide(b, issuance.BatchAccepted, 3)
	later := w.claimFile()
	urgent := row(later.No, 1, "urgent2")
	urgent.Urgency = issuance.Urgent
	w.add(later, urgent)
	w.decide(later, issuance.BatchAccepted, 1)
	w.equal(orderIDs(w.claim(1)), []string{"order-urgent"})
	w.equal(orderIDs(w.claim(9)), []string{"order-urgent2", "order-normal", "order-relaxed"})
}

func notBeforeItsTime(w *world) {
	w.accepted("a", "b")
	out := outcome(w.claim(1)[0], issuance.Ready)
	out.NextAttemptAt = w.clock.now().Add(time.Minute)
	w.record(out)
	w.equal(orderIDs(w.claim(9)), []string{"order-b"})
	w.clock.advance(time.Minute)
	again := w.claim(9)
	w.equal(orderIDs(again), []string{"order-a"})
	w.equal(again[0].Attempt, 1)
	w.balance()
}

func everyOutcome(w *world) {
	later := w.clock.now().Add(time.Hour)
	for to, path := range map[issuance.State][]string{
		issuance.Submitted: {"ready>submitting", "submitting>submitted"},
		issuance.Refused:   {"ready>submitting", "submitting>refused"},
		issuance.Unknown:   {"ready>submitting", "submitting>unknown"},
		issuance.Ready:     {"ready>submitting", "submitting>ready"},
		issuance.Held:      {"ready>submitting", "submitting>ready", "ready>held"},
	} {
		key := string(to)
		w.accepted(key)
		out := outcome(w.claim(1)[0], to)
		if to != issuance.Submitted {
			out.Code, out.Reason = "SOME_CODE", "some reason"
			out.NextAttemptAt = later
		}
		w.record(out)
		o := w.order(key)
		if o.State != to || o.Code != out.Code || o.Reason != out.Reason || o.OperationID != out.OperationID {
			w.Errorf("the order is %+v, its outcome was %+v", o, out)
		}
		if waits := to == issuance.Ready || to == issuance.Unknown; waits != o.NextAttemptAt.Equal(later) {
			w.Errorf("%s waits until %s", to, o.NextAttemptAt)
		}
		if (to == issuance.Submitted) == o.SubmittedAt.IsZero() {
			w.Errorf("%s was submitted at %s", to, o.SubmittedAt)
		}
		w.equal(w.path(key), path)
	}
	w.balance()
}

func payloadGoes(w *world) {
	w.accepted("a", "b")
	claims := w.claim(2)
	w.record(outcome(claims[0], issuance.Submitted), outcome(claims[1], issuance.Refused))
	w.balance() // it knows which states have a payload
	w.notify("n", produce("b", issuance.CardProdRequested, w.clock.now()))
	w.wantState("b", issuance.Submitted)
	w.balance()
}

func lateOutcome(w *world) {
	w.accepted("a")
	old := w.claim(1)[0]
	dead := w.session
	w.restart()
	n, err := w.s.RecoverSessions(w.ctx(), time.Minute)
	w.must(err)
	w.equal(n, 1)
	w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{outcome(old, issuance.Ready)}))
	newer := w.claim(1)[0]
	for _, to := range []issuance.State{issuance.Refused, issuance.Unknown, issuance.Ready, issuance.Held} {
		w.must(w.s.RecordOutcomes(w.ctx(), dead, []issuance.Outcome{outcome(old, to)}))
		w.must(w.s.RecordOutcomes(w.ctx(), dead, []issuance.Outcome{outcome(newer, to)}))
		w.must(w.s.RecordOutcomes(w.ctx(), w.session, []issuance.Outcome{outcome(old, to)}))
		w.wantState("a", issuance.Submitting)
	}
	w.record(outcome(newer, issuance.Refused))
	w.record(outcome(newer, issuance.Ready))
	w.wantState("a", issuance.Refused)
	w.record(issuance.Outcome{Ref: issuance.NewRef(99, 1), Attempt: 1, To: issuance.Submitted})
	w.balance()
}

func lateSuccess(w *world) {
	w.accepted("a")
	old := w.claim(1)[0]
	dead := w.session
	w.restart()
	_, err := w.s.RecoverSessions(w.ctx(), 0)
	w.must(err)
	w.must(w.s.RecordOutcomes(w.ctx(), dead, []issuance.Outcome{outcome(old, issuance.Submitted)}))
	w.wantState("a", issuance.Submitted)
	w.equal(w.order("a").OperationID, "op-order-a")
	w.balance()
}

func outcomeAfterNews(w *world) {
	w.accepted("a")
	c := w.claim(1)[0]
	still := func(session string, attempt int) bool {
		ok, err := w.s.StillClaimed(w.ctx(), session, c.Ref, attempt)
		w.must(err)
		return ok
	}
	w.equal([]bool{still(w.session, 1), still(w.session, 2), still("another", 1)}, []bool{true, false, false})
	op := produce("a", issuance.DataPrepared, w.clock.now())
	op.OperationID = ""
	w.notify("n", op)
	w.equal(still(w.session, 1), false)
	w.record(outcome(c, issuance.Refused))
	w.wantState("a", issuance.Submitted)
	w.record(outcome(c, issuance.Submitted))
	o := w.order("a")
	if o.OperationID != "op-order-a" || o.Production.Status != issuance.DataPrepared {
		w.Errorf("the order is %+v", o)
	}
	out := outcome(c, issuance.Submitted)
	out.OperationID = "another"
	w.record(out)
	w.equal(w.order("a").OperationID, "op-order-a")
	w.equal(w.path("a"), []string{"ready>submitting", "submitting>submitted"})
	w.balance()
}

func release(w *world) {
	w.accepted("a", "b")
	claims := w.claim(2)
	w.record(outcome(claims[1], issuance.Submitted))
	w.must(w.s.Release(w.ctx(), "another", []issuance.Ref{claims[0].Ref}))
	w.wantState("a", issuance.Submitting)
	w.must(w.s.Release(w.ctx(), w.session, []issuance.Ref{claims[0].Ref, claims[1].Ref}))
	w.wantState("a", issuance.Ready)
	w.wantState("b", issuance.Submitted)
	again := w.claim(2)
	w.equal(orderIDs(again), []string{"order-a"})
	w.equal(again[0].Attempt, 1)
	w.balance()
}

// A commit may work and its answer be lost. Whoever then repeats an outcome must
// not touch the claim that was made since, which counts as the same attempt.
func outcomeOfOneClaim(w *world) {
	w.accepted("a")
	old := w.claim(1)[0]
	w.record(outcome(old, issuance.Ready))
	newer := w.claim(1)[0]
	w.equal(newer.Attempt, old.Attempt)
	for _, to := range []issuance.State{issuance.Ready, issuance.Held, issuance.Unknown, issuance.Refused} {
		w.record(outcome(old, to))
		w.wantState("a", issuance.Submitting)
	}
	w.record(outcome(newer, issuance.Unknown))
	w.wantState("a", issuance.Unknown)
	w.balance()
}

func decideUnknown(w *world) {
	w.accepted("again", "held", "later", "found")
	claims := w.claim(4)
	for _, c := range claims {
		w.record(outcome(c, issuance.Unknown))
	}
	later := w.clock.now().Add(time.Minute)
	outs := []issuance.Outcome{outcome(claims[0], issuance.Ready), outcome(claims[1], issuance.Held), outcome(claims[2], issuance.Unknown), outcome(claims[3], issuance.Submitted)}
	outs[1].Code, outs[2].NextAttemptAt, outs[2].NotFound = issuance.OutcomeUnclear, later, 1
	stale := outcome(claims[0], issuance.Held)
	stale.Attempt = 0
	w.must(w.s.DecideUnknown(w.ctx(), append([]issuance.Outcome{stale}, outs...)))
	if o := w.order("later"); o.Asks != 1 || o.NotFound != 1 {
		w.Errorf("later is %+v", o)
	}
	outs[2].NotFound = 0
	w.must(w.s.DecideUnknown(w.ctx(), outs[2:3]))
	w.wantState("again", issuance.Ready)
	w.wantState("found", issuance.Submitted)
	if o := w.order("held"); o.State != issuance.Held || o.Code != issuance.OutcomeUnclear {
		w.Errorf("held is %+v", o)
	}
	if o := w.order("later"); o.State != issuance.Unknown || o.Asks != 2 || o.NotFound != 0 || !o.NextAttemptAt.Equal(later) {
		w.Errorf("later is %+v", o)
	}
	w.balance()
}

// slots compares the store with the definition: whatever is asked for when, no
// window holds more than its share.
func slots(w *world) {
	const burst = 5
	interval := 10 * time.Millisecond
	var used []time.Time
	for i, step := range []struct {
		pause time.Duration
		n     int
	}{{0, 3}, {0, 4}, {time.Millisecond, 1}, {0, 20}, {time.Second, 7}, {3 * time.Millisecond, 1}, {0, 1}, {time.Hour, 50}, {0, 1}} {
		w.clock.advance(step.pause)
		first, err := w.s.ReserveSlots(w.ctx(), "key", step.n, interval, burst)
		w.must(err)
		for k := range step.n {
			at := first.Add(time.Duration(k) * interval)
			if at.Before(w.clock.now()) {
				at = w.clock.now()
			}
			used = append(used, at)
		}
		if i == 0 && !used[2].Equal(w.clock.now()) {
			w.Error("the burst is not free at the start")
		}
	}
	slices.SortFunc(used, time.Time.Compare)
	for i := range used {
		for k := i; k < len(used); k++ {
			window := used[k].Sub(used[i])
			if most := burst + int(window/interval); k-i+1 > most {
				w.Fatalf("%d slots in %s, at most %d may be", k-i+1, window, most)
			}
		}
	}
	// Nothing is held back either: the 50 slots after the long pause take 45 intervals.
	if last := used[len(used)-2].Sub(w.clock.now()); last != 45*interval {
		w.Errorf("the last of 50 slots comes after %s", last)
	}
}

func slotsShared(w *world) {
	other, _ := w.open()
	a, err := w.s.ReserveSlots(w.ctx(), "key", 10, time.Second, 1)
	w.must(err)
	b, err := other.ReserveSlots(w.ctx(), "key", 10, time.Second, 1)
	w.must(err)
	c, err := other.ReserveSlots(w.ctx(), "other key", 10, time.Second, 1)
	w.must(err)
	w.restart()
	d, err := w.s.ReserveSlots(w.ctx(), "key", 10, time.Second, 1)
	w.must(err)
	w.equal([]time.Duration{b.Sub(a), c.Sub(a), d.Sub(a)}, []time.Duration{10 * time.Second, 0, 20 * time.Second})
}

// slotsOfAWrongClock: a clock that was hours ahead and is set right must not
// keep everybody waiting for hours.
func slotsOfAWrongClock(w *world) {
	reserve := func(n int) time.Duration {
		first, err := w.s.ReserveSlots(w.ctx(), "key", n, time.Second, 1)
		w.must(err)
		return first.Sub(w.clock.now())
	}
	w.equal(reserve(60), time.Duration(0))
	w.equal(reserve(1), time.Minute) // as far ahead as slots may be taken
	w.clock.advance(3 * time.Hour)
	w.equal(reserve(1), time.Duration(0))
	w.clock.advance(-3 * time.Hour)
	w.equal(reserve(10), time.Duration(0))
	w.equal(reserve(1), 10*time.Second)
}

func notSentCostsNoAttempt(w *world) {
	w.accepted("a", "b")
	for range 3 {
		claims := w.claim(1)
		w.equal(claims[0].Attempt, 1)
		w.record(outcome(claims[0], issuance.Ready))
	}
	w.record(outcome(w.claim(1)[0], issuance.Held))
	w.equal([]int{w.order("a").Attempts, w.order("b").Attempts}, []int{0, 0})
	c := w.claim(1)[0]
	w.record(outcome(c, issuance.Unknown))
	w.must(w.s.DecideUnknown(w.ctx(), []issuance.Outcome{outcome(c, issuance.Ready)}))
	w.equal(w.claim(1)[0].Attempt, 2)
	w.balance()
}
