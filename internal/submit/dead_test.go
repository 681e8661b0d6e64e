package submit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/submit"
)

// illness is what stands in front of D1 and can take its place.
type illness struct {
	next   http.Handler
	mode   atomic.Value // "", "hole", "gateway", and "orders hole" for all but tokens
	healed chan struct{}
}

// newIll returns a rig with an illness in front of D1.
func newIll(t *testing.T) (*rig, *illness) {
	t.Helper()
	front := &illness{healed: make(chan struct{})}
	r := newRig(t, d1sim.Settings{Duplicates: d1sim.DuplicatesBlind}, func(next http.Handler) http.Handler { front.next = next; return front })
	t.Cleanup(func() {
		select {
		case <-front.healed:
		default:
			front.heal()
		}
	})
	return r, front
}

// heal lets D1 be well again; who waits for an answer gets none.
func (i *illness) heal() {
	i.mode.Store("")
	close(i.healed)
}

func (i *illness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch mode, _ := i.mode.Load().(string); {
	case mode == "hole", mode == "orders hole" && !strings.Contains(r.URL.Path, "token"):
		select {
		case <-r.Context().Done():
		case <-i.healed:
		}
		panic(http.ErrAbortHandler)
	case mode == "gateway":
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		i.next.ServeHTTP(w, r)
	}
}

// TestDeadD1 lets D1 be dead for a whole window, in every way there is: no
// attempt is burnt, every run says that D1 is unavailable, everything is ready,
// and the next night sends it, each order once.
func TestDeadD1(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"refused", "hole", "gateway", "token"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r, front := newIll(t)
			client := r.connect(r.url, 300*time.Millisecond)
			switch how {
			case "refused":
				gone := httptest.NewServer(nil)
				gone.Close()
				client = r.connect(gone.URL, 300*time.Millisecond)
			case "token":
				r.must(r.sim.Adjust(func(s *d1sim.Settings) { s.Faults.TokenDown = true }))
			default:
				front.mode.Store(how)
			}
			deps := submit.Deps{
				Send: func(ctx context.Context, c issuance.Claim, body []byte) (string, error) {
					return client.Order(ctx, d1.Call{CardID: c.CardID, CorrelationID: c.CorrelationID, Body: body})
				},
				Probe: func(ctx context.Context) error { return client.Probe(ctx) },
				Ask: func(ctx context.Context, card string) error {
					_, err := client.ProductionStatus(ctx, card, "")
					return err
				},
			}
			n := r.startWith(t.Context(), submit.Config{InFlight: 8, RetryWait: time.Millisecond}, deps)
			n.load(t.Context(), 60)
			for range 3 {
				sum, err := n.submit.RunOnce(t.Context())
				if !errors.Is(err, submit.ErrUnavailable) || sum.Claimed != 0 {
					t.Fatalf("summary %+v, error %v", sum, err)
				}
			}
			if c := n.count(t.Context()); c[issuance.Ready] != 60 || n.submit.Breaker().State != submit.Open {
				t.Errorf("states %v, breaker %+v", c, n.submit.Breaker())
			}
			n.close() // the next night is another process

			client = r.connect(r.url, 0)
			front.heal()
			r.must(r.sim.Adjust(func(s *d1sim.Settings) { s.Faults.TokenDown = false }))
			n = r.startWith(t.Context(), submit.Config{InFlight: 8}, deps)
			if sum, err := n.submit.RunOnce(t.Context()); err != nil || sum.Submitted != 60 {
				t.Errorf("summary %+v, error %v", sum, err)
			}
			if s := r.sim.Summary(); s.CardsProduced != 60 || s.ProducedTwice != 0 {
				t.Errorf("%d cards produced for 60 orders, %d orders twice", s.CardsProduced, s.ProducedTwice)
			}
		})
	}
}

// TestBlackHole: D1 falls silent in the middle of a night while its token
// endpoint goes on. It costs a few orders of unknown outcome, once.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	r, front := newIll(t)
	client := r.connect(r.url, 200*time.Millisecond)
	var sent atomic.Int64
	n := r.startWith(t.Context(), submit.Config{InFlight: 4, Settle: time.Millisecond}, submit.Deps{
		Send: func(ctx context.Context, c issuance.Claim, body []byte) (string, error) {
			if sent.Add(1) == 30 {
				front.mode.Store("orders hole")
			}
			return client.Order(ctx, d1.Call{CardID: c.CardID, CorrelationID: c.CorrelationID, Body: body})
		},
		Probe: client.Probe,
		Ask: func(ctx context.Context, card string) error {
			_, err := client.ProductionStatus(ctx, card, "")
			return err
		},
	})
	n.load(t.Context(), 100)
	for range 4 {
		if _, err := n.submit.RunOnce(t.Context()); !errors.Is(err, submit.ErrUnavailable) {
			t.Fatalf("error %v", err)
		}
	}
	if c := n.count(t.Context()); c[issuance.Unknown] > 9 || c[issuance.Unknown] == 0 || c[issuance.Refused]+c[issuance.Held] != 0 {
		t.Errorf("states: %v", c)
	}
	front.heal()
	if c := n.finish(t, 50); c[issuance.Submitted] != 100 {
		t.Errorf("states: %v", c)
	}
	if s := r.sim.Summary(); s.CardsProduced != 100 || s.ProducedTwice != 0 {
		t.Errorf("%d cards produced for 100 orders, %d orders twice", s.CardsProduced, s.ProducedTwice)
	}
}

// TestUrgentOvertakes: orders go in the order of their urgency over all files,
// and those of an urgent file that arrives while a long run is under way are
// next after what is claimed already.
func TestUrgentOvertakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, d1sim.Settings{})
	var mu sync.Mutex
	var order []string
	var n *node
	const slice = 20
	// One in flight: of two side by side, either may be first.
	n = r.start(t.Context(), submit.Config{InFlight: 1, ClaimSize: slice}, func(ctx context.Context, c issuance.Claim, body []byte) (string, error) {
		mu.Lock()
		order = append(order, c.OrderID[:4])
		arrives := len(order) == 100
		mu.Unlock()
		if arrives {
			n.loadAs(ctx, "urgt", issuance.Urgent, 30)
			mu.Lock()
			order = append(order, "HERE")
			mu.Unlock()
		}
		return r.send(ctx, c, body)
	})
	n.loadAs(t.Context(), "rlxd", issuance.Relaxed, 100)
	n.loadAs(t.Context(), "norm", issuance.Normal, 200)
	n.loadAs(t.Context(), "frst", issuance.Urgent, 10)
	if _, err := n.submit.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	here, overtaken := false, 0
	counts := map[string]int{}
	for _, what := range order {
		switch {
		case what == "HERE":
			here = true
		case what == "norm" && here && counts["urgt"] == 0:
			overtaken++
		case what == "rlxd" && counts["norm"]+counts["urgt"] < 200:
			t.Fatalf("a renewal went after %v", counts)
		}
		counts[what]++
	}
	if overtaken > 3*slice { // one being sent, one waiting, one being claimed
		t.Errorf("%d orders went between the urgent file and its first order", overtaken)
	}
	if counts["urgt"] != 30 || counts["frst"] != 10 || counts["norm"] != 200 || counts["rlxd"] != 100 {
		t.Errorf("sent %v", counts)
	}
	first := 0
	for _, what := range order[:10] {
		if what == "frst" {
			first++
		}
	}
	if first != 10 {
		t.Errorf("sent first: %q", order[:10])
	}
}
