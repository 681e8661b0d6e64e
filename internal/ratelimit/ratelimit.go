// Package ratelimit keeps an issuer's calls to D1 within what is agreed: so
// many per second, shared by all processes that work for the issuer, and so
// many in flight at once in each.
//
// The rate is a row of slots in time, one every interval, and the store hands
// each slot out once (the generic cell rate algorithm on one stored timestamp).
// Writing to the store for every call would be slower than D1, so a limiter
// reserves a fifth of a second's slots at a time, the next ones before the last
// are used. It gives none back: a slot that is not used within burst intervals
// of its time is forgotten. Therefore no second ever sees more than the rate
// plus the burst begin, whatever happens to the processes that took part.
//
// A rate that is fully used needs a burst that covers what timers and the
// scheduler are late by, a few milliseconds' worth of slots.
//
// # Learning D1's limit
//
// When D1 says that it is too much all the same, [Limiter.Slow] pauses this
// process for as long as D1 asks and learns: D1's limit lies between the rate
// at which it complained and the rate it has let through since its last
// complaint. The limiter goes on from a little below the middle and climbs
// carefully, so that after some complaints it stays a few per cent below D1's
// limit. From time to time, after five minutes and then more and more rarely,
// it tries a little more, so that it follows when D1's limit rises. What was
// learnt is kept while nothing is sent, and forgotten with the process.
//
// # Several processes
//
// They share the slots, not what they have learnt: each finds out for itself.
// Until all have, those that know take their slots further apart and the others
// do not, and D1 complains to those that send most. The rate of all together
// is then between the one learnt and the one configured, never above that. A
// process that ends loses nothing but the slots it has reserved.
//
// # What can wait
//
// [Limiter.Background] is the same limiter for calls that can wait: while
// others wait for slots it gets one in ten, and a quarter of those in flight.
package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Store hands out slots.
type Store interface {
	// ReserveSlots takes n consecutive slots of the rate named key, one every
	// interval, and returns the time of the first; slot i may be used from
	// first + i*interval on. The next free slot lags behind the clock by at most
	// burst-1 intervals, so that after a pause burst slots can be used at once.
	// No slot is handed out twice. A next free slot that lies more than a minute
	// and two intervals ahead was stored by a clock that has been set back since,
	// and should give way to the present.
	ReserveSlots(ctx context.Context, key string, n int, interval time.Duration, burst int) (time.Time, error)
}

// Config is the agreement.
type Config struct {
	PerSecond float64 // calls per second over all processes; 0: no limit
	Burst     int     // calls that may come at once after a pause; 0: a twentieth of a second's, at least 1
	InFlight  int     // calls in flight in this process; 0: no limit

	Now func() time.Time // the store's clock; nil: the system's
}

// ErrClock says that the store hands out slots that are more than a minute
// ahead again and again: its clock is not ours.
var ErrClock = errors.New("wait for the rate limit: the store's clock is far ahead of ours")

const (
	tooFar      = time.Duration(-1) // of [Limiter.take]: the next slot is too far ahead, and dropped
	mostUseless = 3                 // reservations of such slots, for one call

	fraction       = 200 * time.Millisecond // of slots reserved at a time
	reserveTimeout = 5 * time.Second        // of a reservation made ahead
	leastPause     = time.Second            // after a 429 that does not say
	farAhead       = time.Minute            // no slot is so late in coming unless the clock was set back
	longAnswer     = 5 * time.Second        // after a pause, an answer may be to a call before it
)

// Limiter is safe for concurrent use.
type Limiter struct {
	store Store
	key   string
	cfg   Config

	gate *gate

	mu       sync.Mutex
	slots    []reservation
	ahead    chan ahead    // a reservation on its way, nil if none
	slowed   chan struct{} // closed by the next Slow
	resumeAt time.Time     // no call before
	calmAt   time.Time     // until then another Slow is about the same excess
	pace     pace
	answers  time.Duration // how long they take, at most, as of late
}

// New returns a limiter for the rate that the store knows as key.
func New(store Store, key string, cfg Config) (*Limiter, error) {
	if cfg.PerSecond < 0 || math.IsNaN(cfg.PerSecond) || cfg.PerSecond > 1e6 || cfg.Burst < 0 || cfg.InFlight < 0 {
		return nil, fmt.Errorf("limit the rate of %s: %v per second, burst %d, %d in flight is not possible",
			key, cfg.PerSecond, cfg.Burst, cfg.InFlight)
	}
	if cfg.PerSecond > 0 && store == nil {
		return nil, errors.New("limit the rate: no store to share it")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Burst == 0 {
		cfg.Burst = max(1, int(cfg.PerSecond/20))
	}
	return &Limiter{
		store: store, key: key, cfg: cfg, slowed: make(chan struct{}), pace: pace{most: cfg.PerSecond},
		gate: &gate{most: cfg.InFlight, rated: cfg.PerSecond > 0},
	}, nil
}

// Acquire waits until one more call may be made, and counts it as in flight
// until release is called; calling release again does nothing. The error is
// ctx's or the store's.
func (l *Limiter) Acquire(ctx context.Context) (func(), error) { return l.acquire(ctx, foreground) }

// Slow takes notice that D1 found the calls too many. after is how long it
// asked to wait; 0 when it did not say. Answers to calls that were in flight
// together count as one.
func (l *Limiter) Slow(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	resume := later(l.resumeAt, now.Add(max(after, leastPause)))
	switch {
	case now.Before(l.calmAt):
		l.pace.since = resume
	case l.cfg.PerSecond > 0:
		l.pace.complain(now, resume)
	}
	l.resumeAt, l.calmAt = resume, resume.Add(l.answers)
	l.slots, l.ahead = nil, nil
	close(l.slowed)
	l.slowed = make(chan struct{})
}

// Background is a view of a limiter for calls that can wait. It gives way to
// the limiter's own calls, but never quite: see the package comment.
type Background struct{ limiter *Limiter }

// Background returns the view for calls that can wait.
func (l *Limiter) Background() Background { return Background{l} }

// Acquire is [Limiter.Acquire] for a call that can wait.
func (b Background) Acquire(ctx context.Context) (func(), error) {
	return b.limiter.acquire(ctx, background)
}

// Slow is [Limiter.Slow].
func (b Background) Slow(after time.Duration) { b.limiter.Slow(after) }

// State is how fast a limiter goes at a time.
type State struct {
	Configured  float64   // calls per second over all processes; 0: no limit
	Allowed     float64   // the same, after what was learnt of D1's own limit
	PausedUntil time.Time // zero or past: not paused
}

// State returns how fast the limiter goes now.
func (l *Limiter) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return State{Configured: l.cfg.PerSecond, Allowed: l.pace.at(l.cfg.Now()), PausedUntil: l.resumeAt}
}

func (l *Limiter) acquire(ctx context.Context, c class) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("wait for the rate limit: %w", err)
	}
	if err := l.gate.enter(ctx, c); err != nil {
		return nil, err
	}
	err := l.await(ctx)
	if l.gate.rated {
		l.gate.pass()
	}
	if err != nil {
		l.gate.leave(c)
		return nil, err
	}
	began := time.Now()
	var released atomic.Bool
	return func() {
		if released.CompareAndSwap(false, true) {
			l.gate.leave(c)
			l.answered(time.Since(began))
		}
	}, nil
}

// answered remembers how long answers take, the longest ones for a while.
func (l *Limiter) answered(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = min(max(took, l.answers-(l.answers-took)/32), longAnswer)
}

// await waits for the end of a pause and for a slot. One caller at a time
// waits for the next slot; the others wait for their turn, in order, so that a
// caller who gives up costs no slot.
func (l *Limiter) await(ctx context.Context) error {
	for waited, useless := false, 0; ; {
		wait, slowed, ok := l.take(waited) //nolint:contextcheck // slots reserved ahead are not this caller's alone
		switch {
		case ok:
			return nil
		case wait == tooFar:
			// Once is our clock that has been set back: the store's next slots are
			// of the present. Going on would be to wait for ever.
			if useless++; useless > mostUseless {
				return ErrClock
			}
			wait = leastPause
		}
		var err error
		if wait > 0 {
			waited = true
			err = sleep(ctx, wait, slowed)
		} else {
			err = l.reserve(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// sleep waits for a time to pass, or for news.
func sleep(ctx context.Context, d time.Duration, news <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-news:
	case <-ctx.Done():
		return fmt.Errorf("wait for the rate limit: %w", ctx.Err())
	}
	return nil
}
