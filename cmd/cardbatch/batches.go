package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/store"

	"github.com/spf13/cobra"
)

// batchView is a batch as JSON.
type batchView struct {
	ID           string            `json:"id"`
	Kind         string            `json:"kind"` // orders or changes
	State        string            `json:"state"`
	Source       string            `json:"source"`
	IssuerID     string            `json:"issuer_id"`
	File         string            `json:"file"`
	BusinessDate string            `json:"business_date"`
	ReceivedAt   time.Time         `json:"received_at"`
	Size         int64             `json:"size"`
	SHA256       string            `json:"sha256,omitempty"`
	Code         string            `json:"code,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Archived     string            `json:"archived,omitempty"`
	SetAside     bool              `json:"set_aside,omitempty"` // loading goes wrong; Reason says why
	Totals       map[string]int64  `json:"totals"`
	Balanced     bool              `json:"balanced"`
	Control      *issuance.Control `json:"control,omitempty"`

	Forecast *forecastView `json:"forecast,omitempty"` // of its ready orders

	totals  issuance.Totals
	changes issuance.ChangeTotals
}

// forecastView is a forecast as JSON.
type forecastView struct {
	Ready     int64      `json:"ready"`
	PerSecond float64    `json:"per_second"` // orders of the issuer
	Observed  bool       `json:"observed"`   // or else agreed
	DoneAt    *time.Time `json:"done_at,omitempty"`
	ClosesAt  *time.Time `json:"closes_at,omitempty"` // when the hours for sending end
	Left      int64      `json:"left_at_close"`
}

func viewForecast(f app.Forecast) *forecastView {
	v := &forecastView{Ready: f.Ready, PerSecond: f.PerSecond, Observed: f.Observed, Left: f.Left}
	for to, at := range map[**time.Time]time.Time{&v.DoneAt: f.Done, &v.ClosesAt: f.Closes} {
		if !at.IsZero() {
			*to = &at
		}
	}
	return v
}

// String says it to an operator.
func (v *forecastView) String() string {
	pace := "agreed"
	if v.Observed {
		pace = "seen lately"
	}
	text := fmt.Sprintf("%s ready, at %.1f orders a second (%s) ", thousands(v.Ready), v.PerSecond, pace)
	switch {
	case v.DoneAt == nil:
		return text + "not sent within a month"
	case v.Left > 0 && v.ClosesAt != nil:
		return text + fmt.Sprintf("NOT FINISHED by %s, when the hours for sending end: %s are left then, sent by %s",
			clock(*v.ClosesAt), thousands(v.Left), clock(*v.DoneAt))
	}
	return text + "sent by " + clock(*v.DoneAt)
}

func viewBatch(ctx context.Context, st *store.Store, b issuance.Batch) (batchView, error) {
	totals, err := st.BatchTotals(ctx, b.No)
	if err != nil {
		return batchView{}, err
	}
	v := batchView{Kind: string(b.Kind), ID: b.ID, State: string(b.State), Source: b.Source, IssuerID: b.IssuerID, File: b.FileName,
		BusinessDate: b.BusinessDate, ReceivedAt: b.ReceivedAt, Size: b.Size, SHA256: b.SHA256, Code: string(b.Code),
		Reason: b.Reason, Archived: b.Archived, SetAside: b.SetAside, Control: b.Control, Totals: map[string]int64{}, Balanced: totals.Balanced(), totals: totals}
	if b.Kind == issuance.BatchChanges {
		if v.changes, err = st.ChangeTotals(ctx, b.No); err != nil {
			return batchView{}, err
		}
		v.Balanced = v.changes.Balanced()
	}
	for _, term := range v.terms() {
		v.Totals[term.Name] = term.Count
	}
	return v, nil
}

// terms is the control equation of the batch, whatever its rows are.
func (v *batchView) terms() []issuance.Term {
	if v.Kind == string(issuance.BatchChanges) {
		return v.changes.Terms()
	}
	return v.totals.Terms()
}

func newBatches(s *settings) *cobra.Command {
	var f issuance.BatchFilter
	var states []string
	var date dateFlag
	cmd := &cobra.Command{
		Use:   "batches [ID]",
		Short: "show order files and what became of their rows, newest first, or one in detail",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.BusinessDate = string(date)
			for _, state := range states {
				if !issuance.BatchState(state).Valid() {
					return exitcode.Mark(fmt.Errorf("look at batches: there is no state %s", state), exitcode.Usage,
						"`cardbatch batches --help` lists the states")
				}
				f.States = append(f.States, issuance.BatchState(state))
			}
			return s.look(cmd, func(st *store.Store) error {
				if len(args) == 1 {
					return s.oneBatch(cmd, st, args[0])
				}
				batches, err := st.Batches(cmd.Context(), f)
				if err != nil {
					return err
				}
				forecasts, err := s.forecasts(cmd.Context(), st)
				if err != nil {
					return err
				}
				views := make([]batchView, len(batches))
				for i, b := range batches {
					if views[i], err = viewBatch(cmd.Context(), st, b); err != nil {
						return err
					}
					if f, ok := forecasts[b.No]; ok {
						views[i].Forecast = viewForecast(f)
					}
				}
				if s.output == outputJSON {
					return writeJSON(cmd.OutOrStdout(), views)
				}
				return errors.Join(writeBatches(cmd.OutOrStdout(), views), writeForecasts(cmd.OutOrStdout(), views))
			})
		},
	}
	cmd.Flags().StringVar(&f.IssuerID, "issuer", "", "only of this `issuer`")
	cmd.Flags().StringVar(&f.Source, "source", "", "only of this `source`")
	cmd.Flags().StringSliceVar(&states, "state", nil, "only in these `states`: loading, accepted, held, refused, settled, closed")
	cmd.Flags().Var(&date, "business-date", "only of this banking day")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "at most this many; 0 for all, in order of arrival")
	return cmd
}

func writeBatches(w io.Writer, views []batchView) error {
	t := newTable("batch", "file", "date", "state", ">rows", ">rejected", ">duplicate", ">open", ">refused", ">submitted", ">shipped", ">failed", "balance")
	var sum issuance.Totals
	for _, v := range views {
		balance := "ok"
		if !v.Balanced {
			balance = "BROKEN"
		}
		if v.Code != "" && v.State == string(issuance.BatchRefused) {
			balance = v.Code
		}
		t.add(append(append([]any{v.ID, v.File, orDash(v.BusinessDate), v.State}, v.counts()...), balance)...)
		sum.Merge(v.totals)
	}
	if len(views) > 1 {
		t.totals = texts(append(append([]any{"", "", "", ""}, counts(&sum)...), ""))
	}
	return t.write(w)
}

// counts are the cells of the batch's row. Of a change, submitted means that D1
// has it, and refused that it comes to nothing.
func (v *batchView) counts() []any {
	if v.Kind != string(issuance.BatchChanges) {
		return counts(&v.totals)
	}
	c := &v.changes
	return []any{c.Rows, c.State(issuance.ChangeRejected), c.State(issuance.ChangeDuplicate), c.Open(),
		c.State(issuance.ChangeRefused) + c.State(issuance.ChangeTooLate) + c.State(issuance.ChangeUnmatched),
		c.State(issuance.ChangeSubmitted) + c.State(issuance.ChangeDone), "-", "-"}
}

// writeForecasts says when the batches that wait will have been sent.
func writeForecasts(w io.Writer, views []batchView) error {
	t := newTable("batch", "forecast")
	for _, v := range views {
		if v.Forecast != nil {
			t.add(v.ID, v.Forecast.String())
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	return errors.Join(line(w), t.write(w))
}

// forecasts are those of all batches, by their numbers.
func (s *settings) forecasts(ctx context.Context, st *store.Store) (map[issuance.BatchNo]app.Forecast, error) {
	cfg, err := s.load()
	if err != nil {
		return nil, err
	}
	return app.Forecasts(ctx, cfg, st, now())
}

func counts(t *issuance.Totals) []any {
	return []any{t.Rows, t.State(issuance.Rejected), t.State(issuance.Duplicate), t.Open(), t.State(issuance.Refused),
		t.State(issuance.Submitted), t.Phase(issuance.Shipped), t.Phase(issuance.Failed) + t.Phase(issuance.Canceled)}
}

func (s *settings) oneBatch(cmd *cobra.Command, st *store.Store, id string) error {
	ctx, w := cmd.Context(), cmd.OutOrStdout()
	b, err := st.Batch(ctx, id)
	if errors.Is(err, issuance.ErrNotFound) {
		return errNothing("batch", id)
	}
	if err != nil {
		return err
	}
	v, err := viewBatch(ctx, st, b)
	if err != nil {
		return err
	}
	forecasts, err := s.forecasts(ctx, st)
	if err != nil {
		return err
	}
	if f, ok := forecasts[b.No]; ok {
		v.Forecast = viewForecast(f)
	}
	events, err := st.BatchEvents(ctx, b.No)
	if err != nil {
		return err
	}
	if s.output == outputJSON {
		return writeJSON(w, struct {
			batchView
			History []eventView `json:"history"`
		}{v, viewEvents(events)})
	}
	state := v.State
	if v.SetAside {
		state += ", set aside until it can be read"
	}
	facts := newTable("", "")
	for _, f := range [][2]string{{"batch", v.ID}, {"rows are", v.Kind}, {"file", v.File}, {"source", v.Source}, {"issuer", v.IssuerID}, {"business date", orDash(v.BusinessDate)},
		{"state", state}, {"code", orDash(v.Code)}, {"reason", orDash(v.Reason)}, {"received", clock(v.ReceivedAt)},
		{"sha256", orDash(v.SHA256)}, {"archived", orDash(v.Archived)}} {
		facts.add(f[0], f[1])
	}
	if v.Forecast != nil {
		facts.add("forecast", v.Forecast.String())
	}
	equation := newTable("control equation", ">count")
	for _, term := range v.terms() {
		name := term.Name
		if slices.Contains(issuance.Phases(), issuance.Phase(name)) {
			name = "  " + name // a part of submitted
		}
		equation.add(name, term.Count)
	}
	return errors.Join(facts.write(w), line(w), equation.write(w), line(w), writeEvents(w, events))
}

func line(w io.Writer) error {
	_, err := fmt.Fprintln(w)
	return err
}
