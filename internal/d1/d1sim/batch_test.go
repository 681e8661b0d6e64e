package d1sim_test

import (
	"fmt"
	"strings"
	"testing"

	"cardbatch/internal/d1/d1sim"
)

const batchPath = "/banking/v1/issuers/" + issuerID + "/physicalCards/operations:production"

// item is a good order as one of a batch.
func (r *rig) item(orderID, cardID string) string {
	r.t.Helper()
	return with(r.t, r.body(orderID), "cardId", cardID)
}

func cards(items ...string) string { return `{"cards":[` + strings.Join(items, ",") + `]}` }

func TestBatchPerCard(t *testing.T) {
	r := newRig(t, nil)
	a := r.must("POST", batchPath, cards(r.item("ord-1", "card-1"), with(t, r.item("ord-2", "card-2"), "services", nil),
		r.item("ord-3", "card-3")), r.auth()...)
	ops, _ := a.member("operations").([]any)
	if a.status != 202 || len(ops) != 3 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for i, want := range []string{"", badFormat, ""} {
		op := ops[i].(map[string]any)
		code, _ := op["errorCode"].(string)
		_, accepted := op["operationId"].(string)
		if op["cardId"] != fmt.Sprint("card-", i+1) || code != want || accepted != (want == "") {
			t.Errorf("card %d: %v", i+1, op)
		}
	}
	sum := r.sim.Summary()
	if sum.RequestsReceived != 1 || sum.CardsProduced != 2 || sum.OrdersRefused != 1 {
		t.Errorf("%+v", sum)
	}
	if again := r.order("ord-1", "card-1"); again.member("operationId") != ops[0].(map[string]any)["operationId"] {
		t.Error("the single order does not know what the batch brought")
	}
}

func TestBatchAllOrNothing(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) {
		c.Settings.BatchAnswer = d1sim.BatchAll
		c.Settings.Duplicates = d1sim.DuplicatesReject
	})
	bad := cards(r.item("ord-1", "card-1"), with(t, r.item("ord-2", "card-2"), "services.issuance", "x"))
	if a := r.must("POST", batchPath, bad, r.auth()...); a.status != 400 || a.text() != "services.issuance" {
		t.Errorf("bad: %d %s", a.status, a.body)
	}
	if n := r.sim.Summary().CardsProduced; n != 0 {
		t.Errorf("%d cards of a refused batch", n)
	}
	good := cards(r.item("ord-1", "card-1"), r.item("ord-2", "card-2"))
	if a := r.must("POST", batchPath, good, r.auth()...); a.status != 202 {
		t.Errorf("good: %d %s", a.status, a.body)
	}
	if a := r.must("POST", batchPath, cards(r.item("ord-3", "card-3"), r.item("ord-1", "card-1")), r.auth()...); a.status != 409 {
		t.Errorf("a known order in it: %d %s", a.status, a.body)
	}
	if n := r.sim.Summary().CardsProduced; n != 2 {
		t.Errorf("%d cards, want 2", n)
	}
}

func TestBatchFrame(t *testing.T) {
	r := newRig(t, nil)
	many := make([]string, 1001)
	for i := range many {
		many[i] = "{}"
	}
	for name, tc := range map[string]struct {
		body   string
		status int
		field  string
	}{
		"empty":          {cards(), 400, "cards"},
		"missing":        {`{}`, 400, "cards"},
		"too many":       {cards(many...), 400, "cards"},
		"not objects":    {`{"cards":[1]}`, 400, "cards"},
		"unknown member": {`{"cards":[{}],"extra":1}`, 400, "extra"},
		"not JSON":       {`{"cards":`, 400, ""},
		"no cardId":      {cards(r.body("ord-1")), 202, ""},
	} {
		if a := r.must("POST", batchPath, tc.body, r.auth()...); a.status != tc.status || a.text() != tc.field {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if n := r.sim.Summary().CardsProduced; n != 0 {
		t.Errorf("%d cards", n)
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.BatchAnswer = d1sim.BatchOff }); err != nil {
		t.Fatal(err)
	}
	if a := r.must("POST", batchPath, cards(r.item("ord-1", "card-1")), r.auth()...); a.status != 404 {
		t.Errorf("off: %d", a.status)
	}
}

func TestBatchHasItsOwnRate(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.Settings.BatchRateLimit = d1sim.RateLimit{PerSecond: 0.001, Burst: 1} })
	for i, want := range []int{202, 429} {
		id := fmt.Sprint("ord-", i)
		if a := r.must("POST", batchPath, cards(r.item(id, id)), r.auth()...); a.status != want {
			t.Errorf("batch %d: %d, want %d", i, a.status, want)
		}
	}
	if a := r.order("ord-9", "card-9"); a.status != 202 {
		t.Errorf("single order: %d", a.status)
	}
}
