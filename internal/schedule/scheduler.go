package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cardbatch/internal/issuance"

	"github.com/rs/zerolog"
)

// Ledger keeps the history of runs.
type Ledger interface {
	// StartRun records a run and gives it an ID. It fails with
	// [issuance.ErrRunExists] when the job had a run for the same DueWall, and
	// with [issuance.ErrRunning] while a live session runs the job.
	StartRun(ctx context.Context, r issuance.Run) (issuance.Run, error)
	// FinishRun records how a run ended, with its summary as JSON.
	FinishRun(ctx context.Context, id int64, outcome issuance.RunOutcome, summary string) error
	// LastDue returns the run of a job with the latest due time, among those
	// that have a DueWall, and whether there is one.
	LastDue(ctx context.Context, job string) (issuance.Run, bool, error)
}

// Task is what a stage is asked to do.
type Task struct {
	Job          Job
	BusinessDate string // YYYY-MM-DD
	Due          time.Time
	Trigger      issuance.Trigger
}

// Result is what a stage did.
type Result struct {
	Summary  any  // encoded as JSON into the ledger
	Rejected bool // done, but some orders were rejected
	Idle     bool // there was nothing to do; jobs that wait for this one are not woken
}

// Stage does the work of a job: all that is due. It may be stopped at any
// moment through ctx and is then called again later.
type Stage func(ctx context.Context, task Task) (Result, error)

// Config is what a scheduler needs.
type Config struct {
	Jobs    []Job
	Stages  map[string]Stage // by [Job.Stage]
	Ledger  Ledger
	Session string
	Log     zerolog.Logger
	Clock
}

// Clock is the time that the schedules go by.
type Clock struct {
	Now func() time.Time
	// Speed is how many seconds of Now pass in a real one; 0 means 1. A night
	// can be played faster with it.
	Speed int
}

// Fast is a clock that shows the real time at from and runs faster since, in
// every process that is given the same two values alike.
func Fast(from time.Time, speed int) Clock {
	return Clock{Speed: speed, Now: func() time.Time { return from.Add(time.Duration(speed) * time.Since(from)) }}
}

// timer fires when d has passed on the clock.
func (c Clock) timer(d time.Duration) *time.Timer {
	return time.NewTimer(d / time.Duration(max(c.Speed, 1)))
}

// Scheduler runs jobs.
type Scheduler struct {
	cfg  Config
	wake map[string]chan struct{} // by job, one token each: wake-ups coalesce

	mu   sync.Mutex
	owed map[string]issuance.Run // by job: a run that has ended, and the ledger was not told
}

// New refuses jobs whose stage is not there.
func New(cfg Config) (*Scheduler, error) {
	s := &Scheduler{cfg: cfg, wake: map[string]chan struct{}{}, owed: map[string]issuance.Run{}}
	for _, j := range cfg.Jobs {
		if cfg.Stages[j.Stage] == nil {
			return nil, fmt.Errorf("schedule job %s: no stage %s", j.Name, j.Stage)
		}
		s.wake[j.Name] = make(chan struct{}, 1)
	}
	return s, nil
}

// Run runs jobs as they come due until ctx is done, and returns when the last
// running stage has. Stages see the end of ctx and stop at the next safe point.
func (s *Scheduler) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, j := range s.cfg.Jobs {
		wg.Go(func() { (&worker{Scheduler: s, job: j}).loop(ctx) })
	}
	wg.Wait()
}

// RunJob runs a job now, whatever its schedule, and returns the run as recorded
// and the error of its stage. An empty business date means today's.
func (s *Scheduler) RunJob(ctx context.Context, name, businessDate string, trigger issuance.Trigger) (issuance.Run, error) {
	i := slices.IndexFunc(s.cfg.Jobs, func(j Job) bool { return j.Name == name })
	if i < 0 {
		return issuance.Run{}, fmt.Errorf("run job %s: %w", name, issuance.ErrNotFound)
	}
	return s.RunTask(ctx, Task{Job: s.cfg.Jobs[i], BusinessDate: businessDate, Trigger: trigger})
}

// RunTask is [Scheduler.RunJob] for a job that was adapted for this run.
func (s *Scheduler) RunTask(ctx context.Context, task Task) (issuance.Run, error) {
	task.Due = s.cfg.Now()
	if task.BusinessDate == "" {
		task.BusinessDate = task.Job.BusinessDate(task.Due)
	}
	return s.execute(ctx, task, "")
}

// wakeAfter wakes the jobs that wait for a run of the named one.
func (s *Scheduler) wakeAfter(name string) {
	for _, j := range s.cfg.Jobs {
		if slices.Contains(j.After, name) {
			select {
			case s.wake[j.Name] <- struct{}{}:
			default: // it is awake already and will see what there is
			}
		}
	}
}

// notStarted tells the errors of a run that did not start from those of its stage.
type notStarted struct{ error }

func (e notStarted) Unwrap() error { return e.error }

func isNotStarted(err error) bool {
	var n notStarted
	return errors.As(err, &n)
}
