package timeline_test

import (
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/timeline"

	"github.com/google/go-cmp/cmp"
)

var night = time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)

func after(minutes int) time.Time { return night.Add(time.Duration(minutes) * time.Minute) }

// shipped is an order that was sent twice, because its first answer was lost,
// and whose notification of personalization was lost.
func shipped(t *testing.T) timeline.Life {
	t.Helper()
	var lastEvent int64
	l := timeline.Life{
		Batch: issuance.Batch{No: 7, FileName: "cards.csv", ReceivedAt: night, State: issuance.BatchLoading},
		Order: issuance.Order{Ref: issuance.NewRef(7, 2), Line: 3, IssuerID: "DEMO_BANK1", OrderID: "o-1", State: issuance.Ready},
	}
	e, err := l.Batch.Transition(issuance.BatchAccepted, issuance.Why{At: after(1), Stage: "intake"})
	if err != nil {
		t.Fatal(err)
	}
	l.BatchEvents = append(l.BatchEvents, e)
	add := func(e issuance.Event) {
		lastEvent++
		e.ID = lastEvent
		l.Events = append(l.Events, e)
	}
	step := func(to issuance.State, why issuance.Why) {
		e, err := l.Order.Transition(to, why)
		if err != nil {
			t.Fatal(err)
		}
		add(e)
	}
	step(issuance.Submitting, issuance.Why{At: after(2), Stage: "submit", Attempt: 1})
	step(issuance.Unknown, issuance.Why{At: after(3), Stage: "submit", Code: "TRANSPORT", Reason: "no answer"})
	step(issuance.Ready, issuance.Why{At: after(5), Stage: "track", Reason: "D1 does not have it"})
	step(issuance.Submitting, issuance.Why{At: after(6), Stage: "submit", Attempt: 2})
	step(issuance.Submitted, issuance.Why{At: after(7), Stage: "submit"})
	for _, heard := range []struct {
		op  issuance.Operation
		why issuance.Why
	}{
		{issuance.Operation{Production: issuance.CardProdRequested, StartTime: after(7)}, issuance.Why{At: after(8), Stage: "notification"}},
		{issuance.Operation{Production: issuance.CardShipped, EndTime: after(24 * 60),
			Shipment: issuance.Shipment{Carrier: "dhl", TrackingNumber: "T1", Status: "InTransit"}}, issuance.Why{At: after(48 * 60), Stage: "track"}},
		{issuance.Operation{Production: issuance.CardProdDone, EndTime: after(20 * 60)}, issuance.Why{At: after(49 * 60), Stage: "notification"}},
	} {
		events, err := l.Order.Hear(heard.op, heard.why)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			add(e)
		}
	}
	return l
}

// lines are entries as a person reads them.
func lines(s timeline.Story) []string {
	var all []string
	for _, e := range s.Entries {
		line := e.At.Format("02 15:04 ") + e.Text + " / " + e.Source
		if !e.Said.IsZero() {
			line += " of " + e.Said.Format("02 15:04")
		}
		all = append(all, line)
	}
	return all
}

func TestLifeOfAShippedOrder(t *testing.T) {
	l := shipped(t)
	l.Deliveries = []issuance.Delivery{
		{Kind: issuance.DeliverReceipt, Batch: 7, Name: "cards.receipt.csv", DeliveredAt: after(1)},
		{Kind: issuance.DeliverReconciliation, Batch: 8, Name: "other.reconciliation.csv", DeliveredAt: after(2)},
		{Kind: issuance.DeliverReconciliation, Batch: 7, Name: "owed.csv"},
		{Kind: issuance.DeliverStatus, IssuerID: "DEMO_BANK1", Name: "status-1.csv", UpToEvent: 5, DeliveredAt: after(600)},
		{Kind: issuance.DeliverStatus, IssuerID: "DEMO_BANK1", Name: "status-2.csv", AfterEvent: 5, UpToEvent: 6, DeliveredAt: after(601)},
		{Kind: issuance.DeliverStatus, IssuerID: "OTHER_BANK", Name: "status-3.csv", AfterEvent: 5, UpToEvent: 9, DeliveredAt: after(602)},
	}
	s := timeline.Tell(l)
	want := []string{
		"01 22:00 received in cards.csv, line 3 / cardbatch",
		"01 22:01 its file was checked and accepted / cardbatch",
		"01 22:01 reported to the back office in cards.receipt.csv / cardbatch",
		"01 22:02 sent to D1 / cardbatch",
		"01 22:03 no clear answer from D1, which will be asked: no answer (TRANSPORT) / cardbatch",
		"01 22:05 will be sent again: D1 does not have it / D1, when asked",
		"01 22:06 sent to D1 again, attempt 2 / cardbatch",
		"01 22:07 D1 has the order / cardbatch",
		"01 22:08 production was requested / D1's notification",
		"02 08:01 reported to the back office in status-2.csv / cardbatch",
		"03 22:00 handed to the carrier / D1, when asked of 02 22:00",
		"03 22:00 the carrier says: InTransit / D1, when asked of 02 22:00",
		"03 23:00 older news came late and changed nothing: personalized / D1's notification of 02 18:00",
	}
	if diff := cmp.Diff(want, lines(s)); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
	if want := "handed to the carrier; InTransit with dhl, tracking number T1"; s.Now != want {
		t.Errorf("now: %q, want %q", s.Now, want)
	}
}

func TestWhatWasNeverSent(t *testing.T) {
	b := issuance.Batch{No: 7, FileName: "cards.csv", ReceivedAt: night}
	accepted := []issuance.Event{{Kind: issuance.KindBatch, From: "loading", To: "accepted", Why: issuance.Why{At: after(1)}}}
	for state, want := range map[issuance.State]string{
		issuance.Rejected:  "rejected, nothing was ordered: two mistakes (PAN_INVALID)",
		issuance.Duplicate: "a repeat of an earlier order, nothing was ordered for it: two mistakes (PAN_INVALID)",
	} {
		s := timeline.Tell(timeline.Life{Batch: b, BatchEvents: accepted,
			Order: issuance.Order{Line: 9, State: state, Code: issuance.PANInvalid, Reason: "two mistakes"}})
		if s.Now != want {
			t.Errorf("%s: %q, want %q", state, s.Now, want)
		}
		if len(s.Entries) != 1 || !strings.Contains(s.Entries[0].Text, "nothing was ordered") {
			t.Errorf("%s: %q; the fate of its file is not its own", state, lines(s))
		}
	}
}

// Every state and every status has words: what has none would read as nothing
// at all, or as a program's constant.
func TestEverythingHasWords(t *testing.T) {
	for _, to := range issuance.States() {
		o := issuance.Order{State: to}
		if s := timeline.Tell(timeline.Life{Order: o}); s.Now == "" {
			t.Errorf("%s has no words", to)
		}
		for _, from := range issuance.States() {
			if !from.CanBecome(to) {
				continue
			}
			s := timeline.Tell(timeline.Life{Events: []issuance.Event{{Kind: issuance.KindState, From: string(from), To: string(to)}}})
			if text := s.Entries[len(s.Entries)-1].Text; strings.HasPrefix(text, "changed from") {
				t.Errorf("from %s to %s: %q", from, to, text)
			}
		}
	}
	for _, st := range issuance.ProductionStatuses() {
		s := timeline.Tell(timeline.Life{Events: []issuance.Event{{Kind: issuance.KindProduction, To: string(st)}}})
		if text := s.Entries[len(s.Entries)-1].Text; strings.Contains(text, string(st)) {
			t.Errorf("%s: %q", st, text)
		}
	}
	s := timeline.Tell(timeline.Life{Events: []issuance.Event{{Kind: issuance.KindProduction, To: "CARD_BLESSED"}}})
	if text := s.Entries[len(s.Entries)-1].Text; text != "D1 reports CARD_BLESSED" {
		t.Errorf("a status we do not know: %q", text)
	}
}

// heard is an order that D1 has, after some news of it.
func heard(t *testing.T, o issuance.Order, ops ...issuance.Operation) timeline.Life {
	t.Helper()
	l := timeline.Life{Order: o}
	for i, op := range ops {
		events, err := l.Order.Hear(op, issuance.Why{At: after(i), Stage: "notification"})
		if err != nil {
			t.Fatal(err)
		}
		l.Events = append(l.Events, events...)
	}
	return l
}

// What is read out to a caller must not be the opposite of what is the case.
func TestNothingMisleads(t *testing.T) {
	at := issuance.Order{State: issuance.Submitted, IssuerID: "DEMO_BANK1"}
	unsent := issuance.Order{State: issuance.Ready}
	doubted := unsent
	e, err := doubted.Transition(issuance.Unknown, issuance.Why{At: after(1), Stage: "operator", Operator: "kim", Reason: "restored"})
	if err != nil {
		t.Fatal(err)
	}
	noShipment := at
	noShipment.Production.NoShipment = true
	missing := at
	missing.NotFound, missing.Production.Status = 1, issuance.CardProdOngoing
	absent := issuance.Event{Kind: issuance.KindProduction, Why: issuance.Why{Code: issuance.MissingAtD1, Reason: "D1 had accepted it and does not know it"}}
	absentLater := absent
	absentLater.From, absentLater.To = "CARD_PROD_ONGOING", "CARD_PROD_ONGOING"
	failed := issuance.Operation{Status: issuance.OperationFailed, Production: issuance.CardProdOngoing, Reason: "STOCK_UNAVAILABLE"}
	for name, tt := range map[string]struct {
		life      timeline.Life
		now, last string // empty: not looked at
	}{
		"failed in a step": {heard(t, at, failed),
			"production failed, being personalized: STOCK_UNAVAILABLE", "production failed, being personalized: STOCK_UNAVAILABLE"},
		"failed after the step was reported": {heard(t, at, issuance.Operation{Production: issuance.CardProdOngoing}, failed),
			"production failed, being personalized: STOCK_UNAVAILABLE", "production failed, being personalized: STOCK_UNAVAILABLE"},
		"failed without details": {heard(t, at, issuance.Operation{Status: issuance.OperationFailed, ErrorCode: "KEY_NOT_FOUND"}),
			"production failed: KEY_NOT_FOUND", "production failed: KEY_NOT_FOUND"},
		"data in error": {heard(t, at, issuance.Operation{Status: issuance.OperationFailed, Production: issuance.DataException}),
			"rejected by D1, its data are in error", "rejected by D1, its data are in error"},
		"made and not to be shipped": {heard(t, noShipment, issuance.Operation{Production: issuance.CardProdDone}),
			"personalized and, as ordered, not shipped", "personalized"},
		"not known to D1": {timeline.Life{Order: missing, Events: []issuance.Event{absent}},
			"being personalized; when last asked, D1 did not know the order", "D1 had accepted the order and, when asked, does not know it (MISSING_AT_D1)"},
		"not known to D1 any more": {timeline.Life{Order: missing, Events: []issuance.Event{absentLater}},
			"", "D1 had accepted the order and, when asked, does not know it (MISSING_AT_D1)"},
		"doubted and perhaps never sent": {timeline.Life{Order: doubted, Events: []issuance.Event{e}},
			"D1 will be asked whether it has the order, before it is sent: restored", "D1 will be asked whether it has the order, before it is sent: restored"},
		"in a file that is held": {timeline.Life{Order: unsent, Batch: issuance.Batch{State: issuance.BatchHeld}},
			"its file is on hold, and it waits with it", ""},
		"in a file that is being loaded": {timeline.Life{Order: unsent, Batch: issuance.Batch{State: issuance.BatchLoading}},
			"its file is being checked", ""},
		"late news of a parcel": {timeline.Life{Order: at, Events: []issuance.Event{{Kind: issuance.KindLateNews, From: "Delivered"}}},
			"", "older news came late and changed nothing"},
		"a parcel that changed": {timeline.Life{Order: at, Events: []issuance.Event{{Kind: issuance.KindShipment, From: "InTransit", To: "InTransit"}}},
			"", "the carrier's data changed: InTransit"},
	} {
		s := timeline.Tell(tt.life)
		if tt.now != "" && s.Now != tt.now {
			t.Errorf("%s: now %q, want %q", name, s.Now, tt.now)
		}
		if last := s.Entries[len(s.Entries)-1].Text; tt.last != "" && last != tt.last {
			t.Errorf("%s: %q, want %q", name, last, tt.last)
		}
	}
}
