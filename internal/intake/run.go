package intake

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	Released  int   `json:"released"` // held before, and their turn has come
	Rows      int64 `json:"rows"`     // of the accepted and held files
	Ready     int64 `json:"ready"`
	Rejected  int64 `json:"rejected"`
	Duplicate int64 `json:"duplicate"`
	// Stuck counts the files that wait for too long, whatever for; the first
	// are named, each as "source: name".
	Stuck      int      `json:"stuck"`
	StuckFiles []string `json:"stuck_files,omitempty"`
}

// HasRejects reports whether a file was refused or a row rejected.
func (s Summary) HasRejects() bool { return s.Refused > 0 || s.Rejected > 0 }

// RunOnce does all that is due: it finishes what an earlier run began, then
// takes every complete file of every source. It may be stopped at any point
// and repeated. The error joins those of the sources that could not be worked;
// the others were.
func (s *Stage) RunOnce(ctx context.Context) (Summary, error) {
	var sum Summary
	errs := []error{s.makeWay(ctx)}
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

// runSource works one source. What goes wrong with one file keeps no other
// from being taken.
func (s *Stage) runSource(ctx context.Context, src *Source, sum *Summary) error {
	v, err := s.look(ctx, src)
	if err != nil {
		return err
	}
	// An earlier run may not have come to either.
	errs := []error{s.archiveDecided(ctx, src, v), s.releaseHeld(ctx, src, sum)}
	unfinished, err := s.Store.LoadingBatches(ctx, src.Name)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("find unfinished files: %w", err))...)
	}
	resume := func(aside bool) {
		for _, b := range unfinished {
			if b.SetAside == aside && ctx.Err() == nil {
				err := s.resume(ctx, src, b, v, sum)
				if err != nil {
					v.waiting[takenName(&b, b.FileName)] = "it was taken, but: " + err.Error()
				}
				errs = append(errs, inFile(b.FileName, err))
			}
		}
	}
	resume(false)
	for _, e := range v.complete {
		if !v.worked[e.Name] && ctx.Err() == nil {
			errs = append(errs, inFile(e.Name, s.takeFile(ctx, src, e, v, sum)))
		}
	}
	resume(true) // last: they have kept others waiting before
	if ctx.Err() == nil {
		errs = append(errs, s.reportStuck(ctx, src, v, sum))
	}
	return errors.Join(append(errs, ctx.Err())...)
}

func inFile(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("file %s: %w", name, err)
}

// takeFile claims a complete file and works it to its end.
func (s *Stage) takeFile(ctx context.Context, src *Source, e drop.Entry, v *visit, sum *Summary) error {
	b, err := s.Store.ClaimFile(ctx, issuance.Batch{
		Kind: src.kind(), Source: src.Name, IssuerID: src.IssuerID, FileName: e.Name, Size: e.Size, ReceivedAt: v.at, BusinessDate: src.day(v.at),
	})
	if errors.Is(err, issuance.ErrClaimed) {
		v.waiting[e.Name] = "another file of its issuer, or an older one of its name, is being loaded"
		s.Logger.Info().Str("source", src.Name).Str("file", e.Name).Msg("left for later: " + v.waiting[e.Name])
		return nil
	}
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return s.work(ctx, src, b, v, sum)
}

// resume works a file whose loading was cut short or which was set aside: what
// was stored of it is discarded and it is loaded again.
func (s *Stage) resume(ctx context.Context, src *Source, b issuance.Batch, v *visit, sum *Summary) error {
	v.worked[b.FileName] = true
	err := s.Store.Adopt(ctx, b.No)
	if errors.Is(err, issuance.ErrClaimed) {
		return nil // another process has it, or has another file of the issuer
	}
	if err != nil {
		return fmt.Errorf("adopt batch %s: %w", b.ID, err)
	}
	b.Attempts++
	s.Logger.Warn().Str("source", src.Name).Str("batch", b.ID).Str("file", b.FileName).Int("attempt", b.Attempts).
		Msg("its loading was cut short; starting over")
	if err := s.Store.ResetBatch(ctx, b.No); err != nil {
		return fmt.Errorf("reset batch %s: %w", b.ID, err)
	}
	return s.work(ctx, src, b, v, sum)
}

// work moves a claimed file out of sight, loads it, decides it and archives it.
func (s *Stage) work(ctx context.Context, src *Source, claimed issuance.Batch, v *visit, sum *Summary) error {
	began, b := s.Now(), claimed
	found, err := s.take(ctx, src, &b, v)
	if err != nil && ctx.Err() == nil {
		b = claimed
		found, err = s.trouble(ctx, src, &b, err)
	}
	if err != nil {
		return err
	}
	v.worked[b.ID] = true
	totals, err := s.decide(ctx, &b, found)
	if err != nil {
		return err
	}
	sum.count(found, b.Rows, totals)
	s.Logger.Info().Str("source", src.Name).Str("batch", b.ID).Str("file", b.FileName).Str("code", string(found.code)).
		Int64("count", b.Rows).Int64("rejected", totals.rejected).
		Int64("duplicate", totals.duplicate).Dur("duration", s.Now().Sub(began)).
		Msg("file " + string(found.to))
	return errors.Join(s.releaseHeld(ctx, src, sum), s.archive(ctx, src, b, found.to))
}

func (sum *Summary) count(v verdict, rows int64, totals counts) {
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
	sum.Ready += totals.good
	sum.Rejected += totals.rejected
	sum.Duplicate += totals.duplicate
}
