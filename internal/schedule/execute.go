package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"cardbatch/internal/issuance"

	"github.com/rs/zerolog"
)

// finishTimeout bounds the recording of a run's end when the process stops.
const finishTimeout = 10 * time.Second

// errPanic is the error of a run whose stage panicked.
var errPanic = errors.New("the stage panicked")

// execute does one run: records it, calls the stage, records how it ended.
func (s *Scheduler) execute(ctx context.Context, task Task, dueWall string) (issuance.Run, error) {
	run, err := s.startRun(ctx, issuance.Run{
		Job: task.Job.Name, Stage: task.Job.Stage, Due: task.Due, DueWall: dueWall,
		BusinessDate: task.BusinessDate, Trigger: task.Trigger, Session: s.cfg.Session, StartedAt: s.cfg.Now(),
	})
	if err != nil {
		return issuance.Run{}, notStarted{fmt.Errorf("start run of %s: %w", task.Job.Name, err)}
	}
	started := s.cfg.Now()
	log := s.cfg.Log.With().Str("job", run.Job).Str("stage", run.Stage).Int64("run", run.ID).Logger()
	result, err := s.call(ctx, task, log)
	stopped := ctx.Err() != nil && errors.Is(err, context.Canceled)
	run.Outcome, run.Summary, run.EndedAt = outcomeOf(result, err, stopped), summaryOf(result, err), s.cfg.Now()
	s.logEnd(log, run, result, err, run.EndedAt.Sub(started))
	if !result.Idle || err != nil {
		s.wakeAfter(run.Job)
	}
	return run, errors.Join(err, s.finishRun(ctx, run))
}

// startRun records the start of a run, after the end of the one before it.
func (s *Scheduler) startRun(ctx context.Context, run issuance.Run) (issuance.Run, error) {
	if err := s.finishOwed(ctx, run.Job); err != nil {
		return issuance.Run{}, err
	}
	return s.cfg.Ledger.StartRun(ctx, run) //nolint:wrapcheck // the caller says what it is about
}

// finishRun records how a run ended. An end that the ledger does not take is
// kept and recorded later: to the ledger the job is running until then, and
// nothing would ever run it again.
func (s *Scheduler) finishRun(ctx context.Context, run issuance.Run) error {
	s.mu.Lock()
	s.owed[run.Job] = run
	s.mu.Unlock()
	return s.finishOwed(ctx, run.Job)
}

// finishOwed records the end of a job's last run, if that is still owed.
func (s *Scheduler) finishOwed(ctx context.Context, job string) error {
	s.mu.Lock()
	run, owed := s.owed[job]
	s.mu.Unlock()
	if !owed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	err := s.cfg.Ledger.FinishRun(ctx, run.ID, run.Outcome, run.Summary)
	if err != nil && !errors.Is(err, issuance.ErrOutOfState) { // it has ended there already
		return fmt.Errorf("record the end of run %d: %w", run.ID, err)
	}
	s.mu.Lock()
	delete(s.owed, job)
	s.mu.Unlock()
	return nil
}

// call calls the stage. The recover is the innermost function around it: a
// panic must end this run only, never the job, let alone the daemon.
func (s *Scheduler) call(ctx context.Context, task Task, log zerolog.Logger) (result Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, task.Job.Timeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			// What was panicked with may hold data of an order; the stack does not.
			log.Error().Err(fmt.Errorf("%w:\n%s", errPanic, debug.Stack())).Msg("stage panicked")
			result, err = Result{}, errPanic
		}
	}()
	return s.cfg.Stages[task.Job.Stage](ctx, task)
}

// outcomeOf tells how a run ended. One that was told to stop and did has not
// failed: the next one goes on.
func outcomeOf(r Result, err error, stopped bool) issuance.RunOutcome {
	switch {
	case err != nil && !stopped:
		return issuance.RunFailed
	case r.Rejected:
		return issuance.RunRejects
	default:
		return issuance.RunDone
	}
}

// summaryOf encodes what the ledger keeps: what was done, and why not more.
func summaryOf(r Result, err error) string {
	summary := struct {
		Done  any    `json:"done,omitempty"`
		Error string `json:"error,omitempty"`
		Idle  bool   `json:"idle,omitempty"` // last: the store knows by it which runs need not be kept for long
	}{Done: r.Summary, Idle: r.Idle}
	if err != nil {
		summary.Error = err.Error()
	}
	b, merr := json.Marshal(summary)
	if merr != nil {
		return `{"error":"the summary cannot be encoded"}`
	}
	return string(b)
}

func (s *Scheduler) logEnd(log zerolog.Logger, run issuance.Run, r Result, err error, took time.Duration) {
	level := zerolog.InfoLevel
	switch {
	case run.Outcome == issuance.RunFailed:
		level = zerolog.ErrorLevel
	case r.Idle:
		level = zerolog.DebugLevel
	}
	count := []byte("null")
	if b, merr := json.Marshal(r.Summary); merr == nil {
		count = b
	}
	log.WithLevel(level).Err(err).RawJSON("count", count).Str("code", string(run.Outcome)).Dur("duration", took).Msg("run ended")
}
