package report

import (
	"context"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

// Stage writes reports. It is safe to run it again at any point; two runs at
// the same time would write the same files, of which the drop lets one through.
type Stage struct {
	cfg   Config
	store Store
	log   zerolog.Logger
}

// New returns a stage.
func New(cfg Config, store Store, log zerolog.Logger) (*Stage, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Stage{cfg: cfg, store: store, log: log}, nil
}

// RunOnce plans every file of the wanted kinds that is due, and delivers those
// and whatever an earlier run has left. The summary holds with an error, too.
// The error wraps [drop.ErrUnavailable] when a destination could not be worked
// with, [ErrOptions] when there is nothing like what opts want.
func (s *Stage) RunOnce(ctx context.Context, opts Options) (Summary, error) {
	r := run{Stage: s, opts: opts, dead: map[string]bool{}}
	if err := r.opts.check(s.cfg.Now()); err != nil {
		return Summary{}, err
	}
	if r.opts.wants(issuance.DeliverReconciliation) {
		// Who settled a batch, and when, must not decide what the morning's files show.
		if _, _, err := s.store.AdvanceBatches(ctx); err != nil {
			return r.summary, fmt.Errorf("report: %w", err)
		}
	}
	if err := r.loadBatches(ctx); err != nil {
		return r.summary, err
	}
	if err := r.plan(ctx); err != nil {
		return r.summary, err
	}
	return r.summary, r.deliverAll(ctx)
}

// run is one RunOnce.
type run struct {
	*Stage
	opts    Options
	batches []*issuance.Batch
	byNo    map[issuance.BatchNo]*issuance.Batch
	dead    map[string]bool // places not to be tried again in this run
	summary Summary
}

func (r *run) loadBatches(ctx context.Context) error {
	batches, err := r.store.Batches(ctx, issuance.BatchFilter{})
	if err != nil {
		return fmt.Errorf("report: read batches: %w", err)
	}
	r.batches, r.byNo = nil, make(map[issuance.BatchNo]*issuance.Batch, len(batches))
	for i := range batches {
		r.batches = append(r.batches, &batches[i])
		r.byNo[batches[i].No] = &batches[i]
	}
	return nil
}

// batch returns a batch as it was at the beginning of the run, or is when it
// arrived later.
func (r *run) batch(ctx context.Context, no issuance.BatchNo) (*issuance.Batch, error) {
	if b := r.byNo[no]; b != nil {
		return b, nil
	}
	b, err := r.store.BatchByNo(ctx, no)
	if err != nil {
		return nil, err
	}
	r.byNo[no] = &b
	return &b, nil
}

func (s *Stage) source(name string) *Source {
	for i := range s.cfg.Sources {
		if s.cfg.Sources[i].Name == name {
			return &s.cfg.Sources[i]
		}
	}
	return nil
}

// place returns where a planned delivery goes, nil when that is not for this
// stage to do.
func (s *Stage) place(d *issuance.Delivery) *Place {
	var places []*Place
	if ofIssuer(d.Kind) {
		for i := range s.cfg.Issuers {
			if s.cfg.Issuers[i].ID == d.IssuerID {
				places = append(places, &s.cfg.Issuers[i].Reports)
			}
		}
	} else if source := s.source(d.Source); source != nil {
		places = append(places, &source.Reports, &source.Quarantine)
	}
	for _, p := range places {
		if p.Name == d.Destination {
			return p
		}
	}
	return nil
}

func (r *run) deliverAll(ctx context.Context) error {
	pending, err := r.store.Deliveries(ctx, issuance.DeliveryFilter{Pending: true})
	if err != nil {
		return fmt.Errorf("report: read planned deliveries: %w", err)
	}
	var problems []error
	for i := range pending {
		d := &pending[i]
		place := r.place(d)
		if place == nil || !r.opts.wants(d.Kind) {
			continue
		}
		if r.dead[place.Name] {
			r.summary.Pending++
			continue
		}
		if err := r.deliver(ctx, place, d); err != nil {
			r.summary.Pending++
			problems = append(problems, fmt.Errorf("report: deliver %s to %s: %w", d.Name, place.Name, err))
			r.dead[place.Name] = errors.Is(err, drop.ErrUnavailable)
		}
		if ctx.Err() != nil {
			break // the rest stays planned
		}
	}
	return errors.Join(problems...)
}
