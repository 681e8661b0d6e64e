package d1sim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/d1/d1sim"
)

func changePath(cardID string) string {
	return strings.Replace(orderPath(cardID), "production", "updateOrder", 1)
}

// outcome of the one UPDATE_ORDER that was notified.
func (b *backend) outcome(t *testing.T) operation {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.heard, func(o operation) bool { return o.Operation == "UPDATE_ORDER" })
	if i < 0 {
		t.Fatal("no UPDATE_ORDER was notified")
	}
	return b.heard[i]
}

func TestCancelAnOrder(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) { short(c, b); c.Settings.Day = time.Hour })
	r.order("ord-1", "card-1")
	a := r.must("POST", changePath("card-1"), `{"type":"CANCEL"}`, r.auth()...)
	if a.status != 202 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.Day = 10 * time.Millisecond }); err != nil {
		t.Fatal(err)
	}
	r.waitIdle()
	if o := b.outcome(t); o.Status != "SUCCESSFUL" || o.OperationID != a.member("operationId") || o.CardID != "card-1" || o.IssuerRequestID != "ord-1" {
		t.Errorf("outcome %+v", o)
	}
	if sum := r.sim.Summary(); sum.Cancelled != 1 || sum.Shipped != 0 || sum.CardsMade != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestChangeTooLate(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) { short(c, b) })
	r.order("ord-1", "card-1")
	r.waitIdle()
	if a := r.must("POST", changePath("card-1"), `{"type":"CANCEL"}`, r.auth()...); a.status != 202 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.waitIdle()
	if o := b.outcome(t); o.Status != "FAILED" || o.Details.Status != "CARD_SHIPPED" {
		t.Errorf("outcome %+v", o)
	}
	if n := len(b.statuses("ord-1")); n != 9 {
		t.Errorf("heard %d, want the eight steps and the outcome", n)
	}
}

func TestAccelerate(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, func(c *d1sim.Config) { short(c, b); c.Settings.Day = time.Hour })
	body := with(t, r.body("ord-1"), "services.issuance", "RENEWAL")
	r.must("POST", orderPath("card-1"), body, r.auth()...)
	before := r.sim.Ledger()[0].DueAt
	change := `{"type":"ACCELERATE_AND_REDIRECT","newDeliveryAddress":` + addressJSON + `}`
	if a := r.must("POST", changePath("card-1"), change, r.auth()...); a.status != 202 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	after := r.sim.Ledger()[0]
	if left := after.DueAt.Sub(after.ReceivedAt); !after.DueAt.Before(before) || left > 5*time.Hour {
		t.Errorf("due %v, was %v", after.DueAt, before)
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.Day = 10 * time.Millisecond }); err != nil {
		t.Fatal(err)
	}
	r.waitIdle()
	st := b.statuses("ord-1")
	slices.Sort(st)
	if sum := r.sim.Summary(); sum.Shipped != 1 || len(st) != 9 || len(slices.Compact(st)) != 8 {
		t.Errorf("%v %+v: no step may happen twice", st, sum)
	}
}

func TestChangeRefusals(t *testing.T) {
	r := newRig(t, nil)
	r.order("ord-1", "card-1")
	for name, tc := range map[string]struct {
		card, body string
		status     int
		field      string
	}{
		"unknown card": {"card-2", `{"type":"CANCEL"}`, 404, ""},
		"no type":      {"card-1", `{}`, 400, "type"},
		"type":         {"card-1", `{"type":"EXPLODE"}`, 400, "type"},
		"no address":   {"card-1", `{"type":"REDIRECT"}`, 400, "newDeliveryAddress"},
		"address":      {"card-1", `{"type":"REDIRECT","newDeliveryAddress":{"line1":"x"}}`, 400, "newDeliveryAddress.city"},
		"not JSON":     {"card-1", `x`, 400, ""},
	} {
		if a := r.must("POST", changePath(tc.card), tc.body, r.auth()...); a.status != tc.status || a.text() != tc.field {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestTheCentersRuleForChangesIsASetting(t *testing.T) {
	b := newBackend(t)
	s := newSite(t, func(c *d1sim.Config) {
		short(c, b)
		c.Settings.Day = time.Hour
		c.ChangePath = "/operations:pullAndChange"
	})
	s.order("ord-1", "card-1")
	s.patch(`{"changes":{"refused":1}}`)
	path := strings.Replace(changePath("card-1"), "updateOrder", "pullAndChange", 1)
	if a := s.must("POST", path, `{"type":"CANCEL"}`, s.auth()...); a.status != 202 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.patch(`{"faults":{"lost_notifications":1}}`)
	s.must("POST", path, `{"type":"CANCEL"}`, s.auth()...)
	s.patch(`{"faults":{"lost_notifications":0},"day":"10ms"}`)
	s.waitIdle()
	if o := b.outcome(t); o.Status != "FAILED" || s.sim.Summary().Shipped != 1 {
		t.Errorf("outcome %+v", o)
	}
	if e := s.events("?status=UPDATE_ORDER"); len(e) != 2 || e[0].Fault != "lost_notifications" && e[1].Fault != "lost_notifications" {
		t.Errorf("one told and one lost: %+v", e)
	}
	for _, bad := range []string{`{"changes":{"cancel_until":"CARD_SHIPPED"}}`, `{"changes":{"refused":2}}`, `{"client_certificate":"x"}`,
		`{"rate_limit":{"retry_after_form":"x"}}`, `{"faults":{"token_status":200}}`, `{"faults":{"goaway_every":-1}}`,
		`{"latency":{"p50":"-1s"}}`, `{"notification_retry_plan":["-1s"]}`, `{"notification_retry_plan":[1]}`, `{"day":"0s"}`} {
		if a := s.admin("PATCH", "/settings", bad); (a.status != 400) != strings.Contains(bad, `"0s"`) {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
}

// productionStatus lists changes beside the production, unless told not to.
func TestChangesAreListed(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.Settings.Day = time.Hour })
	r.order("ord-1", "card-1")
	id := r.must("POST", changePath("card-1"), `{"type":"CANCEL"}`, r.auth()...).member("operationId").(string)
	status := strings.Replace(orderPath("card-1"), "operations:production", "productionStatus", 1)
	if a := r.must("GET", status, "", r.auth()...); !strings.Contains(a.body, `{"operationId":"`+id+`","operation":"UPDATE_ORDER","status":"SUCCESSFUL"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.Changes.Unlisted = true }); err != nil {
		t.Fatal(err)
	}
	if a := r.must("GET", status, "", r.auth()...); strings.Contains(a.body, "UPDATE_ORDER") || !strings.Contains(a.body, "PRODUCE") {
		t.Errorf("%d %s", a.status, a.body)
	}
}
