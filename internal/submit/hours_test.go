package submit

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cardbatch/internal/calendar"
	"cardbatch/internal/issuance"
)

// Waiting implements [Queue].
func (s *fakeStore) Waiting(context.Context, string) ([]issuance.Waiting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []issuance.Waiting
	for _, u := range issuance.Urgencies() {
		w := issuance.Waiting{BatchNo: 1, Urgency: u}
		for _, o := range s.orders {
			if o.State == issuance.Ready && o.Urgency == u {
				w.Orders++
				if !o.NextAttemptAt.After(time.Now()) {
					w.Due++
				}
			}
		}
		if w.Orders > 0 {
			all = append(all, w)
		}
	}
	return all, s.broken("wait")
}

// ClaimUrgent implements [Queue].
func (s *fakeStore) ClaimUrgent(ctx context.Context, issuerID, session string, most int) ([]issuance.Claim, error) {
	s.mu.Lock()
	all := s.orders
	s.orders = nil
	for _, o := range all {
		if o.Urgency == issuance.Urgent {
			s.orders = append(s.orders, o)
		}
	}
	s.mu.Unlock()
	claims, err := s.ClaimReady(ctx, issuerID, session, most)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = all
	return claims, err
}

// queued gives a bench hours and a queue. Every nth order is urgent.
func (b *bench) queued(h *calendar.Hours, nth int) *bench {
	b.Hours, b.Queue = h, b.store
	for i, o := range b.store.orders {
		o.Urgency = issuance.Normal
		if nth > 0 && i%nth == 0 {
			o.Urgency = issuance.Urgent
		}
	}
	return b
}

// A bubble begins at midnight, UTC, on Saturday, 1 January 2000.
func until(minute calendar.TimeOfDay) *calendar.Hours {
	return &calendar.Hours{Zone: time.UTC, Windows: []calendar.Window{{From: 0, To: minute}}}
}

// slowly lets an order take a second.
func slowly(ctx context.Context, i int, c issuance.Claim) (string, error) {
	wait(time.Second)
	return accept(ctx, i, c)
}

func TestWindowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 200, Config{InFlight: 2, ClaimSize: 50}, slowly).queued(until(1), 0)
		start := time.Now()
		sum, err := b.RunOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Minute || took > 62*time.Second {
			t.Errorf("the run took %v", took)
		}
		if sum.Submitted < 115 || sum.Submitted > 121 || sum.Unknown+sum.NotDone != 0 {
			t.Errorf("summary %+v", sum)
		}
		if want := start.Add(24 * time.Hour); sum.OpensAt == nil || !sum.OpensAt.Equal(want) {
			t.Errorf("opens at %v, want %v", sum.OpensAt, want)
		}
		b.check(t, states{issuance.Submitted: sum.Submitted, issuance.Ready: 200 - sum.Submitted})
		for _, o := range b.store.orders {
			if o.State == issuance.Ready && o.Attempts != 0 {
				t.Fatal("an attempt was counted that was not made")
			}
		}

		// Outside the window runs are idle and say so once.
		for range 10 {
			wait(time.Minute)
			if sum, err := b.RunOnce(t.Context()); err != nil || sum.Claimed != 0 || sum.OpensAt == nil {
				t.Fatalf("summary %+v, error %v", sum, err)
			}
		}
		if n := strings.Count(b.log.String(), "wait until 2000-01-02 00:00 UTC"); n != 1 {
			t.Errorf("said %d times until when orders wait:\n%s", n, b.log.String())
		}
		wait(time.Until(start.Add(24 * time.Hour)))
		if sum, err = b.RunOnce(t.Context()); err != nil || sum.OpensAt != nil {
			t.Errorf("summary %+v, error %v", sum, err)
		}
		b.check(t, states{issuance.Submitted: 200})
	})
}

// After the center's cut-off urgent orders go and the others wait for the next
// working day of the center, or as configured.
func TestCutOffPasses(t *testing.T) {
	for name, tt := range map[string]struct {
		wait, urgentWait bool
		submitted        int // of 100, 10 of them urgent, 60 when the cut-off comes
		late             int // by a run after it; the fake does not put urgent ones first
		opens            time.Time
	}{
		"all go":      {false, false, 100, 0, time.Time{}},
		"some wait":   {true, false, 60, 4, time.Date(2000, 1, 5, 0, 0, 0, 0, time.UTC)},
		"all wait":    {true, true, 60, 0, time.Date(2000, 1, 5, 0, 0, 0, 0, time.UTC)},
		"urgent wait": {false, true, 100, 0, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// A Monday, and half a second past: nothing happens at the very moment of the cut-off.
				wait(time.Until(time.Date(2000, 1, 3, 16, 59, 0, 5e8, time.UTC)))
				h := &calendar.Hours{CutOff: &calendar.CutOff{At: 17 * 60, Zone: time.UTC, Wait: tt.wait, UrgentWait: tt.urgentWait,
					Days: calendar.Days{DaysOff: []calendar.Weekday{0, 6}, DatesOff: []calendar.Date{"2000-01-04"}}}}
				b := newBench(t, 100, Config{InFlight: 1, ClaimSize: 10}, slowly).queued(h, 10)
				sum, err := b.RunOnce(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if name == "urgent wait" { // none is left that must
					if again, err := b.RunOnce(t.Context()); err != nil || sum.Submitted+again.Submitted != 100 {
						t.Errorf("summaries %+v, %+v, error %v", sum, again, err)
					}
					return
				}
				if sum.Submitted != tt.submitted {
					t.Errorf("summary %+v", sum)
				}
				late, err := b.RunOnce(t.Context())
				if err != nil || late.Submitted != tt.late {
					t.Errorf("summary %+v, error %v", late, err)
				}
				if tt.wait && (late.OpensAt == nil || !late.OpensAt.Equal(tt.opens)) {
					t.Errorf("opens at %v, want %v", late.OpensAt, tt.opens)
				}
			})
		})
	}
}

// The window ends while D1 is asked for a token: not even urgent orders go.
func TestWindowEndsDuringTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 20, Config{}, accept).queued(until(1), 2)
		wait(50 * time.Second)
		b.Probe = func(context.Context) error { wait(15 * time.Second); return nil }
		sum, err := b.RunOnce(t.Context())
		if err != nil || sum.Claimed != 0 || sum.OpensAt == nil {
			t.Errorf("summary %+v, error %v", sum, err)
		}
		b.check(t, states{issuance.Ready: 20})
	})
}

// The clock is set while a run is under way.
func TestClockLeavesTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 200, Config{InFlight: 1, ClaimSize: 5}, slowly).queued(until(60), 0)
		var shift atomic.Int64
		b.Now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		time.AfterFunc(20*time.Second, func() { shift.Store(int64(3 * time.Hour)) })
		sum, err := b.RunOnce(t.Context())
		if err != nil || sum.Submitted < 20 || sum.Submitted > 30 {
			t.Errorf("summary %+v, error %v", sum, err)
		}
		b.check(t, states{issuance.Submitted: sum.Submitted, issuance.Ready: 200 - sum.Submitted})
	})
}

func TestIdleRunsAreQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 5, Config{}, accept).queued(nil, 0)
		for range 60 {
			if _, err := b.RunOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
			wait(time.Minute)
		}
		if n := strings.Count(b.log.String(), `"level":"info"`); n != 1 {
			t.Errorf("%d lines:\n%s", n, b.log.String())
		}
		if b.log.Reset(); len(b.store.slices) > 3 {
			t.Errorf("%d claims", len(b.store.slices))
		}
		b.store.fail = func(string) error { return errStore }
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("error %v", err)
		}
	})
}

func TestForecastIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 200, Config{InFlight: 1, ClaimSize: 10, PerSecond: 4, ForecastEvery: 30 * time.Second}, slowly).queued(until(2), 0)
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"200 orders wait; at 4.0 a second all are sent by 2000-01-01 00:00 UTC", // as agreed
			"will not be finished by 2000-01-01 00:02 UTC, when the hours for sending end: at 1.0 a second",
			"and the last is sent by 2000-01-02 00:0",
		} {
			if !strings.Contains(b.log.String(), want) {
				t.Errorf("nowhere %q in\n%s", want, b.log.String())
			}
		}
	})
}

func TestPredict(t *testing.T) {
	now := time.Date(2026, 3, 2, 22, 0, 0, 0, time.UTC) // a Monday
	night := &calendar.Hours{Zone: time.UTC, Windows: []calendar.Window{{From: 20 * 60, To: 23 * 60}}}
	cutOff := &calendar.Hours{CutOff: &calendar.CutOff{At: 23 * 60, Zone: time.UTC, Wait: true, Days: calendar.Days{DaysOff: []calendar.Weekday{2}}}}
	clock := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	for name, tt := range map[string]struct {
		hours          *calendar.Hours
		now            time.Time
		urgent, normal int64
		perSecond      float64
		want           Forecast
	}{
		"at all hours":             {nil, now, 600, 3000, 1, Forecast{Done: clock(2, 23, 0)}},
		"within the window":        {night, now, 600, 1200, 1, Forecast{Done: clock(2, 22, 30), Closes: clock(2, 23, 0)}},
		"to its very end":          {night, now, 0, 3600, 1, Forecast{Done: clock(2, 23, 0), Closes: clock(2, 23, 0)}},
		"into the next":            {night, now, 600, 6600, 1, Forecast{Done: clock(3, 21, 0), Closes: clock(2, 23, 0), Left: 3600}},
		"before the window":        {night, clock(2, 12, 0), 0, 3600, 1, Forecast{Done: clock(2, 21, 0)}},
		"over a cut-off":           {cutOff, now, 0, 7200, 1, Forecast{Done: clock(4, 1, 0), Closes: clock(2, 23, 0), Left: 3600}},
		"urgent over a cut-off":    {cutOff, now, 7200, 0, 1, Forecast{Done: clock(3, 0, 0), Closes: clock(2, 23, 0), Left: 3600}},
		"not within a month":       {night, now, 0, 1e9, 1, Forecast{Closes: clock(2, 23, 0), Left: 1e9 - 3600}},
		"nobody knows how quickly": {night, now, 0, 100, 0, Forecast{}},
	} {
		if got := Predict(tt.hours, tt.now, tt.urgent, tt.normal, tt.perSecond); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
