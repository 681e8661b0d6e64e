package d1sim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/d1/d1sim"
)

func short(c *d1sim.Config, b *backend) {
	c.Notifications.URL = b.URL
	c.Notifications.RetryPlan = []time.Duration{time.Millisecond, time.Millisecond, 2 * time.Millisecond}
}

func TestNotificationFrame(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) { short(c, b) })
	r.order("ord-1", "card-1")
	r.waitIdle()
	pattern := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	for i, h := range b.headers {
		if !pattern.MatchString(h.Get("x-correlation-id")) || h.Get("Content-Type") != "application/json" || h.Get("Authorization") != "" {
			t.Errorf("headers %v", h)
		}
		if want := "POST /notifications/d1/v2/issuers/" + issuerID + "/cards"; b.paths[i] != want {
			t.Errorf("%s, want %s", b.paths[i], want)
		}
	}
}

func TestNotificationsAreRetried(t *testing.T) {
	for _, status := range []int{500, 503, 408, 429} {
		b := newBackend(t, status, status)
		r := newRig(t, func(c *d1sim.Config) { short(c, b) })
		r.order("ord-1", "card-1")
		r.waitIdle()
		sum := r.sim.Summary()
		if n := len(b.statuses("ord-1")); n != 8 || sum.NotificationFailures != 2 || sum.NotificationsDelivered != 8 {
			t.Errorf("%d: heard %d, %+v", status, n, sum)
		}
		if l := r.sim.Ledger(); l[0].NotifiedOK != 8 {
			t.Errorf("%d: ledger says %d", status, l[0].NotifiedOK)
		}
	}
}

func TestNotificationsAreNotRetriedAfterOther4xx(t *testing.T) {
	for _, status := range []int{400, 401, 404, 422} {
		b := newBackend(t, status)
		r := newRig(t, func(c *d1sim.Config) { short(c, b) })
		r.order("ord-1", "card-1")
		r.waitIdle()
		if sum := r.sim.Summary(); sum.NotificationsRefused != 1 || sum.NotificationFailures != 0 || len(b.statuses("ord-1")) != 7 {
			t.Errorf("%d: %+v", status, sum)
		}
	}
}

func TestNotificationsAreGivenUp(t *testing.T) {
	b := newBackend(t)
	b.Close() // nobody listens
	r := newRig(t, func(c *d1sim.Config) { short(c, b) })
	r.order("ord-1", "card-1")
	r.waitIdle()
	if sum := r.sim.Summary(); sum.NotificationsGivenUp != 8 || sum.NotificationFailures != 8*4 {
		t.Errorf("%+v", sum)
	}
}

func TestNotificationsInBatches(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) {
		short(c, b)
		c.Notifications.BatchSize = 10
		c.Settings.PauseNotifications = true
	})
	for i := range 5 {
		r.order(fmt.Sprint("ord-", i), fmt.Sprint("card-", i))
	}
	if err := r.sim.Wait(t.Context(), func(s d1sim.Summary) bool { return s.Open == 0 }); err != nil {
		t.Fatal(err)
	}
	if len(b.batches) != 0 || r.sim.Idle() {
		t.Fatal("notified while paused")
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.PauseNotifications = false }); err != nil {
		t.Fatal(err)
	}
	r.waitIdle()
	if diff := cmp.Diff([]int{10, 10, 10, 10}, b.batches); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}

func TestLostDuplicatedReorderedNotifications(t *testing.T) {
	const orders = 40
	run := func(f d1sim.Faults) (*backend, d1sim.Summary) {
		b := newBackend(t)
		r := newRig(t, func(c *d1sim.Config) { short(c, b); c.Notifications.Workers = 1; c.Settings.Faults = f })
		for i := range orders {
			r.order(fmt.Sprint("ord-", i), fmt.Sprint("card-", i))
		}
		r.waitIdle()
		return b, r.sim.Summary()
	}
	if b, sum := run(d1sim.Faults{LostNotifications: 0.25}); sum.NotificationsLost < 40 || sum.NotificationsLost > 120 ||
		len(b.heard)+sum.NotificationsLost != 8*orders {
		t.Errorf("lost: %+v", sum)
	}
	if b, _ := run(d1sim.Faults{DuplicateNotifications: 0.25}); len(b.heard) < 8*orders+40 || len(b.heard) > 8*orders+120 {
		t.Errorf("duplicated: heard %d", len(b.heard))
	}
	if b, _ := run(d1sim.Faults{UnreadNotificationAcks: 0.25}); len(b.heard) < 8*orders+40 {
		t.Errorf("unread acknowledgements: heard %d", len(b.heard))
	}
	b, _ := run(d1sim.Faults{ReorderedNotifications: 0.25})
	swapped := 0
	for i := range orders {
		st := b.statuses(fmt.Sprint("ord-", i))
		if len(st) != 8 {
			t.Fatalf("reordered: %v", st)
		}
		if st[0] != "CARD_PROD_REQUESTED" || st[1] != "DATA_PREPARED" || st[2] != "CARD_PROD_READY" || st[7] != "CARD_SHIPPED/Delivered" {
			swapped++
		}
	}
	if swapped < 10 {
		t.Errorf("only %d orders out of order", swapped)
	}
}

func TestOutcomes(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) {
		short(c, b)
		c.Notifications.Workers = 1
		c.Settings.Production = d1sim.Production{ShipmentUpdates: -1, Outcomes: map[string]string{
			"bad": "DATA_EXCEPTION", "hold": "CARD_PROD_ON_HOLD", "stop": "CARD_PROD_CANCELED"}}
	})
	for _, id := range []string{"good", "bad", "hold", "stop"} {
		r.order(id, "card-"+id)
	}
	r.must("POST", orderPath("card-home"), with(t, r.body("home"), "services.delivery", "NO_SHIPMENT"), r.auth()...)
	r.waitIdle()
	head := []string{"CARD_PROD_REQUESTED", "DATA_PREPARED", "CARD_PROD_READY"}
	want := map[string][]string{
		"good": append(head[:3:3], "CARD_PROD_ONGOING", "CARD_PROD_DONE", "CARD_SHIPPED/InfoReceived"),
		"hold": append(head[:3:3], "CARD_PROD_ONGOING", "CARD_PROD_ON_HOLD", "CARD_PROD_DONE", "CARD_SHIPPED/InfoReceived"),
		"stop": append(head[:3:3], "CARD_PROD_CANCELED"),
		"bad":  {"CARD_PROD_REQUESTED", "DATA_EXCEPTION"},
		"home": append(head[:3:3], "CARD_PROD_ONGOING", "CARD_PROD_DONE"),
	}
	for id, w := range want {
		if diff := cmp.Diff(w, b.statuses(id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
	for _, o := range b.heard {
		failed := o.Details.Status == "DATA_EXCEPTION" || o.Details.Status == "CARD_PROD_CANCELED"
		if failed != (o.Status == "FAILED") || failed == o.EndTime.IsZero() && o.Status != "SUCCESSFUL" && o.Status != "PENDING" {
			t.Errorf("%s is %s", o.Details.Status, o.Status)
		}
		if o.Details.Status == "DATA_EXCEPTION" && o.Details.Reason == "" {
			t.Error("a data exception without a reason")
		}
	}
	sum := r.sim.Summary()
	if sum.CardsProduced != 5 || sum.CardsMade != 3 || sum.Shipped != 2 || sum.DataException != 1 || sum.Cancelled != 1 ||
		sum.OnHold != 1 || sum.NotShipped != 1 || sum.Open != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestOutcomesDependOnSeedAndIdAlone(t *testing.T) {
	run := func(order []int) map[string]string {
		r := newRig(t, func(c *d1sim.Config) { c.Settings.Production.DataException = 0.3 })
		for _, i := range order {
			r.order(fmt.Sprint("ord-", i), fmt.Sprint("card-", i))
		}
		r.waitIdle()
		out := map[string]string{}
		for _, e := range r.sim.Ledger() {
			out[e.IssuerRequestID] = e.Status
		}
		return out
	}
	a := run([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	if diff := cmp.Diff(a, run([]int{9, 3, 1, 0, 2, 8, 7, 6, 5, 4})); diff != "" {
		t.Error(diff)
	}
}

func TestIDPlaces(t *testing.T) {
	for place, want := range map[string][2]string{
		d1sim.PlaceBoth: {"ord-1", "ord-1"}, d1sim.PlaceTop: {"ord-1", ""}, d1sim.PlaceDetails: {"", "ord-1"}} {
		b := newBackend(t)
		r := newRig(t, func(c *d1sim.Config) { short(c, b); c.Notifications.IDPlace = place })
		r.order("ord-1", "card-1")
		r.waitIdle()
		for _, o := range b.heard {
			if got := [2]string{o.IssuerRequestID, o.Details.IssuerRequestID}; got != want {
				t.Errorf("%s: %v", place, got)
			}
		}
	}
}

func TestNotificationOAuth(t *testing.T) {
	var asked atomic.Int32
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if id, pw, _ := r.BasicAuth(); id != "d1" || pw != "made-up" || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprint(w, `{"access_token":"abc","token_type":"Bearer","expires_in":"900"}`)
	}))
	defer tokens.Close()
	b := newBackend(t, 401) // a token the issuer has forgotten
	r := newRig(t, func(c *d1sim.Config) {
		short(c, b)
		c.Notifications.Workers = 1
		c.Notifications.OAuth = d1sim.OAuth{TokenURL: tokens.URL, ClientID: "d1", ClientSecret: "made-up"}
	})
	r.order("ord-1", "card-1")
	r.waitIdle()
	if n := len(b.statuses("ord-1")); n != 8 || asked.Load() != 2 {
		t.Errorf("heard %d, asked for a token %d times, want 2", n, asked.Load())
	}
	for _, h := range b.headers {
		if h.Get("Authorization") != "Bearer abc" {
			t.Errorf("authorization %q", h.Get("Authorization"))
		}
	}
}

func TestResetForgets(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) { short(c, b); c.Settings.Day = time.Hour; c.Settings.PauseNotifications = true })
	first := r.order("ord-1", "card-1").member("operationId")
	r.sim.Reset()
	if sum := r.sim.Summary(); sum.OrdersReceived != 0 || !r.sim.Idle() {
		t.Errorf("%+v", sum)
	}
	if a := r.order("ord-1", "card-1"); a.status != 202 || a.member("operationId") == first {
		t.Errorf("after reset: %d %s", a.status, a.body)
	}
}
