package d1_test

import (
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cardbatch/internal/d1"
	"cardbatch/internal/retry"
)

// strict makes the token endpoint judge assertions by a clock of its own,
// without any tolerance, and say what time it is.
func (f *fakeD1) strict(now func() time.Time, date bool) {
	f.token = func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		form, _ := url.ParseQuery(f.forms[len(f.forms)-1])
		f.mu.Unlock()
		w.Header()["Date"] = nil
		if date {
			w.Header().Set("Date", now().Format(http.TimeFormat))
		}
		var claims jwt.Claims
		token, err := jwt.ParseSigned(form.Get("assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err == nil {
			err = token.Claims(&f.key.PublicKey, &claims)
		}
		exp, iat := claims.Expiry.Time(), claims.IssuedAt.Time()
		if err != nil || exp.Before(now()) || exp.After(now().Add(15*time.Minute)) || iat.After(now()) {
			says(http.StatusBadRequest, `{"error":"invalid_grant"}`)(w, r)
			return
		}
		says(http.StatusOK, `{"access_token":"secret","expires_in":900}`)(w, r)
	}
}

// TestTokenByD1sClock: ours may be wrong by minutes either way.
func TestTokenByD1sClock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		off   time.Duration // our clock minus D1's
		tries int32         // until the first token
		told  []string
	}{
		{0, 1, nil},
		{10 * time.Second, 1, nil},
		{-10 * time.Second, 1, nil},
		{-4 * time.Minute, 1, nil},
		{-6 * time.Minute, 2, []string{"our clock is 6m0s behind D1's"}},
		{-50 * time.Minute, 2, []string{"our clock is 50m0s behind D1's"}},
		{time.Minute, 2, []string{"our clock is 1m0s ahead of D1's"}},
		{12 * time.Minute, 2, []string{"our clock is 12m0s ahead of D1's"}},
		{50 * time.Minute, 2, []string{"our clock is 50m0s ahead of D1's"}},
	} {
		t.Run(c.off.String(), func(t *testing.T) {
			t.Parallel()
			var d1s, ours clock
			ours.move(c.off)
			var w warnings
			f := newFake(t, nil)
			f.strict(d1s.now, true)
			client := f.client(t, func(cfg *d1.Config) {
				cfg.Now, cfg.Warn = ours.now, w.warn
				cfg.Token.Lifetime = 5 * time.Minute
			})
			fetch := func(when string, least, most int32) {
				t.Helper()
				before := f.tokens.Load()
				err := client.Probe(t.Context())
				if n := f.tokens.Load() - before; err != nil || n < least || n > most {
					t.Errorf("%s: %v after %d requests", when, err, n)
				}
				d1s.move(time.Hour)
				ours.move(time.Hour)
			}
			fetch("at first", c.tries, c.tries)
			fetch("once known", 1, 1)
			w.expect(t, "once known", c.told...)
			ours.move(-c.off)
			fetch("put right", 1, 2)
			fetch("put right, once known", 1, 1)
			w.expect(t, "put right", c.told...)
		})
	}
}

// TestTokenAndAClockBeyondHope: nobody is told lies for, and nothing goes on
// for ever.
func TestTokenAndAClockBeyondHope(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		off   time.Duration
		date  bool
		key   bool // the right one
		tries int32
		told  []string
	}{
		"hours ahead":               {3 * time.Hour, true, true, 1, []string{"3h0m0s ahead"}},
		"D1 does not say the time":  {10 * time.Minute, false, true, 1, nil},
		"it is not for the clock":   {0, true, false, 1, nil},
		"it is not for it alone":    {10 * time.Minute, true, false, 2, []string{"10m0s ahead"}},
		"not for it, a little away": {5 * time.Second, true, false, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d1s, ours clock
			ours.move(c.off)
			var w warnings
			f := newFake(t, nil)
			f.strict(d1s.now, c.date)
			client := f.client(t, func(cfg *d1.Config) {
				cfg.Now, cfg.Warn = ours.now, w.warn
				if !c.key {
					cfg.Token.Key = newKey(t)
				}
			})
			for round := range int32(2) {
				err := client.Probe(t.Context())
				if e := retry.Of(err); e == nil || e.Class != retry.Stop || e.Code != "TOKEN" {
					t.Errorf("got %v", err)
				}
				if n := f.tokens.Load(); n != c.tries*(round+1) {
					t.Errorf("%d requests after round %d", n, round)
				}
			}
			w.expect(t, name, c.told...)
		})
	}
}

// TestTokenLifetimeStaysBelowD1sLimit: exp is never so far ahead that a clock
// a little fast would break the rule.
func TestTokenLifetimeStaysBelowD1sLimit(t *testing.T) {
	t.Parallel()
	var d1s, ours clock
	ours.move(20 * time.Second)
	f := newFake(t, nil)
	f.strict(d1s.now, false)
	client := f.client(t, func(cfg *d1.Config) { cfg.Now, cfg.Token.Lifetime = ours.now, 15*time.Minute })
	if err := client.Authenticate(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTokenEndpointDownForAWhile: the token in use serves until its end, and
// the endpoint is asked about once a second.
func TestTokenEndpointDownForAWhile(t *testing.T) {
	t.Parallel()
	var c clock
	f := newFake(t, says(http.StatusAccepted, `{}`))
	client := f.client(t, func(cfg *d1.Config) { cfg.Now = c.now })
	order := func() error {
		_, err := client.Order(t.Context(), call())
		return err
	}
	if err := order(); err != nil {
		t.Fatal(err)
	}
	var down sync.Mutex
	broken := true
	f.token = func(w http.ResponseWriter, r *http.Request) {
		down.Lock()
		defer down.Unlock()
		if broken {
			says(http.StatusBadGateway, "")(w, r)
			return
		}
		says(http.StatusOK, `{"access_token":"next","expires_in":900}`)(w, r)
	}
	c.move(845 * time.Second)
	for asked := int32(2); asked < 6; asked++ {
		for range 5 {
			if err := order(); err != nil {
				t.Fatalf("with 50 s left: %v", err)
			}
			eventually(t, "not renewed", func() bool { return f.tokens.Load() == asked && !d1.Fetching(client) })
		}
		c.move(2 * time.Second)
	}
	c.move(50 * time.Second)
	if e := retry.Of(order()); e == nil || e.Class != retry.NotDone || !e.Unavailable || e.Code != "TOKEN" {
		t.Errorf("with none left: %v", e)
	}
	down.Lock()
	broken = false
	down.Unlock()
	c.move(2 * time.Second)
	if err := order(); err != nil {
		t.Errorf("up again: %v", err)
	}
}

// TestTokenStorm: a D1 that turns everything away is not asked for a token by
// every order.
func TestTokenStorm(t *testing.T) {
	t.Parallel()
	var c clock
	f := newFake(t, says(http.StatusUnauthorized, `{"error":"Unauthorized"}`))
	client := f.client(t, func(cfg *d1.Config) { cfg.Now = c.now })
	storm := func(n int) {
		t.Helper()
		var group sync.WaitGroup
		for range n {
			group.Go(func() {
				_, err := client.Order(t.Context(), call())
				if e := retry.Of(err); e == nil || e.Class != retry.Stop || e.Status != http.StatusUnauthorized {
					t.Errorf("got %v", err)
				}
			})
		}
		group.Wait()
	}
	storm(50)
	if n := f.tokens.Load(); n > 2 {
		t.Errorf("%d tokens for 50 orders at once", n)
	}
	for range 50 {
		storm(1)
	}
	if n := f.tokens.Load(); n > 2 {
		t.Errorf("%d tokens for 50 orders more", n)
	}
	c.move(time.Minute)
	storm(10)
	if n := f.tokens.Load(); n != 3 {
		t.Errorf("%d tokens after a while", n)
	}
}

// TestTokenRevoked: as often as it is, as long as D1 takes the new ones.
func TestTokenRevoked(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	good := 1
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer token-"+strconv.Itoa(good) {
			says(http.StatusUnauthorized, `{}`)(w, r)
			return
		}
		says(http.StatusAccepted, `{}`)(w, r)
	})
	client := f.client(t)
	for range 10 {
		if _, err := client.Order(t.Context(), call()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		good++
		mu.Unlock()
	}
}

// TestTokenEndpointIsSlow: the order waits no longer than it may, and was not
// sent.
func TestTokenEndpointIsSlow(t *testing.T) {
	t.Parallel()
	f := newFake(t, says(http.StatusAccepted, `{}`))
	answer := make(chan struct{})
	f.token = func(http.ResponseWriter, *http.Request) { <-answer }
	client := f.client(t, func(c *d1.Config) { c.Timeout = short })
	_, err := client.Order(t.Context(), call())
	if e := retry.Of(err); e == nil || e.Class != retry.NotDone || !e.Unavailable || e.Code != "TOKEN" {
		t.Errorf("got %v", err)
	}
	close(answer)
	if n := f.orders.Load(); n != 0 {
		t.Errorf("%d orders arrived", n)
	}
}
