package ops

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// Check is something that must be so for the daemon to be of use.
type Check struct {
	Name string
	// Ask returns nil when it is so. What the error says is shown to whoever may
	// read the metrics: it must name nothing personal or secret.
	Ask func(context.Context) error
}

// checkLimit bounds all checks of one answer.
const checkLimit = 5 * time.Second

// ready answers 200 when all checks hold, else 503, and says which do not.
func ready(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), checkLimit)
		defer cancel()
		status := http.StatusOK
		results := map[string]string{}
		for _, c := range checks {
			results[c.Name] = "ok"
			if err := c.Ask(ctx); err != nil {
				status = http.StatusServiceUnavailable
				results[c.Name] = err.Error()
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(results) // the reader has gone, or not
	}
}

// Pulse knows when something that should go on for ever last did. The zero
// Pulse never did.
type Pulse struct {
	mu   sync.Mutex
	last time.Time
	busy int
}

// Beat says that it goes on.
func (p *Pulse) Beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = now
}

// Work says that a piece of work has begun, which may take its time, until done is called.
func (p *Pulse) Work() (done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busy--
	}
}

// Stopped reports whether neither has happened for that long.
func (p *Pulse) Stopped(now time.Time, limit time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy == 0 && now.Sub(p.last) > limit
}
