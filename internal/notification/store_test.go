package notification_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
)

// newStoreBench returns a receiver on a real store with n orders that are being
// sent right now.
func newStoreBench(tb testing.TB, n int) (*notification.Receiver, *store.Store) {
	tb.Helper()
	s, _ := newOrders(tb, n)
	bench := newBench(tb, func(_ *notification.Config, d *notification.Deps) { d.Store, d.Log = s, zerolog.Nop() })
	return bench.Receiver, s
}

// newOrders returns a store with n orders that are being sent right now.
func newOrders(tb testing.TB, n int) (*store.Store, string) {
	tb.Helper()
	return newOrdersIn(tb, string(storetest.SQLite(tb)), n)
}

func newOrdersIn(tb testing.TB, file string, n int) (*store.Store, string) {
	tb.Helper()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	s, err := store.Open(tb.Context(), store.Config{Path: file})
	must(err)
	tb.Cleanup(func() { _ = s.Close() })
	session, err := s.StartSession(tb.Context(), "test")
	must(err)
	why := issuance.Why{At: time.Now().UTC(), Stage: "intake", Session: session}
	b, err := s.ClaimFile(tb.Context(), issuance.Batch{Source: "test", IssuerID: issuer, FileName: "o.csv",
		Session: session, State: issuance.BatchLoading, BusinessDate: "2026-03-02", ReceivedAt: why.At, Why: why})
	must(err)
	rows := make([]issuance.NewOrder, n)
	for i := range rows {
		rows[i] = issuance.NewOrder{Order: issuance.Order{Ref: issuance.NewRef(b.No, int64(i+1)), Line: int64(i + 2), IssuerID: issuer,
			OrderID: fmt.Sprintf("ord-%d", i), CardID: fmt.Sprintf("card-%d", i), State: issuance.Ready, Urgency: issuance.Normal,
			ContentMAC: []byte{byte(i), byte(i >> 8)}}, Payload: []byte("sealed")}
	}
	must(s.AddOrders(tb.Context(), b.No, rows))
	b.Rows = int64(n)
	must(s.DecideBatch(tb.Context(), b, issuance.BatchAccepted, why))
	claims, err := s.ClaimReady(tb.Context(), issuer, session, n)
	must(err)
	if len(claims) != n {
		tb.Fatalf("claimed %d orders", len(claims))
	}
	return s, session
}

func operation(order int, status string, at int) string {
	result := "PENDING"
	if status == "CARD_SHIPPED" {
		result = "SUCCESSFUL"
	}
	return fmt.Sprintf(`{"operationId":"op-%d","operation":"PRODUCE","status":%q,"startTime":"2026-03-01T08:00:00Z",
		"endTime":"2026-03-01T09:00:%02dZ","cardId":"card-%d","issuerRequestId":"ord-%d","details":{"status":%q}}`, order, result, at, order, order, status)
}

// Whatever the order in which notifications arrive, and however often, an order
// that is being sent turns out to be submitted and ends where production is.
func TestDisorderAndRepeats(t *testing.T) {
	t.Parallel()
	const orders = 20
	r, s := newStoreBench(t, orders)
	var bodies []string
	for o := range orders {
		for at, status := range []string{"CARD_PROD_REQUESTED", "DATA_PREPARED", "CARD_PROD_ONGOING", "CARD_SHIPPED"} {
			bodies = append(bodies, `{"operations":[`+operation(o, status, at)+`]}`)
		}
	}
	bodies = append(bodies, bodies...)
	rand.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	for _, body := range bodies {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body)))
		if w.Code != 204 {
			t.Fatalf("answered %d", w.Code)
		}
	}
	totals, err := s.BatchTotals(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if totals.State(issuance.Submitted) != orders || totals.Phase(issuance.Shipped) != orders {
		t.Errorf("terms: %v", totals.Terms())
	}
	if err := s.Balance(t.Context()); err != nil {
		t.Error(err)
	}
}

// BenchmarkReceive measures status updates per second, one in a notification,
// as D1 sends them by default, each durable before it is answered.
func BenchmarkReceive(b *testing.B) {
	const orders = 1000
	r, _ := newStoreBench(b, orders)
	statuses := []string{"CARD_PROD_REQUESTED", "DATA_PREPARED", "CARD_PROD_READY", "CARD_PROD_ONGOING", "CARD_PROD_DONE", "CARD_SHIPPED"}
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := int(next.Add(1))
			body := fmt.Sprintf(`{"n":%d,"operations":[%s]}`, i, operation(i%orders, statuses[i/orders%len(statuses)], i/orders%60))
			w := httptest.NewRecorder()
			r.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), "POST", path, strings.NewReader(body)))
			if w.Code != 204 {
				b.Errorf("answered %d", w.Code)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
}

// BenchmarkReceiverTLS is BenchmarkReceive as D1 sees it: over HTTP/2 with
// client certificates and a bearer token, the client's work included, with the
// time in which 99 % of the answers came. With "accepting", the store does
// nothing, which leaves what HTTP and TLS cost.
func BenchmarkReceiverTLS(b *testing.B) {
	b.Run("accepting", func(b *testing.B) { benchmarkTLS(b, 1, acceptingStore{}) })
	b.Run("stored", func(b *testing.B) {
		s, _ := newOrders(b, 5000)
		benchmarkTLS(b, 1, s)
	})
	b.Run("stored in tens", func(b *testing.B) {
		s, _ := newOrders(b, 5000)
		benchmarkTLS(b, 10, s)
	})
}

type acceptingStore struct{}

func (acceptingStore) ApplyNotification(_ context.Context, n issuance.Notification) (issuance.Applied, error) {
	return issuance.Applied{Matched: len(n.Operations)}, nil
}

func benchmarkTLS(b *testing.B, bulk int, s notification.Store) {
	b.Helper()
	site := newSite(b, func(c *notification.Config, _ *notification.ServerConfig, _ *notification.TLSFiles) {
		c.OAuth, c.PerSecond = oauth(b), 1e6
	}, func(d *notification.Deps) { d.Store, d.Log = s, zerolog.Nop() })
	token := site.ask(b, "d1-old", secretOld, grant).AccessToken
	clients := make([]*http.Client, 4)
	for i := range clients {
		clients[i] = site.httpClient(b, true, site.client(b, "D1"))
	}
	statuses := []string{"CARD_PROD_REQUESTED", "DATA_PREPARED", "CARD_PROD_READY", "CARD_PROD_ONGOING", "CARD_PROD_DONE", "CARD_SHIPPED"}
	var next atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	b.ReportAllocs()
	b.SetParallelism(64)
	before := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var mine []time.Duration
		for pb.Next() {
			n := int(next.Add(1))
			operations := make([]string, bulk)
			for o := range operations {
				i := n*bulk + o
				operations[o] = operation(i%5000, statuses[i/5000%len(statuses)], i/5000%60)
			}
			body := fmt.Sprintf(`{"n":%d,"operations":[%s]}`, n, strings.Join(operations, ","))
			req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, site.url+path, strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+token)
			started := time.Now()
			resp, err := clients[n%len(clients)].Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			mine = append(mine, time.Since(started))
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				b.Errorf("answered %d", resp.StatusCode)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, mine...)
	})
	b.StopTimer()
	used := processorTime(b) - before
	slices.Sort(took)
	b.ReportMetric(float64(used.Microseconds())/float64(b.N*bulk), "cpu-µs/update")
	b.ReportMetric(float64(b.N*bulk)/b.Elapsed().Seconds(), "updates/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// processorTime is what this process has used of the processors: what a figure
// means on a machine that others use, too.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
