package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/drop"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/schedule"
	"cardbatch/internal/store"
)

// Due is what a run of a job would work on, as far as can be told without
// doing it.
type Due struct {
	Subject string `json:"subject"` // a source, an issuer, a directory
	What    string `json:"what"`
	Count   int64  `json:"count"`
}

// previewLimit is how many orders due for tracking are counted at most.
const previewLimit = 10000

// Preview tells what a run of a job would work on now. It reads the store and
// lists directories; it changes nothing and does not speak to D1.
func Preview(ctx context.Context, cfg *config.Config, name string, now func() time.Time) ([]Due, error) {
	jobs, err := LoadJobs(cfg)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(jobs, func(j schedule.Job) bool { return j.Name == name })
	if i < 0 {
		return nil, errNoJob(name)
	}
	if jobs[i].Stage == schedule.StagePickup {
		return previewPickup(ctx, cfg, jobs[i].Select)
	}
	s, err := OpenStore(ctx, cfg, true, now)
	if err != nil {
		return nil, err
	}
	var dues []Due
	if jobs[i].Stage == schedule.StageRetention {
		dues, err = previewRetention(ctx, cfg.Retention, s, now())
	} else {
		dues, err = previewStore(ctx, cfg, s, jobs[i])
	}
	return dues, errors.Join(err, s.Close())
}

func errNoJob(name string) error {
	return exitcode.Mark(fmt.Errorf("run %s: there is no such job", name), exitcode.Usage, "`cardbatch check` lists the jobs")
}

// previewPickup counts the order files that lie in the drops.
func previewPickup(ctx context.Context, cfg *config.Config, sel schedule.Selection) ([]Due, error) {
	var dues []Due
	for _, s := range selected(cfg, sel) {
		d, err := openDrop(cfg.Drop(s.Drop))
		if err != nil {
			return nil, err
		}
		entries, err := d.List(ctx, s.Directories.Drop)
		if err = errors.Join(err, d.Close()); err != nil {
			return nil, classify(fmt.Errorf("source %s: %w", s.Name, err))
		}
		dues = append(dues, countFiles(s, entries)...)
	}
	return dues, nil
}

// countFiles tells the files that would be taken from those still waiting.
func countFiles(s config.Source, entries []drop.Entry) []Due {
	complete, waiting := completion(s).Sort(s.Pattern, entries)
	dues := []Due{{s.Name, "complete order files", complete}}
	if s.Completion.Quiet {
		dues[0].What = "order files, each taken once it rests"
	}
	if waiting > 0 {
		what := "order files still incomplete"
		if s.Completion.Control {
			what = "order files still without a control file"
		}
		dues = append(dues, Due{s.Name, what, waiting})
	}
	return dues
}

func previewRetention(ctx context.Context, cfg config.Retention, s *store.Store, now time.Time) ([]Due, error) {
	var dues []Due
	for _, kind := range issuance.Erasables() {
		n, err := s.CountErasable(ctx, kind, now.Add(-keep(cfg)[kind]))
		if err != nil {
			return nil, err
		}
		dues = append(dues, Due{"all", string(kind) + " to erase", n})
	}
	return dues, nil
}

func previewStore(ctx context.Context, cfg *config.Config, s *store.Store, job schedule.Job) ([]Due, error) {
	if job.Stage == schedule.StageReport {
		pending, err := s.PendingDeliveries(ctx)
		return []Due{{"all", "files planned and not yet delivered", int64(len(pending))}}, err
	}
	var dues []Due
	for _, i := range cfg.Issuers {
		if !schedule.Wants(job.Select.Issuers, i.ID) {
			continue
		}
		due := Due{Subject: i.ID, What: "orders ready to be sent"}
		var err error
		switch job.Stage {
		case schedule.StageSubmit:
			due.Count, err = s.ReadyCount(ctx, i.ID)
		case schedule.StageChange:
			due.What = "changes that wait"
			due.Count, err = s.WaitingChanges(ctx, i.ID)
		default:
			due.What = "orders to ask D1 about"
			orders, terr := s.DueForTracking(ctx, i.ID, i.Track.SilentAfter, previewLimit)
			due.Count, err = int64(len(orders)), terr
		}
		if err != nil {
			return nil, err
		}
		dues = append(dues, due)
	}
	return dues, nil
}
