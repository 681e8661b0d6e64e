package d1sim

import (
	"net"
	"net/http"
	"time"
)

// A fault is the name of a switch of [Faults]: so it stands in settings, in
// the event log and in the counts.
type fault string

const (
	errorBefore   fault = "error_before"
	resetBefore   fault = "reset_before"
	errorAfter    fault = "error_after"
	resetAfter    fault = "reset_after"
	slow          fault = "slow"
	slowBody      fault = "slow_body"
	truncated     fault = "truncated"
	notJSON       fault = "not_json"
	noOperationID fault = "no_operation_id"
	batchPartly   fault = "batch_partly"
	statusError   fault = "status_error"
	goawayEvery   fault = "goaway_every"
	revokeTokens  fault = "revoke_tokens"
	tokenDown     fault = "token_down"
	tokenError    fault = "token_error"
	tokenSlow     fault = "token_slow"
	tokenGarbage  fault = "token_garbage"

	lostNotifications      fault = "lost_notifications"
	delayedNotifications   fault = "delayed_notifications"
	duplicateNotifications fault = "duplicate_notifications"
	reorderedNotifications fault = "reordered_notifications"
	unreadNotificationAcks fault = "unread_notification_acks"

	throttledFault fault = "rate_limit" // no share: a quota
	latencyRoll    fault = "latency"    // no fault: the name of its roll
)

// Faults are what goes wrong: shares of requests unless said otherwise. Which
// requests they hit depends on [Config.Seed], the card and how often it was
// asked for, so that the same night meets the same faults.
type Faults struct {
	// Orders, batch orders and changes alike:

	ErrorBefore float64 `yaml:"error_before"` // order answered ErrorStatus, not processed
	ErrorAfter  float64 `yaml:"error_after"`  // order processed, answered ErrorStatus
	ResetBefore float64 `yaml:"reset_before"` // connection reset, order not processed
	ResetAfter  float64 `yaml:"reset_after"`  // order processed, connection reset
	// ResetConnection makes a reset under HTTP/2 cut the whole connection with
	// everything in flight on it. Default: the one stream (RST_STREAM).
	ResetConnection bool    `yaml:"reset_connection"`
	Slow            float64 `yaml:"slow"` // order processed, answered SlowFor later
	// SlowFor is the delay of a slow answer. Default 60 s.
	SlowFor time.Duration `yaml:"slow_for"`
	// ErrorStatus of ErrorBefore, ErrorAfter and StatusError. Default 503.
	ErrorStatus int `yaml:"error_status"`
	// StatusError is the share of productionStatus requests answered ErrorStatus.
	StatusError float64 `yaml:"status_error"`

	// Those four spoil an answer to orders, batch orders, changes and
	// productionStatus, after everything was processed.

	SlowBody float64 `yaml:"slow_body"` // status and headers at once, the body over SlowBodyFor
	// SlowBodyFor is how long a slow body takes. Default 60 s.
	SlowBodyFor time.Duration `yaml:"slow_body_for"`
	Truncated   float64       `yaml:"truncated"` // the body ends half way
	NotJSON     float64       `yaml:"not_json"`  // the body is a gateway's HTML page
	// NoOperationID leaves operationId out of a 202: Thales does not promise it.
	NoOperationID float64 `yaml:"no_operation_id"`

	// BatchPartly processes the first half of a batch order and cuts the connection.
	BatchPartly float64 `yaml:"batch_partly"`
	// GoawayEvery closes the connection after every so many requests of any
	// kind: GOAWAY under HTTP/2, Connection: close before. 0: never.
	GoawayEvery int `yaml:"goaway_every"`

	// TokenDown answers every token request with 503.
	TokenDown  bool    `yaml:"token_down"`
	TokenError float64 `yaml:"token_error"` // share answered TokenStatus
	// TokenStatus of TokenError. Default 503.
	TokenStatus int     `yaml:"token_status"`
	TokenSlow   float64 `yaml:"token_slow"` // share answered TokenSlowFor later
	// TokenSlowFor is the delay of a slow token. Default 60 s.
	TokenSlowFor time.Duration `yaml:"token_slow_for"`
	// TokenGarbage is answered 200 with what is no token: an HTML page, or JSON without one.
	TokenGarbage float64 `yaml:"token_garbage"`
	// RevokeTokens makes this share of order requests fail with 401.
	RevokeTokens float64 `yaml:"revoke_tokens"`

	LostNotifications    float64 `yaml:"lost_notifications"`    // never sent
	DelayedNotifications float64 `yaml:"delayed_notifications"` // sent DelayedFor later; others overtake
	// DelayedFor is that delay, in real time. Default 1 s.
	DelayedFor             time.Duration `yaml:"delayed_for"`
	DuplicateNotifications float64       `yaml:"duplicate_notifications"`  // sent twice
	ReorderedNotifications float64       `yaml:"reordered_notifications"`  // sent after the order's next one
	UnreadNotificationAcks float64       `yaml:"unread_notification_acks"` // delivered, taken as failed and retried
}

func (f *Faults) defaults() {
	def(&f.ErrorStatus, http.StatusServiceUnavailable)
	def(&f.TokenStatus, http.StatusServiceUnavailable)
	def(&f.SlowFor, time.Minute)
	def(&f.SlowBodyFor, time.Minute)
	def(&f.TokenSlowFor, time.Minute)
	def(&f.DelayedFor, time.Second)
}

// faultBefore may end a request before anything was done with it.
func (x *exchange) faultBefore() bool {
	f := &x.set.Faults
	switch {
	case x.hit(resetBefore, f.ResetBefore):
		x.reset()
	case x.hit(errorBefore, f.ErrorBefore):
		x.refuse(&apiError{status: f.ErrorStatus})
	default:
		return false
	}
	return true
}

// finish answers what was processed, unless a fault spoils it.
func (x *exchange) finish(status int, body []byte) {
	f := &x.set.Faults
	switch {
	case x.hit(resetAfter, f.ResetAfter):
		x.reset()
		return
	case x.hit(errorAfter, f.ErrorAfter):
		x.refuse(&apiError{status: f.ErrorStatus})
		return
	case x.hit(slow, f.Slow):
		if !x.pause(f.SlowFor) {
			return
		}
	}
	x.spoil(status, body)
}

// spoil writes an answer, or something that only begins like it.
func (x *exchange) spoil(status int, body []byte) {
	f := &x.set.Faults
	switch {
	case x.hit(slowBody, f.SlowBody):
		x.dribble(status, body)
	case x.hit(truncated, f.Truncated):
		// The length is the whole body's: HTTP/1 closes the connection at the
		// end of the handler, HTTP/2 the stream.
		x.head(status, len(body), jsonType)
		_, _ = x.w.Write(body[:len(body)/2]) //nolint:gosec // JSON
	case x.hit(notJSON, f.NotJSON):
		x.page(status)
	case status == http.StatusAccepted && x.hit(noOperationID, f.NoOperationID):
		x.write(status, []byte(`{}`))
	default:
		x.write(status, body)
	}
}

// page is what a gateway on the way shows.
func (x *exchange) page(status int) {
	const page = "<!DOCTYPE html>\n<html><head><title>Gateway</title></head><body><h1>One moment please</h1></body></html>\n"
	x.head(status, len(page), "text/html; charset=utf-8")
	_, _ = x.w.Write([]byte(page))
}

// dribble sends the head at once and the body in small pieces.
func (x *exchange) dribble(status int, body []byte) {
	const pieces = 32
	x.head(status, len(body), jsonType)
	c := http.NewResponseController(x.w)
	_ = c.Flush() // not every server can, then the pieces come late
	size := max(1, (len(body)+pieces-1)/pieces)
	wait := x.set.Faults.SlowBodyFor * time.Duration(size) / time.Duration(len(body)+1)
	for len(body) > 0 && x.pause(wait) {
		n := min(size, len(body))
		if _, err := x.w.Write(body[:n]); err != nil { //nolint:gosec // JSON
			return
		}
		_ = c.Flush()
		body = body[n:]
	}
}

// reset cuts the connection: with an RST where the protocol has one connection
// per request or the whole of it is asked for, else the stream alone.
func (x *exchange) reset() {
	conn, ok := x.r.Context().Value(connKey{}).(net.Conn)
	h, single := x.w.(http.Hijacker)
	switch {
	case single:
		var err error
		if conn, _, err = h.Hijack(); err != nil {
			panic(http.ErrAbortHandler)
		}
		cut(conn)
	case ok && x.set.Faults.ResetConnection:
		cut(conn)
		panic(http.ErrAbortHandler)
	default:
		panic(http.ErrAbortHandler) // HTTP/2: RST_STREAM
	}
}

func cut(c net.Conn) {
	for {
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = under.NetConn()
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // best effort: a FIN is a cut too
	}
	_ = c.Close()
}
