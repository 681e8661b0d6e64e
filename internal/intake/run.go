package intake

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// Config is what a [Stage] needs. All of it is required but Workers and Logger.
type Config struct {
	Sources     []Source
	Store       Store
	Sealer      Sealer
	Fingerprint *cardholder.Fingerprinter
	Session     string
	Workers     int // goroutines that check and encrypt; 0 means one per core
	Now         func() time.Time
	Logger      zerolog.Logger
}

// Stage takes order files. Its methods are not for concurrent use; the
// scheduler never overlaps runs of a job.
type Stage struct {
	Config
	only map[string]bool // sources to look at, nil for all
}

// New returns the stage. With names, it looks at those sources only.
func New(cfg Config, names ...string) (*Stage, error) {
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	s := &Stage{Config: cfg}
	for _, name := range names {
		if !cfg.has(name) {
			return nil, fmt.Errorf("select source %q: the configuration has no such source", name)
		}
		if s.only == nil {
			s.only = map[string]bool{}
		}
		s.only[name] = true
	}
	return s, nil
}

func (c *Config) has(source string) bool {
	for i := range c.Sources {
		if c.Sources[i].Name == source {
			return true
		}
	}
	return false
}

// Summary counts what one run did.
type Summary struct {
	Files     int   `json:"files"` // decided in this run
	Accepted  int   `json:"accepted"`
	Held      int   `json:"held"`
	Refused   int   `json:"refused"`
	Rows      int64 `json:"rows"` // of the accepted and held files
	Ready     int64 `json:"ready"`
	Rejected  int64 `json:"rejected"`
	Duplicate int64 `json:"duplicate"`
}

// HasRejects reports whether a file was refused or a row rejected.
func (s Summary) HasRejects() bool { return s.Refused > 0 || s.Rejected > 0 }

// RunOnce does all that is due: it finishes what an earlier run began, then
// takes every complete file of every source. It may be stopped at any point
// and repeated. The error joins those of the sources that could not be worked;
// the others were.
func (s *Stage) RunOnce(ctx context.Context) (Summary, error) {
	var sum Summary
	var errs []error
	for i := range s.Sources {
		src := &s.Sources[i]
		if s.only != nil && !s.only[src.Name] {
			continue
		}
		if err := s.runSource(ctx, src, &sum); err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", src.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return sum, errors.Join(errs...)
}

func (s *Stage) runSource(ctx context.Context, src *Source, sum *Summary) error {
	// What cannot be archived is decided and safe: it must not cost the night.
	archiveErr := s.archiveDecided(ctx, src)
	if ctx.Err() != nil {
		return archiveErr
	}
	return errors.Join(archiveErr, s.takeAll(ctx, src, sum))
}

func (s *Stage) takeAll(ctx context.Context, src *Source, sum *Summary) error {
	unfinished, err := s.Store.LoadingBatches(ctx, src.Name)
	if err != nil {
		return fmt.Errorf("find unfinished files: %w", err)
	}
	for _, b := range unfinished {
		if err := s.resume(ctx, src, b, sum); err != nil {
			return err
		}
	}
	complete, err := s.complete(ctx, src)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range complete {
		if err := s.takeFile(ctx, src, e, sum); err != nil {
			errs = append(errs, fmt.Errorf("file %s: %w", e.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// complete lists the files of a source that may be taken now, in the order in
// which the sender numbers them.
func (s *Stage) complete(ctx context.Context, src *Source) ([]drop.Entry, error) {
	entries, err := src.Drop.List(ctx, src.Directory)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", src.Directory, err)
	}
	names := make(map[string]bool, len(entries))
	var seen []issuance.Observation
	var candidates []drop.Entry
	for _, e := range entries {
		names[e.Name] = true
		if drop.Hidden(e.Name) {
			continue
		}
		seen = append(seen, issuance.Observation{Name: e.Name, Size: e.Size, ModTime: e.ModTime})
		if ok, err := path.Match(src.Pattern, e.Name); err != nil {
			return nil, fmt.Errorf("match pattern %q: %w", src.Pattern, err)
		} else if ok {
			candidates = append(candidates, e)
		}
	}
	times, err := s.Store.Observe(ctx, src.Name, seen)
	if err != nil {
		return nil, fmt.Errorf("keep what was observed: %w", err)
	}
	var complete []drop.Entry
	for _, e := range candidates {
		switch {
		case !src.isComplete(e.Name, names, times):
		case !nameable(e.Name):
			// Claimed, it could be neither moved nor answered, and would keep
			// the issuer's other files waiting for ever.
			s.Logger.Error().Str("source", src.Name).Str("file", e.Name).
				Msg("left alone: a file of such a name can be neither moved nor answered; rename it")
		default:
			complete = append(complete, e)
		}
	}
	slices.SortFunc(complete, func(a, b drop.Entry) int { return byNumber(a.Name, b.Name) })
	return complete, nil
}

func (src *Source) isComplete(name string, names map[string]bool, times map[string]int) bool {
	if src.Completion == ByQuiet {
		return times[name] >= src.Observations
	}
	return names[name+controlSuffix]
}

// takeFile claims a complete file and works it to its end.
func (s *Stage) takeFile(ctx context.Context, src *Source, e drop.Entry, sum *Summary) error {
	now := s.Now()
	b, err := s.Store.ClaimFile(ctx, issuance.Batch{
		Source: src.Name, IssuerID: src.IssuerID, FileName: e.Name, Size: e.Size, ReceivedAt: now,
		BusinessDate: now.In(src.Location).Format(time.DateOnly),
	})
	if errors.Is(err, issuance.ErrClaimed) {
		s.Logger.Info().Str("source", src.Name).Str("file", e.Name).
			Msg("left for later: another file of the issuer is being loaded")
		return nil
	}
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return s.work(ctx, src, b, sum)
}

// resume works a file whose loading was cut short: what was stored of it is
// discarded and it is loaded again.
func (s *Stage) resume(ctx context.Context, src *Source, b issuance.Batch, sum *Summary) error {
	s.Logger.Warn().Str("source", src.Name).Str("batch", b.ID).Str("file", b.FileName).
		Msg("its loading was cut short; starting over")
	if err := s.Store.Adopt(ctx, b.No); err != nil {
		return fmt.Errorf("adopt batch %s: %w", b.ID, err)
	}
	if err := s.Store.ResetBatch(ctx, b.No); err != nil {
		return fmt.Errorf("reset batch %s: %w", b.ID, err)
	}
	return s.work(ctx, src, b, sum)
}

// work moves a claimed file out of sight, loads it, decides it and archives it.
func (s *Stage) work(ctx context.Context, src *Source, b issuance.Batch, sum *Summary) error {
	began := s.Now()
	v, err := s.judge(ctx, src, &b)
	if err != nil {
		return err
	}
	totals, err := s.decide(ctx, &b, v)
	if err != nil {
		return err
	}
	sum.count(v, b.Rows, totals)
	s.Logger.Info().Str("source", src.Name).Str("batch", b.ID).Str("file", b.FileName).Str("code", string(v.code)).
		Int64("count", b.Rows).Int64("rejected", totals.State(issuance.Rejected)).
		Int64("duplicate", totals.State(issuance.Duplicate)).Dur("duration", s.Now().Sub(began)).
		Msg("file " + string(v.to))
	return s.archive(ctx, src, b, v.to)
}

func (sum *Summary) count(v verdict, rows int64, totals issuance.Totals) {
	sum.Files++
	switch v.to {
	case issuance.BatchRefused:
		sum.Refused++
		return
	case issuance.BatchHeld:
		sum.Held++
	default:
		sum.Accepted++
	}
	sum.Rows += rows
	sum.Ready += totals.State(issuance.Ready)
	sum.Rejected += totals.State(issuance.Rejected)
	sum.Duplicate += totals.State(issuance.Duplicate)
}
