package submit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/sealed"
)

// batchBench is a Runner in batch mode with fakes around it.
type batchBench struct {
	*Runner
	store   *fakeStore
	limiter *fakeLimiter

	mu       sync.Mutex
	requests [][]string // order ids, as they leave
	ids      []string   // correlation ids
}

func newBatchBench(t *testing.T, n int, cfg Config, answer func(ctx context.Context, i int, batch []Sending) (BatchReply, error)) *batchBench {
	t.Helper()
	b := &batchBench{store: newFakeStore(n), limiter: &fakeLimiter{}}
	cfg.IssuerID, cfg.Session = issuer, "session-1"
	send := func(ctx context.Context, correlationID string, batch []Sending) (BatchReply, error) {
		var ids []string
		for _, s := range batch {
			if string(s.Body) != "body of "+s.OrderID {
				t.Errorf("order %s was sent with the body %q", s.OrderID, s.Body)
			}
			ids = append(ids, s.OrderID)
		}
		b.mu.Lock()
		b.requests, b.ids = append(b.requests, ids), append(b.ids, correlationID)
		i := len(b.requests)
		b.mu.Unlock()
		return answer(ctx, i, batch)
	}
	r, err := New(cfg, Deps{Store: b.store, SendBatch: send, Limiter: b.limiter, Opener: fakeOpener{},
		Now: func() time.Time { return time.Now().UTC() }, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = r
	return b
}

func acceptBatch(_ context.Context, _ int, batch []Sending) (BatchReply, error) {
	reply := BatchReply{Results: make([]BatchResult, len(batch))}
	for i, s := range batch {
		reply.Results[i].OperationID = "op-" + s.OrderID
	}
	return reply, nil
}

// allOrNothing refuses a batch with one of the bad orders in it.
func allOrNothing(bad ...string) func(context.Context, int, []Sending) (BatchReply, error) {
	return func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
		for _, s := range batch {
			if slices.Contains(bad, s.OrderID) {
				return BatchReply{}, &retry.Error{Class: retry.Refused, Status: 400, Code: "FIELD_INVALID_VALUE", Reason: "country of " + s.OrderID}
			}
		}
		return acceptBatch(ctx, i, batch)
	}
}

func (b *batchBench) check(t *testing.T, want map[issuance.State]int) {
	t.Helper()
	(&bench{store: b.store, limiter: b.limiter}).check(t, want)
}

// sizes returns how many orders each request had.
func (b *batchBench) sizes() []int {
	var sizes []int
	for _, r := range b.requests {
		sizes = append(sizes, len(r))
	}
	return sizes
}

// A run begins with one order alone and then fills its requests.
func TestBatchesAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 1000, Config{InFlight: 1, ClaimSize: 10, Batch: BatchConfig{MaxOrders: 64}}, acceptBatch)
		sum, err := b.RunOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 1000})
		if sum.Submitted != 1000 || sum.Claimed != 1000 || sum.Requests != len(b.requests) {
			t.Errorf("summary %+v", sum)
		}
		sizes := b.sizes()
		if sizes[0] != 1 || slices.Max(sizes) != 64 || len(sizes) > 1000/64+4 {
			t.Errorf("sizes %v", sizes)
		}
		if o := b.store.orders[700]; o.OperationID != "op-"+o.OrderID {
			t.Errorf("operation id is %q", o.OperationID)
		}
		slices.Sort(b.ids)
		if n := len(b.ids); len(slices.Compact(b.ids)) != n {
			t.Error("requests share a correlation id")
		}
	})
}

func TestARefusedBatchIsHalved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := []string{"ord-00017", "ord-00040", "ord-00041"}
		b := newBatchBench(t, 200, Config{InFlight: 3, Batch: BatchConfig{MaxOrders: 50}}, allOrNothing(bad...))
		sum, err := b.RunOnce(t.Context())
		if err != nil || sum.Refused != 3 || !sum.Rejected() {
			t.Fatalf("summary %+v, %v", sum, err)
		}
		b.check(t, states{issuance.Submitted: 197, issuance.Refused: 3})
		for _, o := range b.store.orders {
			if (o.State == issuance.Refused) != slices.Contains(bad, o.OrderID) {
				t.Errorf("order %s is %s", o.OrderID, o.State)
			}
			if o.State == issuance.Refused && (o.Code != "FIELD_INVALID_VALUE" || o.Reason != "country of "+o.OrderID || o.Attempts != 1) {
				t.Errorf("order %s was refused with %q, %q after %d attempts", o.OrderID, o.Code, o.Reason, o.Attempts)
			}
		}
		// What was accepted is never in another request.
		times := map[string]int{}
		for _, r := range b.requests {
			if ok := !slices.ContainsFunc(r, func(id string) bool { return slices.Contains(bad, id) }); ok {
				for _, id := range r {
					times[id]++
				}
			}
		}
		for id, n := range times {
			if n != 1 {
				t.Errorf("order %s was accepted %d times", id, n)
			}
		}
		if len(b.requests) > 60 {
			t.Errorf("%d requests", len(b.requests))
		}
	})
}

// A wrong set-up refuses everything. That ends after as many orders as it does
// when they go one by one, and the halves that were not sent stay ready.
func TestBatchRefusalsStopTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := false
		b := newBatchBench(t, 300, Config{InFlight: 2, RefusalStop: 5, Batch: BatchConfig{MaxOrders: 100}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				if !open {
					open = true
					return acceptBatch(ctx, i, batch)
				}
				return BatchReply{}, &retry.Error{Class: retry.Refused, Status: 403, Code: "FORBIDDEN_OPERATION"}
			})
		_, err := b.RunOnce(t.Context())
		if !errors.Is(err, ErrRefusals) {
			t.Fatalf("got %v", err)
		}
		c := b.store.count()
		if c[issuance.Submitted] != 1 || c[issuance.Refused] < 5 || c[issuance.Refused] > 6 || c[issuance.Ready] != 299-c[issuance.Refused] {
			t.Errorf("states %v", c)
		}
	})
}

func TestATooLargeBatchIsHalvedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tooLarge := 0
		b := newBatchBench(t, 400, Config{InFlight: 1, Batch: BatchConfig{MaxOrders: 100}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				if len(batch) > 30 {
					tooLarge++
					return BatchReply{}, &retry.Error{Class: retry.Refused, Status: 413, Code: "HTTP_413"}
				}
				return acceptBatch(ctx, i, batch)
			})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 400})
		if tooLarge > 3 { // 100, 50 and perhaps 50 again
			t.Errorf("%d requests were too large: %v", tooLarge, b.sizes())
		}
	})
}

// One order that is too large for D1 on its own is refused, and only that.
func TestAnOrderThatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 20, Config{InFlight: 1, Batch: BatchConfig{MaxOrders: 8}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				if slices.ContainsFunc(batch, func(s Sending) bool { return s.OrderID == "ord-00010" }) {
					return BatchReply{}, &retry.Error{Class: retry.Refused, Status: 413, Code: "HTTP_413"}
				}
				return acceptBatch(ctx, i, batch)
			})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 19, issuance.Refused: 1})
	})
}

func TestBatchKeepsToItsSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		b := newBatchBench(t, 200, Config{InFlight: 2, Batch: BatchConfig{MaxOrders: 100, MaxBody: most}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				size := 0
				for _, s := range batch {
					size += len(s.Body) + len(s.CardID) + 16
				}
				if size > most {
					t.Errorf("a request of %d bytes", size)
				}
				return acceptBatch(ctx, i, batch)
			})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 200})
		if slices.Max(b.sizes()) < 8 {
			t.Errorf("sizes %v", b.sizes())
		}
	})
}

// An answer may name the card alone, so no request has two orders of a card.
func TestACardIsOnceInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 120, Config{InFlight: 3, Batch: BatchConfig{MaxOrders: 40}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				cards := map[string]bool{}
				for _, s := range batch {
					if cards[s.CardID] {
						t.Errorf("%s is twice in a request", s.CardID)
					}
					cards[s.CardID] = true
				}
				wait(time.Duration(i%3) * time.Millisecond)
				return acceptBatch(ctx, i, batch)
			})
		for i, o := range b.store.orders {
			o.CardID = fmt.Sprintf("card-%d", i%7)
		}
		sum, err := b.RunOnce(t.Context())
		if err != nil || sum.Released != 0 {
			t.Fatalf("%+v, %v", sum, err)
		}
		b.check(t, states{issuance.Submitted: 120})
	})
}

// TestBatchOutcomes states what a failed request means for its orders: the same
// as for a single one.
func TestBatchOutcomes(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want states
		stop error
	}{
		"lost":         {retry.Transport(errors.New("reset"), true), states{issuance.Submitted: 1, issuance.Unknown: 9}, nil},
		"server error": {&retry.Error{Class: retry.Unknown, Status: 500}, states{issuance.Submitted: 1, issuance.Unknown: 9}, nil},
		"unclassified": {errors.New("what?"), states{issuance.Submitted: 1, issuance.Unknown: 9}, nil},
		"not sent":     {retry.Transport(errors.New("refused"), false), states{issuance.Submitted: 1, issuance.Ready: 9}, nil},
		"throttled":    {&retry.Error{Class: retry.NotDone, Status: 429, After: time.Minute}, states{issuance.Submitted: 1, issuance.Ready: 9}, nil},
		"wrong token":  {&retry.Error{Class: retry.Stop, Status: 401}, states{issuance.Submitted: 1, issuance.Ready: 9}, ErrSetUp},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBatchBench(t, 10, Config{InFlight: 1}, func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
					if i == 1 {
						return acceptBatch(ctx, i, batch)
					}
					return BatchReply{}, tt.err
				})
				if _, err := b.RunOnce(t.Context()); !errors.Is(err, tt.stop) {
					t.Errorf("got %v, want %v", err, tt.stop)
				}
				b.check(t, tt.want)
				for _, o := range b.store.orders[1:] {
					if o.State == issuance.Ready && o.Attempts != 0 || o.State == issuance.Unknown && o.NextAttemptAt.IsZero() {
						t.Errorf("order %s: %d attempts, next at %s", o.OrderID, o.Attempts, o.NextAttemptAt)
					}
				}
				if name == "throttled" && len(b.limiter.slow) != 1 {
					t.Errorf("the limiter was slowed %d times", len(b.limiter.slow))
				}
			})
		})
	}
}

// What was said of each order counts for that order alone.
func TestBatchResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 5, Config{InFlight: 1}, func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
			reply, _ := acceptBatch(ctx, i, batch)
			if i > 1 {
				reply.Results[0] = BatchResult{Err: &retry.Error{Class: retry.Refused, Code: "E"}}
				reply.Results[1] = BatchResult{Err: &retry.Error{Class: retry.Unknown, Status: 202, Code: "NOT_IN_ANSWER", Reason: "not named"}}
				reply.Results[2] = BatchResult{Err: &retry.Error{Class: retry.Unknown, Status: 202, Code: "DUPLICATE_REQUEST"}}
			}
			return reply, nil
		})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 2, issuance.Refused: 1, issuance.Unknown: 2})
	})
}

// A reply that does not fit and a panic prove nothing.
func TestABatchReplyThatProvesNothing(t *testing.T) {
	for name, answer := range map[string]func() (BatchReply, error){
		"short": func() (BatchReply, error) { return BatchReply{Results: make([]BatchResult, 1)}, nil },
		"panic": func() (BatchReply, error) { panic("of card data") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBatchBench(t, 5, Config{InFlight: 1}, func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
					if i == 1 {
						return acceptBatch(ctx, i, batch)
					}
					return answer()
				})
				if _, err := b.RunOnce(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.check(t, states{issuance.Submitted: 1, issuance.Unknown: 4})
			})
		})
	}
}

// A D1 that gives no usable answers costs fewer and fewer orders, and then stops the run.
func TestUnclearBatchesGetSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 2000, Config{InFlight: 1, UnknownStop: 6, Batch: BatchConfig{MaxOrders: 200}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				if i == 1 {
					return acceptBatch(ctx, i, batch)
				}
				return BatchReply{}, &retry.Error{Class: retry.Unknown, Status: 202, Code: "ANSWER_UNCLEAR"}
			})
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("got %v", err)
		}
		c := b.store.count()
		if c[issuance.Submitted] != 1 || c[issuance.Unknown] > 200+100+50+25+12+6 || c[issuance.Unknown]+c[issuance.Ready] != 1999 {
			t.Errorf("states %v after requests of %v orders", c, b.sizes())
		}
	})
}

func TestBatchPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 10, Config{InFlight: 1}, acceptBatch)
		b.store.payloads[b.store.orders[0].Ref] = nil
		b.store.payloads[b.store.orders[5].Ref] = []byte("of another order")
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 8, issuance.Held: 2})
	})
}

type keylessOpener struct{}

func (keylessOpener) Open(_, _ []byte) ([]byte, error) { return nil, &sealed.UnknownKeyError{} }

func TestBatchWithoutTheSealingKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 10, Config{InFlight: 1}, acceptBatch)
		b.Opener = keylessOpener{}
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrPayloads) {
			t.Errorf("got %v", err)
		}
		b.check(t, states{issuance.Ready: 10})
	})
}

// Told to end while a refused batch is being halved: what was not sent in parts
// is ready, and what is in flight has its time.
func TestBatchDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBatchBench(t, 100, Config{InFlight: 1, Batch: BatchConfig{MaxOrders: 100}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				switch i {
				case 2:
					return allOrNothing("ord-00100")(ctx, i, batch)
				case 3:
					cancel()
					wait(10 * time.Second)
				}
				return acceptBatch(ctx, i, batch)
			})
		sum, err := b.RunOnce(ctx)
		if !errors.Is(err, context.Canceled) || sum.Released != 50 {
			t.Errorf("%+v, %v", sum, err)
		}
		b.check(t, states{issuance.Submitted: 50, issuance.Ready: 50})
	})
}

// Told to end while a half waits for its slot: it is given back.
func TestBatchDrainAtTheLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b := newBatchBench(t, 100, Config{InFlight: 1, Batch: BatchConfig{MaxOrders: 100}}, allOrNothing("ord-00100"))
		b.limiter.limit = make(chan struct{}, 3) // the first order, all the others, and their first half
		for range cap(b.limiter.limit) {
			b.limiter.limit <- struct{}{}
		}
		sum, err := b.RunOnce(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || sum.Released != 50 {
			t.Errorf("%+v, %v", sum, err)
		}
		b.check(t, states{issuance.Submitted: 50, issuance.Ready: 50})
	})
}

// A claim that was overtaken while it waited is not sent, nor is it in the way.
func TestBatchLooksAtOldClaimsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *batchBench
		b = newBatchBench(t, 10, Config{InFlight: 1, Settle: time.Second, Batch: BatchConfig{MaxOrders: 9}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				if i == 1 {
					wait(time.Minute) // meanwhile D1 reports on one that waits
					b.store.mu.Lock()
					b.store.orders[4].State = issuance.Submitted
					b.store.mu.Unlock()
				}
				return acceptBatch(ctx, i, batch)
			})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 10})
		if got := b.sizes(); !slices.Equal(got, []int{1, 8}) {
			t.Errorf("sizes %v", got)
		}
	})
}

// While the store takes no outcomes nothing more is sent, no halves either.
func TestHalvesWaitForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		down := func() bool { at := time.Since(start); return at > time.Second && at < 20*time.Second }
		late := 0
		b := newBatchBench(t, 200, Config{InFlight: 1, Batch: BatchConfig{MaxOrders: 199}},
			func(ctx context.Context, i int, batch []Sending) (BatchReply, error) {
				if down() && time.Since(start) > 6*time.Second {
					late++
				}
				wait(600 * time.Millisecond)
				return allOrNothing("ord-00007", "ord-00100")(ctx, i, batch)
			})
		b.store.fail = func(op string) error {
			if op == "record" && down() {
				return errStore
			}
			return nil
		}
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 198, issuance.Refused: 2})
		if late > 0 {
			t.Errorf("%d requests were sent while the store was down", late)
		}
	})
}

// One request is one slot of the rate, also when a batch is halved.
func TestABatchIsOneSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatchBench(t, 100, Config{InFlight: 1, Batch: BatchConfig{MaxOrders: 50}}, allOrNothing("ord-00060"))
		b.limiter.limit = make(chan struct{}, 1000)
		for range cap(b.limiter.limit) {
			b.limiter.limit <- struct{}{}
		}
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if used := cap(b.limiter.limit) - len(b.limiter.limit); used != len(b.requests) {
			t.Errorf("%d slots for %d requests", used, len(b.requests))
		}
	})
}

func TestNewRefusesNonsenseForBatches(t *testing.T) {
	good := newBatchBench(t, 0, Config{}, acceptBatch)
	for name, breakIt := range map[string]func(*Config, *Deps){
		"two ways to send": func(_ *Config, d *Deps) {
			d.Send = func(context.Context, issuance.Claim, []byte) (string, error) { return "", nil }
		},
		"no way to send":  func(_ *Config, d *Deps) { d.SendBatch = nil },
		"negative orders": func(c *Config, _ *Deps) { c.Batch.MaxOrders = -1 },
		"negative size":   func(c *Config, _ *Deps) { c.Batch.MaxBody = -1 },
	} {
		cfg, deps := good.Config, good.Deps
		breakIt(&cfg, &deps)
		if _, err := New(cfg, deps); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
