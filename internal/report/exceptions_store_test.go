package report_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/report"
)

func (h *house) exceptions(t *testing.T, date string) report.Summary {
	t.Helper()
	sum, err := h.stage.RunOnce(t.Context(), report.Options{Kinds: []string{"exceptions"}, BusinessDate: date})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func (h *house) hear(t *testing.T, digest string, ops ...issuance.Operation) {
	t.Helper()
	if _, err := h.store.ApplyNotification(t.Context(), issuance.Notification{IssuerID: "demo-bank", Digest: []byte(digest),
		Body: []byte("sealed"), ReceivedAt: h.now, Operations: ops}); err != nil {
		t.Fatal(err)
	}
}

func said(c issuance.Claim, status issuance.ProductionStatus, due string) issuance.Operation {
	return issuance.Operation{OperationID: "op-" + c.OrderID, Operation: issuance.OperationProduce, Status: issuance.OperationPending,
		CardID: c.CardID, IssuerRequestID: c.OrderID, Production: status, DueDate: due}
}

// Orders in every kind of trouble, from the rows of the real store to the lines
// of the file; and a day later those that are well again are gone.
func TestExceptionsOnTheRealStore(t *testing.T) {
	h := openHouse(t)
	h.take(t, "cards-0.csv", 4, issuance.BatchHeld, issuance.Why{Stage: "intake", Code: issuance.SequenceGap, Reason: "number 7 is missing"})
	h.take(t, "cards-1.csv", 9, issuance.BatchAccepted, issuance.Why{Stage: "intake"})
	c := h.submit(t)
	h.take(t, "cards-2.csv", 4, issuance.BatchAccepted, issuance.Why{Stage: "intake"})
	unsent, err := h.store.ClaimReady(t.Context(), "demo-bank", h.session, 3)
	if err != nil {
		t.Fatal(err)
	}
	to := []issuance.State{issuance.Refused, issuance.Unknown, issuance.Unknown}
	for i, claim := range unsent {
		o := issuance.Outcome{Ref: claim.Ref, Attempt: claim.Attempt, To: to[i], Code: "SOME_CODE", Reason: "for a reason"}
		if err := h.store.RecordOutcomes(t.Context(), h.session, []issuance.Outcome{o}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.store.DecideUnknown(t.Context(), []issuance.Outcome{{Ref: unsent[2].Ref, Attempt: 1, To: issuance.Held, Code: issuance.OutcomeUnclear, Reason: "asked in vain"}}); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(2 * time.Hour)
	failed, second := said(c[0], issuance.DataException, ""), said(c[1], issuance.CardProdReady, "")
	failed.Status, failed.Reason, second.OperationID = issuance.OperationFailed, "INVALID_ADDRESS", "op-other"
	lost := said(c[0], issuance.CardProdReady, "")
	lost.OperationID, lost.IssuerRequestID, lost.CardID, lost.Production = "op-lost", "ORD-lost", "card-lost", "CARD_POLISHED"
	h.hear(t, "1", failed, said(c[1], issuance.CardProdReady, ""), second, said(c[2], issuance.CardProdOngoing, "2026-03-02"),
		said(c[3], issuance.CardReturned, ""), said(c[4], issuance.CardProdOnHold, ""), said(c[5], issuance.CardProdReady, ""),
		said(c[6], issuance.CardProdReady, "2027-01-01"), said(c[7], issuance.CardShipped, ""), said(c[8], issuance.CardShipped, ""), lost)
	if err := h.store.HearOrders(t.Context(), "demo-bank", "track", []issuance.Heard{{Ref: c[6].Ref, Missing: true}}); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(7 * 24 * time.Hour)
	if got := h.exceptions(t, "2026-03-09"); got.Exceptions != 1 || got.Rows != 13 || !got.Balanced() {
		t.Fatalf("%+v", got)
	}
	const name = "reports/exceptions-demo-bank-2026-03-09-1.csv"
	kinds, control := h.column(t, name, "kind")
	want := strings.Fields("taken_twice missing_at_d1 unresolved production_failed refused held file_held overdue returned on_hold silent unmatched unknown_word")
	if !slices.Equal(kinds, want) || control.Rows != 13 || !control.Balanced {
		t.Errorf("kinds %v, %+v", kinds, control)
	}
	orders, _ := h.column(t, name, "order_id")
	wantOrders := []string{c[1].OrderID, c[6].OrderID, unsent[1].OrderID, c[0].OrderID, unsent[0].OrderID, unsent[2].OrderID, "",
		c[2].OrderID, c[3].OrderID, c[4].OrderID, c[5].OrderID, "ORD-lost", ""}
	if !slices.Equal(orders, wantOrders) {
		t.Errorf("orders %q\nwant   %q", orders, wantOrders)
	}
	ages, _ := h.column(t, name, "age_days")
	if strings.Join(ages, " ") != "7 7 8 7 8 8 8 7 7 7 7 7 7" {
		t.Errorf("ages %v", ages)
	}
	h.hear(t, "2", said(c[2], issuance.CardShipped, ""), said(c[4], issuance.CardProdOngoing, ""), said(c[5], issuance.CardShipped, ""))
	h.now = h.now.Add(24 * time.Hour)
	h.exceptions(t, "2026-03-10")
	kinds, _ = h.column(t, "reports/exceptions-demo-bank-2026-03-10-1.csv", "kind")
	for _, gone := range []string{"overdue", "silent"} {
		if slices.Contains(kinds, gone) {
			t.Errorf("%s is still there: %v", gone, kinds)
		}
	}
}
