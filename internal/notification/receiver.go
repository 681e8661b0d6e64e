package notification

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
)

// Path is where the receiver takes notifications, in the notation of [http.ServeMux].
const Path = pathPrefix + "{issuerId}/cards"

const pathPrefix = "/notifications/d1/v2/issuers/"

// Store takes notifications.
type Store interface {
	// ApplyNotification stores a notification and applies its operations, both
	// or neither, durably. One that was applied before changes nothing.
	ApplyNotification(ctx context.Context, n issuance.Notification) (issuance.Applied, error)
}

// Sealer seals what must not be readable at rest.
type Sealer interface {
	Seal(plain, aad []byte) ([]byte, error)
}

// Config is what a Receiver is told. Zero values mean the default.
type Config struct {
	Issuers     []string      // whose notifications we take; required
	MaxBody     int64         // bytes; default 5 MiB
	MaxBuffered int64         // bytes of all bodies that are being read or stored, half of it for one client; default 16 times MaxBody
	MaxInFlight int           // notifications stored at a time, the others wait; default 256
	Timeout     time.Duration // for waiting, and again for storing; shorter than D1's patience; default 8 s
	RetryAfter  time.Duration // what we ask for when a notification cannot be stored; default 10 s
	PerSecond   float64       // notifications of one client; default: no limit
	OAuth       *OAuth        // nil: no bearer token is asked for
}

// Deps are the parties a Receiver works with; all but Meter are required.
type Deps struct {
	Store  Store
	Parse  func(body []byte) ([]issuance.Operation, error) // an error means that there are none to be read
	Sealer Sealer
	Digest func(parts ...string) []byte // keyed
	Now    func() time.Time             // UTC
	Meter  Meter
	Log    zerolog.Logger
}

// Receiver is the handler for D1's notifications, and for its token requests.
type Receiver struct {
	cfg       Config
	deps      Deps
	mux       *http.ServeMux
	slots     chan struct{}
	buffers   *buffers
	rate      *rate
	authority *authority // nil without OAuth
	refusals  *refusals
	unread    rarely // by issuer: notifications that hold no operations
	unfit     rarely // by issuer: those with something that does not fit
}

// New returns a Receiver.
func New(cfg Config, deps Deps) (*Receiver, error) {
	cfg.MaxBody = cmp.Or(cfg.MaxBody, 5<<20)
	cfg.MaxBuffered = cmp.Or(cfg.MaxBuffered, 16*cfg.MaxBody)
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 256)
	cfg.Timeout = cmp.Or(cfg.Timeout, 8*time.Second)
	cfg.RetryAfter = cmp.Or(cfg.RetryAfter, 10*time.Second)
	switch {
	case len(cfg.Issuers) == 0 || slices.Contains(cfg.Issuers, ""):
		return nil, errors.New("the notification receiver needs issuers, each with a name")
	case deps.Store == nil || deps.Parse == nil || deps.Sealer == nil || deps.Digest == nil || deps.Now == nil:
		return nil, errors.New("the notification receiver needs a store, a parser, a sealer, a digest and a clock")
	case cfg.MaxBody < 1 || cfg.MaxBuffered < cfg.MaxBody || cfg.MaxInFlight < 1 || cfg.Timeout < 1 || cfg.RetryAfter < 1 || cfg.PerSecond < 0:
		return nil, errors.New("the notification receiver needs limits above zero")
	}
	if deps.Meter == nil {
		deps.Meter = noMeter{}
	}
	r := &Receiver{cfg: cfg, deps: deps, mux: http.NewServeMux(), slots: make(chan struct{}, cfg.MaxInFlight),
		buffers: newBuffers(cfg.MaxBuffered, cfg.MaxBody),
		rate:    newRate(cfg.PerSecond, time.Second, deps.Now), refusals: newRefusals(deps.Meter, deps.Log, deps.Now)}
	r.mux.HandleFunc(Path, r.receive)
	r.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		r.refuse(w, "", &failure{NotFound, http.StatusNotFound, "nothing here", nil})
	})
	if cfg.OAuth != nil {
		var err error
		if r.authority, err = newAuthority(*cfg.OAuth, deps.Now, r.refusals); err != nil {
			return nil, err
		}
		r.mux.Handle(r.authority.cfg.Path, r.authority)
	}
	return r, nil
}

// ServeHTTP implements [http.Handler].
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.RequestURI == "*" || path.Clean(req.URL.Path) != req.URL.Path { // the mux would answer by itself, and redirect
		r.refuse(w, "", &failure{NotFound, http.StatusNotFound, "nothing here", nil})
		return
	}
	r.mux.ServeHTTP(w, req)
}

// failure is a notification that was not taken.
type failure struct {
	reason Reason
	status int
	text   string // for D1; says nothing of the body
	err    error
}

func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) {
	started := r.deps.Now()
	client, issuer, fail := r.admit(w, req)
	if fail != nil {
		r.refuse(w, issuer, fail)
		return
	}
	defer func() {
		if v := recover(); v != nil { // its value may hold anything, its type does not
			r.refuse(w, issuer, &failure{Internal, http.StatusServiceUnavailable, "internal error", fmt.Errorf("panic of type %T", v)})
		}
	}()
	applied, came, fail := r.handle(w, req, client, issuer)
	if fail != nil {
		r.refuse(w, issuer, fail)
		return
	}
	w.WriteHeader(http.StatusNoContent)
	took := r.deps.Now().Sub(started)
	r.deps.Meter.Notification(issuer, came.result, took, came.lag)
	r.count(issuer, applied)
	level := zerolog.DebugLevel
	if applied.Unmatched+applied.Strange > 0 {
		if _, due := r.unfit.due(issuer, r.deps.Now()); due { // metrics and the store count them all
			level = zerolog.InfoLevel
		}
	}
	if e := r.deps.Log.WithLevel(level); e.Enabled() { // thousands of times a second
		e.Str("stage", stage).Str("issuer", issuer).Dur("duration", took).
			Dict("count", zerolog.Dict().Int("matched", applied.Matched).Int("changed", applied.Changed).
				Int("unmatched", applied.Unmatched).Int("other", applied.Other).Int("strange", applied.Strange).Bool("repeated", applied.Repeated)).
			Msg("notification taken")
	}
}

const stage = "notification"

// admit decides by the header alone: method, token, rate, issuer, length. What
// it refuses was not read.
func (r *Receiver) admit(w http.ResponseWriter, req *http.Request) (client, issuer string, _ *failure) {
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return "", "", &failure{WrongMethod, http.StatusMethodNotAllowed, "only POST", nil}
	}
	client = transportClient(req)
	if r.authority != nil {
		named, reason, challenge := r.authority.bearer(req)
		if reason != "" {
			w.Header().Set("WWW-Authenticate", challenge)
			status := http.StatusUnauthorized
			if reason == BearerScope {
				status = http.StatusForbidden
			}
			return "", "", &failure{reason, status, "a valid bearer token is needed", nil}
		}
		client = "client/" + named
	}
	if wait := r.rate.take(client); wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
		return "", "", &failure{TooOften, http.StatusTooManyRequests, "too many requests", nil}
	}
	issuer = req.PathValue("issuerId")
	if !slices.Contains(r.cfg.Issuers, issuer) {
		return "", "", &failure{UnknownIssuer, http.StatusNotFound, "unknown issuer", nil} // its name is anybody's text: not logged
	}
	if req.ContentLength > r.cfg.MaxBody {
		if req.ProtoMajor == 1 {
			w.Header().Set("Connection", "close") // or we would have to read it
		}
		return "", issuer, &failure{TooLarge, http.StatusRequestEntityTooLarge, "too large", nil}
	}
	return client, issuer, nil
}

func (r *Receiver) count(issuer string, applied issuance.Applied) {
	for _, o := range [...]struct {
		outcome string
		n       int
	}{{"changed", applied.Changed}, {"unchanged", applied.Matched - applied.Changed}, {"unmatched", applied.Unmatched}, {"other", applied.Other}, {"strange", applied.Strange}} {
		if o.n > 0 {
			r.deps.Meter.Operations(issuer, o.outcome, o.n)
		}
	}
}

// handle reads, then waits for a place, then stores. A client that sends its
// body slowly holds no place, and of the memory only what it has sent.
func (r *Receiver) handle(w http.ResponseWriter, req *http.Request, client, issuer string) (applied issuance.Applied, _ arrival, _ *failure) {
	counted := &countedReader{from: http.MaxBytesReader(w, req.Body, r.cfg.MaxBody), into: r.buffers, client: client}
	defer counted.release()
	body, fail := r.read(counted, req.ContentLength)
	if fail != nil {
		return applied, arrival{}, fail
	}
	patience := time.NewTimer(r.cfg.Timeout)
	defer patience.Stop()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-patience.C:
		return applied, arrival{}, &failure{Busy, http.StatusServiceUnavailable, "busy", errors.New("no place became free")}
	case <-req.Context().Done():
		return applied, arrival{}, &failure{CutBody, http.StatusRequestTimeout, "gone", req.Context().Err()}
	}
	return r.take(req.Context(), issuer, body)
}

func (r *Receiver) read(from io.Reader, length int64) ([]byte, *failure) {
	var body bytes.Buffer
	body.Grow(int(min(max(length, 512), promised)) + bytes.MinRead)
	_, err := body.ReadFrom(from)
	tooLarge := new(http.MaxBytesError)
	switch {
	case err == nil:
		return body.Bytes(), nil
	case errors.As(err, &tooLarge):
		return nil, &failure{TooLarge, http.StatusRequestEntityTooLarge, "too large", nil}
	case errors.Is(err, errBuffersFull):
		return nil, &failure{Busy, http.StatusServiceUnavailable, "busy", err}
	case isTimeout(err):
		return nil, &failure{SlowBody, http.StatusRequestTimeout, "the body did not arrive in time", nil}
	}
	return nil, &failure{CutBody, http.StatusRequestTimeout, "the body did not arrive", nil}
}

// promised is how many bytes are set aside for a body that has been announced
// and has not come: little, as it is not counted.
const promised = 4 << 10

// take stores and applies a notification. It goes on when D1 hangs up: the work
// is as good as done, and D1 will repeat it otherwise.
func (r *Receiver) take(ctx context.Context, issuer string, body []byte) (applied issuance.Applied, came arrival, _ *failure) {
	text := bytes.TrimPrefix(body, []byte("\ufeff")) // a byte order mark, which RFC 8259 lets us ignore
	operations, err := r.deps.Parse(text)
	came = arrival{"taken", lag(operations, r.deps.Now())}
	switch {
	case err == nil:
	case errors.Is(err, issuance.ErrTooManyOperations):
		return applied, arrival{}, &failure{TooLarge, http.StatusRequestEntityTooLarge, "too many operations", nil}
	case !json.Valid(text):
		return applied, arrival{}, &failure{NotJSON, http.StatusBadRequest, "not JSON", nil}
	default: // it is news, in a form D1 has not used before; a refusal would lose it
		came.result = "unread"
		if n, due := r.unread.due(issuer, r.deps.Now()); due {
			r.deps.Log.Error().Str("stage", stage).Str("issuer", issuer).Int("count", n).Msg("notification kept unread: it is no list of operations")
		}
	}
	digest := r.deps.Digest("notification", issuer, string(body))
	sealed, err := r.deps.Sealer.Seal(body, AdditionalData(issuer, digest))
	if err != nil {
		return applied, arrival{}, &failure{Internal, http.StatusServiceUnavailable, "cannot be stored now", fmt.Errorf("seal: %w", err)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeout)
	defer cancel()
	applied, err = r.deps.Store.ApplyNotification(ctx, issuance.Notification{IssuerID: issuer,
		Digest: digest, Body: sealed, ReceivedAt: r.deps.Now(), Operations: operations})
	if err != nil {
		return applied, arrival{}, &failure{StoreDown, http.StatusServiceUnavailable, "cannot be stored now", err}
	}
	if applied.Repeated {
		came = arrival{"repeated", -1}
	}
	return applied, came, nil
}

// arrival is how a notification came.
type arrival struct {
	result string
	lag    time.Duration // see [Meter]
}

// lag is how long ago the newest of some operations took place.
func lag(operations []issuance.Operation, now time.Time) time.Duration {
	newest := time.Time{}
	for i := range operations {
		at := operations[i].EndTime
		if at.IsZero() {
			at = operations[i].StartTime
		}
		if at.After(newest) {
			newest = at
		}
	}
	if newest.IsZero() {
		return -1
	}
	return now.Sub(newest)
}

// AdditionalData is what a stored body is sealed with, besides its key. It can
// be no order's, as an order_id has no slash.
func AdditionalData(issuerID string, digest []byte) []byte {
	return []byte(issuerID + "/notification/" + hex.EncodeToString(digest))
}

func (r *Receiver) refuse(w http.ResponseWriter, issuer string, f *failure) {
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", seconds(r.cfg.RetryAfter))
	}
	writeError(w, f.status, f.text)
	r.refusals.count(f.reason, issuer, f.err)
}
