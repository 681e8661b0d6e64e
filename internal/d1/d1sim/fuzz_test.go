package d1sim_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cardbatch/internal/d1/d1sim"
)

// FuzzOrderBody: whatever is sent, the answer is one of the documented ones,
// and an accepted order is a JSON object with the members Thales requires.
func FuzzOrderBody(f *testing.F) {
	r := newRig(f, func(c *d1sim.Config) { c.Settings.SkipDecryption = true })
	auth := "Bearer " + r.login()
	good := orderBody("ord-1", "a..b.c.d")
	f.Add(good)
	for _, path := range []string{"services", "shipment.deliveryAddress", "encryptedData", "packagingConfig.inserts"} {
		f.Add(with(f, good, path, nil))
		f.Add(with(f, good, path, []any{1, "x", nil}))
	}
	f.Add(`{"services":null}`)
	f.Add(`[]`)
	h := r.sim.Handler()
	f.Fuzz(func(t *testing.T, body string) {
		req := httptest.NewRequest(http.MethodPost, orderPath("card-1"), strings.NewReader(body))
		req.Header.Set("Authorization", auth)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%d: the answer is not JSON: %v", w.Code, err)
		}
		switch w.Code {
		case http.StatusAccepted:
			var o struct {
				Channel string          `json:"distributionChannel"`
				Product string          `json:"cardProductId"`
				Ship    json.RawMessage `json:"shipment"`
			}
			if json.Unmarshal([]byte(body), &o) != nil || answer["operationId"] == "" {
				t.Fatalf("accepted %q with %v", body, answer)
			}
		case http.StatusBadRequest:
			if code := answer["errorCode"]; code != "" && (answer["error"] == "" || !strings.HasPrefix(code, "FIELD_INVALID_")) {
				t.Fatalf("%v", answer)
			}
		case http.StatusForbidden:
			if answer["errorCode"] != forbidden {
				t.Fatalf("%v", answer)
			}
		case http.StatusRequestEntityTooLarge:
		default:
			t.Fatalf("%d", w.Code)
		}
		if r.sim.Summary().OrdersReceived > 1000 {
			r.sim.Reset()
		}
	})
}
