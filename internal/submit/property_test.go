package submit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/track"
)

// fate is what happens to one request.
type fate string

const (
	fateAccepted    fate = "accepted"
	fateRefused     fate = "refused"
	fateNotSent     fate = "not sent"
	fateLostBefore  fate = "lost before D1 had it"
	fateLostAfter   fate = "lost after D1 had it"
	fateCrashBefore fate = "crash before D1 had it"
	fateCrashAfter  fate = "crash after D1 had it"
	fateStoreDown   fate = "accepted, and the store is down"
	fateStoreLies   fate = "accepted, and the store commits but says that it did not"
	fateBusyLies    fate = "not taken, and the store commits but says that it did not"
	fateNotified    fate = "lost after D1 had it, and D1 notifies at once"
	fateCutOff      fate = "accepted, and the run is told to end"
)

// blindD1 produces a card for every request that reaches it.
type blindD1 struct {
	mu       sync.Mutex
	plan     []fate
	produced map[string]int // by order id
	end      <-chan struct{}
}

// process is one life of ours.
type process struct {
	d1     *blindD1
	died   chan struct{}
	once   sync.Once
	cancel context.CancelFunc
	store  *mortalStore
}

func (p *process) dead() bool {
	select {
	case <-p.died:
		return true
	default:
		return false
	}
}

// send plays the next fate. A dead process never hears back.
func (p *process) send(_ context.Context, c issuance.Claim, _ []byte) (string, error) {
	p.d1.mu.Lock()
	if p.dead() {
		p.d1.mu.Unlock()
		<-p.d1.end
		return "", errors.New("dead")
	}
	f := fateAccepted
	if len(p.d1.plan) > 0 {
		f, p.d1.plan = p.d1.plan[0], p.d1.plan[1:]
	}
	switch f {
	case fateAccepted, fateLostAfter, fateCrashAfter, fateStoreDown, fateStoreLies, fateNotified, fateCutOff:
		p.d1.produced[c.OrderID]++
	}
	switch f {
	case fateCrashBefore, fateCrashAfter:
		p.once.Do(func() { close(p.died) })
	case fateStoreDown:
		p.store.failNext(2)
	case fateStoreLies, fateBusyLies:
		p.store.lieNext(2)
	case fateNotified:
		_ = p.store.notify(production(c.OrderID))
	case fateCutOff:
		p.cancel()
	}
	p.d1.mu.Unlock()
	switch f {
	case fateRefused:
		return "", &retry.Error{Class: retry.Refused, Status: 400, Code: "FIELD_INVALID_VALUE"}
	case fateNotSent:
		return "", retry.Transport(errors.New("connection refused"), false)
	case fateBusyLies:
		return "", &retry.Error{Class: retry.NotDone, Status: 429, Code: "HTTP_429"}
	case fateLostBefore, fateLostAfter, fateNotified:
		return "", retry.Transport(errors.New("connection reset"), true)
	case fateCrashBefore, fateCrashAfter:
		<-p.d1.end
		return "", errors.New("dead")
	default:
		return "op-" + c.OrderID, nil
	}
}

// ProductionStatus tells the truth about every card.
func (d *blindD1) ProductionStatus(_ context.Context, cardID, _ string) ([]issuance.Operation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	orderID := "ord" + cardID[len("card"):]
	if d.produced[orderID] == 0 {
		return nil, nil
	}
	return []issuance.Operation{production(orderID)}, nil
}

func production(orderID string) issuance.Operation {
	return issuance.Operation{OperationID: "op-" + orderID, Operation: issuance.OperationProduce,
		Status: issuance.OperationPending, IssuerRequestID: orderID, Production: issuance.CardProdRequested}
}

// mortalStore is the store as one process sees it: out of reach when the
// process is dead, or now and then.
type mortalStore struct {
	*fakeStore
	process *process
	mu      sync.Mutex
	down    int
	lies    int
}

func (s *mortalStore) lieNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lies = n
}

func (s *mortalStore) failNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = n
}

// do lets the process use the store, if it can. Death comes before or after, as
// a transaction is committed or not.
func (s *mortalStore) do(use func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down > 0 {
		s.down--
		return errStore
	}
	if s.process.dead() {
		return errors.New("the process is dead")
	}
	err := use()
	if s.lies > 0 && err == nil {
		s.lies--
		return errStore
	}
	return err
}

// bury makes the claims of a dead process unknown.
func (s *mortalStore) bury() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recover()
}

func (s *mortalStore) ClaimReady(ctx context.Context, issuer, session string, most int) ([]issuance.Claim, error) {
	var claims []issuance.Claim
	err := s.do(func() error {
		var err error
		claims, err = s.fakeStore.ClaimReady(ctx, issuer, session, most)
		return err
	})
	return claims, err
}

func (s *mortalStore) RecordOutcomes(ctx context.Context, session string, outcomes []issuance.Outcome) error {
	return s.do(func() error { return s.fakeStore.RecordOutcomes(ctx, session, outcomes) })
}

func (s *mortalStore) ForsakeOrders(ctx context.Context, issuer, session string, settle time.Duration) (int, error) {
	return 0, s.do(func() error {
		_, err := s.fakeStore.ForsakeOrders(ctx, issuer, session, settle)
		return err
	})
}

func (s *mortalStore) Release(ctx context.Context, session string, refs []issuance.Ref) error {
	return s.do(func() error { return s.fakeStore.Release(ctx, session, refs) })
}

// recover does what the store does with the claims of a dead session.
func (s *fakeStore) recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.orders {
		if o.State == issuance.Submitting {
			o.State, o.NextAttemptAt = issuance.Unknown, time.Time{}
		}
	}
}

// notify does what a notification does.
func (s *fakeStore) notify(op issuance.Operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.orders {
		if o.OrderID == op.IssuerRequestID {
			_, err := o.Hear(op, issuance.Why{At: time.Now().UTC()})
			return err
		}
	}
	return nil
}

func (s *fakeStore) DueForTracking(_ context.Context, _ string, _ time.Duration, most int) ([]issuance.Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []issuance.Order
	for _, o := range s.orders {
		if o.State == issuance.Unknown && !o.NextAttemptAt.After(time.Now()) && len(due) < most {
			due = append(due, *o)
		}
	}
	return due, nil
}

func (s *fakeStore) HearOrders(_ context.Context, _, _ string, heard []issuance.Heard) error {
	for _, h := range heard {
		for _, op := range h.Operations {
			if err := s.notify(op); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *fakeStore) DecideUnknown(_ context.Context, outcomes []issuance.Outcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, out := range outcomes {
		o := s.order(out.Ref)
		if o.State != issuance.Unknown || o.Attempts != out.Attempt {
			continue
		}
		o.State, o.NextAttemptAt, o.NotFound = out.To, out.NextAttemptAt, out.NotFound
		o.Asks++
		if out.To != issuance.Unknown {
			o.Asks = 0
		}
	}
	return nil
}

// TestNeverTwiceNeverLost: whatever becomes of the requests, of the store and
// of us, D1 gets each order at most once, and in the end every order is where
// it belongs.
func TestNeverTwiceNeverLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fates := []fate{fateAccepted, fateAccepted, fateAccepted, fateRefused, fateNotSent, fateLostBefore, fateLostAfter,
			fateCrashBefore, fateCrashAfter, fateStoreDown, fateStoreLies, fateBusyLies, fateNotified, fateCutOff}
		orders := rapid.IntRange(1, 30).Draw(t, "orders")
		plan := rapid.SliceOfN(rapid.SampledFrom(fates), 0, 40).Draw(t, "fates")
		cfg := Config{IssuerID: issuer, Session: "s", Settle: 1, RetryWait: 1, FlushEvery: time.Millisecond, RefusalStop: 5,
			InFlight:  rapid.IntRange(1, 4).Draw(t, "in flight"),
			ClaimSize: rapid.IntRange(1, 8).Draw(t, "claim size"),
			FlushSize: rapid.IntRange(1, 4).Draw(t, "flush size")}
		end := make(chan struct{})
		defer close(end)
		d1 := &blindD1{plan: slices.Clone(plan), produced: map[string]int{}, end: end}
		store := newFakeStore(orders)
		p := newProcess(t, d1, store, cfg)
		for range 200 {
			p = p.live(t, d1, store, cfg)
			checkProduced(t, d1, store, false)
			if c := store.count(); c[issuance.Ready]+c[issuance.Submitting]+c[issuance.Unknown] == 0 {
				checkProduced(t, d1, store, true)
				return
			}
		}
		t.Fatalf("never came to an end: %v", store.count())
	})
}

type living struct {
	*process
	submit *Runner
	track  *track.Runner
}

func newProcess(t *rapid.T, d1 *blindD1, store *fakeStore, cfg Config) *living {
	p := &process{d1: d1, died: make(chan struct{})}
	p.store = &mortalStore{fakeStore: store, process: p}
	now := func() time.Time { return time.Now().UTC() }
	limiter := &fakeLimiter{}
	s, err := New(cfg, Deps{Store: p.store, Send: p.send, Limiter: limiter, Opener: fakeOpener{}, Now: now, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := track.New(track.Config{IssuerID: issuer, Settle: 1, MaxAttempts: 1000},
		track.Deps{Store: store, Issuer: d1, Limiter: limiter, Now: now, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return &living{p, s, tr}
}

// live lets a process run both stages once and returns it, or its successor
// when it died.
func (l *living) live(t *rapid.T, d1 *blindD1, store *fakeStore, cfg Config) *living {
	return l.liveOnce(t, func() *living { return newProcess(t, d1, store, cfg) })
}

func (l *living) liveOnce(t *rapid.T, successor func() *living) *living {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l.d1.mu.Lock()
	l.cancel = cancel
	l.d1.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); _, _ = l.submit.RunOnce(ctx) }()
	select {
	case <-done:
	case <-l.died:
		l.store.bury()
		l = successor()
	}
	if _, err := l.track.RunOnce(context.Background()); err != nil {
		t.Fatal(err)
	}
	return l
}

// checkProduced compares what D1 made with what we believe.
func checkProduced(t *rapid.T, d1 *blindD1, store *fakeStore, final bool) {
	d1.mu.Lock()
	defer d1.mu.Unlock()
	store.mu.Lock()
	defer store.mu.Unlock()
	for _, o := range store.orders {
		n := d1.produced[o.OrderID]
		what := fmt.Sprintf("order %s is %s and was produced %d times", o.OrderID, o.State, n)
		switch {
		case n > 1:
			t.Fatal(what)
		case o.State == issuance.Submitted && n != 1:
			t.Fatal(what)
		case n == 1 && (o.State == issuance.Ready || o.State == issuance.Refused || o.State == issuance.Held):
			t.Fatal(what)
		case final && o.State != issuance.Submitted && o.State != issuance.Refused:
			t.Fatal(what)
		}
	}
}

// What package track needs besides: nothing is parked, and there is no end to
// what may be asked.
func (s *fakeStore) ApplyParked(context.Context, string) (int, error) { return 0, nil }

func (s *fakeStore) TakeAllowance(_ context.Context, _, _ string, n, _ int) (int, error) {
	return n, nil
}

func (s *fakeStore) ReturnAllowance(context.Context, string, string, int) error { return nil }
