package d1sim

import (
	"sync"
	"sync/atomic"
	"time"
)

// dice rolls without a lock; the same seed rolls the same numbers, though
// concurrent requests may take them in another order.
type dice struct {
	seed uint64
	n    atomic.Uint64
}

func (d *dice) next() uint64 { return mix(d.seed + d.n.Add(1)*0x9e3779b97f4a7c15) }

// hit is true for a share of the rolls. A share of zero takes no roll.
func (d *dice) hit(share float64) bool { return share > 0 && unit(d.next()) < share }

// between is evenly spread.
func (d *dice) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(unit(d.next())*float64(hi-lo))
}

// of is a fixed roll for a key: it depends on the seed and the key alone.
func (d *dice) of(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range key {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return mix(h ^ d.seed)
}

// mix is splitmix64's finalizer.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// bucket is a token bucket: at most burst at once, rate per second on average.
type bucket struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// take returns false when the limit is reached.
func (b *bucket) take(l RateLimit, now time.Time) bool {
	if l.PerSecond == 0 {
		return true
	}
	burst := float64(l.Burst)
	if burst == 0 {
		burst = max(1, 2*l.PerSecond)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+l.PerSecond*max(0, now.Sub(b.last).Seconds()))
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
