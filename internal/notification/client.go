package notification

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"
)

// transportClient names who sent a request, as far as TLS knows: the name of
// its certificate, which stays when the certificate is renewed, else its address.
func transportClient(req *http.Request) string {
	if req.TLS != nil && len(req.TLS.PeerCertificates) > 0 {
		leaf := req.TLS.PeerCertificates[0]
		sum := sha256.Sum256(append(append([]byte{}, leaf.RawIssuer...), leaf.RawSubject...))
		return "certificate/" + hex.EncodeToString(sum[:8])
	}
	return "address/" + network(req.RemoteAddr).String()
}

// maxClients bounds the memory of a rate: beyond it, clients that have rested are forgotten.
const maxClients = 4096

// rate is a limit for each client: n events a second, and as many at once
// after a pause. A nil rate has no limit.
type rate struct {
	interval time.Duration // between two events at full speed
	burst    time.Duration // how much of that may be used ahead
	now      func() time.Time

	mu   sync.Mutex
	next map[string]time.Time // by client: when the bucket would be full again
}

// newRate allows n events in each span, all of them at once if need be.
func newRate(n float64, span time.Duration, now func() time.Time) *rate {
	if n <= 0 {
		return nil
	}
	return &rate{interval: max(1, time.Duration(float64(span)/n)), burst: span, now: now, next: map[string]time.Time{}}
}

// take takes one event, or says how long the client has to wait for it.
func (r *rate) take(client string) (wait time.Duration) {
	return r.use(client, true)
}

// look is take without taking.
func (r *rate) look(client string) (wait time.Duration) {
	return r.use(client, false)
}

func (r *rate) use(client string, take bool) time.Duration {
	if r == nil {
		return 0
	}
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.next[client]
	if next.Before(now) || next.Sub(now) > r.burst { // rested, or the clock was set back: nobody waits for it
		next = now
	}
	next = next.Add(r.interval)
	if wait := next.Sub(now) - r.burst; wait > 0 {
		return wait
	}
	if take {
		if len(r.next) >= maxClients {
			r.forget(now)
		}
		r.next[client] = next
	}
	return 0
}

// forget drops the clients that have rested, and everybody when nobody has:
// that is kinder than to refuse those who are new.
func (r *rate) forget(now time.Time) {
	for client, next := range r.next {
		if next.Before(now) {
			delete(r.next, client)
		}
	}
	if len(r.next) >= maxClients {
		clear(r.next)
	}
}
