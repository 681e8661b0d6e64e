package track

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

const issuer = "is_test_01"

var errStore = errors.New("store is down")

// fakeStore keeps orders in memory, by the rules of the real one.
type fakeStore struct {
	mu     sync.Mutex
	orders []*issuance.Order
	used   map[string]int // of the allowance, by day
	fail   error
}

func (s *fakeStore) add(o issuance.Order) *issuance.Order {
	o.Ref, o.IssuerID = issuance.NewRef(1, int64(len(s.orders)+1)), issuer
	o.OrderID, o.CardID = fmt.Sprintf("ord-%04d", len(s.orders)+1), fmt.Sprintf("card-%04d", len(s.orders)+1)
	s.orders = append(s.orders, &o)
	return &o
}

func (s *fakeStore) DueForTracking(_ context.Context, _ string, silence time.Duration, most int) ([]issuance.Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []issuance.Order
	for _, o := range s.orders {
		unknown := o.State == issuance.Unknown && !o.NextAttemptAt.After(time.Now())
		silent := o.State == issuance.Submitted && !o.Production.HeardAt.Add(silence).After(time.Now())
		if (unknown || silent) && len(due) < most {
			due = append(due, *o)
		}
	}
	return due, nil
}

func (s *fakeStore) ApplyParked(context.Context, string) (int, error) { return 0, nil }

func (s *fakeStore) TakeAllowance(_ context.Context, _, day string, n, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = map[string]int{}
	}
	n = max(0, min(n, limit-s.used[day]))
	s.used[day] += n
	return n, nil
}

func (s *fakeStore) ReturnAllowance(_ context.Context, _, day string, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used[day] -= n
	return nil
}

func (s *fakeStore) HearOrders(_ context.Context, _, _ string, heard []issuance.Heard) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, h := range heard {
		o := s.orders[h.Ref.Row()-1]
		o.Production.HeardAt = time.Now().UTC() // asking is enough not to be due again
		for _, op := range h.Operations {
			if op.IssuerRequestID != "" && op.IssuerRequestID != o.OrderID {
				continue
			}
			if _, err := o.Hear(op, issuance.Why{At: time.Now().UTC(), Stage: stage}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *fakeStore) DecideUnknown(_ context.Context, outcomes []issuance.Outcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	for _, out := range outcomes {
		o := s.orders[out.Ref.Row()-1]
		if o.State != issuance.Unknown || o.Attempts != out.Attempt {
			continue
		}
		o.State, o.Code, o.NextAttemptAt, o.NotFound = out.To, out.Code, out.NextAttemptAt, out.NotFound
		o.Asks++
	}
	return nil
}

// fakeIssuer answers by card.
type fakeIssuer struct {
	mu           sync.Mutex
	answer       func(cardID string) ([]issuance.Operation, error)
	asked        map[string]int
	correlations map[string]bool
	most, now    int
}

func (f *fakeIssuer) ProductionStatus(ctx context.Context, cardID, correlationID string) ([]issuance.Operation, error) {
	f.mu.Lock()
	f.asked[cardID]++
	f.correlations[correlationID] = true
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	f.mu.Lock()
	f.now--
	f.mu.Unlock()
	if ctx.Err() != nil {
		return nil, retry.Transport(ctx.Err(), false)
	}
	return f.answer(cardID)
}

type fakeLimiter struct {
	mu   sync.Mutex
	slow []time.Duration
}

func (l *fakeLimiter) Acquire(ctx context.Context) (func(), error) { return func() {}, ctx.Err() }
func (l *fakeLimiter) Slow(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = append(l.slow, after)
}

type bench struct {
	*Runner
	store   *fakeStore
	issuer  *fakeIssuer
	limiter *fakeLimiter
}

func newBench(t *testing.T, cfg Config, answer func(cardID string) ([]issuance.Operation, error)) *bench {
	t.Helper()
	b := &bench{store: &fakeStore{}, limiter: &fakeLimiter{},
		issuer: &fakeIssuer{answer: answer, asked: map[string]int{}, correlations: map[string]bool{}}}
	cfg.IssuerID = issuer
	r, err := New(cfg, Deps{Store: b.store, Issuer: b.issuer, Limiter: b.limiter,
		Now: func() time.Time { return time.Now().UTC() }, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = r
	return b
}

// wait lets time pass; in a bubble that takes none.
func wait(d time.Duration) { <-time.After(d) }

func produce(orderID string) issuance.Operation {
	return issuance.Operation{OperationID: "op-1", Operation: issuance.OperationProduce, Status: issuance.OperationPending,
		IssuerRequestID: orderID, Production: issuance.DataPrepared}
}

// TestUnknown states what each answer means for an unknown order, ask by ask.
func TestUnknown(t *testing.T) {
	type asking struct {
		operations []issuance.Operation
		err        error
		want       issuance.State
		rest       time.Duration // until the next question
	}
	nothing := func(want issuance.State, rest time.Duration) asking { return asking{want: want, rest: rest} }
	nameless := []issuance.Operation{produce("")}
	for name, tt := range map[string]struct {
		attempts  int
		operation string // our operation id, if known
		asks      []asking
		code      issuance.Code
	}{
		"D1 has it": {attempts: 1, asks: []asking{{[]issuance.Operation{produce("ord-0001")}, nil, issuance.Submitted, 0}}},
		"D1 has it and others": {attempts: 1, asks: []asking{
			{[]issuance.Operation{produce("ord-9"), produce("ord-0001"), {Operation: "ACTIVATE"}}, nil, issuance.Submitted, 0}}},
		"D1 does not know the card": {attempts: 1, asks: []asking{
			nothing(issuance.Unknown, time.Minute), nothing(issuance.Ready, 0)}},
		"D1 knows the card from another order": {attempts: 1, asks: []asking{
			{[]issuance.Operation{produce("ord-9"), {Operation: "ACTIVATE"}}, nil, issuance.Unknown, time.Minute},
			{[]issuance.Operation{produce("ord-9")}, nil, issuance.Ready, 0}}},
		"it appears late": {attempts: 1, asks: []asking{
			nothing(issuance.Unknown, time.Minute), {[]issuance.Operation{produce("ord-0001")}, nil, issuance.Submitted, 0}}},
		"attempts used up": {attempts: 5, code: issuance.OutcomeUnclear, asks: []asking{
			nothing(issuance.Unknown, time.Minute), nothing(issuance.Held, 0)}},
		"nameless, and no operation id of ours": {attempts: 1, code: issuance.OutcomeUnclear, asks: []asking{
			{nameless, nil, issuance.Unknown, time.Minute}, {nameless, nil, issuance.Unknown, 2 * time.Minute},
			{nameless, nil, issuance.Held, 0}}},
		"nameless, with our operation id": {attempts: 1, operation: "op-1", asks: []asking{{nameless, nil, issuance.Submitted, 0}}},
		"our request for another card": {attempts: 1, asks: []asking{
			{[]issuance.Operation{{Operation: "PRODUCE", IssuerRequestID: "ord-0001", CardID: "card-9999"}}, nil, issuance.Unknown, time.Minute}}},
		"our request in another operation": {attempts: 1, asks: []asking{
			{[]issuance.Operation{{Operation: "RENEW", IssuerRequestID: "ord-0001"}}, nil, issuance.Unknown, time.Minute}}},
		"nameless, and an operation we do not understand": {attempts: 1, code: issuance.OutcomeUnclear, asks: []asking{
			{[]issuance.Operation{{OperationID: "op-1", CardID: "card-0001"}}, nil, issuance.Unknown, time.Minute},
			{[]issuance.Operation{{}}, nil, issuance.Unknown, 2 * time.Minute},
			{[]issuance.Operation{{Operation: "PRODUCTION", Production: issuance.CardProdOngoing}}, nil, issuance.Held, 0}}},
		"not known to D1, after no usable answer": {attempts: 1, asks: []asking{
			{nil, &retry.Error{Class: retry.Unknown, Status: 500, Code: "HTTP_500"}, issuance.Unknown, time.Minute},
			nothing(issuance.Unknown, time.Minute), nothing(issuance.Ready, 0)}},
		"not known to D1, before and after a nameless production": {attempts: 1, asks: []asking{
			nothing(issuance.Unknown, time.Minute), {nameless, nil, issuance.Unknown, 2 * time.Minute},
			nothing(issuance.Unknown, time.Minute), nothing(issuance.Ready, 0)}},
		"no usable answer": {attempts: 1, code: issuance.OutcomeUnclear, asks: []asking{
			{nil, &retry.Error{Class: retry.Unknown, Status: 500, Code: "HTTP_500"}, issuance.Unknown, time.Minute},
			{nil, &retry.Error{Class: retry.Refused, Status: 403, Code: "HTTP_403"}, issuance.Unknown, 2 * time.Minute},
			{nil, &retry.Error{Class: retry.Refused, Code: "CARD_ID_INVALID"}, issuance.Held, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var next asking
				b := newBench(t, Config{UnclearAsks: 3}, func(string) ([]issuance.Operation, error) { return next.operations, next.err })
				o := b.store.add(issuance.Order{State: issuance.Unknown, Attempts: tt.attempts, OperationID: tt.operation})
				for i, a := range tt.asks {
					next = a
					if _, err := b.RunOnce(t.Context()); err != nil {
						t.Fatal(err)
					}
					if o.State != a.want {
						t.Fatalf("after question %d the order is %s, want %s", i+1, o.State, a.want)
					}
					if rest := time.Until(o.NextAttemptAt); a.rest > 0 && rest != a.rest {
						t.Errorf("after question %d the order rests %s, want %s", i+1, rest, a.rest)
					}
					if sum, err := b.RunOnce(t.Context()); err != nil || sum.Asked != 0 {
						t.Errorf("asked %d times before it was due, error %v", sum.Asked, err)
					}
					wait(a.rest)
				}
				if o.Code != tt.code {
					t.Errorf("code %q, want %q", o.Code, tt.code)
				}
			})
		})
	}
}

func TestSilent(t *testing.T) {
	for name, tt := range map[string]struct {
		operations []issuance.Operation
		err        error
		want       Summary
		status     issuance.ProductionStatus
	}{
		"news":       {[]issuance.Operation{produce("ord-0001")}, nil, Summary{Heard: 1}, issuance.DataPrepared},
		"other news": {[]issuance.Operation{produce("ord-9")}, nil, Summary{Silent: 1, Missing: 1}, ""},
		"perhaps":    {[]issuance.Operation{produce("")}, nil, Summary{Silent: 1}, issuance.DataPrepared},
		"forgotten":  {nil, nil, Summary{Silent: 1, Missing: 1}, ""},
		"no answer":  {nil, &retry.Error{Class: retry.Unknown, Status: 500}, Summary{Silent: 1, Errors: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Config{}, func(string) ([]issuance.Operation, error) { return tt.operations, tt.err })
				o := b.store.add(issuance.Order{State: issuance.Submitted})
				sum, err := b.RunOnce(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				tt.want.IssuerID, tt.want.Asked, sum.Seconds = issuer, 1, 0
				if diff := cmp.Diff(tt.want, sum); diff != "" {
					t.Errorf("summary (-want +got):\n%s", diff)
				}
				if o.State != issuance.Submitted || o.Production.Status != tt.status {
					t.Errorf("order is %s, %s", o.State, o.Production.Status)
				}
				if sum, _ := b.RunOnce(t.Context()); sum.Asked != 0 {
					t.Error("asked again at once")
				}
			})
		})
	}
}

// Not being able to ask is no answer: nothing changes, and the run ends soon.
func TestUnreachable(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		want  error
		asked int
	}{
		"out of reach": {retry.Transport(errors.New("connection refused"), false), ErrUnavailable, 3},
		"503":          {&retry.Error{Class: retry.Unknown, Status: 503, Unavailable: true}, ErrUnavailable, 3},
		"401":          {&retry.Error{Class: retry.Stop, Status: 401, Code: "HTTP_401"}, ErrSetUp, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Config{InFlight: 1}, func(string) ([]issuance.Operation, error) { return nil, tt.err })
				for range 20 {
					b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
				}
				sum, err := b.RunOnce(t.Context())
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if sum.Asked != tt.asked || sum.Errors != tt.asked {
					t.Errorf("summary %+v", sum)
				}
				for _, o := range b.store.orders {
					if o.State != issuance.Unknown || o.Asks != 0 {
						t.Fatalf("an order became %s after %d questions", o.State, o.Asks)
					}
				}
			})
		})
	}
}

// TestPlain500: it may be about D1, then no order pays for it, or about the one
// order, then a person must decide in the end.
func TestPlain500(t *testing.T) {
	down := &retry.Error{Class: retry.Unknown, Status: 500, Code: "HTTP_500", Unavailable: true}
	for name, tt := range map[string]struct {
		others bool // D1 answers about the others
		each   time.Duration
		runs   int
		want   issuance.State
	}{
		"a night of it, for all":  {false, 5 * time.Minute, 12 * 12, issuance.Unknown},
		"some days of it":         {false, time.Hour, 4 * 24, issuance.Held},
		"for one, and not others": {true, time.Hour, 12, issuance.Held},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Config{InFlight: 1}, func(card string) ([]issuance.Operation, error) {
					if card > "card-0005" {
						return nil, nil
					}
					return nil, down
				})
				for range 5 { // more than would end the run if it were 503
					b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1, NextAttemptAt: time.Now()})
				}
				for range tt.runs {
					if tt.others {
						b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1, NextAttemptAt: time.Now()})
					}
					_, err := b.RunOnce(t.Context())
					if !tt.others && b.store.orders[0].Asks == 0 && !errors.Is(err, ErrUnavailable) {
						t.Fatalf("D1 is not said to be down: %v", err)
					}
					<-time.After(tt.each)
				}
				for i, o := range b.store.orders[:5] {
					if o.State != tt.want {
						t.Errorf("order %d is %s after %d questions", i, o.State, o.Asks)
					}
				}
			})
		})
	}
}

// Plain 500 to everybody is no answer about a silent order either: it is asked
// about again when D1 is well, not a day later.
func TestPlain500ForSilentOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down error = &retry.Error{Class: retry.Unknown, Status: 500, Code: "HTTP_500", Unavailable: true}
		b := newBench(t, Config{InFlight: 1}, func(string) ([]issuance.Operation, error) { return nil, down })
		o := b.store.add(issuance.Order{State: issuance.Submitted, SubmittedAt: time.Now()})
		o.Production.HeardAt = time.Now()
		<-time.After(24*time.Hour + time.Minute)
		for range 12 {
			if sum, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) || sum.Silent != 0 || b.store.used[day(time.Now())] != 0 {
				t.Fatalf("summary %+v, error %v", sum, err)
			}
			<-time.After(5 * time.Minute)
		}
		down = nil
		b.Issuer.(*fakeIssuer).answer = func(string) ([]issuance.Operation, error) {
			return []issuance.Operation{produce("ord-0001")}, nil
		}
		if sum, err := b.RunOnce(t.Context()); err != nil || sum.Heard != 1 {
			t.Errorf("summary %+v, error %v", sum, err)
		}
	})
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// A single question that finds nobody is enough when there is no other.
func TestUnreachableForTheOnlyQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{}, func(string) ([]issuance.Operation, error) {
			return nil, retry.Transport(errors.New("connection refused"), false)
		})
		b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("error %v", err)
		}
	})
}

// A bug that one answer brings out ends neither the daemon nor the run.
func TestPanicWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{}, func(card string) ([]issuance.Operation, error) {
			if card == "card-0002" {
				panic("4111111111111111")
			}
			return []issuance.Operation{produce("ord" + strings.TrimPrefix(card, "card"))}, nil
		})
		for range 3 {
			b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		}
		sum, err := b.RunOnce(t.Context())
		if err != nil || sum.Found != 2 || sum.Errors != 1 || b.store.orders[1].State != issuance.Unknown {
			t.Errorf("summary %+v, error %v", sum, err)
		}
	})
}

func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{}, func(string) ([]issuance.Operation, error) {
			return nil, &retry.Error{Class: retry.NotDone, Status: 429, After: 7 * time.Second}
		})
		o := b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		if _, err := b.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]time.Duration{7 * time.Second}, b.limiter.slow); diff != "" {
			t.Errorf("pauses (-want +got):\n%s", diff)
		}
		if o.State != issuance.Unknown || o.Asks != 0 {
			t.Errorf("order is %s after %d questions", o.State, o.Asks)
		}
	})
}

// Every order is asked about once per run, a few at a time, each under a
// correlation id of its own.
func TestManyOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{SliceSize: 10, InFlight: 3, Budget: 45}, func(card string) ([]issuance.Operation, error) {
			if strings.HasSuffix(card, "7") { // these stay due
				return nil, &retry.Error{Class: retry.NotDone, Status: 429}
			}
			return []issuance.Operation{produce("ord" + strings.TrimPrefix(card, "card"))}, nil
		})
		for range 60 {
			b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		}
		sum, err := b.RunOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if sum.Asked != 45 || sum.Errors != 4 || sum.Found != 41 {
			t.Errorf("summary %+v", sum)
		}
		for card, n := range b.issuer.asked {
			if n != 1 {
				t.Errorf("asked %d times about %s", n, card)
			}
		}
		if b.issuer.most != 3 || len(b.issuer.correlations) != 45 {
			t.Errorf("%d questions at a time, %d correlation ids", b.issuer.most, len(b.issuer.correlations))
		}
		if sum, err = b.RunOnce(t.Context()); err != nil || sum.Asked != 19 {
			t.Errorf("the second run asked %d times, error %v", sum.Asked, err)
		}
	})
}

func TestEndOfRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{InFlight: 2}, func(card string) ([]issuance.Operation, error) {
			return []issuance.Operation{produce("ord" + strings.TrimPrefix(card, "card"))}, nil
		})
		for range 20 {
			b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		sum, err := b.RunOnce(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if sum.Found != 6 || sum.Errors != 0 {
			t.Errorf("summary %+v", sum)
		}
	})
}

func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Config{}, func(string) ([]issuance.Operation, error) { return nil, nil })
		b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		b.store.fail = errStore
		if _, err := b.RunOnce(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("error %v", err)
		}
	})
}

func TestNewRefusesNonsense(t *testing.T) {
	good := newBench(t, Config{}, nil)
	for name, breakIt := range map[string]func(*Config, *Deps){
		"no issuer":       func(c *Config, _ *Deps) { c.IssuerID = "" },
		"no store":        func(_ *Config, d *Deps) { d.Store = nil },
		"no D1":           func(_ *Config, d *Deps) { d.Issuer = nil },
		"negative budget": func(c *Config, _ *Deps) { c.Budget = -1 },
		"negative settle": func(c *Config, _ *Deps) { c.Settle = -1 },
	} {
		cfg, deps := good.Config, good.Deps
		breakIt(&cfg, &deps)
		if _, err := New(cfg, deps); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The day's budget holds over runs and restarts, the last fifth of it is for
// unknown orders, and a new day in the issuer's zone renews it.
func TestDailyBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := time.FixedZone("", -3*3600) // it is the evening before: 2000-01-01 begins in three hours
		cfg := Config{DailyBudget: 10, SliceSize: 4, Zone: zone, Settle: time.Hour}
		b := newBench(t, cfg, func(string) ([]issuance.Operation, error) { return nil, nil })
		for range 20 {
			b.store.add(issuance.Order{State: issuance.Submitted})
		}
		run := func(asked, unasked int) {
			t.Helper()
			sum, err := b.RunOnce(t.Context())
			if err != nil || sum.Asked != asked || sum.Unasked < unasked {
				t.Errorf("asked %d, unasked %d, error %v; want %d and at least %d", sum.Asked, sum.Unasked, err, asked, unasked)
			}
		}
		run(8, 4)
		for range 3 {
			b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		}
		store := b.store
		b = newBench(t, cfg, b.issuer.answer) // another process
		b.store, b.Store = store, store
		run(2, 1)
		run(0, 1)
		wait(3 * time.Hour)
		run(10, 1)
	})
}

// A D1 that is away uses nothing of the day's budget up.
func TestUnreachableCostsNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		b := newBench(t, Config{DailyBudget: 10, InFlight: 1}, func(string) ([]issuance.Operation, error) {
			if away {
				return nil, retry.Transport(errors.New("connection refused"), false)
			}
			return nil, nil
		})
		for range 9 {
			b.store.add(issuance.Order{State: issuance.Unknown, Attempts: 1})
		}
		for range 5 {
			if _, err := b.RunOnce(t.Context()); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
		}
		away = false
		if sum, err := b.RunOnce(t.Context()); err != nil || sum.Asked != 9 {
			t.Errorf("asked %d, error %v", sum.Asked, err)
		}
	})
}
