package track

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
)

// Why a run stopped before its work was done. The error of RunOnce wraps one.
var (
	// ErrUnavailable says that D1 or its token endpoint cannot be reached.
	ErrUnavailable = errors.New("D1 is unavailable")
	// ErrSetUp says that D1 does not accept who we are.
	ErrSetUp = errors.New("D1 does not accept our token or set-up")
)

// Store knows which orders to ask about and takes the answers.
type Store interface {
	// DueForTracking returns up to max orders to ask about now: first the
	// unknown ones whose time has come, then the submitted ones that are not
	// final and were not heard of for the time of silence.
	DueForTracking(ctx context.Context, issuerID string, silence time.Duration, max int) ([]issuance.Order, error)
	// HearOrders applies what D1 said of orders that it has, like a notification.
	HearOrders(ctx context.Context, issuerID, stage string, heard []issuance.Heard) error
	// ApplyParked applies news that has waited until its order is known, or known
	// to be at D1.
	ApplyParked(ctx context.Context, issuerID string) (applied int, err error)
	// TakeAllowance takes up to n from an allowance of limit a day, whoever else
	// takes from it, and ReturnAllowance gives back what was not used.
	TakeAllowance(ctx context.Context, name, day string, n, limit int) (taken int, err error)
	ReturnAllowance(ctx context.Context, name, day string, n int) error
	// DecideUnknown settles unknown orders, or says when to ask again. It leaves
	// alone an order that is no longer unknown, or was sent again meanwhile.
	DecideUnknown(ctx context.Context, outcomes []issuance.Outcome) error
}

// Issuer is D1, as far as this stage needs it.
type Issuer interface {
	// ProductionStatus returns what D1 knows of a card, nothing when it does
	// not know the card. Its errors are classified as package retry says.
	ProductionStatus(ctx context.Context, cardID, correlationID string) ([]issuance.Operation, error)
}

// Limiter keeps to the rate and the number of requests agreed with D1.
type Limiter interface {
	// Acquire waits for leave to send one request. Call release when it is answered.
	Acquire(ctx context.Context) (release func(), err error)
	// Slow tells that D1 wants a pause.
	Slow(after time.Duration)
}

// Config is what a Runner is told. Zero values mean the default.
type Config struct {
	IssuerID string // required

	Budget      int            // most questions in a run; default 2000
	DailyBudget int            // most questions on a day, over all runs; default 20000
	Zone        *time.Location // of the day; default UTC
	SliceSize   int            // answers recorded at a time; default 200
	InFlight    int            // most questions at a time; default 4

	Silence      time.Duration // how long a submitted order may be silent before D1 is asked; default 24 h
	Settle       time.Duration // between two questions about an unknown order; longer than D1's record may lag; default 1 min
	NotFoundAsks int           // how often in a row D1 must say that it does not have an order before it is sent again; default 2
	UnclearAsks  int           // how often an answer may be unclear before a person must decide; default 8
	MaxAttempts  int           // how often an order is sent at most; default 5

	UnreachableStop int // D1 not reached this often in a row ends the run; default 3
}

func (c Config) withDefaults() Config {
	c.Budget = cmp.Or(c.Budget, 2000)
	c.DailyBudget = cmp.Or(c.DailyBudget, 20_000)
	c.Zone = cmp.Or(c.Zone, time.UTC)
	c.SliceSize = cmp.Or(c.SliceSize, 200)
	c.InFlight = cmp.Or(c.InFlight, 4)
	c.Silence = cmp.Or(c.Silence, 24*time.Hour)
	c.Settle = cmp.Or(c.Settle, time.Minute)
	c.NotFoundAsks = cmp.Or(c.NotFoundAsks, 2)
	c.UnclearAsks = cmp.Or(c.UnclearAsks, 8)
	c.MaxAttempts = cmp.Or(c.MaxAttempts, 5)
	c.UnreachableStop = cmp.Or(c.UnreachableStop, 3)
	return c
}

// Deps are the parties a Runner works with; all are required.
type Deps struct {
	Store   Store
	Issuer  Issuer
	Limiter Limiter
	Now     func() time.Time // UTC
	Log     zerolog.Logger
}

// Runner asks D1 about the orders of one issuer. It keeps nothing between runs.
type Runner struct {
	Config
	Deps
}

// New returns a Runner.
func New(cfg Config, deps Deps) (*Runner, error) {
	cfg = cfg.withDefaults()
	switch {
	case cfg.IssuerID == "":
		return nil, errors.New("track needs an issuer")
	case deps.Store == nil || deps.Issuer == nil || deps.Limiter == nil || deps.Now == nil:
		return nil, errors.New("track needs a store, an issuer, a limiter and a clock")
	case min(cfg.Budget, cfg.DailyBudget, cfg.SliceSize, cfg.InFlight, cfg.NotFoundAsks, cfg.UnclearAsks, cfg.MaxAttempts, cfg.UnreachableStop) < 1:
		return nil, errors.New("track needs sizes and limits above zero")
	case min(cfg.Settle, cfg.Silence) < 0:
		return nil, errors.New("track needs durations above zero")
	}
	return &Runner{Config: cfg, Deps: deps}, nil
}

// Summary counts the questions of a run and what came of them.
type Summary struct {
	IssuerID string  `json:"issuer_id"`
	Asked    int     `json:"asked"`
	Found    int     `json:"found"`   // unknown, and D1 has it: submitted
	Resend   int     `json:"resend"`  // unknown, and D1 does not have it: ready
	Held     int     `json:"held"`    // unknown, and a person must decide
	Later    int     `json:"later"`   // unknown still, to be asked about again
	Heard    int     `json:"heard"`   // silent, and D1 had something to say
	Silent   int     `json:"silent"`  // silent, and D1 had nothing to say
	Missing  int     `json:"missing"` // of the silent ones: D1 does not know an order that it had accepted
	Errors   int     `json:"errors"`  // questions without an answer
	Parked   int     `json:"parked"`  // news that had waited for its order and was applied
	Unasked  int     `json:"unasked"` // due, and left for tomorrow: the daily budget is used up; at least so many
	Stopped  string  `json:"stopped,omitempty"`
	Seconds  float64 `json:"seconds"`
}

// Rejected reports whether some order needs a person.
func (s Summary) Rejected() bool { return s.Held > 0 }

// RunOnce asks about all orders that are due, as far as the budget goes. An
// error says why questions were left unasked and wraps the sentinel of its
// reason, or the error of ctx when the run was told to end; what was answered
// until then is recorded.
func (r *Runner) RunOnce(ctx context.Context) (Summary, error) {
	started := r.Now()
	sum := Summary{IssuerID: r.IssuerID}
	err := r.run(ctx, &sum)
	took := r.Now().Sub(started)
	sum.Seconds = took.Seconds()
	if err != nil {
		sum.Stopped = err.Error()
		err = fmt.Errorf("track for %s: %w", r.IssuerID, err)
	}
	r.Log.Info().Str("stage", stage).Str("issuer", r.IssuerID).Dur("duration", took).
		Dict("count", zerolog.Dict().Int("asked", sum.Asked).Int("found", sum.Found).
			Int("resend", sum.Resend).Int("held", sum.Held).Int("later", sum.Later).
			Int("heard", sum.Heard).Int("silent", sum.Silent).Int("missing", sum.Missing).
			Int("errors", sum.Errors).Int("parked", sum.Parked).Int("unasked", sum.Unasked)).AnErr("err", err).Msg("orders tracked")
	return sum, err
}

const stage = "track"

func (r *Runner) run(ctx context.Context, sum *Summary) (err error) {
	if sum.Parked, err = r.Store.ApplyParked(ctx, r.IssuerID); err != nil {
		return fmt.Errorf("apply news that has waited: %w", err)
	}
	asked := map[issuance.Ref]bool{} // an order without an answer stays due; once per run is enough
	for budget := r.Budget; budget > 0 && ctx.Err() == nil; {
		size := min(r.SliceSize, budget)
		due, err := r.Store.DueForTracking(ctx, r.IssuerID, r.Silence, size+len(asked))
		if err != nil {
			return fmt.Errorf("look for orders to ask about: %w", err)
		}
		slice := make([]issuance.Order, 0, size)
		for _, o := range due {
			if !asked[o.Ref] && len(slice) < size {
				slice = append(slice, o)
				asked[o.Ref] = true
			}
		}
		if len(slice) == 0 {
			return nil
		}
		budget -= len(slice)
		if err := r.askWithin(ctx, slice, sum); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// askWithin asks about as many orders of a slice as the day's budget allows and
// records the answers. What was not answered costs nothing: a D1 that is away
// uses nothing up.
func (r *Runner) askWithin(ctx context.Context, slice []issuance.Order, sum *Summary) error {
	day := r.Now().In(r.Zone).Format(time.DateOnly)
	allowed, err := r.withinBudget(ctx, slice, day)
	if err != nil {
		return err
	}
	sum.Unasked += len(slice) - len(allowed)
	if len(allowed) == 0 {
		return nil
	}
	answers, stop := r.ask(ctx, allowed)
	recorded := r.record(ctx, answers, sum)
	used := 0
	for _, a := range answers {
		if a.err == nil || answered(a.err) {
			used++
		}
	}
	if unused := len(allowed) - used; unused > 0 {
		// Also when the run was told to end. What a crash keeps from being given
		// back is lost until tomorrow, never counted twice.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
		defer cancel()
		if err := r.Store.ReturnAllowance(ctx, r.allowance(), day, unused); err != nil && recorded == nil {
			recorded = fmt.Errorf("return unused questions: %w", err)
		}
	}
	if recorded != nil {
		return recorded
	}
	return stop
}

func (r *Runner) allowance() string { return "track/" + r.IssuerID }

// A fifth of the day's budget is kept for unknown orders: these keep batches from
// settling, while a silent one is most often well.
const keptForUnknown = 5

// withinBudget takes leave for the questions of a slice, in its order.
func (r *Runner) withinBudget(ctx context.Context, slice []issuance.Order, day string) ([]issuance.Order, error) {
	silent := slices.IndexFunc(slice, func(o issuance.Order) bool { return o.State != issuance.Unknown })
	if silent < 0 {
		silent = len(slice)
	}
	var allowed []issuance.Order
	for _, part := range []struct {
		orders []issuance.Order
		limit  int
	}{{slice[:silent], r.DailyBudget}, {slice[silent:], r.DailyBudget - r.DailyBudget/keptForUnknown}} {
		if len(part.orders) == 0 {
			continue
		}
		n, err := r.Store.TakeAllowance(ctx, r.allowance(), day, len(part.orders), part.limit)
		if err != nil {
			return nil, fmt.Errorf("take questions from the day's budget: %w", err)
		}
		allowed = append(allowed, part.orders[:n]...)
	}
	return allowed, nil
}
