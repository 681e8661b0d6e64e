package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/calendar"
	"cardbatch/internal/issuance"
)

// Why a run stopped before its work was done. The error of RunOnce wraps one.
var (
	// ErrUnavailable says that D1 or its token endpoint cannot be reached, or
	// answers nothing that can be used.
	ErrUnavailable = errors.New("D1 is unavailable")
	// ErrRefusals says that D1 refused one order after the other for the same reason.
	ErrRefusals = errors.New("D1 refuses every order for the same reason")
	// ErrSetUp says that D1 does not accept who we are.
	ErrSetUp = errors.New("D1 does not accept our token or set-up")
	// ErrPayloads says that one sealed request after the other cannot be opened.
	ErrPayloads = errors.New("sealed requests cannot be opened")
)

// Store is where orders wait and where their outcomes go.
type Store interface {
	// ClaimReady makes up to max ready orders submitting, the most urgent
	// first, and returns when that is durable. None are left when it returns
	// none.
	ClaimReady(ctx context.Context, issuerID, session string, max int) ([]issuance.Claim, error)
	// StillClaimed reports whether an order is still to be sent in the attempt
	// of a claim.
	StillClaimed(ctx context.Context, session string, ref issuance.Ref, attempt int) (bool, error)
	// RecordOutcomes commits outcomes, all or none. Repeating it does no harm.
	RecordOutcomes(ctx context.Context, session string, outcomes []issuance.Outcome) error
	// Release makes claimed orders that were not sent ready again, without
	// counting the attempt. Repeating it does no harm.
	Release(ctx context.Context, session string, refs []issuance.Ref) error
	// ForsakeOrders makes unknown what the session is submitting for an issuer,
	// and returns how many orders that were. A run begins with it, when no claim
	// is under way: what there is then was claimed without our knowing.
	ForsakeOrders(ctx context.Context, issuerID, session string, settle time.Duration) (int, error)
}

// SendFunc sends the request body of a claim to D1 and returns D1's operation
// id, which may be empty. Its errors tell what is known of the outcome, see
// package retry. When ctx ends it returns soon.
type SendFunc func(ctx context.Context, claim issuance.Claim, body []byte) (operationID string, err error)

// Limiter keeps to the rate and the number of requests agreed with D1.
type Limiter interface {
	// Acquire waits for leave to send one request. Call release when it is answered.
	Acquire(ctx context.Context) (release func(), err error)
	// Slow tells that D1 wants a pause.
	Slow(after time.Duration)
}

// Opener opens what package sealed has sealed.
type Opener interface {
	Open(sealed, aad []byte) ([]byte, error)
}

// Config is what a Runner is told. Zero values mean the default.
type Config struct {
	IssuerID string // required
	Session  string // required; the running process, as the store knows it

	ClaimSize  int           // most orders claimed at a time; default 500
	InFlight   int           // most requests at a time; default 16
	Batch      BatchConfig   // of the batch mode
	Settle     time.Duration // how long an unknown outcome rests before D1 is asked; longer than D1's own timeout; default 1 min
	RetryWait  time.Duration // how long an order rests that was not delivered; default 30 s
	DrainLimit time.Duration // for requests in flight when the run is told to end, and for recording outcomes; default 40 s
	FlushEvery time.Duration // outcomes are recorded after this long at the latest; default 200 ms
	FlushSize  int           // or when there are this many; default 400

	Hours         *calendar.Hours // when orders may be sent; default always
	PerSecond     float64         // orders a second that are agreed, for forecasts; default not known
	ForecastEvery time.Duration   // how often a long run says when it will be done; default 10 min

	RefusalStop     int // the same refusal this often in a row stops the run; default 20
	UnreachableStop int // D1 not reached this often in a row; default 3
	UnknownStop     int // no usable answer this often in a row; half of it when there is none at all; default 10
}

func (c Config) withDefaults() Config {
	c.ClaimSize = cmp.Or(c.ClaimSize, 500)
	c.InFlight = cmp.Or(c.InFlight, 16)
	c.Settle = cmp.Or(c.Settle, time.Minute)
	c.RetryWait = cmp.Or(c.RetryWait, 30*time.Second)
	c.DrainLimit = cmp.Or(c.DrainLimit, 40*time.Second)
	c.FlushEvery = cmp.Or(c.FlushEvery, 200*time.Millisecond)
	c.FlushSize = cmp.Or(c.FlushSize, 400)
	c.ForecastEvery = cmp.Or(c.ForecastEvery, 10*time.Minute)
	c.RefusalStop = cmp.Or(c.RefusalStop, 20)
	c.UnreachableStop = cmp.Or(c.UnreachableStop, 3)
	c.UnknownStop = cmp.Or(c.UnknownStop, 10)
	return c
}

// Deps are the parties a Runner works with; all are required, but of the two
// ways to send only one.
type Deps struct {
	Store     Store
	Send      SendFunc      // order by order
	SendBatch SendBatchFunc // many in a request: the batch mode
	Limiter   Limiter       // of requests, however many orders they hold
	Opener    Opener
	Now       func() time.Time // UTC
	Log       zerolog.Logger

	// Of these, each may be missing.

	Queue Queue // what waits; needed where hours let only urgent orders go
	// Probe asks D1 for a token, whatever token is in use: the circuit breaker's
	// sign of life, before the first order of a process and after an outage.
	Probe func(ctx context.Context) error
	// Ask asks D1 about a card that was ordered without an answer; only whether
	// there is one counts.
	Ask func(ctx context.Context, cardID string) error
}

// longEnough is how long a run must last to tell how fast orders are sent.
const longEnough = 10 * time.Second

// Runner submits the orders of one issuer. It remembers outcomes that the store
// did not take, and the refusals that stopped it, so there is one per issuer for
// the life of the process.
type Runner struct {
	Config
	Deps
	busy    chan struct{} // holds the one token of the run under way
	left    ledger        // what the store has not taken yet
	maxBody int           // of a batch, in bytes; less than configured when D1 found one too large

	refusals streak // with which the last run ended
	breaker  breaker
	opens    time.Time // until when orders wait, as last told
	speed    float64   // orders a second in the last run that lasted
}

// New returns a Runner.
func New(cfg Config, deps Deps) (*Runner, error) {
	cfg = cfg.withDefaults()
	if deps.SendBatch != nil {
		var err error
		if cfg, err = cfg.batched(); err != nil {
			return nil, err
		}
	}
	switch {
	case cfg.IssuerID == "" || cfg.Session == "":
		return nil, errors.New("submit needs an issuer and a session")
	case deps.Store == nil || (deps.Send == nil) == (deps.SendBatch == nil) || deps.Limiter == nil || deps.Opener == nil || deps.Now == nil:
		return nil, errors.New("submit needs a store, one way to send, a limiter, an opener and a clock")
	case min(cfg.ClaimSize, cfg.InFlight, cfg.FlushSize, cfg.RefusalStop, cfg.UnreachableStop, cfg.UnknownStop) < 1:
		return nil, errors.New("submit needs sizes and limits above zero")
	case cfg.Hours != nil && cfg.Hours.CutOff != nil && deps.Queue == nil:
		return nil, errors.New("submit needs a queue to tell urgent orders apart")
	case cfg.ForecastEvery < 0:
		return nil, errors.New("submit needs forecasts at intervals above zero")
	case min(cfg.Settle, cfg.RetryWait, cfg.DrainLimit, cfg.FlushEvery) < 0:
		return nil, errors.New("submit needs durations above zero")
	}
	return &Runner{Config: cfg, Deps: deps, breaker: breaker{shown: Breaker{State: HalfOpen}}, busy: make(chan struct{}, 1), maxBody: cfg.Batch.MaxBody}, nil
}

// Summary counts what a run did. Every claimed order is counted once more,
// under what became of it.
type Summary struct {
	IssuerID  string  `json:"issuer_id"`
	Claimed   int     `json:"claimed"`
	Submitted int     `json:"submitted"`
	Refused   int     `json:"refused"`
	Unknown   int     `json:"unknown"`
	NotDone   int     `json:"not_done"` // surely not delivered, ready again
	Held      int     `json:"held"`
	Released  int     `json:"released"`           // claimed and not sent, ready again
	Requests  int     `json:"requests,omitempty"` // of the batch mode
	Stopped   string  `json:"stopped,omitempty"`
	Seconds   float64 `json:"seconds"`
	// OpensAt is until when orders wait that may not be sent at this hour.
	OpensAt *time.Time `json:"opens_at,omitempty"`
}

// Rejected reports whether some order needs a person.
func (s Summary) Rejected() bool { return s.Refused > 0 || s.Held > 0 }

// RunOnce sends what is ready until nothing is left, ctx ends, or a stop rule
// fires. Partial success is a Summary; an error says why work was left undone
// and wraps the sentinel of its stop rule, or the error of ctx when the run was
// told to end. Only one run is under way at a time: a second one fails.
func (r *Runner) RunOnce(ctx context.Context) (Summary, error) {
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	default:
		return Summary{IssuerID: r.IssuerID}, errors.New("submit is under way already")
	}
	started := r.Now()
	sum, err := r.run(ctx)
	took := r.Now().Sub(started)
	sum.IssuerID, sum.Seconds = r.IssuerID, took.Seconds()
	if err != nil {
		sum.Stopped = err.Error()
		err = fmt.Errorf("submit for %s: %w", r.IssuerID, err)
	}
	level := zerolog.InfoLevel
	if sum.Claimed == 0 { // every minute of the day; an error is the scheduler's to tell, and the breaker's
		level = zerolog.DebugLevel
	}
	r.Log.WithLevel(level).Str("stage", "submit").Str("issuer", r.IssuerID).Dur("duration", took).
		Dict("count", zerolog.Dict().Int("claimed", sum.Claimed).Int("submitted", sum.Submitted).
			Int("refused", sum.Refused).Int("unknown", sum.Unknown).Int("not_done", sum.NotDone).
			Int("held", sum.Held).Int("released", sum.Released)).AnErr("err", err).Msg("orders submitted")
	return sum, err
}

func (r *Runner) run(ctx context.Context) (Summary, error) {
	if err := r.record(ctx, &r.left, func() {}); err != nil {
		return Summary{}, fmt.Errorf("record what the last run left: %w", err)
	}
	forsaken, err := r.Store.ForsakeOrders(ctx, r.IssuerID, r.Session, r.Settle)
	if err != nil {
		return Summary{}, fmt.Errorf("look for claims that nobody knows of: %w", err)
	}
	if forsaken > 0 {
		r.Log.Warn().Str("stage", "submit").Str("issuer", r.IssuerID).Int("count", forsaken).Msg("orders were claimed without our knowing; D1 will be asked about them")
	}
	var sum Summary
	if idle, err := r.idle(ctx, &sum); idle || err != nil {
		return sum, err
	}
	if err := r.admit(ctx); err != nil {
		return sum, err
	}
	p := newPass(r)
	p.sum = sum
	started := time.Now()
	err = p.run(ctx)
	if p.brake.met {
		r.answered()
	}
	if took := time.Since(started); took > longEnough {
		r.speed = float64(p.sent.Load()) / took.Seconds()
	}
	r.refusals = p.brake.refusals
	if errors.Is(err, ErrUnavailable) {
		r.turn(Open, err)
	}
	if may := r.allowed(r.Now()); !may.normal {
		r.rest(r.Now(), &p.sum)
	}
	return p.sum, err
}
