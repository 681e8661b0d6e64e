package notification

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
)

// Pattern is what the receiver answers to, in the notation of [http.ServeMux].
const Pattern = "POST /notifications/d1/v2/issuers/{issuerId}/cards"

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
	MaxInFlight int           // notifications handled at a time, the others wait; default 64
	Timeout     time.Duration // for waiting, and again for storing; shorter than D1's patience; default 8 s
	RetryAfter  time.Duration // what we ask for when a notification cannot be stored; default 10 s
}

// Deps are the parties a Receiver works with; all are required.
type Deps struct {
	Store  Store
	Parse  func(body []byte) ([]issuance.Operation, error) // an error means that there are none to be read
	Sealer Sealer
	Digest func(parts ...string) []byte // keyed
	Now    func() time.Time             // UTC
	Log    zerolog.Logger
}

// Receiver is the handler for D1's notifications.
type Receiver struct {
	cfg   Config
	deps  Deps
	mux   *http.ServeMux
	slots chan struct{}
}

// New returns a Receiver.
func New(cfg Config, deps Deps) (*Receiver, error) {
	cfg.MaxBody = cmp.Or(cfg.MaxBody, 5<<20)
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 64)
	cfg.Timeout = cmp.Or(cfg.Timeout, 8*time.Second)
	cfg.RetryAfter = cmp.Or(cfg.RetryAfter, 10*time.Second)
	switch {
	case len(cfg.Issuers) == 0 || slices.Contains(cfg.Issuers, ""):
		return nil, errors.New("the notification receiver needs issuers, each with a name")
	case deps.Store == nil || deps.Parse == nil || deps.Sealer == nil || deps.Digest == nil || deps.Now == nil:
		return nil, errors.New("the notification receiver needs a store, a parser, a sealer, a digest and a clock")
	case cfg.MaxBody < 1 || cfg.MaxInFlight < 1 || cfg.Timeout < 1 || cfg.RetryAfter < 1:
		return nil, errors.New("the notification receiver needs limits above zero")
	}
	r := &Receiver{cfg: cfg, deps: deps, mux: http.NewServeMux(), slots: make(chan struct{}, cfg.MaxInFlight)}
	r.mux.HandleFunc(Pattern, r.receive)
	return r, nil
}

// ServeHTTP implements [http.Handler].
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// failure is a notification that was not taken.
type failure struct {
	status int
	text   string // for D1; says nothing of the body
	err    error
}

func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) {
	started := r.deps.Now()
	issuer := req.PathValue("issuerId")
	if !slices.Contains(r.cfg.Issuers, issuer) {
		r.refuse(w, "", &failure{http.StatusNotFound, "unknown issuer", nil}) // its name is anybody's text: not logged
		return
	}
	defer func() {
		if v := recover(); v != nil { // its value may hold anything, its type does not
			r.refuse(w, issuer, &failure{http.StatusServiceUnavailable, "internal error", fmt.Errorf("panic of type %T", v)})
		}
	}()
	applied, fail := r.handle(w, req, issuer)
	if fail != nil {
		r.refuse(w, issuer, fail)
		return
	}
	w.WriteHeader(http.StatusNoContent)
	level := zerolog.DebugLevel
	if applied.Unmatched+applied.Strange > 0 {
		level = zerolog.InfoLevel
	}
	r.deps.Log.WithLevel(level).Str("stage", stage).Str("issuer", issuer).Dur("duration", r.deps.Now().Sub(started)).
		Dict("count", zerolog.Dict().Int("matched", applied.Matched).Int("changed", applied.Changed).
			Int("unmatched", applied.Unmatched).Int("other", applied.Other).Int("strange", applied.Strange).Bool("repeated", applied.Repeated)).
		Msg("notification taken")
}

const stage = "notification"

// handle waits for a place, so that many large bodies do not fill the memory,
// then reads and stores.
func (r *Receiver) handle(w http.ResponseWriter, req *http.Request, issuer string) (issuance.Applied, *failure) {
	var applied issuance.Applied
	patience := time.NewTimer(r.cfg.Timeout)
	defer patience.Stop()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-patience.C:
		return applied, &failure{http.StatusServiceUnavailable, "busy", errors.New("no place became free")}
	case <-req.Context().Done():
		return applied, &failure{http.StatusRequestTimeout, "gone", req.Context().Err()}
	}
	body, fail := r.read(w, req)
	if fail != nil {
		return applied, fail
	}
	return r.take(req.Context(), issuer, body)
}

func (r *Receiver) read(w http.ResponseWriter, req *http.Request) ([]byte, *failure) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.cfg.MaxBody))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, &failure{http.StatusRequestEntityTooLarge, "too large", nil}
	}
	if err != nil {
		return nil, &failure{http.StatusRequestTimeout, "the body did not arrive", err}
	}
	return body, nil
}

// take stores and applies a notification. It goes on when D1 hangs up: the work
// is as good as done, and D1 will repeat it otherwise.
func (r *Receiver) take(ctx context.Context, issuer string, body []byte) (issuance.Applied, *failure) {
	var applied issuance.Applied
	operations, err := r.deps.Parse(body)
	if err != nil && !json.Valid(body) {
		return applied, &failure{http.StatusBadRequest, "not JSON", nil}
	}
	if err != nil { // it is news, in a form D1 has not used before; a refusal would lose it
		r.deps.Log.Error().Str("stage", stage).Str("issuer", issuer).Msg("notification kept unread: it is no list of operations")
	}
	digest := r.deps.Digest("notification", issuer, string(body))
	sealed, err := r.deps.Sealer.Seal(body, AdditionalData(issuer, digest))
	if err != nil {
		return applied, &failure{http.StatusServiceUnavailable, "cannot be stored now", fmt.Errorf("seal: %w", err)}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeout)
	defer cancel()
	applied, err = r.deps.Store.ApplyNotification(ctx, issuance.Notification{IssuerID: issuer,
		Digest: digest, Body: sealed, ReceivedAt: r.deps.Now(), Operations: operations})
	if err != nil {
		return applied, &failure{http.StatusServiceUnavailable, "cannot be stored now", err}
	}
	return applied, nil
}

// AdditionalData is what a stored body is sealed with, besides its key. It can
// be no order's, as an order_id has no slash.
func AdditionalData(issuerID string, digest []byte) []byte {
	return []byte(issuerID + "/notification/" + hex.EncodeToString(digest))
}

func (r *Receiver) refuse(w http.ResponseWriter, issuer string, f *failure) {
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(int(max(r.cfg.RetryAfter, time.Second).Seconds())))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": f.text})
	r.deps.Log.Warn().Str("stage", stage).Str("issuer", issuer).Int("code", f.status).
		AnErr("err", f.err).Msg("notification not taken")
}
