package d1sim

import (
	"net"
	"net/http"
	"time"
)

// delay keeps a request waiting; false when the client has gone meanwhile.
func (s *Simulator) delay(r *http.Request, l Latency) bool {
	if l.Max <= 0 {
		return true
	}
	return pause(r, s.dice.between(l.Min, l.Max))
}

func pause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// faultBefore may end a request before anything was done with it.
func (s *Simulator) faultBefore(w http.ResponseWriter, set *Settings) bool {
	f := &set.Faults
	switch {
	case s.dice.hit(f.ResetBefore):
		s.fault()
		reset(w)
	case s.dice.hit(f.ErrorBefore):
		s.fault()
		(&apiError{status: f.ErrorStatus}).write(w)
	default:
		return false
	}
	return true
}

// faultAfter may spoil the answer to a request that was processed.
func (s *Simulator) faultAfter(w http.ResponseWriter, r *http.Request, set *Settings) bool {
	f := &set.Faults
	switch {
	case s.dice.hit(f.ResetAfter):
		s.fault()
		reset(w)
	case s.dice.hit(f.ErrorAfter):
		s.fault()
		(&apiError{status: f.ErrorStatus}).write(w)
	case s.dice.hit(f.Slow):
		s.fault()
		return !pause(r, f.SlowFor)
	default:
		return false
	}
	return true
}

func (s *Simulator) fault() { s.count(func(t *totals) { t.faults++ }) }

// reset cuts the connection: with an RST where the protocol has one connection
// per request, else the stream alone.
func reset(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler) // HTTP/2: RST_STREAM
	}
	conn, _, err := h.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // best effort: a FIN is a cut too
	}
	_ = raw.Close()
}
