package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"cardbatch/internal/issuance"
)

// summary is what the night came to, seen from three sides: our store, D1's
// own ledger, and the files the back office reads.
type summary struct {
	Orders int    `json:"orders"` // asked for
	Seed   uint64 `json:"seed"`
	Out    string `json:"out"`

	FilesDropped  int `json:"files_dropped"`
	FilesAccepted int `json:"files_accepted"`
	FilesRefused  int `json:"files_refused"`

	Rows         int64 `json:"rows"` // of the accepted files
	Rejected     int64 `json:"rejected"`
	Duplicate    int64 `json:"duplicate"`
	Cancelled    int64 `json:"cancelled"`
	Held         int64 `json:"held"`
	Ready        int64 `json:"ready"`
	Submitting   int64 `json:"submitting"`
	Unknown      int64 `json:"unknown"`
	Refused      int64 `json:"refused"`
	Submitted    int64 `json:"submitted"`
	Awaiting     int64 `json:"awaiting"`
	InProduction int64 `json:"in_production"`
	OnHold       int64 `json:"on_hold"`
	Failed       int64 `json:"failed"`
	Canceled     int64 `json:"canceled"`
	Produced     int64 `json:"produced"` // made and, as ordered, not shipped
	Shipped      int64 `json:"shipped"`
	Balanced     bool  `json:"balanced"`

	ProducedAtD1  int64 `json:"produced_at_d1"` // orders D1 took for production
	ProducedTwice int64 `json:"produced_twice"`
	ReportFiles   int   `json:"report_files"`
	ReportedRows  int64 `json:"reported_rows"` // lines in the reconciliation files

	Interrupted int64 `json:"interrupted"` // orders being sent when the daemon was killed
	Restarts    int   `json:"restarts"`

	Seconds map[string]float64 `json:"seconds"` // per stage of the night

	Differences []string `json:"differences"` // what does not agree, nothing on a good night

	refusals []refusal
}

// refusal is a file that was not taken, and why.
type refusal struct{ file, code, reason string }

func (s *summary) setTotals(t *issuance.Totals) {
	s.Rows = t.Rows
	for state, field := range map[issuance.State]*int64{
		issuance.Rejected: &s.Rejected, issuance.Duplicate: &s.Duplicate, issuance.Cancelled: &s.Cancelled,
		issuance.Held: &s.Held, issuance.Ready: &s.Ready, issuance.Submitting: &s.Submitting,
		issuance.Unknown: &s.Unknown, issuance.Refused: &s.Refused, issuance.Submitted: &s.Submitted,
	} {
		*field = t.State(state)
	}
	for phase, field := range map[issuance.Phase]*int64{
		issuance.Awaiting: &s.Awaiting, issuance.InProduction: &s.InProduction, issuance.OnHold: &s.OnHold, issuance.Produced: &s.Produced,
		issuance.Failed: &s.Failed, issuance.Canceled: &s.Canceled, issuance.Shipped: &s.Shipped,
	} {
		*field = t.Phase(phase)
	}
	for _, b := range t.Breaks() {
		s.differ("%s", b)
	}
}

func (s *summary) differ(format string, args ...any) {
	s.Differences = append(s.Differences, fmt.Sprintf(format, args...))
}

// conclude compares the sides and decides whether the night balances.
func (s *summary) conclude() {
	if s.ProducedAtD1 != s.Submitted {
		s.differ("D1 has %d orders, we say it has %d", s.ProducedAtD1, s.Submitted)
	}
	if s.ReportedRows != s.Rows {
		s.differ("the reconciliation files have %d lines, the order files had %d rows", s.ReportedRows, s.Rows)
	}
	s.Balanced = len(s.Differences) == 0
}

// exitCode is 0 only for a night that balances without a card made twice.
func (s *summary) exitCode() int {
	switch {
	case s.ProducedTwice > 0:
		return 1
	case !s.Balanced:
		return 5
	default:
		return 0
	}
}

func (s *summary) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

func (s *summary) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(indent int, name string, n int64, note string) {
		_, _ = fmt.Fprintf(t, "%d\t  %s\n", n, strings.TrimRight(strings.Repeat("  ", indent)+fmt.Sprintf("%-16s", name)+note, " "))
	}
	_, _ = fmt.Fprintf(t, "\nThe night of %d orders, seed %d\n\n", s.Orders, s.Seed)
	line(0, "files dropped", int64(s.FilesDropped), "")
	line(1, "accepted", int64(s.FilesAccepted), "")
	line(1, "refused", int64(s.FilesRefused), "to the quarantine, with a receipt")
	for _, r := range s.refusals {
		_, _ = fmt.Fprintf(t, "\t      %-28s %s\n", r.file, r.code)
	}
	_, _ = fmt.Fprintln(t)
	line(0, "rows", s.Rows, "in the accepted files")
	line(1, "rejected", s.Rejected, "row and reason in the receipt")
	line(1, "duplicate", s.Duplicate, "repeats, not sent")
	s.optional(line)
	line(1, "submitted", s.Submitted, "D1 has them")
	line(2, "shipped", s.Shipped, "")
	line(2, "failed", s.Failed, "data exceptions at D1")
	_, _ = fmt.Fprintln(t)
	line(0, "produced at D1", s.ProducedAtD1, "by D1's own ledger")
	line(0, "produced twice", s.ProducedTwice, fmt.Sprintf("with %d in flight when the daemon was killed", s.Interrupted))
	line(0, "report files", int64(s.ReportFiles), fmt.Sprintf("with %d reconciled rows", s.ReportedRows))
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "It balances: every row is accounted for, no card was made twice."
	if s.exitCode() != 0 {
		verdict = "IT DOES NOT BALANCE:\n  " + strings.Join(s.Differences, "\n  ")
	}
	_, err := fmt.Fprintf(w, "\n%s\n%s\n\nOrder files, reports and state are in\n%s\n", verdict, s.times(), s.Out)
	return err
}

// optional shows the terms that are zero on a good night only when they are not.
func (s *summary) optional(line func(int, string, int64, string)) {
	for _, term := range []struct {
		name string
		n    int64
	}{
		{"cancelled", s.Cancelled}, {"held", s.Held}, {"ready", s.Ready}, {"submitting", s.Submitting},
		{"unknown", s.Unknown}, {"refused", s.Refused}, {"awaiting", s.Awaiting},
		{"in production", s.InProduction}, {"on hold", s.OnHold}, {"produced", s.Produced}, {"canceled", s.Canceled},
	} {
		if term.n != 0 {
			line(1, term.name, term.n, "")
		}
	}
}

// stages of the night, in its order.
var stages = []string{"taken", "submitted", "produced", "reported"}

func (s *summary) times() string {
	parts := make([]string, 0, len(stages)+1)
	for _, stage := range append(slices.Clone(stages), "total") {
		parts = append(parts, fmt.Sprintf("%s %.1f", stage, s.Seconds[stage]))
	}
	return "Seconds: " + strings.Join(parts, ", ") + "."
}
