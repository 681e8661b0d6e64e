package submit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/submit"
)

// show is how long the tests of the rate last: CARDBATCH_SHOW_RATE=1m shows
// what a minute looks like, else they last some seconds.
func show(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("CARDBATCH_SHOW_RATE")
	if text == "" {
		return 4 * time.Second
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return length
}

// atRate orders from a D1 that allows limit requests a second, for a time, with
// another limit configured. It returns what D1 has taken and thrown back.
func atRate(t *testing.T, limit, configured float64, length time.Duration) (n *node, taken, thrown int64) {
	t.Helper()
	r := newRig(t, d1sim.Settings{RateLimit: d1sim.RateLimit{PerSecond: limit}, Duplicates: d1sim.DuplicatesBlind})
	n = r.start(t.Context(), submit.Config{InFlight: 8, PerSecond: configured, RetryWait: time.Millisecond}, r.send)
	n.load(t.Context(), int(max(limit, configured)*length.Seconds())+500)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := n.submit.RunOnce(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	s := r.sim.Summary()
	return n, int64(s.OrdersAccepted), int64(s.Throttled)
}

// TestRateAgreed: the limit is fully used and never exceeded. How much is used
// depends on the machine, so only the run that shows it asserts that.
func TestRateAgreed(t *testing.T) {
	t.Parallel()
	const limit = 50
	length := show(t)
	n, taken, thrown := atRate(t, limit, limit, length)
	share := float64(taken) / limit / length.Seconds()
	t.Logf("%d orders in %v: %.1f %% of %d a second, %d times 429", taken, length, 100*share, limit, thrown)
	if thrown != 0 {
		t.Errorf("%d times 429", thrown)
	}
	if length >= time.Minute && share < 0.98 {
		t.Errorf("%.1f %% used", 100*share)
	}
	noneLost(t, n, taken)
}

// TestRateConfiguredTooHigh: it settles below D1's limit and loses no order.
func TestRateConfiguredTooHigh(t *testing.T) {
	t.Parallel()
	const limit = 50
	length := show(t)
	for _, configured := range []float64{60, 100, 500} {
		t.Run(fmt.Sprint(configured), func(t *testing.T) {
			t.Parallel()
			n, taken, thrown := atRate(t, limit, configured, length)
			state := n.limiter.State()
			share := (float64(taken) - 2*limit) / limit / length.Seconds() // D1's bucket holds two seconds' worth
			t.Logf("%d orders in %v: %.1f %% of %d a second besides the burst, %d times 429, %+v", taken, length, 100*share, limit, thrown, state)
			if thrown == 0 && length >= time.Minute { // in seconds, D1's bucket may last
				t.Error("D1 never complained")
			}
			if length >= time.Minute && (share < 0.9 || state.Allowed > 1.1*limit) {
				t.Errorf("%.1f %% used, %+v", 100*share, state)
			}
			noneLost(t, n, taken)
		})
	}
}

// noneLost checks that what D1 has taken is submitted and that the rest is
// ready, or unknown where the end came before the answer.
func noneLost(t *testing.T, n *node, taken int64) {
	t.Helper()
	c := n.count(t.Context())
	if c[issuance.Refused]+c[issuance.Held]+c[issuance.Submitting]+c[issuance.Cancelled] != 0 {
		t.Errorf("states: %v", c)
	}
	if c[issuance.Submitted] > taken || c[issuance.Submitted]+c[issuance.Unknown] < taken {
		t.Errorf("states: %v, while D1 has taken %d", c, taken)
	}
	if s := n.sim.Summary(); s.ProducedTwice != 0 {
		t.Errorf("%d orders were produced twice", s.ProducedTwice)
	}
}
