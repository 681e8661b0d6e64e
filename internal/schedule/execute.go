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
	run, err := s.cfg.Ledger.StartRun(ctx, issuance.Run{
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if ferr := s.cfg.Ledger.FinishRun(ctx, run.ID, run.Outcome, run.Summary); ferr != nil {
		err = errors.Join(err, fmt.Errorf("record the end of run %d: %w", run.ID, ferr))
	}
	return run, err
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
	}{Done: r.Summary}
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
