package change

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
)

// Why a run stopped before its work was done. The error of RunOnce wraps one.
var (
	// ErrUnavailable says that D1 or its token endpoint cannot be reached.
	ErrUnavailable = errors.New("D1 is unavailable")
	// ErrSetUp says that D1 does not accept who we are, or has no such path.
	ErrSetUp = errors.New("D1 does not accept our token or set-up")
	// ErrRefusals says that D1 refused one change after the other for the same reason.
	ErrRefusals = errors.New("D1 refuses every change for the same reason")
)

// Queue is where changes wait.
type Queue interface {
	// ClaimChanges decides about changes whose turn it is; see [store.Store.ClaimChanges].
	ClaimChanges(ctx context.Context, issuerID, session string, wait time.Duration, after issuance.Ref, max int) (
		claims []issuance.ChangeClaim, next issuance.Ref, err error)
	// ApplyChanges makes changes in our copies of orders, those that still may
	// be made there, and returns how many.
	ApplyChanges(ctx context.Context, session string, changes []issuance.LocalChange) (applied int, err error)
	// EndChange ends a change that waits, or leaves it to a person.
	EndChange(ctx context.Context, session string, ref issuance.Ref, to issuance.ChangeState, code issuance.Code, reason string) error
}

// Results is where outcomes go.
type Results interface {
	// RecordChanges commits outcomes, all or none. Repeating it does no harm.
	RecordChanges(ctx context.Context, session string, outcomes []issuance.ChangeOutcome) error
	// ForsakeChanges makes unknown what the session is submitting for an issuer,
	// and returns how many changes that were. A run begins with it, when no claim
	// is under way: what there is then was claimed without our knowing.
	ForsakeChanges(ctx context.Context, issuerID, session string, settle time.Duration) (int, error)
	// DueChanges returns changes to ask D1 about.
	DueChanges(ctx context.Context, issuerID string, max int) ([]issuance.Change, error)
	// HearChanges applies what D1 answered, and returns the changes it spoke of.
	HearChanges(ctx context.Context, issuerID, stage string, operations []issuance.Operation) ([]issuance.Ref, error)
}

// Store is all that the stage needs of the store.
type Store interface {
	Queue
	Results
}

// D1 is how the stage speaks to D1. The errors of both tell what is known, see
// package retry.
type D1 struct {
	// Send asks D1 for a change and returns D1's operation id, which may be empty.
	Send func(ctx context.Context, claim issuance.ChangeClaim, body []byte) (operationID string, err error)
	// Ask returns what D1 knows of a card, nothing when it does not know it.
	Ask func(ctx context.Context, cardID, correlationID string) ([]issuance.Operation, error)
}

// Bodies knows what requests look like inside.
type Bodies struct {
	// Amend makes a change in the request of an order that was not sent.
	Amend func(order, change []byte, priority string) ([]byte, error)
	// Country is that of the new address in a change, empty when it has none.
	Country func(change []byte) (string, error)
}

// Limiter keeps to the rate and the number of requests agreed with D1.
type Limiter interface {
	// Acquire waits for leave to send one request. Call release when it is answered.
	Acquire(ctx context.Context) (release func(), err error)
	// Slow tells that D1 wants a pause.
	Slow(after time.Duration)
}

// Box opens and seals requests; see package sealed.
type Box interface {
	Open(sealed, aad []byte) ([]byte, error)
	Seal(plain, aad []byte) ([]byte, error)
}

// Config is what a Runner is told. Zero values mean the default.
type Config struct {
	IssuerID string // required
	Session  string // required; the running process, as the store knows it
	Products map[string]issuance.Product

	Wait      time.Duration // how long a change waits for an order that has not come; default 24 h
	Silence   time.Duration // how long D1 may be silent about a change before it is asked; default 1 h
	Settle    time.Duration // how long an unknown outcome rests before D1 is asked; longer than D1's own timeout; default 1 min
	RetryWait time.Duration // how long a change rests that was not delivered; default 30 s

	ClaimSize    int // most changes looked at in one step; default 200
	InFlight     int // most requests at a time; default 4
	NotFoundAsks int // how often in a row D1 must say that it does not have a change before it is sent again; default 2
	UnclearAsks  int // how often D1 is asked in vain before a person must decide; default 8
	MaxAttempts  int // how often a change is sent at most; default 5

	RefusalStop     int // the same refusal this often in a row stops the run; default 20
	UnreachableStop int // D1 not reached this often in a row; default 3
}

func (c Config) withDefaults() Config {
	c.Wait = cmp.Or(c.Wait, 24*time.Hour)
	c.Silence = cmp.Or(c.Silence, time.Hour)
	c.Settle = cmp.Or(c.Settle, time.Minute)
	c.RetryWait = cmp.Or(c.RetryWait, 30*time.Second)
	c.ClaimSize = cmp.Or(c.ClaimSize, 200)
	c.InFlight = cmp.Or(c.InFlight, 4)
	c.NotFoundAsks = cmp.Or(c.NotFoundAsks, 2)
	c.UnclearAsks = cmp.Or(c.UnclearAsks, 8)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 5)
	c.RefusalStop = cmp.Or(c.RefusalStop, 20)
	c.UnreachableStop = cmp.Or(c.UnreachableStop, 3)
	return c
}

// Deps are the parties a Runner works with; all are required.
type Deps struct {
	Store   Store
	D1      D1
	Bodies  Bodies
	Limiter Limiter
	Box     Box
	Now     func() time.Time // UTC
	Log     zerolog.Logger
}

// Runner makes the changes of one issuer.
type Runner struct {
	Config
	Deps
	busy chan struct{} // holds the one token of the run under way

	mu   sync.Mutex
	left []issuance.ChangeOutcome // what the store has not taken yet
}

// New returns a Runner.
func New(cfg Config, deps Deps) (*Runner, error) {
	cfg = cfg.withDefaults()
	switch {
	case cfg.IssuerID == "" || cfg.Session == "":
		return nil, errors.New("change needs an issuer and a session")
	case deps.Store == nil || deps.D1.Send == nil || deps.D1.Ask == nil || deps.Bodies.Amend == nil || deps.Bodies.Country == nil ||
		deps.Limiter == nil || deps.Box == nil || deps.Now == nil:
		return nil, errors.New("change needs a store, D1, bodies, a limiter, a box and a clock")
	case min(cfg.ClaimSize, cfg.InFlight, cfg.NotFoundAsks, cfg.UnclearAsks, cfg.MaxAttempts, cfg.RefusalStop, cfg.UnreachableStop) < 1:
		return nil, errors.New("change needs sizes and limits above zero")
	case min(cfg.Wait, cfg.Silence, cfg.Settle, cfg.RetryWait) < 0:
		return nil, errors.New("change needs durations above zero")
	}
	return &Runner{Config: cfg, Deps: deps, busy: make(chan struct{}, 1)}, nil
}

// Summary counts what a run did.
type Summary struct {
	IssuerID  string  `json:"issuer_id"`
	Applied   int     `json:"applied"`   // to our copies of orders
	Submitted int     `json:"submitted"` // taken by D1
	Refused   int     `json:"refused"`   // by D1, or for a country that the product does not allow
	TooLate   int     `json:"too_late"`  // said so at once; most come as news
	Unknown   int     `json:"unknown"`
	NotDone   int     `json:"not_done"` // surely not delivered, waits again
	Held      int     `json:"held"`
	Asked     int     `json:"asked"` // questions to D1
	Found     int     `json:"found"` // of which D1 had something to say about the change
	Stopped   string  `json:"stopped,omitempty"`
	Seconds   float64 `json:"seconds"`
}

// Rejected reports whether some change needs a person.
func (s Summary) Rejected() bool { return s.Refused > 0 || s.Held > 0 }

// Idle reports whether there was nothing to do.
func (s Summary) Idle() bool {
	return s.Applied+s.Submitted+s.Refused+s.TooLate+s.Unknown+s.NotDone+s.Held+s.Asked == 0
}

const stage = "change"

// RunOnce does all that is due: it asks D1 about changes whose outcome it has
// waited for long enough, then makes those whose turn it is, until none is left,
// ctx ends or a stop rule fires. Partial success is a Summary; an error says why
// work was left undone. Only one run is under way at a time: a second one fails.
func (r *Runner) RunOnce(ctx context.Context) (Summary, error) {
	sum := Summary{IssuerID: r.IssuerID}
	select {
	case r.busy <- struct{}{}:
		defer func() { <-r.busy }()
	default:
		return sum, errors.New("change is under way already")
	}
	started := r.Now()
	err := r.run(ctx, &sum)
	took := r.Now().Sub(started)
	sum.Seconds = took.Seconds()
	if err != nil {
		sum.Stopped = err.Error()
		err = fmt.Errorf("change for %s: %w", r.IssuerID, err)
	}
	if err != nil || !sum.Idle() {
		r.Log.Info().Str("stage", stage).Str("issuer", r.IssuerID).Dur("duration", took).
			Dict("count", zerolog.Dict().Int("applied", sum.Applied).Int("submitted", sum.Submitted).Int("refused", sum.Refused).
				Int("too_late", sum.TooLate).Int("unknown", sum.Unknown).Int("not_done", sum.NotDone).Int("held", sum.Held).
				Int("asked", sum.Asked).Int("found", sum.Found)).AnErr("err", err).Msg("changes made")
	}
	return sum, err
}

func (r *Runner) run(ctx context.Context, sum *Summary) error {
	if err := r.flush(ctx); err != nil {
		return fmt.Errorf("record what the last run left: %w", err)
	}
	if _, err := r.Store.ForsakeChanges(ctx, r.IssuerID, r.Session, r.Settle); err != nil {
		return fmt.Errorf("look for claims that nobody knows of: %w", err)
	}
	p := &pass{Runner: r, sum: sum}
	unanswered := p.askDue(ctx)
	if unanswered != nil && !errors.Is(unanswered, ErrUnavailable) {
		return unanswered
	}
	p.unreachable = 0 // D1 may take changes all the same, and a cancel cannot wait
	for {
		worked, err := p.workAll(ctx)
		if err != nil || !worked {
			return cmp.Or(err, unanswered)
		}
	}
}

// record commits an outcome, also when the run was told to end. What the store
// does not take is kept: it is known to nobody else.
func (r *Runner) record(ctx context.Context, out issuance.ChangeOutcome) error {
	r.mu.Lock()
	r.left = append(r.left, out)
	r.mu.Unlock()
	return r.flush(ctx)
}

func (r *Runner) flush(ctx context.Context) error {
	r.mu.Lock()
	outcomes := r.left
	r.left = nil
	r.mu.Unlock()
	if len(outcomes) == 0 {
		return nil
	}
	err := r.Store.RecordChanges(context.WithoutCancel(ctx), r.Session, outcomes)
	if err != nil {
		r.mu.Lock()
		r.left = append(outcomes, r.left...)
		r.mu.Unlock()
		return fmt.Errorf("record outcomes: %w", err)
	}
	return nil
}
