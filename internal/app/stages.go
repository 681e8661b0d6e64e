package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cardbatch/internal/change"
	"cardbatch/internal/config"
	"cardbatch/internal/drop"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/report"
	"cardbatch/internal/retention"
	"cardbatch/internal/schedule"
	"cardbatch/internal/store"
	"cardbatch/internal/submit"
	"cardbatch/internal/track"
	"cardbatch/internal/validate"
)

// pickup takes the order files of the selected sources.
func (a *App) pickup(ctx context.Context, task schedule.Task) (schedule.Result, error) {
	a.mu.Lock() // two jobs may look at the same source
	defer a.mu.Unlock()
	var names []string
	for _, s := range selected(a.cfg, task.Job.Select) {
		names = append(names, s.Name)
	}
	if len(names) == 0 {
		return schedule.Result{Idle: true}, nil
	}
	stage, err := intake.New(a.intake, names...)
	if err != nil {
		return schedule.Result{}, err
	}
	sum, err := stage.RunOnce(ctx)
	a.countFiles(sum)
	return schedule.Result{Summary: sum, Rejected: sum.HasRejects(), Idle: sum.Files == 0 && sum.Released == 0}, classify(err)
}

// intakeSources makes the sources as intake knows them.
func (a *App) intakeSources() ([]intake.Source, error) {
	var sources []intake.Source
	for _, s := range a.cfg.Sources {
		layout, unwrap, err := sourceFormat(s)
		if err != nil {
			return nil, err
		}
		i := a.issuer(s.Issuer)
		maxRejects := 1.0
		if s.MaxRejects != nil {
			maxRejects = float64(*s.MaxRejects) / 100
		}
		source := intake.Source{
			Name: s.Name, IssuerID: s.Issuer, Environment: i.Environment, Location: i.TimeZone.Location,
			Drop: a.drops[s.Drop], Directory: s.Directories.Drop, Archive: s.Directories.Archive,
			Quarantine: s.Directories.Quarantine, Pattern: s.Pattern,
			Completion: completion(s), GiveUpAfter: s.GiveUpAfter,
			Accept: intake.Accept(s.Accept), MaxRejects: maxRejects, MaxBytes: int64(s.MaxSize), MaxRows: s.MaxRows,
			Sequence: intake.Sequence(s.Sequence), BusinessDates: businessDates(s),
			Unwrap: decrypted(a.openers[s.Name], unwrap), Layout: layout, Encoder: i.encoder,
			Rules: func(now time.Time) intake.Checker {
				return validate.New(validate.Rules{Products: a.products, Now: now, JWEKids: i.JWEKeyIDs()})
			},
		}
		if s.Content == config.ContentChanges {
			source.Changes = &intake.Changes{Encoder: i.encoder, Rules: func(now time.Time) intake.ChangeChecker {
				return validate.NewChanges(validate.Rules{Products: a.products, Now: now})
			}}
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func businessDates(s config.Source) *intake.DateRange {
	if s.BusinessDate == nil {
		return nil
	}
	return &intake.DateRange{Back: s.BusinessDate.DaysBack, Ahead: s.BusinessDate.DaysAhead}
}

func completion(s config.Source) intake.Completion {
	c := intake.Completion{
		Control: s.Completion.Control, Markers: s.Completion.Markers, MarkerOfStem: s.Completion.MarkerOfStem(),
		MinSize: int64(s.Completion.MinSize), Ignore: s.Completion.IgnoreSuffixes, StuckAfter: s.Completion.StuckAfter,
	}
	if s.Completion.Quiet {
		c.Observations, c.QuietFor = s.Observations, s.Completion.QuietFor
	}
	return c
}

// selected returns the sources that a job is about.
func selected(cfg *config.Config, sel schedule.Selection) []config.Source {
	var sources []config.Source
	for _, s := range cfg.Sources {
		if schedule.Wants(sel.Issuers, s.Issuer) && schedule.Wants(sel.Sources, s.Name) {
			sources = append(sources, s)
		}
	}
	return sources
}

func (a *App) issuer(id string) *issuer {
	for _, i := range a.issuers {
		if i.ID == id {
			return i
		}
	}
	return nil
}

// submit orders cards, for all selected issuers at the same time: each has its
// own rate.
func (a *App) submit(ctx context.Context, task schedule.Task) (schedule.Result, error) {
	return eachIssuer(a, task, func(i *issuer) (submit.Summary, bool, bool, error) {
		sum, err := i.submit.RunOnce(ctx)
		return sum, sum.Rejected(), sum.Claimed == 0, err
	})
}

// track asks D1 about orders, for all selected issuers at the same time.
func (a *App) track(ctx context.Context, task schedule.Task) (schedule.Result, error) {
	if err := a.recoverSessions(ctx); err != nil { // another process may have died meanwhile
		return schedule.Result{}, err
	}
	return eachIssuer(a, task, func(i *issuer) (track.Summary, bool, bool, error) {
		sum, err := i.track.RunOnce(ctx)
		return sum, sum.Rejected(), sum.Asked == 0, err
	})
}

// change makes the changes asked of orders, for all selected issuers at the
// same time.
func (a *App) change(ctx context.Context, task schedule.Task) (schedule.Result, error) {
	if err := a.recoverSessions(ctx); err != nil { // another process may have died meanwhile
		return schedule.Result{}, err
	}
	return eachIssuer(a, task, func(i *issuer) (change.Summary, bool, bool, error) {
		sum, err := i.change.RunOnce(ctx)
		return sum, sum.Rejected(), sum.Idle(), err
	})
}

// eachIssuer runs a stage for every selected issuer and adds up what came of
// it. One issuer's error does not stop the others.
func eachIssuer[S any](a *App, task schedule.Task, run func(*issuer) (sum S, rejected, idle bool, err error)) (schedule.Result, error) {
	var (
		wg        sync.WaitGroup
		mu        sync.Mutex
		summaries []S
		errs      []error
		result    = schedule.Result{Idle: true}
	)
	for _, i := range a.issuers {
		if !schedule.Wants(task.Job.Select.Issuers, i.ID) {
			continue
		}
		wg.Go(func() {
			sum, rejected, idle, err := run(i)
			mu.Lock()
			defer mu.Unlock()
			summaries = append(summaries, sum)
			result.Rejected = result.Rejected || rejected
			result.Idle = result.Idle && idle
			if err != nil {
				errs = append(errs, fmt.Errorf("issuer %s: %w", i.ID, err))
			}
		})
	}
	wg.Wait()
	result.Summary = summaries
	return result, classify(errors.Join(errs...))
}

// report writes the selected reports. Batches are brought up to date first:
// whether one has settled decides what is owed.
func (a *App) report(ctx context.Context, task schedule.Task) (schedule.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, _, err := a.store.AdvanceBatches(ctx); err != nil {
		return schedule.Result{}, fmt.Errorf("settle and close batches: %w", err)
	}
	stage, err := report.New(a.reportConfig(task.Job.Select), a.store, a.log)
	if err != nil {
		return schedule.Result{}, err
	}
	sum, err := stage.RunOnce(ctx, report.Options{Kinds: task.Job.Select.Reports, BusinessDate: task.BusinessDate})
	if !sum.Balanced() {
		err = errors.Join(err, fmt.Errorf("%w: %q", errUnbalanced, sum.Unbalanced))
	}
	return schedule.Result{Summary: sum, Idle: sum.Files() == 0 && sum.Pending == 0}, classify(err)
}

var errUnbalanced = errors.New("reports do not balance")

func (a *App) reportConfig(sel schedule.Selection) report.Config {
	cfg := report.Config{ReviseEvery: a.cfg.Reports.ReviseEvery, Now: a.now}
	for _, s := range selected(a.cfg, sel) {
		cfg.Sources = append(cfg.Sources, report.Source{
			Name: s.Name, Reports: a.place(s.Drop, s.Directories.Reports, sourceReports(s.Name)),
			Quarantine: a.place(s.Drop, s.Directories.Quarantine, sourceReports(s.Name)),
		})
	}
	for _, i := range a.issuers {
		if schedule.Wants(sel.Issuers, i.ID) {
			cfg.Issuers = append(cfg.Issuers, report.Issuer{ID: i.ID, Ageing: AgeingRules(a.cfg, &i.Issuer),
				Reports: a.place(i.Report.Drop, i.Report.Directory, issuerReports(i.ID))})
		}
	}
	return cfg
}

// place names a directory for ever: deliveries are stored under it.
func (a *App) place(dropName, dir, envelope string) report.Place {
	return report.Place{Name: dropName + ":" + dir, Dir: dir, Drop: a.drops[dropName], Envelope: a.envelopes[envelope]}
}

// erase erases what is no longer needed.
func (a *App) erase(ctx context.Context, _ schedule.Task) (schedule.Result, error) {
	stage, err := retention.New(retention.Config{Keep: keep(a.cfg.Retention)}, retention.Deps{Store: a.store, Now: a.now, Log: a.log})
	if err != nil {
		return schedule.Result{}, invalid(err)
	}
	sum, err := stage.RunOnce(ctx)
	return schedule.Result{Summary: sum, Idle: sum.Total() == 0}, classify(err)
}

func keep(c config.Retention) retention.Keep {
	days := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	return retention.Keep{
		issuance.ErasePayloads: days(c.PayloadDays), issuance.EraseNotifications: days(c.NotificationDays),
		issuance.EraseParked: days(c.NotificationDays), issuance.EraseUnmatched: days(c.UnmatchedDays),
		issuance.EraseIdleRuns: days(c.IdleRunDays), issuance.EraseRuns: days(c.RunDays),
	}
}

// classify marks the error of a stage with its exit code.
func classify(err error) error {
	for _, class := range []struct {
		is   error
		code exitcode.Code
		hint string
	}{
		{errUnbalanced, exitcode.Unbalanced, "the control files say which equation does not hold"},
		{store.ErrUnbalanced, exitcode.Unbalanced, ""},
		{context.Canceled, exitcode.Interrupted, ""},
		{submit.ErrSetUp, exitcode.Failed, "look at d1.token and d1.tls of the issuer, and whether D1 knows the key"},
		{track.ErrSetUp, exitcode.Failed, "look at d1.token and d1.tls of the issuer, and whether D1 knows the key"},
		{change.ErrSetUp, exitcode.Failed, "look at d1.update_path, d1.token and d1.tls of the issuer"},
		{change.ErrRefusals, exitcode.Failed, "`cardbatch batches ID` shows what D1 says"},
		{change.ErrUnavailable, exitcode.Unavailable, "D1 or the way to it is down; the changes wait"},
		{submit.ErrRefusals, exitcode.Failed, "`cardbatch orders --state refused` shows what D1 says"},
		{submit.ErrPayloads, exitcode.Failed, "is a sealing key missing from keys.sealing?"},
		{submit.ErrUnavailable, exitcode.Unavailable, "D1 or the way to it is down; the orders stay ready"},
		{track.ErrUnavailable, exitcode.Unavailable, "D1 or the way to it is down"},
		{drop.ErrUnavailable, exitcode.Unavailable, "the file drop or the way to it is down"},
		{issuance.ErrClaimed, exitcode.Elsewhere, ""},
		{store.ErrFull, exitcode.Failed, "make room below state_dir; nothing is lost, the next run goes on"},
		{store.ErrBusy, exitcode.Elsewhere, ""},
	} {
		if errors.Is(err, class.is) {
			return exitcode.Mark(err, class.code, class.hint)
		}
	}
	return err
}
