package notification_test

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	s, err := store.Open(tb.Context(), store.Config{Path: string(storetest.SQLite(tb))})
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
	bench := newBench(tb, func(_ *notification.Config, d *notification.Deps) { d.Store, d.Log = s, zerolog.Nop() })
	return bench.Receiver, s
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
