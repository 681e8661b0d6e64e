package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
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
		Done  json.RawMessage `json:"done"`
		Error string          `json:"error"`
	}
	if err := json.Unmarshal([]byte(summary), &s); err != nil {
		return nil //nolint:nilerr // a run that was lost has none
	}
	all := []json.RawMessage{s.Done}
	if list := []json.RawMessage(nil); json.Unmarshal(s.Done, &list) == nil {
		all = list // one for each issuer
	}
	for _, counts := range all {
		t := newTable("", "")
		t.rows = pairs(counts)
		if len(t.rows) == 0 {
			continue
		}
		if err := errors.Join(line(w), t.write(w)); err != nil {
			return err
		}
	}
	if withError && s.Error != "" {
		_, err := fmt.Fprintf(w, "\nerror: %s\n", printable(s.Error))
		return err
	}
	return nil
}

// pairs takes an object of JSON apart, in the order in which it is written.
func pairs(object json.RawMessage) [][]string {
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var rows [][]string
	var numbers []int
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return rows
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return rows
		}
		text := printable(fmt.Sprint(value))
		if n, ok := value.(json.Number); ok {
			numbers = append(numbers, len(rows))
			if whole, err := n.Int64(); err == nil {
				text = thousands(whole)
			} else if f, err := n.Float64(); err == nil {
				text = strconv.FormatFloat(f, 'f', 3, 64)
			}
		}
		rows = append(rows, []string{strings.ReplaceAll(fmt.Sprint(key), "_", " "), text})
	}
	width := 0
	for _, i := range numbers {
		width = max(width, len(rows[i][1]))
	}
	for _, i := range numbers { // numbers at the right of their own column, text at its left
		rows[i][1] = fmt.Sprintf("%*s", width, rows[i][1])
	}
	return rows
}
