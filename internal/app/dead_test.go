package app_test

import (
	"strings"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/calendar"
	"cardbatch/internal/config"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/store"
)

// forecasts looks at the store as `cardbatch batches` does.
func (w *world) forecasts(t *testing.T) (all []app.Forecast) {
	t.Helper()
	now := func() time.Time { return time.Now().UTC() }
	st, err := app.OpenStore(t.Context(), w.cfg, true, now)
	must(t, err)
	defer func(st *store.Store) { must(t, st.Close()) }(st)
	found, err := app.Forecasts(t.Context(), w.cfg, st, now())
	must(t, err)
	for _, f := range found {
		all = append(all, f)
	}
	return all
}

func (w *world) pickUp(t *testing.T, a *app.App) {
	t.Helper()
	if _, err := a.RunJob(t.Context(), "pickup", ""); exitcode.Of(err) != exitcode.Rejected && err != nil {
		t.Fatal(err)
	}
}

// A D1 that is down ends runs with exit code 6, leaves everything ready, and
// gets it when it is back.
func TestD1Down(t *testing.T) {
	w := newWorld(t)
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Faults.TokenDown = true }))
	a, stop := w.start(t)
	w.dropSample(t, "good.csv")
	w.pickUp(t, a)
	for range 3 {
		run, err := a.RunJob(t.Context(), "submit", "")
		if got := exitcode.Of(err); got != exitcode.Unavailable || !strings.Contains(err.Error(), "D1 is unavailable") {
			t.Fatalf("exit code %d, %v, summary %s", got, err, run.Summary)
		}
	}
	if n, err := a.Ready(t.Context()); n != 18 || err != nil {
		t.Errorf("%d orders are ready, %v", n, err)
	}
	if all := w.forecasts(t); len(all) != 1 || all[0].Ready != 18 || all[0].Done.IsZero() || all[0].Observed {
		t.Errorf("forecasts %+v", all)
	}
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Faults.TokenDown = false }))
	_, err := a.RunJob(t.Context(), "submit", "")
	must(t, err)
	if n, err := a.Ready(t.Context()); n != 0 || err != nil {
		t.Errorf("%d orders are ready, %v", n, err)
	}
	if sum := w.sim.Summary(); sum.OrdersReceived != 18 {
		t.Errorf("D1 received %d orders", sum.OrdersReceived)
	}
	if all := w.forecasts(t); len(all) != 0 {
		t.Errorf("forecasts %+v", all)
	}
	stop()
}

// Outside the window a run is idle and says until when.
func TestOutsideTheWindow(t *testing.T) {
	w := newWorld(t)
	minute := calendar.TimeOfDay(time.Now().In(w.cfg.Issuers[0].TimeZone.Location).Add(3*time.Hour).Hour() * 60)
	to := (minute + 60) % (24 * 60)
	w.cfg.Issuers[0].Submit.Windows = []config.Window{{From: &minute, To: &to}}
	a, stop := w.start(t)
	w.dropSample(t, "good.csv")
	w.pickUp(t, a)
	run, err := a.RunJob(t.Context(), "submit", "")
	if err != nil || !strings.Contains(run.Summary, `"opens_at":"`) || !strings.Contains(run.Summary, `"claimed":0`) {
		t.Errorf("summary %s, error %v", run.Summary, err)
	}
	if n, err := a.Ready(t.Context()); n != 18 || err != nil {
		t.Errorf("%d orders are ready, %v", n, err)
	}
	if all := w.forecasts(t); len(all) != 1 || time.Until(all[0].Done) < time.Hour {
		t.Errorf("forecasts %+v", all)
	}
	stop()
}
