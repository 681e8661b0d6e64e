package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/issuance"
)

// takeChanges adds an accepted file with the given changes.
func (n *night) takeChanges(name string, changes ...issuance.Change) issuance.BatchNo {
	n.t.Helper()
	no := n.take(name, issuance.BatchAccepted, issuance.Why{})
	b := &n.store.batches[no-1]
	b.Kind, b.Rows, b.Control.Rows = issuance.BatchChanges, int64(len(changes)), int64(len(changes))
	for i := range changes {
		changes[i].Ref, changes[i].Line, changes[i].IssuerID = issuance.NewRef(no, int64(i+1)), int64(i+2), bank
	}
	n.store.changes[no] = changes
	return no
}

// someChanges has one in every state that a settled file may show.
func someChanges() []issuance.Change {
	at := time.Date(2026, 3, 1, 22, 40, 0, 0, time.UTC)
	sent := func(id string, kind issuance.ChangeType, to issuance.ChangeState) issuance.Change {
		c := issuance.Change{OrderID: id, Type: kind, State: to, Attempts: 1, OperationID: "up-" + id, SubmittedAt: at}
		if to != issuance.ChangeSubmitted {
			c.FinishedAt = at.Add(time.Minute)
		}
		return c
	}
	changes := []issuance.Change{
		{OrderID: "ORD-0008", Type: issuance.Cancel, State: issuance.ChangeApplied, Reason: "made before the order was sent", FinishedAt: at},
		sent("ORD-0001", issuance.Redirect, issuance.ChangeDone),
		sent("ORD-0002", issuance.Accelerate, issuance.ChangeSubmitted),
		sent("ORD-0002", issuance.Cancel, issuance.ChangeTooLate),
		sent("ORD-0003", issuance.Redirect, issuance.ChangeRefused),
		{OrderID: "ORD-0099", Type: issuance.Cancel, State: issuance.ChangeUnmatched, Code: issuance.OrderNotFound,
			Reason: "no order of this order_id has come in time", FinishedAt: at.Add(time.Hour)},
		{OrderID: "-ORD-0007", Type: issuance.AccelerateAndRedirect, State: issuance.ChangeTooLate, Code: issuance.TooLate, Reason: "the order is finished: CARD_SHIPPED"},
		{OrderID: "ORD-0005", Type: issuance.Redirect, State: issuance.ChangeTooLate, Code: issuance.TooLate, Reason: "D1 refused the order"},
		{OrderID: "ORD-0004", Type: "STOP", State: issuance.ChangeRejected, Code: issuance.ValueNotAllowed},
		{OrderID: "ORD-0008", Type: issuance.Cancel, State: issuance.ChangeDuplicate, Code: issuance.ChangeRepeated,
			Reason: "identical repeat of changes-20260301-0001.csv line 2"},
	}
	changes[3].Code, changes[3].Reason = "STAGE_TOO_LATE", "the card is too far in production"
	changes[4].Code, changes[4].Reason = "INVALID_ADDRESS", "=zipCode"
	return changes
}

func TestReportsOfChanges(t *testing.T) {
	n := newNight(t)
	no := n.takeChanges("changes-1.csv", someChanges()...)
	n.reject(no, 9, "change", issuance.ValueNotAllowed, "must be another", "STOP")
	n.decide(no, issuance.BatchSettled)
	n.run()
	rows := n.rows("reports/changes-1.reconciliation.csv")
	var got []string
	for _, row := range rows {
		got = append(got, strings.Join([]string{row["line"], row["order_id"], row["change"], row["disposition"], row["code"], row["operation_id"]}, " "))
	}
	want := []string{"2 ORD-0008 CANCEL applied  ", "3 ORD-0001 REDIRECT done  up-ORD-0001", "4 ORD-0002 ACCELERATE submitted  up-ORD-0002"}
	if diff := cmp.Diff(want, got[:3]); diff != "" || len(got) != 10 {
		t.Error(diff)
	}
	if rows[4]["reason"] != "'=zipCode" {
		t.Errorf("a spreadsheet may calculate %q", rows[4]["reason"])
	}
	c := n.control("reports/changes-1.reconciliation.csv")
	if c.Kind != kindChanges || !c.Balanced || c.Rows != 10 || len(c.Totals) != 13 {
		t.Errorf("%+v", c)
	}
	receipt := n.rows("reports/changes-1.receipt.csv")
	if i := slices.IndexFunc(receipt, func(r map[string]string) bool { return r["field"] == "accepted" }); i < 0 || receipt[i]["value"] != "8" {
		t.Errorf("%+v", receipt)
	}
	last := receipt[len(receipt)-2:]
	if last[0]["line"] != "10" || last[0]["order_id"] != "ORD-0004" || last[1]["line"] != "11" || last[1]["code"] != string(issuance.ChangeRepeated) {
		t.Errorf("%+v", last)
	}
	// A row that is lost must not go unnoticed.
	n.store.changes[no] = slices.Delete(n.store.changes[no], 3, 4)
	n.pass(48 * time.Hour)
	n.store.transition(no, issuance.BatchClosed, issuance.Why{At: n.now})
	n.run()
	if c := n.control("reports/changes-1.reconciliation.r2.csv"); c.Balanced || len(c.Breaks) < 2 {
		t.Errorf("%+v", c)
	}
}

func TestRefusedFileOfChanges(t *testing.T) {
	n := newNight(t)
	n.takeChanges("changes-1.csv")
	b := &n.store.batches[0]
	b.State, b.Code, b.Rows = issuance.BatchRefused, issuance.HeaderInvalid, 3
	n.run(receiptKind)
	if c := n.control("reports/changes-1.receipt.csv"); c.Verdict != "refused" || !c.Balanced {
		t.Errorf("%+v", c)
	}
}
