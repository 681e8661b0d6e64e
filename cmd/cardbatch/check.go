package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/schedule"

	"github.com/spf13/cobra"
)

// upcomingRuns is how many coming runs of each job are shown.
const upcomingRuns = 5

// checkView is the result of check as JSON.
type checkView struct {
	Config   string       `json:"config"`
	Node     string       `json:"node"`
	Drops    int          `json:"drops"`
	Issuers  int          `json:"issuers"`
	Products int          `json:"products"`
	Sources  int          `json:"sources"`
	Jobs     []jobView    `json:"jobs"`
	PGPKeys  []app.PGPKey `json:"pgp_keys,omitempty"`
	Problems []string     `json:"problems"`
}

type jobView struct {
	Name     string      `json:"name"`
	Stage    string      `json:"stage"`
	Schedule string      `json:"schedule,omitempty"`
	TimeZone string      `json:"time_zone"`
	After    []string    `json:"after,omitempty"`
	CatchUp  string      `json:"catch_up"`
	Next     []time.Time `json:"next"`
}

func newCheck(s *settings) *cobra.Command {
	var offline bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "check the configuration, the files it names, and the jobs; show their next runs",
		Long: `check reads the configuration and the job files, looks whether keys, certificates
and other files they name can be read and used, and shows the next runs of each
job. It connects to nothing and changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			jobs, err := app.LoadJobs(cfg)
			if err != nil {
				return exitcode.Mark(err, exitcode.Config, "") // its hint is to run check
			}
			if !offline {
				err = app.CheckFiles(cfg)
			}
			view := viewCheck(cfg, jobs, err)
			if !offline {
				view.PGPKeys, _ = app.PGPKeys(cfg, now()) // what is wrong is in err
			}
			if s.output == outputJSON {
				err = errors.Join(writeJSON(cmd.OutOrStdout(), view), err)
			} else {
				err = errors.Join(writeCheck(cmd.OutOrStdout(), view), err)
			}
			return exitcode.Mark(err, exitcode.Config, "")
		},
	}
	cmd.Flags().BoolVar(&offline, "no-files", false, "do not look for the files that the configuration names")
	return cmd
}

func viewCheck(cfg *config.Config, jobs []schedule.Job, err error) checkView {
	v := checkView{Config: cfg.Path, Node: cfg.Node, Drops: len(cfg.Drops), Issuers: len(cfg.Issuers),
		Products: len(cfg.Products), Sources: len(cfg.Sources), Problems: []string{}}
	if err != nil {
		v.Problems = strings.Split(err.Error(), "\n")
	}
	for _, j := range jobs {
		job := jobView{Name: j.Name, Stage: j.Stage, Schedule: j.Schedule.String(), TimeZone: j.TimeZone.String(),
			After: j.After, CatchUp: j.CatchUp, Next: []time.Time{}}
		for at := now(); len(job.Next) < upcomingRuns; {
			due, ok := j.Next(at)
			if !ok {
				break
			}
			at = due.At
			job.Next = append(job.Next, due.At.In(j.TimeZone.Location))
		}
		v.Jobs = append(v.Jobs, job)
	}
	return v
}

func writeCheck(w io.Writer, v checkView) error {
	_, err := fmt.Fprintf(w, "%s: drops %d, issuers %d, products %d, sources %d, jobs %d\n\n",
		v.Config, v.Drops, v.Issuers, v.Products, v.Sources, len(v.Jobs))
	if err != nil {
		return err
	}
	t := newTable("job", "stage", "schedule", "time zone", "after", "next runs")
	for _, j := range v.Jobs {
		next := make([]string, len(j.Next))
		for i, at := range j.Next {
			next[i] = at.Format("01-02 15:04")
		}
		t.add(j.Name, j.Stage, orDash(j.Schedule), j.TimeZone, orDash(strings.Join(j.After, ",")), orDash(strings.Join(next, ", ")))
	}
	if err := t.write(w); err != nil || len(v.PGPKeys) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeKeys(w, v.PGPKeys)
}

func writeKeys(w io.Writer, keys []app.PGPKey) error {
	t := newTable("PGP key", "of", "use", "expires", "note")
	for _, k := range keys {
		expires := "never"
		if !k.Expires.IsZero() {
			expires = k.Expires.Format(time.DateOnly)
		}
		t.add(k.ID, k.Of, k.Use, expires, orDash(k.Problem))
	}
	return t.write(w)
}
