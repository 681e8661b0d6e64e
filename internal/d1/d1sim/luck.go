package d1sim

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// dice gives numbers from a seed.
type dice struct {
	seed uint64
	n    atomic.Uint64
}

const golden = 0x9e3779b97f4a7c15

// next is the next number of a sequence: the same seed gives the same one.
func (d *dice) next() uint64 { return mix(d.seed + d.n.Add(1)*golden) }

// of is a fixed roll for a key: it depends on the seed and the key alone.
func (d *dice) of(key []byte) uint64 { return mix(hash(key) ^ d.seed) }

func hash[T string | []byte](key T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h
}

// mix is splitmix64's finalizer.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// luck is what one request, or one notification, meets. It depends on the
// seed, on what is asked and on how often that was asked before; not on what
// else goes on at the same time, nor on which other faults are switched on. So
// the same orders meet the same faults, however many workers send them.
type luck uint64

func (d *dice) luck(kind, key string, time uint32) luck {
	return luck(mix(d.seed ^ hash(kind) + golden*(hash(key)+uint64(time))))
}

// roll is evenly spread over [0, 1).
func (l luck) roll(f fault) float64 { return unit(mix(uint64(l) + hash(string(f)))) }

// hit is true for a share of the lucks.
func (l luck) hit(f fault, share float64) bool { return share > 0 && l.roll(f) < share }

// of is a waiting time of this distribution for a roll.
func (t *Latency) of(roll float64) time.Duration {
	if t.P50 <= 0 {
		return t.Min + time.Duration(roll*float64(t.Max-t.Min))
	}
	// Log-normal: the logarithm of the time is normally distributed.
	const z99 = 2.3263478740408408 // of the standard normal distribution
	sigma := math.Log(float64(t.P99)/float64(t.P50)) / z99
	z := math.Sqrt2 * math.Erfinv(2*max(roll, 1e-9)-1)
	d := time.Duration(min(float64(t.P50)*math.Exp(sigma*z), float64(time.Hour)))
	if t.Max > 0 {
		d = min(d, t.Max)
	}
	return max(d, t.Min)
}

// tries counts how often each thing was asked while faults were on.
type tries struct {
	mu sync.Mutex
	n  map[uint64]uint32
}

func (t *tries) next(kind, key string) uint32 {
	k := hash(kind)*31 ^ hash(key)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[uint64]uint32{}
	}
	t.n[k]++
	return t.n[k]
}

func (t *tries) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n = nil
}
