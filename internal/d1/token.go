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
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"cardbatch/internal/retry"
)

// Token says how we prove to D1 who we are.
type Token struct {
	KeyID    string            // kid under which D1 knows the public key
	Key      *ecdsa.PrivateKey // P-256, see [LoadSigningKey]
	KeyFile  string            // instead of Key: its file, read again when it changes
	Subject  string            // iss and sub; default: the issuer id
	Audience string            // aud; left out when empty
	Lifetime time.Duration     // of our assertion, at most 15 min; default 5 min
}

const (
	grantType       = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	defaultLifetime = 5 * time.Minute
	maxLifetime     = 15 * time.Minute
	assertionSkew   = 30 * time.Second // D1's clock may be behind ours
	tokenTimeout    = 15 * time.Second
	tokenDefault    = 2 * time.Minute // lifetime of a token that does not say
	tokenLeast      = time.Second     // of any: one that is over already is for D1 to refuse
)

// grant gets tokens by the JWT bearer grant (RFC 7523). Every call of Token is
// one fetch; keeping tokens is the business of [tokens].
type grant struct {
	url       string
	subject   string
	audience  jwt.Audience
	lifetime  time.Duration
	signer    func() jose.Signer
	transport http.RoundTripper
	now       func() time.Time
	read      func(answer) *retry.Error
	skew      skew
	observe   func(endpoint string, resp *http.Response, started time.Time)
}

var _ oauth2.TokenSource = (*grant)(nil)

func newGrant(cfg Config, transport http.RoundTripper) (*grant, error) {
	t := cfg.Token
	g := &grant{
		url: cfg.TokenURL, subject: t.Subject, lifetime: t.Lifetime,
		transport: transport, now: cfg.Now,
		read: (&Client{cfg: cfg}).failure,
		skew: skew{warn: cfg.Warn}, observe: cfg.observe,
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
	g.signer, err = newSigner(t, cfg.Warn)
	return g, err
}

// newSigner returns the signer of the moment: that of the key, or of the key
// that its file holds.
func newSigner(t Token, warn func(error)) (func() jose.Signer, error) {
	if t.KeyID == "" || (t.Key == nil) == (t.KeyFile == "") {
		return nil, errors.New("the token needs an id and one key, given or in a file")
	}
	if t.KeyFile == "" {
		s, err := signerOf(t.KeyID, t.Key)
		return func() jose.Signer { return s }, err
	}
	file, err := newReread(func() (jose.Signer, error) {
		key, err := LoadSigningKey(t.KeyFile)
		if err != nil {
			return nil, err
		}
		return signerOf(t.KeyID, key)
	}, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load token key: %w", err)
	}
	file.warn = naming("the new token key cannot be used", warn)
	return file.get, nil
}

func signerOf(id string, key *ecdsa.PrivateKey) (jose.Signer, error) {
	if key.Curve != elliptic.P256() {
		return nil, errors.New("the token's key is not on P-256")
	}
	s, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("prepare to sign tokens: %w", err)
	}
	return s, nil
}

// Token implements [oauth2.TokenSource]. When D1 turns the assertion away and
// our clocks differ, it asks once more by D1's clock.
//
// It has its own deadline and no caller's context: one fetch serves all that
// wait for it, and must not die with the first of them.
func (g *grant) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	a, err := g.ask(ctx)
	if err != nil {
		return nil, err
	}
	if rejected(a) && g.skew.learn(a.date, g.now()) {
		if a, err = g.ask(ctx); err != nil {
			return nil, err
		}
		if rejected(a) {
			g.skew.doubt()
		}
	}
	if a.status != http.StatusOK {
		return nil, tokenFailure(g.read(a))
	}
	return g.parse(a.body)
}

// rejected reports whether an answer may be about the assertion, and so about
// the times in it.
func rejected(a answer) bool {
	return a.status == http.StatusBadRequest || a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
}

// ask makes one request for a token.
func (g *grant) ask(ctx context.Context) (answer, error) {
	assertion, err := g.assertion()
	if err != nil {
		return answer{}, &retry.Error{Class: retry.Stop, Code: codeToken, Err: err}
	}
	form := url.Values{"grant_type": {grantType}, "assertion": {assertion}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, &retry.Error{Class: retry.Stop, Code: codeToken, Err: err}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	var path route
	started := time.Now()
	resp, err := g.transport.RoundTrip(req.WithContext(path.trace(ctx)))
	g.observe(EndpointToken, resp, started)
	if err != nil {
		return answer{}, tokenFailure(retry.Transport(fmt.Errorf("fetch token: %w", err), false))
	}
	path.answered()
	return readAnswer(resp, maxErrorBody), nil
}

func (g *grant) assertion() (string, error) {
	now := g.now().Add(g.skew.ahead())
	signed, err := jwt.Signed(g.signer()).Claims(jwt.Claims{
		Issuer:   g.subject,
		Subject:  g.subject,
		Audience: g.audience,
		IssuedAt: jwt.NewNumericDate(now.Add(-assertionSkew)),
		Expiry:   jwt.NewNumericDate(now.Add(min(g.lifetime, maxLifetime-assertionSkew))),
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
		remains = max(time.Duration(seconds*float64(time.Second)), tokenLeast)
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
