package submit

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// patient is a D1 that can be taken ill, part by part.
type patient struct {
	mu            sync.Mutex
	token, orders error // what they answer
	tokens, asked int   // how often they were
	cards         []string
}

func (p *patient) wire(b *bench) {
	b.Queue = b.store
	b.Probe = func(context.Context) error { p.tokens++; return p.token }
	b.Ask = func(_ context.Context, card string) error {
		p.asked++
		p.cards = append(p.cards, card)
		return p.orders
	}
}

func (p *patient) answer(ctx context.Context, i int, c issuance.Claim) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.token != nil {
		return "", p.token
	}
	if p.orders != nil {
		return "", p.orders
	}
	return accept(ctx, i, c)
}

var (
	noToken = retry.Transport(errors.New("connection refused"), false)
	dead    = retry.Transport(context.DeadlineExceeded, true)
)

// A night in which D1 is dead from the start costs no order anything, and the
// next one sends them all.
func TestDeadAllNight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{token: noToken, orders: dead}
		b := newBench(t, 100, Config{}, p.answer)
		p.wire(b)
		for range 8 * 60 {
			sum, err := b.RunOnce(t.Context())
			if !errors.Is(err, ErrUnavailable) || sum.Claimed != 0 {
				t.Fatalf("summary %+v, error %v", sum, err)
			}
			wait(time.Minute)
		}
		b.check(t, states{issuance.Ready: 100})
		if s := b.Breaker(); s.State != Open || s.Why == "" || time.Since(s.Since) < 8*time.Hour-time.Minute {
			t.Errorf("breaker %+v", s)
		}
		if n := strings.Count(b.log.String(), `"level":"warn"`); n != 1 {
			t.Errorf("%d warnings", n)
		}
		p.token, p.orders = nil, nil
		if sum, err := b.RunOnce(t.Context()); err != nil || sum.Submitted != 100 {
			t.Errorf("summary %+v, error %v", sum, err)
		}
		if s := b.Breaker(); s.State != Closed {
			t.Errorf("breaker %+v", s)
		}
		for _, o := range b.store.orders {
			if o.Attempts != 1 {
				t.Fatalf("%d attempts", o.Attempts)
			}
		}
	})
}

// D1 dies in the middle of a night while its tokens go on: after a few orders
// of unknown outcome no more are risked, however long it takes.
func TestDeadButForTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{}
		b := newBench(t, 1000, Config{InFlight: 4, Settle: 24 * time.Hour}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			if i == 500 {
				p.mu.Lock()
				p.orders = dead
				p.mu.Unlock()
			}
			return p.answer(ctx, i, c)
		})
		p.wire(b)
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("error %v", err)
		}
		unknown := b.store.count()[issuance.Unknown]
		if unknown < 5 || unknown > 8 {
			t.Errorf("%d orders are unknown", unknown)
		}
		for range 60 {
			wait(time.Minute)
			if sum, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) || sum.Claimed != 0 {
				t.Fatalf("summary %+v, error %v", sum, err)
			}
		}
		b.check(t, states{issuance.Submitted: 499, issuance.Unknown: unknown, issuance.Ready: 501 - unknown})
		if p.asked != 60 || p.tokens != 61 {
			t.Errorf("%d questions and %d tokens", p.asked, p.tokens)
		}
		p.orders = &retry.Error{Class: retry.Refused, Status: 404, Code: "HTTP_404"} // any answer will do
		b.store.fail = func(op string) error {
			if op == "claim" {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.orders = nil
			}
			return nil
		}
		if sum, err := b.RunOnce(t.Context()); err != nil || sum.Submitted != 501-unknown {
			t.Errorf("summary %+v, error %v", sum, err)
		}
	})
}

// When D1 is back, one order goes alone; if it gets no answer no other goes.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{token: noToken}
		b := newBench(t, 100, Config{InFlight: 16}, p.answer)
		p.wire(b)
		b.Ask = nil // as in a process that never saw an order fail
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("error %v", err)
		}
		p.token, p.orders = nil, dead
		for n := 1; n <= 3; n++ {
			if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("error %v", err)
			}
			b.check(t, states{issuance.Unknown: n, issuance.Ready: 100 - n})
		}
		p.orders = nil
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.check(t, states{issuance.Unknown: 3, issuance.Submitted: 97})
		for _, code := range []string{"open", "half_open", "closed"} {
			if !strings.Contains(b.log.String(), `"code":"`+code+`"`) {
				t.Errorf("the log does not tell of %s:\n%s", code, b.log.String())
			}
		}
	})
}

// A process begins with a probe, once, and only when there is something to send.
func TestProbeAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{}
		b := newBench(t, 0, Config{}, p.answer)
		p.wire(b)
		if _, err := b.RunOnce(t.Context()); err != nil || p.tokens != 0 {
			t.Errorf("%d probes for nothing, %v", p.tokens, err)
		}
		full := newFakeStore(10)
		b.store.orders, b.store.payloads = full.orders, full.payloads
		p.token = &retry.Error{Class: retry.Stop, Status: 401, Code: "TOKEN"}
		if sum, err := b.RunOnce(t.Context()); !errors.Is(err, ErrSetUp) || sum.Claimed != 0 {
			t.Errorf("summary %+v, error %v", sum, err)
		}
		p.token = nil
		for range 3 {
			if _, err := b.RunOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if p.tokens != 2 {
			t.Errorf("%d probes", p.tokens)
		}
		b.check(t, states{issuance.Submitted: 10})
	})
}

func TestProbeIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(t, 10, Config{}, accept)
		b.Probe = func(ctx context.Context) error { cancel(); return retry.Transport(ctx.Err(), false) }
		if _, err := b.RunOnce(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v", err)
		}
		if s := b.Breaker(); s.State != HalfOpen {
			t.Errorf("breaker %+v", s)
		}
		b.check(t, states{issuance.Ready: 10})
	})
}

// D1 stumbles over one card, for orders and questions alike: that card must not
// keep all others from being sent.
func TestOneCardThatD1StumblesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stumbles := &retry.Error{Class: retry.Unknown, Status: 500, Code: "HTTP_500", Unavailable: true}
		b := newBench(t, 1, Config{Settle: 24 * time.Hour}, func(ctx context.Context, i int, c issuance.Claim) (string, error) {
			if c.CardID == "card-00001" {
				return "", stumbles
			}
			return accept(ctx, i, c)
		})
		(&patient{}).wire(b)
		b.Ask = func(_ context.Context, card string) error {
			if card == "card-00001" {
				return stumbles
			}
			return nil
		}
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("error %v", err)
		}
		more := newFakeStore(100)
		b.store.orders = append(b.store.orders, more.orders[1:]...)
		b.store.payloads = more.payloads
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Errorf("error %v", err)
		}
		b.check(t, states{issuance.Unknown: 1, issuance.Submitted: 99})
	})
}

// A D1 that answers for a whole night, but nothing that can be used, such as a
// page about its maintenance or plain 500, costs a few orders of unknown outcome.
func TestNothingUsableAllNight(t *testing.T) {
	for name, says := range map[string]*retry.Error{
		"a page":    {Class: retry.Unknown, Status: 200, Code: "ANSWER_UNCLEAR"},
		"plain 500": {Class: retry.Unknown, Status: 500, Code: "HTTP_500", Unavailable: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &patient{orders: says}
				b := newBench(t, 1000, Config{InFlight: 4, Settle: 24 * time.Hour}, p.answer)
				p.wire(b)
				for range 8 * 60 {
					if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
						t.Fatalf("error %v", err)
					}
					wait(time.Minute)
				}
				unknown := b.store.count()[issuance.Unknown]
				if unknown > 30 {
					t.Errorf("%d orders are unknown", unknown)
				}
				p.orders = nil
				if sum, err := b.RunOnce(t.Context()); err != nil || sum.Submitted != 1000-unknown {
					t.Errorf("summary %+v, error %v", sum, err)
				}
			})
		})
	}
}

// A daemon that ordered well last night finds D1 dead in this one, in part or as
// a whole: that costs no order anything either.
func TestDeadInTheNextNight(t *testing.T) {
	for name, ill := range map[string]func(*patient){
		"as a whole":     func(p *patient) { p.token, p.orders = noToken, dead },
		"but for tokens": func(p *patient) { p.orders = dead },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &patient{}
				b := newBench(t, 10, Config{InFlight: 4}, p.answer)
				p.wire(b)
				if _, err := b.RunOnce(t.Context()); err != nil {
					t.Fatal(err)
				}
				wait(20 * time.Hour)
				more := newFakeStore(100)
				b.store.orders, b.store.payloads = append(b.store.orders, more.orders[10:]...), more.payloads
				ill(p)
				for range 60 {
					if sum, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) || sum.Claimed != 0 {
						t.Fatalf("summary %+v, error %v", sum, err)
					}
					wait(time.Minute)
				}
				b.check(t, states{issuance.Submitted: 10, issuance.Ready: 90})
				p.token, p.orders = nil, nil
				if _, err := b.RunOnce(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.check(t, states{issuance.Submitted: 100})
			})
		})
	}
}
