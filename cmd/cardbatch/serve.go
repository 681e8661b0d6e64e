package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/schedule"

	"github.com/spf13/cobra"
)

func now() time.Time { return time.Now().UTC() }

func newServe(s *settings) *cobra.Command {
	var clock clockFlag
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the daemon: jobs by their schedules, and the listener for D1's notifications",
		Long: `serve migrates the store, recovers what a crash has left, listens for D1's
notifications and runs the jobs by their schedules. On SIGTERM or SIGINT it stops
beginning work, lets running stages come to a safe point within drain_timeout,
and ends. A second signal ends it at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			a, err := build(cmd, cfg, app.Options{Migrate: true, Listen: true, Schedule: clock.Clock})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			return a.Serve(cmd.Context())
		},
	}
	cmd.Flags().Var(&clock, "schedule-clock", "play the job schedules from a time on, faster than it passes: TIME,SPEED; for rehearsals")
	_ = cmd.Flags().MarkHidden("schedule-clock") // fails for a flag that is not there
	return cmd
}

// clockFlag is --schedule-clock: days of job schedules in minutes, on the same
// clock after a restart. Nothing else than the schedules goes by it.
type clockFlag struct {
	schedule.Clock
	text string
}

func (c *clockFlag) String() string { return c.text }
func (c *clockFlag) Type() string   { return "time,speed" }

// Set accepts what rehearsals pass, such as 2026-03-01T22:00:00Z,60.
func (c *clockFlag) Set(text string) error {
	at, factor, _ := strings.Cut(text, ",")
	from, err := time.Parse(time.RFC3339Nano, at)
	speed, errSpeed := strconv.Atoi(factor)
	if err != nil || errSpeed != nil || speed < 1 {
		return fmt.Errorf("%q is not TIME,SPEED, such as 2026-03-01T22:00:00Z,60", text)
	}
	c.Clock, c.text = schedule.Fast(from, speed), text
	return nil
}

func build(cmd *cobra.Command, cfg *config.Config, o app.Options) (*app.App, error) {
	v := version()
	o.Config, o.Logger, o.Now, o.Version, o.Revision = cfg, logger(cmd, cfg), now, v.Version, v.Revision
	return app.New(cmd.Context(), o)
}

// dateFlag is --business-date.
type dateFlag string

func (d *dateFlag) String() string { return string(*d) }
func (d *dateFlag) Type() string   { return "date" }

// Set accepts a day.
func (d *dateFlag) Set(text string) error {
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		return fmt.Errorf("%q is not a date, write YYYY-MM-DD", text)
	}
	*d = dateFlag(text)
	return nil
}

func newRun(s *settings) *cobra.Command {
	var date dateFlag
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "run JOB",
		Short: "do one run of a job now, whatever its schedule",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dryRun {
				return s.preview(cmd, args[0])
			}
			return s.once(cmd, func(ctx context.Context, a *app.App) (issuance.Run, error) {
				return a.RunJob(ctx, args[0], string(date))
			})
		},
	}
	cmd.Flags().Var(&date, "business-date", "the banking day the run belongs to (default today in the job's zone)")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show what the run would work on")
	return cmd
}

// preview shows what a run would work on.
func (s *settings) preview(cmd *cobra.Command, job string) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	dues, err := app.Preview(cmd.Context(), cfg, job, now)
	if err != nil {
		return err
	}
	if s.output == outputJSON {
		return writeJSON(cmd.OutOrStdout(), dues)
	}
	t := newTable("of", "would work on", ">count")
	for _, d := range dues {
		t.add(d.Subject, d.What, d.Count)
	}
	return t.write(cmd.OutOrStdout())
}

func newReport(s *settings) *cobra.Command {
	var date dateFlag
	cmd := &cobra.Command{
		Use:   "report NAME",
		Short: "write a report now: receipt, reconciliation, status or exceptions",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.once(cmd, func(ctx context.Context, a *app.App) (issuance.Run, error) {
				return a.RunReport(ctx, args[0], string(date))
			})
		},
	}
	cmd.Flags().Var(&date, "business-date", "the banking day of the report (default today in the job's zone)")
	return cmd
}

// once builds the application, does one run and shows what came of it.
func (s *settings) once(cmd *cobra.Command, do func(context.Context, *app.App) (issuance.Run, error)) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	a, err := build(cmd, cfg, app.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	stop := progress(cmd.Context(), cmd.ErrOrStderr(), cmd.CalledAs()+" "+cmd.Flags().Arg(0), a)
	run, err := do(cmd.Context(), a)
	stop()
	if run.ID == 0 {
		return err
	}
	if s.output == outputJSON {
		return errors.Join(writeJSON(cmd.OutOrStdout(), viewRun(run)), err)
	}
	t := newTable("run", "job", "business date", "outcome", ">took")
	t.add(run.ID, run.Job, run.BusinessDate, run.Outcome, run.EndedAt.Sub(run.StartedAt).Round(time.Millisecond))
	return errors.Join(t.write(cmd.OutOrStdout()), writeSummary(cmd.OutOrStdout(), run.Summary, false), err)
}

func newMigrate(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "create the store, or bring it to the schema of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			applied, err := app.Migrate(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if s.output == outputJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"store": cfg.StorePath(), "applied": applied})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d migrations applied\n", cfg.StorePath(), applied)
			return err
		},
	}
}

// runView is a run as JSON.
type runView struct {
	ID           int64           `json:"id"`
	Job          string          `json:"job"`
	Stage        string          `json:"stage"`
	Due          string          `json:"due,omitempty"`
	BusinessDate string          `json:"business_date"`
	Trigger      string          `json:"trigger"`
	Session      string          `json:"session"`
	StartedAt    time.Time       `json:"started_at"`
	EndedAt      *time.Time      `json:"ended_at,omitempty"`
	Outcome      string          `json:"outcome,omitempty"`
	Summary      json.RawMessage `json:"summary,omitempty"`
}

func viewRun(r issuance.Run) runView {
	v := runView{ID: r.ID, Job: r.Job, Stage: r.Stage, Due: r.DueWall, BusinessDate: r.BusinessDate, Trigger: string(r.Trigger),
		Session: r.Session, StartedAt: r.StartedAt, Outcome: string(r.Outcome)}
	if !r.EndedAt.IsZero() {
		v.EndedAt = &r.EndedAt
	}
	if json.Valid([]byte(r.Summary)) {
		v.Summary = json.RawMessage(r.Summary)
	}
	return v
}

// errNothing is what a look returns that asked for one thing by its name.
func errNothing(what, id string) error {
	return exitcode.Mark(fmt.Errorf("look at %s %s: there is no such %s", what, id, what), exitcode.Failed, "")
}
