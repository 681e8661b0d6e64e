package d1sim

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result of one request to the issuer.
type result int

const (
	delivered result = iota
	refused          // will not be retried
	failed           // may be retried
)

// sender posts notifications.
type sender struct {
	client *http.Client
	oauth  OAuth

	mu      *sync.Mutex
	token   *string
	expires *time.Time
}

func newSender(n *Notifications) sender {
	t := &http.Transport{
		TLSClientConfig: n.TLS, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: n.Workers, IdleConnTimeout: 30 * time.Second,
	}
	return sender{
		client: &http.Client{Transport: t, Timeout: n.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		oauth: n.OAuth, mu: new(sync.Mutex), token: new(string), expires: new(time.Time),
	}
}

// send returns what came of it and the HTTP status; 0: there was none.
func (s *sender) send(ctx context.Context, url string, body []byte) (result, int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return refused, 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-correlation-id", "d1sim-"+rand.Text())
	if s.oauth.TokenURL != "" {
		tok, err := s.bearer(ctx)
		if err != nil {
			return failed, 0
		}
		req.Header.Set("Authorization", "Bearer "+tok)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return failed, 0
	}
	drain(resp)
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return delivered, code
	case code == http.StatusUnauthorized && s.oauth.TokenURL != "":
		s.forget()
		return failed, code
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return failed, code
	}
	return refused, resp.StatusCode
}

func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // for the connection's sake
	_ = resp.Body.Close()
}

// bearer returns the issuer's access token, fetched by client credentials and
// used until a minute before its end.
func (s *sender) bearer(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *s.token != "" && time.Now().Before(*s.expires) {
		return *s.token, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if s.oauth.Scope != "" {
		form.Set("scope", s.oauth.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.oauth.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(s.oauth.ClientID, s.oauth.ClientSecret)
	resp, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer drain(resp)
	var answer struct {
		AccessToken string          `json:"access_token"`
		ExpiresIn   json.RawMessage `json:"expires_in"`
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the issuer's token endpoint answers %d", resp.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer); err != nil {
		return "", fmt.Errorf("read the issuer's token: %w", err)
	}
	// The specification has a string here, most servers a number.
	seconds, err := strconv.Atoi(strings.Trim(string(answer.ExpiresIn), `"`))
	if err != nil || answer.AccessToken == "" {
		return "", fmt.Errorf("the issuer's token answer lacks access_token or expires_in")
	}
	*s.token = answer.AccessToken
	*s.expires = time.Now().Add(time.Duration(seconds)*time.Second - min(time.Minute, time.Duration(seconds)*time.Second/2))
	return *s.token, nil
}

func (s *sender) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.token = ""
}
