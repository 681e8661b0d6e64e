package d1sim

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// bucket is a token bucket: at most burst at once, rate per second on average.
type bucket struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// take returns false when the limit is reached.
func (b *bucket) take(l *RateLimit, now time.Time) bool {
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

// writeRetryAfter tells when to come again, in the form that is configured.
func (l *RateLimit) writeRetryAfter(h http.Header, now time.Time) {
	switch seconds := int(math.Ceil(max(1, l.RetryAfter.Seconds()))); l.RetryAfterForm {
	case RetryAfterSeconds:
		h.Set("Retry-After", strconv.Itoa(seconds))
	case RetryAfterDate: // whole seconds: rounded up, so that it is never too early
		at := now.Add(l.RetryAfter + time.Second - time.Nanosecond)
		h.Set("Retry-After", at.UTC().Format(http.TimeFormat))
	}
}
