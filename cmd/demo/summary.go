package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

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
	Exceptions    int64 `json:"exceptions"`    // lines in the last exceptions file

	CancelledByBank int64   `json:"cancelled_by_bank"` // by a file of changes: before D1 had them, or there
	Redirected      int64   `json:"redirected"`        // the same of those sent elsewhere
	Changes         changes `json:"changes"`

	Notifications   int64 `json:"notifications"`           // operations that D1 had to tell of
	Lost            int64 `json:"lost_notifications"`      // never told
	Repeated        int64 `json:"repeated_notifications"`  // told twice
	Reordered       int64 `json:"reordered_notifications"` // told after the order's next one
	SettledByAsking int64 `json:"settled_by_asking"`       // orders of which nobody knew whether D1 has them
	FoundByAsking   int64 `json:"found_by_asking"`         // other orders that we had not heard the latest of
	LikeD1          int64 `json:"like_d1"`                 // orders that stand with us as in D1's own ledger

	Interrupted int64 `json:"interrupted"` // orders being sent when the daemon was killed
	Restarts    int   `json:"restarts"`

	Seconds map[string]float64 `json:"seconds"` // per stage of the night

	Differences []string `json:"differences"` // what does not agree, nothing on a good night

	refusals []refusal
}

// changes are the rows of the files of changes, and what became of them.
type changes struct {
	Files      int   `json:"files"`
	Rows       int64 `json:"rows"`
	Rejected   int64 `json:"rejected"`
	Duplicate  int64 `json:"duplicate"`
	Waiting    int64 `json:"waiting"`
	Submitting int64 `json:"submitting"`
	Unknown    int64 `json:"unknown"`
	Held       int64 `json:"held"`
	Submitted  int64 `json:"submitted"`
	Applied    int64 `json:"applied"` // by us, before D1 had the order
	Done       int64 `json:"done"`    // by the personalization center
	TooLate    int64 `json:"too_late"`
	Refused    int64 `json:"refused"`
	Unmatched  int64 `json:"unmatched"` // there is no such order

	FoundByAsking int64 `json:"found_by_asking"`
	LikeD1        int64 `json:"like_d1"`
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

func (s *summary) setChanges(t *issuance.ChangeTotals) {
	c := &s.Changes
	c.Rows = t.Rows
	for state, field := range map[issuance.ChangeState]*int64{
		issuance.ChangeRejected: &c.Rejected, issuance.ChangeDuplicate: &c.Duplicate, issuance.ChangeWaiting: &c.Waiting,
		issuance.ChangeSubmitting: &c.Submitting, issuance.ChangeUnknown: &c.Unknown, issuance.ChangeHeld: &c.Held,
		issuance.ChangeSubmitted: &c.Submitted, issuance.ChangeApplied: &c.Applied, issuance.ChangeDone: &c.Done,
		issuance.ChangeTooLate: &c.TooLate, issuance.ChangeRefused: &c.Refused, issuance.ChangeUnmatched: &c.Unmatched,
	} {
		*field = t.State(state)
	}
	for _, b := range t.Breaks() {
		s.differ("changes: %s", b)
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
	if s.LikeD1 != s.Submitted {
		s.differ("%d of %d orders stand with us as at D1", s.LikeD1, s.Submitted)
	}
	if taken := s.Changes.Rows - s.Changes.Rejected - s.Changes.Duplicate; s.Changes.LikeD1 != taken {
		s.differ("%d of %d changes came out as D1 says", s.Changes.LikeD1, taken)
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
	t := &table{}
	t.title("The night of %d orders, seed %d", s.Orders, s.Seed)
	t.line(0, "order files", int64(s.FilesDropped), "dropped by core banking")
	t.line(1, "accepted", int64(s.FilesAccepted), "")
	t.line(1, "refused", int64(s.FilesRefused), "to the quarantine, with a receipt")
	for _, r := range s.refusals {
		t.add(fmt.Sprintf("%12s%-28s  %s", "", r.file, r.code))
	}
	s.writeOrders(t)
	s.writeChanges(t)
	s.writeNews(t)
	t.title("Compared")
	t.line(0, "taken by D1", s.ProducedAtD1, "by its own ledger")
	t.line(0, "made twice", s.ProducedTwice, "")
	t.line(0, "orders agree", s.LikeD1, "they stand with us as they do at D1")
	t.line(0, "changes agree", s.Changes.LikeD1, "they came out as D1 says")
	t.line(0, "exceptions", s.Exceptions, "failed cards, late changes: for people to see")
	t.line(0, "report files", int64(s.ReportFiles), fmt.Sprintf("with %d orders and %d changes reconciled", s.ReportedRows, s.Changes.Rows))
	verdict := "It balances: every row is accounted for, no card was made twice, and what we\nsay of every order and every change is what D1 says."
	if s.exitCode() != 0 {
		verdict = "IT DOES NOT BALANCE:\n  " + strings.Join(s.Differences, "\n  ")
	}
	_, err := fmt.Fprintf(w, "%s\n%s\n%s\n\nOrder files, reports and state are in\n%s\n", t.text.String(), verdict, s.times(), s.Out)
	return err
}

// table is the summary for people: a number, what it counts, and a remark.
type table struct{ text strings.Builder }

func (t *table) add(line string) { t.text.WriteString(strings.TrimRight(line, " ") + "\n") }

func (t *table) title(format string, args ...any) { t.add("\n" + fmt.Sprintf(format, args...) + "\n") }

func (t *table) line(indent int, name string, n int64, note string) {
	t.add(fmt.Sprintf("%8d  %-20s%s", n, strings.Repeat("  ", indent)+name, note))
}

// rare is a line for what a night need not have.
func (t *table) rare(indent int, name string, n int64, note string) {
	if n != 0 {
		t.line(indent, name, n, note)
	}
}

func (s *summary) writeOrders(t *table) {
	t.title("Orders")
	t.line(0, "rows", s.Rows, "in the accepted files")
	t.line(1, "rejected", s.Rejected, "row and reason in the receipt")
	t.line(1, "duplicate", s.Duplicate, "repeats, not sent")
	t.rare(1, "cancelled", s.Cancelled, "on request, before D1 had them")
	t.rare(1, "held", s.Held, "")
	t.rare(1, "ready", s.Ready, "")
	t.rare(1, "submitting", s.Submitting, "")
	t.rare(1, "unknown", s.Unknown, "")
	t.rare(1, "refused", s.Refused, "")
	t.line(1, "submitted", s.Submitted, "D1 has them")
	t.rare(2, "awaiting", s.Awaiting, "")
	t.rare(2, "in production", s.InProduction, "")
	t.rare(2, "on hold", s.OnHold, "")
	t.line(2, "shipped", s.Shipped, "")
	t.rare(2, "produced", s.Produced, "made and, as ordered, not shipped")
	t.rare(2, "canceled", s.Canceled, "on request, by the center")
	t.line(2, "failed", s.Failed, "data exceptions at D1")
}

func (s *summary) writeChanges(t *table) {
	c := &s.Changes
	t.title("Changes of orders")
	t.line(0, "rows", c.Rows, "in a cancel file and a redirect file")
	t.rare(1, "rejected", c.Rejected, "row and reason in the receipt")
	t.rare(1, "duplicate", c.Duplicate, "repeats, not made")
	t.rare(1, "waiting", c.Waiting, "")
	t.rare(1, "submitting", c.Submitting, "")
	t.rare(1, "unknown", c.Unknown, "")
	t.rare(1, "held", c.Held, "")
	t.rare(1, "submitted", c.Submitted, "")
	t.line(1, "applied", c.Applied, "by us, before D1 had the order")
	t.line(1, "done", c.Done, "by the personalization center")
	t.line(1, "too late", c.TooLate, "the card was made already")
	t.rare(1, "refused", c.Refused, "")
	t.rare(1, "unmatched", c.Unmatched, "nobody ever gave such an order")
}

func (s *summary) writeNews(t *table) {
	t.title("What D1 had to say")
	t.line(0, "notifications", s.Notifications, "of production, shipment and changes")
	t.line(1, "lost", s.Lost, "on the way, on purpose")
	t.line(1, "repeated", s.Repeated, "")
	t.line(1, "overtaken", s.Reordered, "by later ones of the same order")
	t.line(0, "learned by asking", s.FoundByAsking+s.Changes.FoundByAsking, "of orders and changes whose news was lost")
	t.line(0, "settled by asking", s.SettledByAsking, fmt.Sprintf("%d were in flight when the daemon was killed", s.Interrupted))
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
