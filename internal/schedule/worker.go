package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cardbatch/internal/issuance"
)

const (
	// lookEvery is the longest the scheduler goes without reading the clock.
	lookEvery = 30 * time.Second
	// onTime is how late a run may start and still count as on time.
	onTime = 2 * lookEvery
	// lookBack is how far back missed due times are looked for.
	lookBack = 31 * 24 * time.Hour
)

// worker runs one job, one run at a time.
type worker struct {
	*Scheduler
	job Job
	// since is the moment up to which due times have been dealt with.
	since time.Time
	// redone is set when the clock was put back: up to this moment a job of
	// every hour runs at due times that it had once already.
	redone time.Time
}

func (w *worker) loop(ctx context.Context) {
	for !w.begin(ctx) {
		if !w.pause(ctx, lookEvery) {
			return
		}
	}
	for {
		again := w.runDue(ctx)
		if ctx.Err() != nil {
			return
		}
		if again {
			continue
		}
		woken, ok := w.wait(ctx)
		if !ok {
			return
		}
		if woken {
			w.start(ctx, Due{At: w.cfg.Now()}, issuance.TriggerAfter)
		}
	}
}

// begin finds where the job stands. It reports false when the ledger does not
// answer.
func (w *worker) begin(ctx context.Context) bool {
	last, ok, err := w.cfg.Ledger.LastDue(ctx, w.job.Name)
	if err != nil {
		if ctx.Err() == nil {
			w.cfg.Log.Error().Err(err).Str("job", w.job.Name).Msg("the run ledger does not answer")
		}
		return false
	}
	now := w.cfg.Now()
	w.since = now
	if ok { // else it never ran: nothing was missed
		w.since = last.Due
	}
	w.lookAtClock(now)
	return true
}

// lookAtClock notices a clock that was put back: the due times ahead are then
// partly behind us.
func (w *worker) lookAtClock(now time.Time) {
	if now.Before(w.since) {
		if w.redone.Before(w.since) {
			w.redone = w.since
		}
		w.since = now
	}
	if oldest := now.Add(-lookBack); w.since.Before(oldest) {
		w.since = oldest
	}
}

// runDue runs what is due, if anything is. It reports whether to look again at
// once, because time has passed meanwhile.
func (w *worker) runDue(ctx context.Context) bool {
	if err := w.finishOwed(ctx, w.job.Name); err != nil {
		w.cfg.Log.Error().Err(err).Str("job", w.job.Name).Msg("the job rests until the ledger takes the end of its last run")
		return false
	}
	now := w.cfg.Now()
	w.lookAtClock(now)
	dues := w.job.Between(w.since, now)
	if len(dues) == 0 {
		w.since = now
		return false
	}
	latest, missed := dues[len(dues)-1], dues[:len(dues)-1]
	if now.Sub(latest.At) > onTime && w.job.CatchUp == CatchUpSkip {
		missed = dues
	}
	if len(missed) > 0 && !w.skip(ctx, missed) {
		return false
	}
	if len(missed) < len(dues) && !w.start(ctx, latest, issuance.TriggerSchedule) {
		return false
	}
	w.since = latest.At
	return true
}

// start runs the job for one due time. It reports whether the due time is
// dealt with; if not, it is tried again.
func (w *worker) start(ctx context.Context, due Due, trigger issuance.Trigger) bool {
	wall := due.Wall
	if w.job.Schedule.everyHour && !due.At.After(w.redone) {
		wall = "" // the clock was put back; the ledger has this one already
	}
	_, err := w.execute(ctx, Task{Job: w.job, BusinessDate: w.job.BusinessDate(due.At), Due: due.At, Trigger: trigger}, wall)
	switch {
	case err == nil, errors.Is(err, issuance.ErrRunExists):
		return true
	case !isNotStarted(err):
		return true // it ran, failed, and said so
	case errors.Is(err, issuance.ErrRunning):
		w.cfg.Log.Debug().Str("job", w.job.Name).Msg("another process runs the job")
	case ctx.Err() == nil:
		w.cfg.Log.Error().Err(err).Str("job", w.job.Name).Msg("the run was not started")
	}
	return false
}

// skip records due times that will not be run, all in one line of the ledger:
// that of the last of them.
func (w *worker) skip(ctx context.Context, missed []Due) bool {
	first, last := missed[0], missed[len(missed)-1]
	run, err := w.startRun(ctx, issuance.Run{
		Job: w.job.Name, Stage: w.job.Stage, Due: last.At, DueWall: last.Wall,
		BusinessDate: w.job.BusinessDate(last.At), Trigger: issuance.TriggerSchedule,
		Session: w.cfg.Session, StartedAt: w.cfg.Now(),
	})
	if errors.Is(err, issuance.ErrRunExists) {
		return true
	}
	if err == nil {
		run.Outcome = issuance.RunSkipped
		run.Summary = fmt.Sprintf(`{"skipped":%d,"from":%q,"to":%q}`, len(missed), first.Wall, last.Wall)
		err = w.finishRun(ctx, run)
	}
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, issuance.ErrRunning) {
			w.cfg.Log.Error().Err(err).Str("job", w.job.Name).Msg("missed due times were not recorded")
		}
		return false
	}
	w.cfg.Log.Warn().Str("job", w.job.Name).Int64("run", run.ID).Int("count", len(missed)).
		Msg("due times skipped")
	return true
}

// wait rests until the next due time, but no longer than [lookEvery], or until
// another job wakes this one. It reports false when ctx is done.
func (w *worker) wait(ctx context.Context) (woken, ok bool) {
	rest := lookEvery
	now := w.cfg.Now()
	if dues := w.job.Between(now, now.Add(lookEvery)); len(dues) > 0 {
		rest = dues[0].At.Sub(now)
	}
	timer := w.cfg.timer(rest)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-w.wake[w.job.Name]:
		return true, true
	case <-timer.C:
		return false, true
	}
}

// pause rests without listening for other jobs. It reports false when ctx is done.
func (w *worker) pause(ctx context.Context, d time.Duration) bool {
	timer := w.cfg.timer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
