package ratelimit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/ratelimit"
)

// memoryStore hands out slots as the contract of [ratelimit.Store] says. Each
// call takes delay, as a commit would.
type memoryStore struct {
	delay time.Duration
	err   error

	mu    sync.Mutex
	next  time.Time
	calls int
}

// reservations returns how many there have been.
func (m *memoryStore) reservations() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

// ReserveSlots implements [ratelimit.Store].
func (m *memoryStore) ReserveSlots(ctx context.Context, _ string, n int, interval time.Duration, burst int) (time.Time, error) {
	select {
	case <-time.After(m.delay):
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.err != nil {
		return time.Time{}, m.err
	}
	first := m.next
	if earliest := time.Now().Add(-time.Duration(burst-1) * interval); first.Before(earliest) {
		first = earliest
	}
	m.next = first.Add(time.Duration(n) * interval)
	return first, nil
}

func newLimiter(tb interface{ Fatal(...any) }, store ratelimit.Store, cfg ratelimit.Config) *ratelimit.Limiter {
	l, err := ratelimit.New(store, "D1", cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// pause lets fake time pass.
func pause(d time.Duration) { <-time.After(d) }

// run lets callers use a limiter for a time and returns when calls began. Each
// call takes busy, and each caller rests afterwards as idle says.
func run(l *ratelimit.Limiter, callers int, length, busy time.Duration, idle func() time.Duration) []time.Time {
	var mu sync.Mutex
	var began []time.Time
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for {
				release, err := l.Acquire(ctx)
				if err != nil {
					return
				}
				mu.Lock()
				began = append(began, time.Now())
				mu.Unlock()
				pause(busy)
				release()
				pause(idle())
			}
		})
	}
	group.Wait()
	pause(time.Second) // a reservation may still be on its way
	return began
}

func never() time.Duration { return 0 }

// busiest returns the most calls that began in any second.
func busiest(began []time.Time) int {
	slices.SortFunc(began, time.Time.Compare)
	most, from := 0, 0
	for to := range began {
		for !began[from].Add(time.Second).After(began[to]) {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// TestNeverAboveTheRate is the promise: no second sees more than the rate plus
// the burst, whatever the rate, the store's speed, the number of processes and
// callers, and how they use it.
func TestNeverAboveTheRate(t *testing.T) {
	t.Parallel()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.IntRange(1, 300).Draw(rt, "rate")
		cfg := ratelimit.Config{PerSecond: float64(rate), Burst: rapid.IntRange(1, 50).Draw(rt, "burst")}
		delay := ms(rapid.IntRange(0, 100).Draw(rt, "store ms"))
		busy := ms(rapid.IntRange(0, 100).Draw(rt, "busy ms"))
		idles := rapid.SliceOfN(rapid.IntRange(0, 1500), 1, 20).Draw(rt, "idle ms")
		processes := rapid.IntRange(1, 3).Draw(rt, "processes")
		callers := rapid.IntRange(1, 30).Draw(rt, "callers")

		var i atomic.Int64
		idle := func() time.Duration { return ms(idles[int(i.Add(1))%len(idles)]) }
		began := make([][]time.Time, processes)
		synctest.Test(t, func(t *testing.T) {
			store := &memoryStore{delay: delay}
			var group sync.WaitGroup
			for p := range processes {
				l := newLimiter(t, store, cfg)
				group.Go(func() { began[p] = run(l, callers, 5*time.Second, busy, idle) })
			}
			group.Wait()
		})
		if most := busiest(slices.Concat(began...)); most > rate+cfg.Burst {
			rt.Fatalf("%d calls in a second at %d per second and burst %d", most, rate, cfg.Burst)
		}
	})
}

// TestUsesTheRate: under full load 98 to 100 % of the rate is used, also when
// the store takes its time and processes share it.
func TestUsesTheRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate      float64
		burst     int
		delay     time.Duration
		processes int
	}{
		{1, 1, 5 * time.Millisecond, 1},
		{3, 1, 5 * time.Millisecond, 2},
		{20, 1, 5 * time.Millisecond, 1},
		{20, 40, 5 * time.Millisecond, 2},
		{500, 0, 20 * time.Millisecond, 3},
		{5000, 0, 50 * time.Millisecond, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			const seconds = 20
			store := &memoryStore{delay: c.delay}
			var mu sync.Mutex
			total := 0
			var group sync.WaitGroup
			for range c.processes {
				l := newLimiter(t, store, ratelimit.Config{PerSecond: c.rate, Burst: c.burst})
				group.Go(func() {
					began := run(l, 100, seconds*time.Second, 10*time.Millisecond, never)
					mu.Lock()
					defer mu.Unlock()
					total += len(began)
				})
			}
			group.Wait()
			full := c.rate * seconds
			burst := max(float64(c.burst), c.rate/20, 1)
			if n := float64(total); n < 0.98*full || n > full+burst {
				t.Errorf("%v: %d calls in %d s", c, total, seconds)
			}
		})
	}
}

func TestReservesAFractionAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{}
		l := newLimiter(t, store, ratelimit.Config{PerSecond: 1000})
		run(l, 50, 10*time.Second, time.Millisecond, never)
		if n := store.reservations(); n < 45 || n > 55 {
			t.Errorf("%d reservations in 10 s", n)
		}
	})
}

func TestInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, nil, ratelimit.Config{InFlight: 2})
		first, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = l.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third call: %v", err)
		}
		first()
		first() // counts once
		third, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer third()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err = l.Acquire(ctx); err == nil {
			t.Error("releasing twice made room for two")
		}
	})
}

// TestGivingUpCostsNothing: a caller who gives up leaves neither a call in
// flight nor a used slot behind.
func TestGivingUpCostsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, &memoryStore{}, ratelimit.Config{PerSecond: 1, Burst: 1, InFlight: 1})
		start := time.Now()
		release, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release()
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if _, err = l.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		if release, err = l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		release()
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("the second slot came after %v", took)
		}
	})
}

func TestAcquireWithADeadContext(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, nil, ratelimit.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestClockSetBack: slots that lie hours ahead belong to another clock.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memoryStore{next: time.Now().Add(2 * time.Hour)}
		l := newLimiter(t, store, ratelimit.Config{PerSecond: 10, Burst: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(500*time.Millisecond, func() { // the store has noticed, too
			store.mu.Lock()
			defer store.mu.Unlock()
			store.next = time.Time{}
		})
		if _, err := l.Acquire(ctx); err != nil {
			t.Error(err)
		}
	})
}

// A store whose clock is not ours must not keep a caller waiting for ever.
func TestClocksDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := newLimiter(t, &memoryStore{next: began.Add(3 * time.Hour)}, ratelimit.Config{PerSecond: 100, Burst: 1})
		if _, err := l.Acquire(t.Context()); !errors.Is(err, ratelimit.ErrClock) {
			t.Errorf("the error is %v", err)
		}
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("it took %s", waited)
		}
		ours := func() time.Time { return time.Now().Add(3 * time.Hour) }
		l = newLimiter(t, &memoryStore{next: ours()}, ratelimit.Config{PerSecond: 100, Burst: 1, Now: ours})
		release, err := l.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
}

func TestStoreDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		store := &memoryStore{}
		l := newLimiter(t, store, ratelimit.Config{PerSecond: 10, InFlight: 1})
		store.err = down
		for range 3 { // the call in flight is given back each time
			if _, err := l.Acquire(t.Context()); !errors.Is(err, down) {
				t.Errorf("got %v", err)
			}
		}
		store.err = nil
		if _, err := l.Acquire(t.Context()); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	})
}

func TestSlowWithoutARate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, nil, ratelimit.Config{})
		l.Slow(0)
		start := time.Now()
		for range 3 {
			if _, err := l.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("paused for %v", took)
		}
	})
}

// TestSlowNeverStops: however often D1 complains, some calls get through.
func TestSlowNeverStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, &memoryStore{}, ratelimit.Config{PerSecond: 160, Burst: 1})
		for range 50 {
			l.Slow(0)
			pause(2 * time.Second)
		}
		began := run(l, 5, time.Second, 0, never)
		if n := len(began); n < 1 || n > 5 {
			t.Errorf("%d calls in a second after many complaints", n)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	store := &memoryStore{}
	for _, cfg := range []ratelimit.Config{{PerSecond: -1}, {PerSecond: 2e6}, {Burst: -1}, {InFlight: -1}} {
		if _, err := ratelimit.New(store, "D1", cfg); err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
	if _, err := ratelimit.New(nil, "D1", ratelimit.Config{PerSecond: 1}); err == nil {
		t.Error("a rate without a store: no error")
	}
}

func BenchmarkAcquireWithoutARate(b *testing.B) {
	l := newLimiter(b, nil, ratelimit.Config{InFlight: 64})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			release, err := l.Acquire(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			release()
		}
	})
}
