package d1_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cardbatch/internal/d1"
	"cardbatch/internal/retry"
)

// clock is a clock for tests that moves when told.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC).Add(time.Duration(c.offset.Load()))
}

func (c *clock) move(d time.Duration) { c.offset.Add(int64(d)) }

func TestTokenRequest(t *testing.T) {
	t.Parallel()
	var c clock
	f := newFake(t, says(http.StatusAccepted, `{}`))
	client := f.client(t, func(cfg *d1.Config) {
		cfg.Now, cfg.Token.Audience = c.now, "https://api.d1.example"
	})
	for range 2 {
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.move(time.Hour)
	}
	ids := map[string]bool{}
	for i, form := range f.forms {
		v, err := url.ParseQuery(form)
		if err != nil || v.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			t.Fatalf("form %v, %v", v, err)
		}
		token, err := jwt.ParseSigned(v.Get("assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		if h := token.Headers[0]; h.KeyID != "jwt-1" || h.ExtraHeaders["typ"] != "JWT" {
			t.Errorf("header %v", h)
		}
		var claims jwt.Claims
		if err = token.Claims(&f.key.PublicKey, &claims); err != nil {
			t.Fatal(err)
		}
		at := c.now().Add(time.Duration(i-2) * time.Hour)
		if claims.Issuer != testIssuer || claims.Subject != testIssuer || !claims.Audience.Contains("https://api.d1.example") {
			t.Errorf("claims %v", claims)
		}
		if got := claims.Expiry.Time().Sub(at); got != 5*time.Minute {
			t.Errorf("expires after %v", got)
		}
		if got := claims.IssuedAt.Time().Sub(at); got != -30*time.Second {
			t.Errorf("issued %v from now", got)
		}
		ids[claims.ID] = true
	}
	if len(ids) != 2 || ids[""] {
		t.Errorf("%d different ids", len(ids))
	}
}

// TestTokenIsKept: it is used until a minute before its end, or half its life
// when that is short.
func TestTokenIsKept(t *testing.T) {
	t.Parallel()
	for expires, use := range map[string]time.Duration{
		`900`: 840 * time.Second, `"900"`: 840 * time.Second, `600.5`: 540 * time.Second,
		`90`: 45 * time.Second, `60`: 30 * time.Second, `null`: time.Minute, `"soon"`: time.Minute, `-5`: time.Minute,
	} {
		var c clock
		f := newFake(t, says(http.StatusAccepted, `{}`))
		f.token = says(http.StatusOK, `{"access_token":"secret","expires_in":`+expires+`}`)
		client := f.client(t, func(cfg *d1.Config) { cfg.Now = c.now })
		order := func() {
			if _, err := client.Order(t.Context(), call()); err != nil {
				t.Fatal(err)
			}
		}
		order()
		c.move(use - time.Second)
		order()
		if n := f.tokens.Load(); n != 1 {
			t.Errorf("expires_in %s: %d tokens before %v", expires, n, use)
		}
		c.move(2 * time.Second)
		order() // with the old one, while the next is fetched
		eventually(t, "expires_in "+expires+": no new token after "+use.String(), func() bool { return f.tokens.Load() == 2 })
	}
}

// TestTokenRenewedOn401: once per order, and by one fetch for all that were
// turned away together.
func TestTokenRenewedOn401(t *testing.T) {
	t.Parallel()
	const workers = 8
	var old sync.WaitGroup
	old.Add(workers)
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer token-1" {
			old.Done()
			old.Wait() // all have used the first token
			says(http.StatusUnauthorized, `{"error":"Unauthorized"}`)(w, r)
			return
		}
		says(http.StatusAccepted, `{}`)(w, r)
	})
	client := f.client(t)
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			if _, err := client.Order(t.Context(), call()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := f.tokens.Load(); n != 2 {
		t.Errorf("%d tokens", n)
	}
	if n := f.orders.Load(); n != 2*workers {
		t.Errorf("%d requests", n)
	}
}

func TestTokenTurnedAwayTwiceStops(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusUnauthorized, `{"errorCode":"AUTHORIZER_UNAUTHORIZED","error":"Unauthorized"}`))
	_, err := f.client(t).Order(t.Context(), call())
	if e := retry.Of(err); e.Class != retry.Stop || e.Code != "AUTHORIZER_UNAUTHORIZED" || e.Status != 401 {
		t.Errorf("%v", err)
	}
	if f.orders.Load() != 2 || f.tokens.Load() != 2 {
		t.Errorf("%d requests, %d tokens", f.orders.Load(), f.tokens.Load())
	}
}

// TestTokenFailures: whatever the token endpoint does, the order was not sent.
func TestTokenFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status      int
		body        string
		class       retry.Class
		unavailable bool
	}{
		{400, `{"error":"invalid_grant"}`, retry.Stop, false},
		{401, ``, retry.Stop, false},
		{403, ``, retry.Stop, false},
		{301, ``, retry.Stop, false},
		{429, ``, retry.NotDone, true},
		{500, ``, retry.NotDone, true},
		{503, ``, retry.NotDone, true},
		{200, ``, retry.NotDone, true},
		{200, `{"access_token":""}`, retry.NotDone, true},
		{200, `[]`, retry.NotDone, true},
		{204, ``, retry.NotDone, true},
	} {
		f := newFake(t, says(http.StatusAccepted, `{}`))
		f.token = says(c.status, c.body)
		_, err := f.client(t).Order(t.Context(), call())
		if e := retry.Of(err); e == nil || e.Class != c.class || e.Unavailable != c.unavailable || e.Code != "TOKEN" {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
		if f.orders.Load() != 0 {
			t.Errorf("%d %s: the order was sent", c.status, c.body)
		}
	}
}

func TestTokenEndpointOutOfReach(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusAccepted, `{}`))
	client := f.client(t, func(c *d1.Config) { c.TokenURL = "https://d1.invalid/token" })
	_, err := client.Order(t.Context(), call())
	if e := retry.Of(err); e.Class != retry.NotDone || !e.Unavailable || e.Code != "TOKEN" {
		t.Errorf("%v", err)
	}
}

// TestTokenFailureAnswersForAWhile: a dead token endpoint is not asked again
// by every order.
func TestTokenFailureAnswersForAWhile(t *testing.T) {
	t.Parallel()
	var c clock
	f := newFake(t, says(http.StatusAccepted, `{}`))
	f.token = says(http.StatusServiceUnavailable, "")
	client := f.client(t, func(cfg *d1.Config) { cfg.Now = c.now })
	for range 5 {
		if err := client.Authenticate(t.Context()); err == nil {
			t.Fatal("no error")
		}
	}
	if n := f.tokens.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	c.move(2 * time.Second)
	f.token = nil
	if err := client.Authenticate(t.Context()); err != nil {
		t.Errorf("after a while: %v", err)
	}
}

// TestTokenFailureAndClockPutBack: a failure does not go on for the hours that
// a clock was put back.
func TestTokenFailureAndClockPutBack(t *testing.T) {
	t.Parallel()
	var c clock
	f := newFake(t, says(http.StatusAccepted, `{}`))
	f.token = says(http.StatusServiceUnavailable, "")
	client := f.client(t, func(cfg *d1.Config) { cfg.Now = c.now })
	if err := client.Authenticate(t.Context()); err == nil {
		t.Fatal("no error")
	}
	c.move(-3 * time.Hour)
	f.token = nil
	if err := client.Authenticate(t.Context()); err != nil {
		t.Errorf("after the clock was put back: %v", err)
	}
}

// TestTokenWaitersHaveTheirOwnContext: the fetch is shared, and lives on when
// the one who started it gives up.
func TestTokenWaitersHaveTheirOwnContext(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	f := newFake(t, says(http.StatusAccepted, `{}`))
	f.token = func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-answer
		says(http.StatusOK, `{"access_token":"secret","expires_in":900}`)(w, r)
	}
	client := f.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	impatient, patient := make(chan error), make(chan error)
	go func() { impatient <- client.Authenticate(ctx) }()
	<-asked
	go func() { patient <- client.Authenticate(t.Context()) }()
	cancel()
	if e := retry.Of(<-impatient); e == nil || e.Class != retry.NotDone || e.Unavailable {
		t.Errorf("the impatient one got %v", e)
	}
	close(answer)
	if err := <-patient; err != nil {
		t.Errorf("the patient one got %v", err)
	}
	if n := f.tokens.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

// TestProbe asks D1 itself: neither the token in use nor a failure of a moment
// ago answers for it, and what it got is used.
func TestProbe(t *testing.T) {
	t.Parallel()
	var c clock
	var used atomic.Value
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		used.Store(r.Header.Get("Authorization"))
		says(http.StatusAccepted, `{}`)(w, r)
	})
	client := f.client(t, func(cfg *d1.Config) { cfg.Now = c.now })
	probe := func(want int32) error {
		t.Helper()
		err := client.Probe(t.Context())
		if n := f.tokens.Load(); n != want {
			t.Errorf("%d token requests, want %d", n, want)
		}
		return err
	}
	if err := errors.Join(client.Authenticate(t.Context()), probe(2)); err != nil {
		t.Error(err)
	}
	if _, err := client.Order(t.Context(), call()); err != nil || used.Load() != "Bearer token-2" {
		t.Errorf("%v, with %v", err, used.Load())
	}
	f.token = says(http.StatusServiceUnavailable, "")
	if e := retry.Of(probe(3)); e == nil || e.Class != retry.NotDone || !e.Unavailable {
		t.Errorf("D1 down: %v", e)
	}
	if _, err := client.Order(t.Context(), call()); err != nil {
		t.Errorf("the token in use is lost: %v", err)
	}
	f.token = says(http.StatusBadRequest, `{"error":"invalid_grant"}`)
	if e := retry.Of(probe(4)); e == nil || e.Class != retry.Stop {
		t.Errorf("D1 does not want us: %v", e)
	}
	f.token = nil
	if err := probe(5); err != nil {
		t.Error(err)
	}
}

func TestProbeGivenUp(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	f := newFake(t, nil)
	f.token = func(http.ResponseWriter, *http.Request) { close(asked); <-answer }
	client := f.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- client.Probe(ctx) }()
	<-asked
	cancel()
	if e := retry.Of(<-done); e == nil || e.Unavailable {
		t.Errorf("got %v", e)
	}
	close(answer)
}

func TestTokenIsNotShown(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusBadRequest, ``))
	f.token = says(http.StatusOK, `{"access_token":"hush","expires_in":900}`)
	client := f.client(t)
	_, err := client.Order(t.Context(), call())
	if err == nil {
		t.Fatal("accepted")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if strings.Contains(fmt.Sprintf(verb+verb, client, err), "hush") {
			t.Errorf("%s shows the token", verb)
		}
	}
}
