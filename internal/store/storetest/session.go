package storetest

import (
	"time"

	"cardbatch/internal/issuance"
)

func sessionTests() map[string]func(*world) {
	return map[string]func(*world){
		"orders of a dead session become unknown": deadSession,
		"a living session is left alone":          livingSession,
		"a store has one session":                 oneSession,
		"what was committed survives":             committedSurvives,
		"claims nobody was told of are forsaken":  forsakenClaims,
	}
}

func deadSession(w *world) {
	w.accepted("a", "b", "c")
	claims := w.claim(2)
	w.record(outcome(claims[1], issuance.Submitted))
	run, err := w.s.StartRun(w.ctx(), issuance.Run{Job: "submit", Trigger: issuance.TriggerManual})
	w.must(err)
	w.restart()
	n, err := w.s.RecoverSessions(w.ctx(), 5*time.Minute)
	w.must(err)
	w.equal(n, 1)
	if o := w.order("a"); o.State != issuance.Unknown || !o.NextAttemptAt.Equal(w.clock.now().Add(5*time.Minute)) || o.Attempts != 1 {
		w.Errorf("the order is %+v", o)
	}
	w.wantState("b", issuance.Submitted)
	w.equal(orderIDs(w.claim(9)), []string{"order-c"})
	runs, err := w.s.Runs(w.ctx(), issuance.RunFilter{})
	w.must(err)
	if len(runs) != 1 || runs[0].ID != run.ID || runs[0].Outcome != issuance.RunLost || runs[0].EndedAt.IsZero() {
		w.Errorf("runs are %+v", runs)
	}
	n, err = w.s.RecoverSessions(w.ctx(), 0)
	w.must(err)
	w.equal(n, 0)
	w.balance()
}

func livingSession(w *world) {
	w.accepted("a")
	w.claim(1)
	other, _ := w.open()
	n, err := other.RecoverSessions(w.ctx(), 0)
	w.must(err)
	w.equal(n, 0)
	w.wantState("a", issuance.Submitting)
}

func forsakenClaims(w *world) {
	w.accepted("a", "b")
	w.claim(1)
	other, session := w.open()
	_, err := other.ClaimReady(w.ctx(), bank, session, 1)
	w.must(err)
	for _, tc := range []struct {
		issuer string
		want   int
	}{{"bank-2", 0}, {bank, 1}, {bank, 0}} {
		n, err := w.s.ForsakeOrders(w.ctx(), tc.issuer, w.session, 5*time.Minute)
		w.must(err)
		w.equal(n, tc.want)
	}
	if o := w.order("a"); o.State != issuance.Unknown || !o.NextAttemptAt.Equal(w.clock.now().Add(5*time.Minute)) || o.Attempts != 1 {
		w.Errorf("the order is %+v", o)
	}
	w.wantState("b", issuance.Submitting) // another process is sending it
	w.balance()
}

func oneSession(w *world) {
	_, err := w.s.StartSession(w.ctx(), "again")
	w.wantErr(err, issuance.ErrOutOfState)
}

func committedSurvives(w *world) {
	b := w.submitted("a")
	w.notify("n", produce("a", issuance.CardShipped, w.clock.now()))
	before := w.order("a")
	w.restart()
	w.equal(w.order("a"), before)
	w.equal(w.batch(b).State, issuance.BatchAccepted)
	w.equal(w.notify("n").Repeated, true)
	w.balance()
}
