package d1

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"cardbatch/internal/retry"
	"cardbatch/internal/secret"
)

const (
	tokenEarly        = 60 * time.Second // a token is renewed this long before its end
	tokenLate         = 5 * time.Second  // and not used any more this long before it
	tokenFailureHolds = time.Second      // so long a failed fetch answers for the next ones
	tokenUselessHolds = 10 * time.Second // so long a token that D1 never took is not replaced again
)

// bearer is a token in use.
type bearer struct {
	header  secret.Value // "Bearer ..."
	renewAt time.Time
	endsAt  time.Time
	worked  atomic.Bool // D1 has taken it once
}

// newBearer divides what remains of a token: a short one is renewed after half
// of it.
func newBearer(got *oauth2.Token, now time.Time) *bearer {
	remains := got.Expiry.Sub(now)
	return &bearer{
		header:  secret.New("Bearer " + got.AccessToken),
		renewAt: got.Expiry.Add(-min(tokenEarly, remains/2)),
		endsAt:  got.Expiry.Add(-min(tokenLate, remains/4)),
	}
}

// tokens keeps the token in use and lets one fetch at a time replace it.
//
// The new one is fetched while the old one is still good for a while, so that
// an endpoint that is down or slow for less than that is not noticed.
type tokens struct {
	source oauth2.TokenSource
	now    func() time.Time

	mu      sync.Mutex
	current *bearer
	flight  *flight
	last    *flight // that failed at failed
	failed  time.Time
	useless time.Time // when a token that D1 never took was last replaced
}

// flight is one fetch, awaited by any number of callers.
type flight struct {
	done  chan struct{}
	token *bearer
	err   error
}

// get returns a token that is good for some time. Every error is a
// [retry.Error] and means that nothing was sent.
func (t *tokens) get(ctx context.Context) (*bearer, error) {
	t.mu.Lock()
	now := t.now()
	good := t.current != nil && now.Before(t.current.endsAt)
	if good && now.Before(t.current.renewAt) {
		defer t.mu.Unlock()
		return t.current, nil
	}
	age := now.Sub(t.failed) // below 0: the clock was put back
	held := t.last != nil && 0 <= age && age < tokenFailureHolds
	if good {
		defer t.mu.Unlock()
		if !held {
			t.takeOff()
		}
		return t.current, nil
	}
	if held {
		defer t.mu.Unlock()
		return nil, t.last.err
	}
	f := t.takeOff()
	t.mu.Unlock()
	return f.wait(ctx)
}

// fresh returns a token that D1 has given after the call, or the reason why
// there is none.
func (t *tokens) fresh(ctx context.Context) (*bearer, error) {
	t.mu.Lock()
	f := t.takeOff()
	t.mu.Unlock()
	return f.wait(ctx)
}

// takeOff returns the fetch on its way, and starts one if there is none. The
// caller holds the lock.
func (t *tokens) takeOff() *flight {
	if t.flight == nil {
		t.flight = &flight{done: make(chan struct{})}
		go t.fetch(t.flight)
	}
	return t.flight
}

func (f *flight) wait(ctx context.Context) (*bearer, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, tokenFailure(retry.Transport(fmt.Errorf("wait for token: %w", ctx.Err()), false))
	}
}

func (t *tokens) fetch(f *flight) {
	got, err := t.source.Token()
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	t.flight = nil
	if err != nil {
		f.err, t.last, t.failed = err, f, t.now()
		return
	}
	f.token = newBearer(got, t.now())
	t.current, t.last = f.token, nil
}

// reject takes note of a token that D1 turned away, and reports whether there
// is a point in trying with another. There is when this one has worked before,
// for then it was revoked or ran out, or has been replaced meanwhile. When D1
// takes none of the tokens it gives us, it is asked for one in a while and not
// for every order.
func (t *tokens) reject(b *bearer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current != b {
		return true
	}
	if !b.worked.Load() {
		now := t.now()
		if age := now.Sub(t.useless); 0 <= age && age < tokenUselessHolds {
			return false
		}
		t.useless = now
	}
	t.current = nil
	return true
}
