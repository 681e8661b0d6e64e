package issuance_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

var night = time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)

// The table restates design: every pair that is not named is illegal.
func TestLegalTransitionsOfAnOrder(t *testing.T) {
	legal := map[issuance.State]string{
		issuance.Held:       "ready cancelled submitted unknown",
		issuance.Ready:      "submitting held cancelled submitted unknown",
		issuance.Submitting: "submitted refused unknown ready",
		issuance.Unknown:    "submitted ready held",
		issuance.Refused:    "ready cancelled submitted",
		issuance.Cancelled:  "submitted",
	}
	for _, from := range issuance.States() {
		for _, to := range issuance.States() {
			want := slices.Contains(words(legal[from]), string(to))
			order := issuance.Order{OrderID: "o-1", State: from}
			event, err := order.Transition(to, issuance.Why{At: night, Stage: "test", Code: "C", Reason: "r"})
			if got := err == nil; got != want {
				t.Errorf("%s to %s: legal is %v, want %v", from, to, got, want)
				continue
			}
			if err != nil {
				if order.State != from {
					t.Errorf("%s to %s: refused, yet the state is %s", from, to, order.State)
				}
				continue
			}
			if order.State != to || event.From != string(from) || event.To != string(to) || event.Kind != issuance.KindState {
				t.Errorf("%s to %s: order and event do not tell the change: %s, %s to %s", from, to, order.State, event.From, event.To)
			}
		}
	}
}

func TestLegalTransitionsOfABatch(t *testing.T) {
	states := []issuance.BatchState{
		issuance.BatchLoading, issuance.BatchAccepted, issuance.BatchHeld,
		issuance.BatchRefused, issuance.BatchSettled, issuance.BatchClosed,
	}
	legal := map[issuance.BatchState]string{
		issuance.BatchLoading:  "accepted held refused",
		issuance.BatchHeld:     "accepted refused",
		issuance.BatchAccepted: "settled",
		issuance.BatchSettled:  "closed accepted",
		issuance.BatchClosed:   "accepted",
	}
	for _, from := range states {
		for _, to := range states {
			want := slices.Contains(words(legal[from]), string(to))
			batch := issuance.Batch{ID: "b-1", State: from}
			if _, err := batch.Transition(to, issuance.Why{At: night}); (err == nil) != want {
				t.Errorf("%s to %s: error %v, want legal %v", from, to, err, want)
			}
		}
	}
}

func TestAVerdictOutlivesSettlingAndClosing(t *testing.T) {
	b := issuance.Batch{State: issuance.BatchLoading}
	for _, step := range []struct {
		to   issuance.BatchState
		code issuance.Code
		want issuance.Code
	}{
		{issuance.BatchAccepted, issuance.SequenceGap, issuance.SequenceGap},
		{issuance.BatchSettled, "", issuance.SequenceGap},
		{issuance.BatchClosed, "", issuance.SequenceGap},
		{issuance.BatchAccepted, "", ""}, // opened again: a new verdict
	} {
		if _, err := b.Transition(step.to, issuance.Why{Code: step.code, Reason: string(step.code)}); err != nil {
			t.Fatal(err)
		}
		if b.Code != step.want || b.Reason != string(step.want) {
			t.Errorf("%s: code %q, reason %q, want %q", step.to, b.Code, b.Reason, step.want)
		}
	}
}

// No sequence of legal transitions and of news from D1 breaks the control
// equation: every order is counted once, whatever happened to it.
func TestNoSequenceBreaksTheControlEquation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		orders := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) issuance.Order {
			first := []issuance.State{issuance.Rejected, issuance.Duplicate, issuance.Ready, issuance.Held}
			return issuance.Order{OrderID: "o", State: rapid.SampledFrom(first).Draw(t, "first state")}
		}), 1, 20).Draw(t, "orders")
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				totals := issuance.Totals{Rows: int64(len(orders))}
				for i := range orders {
					totals.AddOrder(&orders[i])
				}
				if breaks := totals.Breaks(); breaks != nil {
					t.Fatalf("out of balance: %v", breaks)
				}
			},
			"transition": func(t *rapid.T) {
				o := &orders[rapid.IntRange(0, len(orders)-1).Draw(t, "order")]
				_, _ = o.Transition(rapid.SampledFrom(issuance.States()).Draw(t, "to"), issuance.Why{At: night})
			},
			"hear": func(t *rapid.T) {
				o := &orders[rapid.IntRange(0, len(orders)-1).Draw(t, "order")]
				_, err := o.Hear(operation(t), issuance.Why{At: night})
				never := o.State == issuance.Rejected || o.State == issuance.Duplicate
				if (err != nil) != never {
					t.Fatalf("hearing of an order that is now %s: %v", o.State, err)
				}
			},
		})
	})
}

// Whatever the order in which D1's news arrive, and however often, the order
// ends up the same.
func TestNewsInAnyOrderEndTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		news := rapid.SliceOfN(rapid.Custom(operation), 1, 8).Draw(t, "news")
		inOrder := hearAll(t, news)
		shuffled := append(slices.Clone(news), news[:rapid.IntRange(0, len(news)).Draw(t, "repeated")]...)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		if diff := cmp.Diff(inOrder, hearAll(t, shuffled)); diff != "" {
			t.Fatalf("in another order (-first +second):\n%s", diff)
		}
	})
}

func TestARepeatedNotificationChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := issuance.Order{State: issuance.Submitting}
		op := operation(t)
		if _, err := o.Hear(op, issuance.Why{At: night}); err != nil {
			t.Fatal(err)
		}
		before := o
		events, err := o.Hear(op, issuance.Why{At: night})
		if err != nil || len(events) != 0 {
			t.Fatalf("a repeat gave %d events, error %v", len(events), err)
		}
		if diff := cmp.Diff(before, o); diff != "" {
			t.Fatalf("a repeat changed the order:\n%s", diff)
		}
	})
}

func TestShippedIsNotTakenBackByLateNews(t *testing.T) {
	o := issuance.Order{State: issuance.Submitted}
	shipped := issuance.Operation{Operation: issuance.OperationProduce, Status: issuance.OperationSuccessful,
		Production: issuance.CardShipped, StartTime: night, EndTime: night.Add(time.Hour),
		Shipment: issuance.Shipment{Carrier: "ups", TrackingNumber: "1Z"}}
	late := issuance.Operation{Operation: issuance.OperationProduce, Status: issuance.OperationPending,
		Production: issuance.CardProdOngoing, StartTime: night.Add(2 * time.Hour)}
	for _, op := range []issuance.Operation{shipped, late} {
		if _, err := o.Hear(op, issuance.Why{At: night}); err != nil {
			t.Fatal(err)
		}
	}
	if o.Production.Status != issuance.CardShipped || o.Production.Shipment.TrackingNumber != "1Z" || !o.Final() {
		t.Errorf("the order is %s, shipment %+v", o.Production.Status, o.Production.Shipment)
	}
	if o.Disposition() != "shipped" {
		t.Errorf("disposition %q", o.Disposition())
	}
}

// D1 says that a production has failed, and says so in the operation's status
// only. No card will come of it: the order must not wait for news for ever.
func TestAFailedOperationIsAFailure(t *testing.T) {
	for _, status := range []issuance.ProductionStatus{"", issuance.CardProdRequested, issuance.CardProdOnHold, issuance.CardProdDone} {
		o := issuance.Order{State: issuance.Submitted}
		var events []issuance.Event
		for _, outcome := range []string{issuance.OperationPending, issuance.OperationFailed} {
			op := issuance.Operation{Operation: issuance.OperationProduce, Status: outcome, Production: status, StartTime: night}
			if outcome == issuance.OperationFailed {
				op.ErrorCode = "STOCK_UNAVAILABLE"
			}
			var err error
			if events, err = o.Hear(op, issuance.Why{At: night}); err != nil {
				t.Fatal(err)
			}
		}
		if o.Disposition() != "failed" || !o.Final() || o.Production.Reason != "STOCK_UNAVAILABLE" {
			t.Errorf("after a failure in status %q the order is %s: %+v", status, o.Disposition(), o.Production)
		}
		if len(events) != 1 || events[0].Kind != issuance.KindProduction {
			t.Errorf("a failure in status %q gives the events %+v", status, events)
		}
	}
}

func TestBreaksAreStated(t *testing.T) {
	totals := issuance.Totals{Rows: 3}
	totals.Add(issuance.Ready, "", 1)
	totals.Add(issuance.Submitted, "no such phase", 1)
	breaks := totals.Breaks()
	if len(breaks) != 2 {
		t.Fatalf("got %v", breaks)
	}
	if want := "rows = sum of the states: 3 is not 2"; breaks[0].String() != want {
		t.Errorf("got %q, want %q", breaks[0], want)
	}
}

func TestRefHoldsBatchAndRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch := issuance.BatchNo(rapid.Int64Range(0, 1<<38).Draw(t, "batch"))
		row := rapid.Int64Range(1, issuance.MaxRows).Draw(t, "row")
		ref := issuance.NewRef(batch, row)
		if ref.Batch() != batch || ref.Row() != row {
			t.Fatalf("%d, %d came back as %d, %d", batch, row, ref.Batch(), ref.Row())
		}
	})
}

func TestBINRange(t *testing.T) {
	p := issuance.Product{BINRanges: []issuance.BINRange{{Low: "411111", High: "411113", Length: 16}}}
	for pan, want := range map[string]bool{
		"4111110000000000": true, "4111139999999999": true, "4111140000000000": false,
		"4111109999999999": false, "411111000000000": false, "41": false, "": false,
	} {
		if got := p.HasBIN(pan); got != want {
			t.Errorf("a PAN of %d digits from BIN %.6s: in range %v, want %v", len(pan), pan, got, want)
		}
	}
}

func hearAll(t *rapid.T, news []issuance.Operation) issuance.Production {
	o := issuance.Order{State: issuance.Submitted}
	for _, op := range news {
		if _, err := o.Hear(op, issuance.Why{At: night}); err != nil {
			t.Fatal(err)
		}
	}
	return o.Production
}

func operation(t *rapid.T) issuance.Operation {
	statuses := []issuance.ProductionStatus{
		issuance.CardProdRequested, issuance.DataPrepared, issuance.DataException, issuance.CardProdReady,
		issuance.CardProdOngoing, issuance.CardProdOnHold, issuance.CardProdDone, issuance.CardProdCanceled,
		issuance.CardShipped, issuance.CardReturned, "SOMETHING_NEW", "SOMETHING_ELSE", "",
	}
	op := issuance.Operation{
		OperationID: "op-1",
		Operation:   issuance.OperationProduce,
		Production:  rapid.SampledFrom(statuses).Draw(t, "production status"),
		Status:      rapid.SampledFrom([]string{"PENDING", "SUCCESSFUL", "FAILED"}).Draw(t, "status"),
		StartTime:   night,
		DueDate:     rapid.SampledFrom([]string{"", "2026-03-03", "2026-03-04"}).Draw(t, "due date"),
		Site:        "SITE-1",
	}
	if rapid.Bool().Draw(t, "ended") {
		op.EndTime = night.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "hours")) * time.Hour)
	}
	if op.Production == issuance.CardShipped {
		op.Shipment = issuance.Shipment{
			Carrier:        "ups",
			TrackingNumber: rapid.SampledFrom([]string{"", "1Z"}).Draw(t, "tracking"),
			Status:         rapid.SampledFrom([]string{"", "InTransit", "Exception", "Delivered"}).Draw(t, "carrier's status"),
		}
	}
	return op
}

func words(s string) []string { return strings.Fields(s) }
