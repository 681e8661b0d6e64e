package d1sim_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/d1/d1sim"
)

// dueDate is D+1 of a request: a request strictly after 17:00 counts as the next
// day's, and weekends are off. On a slow machine the compressed clock may have
// passed the cut-off before the order arrives.
func dueDate(requested time.Time) string {
	day := requested.UTC()
	if day.Sub(day.Truncate(24*time.Hour)) > 17*time.Hour {
		day = day.AddDate(0, 0, 1)
	}
	day = day.AddDate(0, 0, 1)
	for day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
		day = day.AddDate(0, 0, 1)
	}
	return day.Format(time.DateOnly)
}

func TestOneCardFromOrderToDelivery(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) { c.Notifications.URL = b.URL; c.Notifications.Workers = 1 })
	a := r.order("ord-1", "card-1")
	if a.status != 202 {
		t.Fatalf("order: %d %s", a.status, a.body)
	}
	op := a.member("operationId").(string)
	r.waitIdle()
	want := []string{"CARD_PROD_REQUESTED", "DATA_PREPARED", "CARD_PROD_READY", "CARD_PROD_ONGOING", "CARD_PROD_DONE",
		"CARD_SHIPPED/InfoReceived", "CARD_SHIPPED/InTransit", "CARD_SHIPPED/Delivered"}
	if diff := cmp.Diff(want, b.statuses("ord-1")); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	for _, o := range b.heard {
		if o.OperationID != op || o.CardID != "card-1" || o.Operation != "PRODUCE" || o.Details.IssuerRequestID != "ord-1" {
			t.Errorf("operation %+v", o)
		}
	}
	last := b.heard[len(b.heard)-1]
	if last.Status != "SUCCESSFUL" || last.EndTime.IsZero() || last.Details.DueDate != dueDate(last.StartTime) || last.Details.Shipment.Carrier != "usps-iv-api" {
		t.Errorf("last: %+v", last)
	}
	sum := r.sim.Summary()
	if sum.OrdersAccepted != 1 || sum.CardsProduced != 1 || sum.Shipped != 1 || sum.NotificationsDelivered != 8 || sum.ProducedTwice != 0 {
		t.Errorf("summary %+v", sum)
	}
}
