package d1sim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/d1/d1sim"
)

func TestFaultsOfTheOrderEndpoint(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, tc := range []struct {
			name      string
			faults    d1sim.Faults
			status    int // 0: no answer
			processed bool
		}{
			{"error before", d1sim.Faults{ErrorBefore: 1}, 503, false},
			{"error after", d1sim.Faults{ErrorAfter: 1, ErrorStatus: 504}, 504, true},
			{"reset before", d1sim.Faults{ResetBefore: 1}, 0, false},
			{"reset after", d1sim.Faults{ResetAfter: 1}, 0, true},
			{"revoked token", d1sim.Faults{RevokeTokens: 1}, 401, false},
		} {
			t.Run(fmt.Sprint(tc.name, " h2=", h2), func(t *testing.T) {
				r := newRig(t, nil)
				if h2 {
					r.overHTTP2()
				}
				r.login()
				if err := r.sim.Adjust(func(s *d1sim.Settings) { s.Faults = tc.faults }); err != nil {
					t.Fatal(err)
				}
				a, err := r.do("POST", orderPath("card-1"), r.body("ord-1"), r.auth()...)
				if (err != nil) != (tc.status == 0) || a.status != tc.status {
					t.Errorf("%d %s %v, want %d", a.status, a.body, err, tc.status)
				}
				l := r.sim.Ledger()
				if (len(l) == 1) != tc.processed {
					t.Fatalf("ledger %+v, want processed %v", l, tc.processed)
				}
				if tc.processed && l[0].TimesReceived != 1 {
					t.Errorf("received %d times", l[0].TimesReceived)
				}
			})
		}
	}
}

// overHTTP2 puts another server, with TLS and HTTP/2, before the simulator.
func (r *rig) overHTTP2() {
	srv := httptest.NewUnstartedServer(r.sim.Handler())
	srv.EnableHTTP2 = true
	srv.StartTLS()
	r.t.Cleanup(srv.Close)
	r.http.CloseIdleConnections()
	r.http, r.url = srv.Client(), srv.URL
}

func TestSlowAnswer(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.Settings.Faults.Slow = 1 })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+orderPath("card-1"), strings.NewReader(r.body("ord-1")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.login())
	req.Header.Set("Content-Type", "application/json")
	done := make(chan error, 1)
	go func() {
		resp, err := r.http.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		done <- err
	}()
	if err := r.sim.Wait(t.Context(), func(s d1sim.Summary) bool { return s.OrdersAccepted == 1 }); err != nil {
		t.Fatal(err)
	}
	cancel() // the client gives up: for it the outcome is unknown
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("answered in spite of all: %v", err)
	}
}

func TestTokenDown(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.Settings.Faults.TokenDown = true })
	if a := r.must("POST", tokenPath, "x=y", "Content-Type", formType); a.status != 503 {
		t.Errorf("%d", a.status)
	}
}

func TestProductionStatus(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.Settings.Day = time.Hour })
	if a := r.must("GET", statusPath("card-1"), "", r.auth()...); a.status != 404 || a.code() != "CARD_NOT_FOUND" {
		t.Errorf("unknown card: %d %s", a.status, a.body)
	}
	op := r.order("ord-1", "card-1").member("operationId").(string)
	r.order("ord-2", "card-1")
	for _, path := range []string{statusPath("card-1"),
		strings.NewReplacer("physicalCards", "physicalcards", "productionStatus", "productionstatus").Replace(statusPath("card-1"))} {
		a := r.must("GET", path, "", r.auth()...)
		if a.status != 200 || strings.Count(a.body, `"operationId"`) != 2 || !strings.Contains(a.body, op) ||
			!strings.Contains(a.body, "CARD_PROD_REQUESTED") || !strings.Contains(a.body, `"issuerRequestId":"ord-2"`) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := r.must("POST", statusPath("card-1"), "", r.auth()...); a.status != 404 {
		t.Errorf("POST: %d", a.status)
	}
}

func TestProductionStatusLags(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.Settings.StatusLag = time.Hour })
	r.order("ord-1", "card-1")
	r.waitIdle()
	if a := r.must("GET", statusPath("card-1"), "", r.auth()...); a.status != 404 {
		t.Errorf("while it lags: %d %s", a.status, a.body)
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.StatusLag = 0 }); err != nil {
		t.Fatal(err)
	}
	a := r.must("GET", statusPath("card-1"), "", r.auth()...)
	if a.status != 200 || !strings.Contains(a.body, "Delivered") {
		t.Errorf("later: %d %s", a.status, a.body)
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.Faults.StatusError = 1 }); err != nil {
		t.Fatal(err)
	}
	if a := r.must("GET", statusPath("card-1"), "", r.auth()...); a.status != 503 {
		t.Errorf("fault: %d", a.status)
	}
}

func TestAdmin(t *testing.T) {
	r := newRig(t, nil)
	r.order("ord-1", "card-1")
	r.order("ord-2", "card-2")
	r.must("POST", orderPath("card-3"), with(t, r.body("ord-3"), "services", nil), r.auth()...)
	r.waitIdle()
	admin := r.sim.AdminHandler()
	ask := func(method, path, body, from string) answer {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.RemoteAddr = from
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, req)
		return answer{w.Code, w.Header(), w.Body.String()}
	}
	const here = "127.0.0.1:5000"
	if a := ask("GET", "/admin/ledger", "", "192.0.2.1:5000"); a.status != 403 {
		t.Errorf("from outside: %d", a.status)
	}
	a := ask("GET", "/admin/ledger", "", here)
	orders, _ := a.member("orders").([]any)
	totals, _ := a.member("totals").(map[string]any)
	if len(orders) != 3 || totals["orders_received"] != 3.0 || totals["cards_produced"] != 2.0 || totals["shipped"] != 2.0 ||
		totals["produced_twice"] != 0.0 || totals["orders_refused"] != 1.0 {
		t.Errorf("ledger: %d %s", a.status, a.body)
	}
	for path, want := range map[string]int{
		"?issuerRequestId=ord-2": 1, "?cardId=card-3": 1, "?after=1": 2, "?limit=1": 1, "?after=9": 0, "?cardId=none": 0} {
		a := ask("GET", "/admin/ledger"+path, "", here)
		if got, _ := a.member("orders").([]any); len(got) != want {
			t.Errorf("%s: %d orders, want %d", path, len(got), want)
		}
	}
	if a := ask("GET", "/admin/ledger?after=x", "", here); a.status != 400 {
		t.Errorf("after=x: %d", a.status)
	}
	if a := ask("GET", "/admin/ledger/summary", "", "[::1]:5000"); a.member("cards_made") != 2.0 {
		t.Errorf("summary: %s", a.body)
	}
	if a := ask("GET", "/admin/idle?timeout=1s", "", here); a.status != 200 {
		t.Errorf("idle: %d", a.status)
	}
	a = ask("PATCH", "/admin/settings", `{"duplicates":"reject","latency":{"max":"3ms"},"faults":{"reset_after":0.5}}`, here)
	if set := r.sim.Settings(); a.status != 200 || set.Duplicates != "reject" || set.Latency.Max != 3*time.Millisecond ||
		set.Faults.ResetAfter != 0.5 || set.Faults.ErrorStatus != 503 || set.Day != 20*time.Millisecond {
		t.Errorf("patch: %s %+v", a.body, set)
	}
	if a := ask("GET", "/admin/settings", "", here); a.member("duplicates") != "reject" || a.member("day") != "20ms" {
		t.Errorf("settings: %s", a.body)
	}
	for _, bad := range []string{`{"duplicate":"reject"}`, `{"duplicates":"x"}`, `{"faults":{"slow":7}}`, `{`} {
		if a := ask("PATCH", "/admin/settings", bad, here); a.status != 400 || r.sim.Settings().Duplicates != "reject" {
			t.Errorf("patch %s: %d", bad, a.status)
		}
	}
	if a := ask("POST", "/admin/revoke-tokens", "", here); a.status != 204 {
		t.Errorf("revoke: %d", a.status)
	}
	if a := ask("POST", "/admin/reset", "", here); a.status != 204 || r.sim.Summary().OrdersReceived != 0 {
		t.Errorf("reset: %d", a.status)
	}
}
