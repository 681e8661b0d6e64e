package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/issuance"
	"cardbatch/internal/store"

	"github.com/spf13/cobra"
)

// look opens the store for reading and lets a command look.
func (s *settings) look(cmd *cobra.Command, do func(*store.Store) error) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	st, err := app.OpenStore(cmd.Context(), cfg, true, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return do(st)
}

func newRuns(s *settings) *cobra.Command {
	var f issuance.RunFilter
	var date dateFlag
	cmd := &cobra.Command{
		Use:   "runs [ID]",
		Short: "show runs of jobs, newest first, or one run",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.BusinessDate = string(date)
			return s.look(cmd, func(st *store.Store) error {
				if len(args) == 1 {
					f = issuance.RunFilter{}
				}
				runs, err := st.Runs(cmd.Context(), f)
				if err != nil {
					return err
				}
				if len(args) == 1 {
					return s.oneRun(cmd.OutOrStdout(), runs, args[0])
				}
				return s.writeRuns(cmd.OutOrStdout(), runs)
			})
		},
	}
	cmd.Flags().StringVar(&f.Job, "job", "", "only runs of this `job`")
	cmd.Flags().Var(&date, "business-date", "only runs of this banking day")
	cmd.Flags().BoolVar(&f.Open, "open", false, "only runs that have not ended")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "at most this many; 0 for all")
	return cmd
}

func (s *settings) oneRun(w io.Writer, runs []issuance.Run, id string) error {
	for _, r := range runs {
		if fmt.Sprint(r.ID) != id {
			continue
		}
		if s.output == outputJSON {
			return writeJSON(w, viewRun(r))
		}
		return errors.Join(s.writeRuns(w, []issuance.Run{r}), writeSummary(w, r.Summary, true))
	}
	return errNothing("run", id)
}

func (s *settings) writeRuns(w io.Writer, runs []issuance.Run) error {
	if s.output == outputJSON {
		views := make([]runView, len(runs))
		for i, r := range runs {
			views[i] = viewRun(r)
		}
		return writeJSON(w, views)
	}
	t := newTable(">run", "job", "business date", "due", "trigger", "started", ">took", "outcome")
	for _, r := range runs {
		took, outcome := "-", "running"
		if !r.EndedAt.IsZero() {
			took, outcome = r.EndedAt.Sub(r.StartedAt).Round(time.Millisecond).String(), string(r.Outcome)
		}
		t.add(r.ID, r.Job, r.BusinessDate, orDash(r.DueWall), string(r.Trigger), r.StartedAt, took, outcome)
	}
	return t.write(w)
}

// writeSummary shows the counts of a run, one a line, and on demand its error.
func writeSummary(w io.Writer, summary string, withError bool) error {
	var s struct {
		Done  any    `json:"done"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(summary), &s); err != nil {
		return nil //nolint:nilerr // an old run may have none
	}
	var b strings.Builder
	switch done := s.Done.(type) {
	case []any:
		for _, item := range done {
			b.WriteString("\n")
			writeCounts(&b, item)
		}
	case map[string]any:
		b.WriteString("\n")
		writeCounts(&b, done)
	}
	if withError && s.Error != "" {
		b.WriteString("\nerror: " + printable(s.Error) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCounts(b *strings.Builder, counts any) {
	m, ok := counts.(map[string]any)
	if !ok {
		return
	}
	width := 0
	for key := range m {
		width = max(width, len(key))
	}
	for _, key := range sortedKeys(m) {
		value := fmt.Sprint(m[key])
		switch f, isNumber := m[key].(float64); {
		case isNumber && f == float64(int64(f)):
			value = thousands(int64(f))
		case isNumber:
			value = fmt.Sprintf("%.3f", f)
		}
		fmt.Fprintf(b, "  %-*s  %s\n", width, strings.ReplaceAll(key, "_", " "), printable(value))
	}
}
