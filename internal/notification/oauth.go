package notification

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// OAuth makes the receiver ask for a bearer token, and give them out at a token
// endpoint of its own: RFC 6749's client credentials, as D1 does it. Zero values
// mean the default.
type OAuth struct {
	Path          string        // of the token endpoint; default /oauth2/token
	Scope         string        // that a token needs for notifications; default "notifications"
	Clients       []OAuthClient // required; several while one takes over from another
	Lifetime      time.Duration // of a token; default 15 min
	NumericExpiry bool          // expires_in as a number, as RFC 6749 has it, and not as D1's text
	Key           []byte        // signs tokens; 32 bytes or more; required
}

// OAuthClient is somebody who may ask for tokens.
type OAuthClient struct {
	ID           string
	SecretHashes []string // as [HashSecret] makes them; any is good, so that a secret can be changed
	Scopes       []string // default: OAuth.Scope
}

const (
	maxTokenRequest = 8 << 10
	guesses         = 10              // a minute, of one certificate or address
	hashPatience    = 3 * time.Second // for the place to verify a secret in
)

// authority gives out tokens and checks them.
type authority struct {
	cfg      OAuth
	clients  map[string]*oauthClient
	stranger []secretHash // cost as much as the dearest client's, and match nothing
	signer   signer
	quickKey []byte        // of verified secrets, for as long as the process lives
	gate     chan struct{} // one secret is verified at a time
	guesses  *rate
	now      func() time.Time
	refusals *refusals
}

type oauthClient struct {
	hashes   []secretHash
	scopes   []string
	verified atomic.Pointer[[sha256.Size]byte] // MAC of the secret that was last found to match
}

func newAuthority(cfg OAuth, now func() time.Time, r *refusals) (*authority, error) {
	cfg.Path = cmp.Or(cfg.Path, "/oauth2/token")
	cfg.Scope = cmp.Or(cfg.Scope, "notifications")
	cfg.Lifetime = cmp.Or(cfg.Lifetime, 15*time.Minute)
	a := &authority{cfg: cfg, clients: map[string]*oauthClient{}, signer: signer{cfg.Key}, quickKey: make([]byte, 32),
		gate: make(chan struct{}, 1), guesses: newRate(guesses, time.Minute, now), now: now, refusals: r}
	_, _ = rand.Read(a.quickKey)
	switch {
	case len(cfg.Key) < 32:
		return nil, errors.New("OAuth for notifications needs a key of 32 bytes")
	case len(cfg.Clients) == 0:
		return nil, errors.New("OAuth for notifications needs a client")
	case !strings.HasPrefix(cfg.Path, "/") || strings.HasPrefix(cfg.Path, pathPrefix):
		return nil, errors.New("OAuth for notifications needs a path of its own")
	case cfg.Lifetime < time.Second:
		return nil, errors.New("a token must live for a second or more")
	}
	for _, c := range cfg.Clients {
		client := &oauthClient{scopes: c.Scopes}
		if len(c.Scopes) == 0 {
			client.scopes = []string{cfg.Scope}
		}
		for _, text := range c.SecretHashes {
			h, err := parseSecretHash(text)
			if err != nil {
				return nil, fmt.Errorf("OAuth client %s: %w", c.ID, err)
			}
			client.hashes = append(client.hashes, h)
		}
		if cost(client.hashes) > cost(a.stranger) {
			a.stranger = slices.Clone(client.hashes)
			for i := range a.stranger {
				a.stranger[i].sum = make([]byte, sha256.Size)
				_, _ = rand.Read(a.stranger[i].sum)
			}
		}
		if c.ID == "" || len(client.hashes) == 0 || a.clients[c.ID] != nil {
			return nil, errors.New("an OAuth client needs an id of its own and the hash of a secret")
		}
		a.clients[c.ID] = client
	}
	return a, nil
}

// cost is the work of comparing a secret with some hashes.
func cost(hashes []secretHash) (iterations int) {
	for _, h := range hashes {
		iterations += h.iterations
	}
	return iterations
}

// tokenAnswer is what D1 expects. Its specification has expires_in as text.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   any    `json:"expires_in"`
	ExpiresAt   string `json:"expires_at"`
	Scope       string `json:"scope"`
}

// ServeHTTP is the token endpoint.
func (a *authority) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		a.refuse(w, WrongMethod, http.StatusMethodNotAllowed, "invalid_request")
		return
	}
	client := transportClient(req)
	if wait := a.guesses.look(client); wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
		a.refuse(w, TokenGuesses, http.StatusTooManyRequests, "slow_down")
		return
	}
	id, secret, code := credentials(w, req)
	if code != "" {
		a.refuse(w, TokenRequest, http.StatusBadRequest, code)
		return
	}
	known, err := a.authenticate(req.Context(), id, secret)
	switch {
	case err != nil:
		w.Header().Set("Retry-After", seconds(hashPatience))
		a.refuse(w, Busy, http.StatusServiceUnavailable, "temporarily_unavailable")
		return
	case known == nil:
		a.guesses.take(client)
		w.Header().Set("WWW-Authenticate", `Basic realm="cardbatch"`)
		a.refuse(w, TokenClient, http.StatusUnauthorized, "invalid_client")
		return
	}
	scopes := known.scopes
	if asked := strings.Fields(req.PostForm.Get("scope")); len(asked) > 0 {
		for _, s := range asked {
			if !slices.Contains(known.scopes, s) {
				a.refuse(w, TokenRequest, http.StatusBadRequest, "invalid_scope")
				return
			}
		}
		scopes = asked
	}
	a.give(w, id, scopes)
}

func (a *authority) give(w http.ResponseWriter, id string, scopes []string) {
	expires := a.now().Add(a.cfg.Lifetime)
	left := int64(a.cfg.Lifetime / time.Second)
	answer := tokenAnswer{
		AccessToken: a.signer.sign(token{Client: id, Scopes: scopes, Expires: expires.Unix()}), TokenType: "Bearer",
		ExpiresIn: strconv.FormatInt(left, 10), ExpiresAt: expires.UTC().Format(time.RFC3339), Scope: strings.Join(scopes, " "),
	}
	if a.cfg.NumericExpiry {
		answer.ExpiresIn = left
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) //nolint:gosec // to give a token out is what this is for
}

func (a *authority) refuse(w http.ResponseWriter, reason Reason, status int, code string) {
	writeError(w, status, code)
	a.refusals.count(reason, "", nil)
}

// credentials reads a token request: who asks, or what is wrong with it. The
// credentials come by HTTP Basic, as they are and not encoded once more, or in
// the form, never both.
func credentials(w http.ResponseWriter, req *http.Request) (id, secret, code string) {
	kind, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	req.Body = http.MaxBytesReader(w, req.Body, maxTokenRequest)
	if err != nil || kind != "application/x-www-form-urlencoded" || req.ParseForm() != nil {
		return "", "", "invalid_request"
	}
	for _, values := range req.PostForm {
		if len(values) > 1 {
			return "", "", "invalid_request"
		}
	}
	switch req.PostForm.Get("grant_type") {
	case "client_credentials":
	case "":
		return "", "", "invalid_request"
	default:
		return "", "", "unsupported_grant_type"
	}
	id, secret = req.PostForm.Get("client_id"), req.PostForm.Get("client_secret")
	if basicID, basicSecret, ok := req.BasicAuth(); ok {
		if secret != "" || id != "" && id != basicID {
			return "", "", "invalid_request"
		}
		return basicID, basicSecret, ""
	}
	return id, secret, ""
}

// authenticate returns the client with that id and secret, or nil. A secret
// that was found right before is found so at once; others are verified one at a
// time, so that guesses can take no more than one processor.
func (a *authority) authenticate(ctx context.Context, id, secret string) (*oauthClient, error) {
	m := hmac.New(sha256.New, a.quickKey)
	_, _ = m.Write([]byte(id + "\x00" + secret))
	quick := [sha256.Size]byte(m.Sum(nil))
	c := a.clients[id]
	if c != nil {
		if v := c.verified.Load(); v != nil && hmac.Equal(v[:], quick[:]) {
			return c, nil
		}
	}
	patience := time.NewTimer(hashPatience)
	defer patience.Stop()
	select {
	case a.gate <- struct{}{}:
		defer func() { <-a.gate }()
	case <-patience.C:
		return nil, errors.New("others are being verified")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	hashes := a.stranger // takes as long as a client: who exists is not to be heard
	if c != nil {
		hashes = c.hashes
	}
	found := false
	for _, h := range hashes {
		found = h.matches(secret) || found
	}
	for _, h := range a.stranger[min(len(hashes), len(a.stranger)):] { // a client may have fewer hashes than another
		h.matches(secret)
	}
	if c == nil || !found {
		return nil, nil //nolint:nilnil // nobody, and no error
	}
	c.verified.Store(&quick)
	return c, nil
}

// bearer checks the token of a request and returns its client, or why it is not
// good and what the answer's WWW-Authenticate says.
func (a *authority) bearer(req *http.Request) (client string, reason Reason, challenge string) {
	const realm = `Bearer realm="cardbatch"`
	scheme, text, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(text) == "" {
		return "", BearerMissing, realm
	}
	t, err := a.signer.read(strings.TrimSpace(text), a.now())
	switch {
	case errors.Is(err, errTokenExpired):
		return "", BearerExpired, realm + `, error="invalid_token", error_description="the token has expired"`
	case err != nil || a.clients[t.Client] == nil: // who was removed from the configuration is out
		return "", BearerInvalid, realm + `, error="invalid_token", error_description="the token is not valid"`
	case !slices.Contains(t.Scopes, a.cfg.Scope):
		return "", BearerScope, realm + `, error="insufficient_scope", scope="` + a.cfg.Scope + `"`
	}
	return t.Client, "", ""
}

func writeError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // the client has gone, or not
}

// seconds is a time to wait as Retry-After has it: whole, and never none.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((max(d, time.Second)+time.Second-1)/time.Second), 10)
}
