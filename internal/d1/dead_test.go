package d1_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/retry"
)

// blackHole is a network that can lose a connection without telling either
// side, as a firewall does that has forgotten it.
type blackHole struct {
	dials atomic.Int32
	lost  atomic.Int32 // connections up to this number are lost
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (b *blackHole) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := b.dial(ctx, network, addr)
	return &lossy{Conn: conn, hole: b, number: b.dials.Add(1)}, err
}

func (b *blackHole) lose() { b.lost.Store(b.dials.Load()) }

type lossy struct {
	net.Conn
	hole   *blackHole
	number int32
}

// Write implements [net.Conn].
func (c *lossy) Write(p []byte) (int, error) {
	if c.number <= c.hole.lost.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestADeadConnectionIsFound: an order on it is Unknown long before its
// deadline, and the next one takes another connection.
func TestADeadConnectionIsFound(t *testing.T) {
	t.Parallel()
	f, mutual := newTLSFake(t, true, says(http.StatusAccepted, `{"operationId":"op-1"}`))
	hole := &blackHole{dial: (&net.Dialer{}).DialContext}
	client := f.client(t, mutual, func(c *d1.Config) {
		c.Timeout = time.Minute
		d1.SetTiming(c, 300*time.Millisecond, time.Second)
		d1.SetDial(c, hole.connect)
	})
	overADeadConnection(t, client, hole)
	if n := f.orders.Load(); n != 2 {
		t.Errorf("%d orders arrived", n)
	}
}

// TestADeadConnectionIsFoundWithin20s is the same with the real settings, in
// time that does not pass.
func TestADeadConnectionIsFoundWithin20s(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca, key := newAuthority(t), newKey(t)
		serverTLS := ca.serverTLS(t, "h2")
		certFile, keyFile := ca.issue(t, t.TempDir(), "TLSMA-issuer")
		f := &fakeD1{key: key, card: says(http.StatusAccepted, `{"operationId":"op-1"}`)}
		pipes := newPipes()
		server := &http.Server{Handler: f, TLSConfig: serverTLS, ErrorLog: log.New(io.Discard, "", 0)}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.ServeTLS(pipes, "", "") })
		hole := &blackHole{dial: pipes.dial}
		cfg := d1.Config{
			IssuerID: testIssuer, BaseURL: "https://127.0.0.1/banking/v1", TokenURL: "https://127.0.0.1" + tokenPath,
			Token:    d1.Token{KeyID: "jwt-1", Key: key},
			TLSFiles: d1.TLSFiles{Cert: certFile, Key: keyFile, CA: ca.file},
		}
		d1.SetDial(&cfg, hole.connect)
		client, err := d1.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		took := overADeadConnection(t, client, hole)
		if took > 20*time.Second {
			t.Errorf("found dead after %v", took)
		}
		t.Logf("found dead after %v", took)
		if n := hole.dials.Load(); n != 2 {
			t.Errorf("%d connections", n)
		}
		client.Close()
		_ = server.Close()
		serving.Wait()
		pipes.closeAll()
	})
}

// overADeadConnection sends orders before, while and after a connection dies,
// and returns how long the one in between took to fail.
func overADeadConnection(t *testing.T, client *d1.Client, hole *blackHole) time.Duration {
	t.Helper()
	if _, err := client.Order(t.Context(), call()); err != nil {
		t.Fatal(err)
	}
	hole.lose()
	start := time.Now()
	_, err := client.Order(t.Context(), call())
	took := time.Since(start)
	if e := retry.Of(err); e == nil || e.Class != retry.Unknown || !e.Unavailable {
		t.Errorf("over a dead connection: %v", err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("only its deadline ended it: %v", err)
	}
	if _, err = client.Order(t.Context(), call()); err != nil {
		t.Errorf("after it: %v", err)
	}
	return took
}

// pipes is a network in memory, for a clock that is not real.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once

	mu  sync.Mutex
	all []net.Conn
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.mu.Lock()
	p.all = append(p.all, ours, theirs)
	p.mu.Unlock()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error {
	p.close.Do(func() { close(p.done) })
	return nil
}

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (p *pipes) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.all {
		_ = conn.Close()
	}
}
