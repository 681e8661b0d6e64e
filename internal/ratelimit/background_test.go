package ratelimit_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cardbatch/internal/ratelimit"
)

type acquirer interface {
	Acquire(ctx context.Context) (func(), error)
}

// compete lets ordering and asking use one limiter and returns how many calls
// each made.
func compete(l *ratelimit.Limiter, ordering, asking int, length, busy time.Duration) (orders, questions int) {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	call := func(a acquirer, n *int) {
		for {
			release, err := a.Acquire(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			*n++
			mu.Unlock()
			pause(busy)
			release()
		}
	}
	for range ordering {
		group.Go(func() { call(l, &orders) })
	}
	for range asking {
		group.Go(func() { call(l.Background(), &questions) })
	}
	group.Wait()
	pause(time.Second)
	return orders, questions
}

func TestBackgroundGivesWay(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg              ratelimit.Config
		ordering, asking int
		least, most      float64 // share of the background
	}{
		"nobody orders":            {ratelimit.Config{PerSecond: 50, InFlight: 8}, 0, 4, 1, 1},
		"ordering waits for slots": {ratelimit.Config{PerSecond: 50, InFlight: 8}, 8, 4, 0.09, 0.11},
		"more of those that wait":  {ratelimit.Config{PerSecond: 50, InFlight: 8}, 8, 100, 0.09, 0.11},
		"ordering waits for D1":    {ratelimit.Config{InFlight: 8}, 8, 8, 0.05, 0.26},
		"ordering leaves some":     {ratelimit.Config{PerSecond: 50, InFlight: 8}, 1, 4, 0.55, 0.7},
		"one at a time":            {ratelimit.Config{InFlight: 1}, 1, 1, 0.05, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(t, &memoryStore{}, c.cfg)
				orders, questions := compete(l, c.ordering, c.asking, time.Minute, 45*time.Millisecond)
				share := float64(questions) / float64(orders+questions)
				if share < c.least || share > c.most {
					t.Errorf("%d orders and %d questions: a share of %.3f, want %v to %v", orders, questions, share, c.least, c.most)
				}
				if total := float64(orders + questions); c.cfg.PerSecond > 0 && total < 0.98*60*c.cfg.PerSecond {
					t.Errorf("%v calls in a minute", total)
				}
			})
		})
	}
}

// TestBackgroundGivesUp: one that stops waiting leaves its place to the others.
func TestBackgroundGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, nil, ratelimit.Config{InFlight: 1})
		release, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Background().Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		release()
		for _, a := range []acquirer{l, l.Background()} {
			release, err := a.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
	})
}

func TestBackgroundSlows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, &memoryStore{}, ratelimit.Config{PerSecond: 10})
		l.Background().Slow(time.Minute)
		if want := time.Now().Add(time.Minute); !l.State().PausedUntil.Equal(want) {
			t.Errorf("paused until %v, want %v", l.State().PausedUntil, want)
		}
	})
}
