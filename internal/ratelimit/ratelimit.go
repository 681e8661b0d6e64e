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
// When D1 says that it is too much all the same, [Limiter.Slow] pauses this
// process for as long as D1 asks and halves its rate, which then recovers by a
// twentieth of the full rate per second.
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
}

const (
	fraction       = 200 * time.Millisecond // of slots reserved at a time
	reserveTimeout = 5 * time.Second        // of a reservation made ahead
	leastPause     = time.Second            // after a 429 that does not say
	leastFactor    = 1.0 / 16
	farAhead       = time.Minute // no slot is so late in coming unless the clock was set back
	recovery       = 1.0 / 20    // of the full rate per second
)

// Limiter is safe for concurrent use.
type Limiter struct {
	store Store
	key   string
	cfg   Config

	flying chan struct{} // nil: no limit
	turn   chan struct{} // held by the one caller that waits for the next slot

	mu       sync.Mutex
	slots    []reservation
	ahead    chan ahead    // a reservation on its way, nil if none
	slowed   chan struct{} // closed by the next Slow
	resumeAt time.Time     // no call before
	calmAt   time.Time     // until then another Slow is about the same excess
	factor   float64       // of the full rate, as it was at resumeAt
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
	if cfg.Burst == 0 {
		cfg.Burst = max(1, int(cfg.PerSecond/20))
	}
	l := &Limiter{
		store: store, key: key, cfg: cfg,
		turn: make(chan struct{}, 1), slowed: make(chan struct{}), factor: 1,
	}
	if cfg.InFlight > 0 {
		l.flying = make(chan struct{}, cfg.InFlight)
	}
	return l, nil
}

// Acquire waits until one more call may be made, and counts it as in flight
// until release is called; calling release again does nothing. The error is
// ctx's or the store's.
func (l *Limiter) Acquire(ctx context.Context) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("wait for the rate limit: %w", err)
	}
	if l.flying != nil {
		select {
		case l.flying <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for calls in flight: %w", ctx.Err())
		}
	}
	var released atomic.Bool
	release := func() {
		if l.flying != nil && released.CompareAndSwap(false, true) {
			<-l.flying
		}
	}
	if err := l.await(ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// Slow takes notice that D1 found the calls too many. after is how long it
// asked to wait; 0 when it did not say. Answers to calls that were in flight
// together count as one.
func (l *Limiter) Slow(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	factor := l.factorAt(now)
	if resume := now.Add(max(after, leastPause)); resume.After(l.resumeAt) {
		l.resumeAt = resume
	}
	if !now.Before(l.calmAt) {
		factor = max(factor/2, leastFactor)
		l.calmAt = l.resumeAt.Add(leastPause)
	}
	l.factor = factor
	l.slots, l.ahead = nil, nil
	close(l.slowed)
	l.slowed = make(chan struct{})
}

// factorAt is the share of the full rate that is used at a time.
func (l *Limiter) factorAt(now time.Time) float64 {
	calm := max(now.Sub(l.resumeAt).Seconds(), 0)
	return min(1, l.factor+calm*recovery)
}

// await waits for the end of a pause and for a slot. One caller at a time
// waits for the next slot; the others wait for their turn, in order, so that a
// caller who gives up costs no slot.
func (l *Limiter) await(ctx context.Context) error {
	if l.cfg.PerSecond == 0 && !l.paused() {
		return nil
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the rate limit: %w", ctx.Err())
	}
	for {
		wait, slowed, ok := l.take() //nolint:contextcheck // slots reserved ahead are not this caller's alone
		if ok {
			return nil
		}
		var err error
		if wait > 0 {
			err = sleep(ctx, wait, slowed)
		} else {
			err = l.reserve(ctx)
		}
		if err != nil {
			return err
		}
	}
}

func (l *Limiter) paused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.resumeAt)
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
