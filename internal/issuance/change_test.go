package issuance_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

// Every pair of states of a change, legal or not.
func TestChangeTransitions(t *testing.T) {
	t.Parallel()
	legal := map[issuance.ChangeState]string{
		issuance.ChangeWaiting:    "submitting applied too_late refused unmatched held submitted done",
		issuance.ChangeSubmitting: "submitted refused unknown waiting held done too_late",
		issuance.ChangeUnknown:    "submitted waiting held done too_late refused",
		issuance.ChangeHeld:       "waiting unknown submitted done too_late refused",
		issuance.ChangeSubmitted:  "done too_late refused held",
		issuance.ChangeApplied:    "waiting held",
		issuance.ChangeTooLate:    "done",
		issuance.ChangeRefused:    "done",
	}
	at := time.Unix(1000, 0).UTC()
	for _, from := range issuance.ChangeStates() {
		for _, to := range issuance.ChangeStates() {
			c := issuance.Change{State: from, Ref: issuance.NewRef(3, 7), Reason: "before"}
			e, err := c.Transition(to, issuance.Why{At: at, Reason: "why"})
			if want := slices.Contains(strings.Fields(legal[from]), string(to)); want != (err == nil) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			switch {
			case err != nil && (c.State != from || c.Reason != "before"):
				t.Errorf("%s to %s failed and changed something", from, to)
			case err == nil && (c.State != to || e.From != string(from) || e.To != string(to) || e.Ref != c.Ref || e.Batch != 3):
				t.Errorf("%s to %s: event %+v", from, to, e)
			case err == nil && to.Final() != c.FinishedAt.Equal(at):
				t.Errorf("%s to %s: finished at %v", from, to, c.FinishedAt)
			}
		}
	}
}

func TestWhatFollowsForAChange(t *testing.T) {
	t.Parallel()
	order := func(s issuance.State, status issuance.ProductionStatus) *issuance.Order {
		o := &issuance.Order{State: s}
		o.Production.Status = status
		return o
	}
	for _, tc := range []struct {
		kind  issuance.ChangeType
		order *issuance.Order
		want  issuance.ChangeStep
	}{
		{issuance.Cancel, nil, issuance.StepWait},
		{issuance.Cancel, order(issuance.Ready, ""), issuance.StepApply},
		{issuance.Redirect, order(issuance.Held, ""), issuance.StepApply},
		{issuance.Cancel, order(issuance.Submitting, ""), issuance.StepWait},
		{issuance.Cancel, order(issuance.Unknown, ""), issuance.StepWait},
		{issuance.Cancel, order(issuance.Refused, ""), issuance.StepApply},
		{issuance.Redirect, order(issuance.Refused, ""), issuance.StepEnd},
		{issuance.Cancel, order(issuance.Cancelled, ""), issuance.StepEnd},
		{issuance.Cancel, order(issuance.Submitted, ""), issuance.StepSend},
		{issuance.Accelerate, order(issuance.Submitted, issuance.CardProdDone), issuance.StepSend}, // the center decides
		{issuance.Accelerate, order(issuance.Submitted, "SOMETHING_NEW"), issuance.StepSend},
		{issuance.Cancel, order(issuance.Submitted, issuance.CardShipped), issuance.StepEnd},
		{issuance.Cancel, order(issuance.Submitted, issuance.DataException), issuance.StepEnd},
	} {
		c := issuance.Change{Type: tc.kind, State: issuance.ChangeWaiting}
		step, code, reason := c.Next(tc.order, false)
		if step != tc.want || step == issuance.StepEnd && (code != issuance.TooLate || reason == "") {
			t.Errorf("%s of %+v: %s %s", tc.kind, tc.order, step, code)
		}
	}
	c := issuance.Change{Type: issuance.Redirect}
	if step, _, _ := c.Next(order(issuance.Submitted, ""), true); step != issuance.StepEnd {
		t.Error("a cancelled order is redirected")
	}
}

// What is said of a change comes to the same in any order, and as often as it likes.
func TestChangeHearsInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		said := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) issuance.Operation {
			op := issuance.Operation{OperationID: "up-1", Operation: issuance.OperationUpdateOrder,
				Status: rapid.SampledFrom([]string{issuance.OperationPending, issuance.OperationFailed, issuance.OperationSuccessful, "NEW"}).Draw(t, "status")}
			if op.Status == issuance.OperationFailed {
				op.ErrorCode = "STAGE_TOO_LATE"
			}
			return op
		}), 1, 6).Draw(t, "said")
		end := func(said []issuance.Operation) issuance.Change {
			c := issuance.Change{State: rapid.SampledFrom([]issuance.ChangeState{issuance.ChangeSubmitting, issuance.ChangeUnknown}).Draw(t, "from")}
			for _, op := range said {
				if _, err := c.Hear(op, issuance.Why{At: time.Unix(1, 0)}); err != nil {
					t.Fatal(err)
				}
			}
			return c
		}
		first := end(said)
		other := append(slices.Clone(said), said...)
		rand.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		if second := end(other); first.State != second.State || first.OperationID != second.OperationID {
			t.Fatalf("%s and %s", first.State, second.State)
		}
	})
}

func TestFailedChanges(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		op   issuance.Operation
		want issuance.ChangeState
		code issuance.Code
	}{
		"says so":        {issuance.Operation{ErrorCode: "STAGE_TOO_LATE"}, issuance.ChangeTooLate, "STAGE_TOO_LATE"},
		"says nothing":   {issuance.Operation{}, issuance.ChangeTooLate, issuance.TooLate},
		"met the stage":  {issuance.Operation{ErrorCode: "REJECTED", Production: issuance.CardProdDone}, issuance.ChangeTooLate, "REJECTED"},
		"another reason": {issuance.Operation{ErrorCode: "INVALID_ADDRESS", Production: issuance.CardProdReady, Reason: "zip"}, issuance.ChangeRefused, "INVALID_ADDRESS"},
	} {
		c := issuance.Change{State: issuance.ChangeSubmitted}
		tc.op.Status = issuance.OperationFailed
		events, err := c.Hear(tc.op, issuance.Why{})
		if err != nil || len(events) != 1 || c.State != tc.want || c.Code != tc.code || c.Reason != tc.op.Reason {
			t.Errorf("%s: %s %s %q, %v", name, c.State, c.Code, c.Reason, err)
		}
	}
}

func TestRepeatedChanges(t *testing.T) {
	t.Parallel()
	again := map[issuance.ChangeState]bool{issuance.ChangeTooLate: true, issuance.ChangeRefused: true, issuance.ChangeUnmatched: true}
	for _, s := range issuance.ChangeStates() {
		c := issuance.Change{State: s, ContentMAC: []byte("mac")}
		if c.RepeatsLast([]byte("mac")) == again[s] || c.RepeatsLast([]byte("other")) || c.RepeatsLast(nil) {
			t.Errorf("after %s", s)
		}
	}
}

func TestChangeTotals(t *testing.T) {
	t.Parallel()
	totals := issuance.ChangeTotals{Rows: 12}
	for _, s := range issuance.ChangeStates() {
		totals.Add(s, 1)
	}
	if !totals.Balanced() || totals.Open() != 4 || len(totals.Terms()) != 13 {
		t.Errorf("%v, %d open", totals.Breaks(), totals.Open())
	}
	totals.Add("elsewhere", 1)
	totals.Rows++
	if breaks := totals.Breaks(); len(breaks) != 1 || breaks[0].Left != 13 || breaks[0].Right != 12 {
		t.Errorf("%v", breaks)
	}
}
