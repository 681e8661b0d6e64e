package ratelimit_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cardbatch/internal/ratelimit"
)

// quota is D1's own limit: a token bucket.
type quota struct {
	mu        sync.Mutex
	perSecond float64
	bucket    float64
	tokens    float64
	at        time.Time
	taken     []time.Time
	refused   []time.Time
}

func newQuota(perSecond, bucket float64) *quota {
	return &quota{perSecond: perSecond, bucket: bucket, tokens: bucket, at: time.Now()}
}

func (q *quota) set(perSecond float64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.perSecond = perSecond
}

func (q *quota) take() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	q.tokens = min(q.bucket, q.tokens+q.perSecond*now.Sub(q.at).Seconds())
	q.at = now
	if q.tokens < 1 {
		q.refused = append(q.refused, now)
		return false
	}
	q.tokens--
	q.taken = append(q.taken, now)
	return true
}

// rate is how many calls per second were taken between two times.
func (q *quota) rate(from, to time.Time) float64 {
	return between(q.taken, from, to) / to.Sub(from).Seconds()
}

func between(times []time.Time, from, to time.Time) (n float64) {
	for _, t := range times {
		if !t.Before(from) && t.Before(to) {
			n++
		}
	}
	return n
}

// order lets callers order from D1 until the time is up. answer is how long D1
// takes for one.
func (q *quota) order(limiters []*ratelimit.Limiter, callers int, length, answer time.Duration) {
	end := time.Now().Add(length)
	var group sync.WaitGroup
	for _, l := range limiters {
		for range callers {
			group.Go(func() {
				for time.Now().Before(end) {
					release, err := l.Acquire(context.Background())
					if err != nil {
						return
					}
					pause(answer / 2)
					ok := q.take()
					pause(answer / 2)
					release()
					if !ok {
						l.Slow(time.Second)
					}
				}
			})
		}
	}
	group.Wait()
	pause(time.Second)
}

// TestSettlesBelowD1sLimit: with a limit configured too high, whatever D1 saves
// up over a pause, 90 to 100 % of D1's own limit is used after a while, and D1
// hardly ever complains.
func TestSettlesBelowD1sLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		configured, limit, bucket float64
		processes                 int
		answer                    time.Duration
	}{
		{60, 50, 100, 1, 20 * time.Millisecond},
		{60, 50, 50, 1, 20 * time.Millisecond},
		{60, 50, 5, 1, 20 * time.Millisecond},
		{100, 50, 100, 1, 20 * time.Millisecond},
		{100, 50, 10, 1, 200 * time.Millisecond},
		{500, 50, 50, 1, 20 * time.Millisecond},
		{1000, 50, 100, 1, time.Second},
		{1500, 300, 600, 1, 20 * time.Millisecond},
		{20, 2, 4, 1, 20 * time.Millisecond},
		{100, 50, 100, 3, 20 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &memoryStore{delay: 2 * time.Millisecond}
				var limiters []*ratelimit.Limiter
				for range c.processes {
					limiters = append(limiters, newLimiter(t, store, ratelimit.Config{PerSecond: c.configured, InFlight: 100}))
				}
				d1 := newQuota(c.limit, c.bucket)
				start := time.Now()
				const settle, length = 3 * time.Minute, 9 * time.Minute
				d1.order(limiters, 60, length, c.answer)
				share := d1.rate(start.Add(settle), start.Add(length)) / c.limit
				complaints := between(d1.refused, start.Add(settle), start.Add(length))
				t.Logf("%.3f of D1's limit, %v refused of %d, before %v", share, complaints, len(d1.taken),
					between(d1.refused, start, start.Add(settle)))
				if share < 0.9 || share > 1+c.bucket/c.limit/(length-settle).Seconds() || complaints > 0.002*float64(len(d1.taken)) {
					t.Errorf("%.3f of D1's limit, %v refused", share, complaints)
				}
			})
		})
	}
}

// TestFollowsD1sLimit: when D1 allows less it goes down within a minute, when
// D1 allows more it goes up within some.
func TestFollowsD1sLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limiters := []*ratelimit.Limiter{newLimiter(t, &memoryStore{}, ratelimit.Config{PerSecond: 100, InFlight: 30})}
		d1 := newQuota(100, 100)
		for _, c := range []struct {
			limit float64
			after time.Duration
		}{{100, 0}, {40, time.Minute}, {20, time.Minute}, {80, 14 * time.Minute}, {200, 20 * time.Minute}} {
			d1.set(c.limit)
			d1.order(limiters, 20, c.after, 20*time.Millisecond)
			from := time.Now()
			d1.order(limiters, 20, time.Minute, 20*time.Millisecond)
			want := min(c.limit, 100)
			if got := d1.rate(from, from.Add(time.Minute)); got < 0.9*want || got > 1.02*want {
				t.Errorf("%.1f calls a second %v after D1 allowed %v", got, c.after, c.limit)
			}
		}
	})
}

// TestRemembersOverADay: what was learnt last night holds tonight.
func TestRemembersOverADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limiters := []*ratelimit.Limiter{newLimiter(t, &memoryStore{}, ratelimit.Config{PerSecond: 100, InFlight: 30})}
		d1 := newQuota(50, 50)
		d1.order(limiters, 20, 3*time.Minute, 20*time.Millisecond)
		pause(20 * time.Hour)
		from := time.Now()
		d1.order(limiters, 20, time.Minute, 20*time.Millisecond)
		if n, share := between(d1.refused, from, time.Now()), d1.rate(from, from.Add(time.Minute))/50; n > 1 || share < 0.9 {
			t.Errorf("%v refused, %.3f of D1's limit used", n, share)
		}
	})
}

// TestSlowOften: answers that belong together count as one complaint, and the
// pause lasts as long as the last of them asks.
func TestSlowOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, &memoryStore{}, ratelimit.Config{PerSecond: 100, Burst: 1})
		run(l, 20, 5*time.Second, 0, never)
		start := time.Now()
		for range 20 {
			l.Slow(3 * time.Second)
		}
		l.Slow(0) // asks for less
		pause(time.Second)
		l.Slow(4 * time.Second)
		state := l.State()
		if want := start.Add(5 * time.Second); !state.PausedUntil.Equal(want) {
			t.Errorf("paused until %v, want %v", state.PausedUntil, want)
		}
		if state.Configured != 100 || state.Allowed < 90 || state.Allowed >= 100 {
			t.Errorf("%+v", state)
		}
		began := run(l, 20, 20*time.Second, 0, never)
		if first := began[0].Sub(start); first < 5*time.Second || first > 5100*time.Millisecond {
			t.Errorf("the first call came %v after the complaint", first)
		}
	})
}

// TestUnusedLimit: complaints about calls that were few anyway do not leave a
// rate that is lower than they were.
func TestUnusedLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limiters := []*ratelimit.Limiter{newLimiter(t, &memoryStore{}, ratelimit.Config{PerSecond: 1000, InFlight: 4})}
		d1 := newQuota(30, 30)
		start := time.Now()
		d1.order(limiters, 4, 5*time.Minute, 100*time.Millisecond) // 40 a second at most
		if got := d1.rate(start.Add(2*time.Minute), start.Add(5*time.Minute)); got < 27 || got > 30.5 {
			t.Errorf("%.1f calls a second of 30", got)
		}
	})
}
