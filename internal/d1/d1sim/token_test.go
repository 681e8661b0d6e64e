package d1sim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cardbatch/internal/d1/d1sim"
)

const (
	tokenPath = "/authz/v1/oauth2/token"
	formType  = "application/x-www-form-urlencoded"
)

func claims(now time.Time) map[string]any {
	return map[string]any{"iss": issuerID, "sub": issuerID, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()}
}

func TestTokenInBothContentTypes(t *testing.T) {
	r := newRig(t, nil)
	assertion, err := r.keys.Assertion(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	asJSON, _ := json.Marshal(map[string]string{
		"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion})
	for media, body := range map[string]string{formType: r.form(assertion), "application/json; charset=utf-8": string(asJSON)} {
		a := r.must("POST", tokenPath, body, "Content-Type", media)
		if a.status != 200 || a.member("token_type") != "Bearer" || a.member("expires_in") != 900.0 {
			t.Errorf("%s: %d %s", media, a.status, a.body)
		}
		if tok, _ := a.member("access_token").(string); len(tok) < 40 || strings.Contains(tok, ".") {
			t.Errorf("%s: access token is not opaque", media)
		}
	}
}

func TestTokenRefusals(t *testing.T) {
	now := time.Now()
	r := newRig(t, func(c *d1sim.Config) { c.Issuers[0].Audience = "https://api.d1.example" })
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, key any, kid, typ string, change func(map[string]any)) string {
		c := claims(now)
		c["aud"] = "https://api.d1.example"
		if change != nil {
			change(c)
		}
		opts := &jose.SignerOptions{}
		if typ != "" {
			opts = opts.WithType(jose.ContentType(typ))
		}
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opts)
		if err != nil {
			t.Fatal(err)
		}
		out, err := jwt.Signed(s).Claims(c).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	good := func(change func(map[string]any)) string {
		return r.form(sign(jose.ES256, r.keys.JWTKey, r.keys.JWTKeyID, "JWT", change))
	}
	if a := r.must("POST", tokenPath, good(nil), "Content-Type", formType); a.status != 200 {
		t.Fatalf("good: %d %s", a.status, a.body)
	}
	tests := []struct{ name, body, media, want string }{
		{"no grant", "assertion=x", formType, "invalid_request"},
		{"other grant", "grant_type=client_credentials&assertion=x", formType, "unsupported_grant_type"},
		{"no assertion", "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer", formType, "invalid_request"},
		{"no content type", good(nil), "", "invalid_request"},
		{"text", good(nil), "text/plain", "invalid_request"},
		{"not JSON", "{", "application/json", "invalid_request"},
		{"not a JWT", r.form("abc"), formType, "invalid_grant"},
		{"HS256", r.form(sign(jose.HS256, []byte(strings.Repeat("k", 32)), r.keys.JWTKeyID, "JWT", nil)), formType, "invalid_grant"},
		{"no typ", r.form(sign(jose.ES256, r.keys.JWTKey, r.keys.JWTKeyID, "", nil)), formType, "invalid_grant"},
		{"kid", r.form(sign(jose.ES256, r.keys.JWTKey, "other", "JWT", nil)), formType, "invalid_grant"},
		{"no kid", r.form(sign(jose.ES256, r.keys.JWTKey, "", "JWT", nil)), formType, "invalid_grant"},
		{"signature", r.form(sign(jose.ES256, other, r.keys.JWTKeyID, "JWT", nil)), formType, "invalid_grant"},
		{"iss", good(func(c map[string]any) { c["iss"] = "OTHERBANK1" }), formType, "invalid_grant"},
		{"sub", good(func(c map[string]any) { c["sub"] = "OTHERBANK1" }), formType, "invalid_grant"},
		{"no sub", good(func(c map[string]any) { delete(c, "sub") }), formType, "invalid_grant"},
		{"no exp", good(func(c map[string]any) { delete(c, "exp") }), formType, "invalid_grant"},
		{"exp past", good(func(c map[string]any) { c["exp"] = now.Add(-time.Minute).Unix() }), formType, "invalid_grant"},
		{"exp far", good(func(c map[string]any) { c["exp"] = now.Add(16 * time.Minute).Unix() }), formType, "invalid_grant"},
		{"exp text", good(func(c map[string]any) { c["exp"] = "soon" }), formType, "invalid_grant"},
		{"iat future", good(func(c map[string]any) { c["iat"] = now.Add(time.Minute).Unix() }), formType, "invalid_grant"},
		{"nbf future", good(func(c map[string]any) { c["nbf"] = now.Add(time.Minute).Unix() }), formType, "invalid_grant"},
		{"aud", good(func(c map[string]any) { c["aud"] = "elsewhere" }), formType, "invalid_grant"},
		{"Exp in capitals", good(func(c map[string]any) { c["Exp"] = c["exp"]; delete(c, "exp") }), formType, "invalid_grant"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a := r.must("POST", tokenPath, tc.body, "Content-Type", tc.media)
			if a.status != 400 || a.text() != tc.want || a.member("error_description") == nil {
				t.Errorf("%d %s, want 400 %s", a.status, a.body, tc.want)
			}
		})
	}
	if a := r.must("GET", tokenPath, ""); a.status != 405 {
		t.Errorf("GET: %d, want 405", a.status)
	}
}

func TestSecondKeyDuringChangeOver(t *testing.T) {
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *d1sim.Config) {
		c.Issuers[0].JWTKeys["next"] = &next.PublicKey
		c.Issuers[0].JWEKeys["next"] = next
	})
	if a := r.order("ord-1", "card-1"); a.status != 202 {
		t.Errorf("old key: %d %s", a.status, a.body)
	}
	r.keys.JWTKey, r.keys.JWTKeyID, r.keys.JWEKey, r.keys.JWEKeyID = next, "next", next, "next"
	r.token = ""
	if a := r.order("ord-2", "card-2"); a.status != 202 {
		t.Errorf("new key: %d %s", a.status, a.body)
	}
}

func TestTokenLifetimeAndReuse(t *testing.T) {
	ahead := time.Duration(0)
	now := func() time.Time { return time.Now().Add(ahead) }
	r := newRig(t, func(c *d1sim.Config) { c.Now = now; c.ReuseTokens = true })
	first := r.login()
	ahead = 5 * time.Minute
	again := func() answer {
		assertion, err := r.keys.Assertion(now())
		if err != nil {
			t.Fatal(err)
		}
		return r.must("POST", tokenPath, r.form(assertion), "Content-Type", formType)
	}
	a := again()
	if left, _ := a.member("expires_in").(float64); a.member("access_token") != first || left < 590 || left > 600 {
		t.Errorf("running token: %v s left, same %v", left, a.member("access_token") == first)
	}
	if a := r.must("GET", statusPath("card-1"), "", r.auth()...); a.status != 404 {
		t.Errorf("status before expiry: %d", a.status)
	}
	ahead = 15*time.Minute + time.Second
	a = r.must("GET", statusPath("card-1"), "", r.auth()...)
	if a.status != 401 || a.code() != "AUTHORIZER_UNAUTHORIZED" || a.text() != "Unauthorized" {
		t.Errorf("status after expiry: %d %s", a.status, a.body)
	}
	if a := again(); a.member("access_token") == first || a.member("expires_in") != 900.0 {
		t.Errorf("after expiry the old token was given again")
	}
}

func TestBankingNeedsTheIssuersToken(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) {
		second := c.Issuers[0]
		second.ID = "SIMBANK_02"
		c.Issuers = append(c.Issuers, second)
	})
	tests := []struct {
		name, path, auth string
		status           int
		code             string
	}{
		{"no header", orderPath("c"), "", 401, "AUTHORIZER_UNAUTHORIZED"},
		{"basic", orderPath("c"), "Basic abc", 401, "AUTHORIZER_UNAUTHORIZED"},
		{"made-up token", orderPath("c"), "Bearer abc", 401, "AUTHORIZER_UNAUTHORIZED"},
		{"other issuer", strings.Replace(orderPath("c"), issuerID, "SIMBANK_02", 1), "Bearer " + r.login(), 403, "AUTHORIZER_FORBIDDEN"},
		{"unknown issuer", strings.Replace(orderPath("c"), issuerID, "NOBANK_000", 1), "Bearer " + r.login(), 403, "AUTHORIZER_FORBIDDEN"},
		{"unknown path", "/banking/v2/issuers/" + issuerID, "Bearer " + r.login(), 404, ""},
	}
	for _, tc := range tests {
		a := r.must("POST", tc.path, r.body("ord-1"), "Authorization", tc.auth, "Content-Type", "application/json")
		if a.status != tc.status || a.code() != tc.code {
			t.Errorf("%s: %d %s, want %d %s", tc.name, a.status, a.body, tc.status, tc.code)
		}
	}
	r.sim.RevokeTokens()
	if a := r.order("ord-1", "c"); a.status != 401 {
		t.Errorf("revoked: %d", a.status)
	}
	if n := r.sim.Summary().OrdersReceived; n != 0 {
		t.Errorf("%d orders in the ledger, want 0", n)
	}
}
