package d1_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/retry"
)

// newTLSFake starts a fake over TLS that asks for a client certificate, and
// returns the configuration a client needs for it.
func newTLSFake(t *testing.T, http2 bool, card http.HandlerFunc) (*fakeD1, func(*d1.Config)) {
	t.Helper()
	ca := newAuthority(t)
	f := &fakeD1{key: newKey(t), card: card}
	f.server = httptest.NewUnstartedServer(f)
	f.server.EnableHTTP2 = http2
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.server.TLS = ca.serverTLS(t)
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	return f, func(c *d1.Config) { c.TLSFiles = clientFiles(t, ca) }
}

func clientFiles(t *testing.T, ca *authority) d1.TLSFiles {
	t.Helper()
	certFile, keyFile := ca.issue(t, t.TempDir(), "TLSMA-issuer")
	return d1.TLSFiles{Cert: certFile, Key: keyFile, CA: ca.file}
}

func TestOrderOverMutualTLS(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{true, false} {
		f, mutual := newTLSFake(t, http2, func(w http.ResponseWriter, r *http.Request) {
			if got := r.TLS.PeerCertificates[0].Subject.CommonName; got != "TLSMA-issuer" || (r.ProtoMajor == 2) != http2 {
				t.Errorf("%s by %s", r.Proto, got)
			}
			says(http.StatusAccepted, `{"operationId":"op-1"}`)(w, r)
		})
		client := f.client(t, mutual)
		for range 3 {
			if id, err := client.Order(t.Context(), long()); err != nil || id != "op-1" {
				t.Errorf("got %q, %v", id, err)
			}
		}
	}
}

// TestNothingIsSentTwice breaks connections at every point and counts what
// arrives: net/http must not repeat an order by itself, on a new connection or
// a used one.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T, http.HandlerFunc) (*fakeD1, func(*d1.Config)){
		"plain HTTP/1.1": func(t *testing.T, h http.HandlerFunc) (*fakeD1, func(*d1.Config)) {
			t.Helper()
			return newFake(t, h), func(*d1.Config) {}
		},
		"TLS HTTP/1.1": func(t *testing.T, h http.HandlerFunc) (*fakeD1, func(*d1.Config)) {
			t.Helper()
			return newTLSFake(t, false, h)
		},
		"HTTP/2": func(t *testing.T, h http.HandlerFunc) (*fakeD1, func(*d1.Config)) {
			t.Helper()
			return newTLSFake(t, true, h)
		},
	} {
		for _, size := range []func() d1.Call{call, long} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var breaks atomic.Bool
				var f *fakeD1
				f, change := start(t, func(w http.ResponseWriter, r *http.Request) {
					if breaks.Load() {
						_, _ = r.Body.Read(make([]byte, 1))
						f.server.CloseClientConnections()
						panic(http.ErrAbortHandler)
					}
					says(http.StatusAccepted, `{}`)(w, r)
				})
				client := f.client(t, change)
				for _, used := range []bool{false, true} {
					breaks.Store(false)
					if used { // leave a connection behind
						if _, err := client.Order(t.Context(), size()); err != nil {
							t.Fatal(err)
						}
					} else if err := client.Authenticate(t.Context()); err != nil {
						t.Fatal(err)
					}
					breaks.Store(true)
					before := f.orders.Load()
					_, err := client.Order(t.Context(), size())
					if e := retry.Of(err); e == nil || e.Class != retry.Unknown {
						t.Errorf("connection used %v: %v", used, err)
					}
					if n := f.orders.Load() - before; n != 1 {
						t.Errorf("connection used %v: %d requests", used, n)
					}
				}
			})
		}
	}
}

// TestClosedIdleConnections: a server that hangs up between orders never gets
// one twice, and NotDone is only said of orders it did not get.
func TestClosedIdleConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]int{}
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got[r.Header.Get("X-Correlation-Id")]++
		mu.Unlock()
		says(http.StatusAccepted, `{}`)(w, r)
	})
	client := f.client(t)
	for i := range 300 {
		c := call()
		c.CorrelationID = "order-" + strconv.Itoa(i)
		_, err := client.Order(t.Context(), c)
		mu.Lock()
		n := got[c.CorrelationID]
		mu.Unlock()
		if err != nil && retry.Of(err).Class == retry.NotDone && n != 0 || err == nil && n != 1 || n > 1 {
			t.Errorf("%v, but it arrived %d times", err, n)
		}
		go f.server.CloseClientConnections()
	}
}

// TestNotDoneIsTrue gives orders up at random moments, over both protocols, and
// compares what the client says with what has arrived.
func TestNotDoneIsTrue(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{true, false} {
		var mu sync.Mutex
		arrived := map[string]int{}
		f, mutual := newTLSFake(t, http2, func(w http.ResponseWriter, r *http.Request) {
			var body struct{ ID string }
			if json.NewDecoder(r.Body).Decode(&body) == nil {
				mu.Lock()
				arrived[body.ID]++
				mu.Unlock()
			}
			says(http.StatusAccepted, `{}`)(w, r)
		})
		client := f.client(t, mutual)
		if err := client.Authenticate(t.Context()); err != nil {
			t.Fatal(err)
		}
		const workers, each = 8, 50
		var classes [4]atomic.Int32
		notDone := make([][]string, workers)
		var group sync.WaitGroup
		for w := range workers {
			group.Go(func() {
				for i := range each {
					id := strconv.Itoa(w*each + i)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.N(2000))*time.Microsecond)
					_, err := client.Order(ctx, d1.Call{CardID: "card-1", Body: []byte(`{"id":"` + id + `"}`)})
					cancel()
					if err == nil {
						continue
					}
					class := retry.Of(err).Class
					classes[class].Add(1)
					if class == retry.NotDone {
						notDone[w] = append(notDone[w], id)
					}
				}
			})
		}
		group.Wait()
		f.server.Close() // waits for the handlers: what was on its way has arrived now
		for _, ids := range notDone {
			for _, id := range ids {
				if arrived[id] != 0 {
					t.Errorf("order %s arrived", id)
				}
			}
		}
		for id, n := range arrived {
			if n != 1 {
				t.Errorf("order %s arrived %d times", id, n)
			}
		}
		t.Logf("HTTP/2 %v: %d unknown, %d not done", http2, classes[retry.Unknown].Load(), classes[retry.NotDone].Load())
	}
}

func BenchmarkOrder(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == tokenPath {
			_, _ = io.WriteString(w, `{"access_token":"x","expires_in":900}`)
			return
		}
		says(http.StatusAccepted, `{"operationId":"op-1"}`)(w, r)
	}))
	defer server.Close()
	client, err := d1.New(d1.Config{
		IssuerID: testIssuer, BaseURL: server.URL, TokenURL: server.URL + tokenPath, Token: d1.Token{KeyID: "k", Key: newKey(b)},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	c := call()
	c.Body = make([]byte, 1500)
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Order(b.Context(), c); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}
