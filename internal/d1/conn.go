package d1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"regexp"
	"slices"
	"sync/atomic"

	"cardbatch/internal/retry"
)

// trackedConn remembers whether the other side has answered anything on it.
type trackedConn struct {
	net.Conn
	answered atomic.Bool
	closed   atomic.Bool
	pending  atomic.Int32 // requests that have got no answer, and perhaps never will
}

// Close implements [net.Conn]. The system would go on for minutes to deliver what
// was written of a request that has been given up: an order could arrive after D1
// was asked about it. So whatever of it is still here is thrown away.
func (c *trackedConn) Close() error {
	c.closed.Store(true)
	if conn, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok && c.pending.Load() > 0 {
		_ = conn.SetLinger(0) // it fails for a connection that is closed already
	}
	return c.Conn.Close() //nolint:wrapcheck // it is the connection
}

func tracked(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &trackedConn{Conn: conn}, nil
	}
}

// route learns which connection a request took.
type route struct{ last atomic.Pointer[way] }

type way struct {
	conn *trackedConn
	tls  *tls.Conn // nil: none
}

func (r *route) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		var w way
		conn := got.Conn
		if w.tls, _ = conn.(*tls.Conn); w.tls != nil {
			conn = w.tls.NetConn()
		}
		if w.conn, _ = conn.(*trackedConn); w.conn != nil {
			w.conn.pending.Add(1)
			r.last.Store(&w)
		}
	}})
}

// answered notes that the other side has let us in.
func (r *route) answered() {
	if w := r.last.Load(); w != nil {
		w.conn.answered.Store(true)
		w.conn.pending.Add(-1)
	}
}

// event says what came of a request that got no answer. started tells whether
// any of its body was given to the transport.
func (r *route) event(err error, started bool) retry.Event {
	switch {
	case !started:
		return retry.Unsent
	case r.last.Load().turnedAway(err):
		return retry.Unsent
	case declined.MatchString(err.Error()):
		return retry.Declined
	}
	return retry.Unanswered
}

// turnedAway reports whether all that the other side ever said on the
// connection was that it does not accept our half of the TLS handshake.
//
// Which of several errors a failed request gets, that of reading or that of
// writing, is up to chance; but a connection repeats what it was told last.
// Once it is closed, asking it takes nothing away from anybody.
func (w *way) turnedAway(err error) bool {
	if w == nil || w.tls == nil || w.conn.answered.Load() {
		return false
	}
	if !handshakeRefused(err) && w.conn.closed.Load() {
		_, err = w.tls.Read(make([]byte, 1))
	}
	return handshakeRefused(err)
}

// handshakeAlerts are what a TLS server says when it does not like the client's
// half of the handshake (RFC 8446, section 6.2): handshake_failure, the
// certificate alerts, unknown_ca, access_denied, decrypt_error,
// certificate_required. It hands no data on before that half is verified.
var handshakeAlerts = []tls.AlertError{40, 42, 43, 44, 45, 46, 48, 49, 51, 116}

// handshakeRefused reports whether the other side broke the handshake off. In
// TLS 1.3 that arrives after the client has begun to write. crypto/tls has no
// type for an alert that was received, but words of its own for each.
func handshakeRefused(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return false
	}
	return slices.ContainsFunc(handshakeAlerts, func(a tls.AlertError) bool { return a.Error() == op.Err.Error() })
}

// declined matches what net/http says when it would repeat a request that the
// server, by the rules of HTTP/2, has not processed: RFC 9113, sections 6.8 and
// 8.7. net/http has no exported error for it; the whole text has to be this, so
// that nothing a server writes can pass for it. Its third reason to repeat a
// request, PROTOCOL_ERROR, promises nothing.
var declined = regexp.MustCompile(`^http2: Transport: cannot retry err \[(?:` +
	`http2: Transport received Server's graceful shutdown GOAWAY` +
	`|stream error: stream ID [0-9]+; REFUSED_STREAM; received from peer` +
	`)\] after Request\.Body was written; define Request\.GetBody to avoid this error$`)
