package d1_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/d1"
)

const (
	testIssuer = "is_test001"
	tokenPath  = "/authz/v1/oauth2/token"
)

// fakeD1 answers as it is told and keeps what it was asked.
type fakeD1 struct {
	key    *ecdsa.PrivateKey // of the token assertion
	server *httptest.Server

	// token answers the token endpoint; nil: a token of 900 s.
	token http.HandlerFunc
	// card answers everything else.
	card http.HandlerFunc

	tokens atomic.Int32
	orders atomic.Int32 // requests that are not for a token

	mu    sync.Mutex
	forms []string // bodies of token requests
}

// ServeHTTP implements [http.Handler].
func (f *fakeD1) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != tokenPath {
		f.orders.Add(1)
		f.card(w, r)
		return
	}
	n := f.tokens.Add(1)
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.forms = append(f.forms, string(body))
	f.mu.Unlock()
	if f.token != nil {
		f.token(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": "token-" + strconv.Itoa(int(n)), "expires_in": 900, "token_type": "Bearer",
	})
}

// newFake starts a fake over plain HTTP/1.1.
func newFake(t *testing.T, card http.HandlerFunc) *fakeD1 {
	t.Helper()
	f := &fakeD1{key: newKey(t), card: card}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

// ended returns how often an order has arrived, all told.
func (f *fakeD1) ended() int32 {
	f.server.Close()
	return f.orders.Load()
}

// client returns a client for the fake; change may adapt its configuration.
func (f *fakeD1) client(t *testing.T, change ...func(*d1.Config)) *d1.Client {
	t.Helper()
	cfg := d1.Config{
		IssuerID: testIssuer,
		BaseURL:  f.server.URL + "/banking/v1",
		TokenURL: f.server.URL + tokenPath,
		Token:    d1.Token{KeyID: "jwt-1", Key: f.key},
		Timeout:  10 * time.Second,
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := d1.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// says answers with a status and a body, having read the request.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func call() d1.Call {
	return d1.Call{CardID: "card-1", CorrelationID: "corr-1", Body: []byte(`{"issuerRequestId":"ord-1"}`)}
}

// long is a body that no transport writes in one piece.
func long() d1.Call {
	c := call()
	c.Body = []byte(`{"issuerRequestId":"ord-1","x":"` + strings.Repeat("x", 1<<20) + `"}`)
	return c
}

// eventually polls until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal(what)
		}
	}
}
