package notification

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// limits bound what clients may hold open.
type limits struct {
	connections int           // of all clients
	perAddress  int           // of one address, or one IPv6 network of /64
	handshake   time.Duration // for TLS
}

// conns is the listener that an http.Server is given: it bounds connections and
// does the TLS handshakes itself, so that those that fail are counted by reason
// and a slow one holds nothing but its place among the connections.
type conns struct {
	inner    net.Listener
	tls      *tls.Config // nil: plain
	limits   limits
	refusals *refusals

	ready   chan net.Conn
	ended   context.Context // done when the listener is closed
	end     context.CancelFunc
	started sync.Once
	broken  chan error // the inner listener's error, once

	mu        sync.Mutex
	open      int
	byAddress map[netip.Prefix]int
	shaking   *list.List    // of *tracked: those in their handshake, the oldest first
	idle      chan struct{} // closed when open is zero, if somebody waits for that
	stopped   atomic.Bool   // no longer accepting
}

func newConns(inner net.Listener, tlsConfig *tls.Config, l limits, r *refusals) *conns {
	c := &conns{inner: inner, tls: tlsConfig, limits: l, refusals: r, ready: make(chan net.Conn),
		broken: make(chan error, 1), byAddress: map[netip.Prefix]int{}, shaking: list.New()}
	c.ended, c.end = context.WithCancel(context.Background())
	return c
}

// Accept returns the next connection that has passed its handshake.
func (c *conns) Accept() (net.Conn, error) {
	c.started.Do(func() { go c.accept() })
	select {
	case conn := <-c.ready:
		return conn, nil
	case err := <-c.broken:
		return nil, err
	case <-c.ended.Done():
		return nil, net.ErrClosed
	}
}

// Addr is where the listener listens.
func (c *conns) Addr() net.Addr { return c.inner.Addr() }

// stop accepts no more, but those that were accepted go on. What waits in the
// queue of a socket that systemd holds, too, waits for the next process.
func (c *conns) stop() error {
	if c.stopped.Swap(true) {
		return nil
	}
	return c.inner.Close()
}

// Close ends the listener, and handshakes that are under way.
func (c *conns) Close() error {
	c.end()
	return c.stop()
}

func (c *conns) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// allClosed returns a channel that is closed when no connection is open.
func (c *conns) allClosed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan struct{})
	if c.open == 0 {
		close(ch)
		return ch
	}
	if c.idle == nil {
		c.idle = ch
	}
	return c.idle
}

func (c *conns) accept() {
	pause := time.Duration(0)
	for {
		conn, err := c.inner.Accept()
		switch {
		case err == nil:
			pause = 0
			c.admit(conn)
		case c.stopped.Load():
			return
		case errors.Is(err, net.ErrClosed):
			c.broken <- err
			return
		default: // out of file descriptors, or the client has gone already
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-c.ended.Done():
				return
			}
		}
	}
}

// admit takes a connection if there is a place for it, or one can be made.
func (c *conns) admit(conn net.Conn) {
	from := network(conn.RemoteAddr().String())
	reason := c.take(from)
	if reason != "" && c.makeRoom(from, reason) {
		reason = c.take(from)
	}
	if reason != "" {
		_ = conn.Close() // it is refused either way
		c.refusals.count(reason, "", nil)
		return
	}
	t := &tracked{Conn: conn, opened: time.Now(), from: from, release: func() { c.release(from) }}
	if c.tls == nil {
		go c.hand(t)
		return
	}
	c.mu.Lock()
	place := c.shaking.PushBack(t)
	c.mu.Unlock()
	go c.handshake(t, place)
}

// take takes a place for a connection, or says why there is none.
func (c *conns) take(from netip.Prefix) Reason {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.open >= c.limits.connections:
		return TooManyConnections
	case c.byAddress[from] >= c.limits.perAddress:
		return TooManyOfAddress
	}
	c.open++
	c.byAddress[from]++
	return ""
}

// makeRoom ends the connection that has been in its handshake for the longest,
// if that is longer than a good one takes. To connect and say nothing needs no
// certificate: anybody could else take every place, and D1 would find none.
func (c *conns) makeRoom(from netip.Prefix, reason Reason) bool {
	c.mu.Lock()
	var oldest *tracked
	for e := c.shaking.Front(); e != nil && oldest == nil; e = e.Next() {
		if t, _ := e.Value.(*tracked); reason == TooManyConnections || t.from == from {
			oldest = t
			if time.Since(t.opened) < c.limits.handshake/20 {
				oldest = nil // and those after it are younger
				break
			}
			c.shaking.Remove(e)
		}
	}
	c.mu.Unlock()
	if oldest == nil {
		return false
	}
	oldest.evicted.Store(true)
	_ = oldest.Close() // its handshake ends with an error
	return true
}

func (c *conns) release(from netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.byAddress[from]--; c.byAddress[from] <= 0 {
		delete(c.byAddress, from)
	}
	if c.open == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

func (c *conns) handshake(t *tracked, place *list.Element) {
	ctx, cancel := context.WithTimeout(c.ended, c.limits.handshake)
	defer cancel()
	conn := tls.Server(t, c.tls)
	err := conn.HandshakeContext(ctx)
	c.mu.Lock()
	c.shaking.Remove(place) // nothing, if it was removed already
	c.mu.Unlock()
	switch {
	case err == nil:
	case c.ended.Err() != nil: // by us
		_ = conn.Close()
		return
	default:
		_ = conn.Close()
		reason := handshakeReason(err)
		if t.evicted.Load() {
			reason = SlowHandshake
		}
		c.refusals.count(reason, "", nil) // no text: it may quote what the client sent
		return
	}
	c.hand(conn)
}

func (c *conns) hand(conn net.Conn) {
	select {
	case c.ready <- conn:
	case <-c.ended.Done():
		_ = conn.Close()
	}
}

// network is what connections are counted by: an address, or for IPv6, where
// everybody has billions of them, its network.
func network(addr string) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 128
	switch {
	case ip.Is4():
		bits = 32
	case !ip.IsLoopback():
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the bits are right
	return p
}

// tracked is a connection that knows how far its client came.
type tracked struct {
	net.Conn
	opened  time.Time
	from    netip.Prefix
	release func()
	once    sync.Once

	timedOut atomic.Bool // the last read did
	evicted  atomic.Bool // its place was given to another
	begun    atomic.Bool // a request has begun that no handler has seen yet
	served   atomic.Bool // a handler has seen a request
}

// Read implements [net.Conn].
func (t *tracked) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if err != nil && isTimeout(err) {
		t.timedOut.Store(true)
	}
	return n, err
}

// Close implements [net.Conn].
func (t *tracked) Close() error {
	t.once.Do(t.release)
	return t.Conn.Close()
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// trackedOf returns the connection below one that the http.Server has.
func trackedOf(conn net.Conn) *tracked {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	t, _ := conn.(*tracked)
	return t
}
