package night_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
)

// postbox stands between D1 and the daemon, passes notifications on, and keeps
// those that were answered 204.
type postbox struct {
	server *httptest.Server
	daemon string // host and port
	trap   *trap

	mu       sync.Mutex
	answered []issuance.Operation // since they were last taken
	total    int
}

func newPostbox(daemon string, trap *trap) *postbox {
	p := &postbox{daemon: daemon, trap: trap}
	p.server = httptest.NewServer(p)
	return p
}

// take returns the operations that were answered 204 since the last time.
func (p *postbox) take() []issuance.Operation {
	p.mu.Lock()
	defer p.mu.Unlock()
	ops := p.answered
	p.answered = nil
	return ops
}

// ServeHTTP passes a notification on, over a connection of its own: it may
// break at any byte.
func (p *postbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	status, err := p.deliver(r.Context(), r.URL.Path, body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway) // D1 tries again
		return
	}
	if status == http.StatusNoContent {
		p.keep(body)
		p.trap.passes("news answered")
	}
	w.WriteHeader(status)
}

const deliveryTime = 10 * time.Second

func (p *postbox) deliver(ctx context.Context, path string, body []byte) (status int, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.daemon)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // it may be broken already
	if err := conn.SetDeadline(time.Now().Add(deliveryTime)); err != nil {
		return 0, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		path, p.daemon, len(body))
	half := len(body) / 2
	if _, err := io.WriteString(conn, head+string(body[:half])); err != nil {
		return 0, err
	}
	if caught, _ := p.trap.passes("news half"); caught {
		return 0, errLost
	}
	if _, err := conn.Write(body[half:]); err != nil {
		return 0, err
	}
	p.trap.passes("news whole")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func (p *postbox) keep(body []byte) {
	ops, err := d1.ParseOperations(body)
	if err != nil {
		panic(err) // the simulator's own body
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = append(p.answered, ops...)
	p.total += len(ops)
}
