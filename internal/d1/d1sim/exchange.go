package d1sim

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"time"
)

// What is asked: the kinds of [Event].
const (
	kindOrder        = "order"
	kindBatch        = "batch"
	kindStatus       = "status"
	kindChange       = "change"
	kindToken        = "token"
	kindNotification = "notification" // asked of the issuer
)

const jsonType = "application/json"

// exchange is one request on its way through the simulator.
type exchange struct {
	s     *Simulator
	w     http.ResponseWriter
	r     *http.Request
	set   *Settings // as they were when it came
	kind  string
	ev    event
	luck  luck
	lucky bool // luck has been told
}

// begin takes a request in. end must follow.
func (s *Simulator) begin(w http.ResponseWriter, r *http.Request, kind string) *exchange {
	x := &exchange{s: s, w: w, r: r, set: s.settings.Load(), kind: kind}
	x.ev = event{kind: kind, at: time.Now().UnixMicro(), card: r.PathValue("cardId"), issuer: r.PathValue("issuerId")}
	if n := x.set.Faults.GoawayEvery; n > 0 && s.served.Add(1)%int64(n) == 0 {
		w.Header()["Connection"] = []string{"close"}
		s.faulted(goawayEvery)
	}
	return x
}

// end remembers the request, also one that ended in a panic.
func (x *exchange) end() { x.s.events.add(&x.ev) }

// hit decides whether a fault meets this request, and counts it.
func (x *exchange) hit(f fault, share float64) bool {
	if share <= 0 || !x.fortune().hit(f, share) {
		return false
	}
	x.ev.fault = f
	x.s.faulted(f)
	return true
}

// fortune is the request's luck. Only with faults on is it asked for, and only
// then are the tries counted.
func (x *exchange) fortune() luck {
	if !x.lucky {
		key := x.ev.issuer + "/" + x.ev.card
		x.luck, x.lucky = x.s.dice.luck(x.kind, key, x.s.tries.next(x.kind, key)), true
	}
	return x.luck
}

// delay keeps a request waiting; false when the client has gone meanwhile.
func (x *exchange) delay() bool {
	l := &x.set.Latency
	if l.Max <= 0 && l.P50 <= 0 {
		return true
	}
	return x.pause(l.of(x.fortune().roll(latencyRoll)))
}

func (x *exchange) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.r.Context().Done():
		return false
	}
}

// refuse answers with an error, which nothing spoils.
func (x *exchange) refuse(e *apiError) { x.write(e.status, e.json()) }

func (x *exchange) write(status int, body []byte) {
	x.head(status, len(body), jsonType)
	_, _ = x.w.Write(body) //nolint:gosec // JSON; and when the client is gone there is nothing to do about it
}

func (x *exchange) head(status, length int, contentType string) {
	h := x.w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(length)}
	x.w.WriteHeader(status)
	x.ev.answer = status
}

type connKey struct{}

// ConnContext belongs into http.Server.ConnContext: Faults.ResetConnection
// cannot cut an HTTP/2 connection without it.
func (s *Simulator) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// ServerTLS asks clients for a certificate as Settings.ClientCertificate says,
// from the next handshake on. base has the server's certificate and, in
// ClientCAs, the authority of the clients'.
func (s *Simulator) ServerTLS(base *tls.Config) *tls.Config {
	must, may := base.Clone(), base.Clone()
	must.ClientAuth, may.ClientAuth = tls.RequireAndVerifyClientCert, tls.VerifyClientCertIfGiven
	out := base.Clone()
	out.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if s.settings.Load().ClientCertificate == CertificateOff {
			return may, nil
		}
		return must, nil
	}
	return out
}

// certified reports whether the client's certificate is what is wanted. The
// handshake may have been before it was.
func (x *exchange) certified(issuerID string) bool {
	switch x.set.ClientCertificate {
	case CertificateRequired:
		return x.r.TLS != nil && len(x.r.TLS.PeerCertificates) > 0
	case CertificateNamed:
		return clientNamed(x.r, issuerID)
	}
	return true
}
