package d1sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/d1/d1sim"
)

func TestSpoiltAnswers(t *testing.T) {
	for _, h1 := range []bool{false, true} {
		for _, tc := range []struct {
			fault string
			check func(answer, error) bool
		}{
			{"truncated", func(a answer, err error) bool {
				return a.status == 202 && errors.Is(err, io.ErrUnexpectedEOF) && strings.HasPrefix(a.body, `{"opera`)
			}},
			{"not_json", func(a answer, err error) bool {
				return err == nil && a.status == 202 && strings.HasPrefix(a.body, "<!DOCTYPE") && strings.HasPrefix(a.header.Get("Content-Type"), "text/html")
			}},
			{"no_operation_id", func(a answer, err error) bool { return err == nil && a.status == 202 && a.body == "{}" }},
		} {
			t.Run(fmt.Sprint(tc.fault, " h1=", h1), func(t *testing.T) {
				s := newSite(t, nil)
				if h1 {
					s.plain()
				}
				s.login()
				s.patch(`{"faults":{"` + tc.fault + `":1}}`)
				a, err := s.try("ord-1", "card-1")
				if !tc.check(a, err) {
					t.Errorf("%d %q %v", a.status, a.body, err)
				}
				if l := s.sim.Ledger(); len(l) != 1 || l[0].Answer != 202 {
					t.Errorf("ledger %+v", l)
				}
				if n := s.sim.FaultCounts()[tc.fault]; n != 1 {
					t.Errorf("%d faults counted", n)
				}
				s.patch(`{"faults":{"` + tc.fault + `":0}}`)
				if a, err := s.try("ord-2", "card-2"); err != nil || a.member("operationId") == nil {
					t.Errorf("switched off: %d %q %v", a.status, a.body, err)
				}
			})
		}
	}
}

func TestSlowBody(t *testing.T) {
	s := newSite(t, nil)
	s.login()
	s.patch(`{"faults":{"slow_body":1,"slow_body_for":"1h"}}`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+orderPath("card-1"), strings.NewReader(orderBody("ord-1", "a..b.c.d")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.login())
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(req)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("the head came not: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	cancel() // as a client does that has waited long enough
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the whole body came at once: %s", b)
	}
	s.patch(`{"faults":{"slow_body_for":"40ms"}}`)
	if a, err := s.try("ord-2", "card-2"); err != nil || a.member("operationId") == nil {
		t.Errorf("a body that comes in pieces: %q %v", a.body, err)
	}
}

func TestLatencyIsSwitchedAndWaitsAtLeastSoLong(t *testing.T) {
	s := newSite(t, nil)
	s.login()
	s.patch(`{"latency":{"p50":"1ms","p99":"2ms","min":"30ms","max":"31ms"}}`)
	start := time.Now()
	if _, err := s.try("ord-1", "card-1"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 30*time.Millisecond {
		t.Errorf("answered after %s", d)
	}
}

func TestQuotaOfEachIssuer(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 500, time.UTC)
	s := newSite(t, func(c *d1sim.Config) { c.Now = func() time.Time { return now } })
	assertion, err := s.keys.Assertion(now)
	if err != nil {
		t.Fatal(err)
	}
	s.token = s.must("POST", tokenPath, s.form(assertion), "Content-Type", formType).member("access_token").(string)
	s.patch(`{"rate_limit":{"per_second":2,"burst":1,"retry_after":"3s"}}`)
	ask := func(n int) answer {
		a, err := s.try(fmt.Sprint("ord-", n), fmt.Sprint("card-", n))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask(1); a.status != 202 {
		t.Fatalf("the first: %d %s", a.status, a.body)
	}
	if a := ask(2); a.status != 429 || a.header.Get("Retry-After") != "3" {
		t.Errorf("the second: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	s.patch(`{"rate_limit":{"retry_after_form":"date"}}`)
	if at, err := http.ParseTime(ask(2).header.Get("Retry-After")); err != nil || at.Before(now.Add(3*time.Second)) || at.After(now.Add(4*time.Second)) {
		t.Errorf("as a date: %v %v", at, err)
	}
	s.patch(`{"rate_limit":{"retry_after_form":"none"}}`)
	if a := ask(2); a.status != 429 || a.header.Get("Retry-After") != "" {
		t.Errorf("none: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	now = now.Add(500 * time.Millisecond)
	if a := ask(2); a.status != 202 {
		t.Errorf("half a second later: %d", a.status)
	}
	s.patch(`{"status_rate_limit":{"per_second":1,"burst":1}}`)
	first, second := s.must("GET", statusPath("card-1"), "", s.auth()...), s.must("GET", statusPath("card-1"), "", s.auth()...)
	if first.status != 200 || second.status != 429 || s.sim.Summary().Throttled != 4 {
		t.Errorf("productionStatus: %d, then %d; %d throttled", first.status, second.status, s.sim.Summary().Throttled)
	}
	if e := s.events("?fault=rate_limit"); len(e) != 4 || e[0].Answer != 429 {
		t.Errorf("events %+v", e)
	}
}

func TestTokenFailures(t *testing.T) {
	s := newSite(t, nil)
	assertion, err := s.keys.Assertion(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() answer { return s.must("POST", tokenPath, s.form(assertion), "Content-Type", formType) }
	for settings, want := range map[string]int{
		`"token_error":1`:                       503,
		`"token_error":1,"token_status":429`:    429,
		`"token_garbage":1`:                     200,
		`"token_down":true`:                     503,
		`"token_slow":1,"token_slow_for":"1ms"`: 200,
	} {
		s.patch(`{"faults":{"token_error":0,"token_garbage":0,"token_slow":0,"token_down":false,"token_status":503}}`)
		s.patch(`{"faults":{` + settings + `}}`)
		a := ask()
		if a.status != want || (a.member("access_token") != nil) != strings.Contains(settings, "slow") {
			t.Errorf("%s: %d %s", settings, a.status, a.body)
		}
	}
	s.patch(`{"faults":{"token_error":0.5,"token_garbage":0,"token_slow":0,"token_down":false,"token_status":503}}`)
	failures := 0
	for range 100 {
		if ask().status == 503 {
			failures++
		}
	}
	if failures < 30 || failures > 70 {
		t.Errorf("%d of 100 failed at a share of one half", failures)
	}
}

func TestGoaway(t *testing.T) {
	s := newSite(t, func(c *d1sim.Config) { c.Settings.Faults.GoawayEvery = 3 })
	for i := range 9 { // the token is the first request
		if a, err := s.try(fmt.Sprint("ord-", i), fmt.Sprint("card-", i)); err != nil || a.status != 202 {
			t.Errorf("order %d: %d %v", i, a.status, err)
		}
	}
	if n := s.d.Connections(); n != 4 {
		t.Errorf("%d connections for ten requests, three for each", n)
	}
	if sum := s.sim.Summary(); sum.CardsProduced != 9 || sum.ProducedTwice != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestResetOfAWholeConnection(t *testing.T) {
	s := newSite(t, nil)
	s.login()
	s.patch(`{"faults":{"slow":1,"slow_for":"1h"}}`)
	bystander := make(chan error, 1)
	go func() {
		_, err := s.try("ord-1", "card-1")
		bystander <- err
	}()
	if err := s.sim.Wait(t.Context(), func(sum d1sim.Summary) bool { return sum.OrdersAccepted == 1 }); err != nil {
		t.Fatal(err)
	}
	s.patch(`{"faults":{"slow":0,"reset_before":1,"reset_connection":true}}`)
	if _, err := s.try("ord-2", "card-2"); err == nil {
		t.Error("answered in spite of all")
	}
	if err := <-bystander; err == nil {
		t.Error("the other stream of the connection was answered")
	}
}

// meet sends orders with eight workers, each until D1 answers 202, and returns
// which faults each card met, in turn.
func meet(t *testing.T, seed uint64) map[string][]string {
	t.Helper()
	s := newSite(t, func(c *d1sim.Config) {
		c.Seed = seed
		c.Settings.Faults = d1sim.Faults{ErrorBefore: 0.1, ErrorAfter: 0.1, ResetBefore: 0.1, ResetAfter: 0.1, Truncated: 0.1, NotJSON: 0.1}
	})
	s.login()
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := w; i < 160; i += 8 {
				for range 8 {
					a, err := s.try(fmt.Sprint("ord-", i), fmt.Sprint("card-", i))
					if err == nil && a.status == 202 && a.member("operationId") != nil {
						break
					}
				}
			}
		})
	}
	workers.Wait()
	met := map[string][]string{}
	for _, e := range s.events("?kind=order") {
		met[e.CardID] = append(met[e.CardID], e.Fault)
	}
	return met
}

func TestTheSameSeedMakesTheSameFaults(t *testing.T) {
	first := meet(t, 5)
	if diff := cmp.Diff(first, meet(t, 5)); diff != "" {
		t.Errorf("another night with the same seed:\n%s", diff)
	}
	if cmp.Equal(first, meet(t, 6)) {
		t.Error("another seed makes the same faults")
	}
}
