package timeline_test

import (
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/timeline"
)

// What the bank has asked stands between the rest, in its time.
func TestChangesInALife(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 22, minute, 0, 0, time.UTC) }
	l := timeline.Life{Order: issuance.Order{State: issuance.Ready, Line: 7}, Batch: issuance.Batch{FileName: "cards-1.csv", ReceivedAt: at(0)},
		Events: []issuance.Event{{Kind: issuance.KindState, From: "ready", To: "ready", Why: issuance.Why{At: at(5), Reason: "REDIRECT in changes-1.csv line 2"}},
			{Kind: issuance.KindState, From: "ready", To: "submitting", Why: issuance.Why{At: at(9), Attempt: 1}}},
		Changes: []timeline.Asked{{Change: issuance.Change{Type: issuance.Cancel, Line: 3}, Batch: issuance.Batch{FileName: "changes-2.csv", ReceivedAt: at(7)}}}}
	for minute, to := range []issuance.ChangeState{issuance.ChangeSubmitting, issuance.ChangeUnknown, issuance.ChangeWaiting, issuance.ChangeSubmitted,
		issuance.ChangeHeld, issuance.ChangeApplied, issuance.ChangeDone, issuance.ChangeTooLate, issuance.ChangeRefused, issuance.ChangeUnmatched} {
		l.Changes[0].Events = append(l.Changes[0].Events, issuance.Event{To: string(to), Why: issuance.Why{At: at(20 + minute)}})
	}
	var got []string
	for _, e := range timeline.Tell(l).Entries {
		got = append(got, e.Text)
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{
		"received in cards-1.csv, line 7\nchanged as asked: REDIRECT in changes-1.csv line 2\nthe bank asked to cancel it: changes-2.csv, line 3\nsent to D1\n",
		"to cancel it: sent to D1\nto cancel it: no clear answer from D1, which will be asked\n", "to cancel it: too late\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "from  to") {
		t.Errorf("a state has no words:\n%s", text)
	}
}
