package notification

import (
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Reason says why a connection or a request was not served. The values are
// labels of metrics: a closed list, see the package comment for each one's answer.
type Reason string

// Why a connection is closed, before any request.
const (
	TooManyConnections   Reason = "connections"           // of all clients
	TooManyOfAddress     Reason = "connections_address"   // of one address
	NoCertificate        Reason = "no_certificate"        // TLS without a client certificate
	CertificateExpired   Reason = "certificate_expired"   // or not valid yet
	CertificateAuthority Reason = "certificate_authority" // of none of our authorities
	CertificateInvalid   Reason = "certificate_invalid"   // for another use, or broken
	CertificateName      Reason = "certificate_name"      // of a name that is not on our list
	SlowHandshake        Reason = "slow_handshake"        // TLS not done in time
	BadHandshake         Reason = "handshake"             // no TLS, a version too old, given up
	SlowHeader           Reason = "slow_header"           // no whole request header in time
	BadHeader            Reason = "bad_header"            // too large, not HTTP, cut off
)

// Why a request is answered with something else than 204.
const (
	NotFound      Reason = "path"           // 404
	WrongMethod   Reason = "method"         // 405
	UnknownIssuer Reason = "issuer"         // 404
	TooOften      Reason = "rate"           // 429
	BearerMissing Reason = "bearer_missing" // 401
	BearerInvalid Reason = "bearer_invalid" // 401, 503 would have D1 send the same again
	BearerExpired Reason = "bearer_expired" // 401
	BearerScope   Reason = "bearer_scope"   // 403
	TooLarge      Reason = "too_large"      // 413
	SlowBody      Reason = "slow_body"      // 408
	CutBody       Reason = "cut_body"       // 408
	NotJSON       Reason = "not_json"       // 400
	Busy          Reason = "busy"           // 503
	StoreDown     Reason = "store"          // 503
	Internal      Reason = "internal"       // 503
)

// Why no token is given.
const (
	TokenRequest Reason = "token_request" // 400: not what RFC 6749 wants, or a scope the client has not
	TokenClient  Reason = "token_client"  // 401: no such client, or not its secret
	TokenGuesses Reason = "token_guesses" // 429: too many of those
)

// Reasons returns all of them, so that each has a counter before it happens.
func Reasons() []Reason {
	return []Reason{
		TooManyConnections, TooManyOfAddress, NoCertificate, CertificateExpired, CertificateAuthority, CertificateInvalid,
		CertificateName, SlowHandshake, BadHandshake, SlowHeader, BadHeader,
		NotFound, WrongMethod, UnknownIssuer, TooOften, BearerMissing, BearerInvalid, BearerExpired, BearerScope,
		TooLarge, SlowBody, CutBody, NotJSON, Busy, StoreDown, Internal,
		TokenRequest, TokenClient, TokenGuesses,
	}
}

// Meter counts what the receiver does. Labels are ours only: nothing that a
// client wrote becomes one.
type Meter interface {
	// Notification is one that was taken: its issuer, whether it is new ("taken"),
	// a repeat ("repeated") or kept without being understood ("unread"), how long
	// it took from the end of its header, and how long after the newest thing it
	// tells of it came, below zero when that is not known.
	Notification(issuer, result string, took, lag time.Duration)
	// Operations are those of a notification, by what came of them.
	Operations(issuer, outcome string, n int)
	// Refused is a connection or request that was not served.
	Refused(reason string)
}

// noMeter counts nothing.
type noMeter struct{}

// Notification implements [Meter].
func (noMeter) Notification(string, string, time.Duration, time.Duration) {}

// Operations implements [Meter].
func (noMeter) Operations(string, string, int) {}

// Refused implements [Meter].
func (noMeter) Refused(string) {}

// quiet is how long a reason is not logged again after it was.
const quiet = time.Minute

// refusals counts every refusal and logs a few: whoever can connect can be
// refused, thousands of times a second, and must not fill the disk by it.
type refusals struct {
	meter  Meter
	log    zerolog.Logger
	now    func() time.Time
	rarely rarely // by reason
}

// rarely says when something that happens often is worth a line: the first time,
// and then not before it was quiet for a while. The zero value is ready.
type rarely struct {
	mu   sync.Mutex
	seen map[string]*occurrence // keys are of a closed list
}

type occurrence struct {
	logged time.Time
	since  int // occurrences since then
}

// due counts an occurrence and reports whether it is to be logged, and how many
// there were since the last line, this one included.
func (r *rarely) due(key string, at time.Time) (n int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]*occurrence{}
	}
	s := r.seen[key]
	if s == nil {
		s = &occurrence{}
		r.seen[key] = s
	}
	s.since++
	n = s.since
	due = s.logged.IsZero() || at.Sub(s.logged) >= quiet || at.Before(s.logged)
	if due {
		s.logged, s.since = at, 0
	}
	return n, due
}

func newRefusals(meter Meter, log zerolog.Logger, now func() time.Time) *refusals {
	if meter == nil {
		meter = noMeter{}
	}
	return &refusals{meter: meter, log: log, now: now}
}

// count counts a refusal, and logs it when its reason was not logged lately.
// Neither err nor issuer may hold anything that a client wrote.
func (r *refusals) count(reason Reason, issuer string, err error) {
	r.meter.Refused(string(reason))
	n, due := r.rarely.due(string(reason), r.now())
	if !due {
		return
	}
	e := r.log.Warn().Str("stage", stage).Str("code", string(reason)).Int("count", n).AnErr("err", err)
	if issuer != "" {
		e = e.Str("issuer", issuer)
	}
	e.Msg("notification not taken")
}
