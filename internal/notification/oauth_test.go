package notification_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
)

const (
	secretOld = "made-up-secret-of-the-old-client"
	secretNew = "made-up-secret-of-the-new-client"
)

func oauth(tb testing.TB) *notification.OAuth {
	tb.Helper()
	hash := func(secret string) string {
		h, err := notification.HashSecretCheaply(secret)
		must(tb, err)
		return h
	}
	return &notification.OAuth{Key: []byte(strings.Repeat("k", 32)), Clients: []notification.OAuthClient{
		{ID: "d1-old", SecretHashes: []string{hash(secretOld)}},
		{ID: "d1-new", SecretHashes: []string{hash("not yet used"), hash(secretNew)}, Scopes: []string{"notifications", "other"}},
	}}
}

func newOAuthBench(tb testing.TB, change func(*notification.OAuth)) (*bench, *tally) {
	tb.Helper()
	meter := newTally()
	o := oauth(tb)
	if change != nil {
		change(o)
	}
	return newBench(tb, func(c *notification.Config, d *notification.Deps) { c.OAuth, d.Meter = o, meter }), meter
}

type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   any    `json:"expires_in"`
	ExpiresAt   string `json:"expires_at"`
	Scope       string `json:"scope"`
	Error       string `json:"error"`

	code   int
	header http.Header
}

// ask asks for a token.
func (b *bench) ask(tb testing.TB, id, secret, form string) tokenAnswer {
	tb.Helper()
	req := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/oauth2/token", strings.NewReader(form))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, req)
	a := tokenAnswer{code: w.Code, header: w.Header()}
	must(tb, json.NewDecoder(w.Body).Decode(&a))
	return a
}

// with sends a good notification with an Authorization header.
func (b *bench) with(tb testing.TB, authorization string) (int, string) {
	tb.Helper()
	req := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, path, strings.NewReader(good))
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, req)
	return w.Code, w.Header().Get("WWW-Authenticate")
}

const grant = "grant_type=client_credentials"

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	b, meter := newOAuthBench(t, nil)
	for _, tt := range []struct {
		name, id, secret, form string
		code                   int
		want                   string // scope, or error
	}{
		{"old client", "d1-old", secretOld, grant, 200, "notifications"},
		{"new client, second secret", "d1-new", secretNew, grant, 200, "notifications other"},
		{"again, from memory", "d1-new", secretNew, grant, 200, "notifications other"},
		{"one scope", "d1-new", secretNew, grant + "&scope=other", 200, "other"},
		{"in the form", "", "", grant + "&client_id=d1-old&client_secret=" + secretOld, 200, "notifications"},
		{"a scope it has not", "d1-old", secretOld, grant + "&scope=other", 400, "invalid_scope"},
		{"both ways", "d1-old", secretOld, grant + "&client_secret=x", 400, "invalid_request"},
		{"twice", "d1-old", secretOld, grant + "&" + grant, 400, "invalid_request"},
		{"no grant", "d1-old", secretOld, "", 400, "invalid_request"},
		{"another grant", "d1-old", secretOld, "grant_type=password", 400, "unsupported_grant_type"},
		{"too long", "d1-old", secretOld, grant + "&x=" + strings.Repeat("x", 10000), 400, "invalid_request"},
		{"another's secret", "d1-old", secretNew, grant, 401, "invalid_client"},
		{"nobody", "d1-other", secretOld, grant, 401, "invalid_client"},
		{"no secret", "d1-old", "", grant, 401, "invalid_client"},
		{"nothing", "", "", grant, 401, "invalid_client"},
	} {
		a := b.ask(t, tt.id, tt.secret, tt.form)
		if a.code != tt.code || tt.code == 200 && a.Scope != tt.want || tt.code != 200 && a.Error != tt.want {
			t.Errorf("%s: answered %d, scope %q, error %q", tt.name, a.code, a.Scope, a.Error)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the answer may be cached", tt.name)
		}
		if (a.header.Get("WWW-Authenticate") == `Basic realm="cardbatch"`) != (tt.code == 401) {
			t.Errorf("%s: WWW-Authenticate %q", tt.name, a.header.Get("WWW-Authenticate"))
		}
		if tt.code == 200 && (a.TokenType != "Bearer" || a.ExpiresIn != "900" || a.ExpiresAt == "") {
			t.Errorf("%s: %s, expires in %v, at %q", tt.name, a.TokenType, a.ExpiresIn, a.ExpiresAt)
		}
	}
	if got := meter.snapshot(); got["token_client"] != 4 || got["token_request"] != 6 {
		t.Errorf("counted %v", got)
	}
	if strings.Contains(b.log.String(), "made-up") {
		t.Error("a secret is in the log")
	}
	if code, _ := b.send(t, http.MethodGet, "/oauth2/token", nil); code != 405 {
		t.Errorf("GET is answered %d", code)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/oauth2/token", strings.NewReader(`{"grant_type":"client_credentials"}`))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	if b.ServeHTTP(w, req); w.Code != 400 {
		t.Errorf("JSON is answered %d", w.Code)
	}
}

// A wrong bearer is refused as RFC 6750 wants it, and counted.
func TestBearer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := oauth(t)
		b, meter := newOAuthBench(t, func(c *notification.OAuth) { *c = *o })
		token := b.ask(t, "d1-new", secretNew, grant).AccessToken
		scoped := b.ask(t, "d1-new", secretNew, grant+"&scope=other").AccessToken
		foreign, _ := newOAuthBench(t, func(c *notification.OAuth) { c.Key = []byte(strings.Repeat("x", 32)) })
		restarted, _ := newOAuthBench(t, func(c *notification.OAuth) { *c = *o })
		reduced, _ := newOAuthBench(t, func(c *notification.OAuth) { *c = *o; c.Clients = c.Clients[:1] })
		forged := token[:8] + "A" + token[9:]
		if forged == token {
			forged = token[:8] + "B" + token[9:]
		}
		expect := func(name string, b *bench, authorization string, want int, says string) {
			t.Helper()
			if code, challenge := b.with(t, authorization); code != want || !strings.Contains(challenge, says) || (challenge == "") != (want == 204) {
				t.Errorf("%s: answered %d, %q", name, code, challenge)
			}
		}
		expect("good", b, "Bearer "+token, 204, "")
		expect("lower case", b, "bearer "+token, 204, "")
		expect("after a restart", restarted, "Bearer "+token, 204, "")
		expect("client removed", reduced, "Bearer "+token, 401, `error="invalid_token"`)
		expect("other key", foreign, "Bearer "+token, 401, `error="invalid_token"`)
		expect("none", b, "", 401, `Bearer realm="cardbatch"`)
		expect("Basic", b, "Basic abc", 401, `Bearer realm="cardbatch"`)
		expect("rubbish", b, "Bearer rubbish", 401, `error="invalid_token"`)
		expect("forged", b, "Bearer "+forged, 401, `error="invalid_token"`)
		expect("cut", b, "Bearer "+token[:len(token)-1], 401, `error="invalid_token"`)
		expect("scope", b, "Bearer "+scoped, 403, `error="insufficient_scope"`)
		<-time.After(15*time.Minute - time.Second)
		expect("nearly expired", b, "Bearer "+token, 204, "")
		<-time.After(time.Second)
		expect("expired", b, "Bearer "+token, 401, "expired")
		got := meter.snapshot()
		if got["bearer_missing"] != 2 || got["bearer_invalid"] != 3 || got["bearer_scope"] != 1 || got["bearer_expired"] != 1 {
			t.Errorf("counted %v", got)
		}
		if len(b.store.taken) != 1 {
			t.Errorf("%d stored", len(b.store.taken))
		}
	})
}

func TestNumericExpiry(t *testing.T) {
	t.Parallel()
	b, _ := newOAuthBench(t, func(c *notification.OAuth) { c.NumericExpiry, c.Lifetime = true, time.Minute })
	if got := b.ask(t, "d1-old", secretOld, grant).ExpiresIn; got != 60.0 {
		t.Errorf("expires_in %v", got)
	}
}

// Guessing is stopped, and does not keep out who knows the secret for longer
// than a moment, nor who comes with another certificate.
func TestGuesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, meter := newOAuthBench(t, nil)
		codes := map[int]int{}
		for range 30 {
			codes[b.ask(t, "d1-old", "guess", grant).code]++
		}
		if codes[401] != 10 || codes[429] != 20 {
			t.Errorf("answered %v", codes)
		}
		if a := b.ask(t, "d1-old", secretOld, grant); a.code != 429 || a.header.Get("Retry-After") != "6" {
			t.Errorf("answered %d, Retry-After %q", a.code, a.header.Get("Retry-After"))
		}
		<-time.After(6 * time.Second)
		if a := b.ask(t, "d1-old", secretOld, grant); a.code != 200 {
			t.Errorf("later answered %d", a.code)
		}
		if got := meter.snapshot(); got["token_guesses"] != 21 {
			t.Errorf("counted %v", got)
		}
	})
}

// A client of another make, over mutual TLS: a token is fetched and used.
func TestOAuthOverTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *notification.Config, _ *notification.ServerConfig, _ *notification.TLSFiles) {
		c.OAuth = oauth(t)
		c.OAuth.NumericExpiry = true
	})
	for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
		cfg := clientcredentials.Config{ClientID: "d1-old", ClientSecret: secretOld, TokenURL: s.url + "/oauth2/token", AuthStyle: style}
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, s.httpClient(t, true, s.client(t, "D1")))
		if code, err := post(t, cfg.Client(ctx), s.url, good); err != nil || code != 204 {
			t.Errorf("style %d: answered %d, %v", style, code, err)
		}
	}
	if code, err := post(t, s.httpClient(t, true, s.client(t, "D1")), s.url, good); err != nil || code != 401 {
		t.Errorf("without a token: answered %d, %v", code, err)
	}
}

func TestOAuthRefusesNonsense(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*notification.OAuth){
		"short key":         func(o *notification.OAuth) { o.Key = o.Key[:31] },
		"no clients":        func(o *notification.OAuth) { o.Clients = nil },
		"no secret":         func(o *notification.OAuth) { o.Clients[0].SecretHashes = nil },
		"a secret in clear": func(o *notification.OAuth) { o.Clients[0].SecretHashes = []string{secretOld} },
		"same client twice": func(o *notification.OAuth) { o.Clients[1].ID = o.Clients[0].ID },
		"path of others":    func(o *notification.OAuth) { o.Path = path },
	} {
		o := oauth(t)
		change(o)
		b := newBench(t, nil)
		_, err := notification.New(notification.Config{Issuers: []string{issuer}, OAuth: o}, notification.Deps{Store: b.store,
			Parse: func([]byte) ([]issuance.Operation, error) { return nil, nil }, Sealer: fakeSealer{}, Digest: digest, Now: time.Now})
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), secretOld) {
			t.Errorf("%s: the error quotes a secret", name)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	secret := notification.NewSecret()
	if len(secret) < 48 || secret == notification.NewSecret() || url.QueryEscape(secret) != secret {
		t.Errorf("a secret of %d characters", len(secret))
	}
	a, err := notification.HashSecret(secret)
	must(t, err)
	b, err := notification.HashSecret(secret)
	must(t, err)
	if a == b || strings.Contains(a, secret) || !strings.HasPrefix(a, "pbkdf2-sha256$600000$") {
		t.Error("hashes are alike, or hold the secret")
	}
	x, _ := newOAuthBench(t, func(o *notification.OAuth) { o.Clients[0].SecretHashes = []string{a} })
	if a := x.ask(t, "d1-old", secret, grant); a.code != 200 {
		t.Errorf("answered %d %s", a.code, a.Error)
	}
}

// No token but ours is taken, whatever it looks like.
func FuzzBearer(f *testing.F) {
	b, _ := newOAuthBench(f, nil)
	f.Add("cb1.e30.AAAA")
	f.Add("Bearer")
	f.Add("cb1..")
	f.Fuzz(func(t *testing.T, text string) {
		if code, _ := b.with(t, "Bearer "+strings.NewReplacer("\n", "", "\r", "").Replace(text)); code != 401 {
			t.Errorf("answered %d", code)
		}
	})
}
