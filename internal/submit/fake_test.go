package submit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
)

const issuer = "is_test_01"

var errStore = errors.New("store is down")

// fakeStore keeps orders in memory, by the rules of the real one.
type fakeStore struct {
	mu       sync.Mutex
	orders   []*issuance.Order
	payloads map[issuance.Ref][]byte
	records  []time.Time // of each RecordOutcomes that worked
	slices   []int       // sizes asked for
	fail     func(op string) error
	claimed  func() error // called after a claim; its error takes the answer's place
}

func newFakeStore(n int) *fakeStore {
	s := &fakeStore{payloads: map[issuance.Ref][]byte{}}
	for i := 1; i <= n; i++ {
		o := &issuance.Order{Ref: issuance.NewRef(1, int64(i)), IssuerID: issuer,
			OrderID: fmt.Sprintf("ord-%05d", i), CardID: fmt.Sprintf("card-%05d", i), State: issuance.Ready}
		s.orders = append(s.orders, o)
		s.payloads[o.Ref] = []byte(issuer + "/" + o.OrderID + "|body of " + o.OrderID)
	}
	return s
}

func (s *fakeStore) broken(op string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(op)
}

func (s *fakeStore) ClaimReady(_ context.Context, _, _ string, most int) ([]issuance.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.broken("claim"); err != nil {
		return nil, err
	}
	s.slices = append(s.slices, most)
	var claims []issuance.Claim
	for _, o := range s.orders {
		if len(claims) == most {
			break
		}
		if o.State != issuance.Ready || o.NextAttemptAt.After(time.Now()) {
			continue
		}
		o.State = issuance.Submitting
		o.Attempts++
		claims = append(claims, issuance.Claim{Ref: o.Ref, OrderID: o.OrderID, CardID: o.CardID,
			Attempt: o.Attempts, CorrelationID: "cor-" + o.OrderID, Payload: s.payloads[o.Ref]})
	}
	if s.claimed != nil {
		if err := s.claimed(); err != nil {
			return nil, err
		}
	}
	return claims, nil
}

func (s *fakeStore) StillClaimed(_ context.Context, _ string, ref issuance.Ref, attempt int) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.order(ref)
	return o.State == issuance.Submitting && o.Attempts == attempt, s.broken("look")
}

func (s *fakeStore) RecordOutcomes(_ context.Context, _ string, outcomes []issuance.Outcome) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.broken("record"); err != nil {
		return err
	}
	s.records = append(s.records, time.Now())
	for _, out := range outcomes {
		o := s.order(out.Ref)
		if o.State != issuance.Submitting || o.Attempts != out.Attempt {
			continue
		}
		o.State, o.Code, o.Reason, o.NextAttemptAt = out.To, out.Code, out.Reason, out.NextAttemptAt
		o.OperationID = out.OperationID
		if out.To == issuance.Ready {
			o.Attempts--
		}
	}
	return nil
}

func (s *fakeStore) ForsakeOrders(context.Context, string, string, time.Duration) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.orders {
		if o.State == issuance.Submitting {
			o.State = issuance.Unknown
			n++
		}
	}
	return n, s.broken("forsake")
}

func (s *fakeStore) Release(_ context.Context, _ string, refs []issuance.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.broken("release"); err != nil {
		return err
	}
	for _, ref := range refs {
		if o := s.order(ref); o.State == issuance.Submitting {
			o.State = issuance.Ready
			o.Attempts--
		}
	}
	return nil
}

func (s *fakeStore) order(ref issuance.Ref) *issuance.Order { return s.orders[ref.Row()-1] }

// count returns how many orders are in each state.
func (s *fakeStore) count() map[issuance.State]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[issuance.State]int{}
	for _, o := range s.orders {
		n[o.State]++
	}
	return n
}

// fakeLimiter lets everything through and remembers the pauses.
type fakeLimiter struct {
	mu    sync.Mutex
	slow  []time.Duration
	err   error
	held  int
	limit chan struct{} // when set, one receive per request
}

func (l *fakeLimiter) Acquire(ctx context.Context) (func(), error) {
	if l.limit != nil {
		select {
		case <-l.limit:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.held++
	return func() { l.mu.Lock(); l.held--; l.mu.Unlock() }, nil
}

func (l *fakeLimiter) Slow(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = append(l.slow, after)
}

// fakeOpener opens payloads of the form "aad|plain".
type fakeOpener struct{}

func (fakeOpener) Open(sealed, aad []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, append(bytes.Clone(aad), '|'))
	if !ok {
		return nil, errors.New("not sealed for this order")
	}
	return plain, nil
}

// bench is a Runner with fakes around it.
type bench struct {
	*Runner
	store   *fakeStore
	limiter *fakeLimiter
	log     bytes.Buffer
	mu      sync.Mutex
	sent    []string // order ids, as they leave
}

// newBench returns a Runner over n ready orders. answer says what D1 answers to
// the i-th request, counted from 1.
func newBench(t *testing.T, n int, cfg Config, answer func(ctx context.Context, i int, c issuance.Claim) (string, error)) *bench {
	t.Helper()
	b := &bench{store: newFakeStore(n), limiter: &fakeLimiter{}}
	cfg.IssuerID, cfg.Session = issuer, "session-1"
	send := func(ctx context.Context, c issuance.Claim, body []byte) (string, error) {
		if string(body) != "body of "+c.OrderID {
			t.Errorf("order %s was sent with the body %q", c.OrderID, body)
		}
		b.mu.Lock()
		b.sent = append(b.sent, c.OrderID)
		i := len(b.sent)
		b.mu.Unlock()
		return answer(ctx, i, c)
	}
	r, err := New(cfg, Deps{Store: b.store, Send: send, Limiter: b.limiter, Opener: fakeOpener{},
		Now: func() time.Time { return time.Now().UTC() }, Log: zerolog.New(&b.log)})
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = r
	return b
}

func accept(_ context.Context, _ int, c issuance.Claim) (string, error) {
	return "op-" + c.OrderID, nil
}

// wait lets time pass; in a bubble that takes none.
func wait(d time.Duration) { <-time.After(d) }

// check compares the states of the orders with what is wanted, leaving out none.
func (b *bench) check(t *testing.T, want map[issuance.State]int) {
	t.Helper()
	got := b.store.count()
	for _, s := range issuance.States() {
		if got[s] != want[s] {
			t.Errorf("%d orders are %s, want %d (all: %v)", got[s], s, want[s], got)
		}
	}
	if b.limiter.held != 0 {
		t.Errorf("%d places of the limiter were not given back", b.limiter.held)
	}
}
