package ratelimit

import (
	"context"
	"fmt"
	"math"
	"time"
)

// reservation is a run of slots that are ours.
type reservation struct {
	first    time.Time // of those not used yet
	interval time.Duration
	n        int
}

// ahead is the result of a reservation made before it was needed.
type ahead struct {
	reservation
	err error
}

// take uses a slot whose time has come. If there is none it returns how long to
// wait for the next, 0 when a reservation must be made, tooFar when that was of
// no use, and what ends the wait.
// waited says that the caller has waited for one already.
func (l *Limiter) take(waited bool) (time.Duration, <-chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.cfg.Now()
	if wait := l.resumeAt.Sub(now); wait > 0 {
		return wait, l.slowed, false
	}
	if l.cfg.PerSecond == 0 {
		return 0, nil, true
	}
	l.forget(now)
	l.reserveAhead(now)
	if len(l.slots) == 0 {
		return 0, nil, false
	}
	r := &l.slots[0]
	if wait := r.first.Sub(now); wait > 0 {
		if wait > farAhead+2*r.interval {
			l.slots, l.ahead, wait = nil, nil, tooFar
		}
		return wait, l.slowed, false
	}
	r.first, r.n = r.first.Add(r.interval), r.n-1
	l.pace.called(now, waited)
	return 0, nil, true
}

// forget drops slots that are used up or too old to be used.
func (l *Limiter) forget(now time.Time) {
	for len(l.slots) > 0 {
		r := &l.slots[0]
		if late := now.Sub(r.first) - time.Duration(l.cfg.Burst-1)*r.interval; late >= r.interval {
			old := min(int(late/r.interval), r.n)
			r.first, r.n = r.first.Add(time.Duration(old)*r.interval), r.n-old
		}
		if r.n > 0 {
			return
		}
		l.slots = l.slots[1:]
	}
}

// next is the reservation to ask for: a fraction of a second at today's rate.
func (l *Limiter) next(now time.Time) reservation {
	rate := l.pace.at(now)
	return reservation{
		interval: time.Duration(math.Ceil(float64(time.Second) / rate)),
		n:        max(1, int(rate*fraction.Seconds())),
	}
}

// reserveAhead asks for the next slots when half of the last are used, and
// only while there are some: what is asked for in vain is lost to all.
func (l *Limiter) reserveAhead(now time.Time) {
	left := 0
	for _, r := range l.slots {
		left += r.n
	}
	want := l.next(now)
	if l.ahead != nil || left == 0 || left > want.n/2 {
		return
	}
	result := make(chan ahead, 1)
	l.ahead = result
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), reserveTimeout)
		defer cancel()
		var err error
		want.first, err = l.store.ReserveSlots(ctx, l.key, want.n, want.interval, l.cfg.Burst)
		result <- ahead{want, err}
	}()
}

// reserve waits for the reservation made ahead, or makes one.
func (l *Limiter) reserve(ctx context.Context) error {
	l.mu.Lock()
	result, slowed, want := l.ahead, l.slowed, l.next(l.cfg.Now())
	l.mu.Unlock()
	var got ahead
	if result != nil {
		select {
		case got = <-result:
		case <-slowed:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for the rate limit: %w", ctx.Err())
		}
	} else {
		got.reservation = want
		got.first, got.err = l.store.ReserveSlots(ctx, l.key, want.n, want.interval, l.cfg.Burst)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slowed != slowed {
		return nil // Slow has dropped all slots, these among them
	}
	l.ahead = nil
	if got.err != nil && result != nil {
		return nil // this caller has not tried for itself yet
	}
	if got.err != nil {
		return fmt.Errorf("reserve a share of the rate limit: %w", got.err)
	}
	l.slots = append(l.slots, got.reservation)
	return nil
}
