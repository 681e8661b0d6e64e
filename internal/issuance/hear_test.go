package issuance_test

import (
	"slices"
	"testing"
	"time"

	"cardbatch/internal/issuance"
)

func said(status string, p issuance.ProductionStatus, hours int) issuance.Operation {
	op := issuance.Operation{OperationID: "op-1", Operation: issuance.OperationProduce, Status: status, Production: p, StartTime: night}
	if status != issuance.OperationPending {
		op.EndTime = night.Add(time.Duration(hours) * time.Hour)
	}
	return op
}

// What D1 may say in ways that its documents do not order, and where it ends,
// whichever came first.
func TestTheLastWord(t *testing.T) {
	pending, failed, done := issuance.OperationPending, issuance.OperationFailed, issuance.OperationSuccessful
	for name, tt := range map[string]struct {
		said        []issuance.Operation
		disposition string
		status      issuance.ProductionStatus
		final       bool
	}{
		"a data exception after the data was sent": {[]issuance.Operation{said(pending, issuance.CardProdReady, 0),
			said(failed, issuance.DataException, 1)}, "failed", issuance.DataException, true},
		"failed, in a status we do not know": {[]issuance.Operation{said(pending, issuance.CardProdOngoing, 0),
			said(failed, "CARD_BROKEN", 1)}, "failed", "CARD_BROKEN", true},
		"failed, then shipped": {[]issuance.Operation{said(failed, issuance.CardProdDone, 1),
			said(done, issuance.CardShipped, 2)}, "shipped", issuance.CardShipped, true},
		"successful, without details": {[]issuance.Operation{said(pending, issuance.CardProdOngoing, 0),
			said(done, "", 1)}, "in_production", issuance.CardProdOngoing, false},
		"an exception after it was shipped": {[]issuance.Operation{said(done, issuance.CardShipped, 1),
			said(failed, issuance.CardProdException, 2)}, "shipped", issuance.CardShipped, true},
		"returned": {[]issuance.Operation{said(done, issuance.CardShipped, 1),
			said(done, issuance.CardReturned, 2)}, "shipped", issuance.CardReturned, true},
		"canceled, with D1's one L": {[]issuance.Operation{said(pending, issuance.CardProdReady, 0),
			said(failed, "CARD_PROD_CANCELED", 1)}, "canceled", issuance.CardProdCanceled, true},
		// D1 does not say it so. Taken for a word we do not know, it is counted and
		// asked about; taken for the end, a card might be made and nobody look.
		"cancelled, with two": {[]issuance.Operation{said(pending, "CARD_PROD_CANCELLED", 0)},
			"in_production", "CARD_PROD_CANCELLED", false},
		"cancelled, with two, and failed": {[]issuance.Operation{said(failed, "CARD_PROD_CANCELLED", 1)},
			"failed", "CARD_PROD_CANCELLED", true},
		"a status of tomorrow gives way": {[]issuance.Operation{said(pending, "CARD_QUALITY_CHECK", 0),
			said(pending, issuance.CardProdRequested, 0)}, "in_production", issuance.CardProdRequested, false},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				o := issuance.Order{State: issuance.Unknown}
				for _, op := range tt.said {
					if _, err := o.Hear(op, issuance.Why{At: night}); err != nil {
						t.Fatal(err)
					}
				}
				if o.State != issuance.Submitted || o.Disposition() != tt.disposition || o.Production.Status != tt.status || o.Final() != tt.final {
					t.Errorf("%s, %s, final %v; want %s, %s, %v", o.Disposition(), o.Production.Status, o.Final(), tt.disposition, tt.status, tt.final)
				}
				slices.Reverse(tt.said)
			}
		})
	}
}

// Operation ids are bounded: D1 must not fill our memory.
func TestManyOperationsOfAnOrder(t *testing.T) {
	o := issuance.Order{State: issuance.Submitted}
	events := 0
	for i := range 100 {
		events += len(o.HearOperationID("op-"+string(rune('a'+i%50)), issuance.Why{At: night}))
	}
	if o.OperationID != "op-a" || len(o.OtherOperations) != events || events == 0 || events > 10 {
		t.Errorf("%s and %d others, %d events", o.OperationID, len(o.OtherOperations), events)
	}
}

// A due date that is none does not hide one, whichever comes first.
func TestDueDateIsADate(t *testing.T) {
	t.Parallel()
	for _, due := range [][]string{
		{"2026-03-05", "to be confirmed"}, {"to be confirmed", "2026-03-05"}, {"9 March", "2026-03-05"}, {"2026-03-05", ""},
		{"2026-03-04", "2026-03-05"}, {"99999999", "2026-03-05"},
	} {
		o := issuance.Order{State: issuance.Submitted}
		for _, d := range due {
			if _, err := o.Hear(issuance.Operation{Production: issuance.CardProdOngoing, DueDate: d}, issuance.Why{}); err != nil {
				t.Fatal(err)
			}
		}
		if o.Production.DueDate != "2026-03-05" {
			t.Errorf("of %q it keeps %q", due, o.Production.DueDate)
		}
	}
}
