package app_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"

	"github.com/google/go-cmp/cmp"
)

// jobInTime runs a job that may leave work undone, but must not hang.
func (w *world) jobInTime(t *testing.T, a *app.App, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := a.RunJob(ctx, name, "")
	if ctx.Err() != nil {
		t.Fatalf("%s hangs: %v\n%s", name, err, w.log)
	}
	switch code := exitcode.Of(err); code {
	case exitcode.Done, exitcode.Rejected, exitcode.Unavailable:
	default:
		t.Fatalf("%s: %v\n%s", name, err, w.log)
	}
}

// D1 takes every other change and resets the connection before it answers, and
// all its notifications are lost; time passes between the runs. Asking finds out
// what became of each change, and no run hangs.
func TestChangesWithoutAnswersAndNews(t *testing.T) {
	w := newWorld(t)
	w.withChanges(t)
	w.cfg.Issuers[0].Rate.RequestsPerSecond, w.cfg.Issuers[0].Rate.Burst = 50, 2
	a, stop := w.start(t)
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Day = time.Hour }))
	w.dropSample(t, "good.csv")
	w.jobInTime(t, a, "pickup")
	w.jobInTime(t, a, "submit")
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Faults = d1sim.Faults{ResetAfter: 0.5, LostNotifications: 1} }))
	w.dropChanges(t, "lost.csv", 1, ask(issuance.Cancel, order("01")), ask(issuance.Redirect, order("02")), ask(issuance.Accelerate, order("03")),
		ask(issuance.Redirect, order("04")), ask(issuance.Cancel, order("04")), ask(issuance.AccelerateAndRedirect, order("05")))
	w.jobInTime(t, a, "pickup")
	for range 12 {
		w.jobInTime(t, a, "change")
		w.wait(3 * time.Hour)
	}
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Faults.ResetAfter = 0 }))
	for range 3 {
		w.jobInTime(t, a, "change")
		w.wait(3 * time.Hour)
	}
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Day, s.Faults = 5*time.Millisecond, d1sim.Faults{} }))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, w.sim.WaitFinal(ctx, w.sim.Summary().OrdersAccepted))
	w.jobInTime(t, a, "report")
	want := map[string]string{order("01"): "CANCEL done", order("02"): "REDIRECT done", order("03"): "ACCELERATE done",
		order("04"): "REDIRECT doneCANCEL done", order("05"): "ACCELERATE_AND_REDIRECT done"}
	if diff := cmp.Diff(want, w.dispositions(t, "lost")); diff != "" {
		t.Errorf("%s\n%s", diff, strings.Join(w.told(t), "\n"))
	}
	if sum := w.sim.Summary(); sum.Cancelled != 2 || sum.ProducedTwice != 0 {
		t.Errorf("D1's ledger: %+v", sum)
	}
	stop()
	w.balances(t)
}

// told lists the faults that the simulator made.
func (w *world) told(t *testing.T) (lines []string) {
	t.Helper()
	for name, n := range w.sim.FaultCounts() {
		lines = append(lines, fmt.Sprint(name, " ", n))
	}
	return lines
}
