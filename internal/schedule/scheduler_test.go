package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/schedule"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

// ledger is a run ledger in memory, with the store's rules.
type ledger struct {
	mu   sync.Mutex
	runs []issuance.Run
	err  error // answered to everything
	lost error // answered to FinishRun
}

func (l *ledger) StartRun(_ context.Context, r issuance.Run) (issuance.Run, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.runs {
		if other.Job == r.Job && other.Outcome == "" {
			return r, issuance.ErrRunning
		}
		if other.Job == r.Job && other.DueWall == r.DueWall && r.DueWall != "" {
			return r, issuance.ErrRunExists
		}
	}
	if l.err != nil {
		return r, l.err
	}
	r.ID = int64(len(l.runs) + 1)
	l.runs = append(l.runs, r)
	return r, nil
}

func (l *ledger) FinishRun(_ context.Context, id int64, outcome issuance.RunOutcome, summary string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.runs[id-1]
	if l.lost != nil {
		return l.lost
	}
	if r.Outcome != "" {
		return issuance.ErrOutOfState
	}
	r.Outcome, r.Summary = outcome, summary
	return nil
}

func (l *ledger) LastDue(_ context.Context, job string) (last issuance.Run, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.runs {
		if r.Job == job && r.DueWall != "" && r.Due.After(last.Due) {
			last, ok = r, true
		}
	}
	return last, ok, l.err
}

// lines shows the runs of a job: due time, trigger, outcome.
func (l *ledger) lines(job string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, r := range l.runs {
		if r.Job == job {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", r.DueWall, r.Trigger, r.Outcome)))
		}
	}
	return lines
}

// world is a scheduler on a clock that can be set.
type world struct {
	*schedule.Scheduler
	ledger *ledger
	offset atomic.Int64
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())).UTC() }

func (w *world) set(t *testing.T, text string) {
	t.Helper()
	w.offset.Store(int64(time.Until(at(t, text))))
}

type stageFunc = func(context.Context, schedule.Task) (schedule.Result, error)

func done(context.Context, schedule.Task) (schedule.Result, error) {
	return schedule.Result{Summary: map[string]int{"rows": 3}}, nil
}

// begin starts a scheduler at the given time; the test's end stops it. It must
// be called inside a synctest bubble.
func begin(t *testing.T, l *ledger, start string, stages map[string]stageFunc, jobs ...schedule.Job) *world {
	t.Helper()
	w := &world{ledger: l}
	w.set(t, start)
	converted := map[string]schedule.Stage{}
	for name, s := range stages {
		converted[name] = s
	}
	var err error
	w.Scheduler, err = schedule.New(schedule.Config{
		Jobs: jobs, Stages: converted, Ledger: l, Session: "s1", Log: zerolog.Nop(), Clock: schedule.Clock{Now: w.now},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	finished := make(chan struct{})
	go func() { defer close(finished); w.Run(ctx) }()
	t.Cleanup(func() { stop(); <-finished })
	synctest.Wait()
	return w
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // inside a synctest bubble this is the clock, not waiting
	synctest.Wait()
}

func named(t *testing.T, name, stage string, lines ...string) schedule.Job {
	t.Helper()
	j := strings.Join(append([]string{"name: " + name, "stage: " + stage, "time_zone: Europe/Paris"}, lines...), "\n")
	parsed, err := schedule.ParseJob(name+".yaml", []byte(j))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRunsWhatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tasks []schedule.Task
		stage := func(_ context.Context, task schedule.Task) (schedule.Result, error) {
			tasks = append(tasks, task)
			return schedule.Result{Rejected: true}, nil
		}
		w := begin(t, &ledger{}, "2026-03-02T22:58:30Z", map[string]stageFunc{"pickup": stage},
			named(t, "pickup", "pickup", `schedule: "* * * * *"`))
		pass(3 * time.Minute)
		expect(t, w.ledger.lines("pickup"),
			"2026-03-02T23:59+01:00 schedule rejects", "2026-03-03T00:00+01:00 schedule rejects", "2026-03-03T00:01+01:00 schedule rejects")
		if tasks[0].BusinessDate != "2026-03-02" || tasks[1].BusinessDate != "2026-03-03" || tasks[0].Trigger != issuance.TriggerSchedule {
			t.Errorf("got %+v", tasks)
		}
	})
}

func TestNightsOnWhichTheClockChanges(t *testing.T) {
	for _, tc := range []struct {
		name, start, schedule string
		want                  []string
	}{
		{"spring", "2026-03-28T12:00:00Z", "30 2 * * *", []string{"2026-03-29T03:00+02:00 schedule done"}},
		{"autumn", "2026-10-24T12:00:00Z", "30 2 * * *", []string{"2026-10-25T02:30+02:00 schedule done"}},
		{"spring, every hour", "2026-03-28T23:30:00Z", "0 * * * *",
			[]string{"2026-03-29T01:00+01:00 schedule done", "2026-03-29T03:00+02:00 schedule done"}},
		{"autumn, every hour", "2026-10-24T22:30:00Z", "0 * * * *",
			[]string{"2026-10-25T01:00+02:00 schedule done", "2026-10-25T02:00+02:00 schedule done", "2026-10-25T02:00+01:00 schedule done"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, &ledger{}, tc.start, map[string]stageFunc{"report": done},
					named(t, "r", "report", `schedule: "`+tc.schedule+`"`))
				pass(at(t, tc.start).Truncate(24 * time.Hour).Add(26 * time.Hour).Sub(at(t, tc.start)))
				got := w.ledger.lines("r")
				expect(t, got[:min(len(got), len(tc.want))], tc.want...)
				if strings.HasPrefix(tc.schedule, "30") && len(got) != 1 {
					t.Errorf("ran %d times: %q", len(got), got)
				}
			})
		})
	}
}

func TestMissedWhileNothingRan(t *testing.T) {
	for _, tc := range []struct {
		policy string
		want   []string
	}{
		{"skip", []string{"2026-03-02T06:00+01:00 schedule done", "2026-03-05T06:00+01:00 schedule skipped"}},
		{"once", []string{"2026-03-02T06:00+01:00 schedule done", "2026-03-04T06:00+01:00 schedule skipped", "2026-03-05T06:00+01:00 schedule done"}},
	} {
		t.Run(tc.policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &ledger{runs: []issuance.Run{{ID: 1, Job: "r", Due: at(t, "2026-03-02T05:00:00Z"),
					DueWall: "2026-03-02T06:00+01:00", Trigger: "schedule", Outcome: "done"}}}
				w := begin(t, l, "2026-03-05T09:00:00Z", map[string]stageFunc{"report": done},
					named(t, "r", "report", `schedule: "0 6 * * *"`, "catch_up: "+tc.policy))
				expect(t, w.ledger.lines("r"), tc.want...)
				if skipped := l.runs[1]; !strings.HasPrefix(skipped.Summary, `{"skipped":`) {
					t.Errorf("summary %s", skipped.Summary)
				}
			})
		})
	}
}

func TestANewJobHasMissedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, &ledger{}, "2026-03-05T09:00:00Z", map[string]stageFunc{"report": done},
			named(t, "r", "report", `schedule: "0 6 * * *"`, "catch_up: once"))
		pass(time.Hour)
		expect(t, w.ledger.lines("r"))
	})
}

func TestClockPutForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, &ledger{}, "2026-03-05T04:00:00Z", map[string]stageFunc{"report": done},
			named(t, "r", "report", `schedule: "0 6 * * *"`, "catch_up: once"))
		w.set(t, "2026-03-05T06:30:00Z")
		pass(30 * time.Second)
		expect(t, w.ledger.lines("r"), "2026-03-05T06:00+01:00 schedule done")
	})
}

func TestClockPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, &ledger{}, "2026-03-05T04:59:30Z", map[string]stageFunc{"report": done, "pickup": done},
			named(t, "daily", "report", `schedule: "0 6 * * *"`), named(t, "minutes", "pickup", `schedule: "*/30 * * * *"`))
		pass(time.Minute)
		w.set(t, "2026-03-05T03:00:10Z") // two hours back
		pass(2*time.Hour + 5*time.Minute)
		expect(t, w.ledger.lines("daily"), "2026-03-05T06:00+01:00 schedule done")
		expect(t, w.ledger.lines("minutes"), "2026-03-05T06:00+01:00 schedule done",
			"schedule done", "schedule done", "schedule done", "schedule done")
	})
}

func TestNoOverlapAndLateRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		slow := func(context.Context, schedule.Task) (schedule.Result, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			pass := time.NewTimer(150 * time.Second)
			<-pass.C
			return schedule.Result{}, nil
		}
		w := begin(t, &ledger{}, "2026-03-02T11:59:30Z", map[string]stageFunc{"submit": slow},
			named(t, "s", "submit", `schedule: "* * * * *"`))
		pass(5 * time.Minute)
		expect(t, w.ledger.lines("s"), "2026-03-02T13:00+01:00 schedule done",
			"2026-03-02T13:01+01:00 schedule skipped", "2026-03-02T13:02+01:00 schedule")
		if most.Load() != 1 {
			t.Errorf("%d runs at once", most.Load())
		}
		pass(time.Minute)
	})
}

func TestAfterWakesAndCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var idle atomic.Bool
		idle.Store(true)
		pickup := func(context.Context, schedule.Task) (schedule.Result, error) {
			return schedule.Result{Idle: idle.Load()}, nil
		}
		w := begin(t, &ledger{}, "2026-03-02T11:59:30Z", map[string]stageFunc{"pickup": pickup, "submit": done},
			named(t, "p", "pickup", `schedule: "* * * * *"`), named(t, "q", "pickup", `schedule: "* * * * *"`),
			named(t, "s", "submit", "after: [p, q]"))
		pass(time.Minute)
		expect(t, w.ledger.lines("s"))
		idle.Store(false)
		pass(time.Minute)
		got := w.ledger.lines("s")
		if len(got) < 1 || len(got) > 2 || got[0] != "after done" {
			t.Errorf("got %q", got)
		}
	})
}

func TestPanicFailsTheRunOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stage := func(context.Context, schedule.Task) (schedule.Result, error) { panic("4111111111111111") }
		w := begin(t, &ledger{}, "2026-03-02T11:59:30Z", map[string]stageFunc{"pickup": stage},
			named(t, "p", "pickup", `schedule: "* * * * *"`))
		pass(2 * time.Minute)
		expect(t, w.ledger.lines("p"), "2026-03-02T13:00+01:00 schedule failed", "2026-03-02T13:01+01:00 schedule failed")
		if got := w.ledger.runs[0].Summary; got != `{"error":"the stage panicked"}` {
			t.Errorf("summary %s", got)
		}
	})
}

func TestTimeoutEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stage := func(ctx context.Context, _ schedule.Task) (schedule.Result, error) {
			<-ctx.Done()
			return schedule.Result{Summary: 7}, ctx.Err()
		}
		w := begin(t, &ledger{}, "2026-03-02T11:59:30Z", map[string]stageFunc{"pickup": stage},
			named(t, "p", "pickup", `schedule: "0 * * * *"`, "timeout: 5m"))
		pass(6 * time.Minute)
		expect(t, w.ledger.lines("p"), "2026-03-02T13:00+01:00 schedule failed")
		if got := w.ledger.runs[0].Summary; got != `{"done":7,"error":"context deadline exceeded"}` {
			t.Errorf("summary %s", got)
		}
	})
}

func TestStopEndsRunningStages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{}
		s, err := schedule.New(schedule.Config{
			Jobs: []schedule.Job{named(t, "p", "pickup", "after: [x]")}, Ledger: l, Log: zerolog.Nop(), Clock: schedule.Clock{Now: time.Now},
			Stages: map[string]schedule.Stage{"pickup": func(ctx context.Context, _ schedule.Task) (schedule.Result, error) {
				<-ctx.Done()
				return schedule.Result{}, nil // stopped at a safe point
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, stop)
		run, err := s.RunJob(ctx, "p", "2026-03-01", issuance.TriggerManual)
		if err != nil || run.Outcome != issuance.RunDone || run.BusinessDate != "2026-03-01" {
			t.Errorf("got %+v, %v", run, err)
		}
		expect(t, l.lines("p"), "manual done")
	})
}

func TestLedgerTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{err: errors.New("disk full")}
		w := begin(t, l, "2026-03-02T11:59:30Z", map[string]stageFunc{"pickup": done},
			named(t, "p", "pickup", `schedule: "*/5 * * * *"`))
		pass(time.Minute)
		expect(t, w.ledger.lines("p"))
		l.mu.Lock()
		l.err = nil
		l.mu.Unlock()
		pass(5 * time.Minute)
		expect(t, w.ledger.lines("p"), "2026-03-02T13:05+01:00 schedule done")
	})
}

// A disk that is full for a moment, just when a run ends, must not leave the
// job running for ever in the ledger: it would never start again.
func TestEndOfRunNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{lost: errors.New("disk full")}
		w := begin(t, l, "2026-03-02T11:59:30Z", map[string]stageFunc{"pickup": done},
			named(t, "p", "pickup", `schedule: "*/5 * * * *"`))
		pass(time.Minute)
		expect(t, w.ledger.lines("p"), "2026-03-02T13:00+01:00 schedule")
		l.mu.Lock()
		l.lost = nil
		l.mu.Unlock()
		pass(10 * time.Minute)
		expect(t, w.ledger.lines("p"), "2026-03-02T13:00+01:00 schedule done",
			"2026-03-02T13:05+01:00 schedule done", "2026-03-02T13:10+01:00 schedule done")
		if got := w.ledger.runs[0].Summary; got != `{"done":{"rows":3}}` {
			t.Errorf("summary %s", got)
		}
	})
}

// The same for the line that says which due times were skipped.
func TestEndOfSkipNotRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{lost: errors.New("disk full")}
		w := begin(t, l, "2026-03-02T11:59:30Z", map[string]stageFunc{"pickup": done},
			named(t, "p", "pickup", `schedule: "*/5 * * * *"`))
		w.set(t, "2026-03-02T12:08:00Z")
		pass(time.Minute)
		expect(t, w.ledger.lines("p"), "2026-03-02T13:05+01:00 schedule")
		l.mu.Lock()
		l.lost = nil
		l.mu.Unlock()
		pass(3 * time.Minute)
		expect(t, w.ledger.lines("p"), "2026-03-02T13:05+01:00 schedule skipped", "2026-03-02T13:10+01:00 schedule done")
	})
}

func TestRunJobOfAnotherProcess(t *testing.T) {
	l := &ledger{runs: []issuance.Run{{ID: 1, Job: "p"}}}
	s, err := schedule.New(schedule.Config{Jobs: []schedule.Job{named(t, "p", "pickup", `schedule: "0 6 * * *"`)},
		Stages: map[string]schedule.Stage{"pickup": done}, Ledger: l, Log: zerolog.Nop(), Clock: schedule.Clock{Now: time.Now}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RunJob(t.Context(), "p", "", issuance.TriggerManual); !errors.Is(err, issuance.ErrRunning) {
		t.Errorf("got %v", err)
	}
	if _, err := s.RunJob(t.Context(), "x", "", issuance.TriggerManual); !errors.Is(err, issuance.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := schedule.New(schedule.Config{Jobs: []schedule.Job{named(t, "p", "pickup", `schedule: "0 6 * * *"`)}}); err == nil {
		t.Error("a job without its stage was accepted")
	}
}
