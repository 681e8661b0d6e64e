package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/samples"

	"github.com/spf13/cobra"
)

// verdictView is the verdict on a file as JSON.
type verdictView struct {
	app.Verdict
	Errors []rowErrorView `json:"errors"`
}

type rowErrorView struct {
	Line   int64  `json:"line"`
	Row    int64  `json:"row"`
	Column string `json:"column,omitempty"`
	Code   string `json:"code"`
	Text   string `json:"text"`
	Value  string `json:"value,omitempty"`
}

func newValidate(s *settings) *cobra.Command {
	var source string
	var changes bool
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "check order files, or files of changes, offline, exactly as intake would",
		Long: `validate lets intake look at order files of this machine, each with its control
file if that lies beside it, and shows what it would reject and why. Nothing is
moved, stored or sent; earlier files are not looked at. Values of sensitive
columns are never shown.

With --source, a file is read in the format of that source of the configuration;
without it, in the format of the contract in schemas/; files of changes of orders
with --changes.

Without a configuration, the products of the sample configuration are the rules.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			rules, err := s.rules(cmd, source)
			if err != nil {
				return err
			}
			if changes && source != "" && !rules.Changes {
				return exitcode.Mark(fmt.Errorf("validate: source %s is not of changes", source), exitcode.Usage, "")
			}
			rules.Changes = rules.Changes || changes
			clean := true
			views := []verdictView{}
			var unread []error
			for _, file := range files {
				v, err := app.CheckFile(cmd.Context(), file, rules)
				if cmd.Context().Err() != nil {
					return err
				}
				if err != nil {
					unread = append(unread, fmt.Errorf("validate %s: %w", file, err))
					continue
				}
				clean = clean && v.Clean()
				views = append(views, viewVerdict(v))
			}
			if s.output == outputJSON {
				err = writeJSON(cmd.OutOrStdout(), views)
			} else {
				err = writeVerdicts(cmd.OutOrStdout(), views)
			}
			if err = errors.Join(append(unread, err)...); err == nil && !clean {
				err = exitcode.Mark(errRejects, exitcode.Rejected, "schemas/reject-codes.v1.json explains the codes")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&changes, "changes", false, "they are files of changes: cancel, accelerate, redirect")
	cmd.Flags().StringVar(&source, "source", "", "apply the format and the rules of this `source` of the configuration: compression, charset, columns, issuer, environment, policy")
	return cmd
}

var errRejects = errors.New("validate: some rows or files would be rejected")

// rules returns what to check against: those of a source, those of the
// configuration or, where there is none, those of the sample.
func (s *settings) rules(cmd *cobra.Command, source string) (app.Rules, error) {
	cfg, err := s.load()
	if errors.Is(err, os.ErrNotExist) && !cmd.Flags().Changed("config") && os.Getenv("CARDBATCH_CONFIG") == "" && source == "" {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "note: no configuration at %s; using the products of the built-in sample\n", s.config)
		cfg, err = config.LoadFS(samples.Config, samples.ConfigPath)
		if err != nil {
			return app.Rules{}, err
		}
		return app.Rules{Products: cfg.IssuanceProducts(), Now: now}, nil
	}
	if err != nil {
		return app.Rules{}, err
	}
	return app.RulesOf(cfg, source, now)
}

func viewVerdict(v app.Verdict) verdictView {
	view := verdictView{Verdict: v, Errors: []rowErrorView{}}
	for _, e := range v.Errors {
		view.Errors = append(view.Errors, rowErrorView{Line: e.Line, Row: e.Ref.Row(), Column: e.Column,
			Code: string(e.Code), Text: e.Text, Value: e.Masked})
	}
	return view
}

func writeVerdicts(w io.Writer, views []verdictView) error {
	if len(views) == 0 {
		return nil
	}
	for _, v := range views {
		if len(v.Errors) > 0 {
			if len(views) > 1 { // line 3 of which file?
				if _, err := fmt.Fprintf(w, "%s\n", printable(v.File)); err != nil {
					return err
				}
			}
			t := newTable(">line", "column", "code", "value", "text")
			for _, e := range v.Errors {
				t.add(e.Line, orDash(e.Column), e.Code, orDash(e.Value), e.Text)
			}
			if err := t.write(w); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
	}
	t := newTable("file", "verdict", ">rows", ">good", ">rejected", ">duplicate", "control file", "why")
	var sum issuance.Totals
	var good, rejected, duplicate int64
	for _, v := range views {
		verdict, control := "accepted", "none"
		if !v.Accepted {
			verdict = "refused"
		}
		if v.Control {
			control = "agrees"
			if !v.Accepted {
				control = "present"
			}
		}
		why := string(v.Code)
		if v.Reason != "" {
			why += ": " + v.Reason
		}
		t.add(v.File, verdict, v.Rows, v.Good, v.Rejected, v.Duplicate, control, orDash(why))
		sum.Rows += v.Rows
		good, rejected, duplicate = good+v.Good, rejected+v.Rejected, duplicate+v.Duplicate
	}
	if len(views) > 1 {
		t.totals = texts([]any{"", "", sum.Rows, good, rejected, duplicate, "", ""})
	}
	return t.write(w)
}
