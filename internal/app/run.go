package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/ops"
	"cardbatch/internal/schedule"
)

// listenerDrain is what a notification under way gets to be stored; one that is
// cut comes again. An idle connection that was never used also takes it up.
const listenerDrain = 2 * time.Second

// graceAfterDrain is what stages get beyond the drain timeout, which they keep
// themselves, to write down where they stopped.
const graceAfterDrain = 10 * time.Second

// Addr returns where notifications are received, nil without a listener.
func (a *App) Addr() net.Addr {
	if a.listener == nil {
		return nil
	}
	return a.listener.Addr()
}

// Jobs returns the jobs, by name.
func (a *App) Jobs() []schedule.Job { return a.jobs }

// Serve runs jobs and takes notifications until ctx is done, then drains. It
// returns nil after an orderly stop.
func (a *App) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listening := make(chan error, 1)
	if a.listener == nil {
		listening <- nil
	} else {
		go func() {
			defer cancel() // without notifications we do not go on
			listening <- a.listener.Serve(ctx)
		}()
	}
	if a.watchers != nil {
		go a.showMetrics()
	}
	running := make(chan struct{})
	go func() {
		defer close(running)
		a.scheduler.Run(ctx)
	}()
	if every := ops.Watchdog(); every > 0 {
		a.pulse.Beat(time.Now())
		go a.feedWatchdog(ctx, every)
	}
	a.tell(ops.Ready)
	a.log.Info().Msg("ready")
	<-ctx.Done()
	a.log.Info().Msg("stopping")
	a.tell(ops.Stopping)
	return errors.Join(a.listenerEnded(ctx, <-listening), a.drain(running))
}

// listenerEnded tells a listener that broke down from one that was stopped
// while somebody was still connected: what was not acknowledged comes again.
func (a *App) listenerEnded(stopped context.Context, err error) error {
	if err != nil && stopped.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		a.log.Warn().Err(err).Msg("notification connections were cut")
		return nil
	}
	return err
}

func (a *App) drain(running <-chan struct{}) error {
	limit := time.NewTimer(a.cfg.DrainTimeout + graceAfterDrain)
	defer limit.Stop()
	select {
	case <-running:
		a.log.Info().Msg("stopped")
		return nil
	case <-limit.C:
		return errors.New("stop: a stage did not end in time; what it was doing is recovered at the next start")
	}
}

func (a *App) tell(state string) {
	if err := ops.Notify(state); err != nil {
		a.log.Warn().Err(err).Msg("systemd was not told")
	}
}

// feedWatchdog tells systemd that the daemon is alive for as long as its
// scheduler is: when it hangs, systemd starts the daemon again.
func (a *App) feedWatchdog(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(min(every, loopLimit/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !a.pulse.Stopped(time.Now(), loopLimit) {
				a.tell(ops.Alive)
			}
		}
	}
}

// Ready returns how many orders of all issuers wait to be sent.
func (a *App) Ready(ctx context.Context) (total int64, err error) {
	for _, i := range a.issuers {
		n, err := a.store.ReadyCount(ctx, i.ID)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// RunJob does one run of a job and returns the run as recorded. The error is
// marked with the exit code; a run with rejects is one, too. An empty business
// date means today's.
func (a *App) RunJob(ctx context.Context, name, businessDate string) (issuance.Run, error) {
	run, err := a.scheduler.RunJob(ctx, name, businessDate, issuance.TriggerManual)
	return run, a.runError(name, run, err)
}

// RunReport writes one kind of report now, by the job that writes it.
func (a *App) RunReport(ctx context.Context, kind, businessDate string) (issuance.Run, error) {
	i := slices.IndexFunc(a.jobs, func(j schedule.Job) bool {
		return j.Stage == schedule.StageReport && schedule.Wants(j.Select.Reports, kind)
	})
	if i < 0 {
		return issuance.Run{}, exitcode.Mark(fmt.Errorf("write report %s: no job writes it", kind), exitcode.Usage,
			"reports are "+schedule.ReportReceipt+", "+schedule.ReportReconciliation+", "+schedule.ReportStatus+", "+schedule.ReportExceptions)
	}
	job := a.jobs[i]
	job.Select.Reports = []string{kind}
	run, err := a.scheduler.RunTask(ctx, schedule.Task{Job: job, BusinessDate: businessDate, Trigger: issuance.TriggerManual})
	return run, a.runError(job.Name, run, err)
}

// ErrRejects says that a run is done, but with rejects.
var ErrRejects = errors.New("done, with rejects")

func (a *App) runError(name string, run issuance.Run, err error) error {
	switch {
	case errors.Is(err, issuance.ErrRunning):
		return exitcode.Mark(err, exitcode.Elsewhere, "`cardbatch runs --open` shows who runs it")
	case errors.Is(err, issuance.ErrNotFound):
		return errNoJob(name)
	case err != nil:
		return fmt.Errorf("run %s: %w", name, err)
	case run.Outcome == issuance.RunRejects:
		return exitcode.Mark(ErrRejects, exitcode.Rejected, "")
	}
	return nil
}
