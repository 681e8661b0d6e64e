package submit_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/submit"
)

// finish runs submit and track by turns until nothing is left to do.
func (n *node) finish(t *testing.T, runs int) map[issuance.State]int64 {
	t.Helper()
	for range runs {
		// A stop is what the faults are for; the next run goes on.
		if _, err := n.submit.RunOnce(t.Context()); err != nil {
			t.Logf("submit: %v", err)
		}
		if _, err := n.track.RunOnce(t.Context()); err != nil {
			t.Logf("track: %v", err)
		}
		if c := n.count(t.Context()); c[issuance.Ready]+c[issuance.Submitting]+c[issuance.Unknown] == 0 {
			return c
		}
		<-time.After(2 * time.Millisecond) // let what is unknown settle
	}
	return n.count(t.Context())
}

// A D1 that forgets issuerRequestIds, and connections that break at the worst
// moment: each card is produced once all the same, and none is lost.
func TestResetsAgainstABlindD1(t *testing.T) {
	t.Parallel()
	r := newRig(t, d1sim.Settings{Duplicates: d1sim.DuplicatesBlind,
		Faults: d1sim.Faults{ResetBefore: 0.05, ResetAfter: 0.1, ErrorBefore: 0.05, ErrorAfter: 0.05}})
	n := r.start(t.Context(), submit.Config{InFlight: 8, ClaimSize: 50, Settle: time.Millisecond,
		RetryWait: time.Millisecond, UnknownStop: 1000, UnreachableStop: 1000}, r.send)
	n.load(t.Context(), 500)
	if c := n.finish(t, 200); c[issuance.Submitted] != 500 {
		t.Errorf("states: %v", c)
	}
	sum := r.sim.Summary()
	if sum.ProducedTwice != 0 || sum.CardsProduced != 500 {
		t.Errorf("%d cards produced for 500 orders, %d orders twice", sum.CardsProduced, sum.ProducedTwice)
	}
	if sum.FaultsMade < 50 {
		t.Errorf("only %d faults were made", sum.FaultsMade)
	}
}

// The same when D1 answers a repeat with a refusal: that is not a refusal of
// the order.
func TestResetsAgainstARejectingD1(t *testing.T) {
	t.Parallel()
	r := newRig(t, d1sim.Settings{Duplicates: d1sim.DuplicatesReject, Faults: d1sim.Faults{ResetAfter: 0.2}})
	n := r.start(t.Context(), submit.Config{InFlight: 8, ClaimSize: 50, Settle: time.Millisecond,
		RetryWait: time.Millisecond, UnknownStop: 1000, UnreachableStop: 1000}, r.send)
	n.load(t.Context(), 100)
	// productionStatus knows nothing for longer than we are willing to wait, so
	// that orders are sent again that D1 has.
	r.must(r.sim.Adjust(func(s *d1sim.Settings) { s.StatusLag = time.Hour }))
	for i := 0; r.sim.Summary().Repeated == 0; i++ {
		if n.finish(t, 1); i > 1000 {
			t.Fatal("nothing was ever sent again")
		}
	}
	r.must(r.sim.Adjust(func(s *d1sim.Settings) { s.StatusLag = 0 }))
	if c := n.finish(t, 200); c[issuance.Submitted] != 100 {
		t.Errorf("states: %v", c)
	}
	if sum := r.sim.Summary(); sum.CardsProduced != 100 {
		t.Errorf("%d cards produced for 100 orders", sum.CardsProduced)
	}
}

// Processes die one after the other, each in the middle of sending: what they
// left behind is asked about, and nothing is produced twice or lost.
func TestProcessesDie(t *testing.T) {
	t.Parallel()
	r := newRig(t, d1sim.Settings{Duplicates: d1sim.DuplicatesBlind})
	loader := r.start(t.Context(), submit.Config{}, r.send)
	loader.load(t.Context(), 1000)
	loader.close()

	for death := range int64(6) {
		var requests atomic.Int64
		dead := make(chan struct{})
		dying := func(ctx context.Context, c issuance.Claim, body []byte) (string, error) {
			switch n := requests.Add(1); {
			case n > 20+death*7:
				<-t.Context().Done() // the process is gone: it neither sends nor learns
			case n == 20+death*7:
				_, _ = r.send(ctx, c, body) // D1 has it, we never heard
				close(dead)
				<-t.Context().Done()
			}
			return r.send(ctx, c, body)
		}
		n := r.start(t.Context(), submit.Config{InFlight: 4, ClaimSize: 20, FlushEvery: 5 * time.Millisecond}, dying)
		ended := make(chan struct{})
		go func() { defer close(ended); _, _ = n.submit.RunOnce(context.WithoutCancel(t.Context())) }()
		select {
		case <-dead:
		case <-ended:
			t.Fatalf("nothing was left to die over after %d deaths", death)
		}
		n.close() // lets go of the session's lock, as death does
	}

	last := r.start(t.Context(), submit.Config{InFlight: 4, Settle: time.Millisecond}, r.send)
	if c := last.finish(t, 50); c[issuance.Submitted] != 1000 {
		t.Errorf("states: %v", c)
	}
	if sum := r.sim.Summary(); sum.ProducedTwice != 0 || sum.CardsProduced != 1000 {
		t.Errorf("%d cards produced for 1000 orders, %d orders twice", sum.CardsProduced, sum.ProducedTwice)
	}
}

// D1 is down for a while: runs stop at once, nothing is burnt, and later runs
// finish the work.
func TestTokenEndpointDown(t *testing.T) {
	t.Parallel()
	r := newRig(t, d1sim.Settings{Faults: d1sim.Faults{TokenDown: true}})
	n := r.start(t.Context(), submit.Config{InFlight: 4, RetryWait: time.Millisecond}, r.send)
	n.load(t.Context(), 50)
	sum, err := n.submit.RunOnce(t.Context())
	if err == nil || sum.Submitted+sum.Unknown+sum.Refused != 0 {
		t.Errorf("summary %+v, error %v", sum, err)
	}
	if c := n.count(t.Context()); c[issuance.Ready] != 50 {
		t.Errorf("states: %v", c)
	}
}

// TestTwoProcesses: a second process on the same store, such as `cardbatch run
// submit` beside the daemon, orders side by side with the first, also about what
// the other has lost.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	const orders = 300
	r := newRig(t, d1sim.Settings{Duplicates: d1sim.DuplicatesBlind})
	var lost atomic.Int64
	lossy := func(ctx context.Context, c issuance.Claim, body []byte) (string, error) {
		id, err := r.send(ctx, c, body)
		if err == nil && lost.Add(1)%7 == 0 {
			return "", retry.Transport(errors.New("connection reset"), true)
		}
		return id, err
	}
	cfg := submit.Config{InFlight: 4, ClaimSize: 16, Settle: time.Millisecond, FlushEvery: time.Millisecond}
	both := []*node{r.start(t.Context(), cfg, lossy), r.start(t.Context(), cfg, lossy)}
	both[0].load(t.Context(), orders)
	var group sync.WaitGroup
	for _, n := range both {
		group.Go(func() {
			for range 30 {
				if _, err := n.submit.RunOnce(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := n.track.RunOnce(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if c := both[1].count(t.Context()); c[issuance.Submitted] != orders {
		t.Errorf("states: %v", c)
	}
	if s := r.sim.Summary(); s.CardsProduced != orders || s.ProducedTwice != 0 {
		t.Errorf("%d cards produced for %d orders, %d orders twice", s.CardsProduced, orders, s.ProducedTwice)
	}
}
