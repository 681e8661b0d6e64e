package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cardbatch/internal/issuance"

	"github.com/rs/zerolog"
)

// Store erases.
type Store interface {
	// Erase erases up to max things of a kind that were done with before a time,
	// the oldest first, and returns how many there were.
	Erase(ctx context.Context, kind issuance.Erasable, before time.Time, max int) (int64, error)
}

// Keep says how long each kind is kept after it was done with. A kind that is
// not in it is kept for ever.
type Keep map[issuance.Erasable]time.Duration

// Config is what a Runner is told.
type Config struct {
	Keep      Keep
	SliceSize int // erased in one transaction; default 1000
}

// Deps are the parties a Runner works with; all are required.
type Deps struct {
	Store Store
	Now   func() time.Time // UTC
	Log   zerolog.Logger
}

// Runner erases. It keeps nothing between runs.
type Runner struct {
	cfg  Config
	deps Deps
}

const defaultSlice = 1000

// New returns a Runner. A time below a day is refused: it is a mistake, and
// what is erased does not come back.
func New(cfg Config, deps Deps) (*Runner, error) {
	if deps.Store == nil || deps.Now == nil {
		return nil, errors.New("retention needs a store and a clock")
	}
	for kind, keep := range cfg.Keep {
		if keep < 24*time.Hour {
			return nil, fmt.Errorf("retention: %s must be kept for a day at least, not %s", kind, keep)
		}
	}
	if cfg.SliceSize <= 0 {
		cfg.SliceSize = defaultSlice
	}
	return &Runner{cfg, deps}, nil
}

// Summary counts what a run erased, by kind.
type Summary struct {
	Payloads      int64 `json:"payloads"`
	Notifications int64 `json:"notification_bodies"`
	Parked        int64 `json:"parked_operations"`
	Unmatched     int64 `json:"unmatched_operations"`
	IdleRuns      int64 `json:"idle_runs"`
	Runs          int64 `json:"runs"`
}

// Total is how much was erased in all.
func (s Summary) Total() int64 {
	return s.Payloads + s.Notifications + s.Parked + s.Unmatched + s.IdleRuns + s.Runs
}

func (s *Summary) of(kind issuance.Erasable) *int64 {
	switch kind {
	case issuance.ErasePayloads:
		return &s.Payloads
	case issuance.EraseNotifications:
		return &s.Notifications
	case issuance.EraseParked:
		return &s.Parked
	case issuance.EraseUnmatched:
		return &s.Unmatched
	case issuance.EraseIdleRuns:
		return &s.IdleRuns
	default:
		return &s.Runs
	}
}

// RunOnce erases everything whose time has come. A kind that cannot be erased
// does not keep the others; the error names it.
func (r *Runner) RunOnce(ctx context.Context) (Summary, error) {
	started := r.deps.Now()
	var sum Summary
	var errs []error
	for _, kind := range issuance.Erasables() {
		keep, given := r.cfg.Keep[kind]
		if !given {
			continue
		}
		if err := r.erase(ctx, kind, started.Add(-keep), sum.of(kind)); err != nil {
			errs = append(errs, fmt.Errorf("erase %s: %w", kind, err))
		}
	}
	if n := sum.Total(); n > 0 {
		r.deps.Log.Info().Str("stage", "retention").Int64("count", n).Dur("duration", r.deps.Now().Sub(started)).Msg("erased what is no longer needed")
	}
	return sum, errors.Join(errs...)
}

func (r *Runner) erase(ctx context.Context, kind issuance.Erasable, before time.Time, total *int64) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.deps.Store.Erase(ctx, kind, before, r.cfg.SliceSize)
		*total += n
		if err != nil || n == 0 {
			return err
		}
	}
}
