package d1sim

import (
	"crypto/rand"
	"encoding/base64"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer" //nolint:gosec // the name of a grant, no secret

// maxAssertion is how far ahead exp may lie.
const maxAssertion = 15 * time.Minute

// tokens are the access tokens in circulation.
type tokens struct {
	cfg    *Config
	mu     sync.RWMutex
	live   map[string]token
	latest map[string]string // issuer id -> its newest token
	issued int
}

type token struct {
	issuer  string
	expires time.Time
}

func (t *tokens) init(c *Config) {
	t.cfg, t.live, t.latest = c, map[string]token{}, map[string]string{}
}

// issue returns a token for the issuer and the seconds it has left.
func (t *tokens) issue(issuer string) (string, int) {
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.latest[issuer]; t.cfg.ReuseTokens && old != "" {
		if left := int(t.live[old].expires.Sub(now).Seconds()); left > 0 {
			return old, left
		}
	}
	for k, v := range t.live {
		if !now.Before(v.expires) {
			delete(t.live, k)
		}
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // never fails
	s := base64.RawURLEncoding.EncodeToString(raw[:])
	t.live[s] = token{issuer, now.Add(t.cfg.TokenLifetime)}
	t.latest[issuer] = s
	t.issued++
	return s, int(t.cfg.TokenLifetime.Seconds())
}

// owner returns the issuer a live token belongs to.
func (t *tokens) owner(s string) (string, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tok, ok := t.live[s]
	return tok.issuer, ok && t.cfg.Now().Before(tok.expires)
}

func (t *tokens) count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.issued
}

// RevokeTokens makes every access token in circulation invalid.
func (s *Simulator) RevokeTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	clear(s.tokens.live)
	clear(s.tokens.latest)
}

// serveToken is the OAuth endpoint: an assertion in, an access token out.
func (s *Simulator) serveToken(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, kindToken)
	defer x.end()
	if x.tokenFault() {
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		x.refuse(&apiError{status: http.StatusMethodNotAllowed})
		return
	}
	if !correlationOK(r) {
		x.refuseToken("invalid_request", "x-correlation-id is malformed")
		return
	}
	grant, assertion, problem := tokenRequest(r)
	switch {
	case problem != "":
		x.refuseToken("invalid_request", problem)
	case grant == "":
		x.refuseToken("invalid_request", "grant_type is missing")
	case grant != grantJWTBearer:
		x.refuseToken("unsupported_grant_type", "grant_type is not "+grantJWTBearer)
	case assertion == "":
		x.refuseToken("invalid_request", "assertion is missing")
	default:
		x.answerToken(assertion)
	}
}

// tokenFault spoils the answer of the token endpoint.
func (x *exchange) tokenFault() bool {
	f := &x.set.Faults
	switch {
	case f.TokenDown:
		x.ev.fault = tokenDown
		x.s.faulted(tokenDown)
		x.refuse(&apiError{status: http.StatusServiceUnavailable})
	case x.hit(tokenError, f.TokenError):
		x.refuse(&apiError{status: f.TokenStatus})
	case x.hit(tokenGarbage, f.TokenGarbage):
		if x.luck.roll("page or JSON") < 0.5 {
			x.page(http.StatusOK)
		} else {
			x.write(http.StatusOK, []byte(`{"token_type":"Bearer","expires_in":"soon"}`))
		}
	case x.hit(tokenSlow, f.TokenSlow):
		return !x.pause(f.TokenSlowFor)
	default:
		return false
	}
	return true
}

func (x *exchange) answerToken(assertion string) {
	s := x.s
	id, problem := s.verifyAssertion(assertion)
	if problem == "" && !x.certified(id) {
		problem = "the client certificate is not the issuer's"
	}
	if problem != "" {
		x.refuseToken("invalid_grant", problem)
		return
	}
	x.ev.issuer = id
	tok, left := s.tokens.issue(id)
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusOK, []byte(`{"access_token":"`+tok+`","expires_in":`+strconv.Itoa(left)+
		`,"scope":"d1","token_type":"Bearer"}`))
}

func (x *exchange) refuseToken(code, text string) {
	b := appendString([]byte(`{"error":`), code)
	b = appendString(append(b, `,"error_description":`...), text)
	x.write(http.StatusBadRequest, append(b, '}'))
}

// tokenRequest reads both content types D1 takes.
func tokenRequest(r *http.Request) (grant, assertion, problem string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 16<<10+1))
	if err != nil || len(body) > 16<<10 {
		return "", "", "the body cannot be read or is too large"
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", "", "the content type is missing or malformed"
	}
	switch media {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return "", "", "the body is not a form"
		}
		return form.Get("grant_type"), form.Get("assertion"), ""
	case "application/json":
		var d document
		if err := d.parse(body); err != nil || d.nodes[0].kind != kindObject {
			return "", "", "the body is not a JSON object"
		}
		return d.string(d.member(0, "grant_type")), d.string(d.member(0, "assertion")), ""
	}
	return "", "", "the content type is neither a form nor JSON"
}

// verifyAssertion returns the issuer an assertion speaks for, or what is wrong
// with it.
func (s *Simulator) verifyAssertion(assertion string) (issuerID, problem string) {
	tok, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return "", "the assertion is not a JWT signed with ES256"
	}
	h := tok.Headers[0]
	if typ, _ := h.ExtraHeaders[jose.HeaderType].(string); typ != "JWT" {
		return "", "typ is not JWT"
	}
	var claimed jwt.Claims
	if err := tok.UnsafeClaimsWithoutVerification(&claimed); err != nil {
		return "", "the claims are malformed"
	}
	is := s.issuers[claimed.Issuer]
	if is == nil {
		return "", "iss is not a known issuer"
	}
	key := is.JWTKeys[h.KeyID]
	if key == nil {
		return "", "kid is not a key of the issuer"
	}
	var c jwt.Claims
	if err := tok.Claims(key, &c); err != nil {
		return "", "the signature is not the issuer's"
	}
	return is.ID, s.verifyClaims(is, &c)
}

func (s *Simulator) verifyClaims(is *issuer, c *jwt.Claims) string {
	now, skew := s.cfg.Now(), s.cfg.ClockSkew
	switch {
	case c.Subject != c.Issuer:
		return "sub is not iss"
	case c.Expiry == nil:
		return "exp is missing"
	case c.Expiry.Time().Add(skew).Before(now):
		return "the assertion has expired"
	case c.Expiry.Time().After(now.Add(maxAssertion + skew)):
		return "exp is more than 15 minutes ahead"
	case c.IssuedAt != nil && c.IssuedAt.Time().After(now.Add(skew)):
		return "iat is in the future"
	case c.NotBefore != nil && c.NotBefore.Time().After(now.Add(skew)):
		return "nbf is in the future"
	case is.Audience != "" && !slices.Contains(c.Audience, is.Audience):
		return "aud is not " + is.Audience
	}
	return ""
}

// authorize finds the issuer of a banking request, or the refusal.
func (x *exchange) authorize() (*issuer, *apiError) {
	s, r := x.s, x.r
	const bearer = "Bearer "
	h := r.Header.Get("Authorization")
	if len(h) <= len(bearer) || !strings.EqualFold(h[:len(bearer)], bearer) {
		return nil, &apiError{http.StatusUnauthorized, codeUnauthorized, "Unauthorized"}
	}
	owner, ok := s.tokens.owner(h[len(bearer):])
	if !ok {
		return nil, &apiError{http.StatusUnauthorized, codeUnauthorized, "Unauthorized"}
	}
	is := s.issuers[x.ev.issuer]
	if is == nil || is.ID != owner {
		return nil, &apiError{http.StatusForbidden, codeNotAllowed, "Forbidden"}
	}
	if !x.certified(is.ID) {
		return nil, &apiError{http.StatusForbidden, codeNotAllowed, "Forbidden"}
	}
	return is, nil
}

// clientNamed reports whether the TLS client certificate is the issuer's.
func clientNamed(r *http.Request, issuerID string) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	cn := r.TLS.PeerCertificates[0].Subject.CommonName
	return strings.HasPrefix(cn, "TLSMA-") && strings.Contains(cn, issuerID)
}

// correlationOK accepts a missing x-correlation-id, but no malformed one.
func correlationOK(r *http.Request) bool {
	v := r.Header["X-Correlation-Id"]
	return len(v) == 0 || len(v) == 1 && correlationPattern.MatchString(v[0])
}
