package notification_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

// Whatever D1 puts into a notification is taken: one that is answered 503 for
// what it says comes again and again, and keeps what it says from being applied.
func TestNothingInJSONIsPoison(t *testing.T) {
	t.Parallel()
	const orders = 12
	r, s := newStoreBench(t, orders)
	nasty := []any{nil, true, 0, -1, 1e308, "", " ", "\x00", "\u0000ord-1", "'; DROP TABLE orders; --", "\xff\xfe", "\u202eord-1", strings.Repeat("x", 5000),
		strings.Repeat("4111111111111111 ", 40), []any{}, []any{"ord-1"}, map[string]any{}, map[string]any{"status": "CARD_SHIPPED"}, "\U0010ffff", "9999-12-31T23:59:59Z",
		"0000-00-00", "0001-01-01T00:00:00Z", "2026-03-01T09:00:00.123456789+14:00", "-2026-03-01"}
	of := func(good ...any) *rapid.Generator[any] {
		return rapid.OneOf(rapid.SampledFrom(append(good, nasty...)), rapid.SampledFrom(good))
	}
	fields := map[string]*rapid.Generator[any]{
		"operationId": of("op-1", "op-2", "op-3"), "operation": of("PRODUCE", "UPDATE_ORDER", "CREATE"), "status": of("PENDING", "SUCCESSFUL", "FAILED"),
		"startTime": of("2026-03-01T08:00:00Z"), "endTime": of("2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"), "cardId": of("card-1", "card-2", "card-3"),
		"issuerRequestId": of("ord-1", "ord-2", "ord-3"), "inputFileName": of("f.csv"), "errorCode": of("E"), "error": of("bad"), "message": of("hello"),
	}
	details := map[string]*rapid.Generator[any]{
		"status": of("CARD_PROD_REQUESTED", "CARD_PROD_ON_HOLD", "CARD_PROD_DONE", "CARD_SHIPPED", "CARD_RETURNED", "DATA_EXCEPTION", "CARD_BLESSED"),
		"reason": of("STOCK"), "dueDate": of("2026-03-05"), "productionSite": of("A"), "issuerRequestId": of("ord-1"),
	}
	shipment := map[string]*rapid.Generator[any]{
		"carrier": of("ups"), "trackingNumber": of("T1"), "trackingUrl": of("https://example.com/T1"), "status": of("InTransit", "Delivered"), "message": of("m"),
	}
	draw := func(rt *rapid.T, from map[string]*rapid.Generator[any]) map[string]any {
		m := map[string]any{}
		for name, g := range from {
			if rapid.IntRange(0, 9).Draw(rt, "has "+name) > 0 {
				m[name] = g.Draw(rt, name)
			}
		}
		return m
	}
	rapid.Check(t, func(rt *rapid.T) {
		operations := []any{}
		for range rapid.IntRange(0, 3).Draw(rt, "operations") {
			op := draw(rt, fields)
			d := draw(rt, details)
			d["shipment"] = draw(rt, shipment)
			op["details"] = rapid.OneOf(rapid.Just[any](d), rapid.SampledFrom(nasty)).Draw(rt, "details")
			operations = append(operations, rapid.OneOf(rapid.Just[any](op), rapid.Just[any](op), rapid.SampledFrom(nasty)).Draw(rt, "operation"))
		}
		body, err := json.Marshal(map[string]any{"operations": operations})
		if err != nil {
			rt.Fatal(err)
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(string(body))))
		if w.Code != http.StatusNoContent {
			rt.Fatalf("answered %d", w.Code)
		}
	})
	must(t, s.Balance(t.Context()))
	for o, err := range s.OrdersOfBatch(t.Context(), 1) {
		must(t, err)
		if strings.Contains(o.Production.Reason+o.Production.Shipment.Message, "4111") {
			t.Error("a card number of D1's text is stored")
		}
		if o.State != issuance.Submitted && o.State != issuance.Submitting {
			t.Errorf("%s is %s", o.OrderID, o.State)
		}
	}
	for p, err := range s.ParkedOperations(t.Context(), issuer, time.Now().Add(time.Second)) {
		must(t, err)
		if strings.Contains(p.IssuerRequestID, "\x00") {
			t.Errorf("parked under %q", p.IssuerRequestID)
		}
	}
}
