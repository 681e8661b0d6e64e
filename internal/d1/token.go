package d1

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"cardbatch/internal/retry"
	"cardbatch/internal/secret"
)

// Token says how we prove to D1 who we are.
type Token struct {
	KeyID    string            // kid under which D1 knows the public key
	Key      *ecdsa.PrivateKey // P-256, see [LoadSigningKey]
	Subject  string            // iss and sub; default: the issuer id
	Audience string            // aud; left out when empty
	Lifetime time.Duration     // of our assertion, at most 15 min; default 5 min
}

const (
	grantType         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	defaultLifetime   = 5 * time.Minute
	maxLifetime       = 15 * time.Minute
	assertionSkew     = 30 * time.Second // D1's clock may be behind ours
	tokenTimeout      = 15 * time.Second
	tokenEarly        = 60 * time.Second // a token is renewed this long before its end
	tokenDefault      = 2 * time.Minute  // lifetime of a token that does not say
	tokenFailureHolds = time.Second      // so long a failed fetch answers for the next ones
)

// grant gets tokens by the JWT bearer grant (RFC 7523). Every call of Token is
// one request; keeping tokens is the business of [tokens].
type grant struct {
	url       string
	subject   string
	audience  jwt.Audience
	lifetime  time.Duration
	signer    jose.Signer
	transport http.RoundTripper
	now       func() time.Time
	read      func(answer) *retry.Error
}

var _ oauth2.TokenSource = (*grant)(nil)

func newGrant(cfg Config, transport http.RoundTripper) (*grant, error) {
	t := cfg.Token
	if t.Key == nil || t.KeyID == "" {
		return nil, errors.New("the token needs a key and its id")
	}
	if t.Key.Curve != elliptic.P256() {
		return nil, errors.New("the token's key is not on P-256")
	}
	g := &grant{
		url: cfg.TokenURL, subject: t.Subject, lifetime: t.Lifetime,
		transport: transport, now: cfg.Now,
		read: (&Client{cfg: cfg}).failure,
	}
	if g.subject == "" {
		g.subject = cfg.IssuerID
	}
	if t.Audience != "" {
		g.audience = jwt.Audience{t.Audience}
	}
	if g.lifetime <= 0 {
		g.lifetime = defaultLifetime
	}
	if g.lifetime > maxLifetime {
		return nil, fmt.Errorf("the token's lifetime %v is over %v", t.Lifetime, maxLifetime)
	}
	var err error
	g.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: t.Key, KeyID: t.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("prepare to sign tokens: %w", err)
	}
	return g, nil
}

// Token implements [oauth2.TokenSource].
//
// It has its own deadline and no caller's context: one fetch serves all that
// wait for it, and must not die with the first of them.
func (g *grant) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	assertion, err := g.assertion()
	if err != nil {
		return nil, &retry.Error{Class: retry.Stop, Code: codeToken, Err: err}
	}
	form := url.Values{"grant_type": {grantType}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &retry.Error{Class: retry.Stop, Code: codeToken, Err: err}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := g.transport.RoundTrip(req)
	if err != nil {
		return nil, tokenFailure(retry.Transport(fmt.Errorf("fetch token: %w", err), false))
	}
	a := readAnswer(resp, maxErrorBody)
	if a.status != http.StatusOK {
		return nil, tokenFailure(g.read(a))
	}
	return g.parse(a.body)
}

func (g *grant) assertion() (string, error) {
	now := g.now()
	signed, err := jwt.Signed(g.signer).Claims(jwt.Claims{
		Issuer:   g.subject,
		Subject:  g.subject,
		Audience: g.audience,
		IssuedAt: jwt.NewNumericDate(now.Add(-assertionSkew)),
		Expiry:   jwt.NewNumericDate(now.Add(g.lifetime)),
		ID:       rand.Text(),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token request: %w", err)
	}
	return signed, nil
}

// parse reads the token answer. expires_in is what remains of a token that may
// have been issued to us before; some send it as a string.
func (g *grant) parse(body []byte) (*oauth2.Token, error) {
	var a struct {
		AccessToken string    `json:"access_token"`
		ExpiresIn   looseText `json:"expires_in"`
	}
	if json.Unmarshal(body, &a) != nil || a.AccessToken == "" {
		return nil, &retry.Error{Class: retry.NotDone, Code: codeToken, Unavailable: true, Reason: "the answer holds no token"}
	}
	remains := tokenDefault
	if seconds, err := strconv.ParseFloat(string(a.ExpiresIn), 64); err == nil && seconds >= 0 && seconds < 1e6 {
		remains = time.Duration(seconds * float64(time.Second))
	}
	return &oauth2.Token{AccessToken: a.AccessToken, TokenType: "Bearer", Expiry: g.now().Add(remains)}, nil
}

// tokenFailure turns a failure of the token endpoint into what it means for an
// order: it was not sent, whatever happened. A 4xx says that our set-up is
// wrong, unless it asks for patience.
func tokenFailure(e *retry.Error) *retry.Error {
	out := *e
	out.Reason = strings.TrimSpace("token endpoint: " + e.Code + " " + e.Reason)
	out.Code = codeToken
	if e.Class == retry.Refused {
		out.Class = retry.Stop
	}
	if out.Class != retry.Stop {
		out.Class = retry.NotDone
		out.Unavailable = !errors.Is(e, context.Canceled)
	}
	return &out
}

// bearer is a token in use.
type bearer struct {
	header  secret.Value // "Bearer ..."
	renewAt time.Time
}

// tokens keeps the token in use and lets one fetch at a time replace it.
type tokens struct {
	source oauth2.TokenSource
	now    func() time.Time

	mu      sync.Mutex
	current *bearer
	flight  *flight
	last    *flight // that failed at failedAt
	failed  time.Time
}

// flight is one fetch, awaited by any number of callers.
type flight struct {
	done  chan struct{}
	token *bearer
	err   error
}

// get returns a token that is good for some time. Every error is a
// [retry.Error] and means that nothing was sent.
func (t *tokens) get(ctx context.Context) (*bearer, error) {
	t.mu.Lock()
	now := t.now()
	if t.current != nil && now.Before(t.current.renewAt) {
		defer t.mu.Unlock()
		return t.current, nil
	}
	if age := now.Sub(t.failed); t.last != nil && 0 <= age && age < tokenFailureHolds { // below 0: the clock was put back
		defer t.mu.Unlock()
		return nil, t.last.err
	}
	f := t.takeOff()
	t.mu.Unlock()
	return f.wait(ctx)
}

// fresh returns a token that D1 has given after the call, or the reason why
// there is none.
func (t *tokens) fresh(ctx context.Context) (*bearer, error) {
	t.mu.Lock()
	f := t.takeOff()
	t.mu.Unlock()
	return f.wait(ctx)
}

// takeOff returns the fetch on its way, and starts one if there is none. The
// caller holds the lock.
func (t *tokens) takeOff() *flight {
	if t.flight == nil {
		t.flight = &flight{done: make(chan struct{})}
		go t.fetch(t.flight)
	}
	return t.flight
}

func (f *flight) wait(ctx context.Context) (*bearer, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, tokenFailure(retry.Transport(fmt.Errorf("wait for token: %w", ctx.Err()), false))
	}
}

func (t *tokens) fetch(f *flight) {
	got, err := t.source.Token()
	t.mu.Lock()
	defer t.mu.Unlock()
	defer close(f.done)
	t.flight = nil
	if err != nil {
		f.err, t.last, t.failed = err, f, t.now()
		return
	}
	remains := got.Expiry.Sub(t.now())
	f.token = &bearer{
		header:  secret.New("Bearer " + got.AccessToken),
		renewAt: got.Expiry.Add(-min(tokenEarly, remains/2)),
	}
	t.current, t.last = f.token, nil
}

// reject forgets a token that D1 turned away, unless it has been replaced.
func (t *tokens) reject(b *bearer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == b {
		t.current = nil
	}
}
