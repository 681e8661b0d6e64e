package submit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/sealed"
)

func TestStopRules(t *testing.T) {
	refusal := func(reason string) error {
		return &retry.Error{Class: retry.Refused, Status: 400, Code: "FIELD_INVALID_VALUE", Reason: reason}
	}
	down := &retry.Error{Class: retry.NotDone, Code: retry.CodeTransport, Unavailable: true}
	busy := &retry.Error{Class: retry.Unknown, Status: 503, Code: "HTTP_503", Unavailable: true}
	broken := &retry.Error{Class: retry.Unknown, Status: 500, Code: "HTTP_500"}
	unauthorized := &retry.Error{Class: retry.Stop, Status: 401, Code: "AUTHORIZER_UNAUTHORIZED"}
	for name, tt := range map[string]struct {
		answer func(i int) error
		want   error
		states states
	}{
		"the same refusal from the start": {
			func(int) error { return refusal("paymentApplication") }, ErrRefusals,
			states{issuance.Refused: 20, issuance.Ready: 180}},
		"two refusals in turn are not the same": {
			func(i int) error { return refusal(fmt.Sprint(i % 2)) }, nil,
			states{issuance.Refused: 200}},
		"something accepted in between": {
			func(i int) error {
				if i%20 == 0 {
					return nil
				}
				return refusal("city")
			}, nil, states{issuance.Refused: 190, issuance.Submitted: 10}},
		"D1 out of reach": {func(int) error { return down }, ErrUnavailable, states{issuance.Ready: 200}},
		"D1 without a usable answer": {func(int) error { return broken }, ErrUnavailable,
			states{issuance.Unknown: 10, issuance.Ready: 190}},
		"D1 down from the start": {func(int) error { return busy }, ErrUnavailable,
			states{issuance.Unknown: 3, issuance.Ready: 197}},
		"D1 down after a while": {
			func(i int) error {
				if i > 100 {
					return busy
				}
				return nil
			}, ErrUnavailable, states{issuance.Submitted: 100, issuance.Unknown: 5, issuance.Ready: 95}},
		"out of reach now and then": {
			func(i int) error {
				if i%3 == 0 {
					return down
				}
				return nil
			}, nil, states{issuance.Submitted: 134, issuance.Ready: 66}},
		"token not accepted": {func(int) error { return unauthorized }, ErrSetUp, states{issuance.Ready: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 200, Config{InFlight: 1, RetryWait: time.Hour}, func(_ context.Context, i int, _ issuance.Claim) (string, error) {
					return "", tt.answer(i)
				})
				sum, err := b.RunOnce(t.Context())
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if (sum.Stopped != "") != (tt.want != nil) {
					t.Errorf("stopped %q", sum.Stopped)
				}
				b.check(t, tt.states)
				for _, o := range b.store.orders {
					if o.State == issuance.Ready && o.Attempts != 0 {
						t.Fatalf("an order that was not sent has %d attempts", o.Attempts)
					}
				}
			})
		})
	}
}

// A set-up that D1 refuses from the start costs no more than it takes to see it,
// however wide the run might have gone.
func TestRefusalsFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 200, Config{InFlight: 16}, func(context.Context, int, issuance.Claim) (string, error) {
			wait(20 * time.Millisecond)
			return "", &retry.Error{Class: retry.Refused, Status: 403, Code: "FORBIDDEN_OPERATION"}
		})
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrRefusals) {
			t.Fatalf("error %v", err)
		}
		b.check(t, states{issuance.Refused: 20, issuance.Ready: 180})
	})
}

// With too few orders for a rule of so many in a row, a run that found nobody
// says so all the same.
func TestFewOrders(t *testing.T) {
	for name, tt := range map[string]struct {
		answer error
		want   error
		states states
	}{
		"out of reach":     {retry.Transport(errors.New("connection refused"), false), ErrUnavailable, states{issuance.Ready: 2}},
		"no usable answer": {&retry.Error{Class: retry.Unknown, Status: 503, Unavailable: true}, ErrUnavailable, states{issuance.Unknown: 2}},
		"too busy":         {&retry.Error{Class: retry.NotDone, Status: 429}, nil, states{issuance.Ready: 2}},
		"there already":    {&retry.Error{Class: retry.Refused, Status: 409}, nil, states{issuance.Unknown: 2}},
		"refused":          {&retry.Error{Class: retry.Refused, Status: 400}, nil, states{issuance.Refused: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 2, Config{}, func(context.Context, int, issuance.Claim) (string, error) { return "", tt.answer })
				if _, err := b.RunOnce(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				b.check(t, tt.states)
			})
		})
	}
}

// A bug that one order or answer brings out ends neither the daemon nor the
// run. Nobody knows how far the request got.
func TestPanicWhileSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 40, Config{InFlight: 4}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			if c.OrderID == "ord-00020" {
				panic("4111111111111111")
			}
			return accept(ctx, i, c)
		})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 39, issuance.Unknown: 1})
		if log := b.log.String(); strings.Contains(log, "4111") || !strings.Contains(log, "panic") {
			t.Errorf("the log says %s", log)
		}
	})
}

// A claim may wait long for the rate limit, an hour when D1 says so. What comes
// to be known of the order meanwhile must keep it from being sent.
func TestNewsWhileAClaimWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		attempts int // before
		waits    time.Duration
		news     func(s *fakeStore)
		state    issuance.State
	}{
		"D1 reports on an earlier attempt": {1, time.Second,
			func(s *fakeStore) { _ = s.notify(production("ord-00001")) }, issuance.Submitted},
		"another process took us for dead": {0, 10 * time.Minute, (*fakeStore).recover, issuance.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 1, Config{}, accept)
				b.store.orders[0].Attempts = tt.attempts
				b.limiter.limit = make(chan struct{})
				ended := make(chan error)
				go func() { _, err := b.RunOnce(t.Context()); ended <- err }()
				synctest.Wait()
				tt.news(b.store)
				wait(tt.waits)
				close(b.limiter.limit)
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if len(b.sent) != 0 {
					t.Errorf("sent %q", b.sent)
				}
				b.check(t, states{tt.state: 1})
			})
		})
	}
}

// The job comes back every minute all night: what stopped the last run must not
// cost as much again, or a mistake in the set-up refuses the file bit by bit.
func TestRefusalsGoOnInTheNextRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mended := false
		b := newBench(t, 200, Config{InFlight: 16}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			if mended {
				return accept(ctx, i, c)
			}
			return "", &retry.Error{Class: retry.Refused, Status: 403, Code: "FORBIDDEN_OPERATION"}
		})
		for range 10 {
			if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrRefusals) {
				t.Fatalf("error %v", err)
			}
		}
		b.check(t, states{issuance.Refused: 20 + 9, issuance.Ready: 180 - 9})
		mended = true
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Refused: 20 + 9, issuance.Submitted: 180 - 9})
	})
}

// With many requests in flight, a stop costs at most those on top.
func TestRefusalsWhileWide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 2000, Config{InFlight: 16}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			wait(20 * time.Millisecond)
			if i <= 500 {
				return accept(ctx, i, c)
			}
			return "", &retry.Error{Class: retry.Refused, Status: 403, Code: "FORBIDDEN_OPERATION"}
		})
		sum, err := b.RunOnce(t.Context())
		if !errors.Is(err, ErrRefusals) {
			t.Fatalf("error %v", err)
		}
		if sum.Refused < 20 || sum.Refused > 20+16 {
			t.Errorf("%d orders were refused before the run stopped", sum.Refused)
		}
		b.check(t, states{issuance.Submitted: 500, issuance.Refused: sum.Refused, issuance.Ready: 1500 - sum.Refused})
	})
}

func TestUnreadablePayloadsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 100, Config{}, accept)
		for ref := range b.store.payloads {
			b.store.payloads[ref] = []byte("of another key")
		}
		_, err := b.RunOnce(t.Context())
		if !errors.Is(err, ErrPayloads) {
			t.Errorf("error %v", err)
		}
		b.check(t, states{issuance.Held: 20, issuance.Ready: 80})
	})
}

// A key that is not there may come back; no order is blamed for it.
func TestMissingKeyStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 100, Config{}, accept)
		b.Opener = keyless{}
		_, err := b.RunOnce(t.Context())
		if missing := new(sealed.UnknownKeyError); !errors.Is(err, ErrPayloads) || !errors.As(err, &missing) {
			t.Errorf("error %v", err)
		}
		b.check(t, states{issuance.Ready: 100})
	})
}

type keyless struct{}

func (keyless) Open(_, _ []byte) ([]byte, error) { return nil, &sealed.UnknownKeyError{KeyID: "gone"} }

func TestLimiterOutOfOrderStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 10, Config{}, accept)
		b.limiter.err = errStore
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("error %v", err)
		}
		b.check(t, states{issuance.Ready: 10})
	})
}

func TestClaimFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 10, Config{}, accept)
		b.store.fail = func(string) error { return errStore }
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("error %v", err)
		}
		b.check(t, states{issuance.Ready: 10})
	})
}

// Requests in flight finish, what was not sent becomes ready again, and no
// attempt is counted for it.
// A claim whose answer is lost holds orders that nobody sends. They must not
// wait for the end of the process.
func TestClaimWithoutAnAnswer(t *testing.T) {
	b := newBench(t, 3, Config{ClaimSize: 2}, accept)
	lost := errors.New("no answer")
	b.store.claimed = func() error {
		b.store.claimed = nil
		return lost
	}
	if _, err := b.RunOnce(t.Context()); !errors.Is(err, lost) {
		t.Fatalf("error %v", err)
	}
	b.check(t, map[issuance.State]int{issuance.Submitting: 2, issuance.Ready: 1})
	if _, err := b.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	// D1 is asked about them: that they were not sent is for D1 to say.
	b.check(t, map[issuance.State]int{issuance.Unknown: 2, issuance.Submitted: 1})
	if len(b.sent) != 1 {
		t.Errorf("sent %v", b.sent)
	}
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(t, 100, Config{InFlight: 4}, func(_ context.Context, i int, c issuance.Claim) (string, error) {
			if i == 10 {
				cancel()
			}
			wait(5 * time.Second)
			return accept(ctx, i, c)
		})
		sum, err := b.RunOnce(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		sent := len(b.sent)
		if sent < 10 || sent > 13 {
			t.Errorf("%d orders were sent", sent)
		}
		b.check(t, states{issuance.Submitted: sent, issuance.Ready: 100 - sent})
		if sum.Submitted != sent || sum.Released != sum.Claimed-sent {
			t.Errorf("summary %+v", sum)
		}
	})
}

func TestDrainLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(t, 10, Config{InFlight: 4, DrainLimit: 3 * time.Second}, func(call context.Context, i int, c issuance.Claim) (string, error) {
			if i == 1 {
				return accept(ctx, i, c)
			}
			if i == 5 {
				cancel()
			}
			<-call.Done()
			return "", retry.Transport(call.Err(), true)
		})
		start := time.Now()
		sum, err := b.RunOnce(ctx)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("drained for %s", took)
		}
		b.check(t, states{issuance.Submitted: 1, issuance.Unknown: 4, issuance.Ready: 5})
		if sum.Unknown != 4 {
			t.Errorf("summary %+v", sum)
		}
	})
}

// Orders that wait for the rate limit must not keep a run from ending.
func TestDrainWhileWaitingForTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 10, Config{InFlight: 4}, accept)
		b.limiter.limit = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.RunOnce(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		b.check(t, states{issuance.Ready: 10})
	})
}

// While outcomes cannot be recorded nothing more is sent.
func TestStoreDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 300, Config{InFlight: 4, ClaimSize: 50}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			wait(10 * time.Millisecond)
			return accept(ctx, i, c)
		})
		down, atFirst := 0, 0
		b.store.fail = func(op string) error {
			if op != "record" || down == 5 {
				return nil
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			if down == 0 {
				atFirst = len(b.sent)
			}
			down++
			if more := len(b.sent) - atFirst; more > 4 {
				t.Errorf("%d more orders were sent while the store was down", more)
			}
			return errStore
		}
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 300})
		if len(b.sent) != 300 {
			t.Errorf("%d requests for 300 orders", len(b.sent))
		}
	})
}

// Outcomes that the store never took are recorded by the next run, before
// anything else happens.
func TestStoreDownForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 100, Config{InFlight: 4, DrainLimit: 5 * time.Second}, accept)
		b.store.fail = func(op string) error {
			if op == "claim" || op == "forsake" {
				return nil
			}
			return errStore
		}
		start := time.Now()
		sum, err := b.RunOnce(t.Context())
		if !errors.Is(err, errStore) {
			t.Fatalf("error %v", err)
		}
		if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("gave up after %s", took)
		}
		if sum.Submitted == 0 || sum.Submitted+sum.Released != sum.Claimed {
			t.Errorf("summary %+v", sum)
		}
		b.check(t, states{issuance.Submitting: sum.Claimed, issuance.Ready: 100 - sum.Claimed})

		sent := len(b.sent)
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, errStore) || len(b.sent) != sent {
			t.Errorf("sent %d orders more, error %v", len(b.sent)-sent, err)
		}
		b.store.fail = nil
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Submitted: 100})
		if len(b.sent) != 100 {
			t.Errorf("%d requests for 100 orders", len(b.sent))
		}
	})
}

// The words of a refusal may name the order. It is the same refusal all the same.
func TestRefusalsThatNameTheOrder(t *testing.T) {
	for name, says := range map[string]func(issuance.Claim) *retry.Error{
		"its card": func(c issuance.Claim) *retry.Error {
			return &retry.Error{Class: retry.Refused, Status: 400, Code: "FIELD_INVALID_VALUE", Reason: "no product for " + c.CardID}
		},
		"something else of it": func(c issuance.Claim) *retry.Error {
			return &retry.Error{Class: retry.Refused, Status: 404, Code: "CONSUMER_NOT_FOUND", Reason: "consumer x-" + c.OrderID[4:]}
		},
		"a duplicate at the first attempt": func(issuance.Claim) *retry.Error {
			return &retry.Error{Class: retry.Refused, Status: 409, Code: "CONFLICT"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, 200, Config{InFlight: 16}, func(_ context.Context, _ int, c issuance.Claim) (string, error) {
					wait(20 * time.Millisecond)
					return "", says(c)
				})
				if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrRefusals) {
					t.Errorf("error %v", err)
				}
				if c := b.store.count(); c[issuance.Ready] != 180 || c[issuance.Refused]+c[issuance.Unknown] != 20 {
					t.Errorf("states %v", c)
				}
			})
		})
	}
}
