package store_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
)

const (
	benchIssuer  = "bank-1"
	benchChunk   = 500
	benchPayload = 2048 // bytes; a sealed D1 request with its JWE
)

// benchOrders makes rows of a batch with ids as core banking numbers them.
func benchOrders(no issuance.BatchNo, from, n int) []issuance.NewOrder {
	payload := make([]byte, benchPayload)
	orders := make([]issuance.NewOrder, n)
	for i := range orders {
		row := int64(from + i + 1)
		mac := binary.BigEndian.AppendUint64(make([]byte, 8), uint64(row))
		orders[i] = issuance.NewOrder{Payload: payload, Order: issuance.Order{
			Ref: issuance.NewRef(no, row), Line: row + 1, IssuerID: benchIssuer,
			OrderID: fmt.Sprintf("ORD-20260301-%02d-%08d", no, row), CardID: fmt.Sprintf("CARD-%02d-%010d", no, row),
			ConsumerID: fmt.Sprintf("CONS-%010d", row), ProductID: "VISA_DEBIT_STD", Issuance: issuance.Creation, Priority: "STANDARD",
			Urgency: issuance.Normal, MaskedPAN: "411111******1111", PANFingerprint: mac, ContentMAC: mac, State: issuance.Ready}}
	}
	return orders
}

func benchBatch(b *testing.B, s *store.Store) issuance.Batch {
	b.Helper()
	batch, err := s.ClaimFile(b.Context(), issuance.Batch{Source: "bench", IssuerID: benchIssuer, FileName: "f.csv"})
	if err != nil {
		b.Fatal(err)
	}
	return batch
}

func benchLoad(b *testing.B, s *store.Store, batch issuance.Batch, n int) {
	b.Helper()
	for from := 0; from < n; from += benchChunk {
		if err := s.AddOrders(b.Context(), batch.No, benchOrders(batch.No, from, min(benchChunk, n-from))); err != nil {
			b.Fatal(err)
		}
	}
	batch.Rows = int64(n)
	if err := s.DecideBatch(b.Context(), batch, issuance.BatchAccepted, issuance.Why{Stage: "intake"}); err != nil {
		b.Fatal(err)
	}
}

func perSecond(b *testing.B, n int, what string) {
	b.Helper()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), what+"/s")
}

// BenchmarkAddOrders: one operation is one order.
func BenchmarkAddOrders(b *testing.B) {
	s := storetest.New(b)
	batch := benchBatch(b, s)
	b.ReportAllocs()
	b.ResetTimer()
	for from := 0; from < b.N; from += benchChunk {
		b.StopTimer()
		orders := benchOrders(batch.No, from, min(benchChunk, b.N-from))
		b.StartTimer()
		if err := s.AddOrders(context.Background(), batch.No, orders); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, b.N, "orders")
}

// BenchmarkClaimAndRecord: one operation is one order, claimed and recorded
// as submitted, in slices of 200 by four workers as submit has them.
func BenchmarkClaimAndRecord(b *testing.B) {
	s := storetest.New(b)
	batch := benchBatch(b, s)
	benchLoad(b, s, batch, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				claims, err := s.ClaimReady(b.Context(), benchIssuer, batch.Session, 200)
				if err != nil {
					b.Error(err)
				}
				if len(claims) == 0 {
					return
				}
				if err := s.RecordOutcomes(b.Context(), batch.Session, benchOutcomes(claims)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	workers.Wait()
	perSecond(b, b.N, "orders")
}

func benchOutcomes(claims []issuance.Claim) []issuance.Outcome {
	outcomes := make([]issuance.Outcome, len(claims))
	for i, c := range claims {
		outcomes[i] = issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Submitted, OperationID: fmt.Sprintf("op-%032d", c.Ref)}
	}
	return outcomes
}

// BenchmarkApplyNotification: one operation is one status update. Orders come
// in a scattered order.
func BenchmarkApplyNotification(b *testing.B) {
	for _, perBody := range []int{1, 100} {
		b.Run(fmt.Sprintf("operations=%d", perBody), func(b *testing.B) { benchNotify(b, perBody) })
	}
}

func benchNotify(b *testing.B, perBody int) {
	b.Helper()
	const orders = 20_000
	statuses := []issuance.ProductionStatus{issuance.CardProdRequested, issuance.DataPrepared, issuance.CardProdReady,
		issuance.CardProdOngoing, issuance.CardProdDone, issuance.CardShipped}
	s := storetest.New(b)
	batch := benchBatch(b, s)
	benchLoad(b, s, batch, orders)
	benchSubmit(b, s, batch)
	body := make([]byte, 700*perBody)
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := next.Add(1) - 1
			if i%int64(perBody) != 0 {
				continue
			}
			n := issuance.Notification{IssuerID: benchIssuer, Body: body, Digest: binary.BigEndian.AppendUint64(nil, uint64(i)*0x9E3779B97F4A7C15), ReceivedAt: time.Now()}
			for k := i; k < i+int64(perBody); k++ {
				row := (k*7919)%orders + 1
				n.Operations = append(n.Operations, issuance.Operation{OperationID: fmt.Sprintf("op-%032d", issuance.NewRef(batch.No, row)),
					Operation: issuance.OperationProduce, Status: issuance.OperationPending, CardID: fmt.Sprintf("CARD-%02d-%010d", batch.No, row),
					IssuerRequestID: fmt.Sprintf("ORD-20260301-%02d-%08d", batch.No, row), StartTime: time.Now(),
					Production: statuses[(k/orders)%int64(len(statuses))]})
			}
			if a, err := s.ApplyNotification(b.Context(), n); err != nil || a.Matched != perBody {
				b.Error(a, err)
			}
		}
	})
	perSecond(b, b.N, "updates")
}

// BenchmarkRestart: one operation is what a process does before it is ready, on
// a store that keeps many orders, a slice of which was being sent when the one
// before it ended.
func BenchmarkRestart(b *testing.B) {
	for _, orders := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("orders=%d", orders), func(b *testing.B) {
			if orders > 10_000 && testing.Short() {
				b.Skip("takes a minute to set up")
			}
			file := storetest.SQLite(b)
			s := file.Open(b, nil)
			session, err := s.StartSession(b.Context(), "bench")
			if err != nil {
				b.Fatal(err)
			}
			benchLoad(b, s, benchBatch(b, s), orders)
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				if _, err := s.ClaimReady(b.Context(), benchIssuer, session, 200); err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				s = file.Open(b, nil)
				if session, err = s.StartSession(b.Context(), "bench"); err != nil {
					b.Fatal(err)
				}
				if n, err := s.RecoverSessions(b.Context(), time.Minute); err != nil || n != 200 {
					b.Fatal(n, err)
				}
				if _, _, err := s.AdvanceBatches(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkNotificationsWhileLoading: one operation is one status update, in a
// body of its own, sent by 64 connections at a time as fast as they are answered,
// while a file of 200,000 rows is loaded as intake loads it: chunk after chunk. It
// begins again when it is through. p99 is that of the answers.
func BenchmarkNotificationsWhileLoading(b *testing.B) {
	const orders, rows, connections = 20_000, 200_000, 64
	for _, offered := range []int{0, 10_000} { // updates per second; 0: as many as are answered
		b.Run(fmt.Sprintf("offered=%d", offered), func(b *testing.B) {
			s := storetest.New(b)
			batch := benchBatch(b, s)
			benchLoad(b, s, batch, orders)
			benchSubmit(b, s, batch)
			ctx, stop := context.WithCancel(b.Context())
			var loaded atomic.Int64
			var loader sync.WaitGroup
			loader.Go(func() { benchLoadOn(ctx, b, s, rows, &loaded) })
			took := make([][]time.Duration, connections)
			var next atomic.Int64
			var clients sync.WaitGroup
			b.ResetTimer()
			began := time.Now()
			for c := range connections {
				clients.Go(func() {
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						due := time.Now()
						if offered > 0 { // waiting for a connection counts: the time of the answer is from when it was due
							due = began.Add(time.Duration(i) * time.Second / time.Duration(offered))
							<-time.After(time.Until(due))
						}
						if a, err := s.ApplyNotification(b.Context(), benchNotification(batch.No, i, orders)); err != nil || a.Matched != 1 {
							b.Error(a, err)
						}
						took[c] = append(took[c], time.Since(due))
					}
				})
			}
			clients.Wait()
			b.StopTimer()
			b.ReportMetric(float64(loaded.Load())/b.Elapsed().Seconds(), "orders/s")
			stop()
			loader.Wait()
			all := slices.Concat(took...)
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
			perSecond(b, b.N, "updates")
		})
	}
}

// benchLoadOn loads files until it is told to stop.
func benchLoadOn(ctx context.Context, b *testing.B, s *store.Store, rows int, loaded *atomic.Int64) {
	b.Helper()
	for ctx.Err() == nil {
		batch := benchBatch(b, s)
		from := 0
		for ; from < rows && ctx.Err() == nil; from += benchChunk / 2 {
			if err := s.AddOrders(b.Context(), batch.No, benchOrders(batch.No, from, benchChunk/2)); err != nil {
				b.Error(err)
			}
			loaded.Add(benchChunk / 2)
		}
		batch.Rows = int64(from)
		if err := s.DecideBatch(b.Context(), batch, issuance.BatchAccepted, issuance.Why{Stage: "intake"}); err != nil {
			b.Error(err)
		}
	}
}

func benchNotification(no issuance.BatchNo, i int64, orders int) issuance.Notification {
	statuses := []issuance.ProductionStatus{issuance.CardProdRequested, issuance.DataPrepared, issuance.CardProdReady,
		issuance.CardProdOngoing, issuance.CardProdDone, issuance.CardShipped}
	row := (i*7919)%int64(orders) + 1
	return issuance.Notification{IssuerID: benchIssuer, Body: make([]byte, 700), ReceivedAt: time.Now(),
		Digest: binary.BigEndian.AppendUint64(nil, uint64(i)*0x9E3779B97F4A7C15),
		Operations: []issuance.Operation{{OperationID: fmt.Sprintf("op-%032d", issuance.NewRef(no, row)),
			Operation: issuance.OperationProduce, Status: issuance.OperationPending, CardID: fmt.Sprintf("CARD-%02d-%010d", no, row),
			IssuerRequestID: fmt.Sprintf("ORD-20260301-%02d-%08d", no, row), StartTime: time.Now(),
			Production: statuses[(i/int64(orders))%int64(len(statuses))]}}}
}

func benchSubmit(b *testing.B, s *store.Store, batch issuance.Batch) {
	b.Helper()
	for {
		claims, err := s.ClaimReady(b.Context(), benchIssuer, batch.Session, 2000)
		if err != nil {
			b.Fatal(err)
		}
		if len(claims) == 0 {
			return
		}
		if err := s.RecordOutcomes(b.Context(), batch.Session, benchOutcomes(claims)); err != nil {
			b.Fatal(err)
		}
	}
}
