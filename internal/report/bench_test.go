package report

import (
	"context"
	"io"
	"iter"
	"testing"
	"time"

	"cardbatch/internal/issuance"
)

// endless is a store that makes up orders, to measure nothing but the stage.
type endless struct {
	*memory
	n int64
}

func (e *endless) OrdersOfBatch(_ context.Context, no issuance.BatchNo) iter.Seq2[issuance.Order, error] {
	at := time.Date(2026, 3, 1, 22, 20, 0, 0, time.UTC)
	o := ordered("ORD-0001234567", issuance.Submitted)
	o.Production = issuance.Production{Status: issuance.CardShipped, DueDate: "2026-03-04", Site: "PERSO-1",
		Shipment: issuance.Shipment{Carrier: "laposte", TrackingNumber: "LP000123456FR", Status: "InTransit"}}
	return func(yield func(issuance.Order, error) bool) {
		for row := range e.n {
			o.Ref, o.Line = issuance.NewRef(no, row+1), row+2
			o.SubmittedAt, o.Production.At = at.Add(time.Duration(row)*time.Millisecond), at.Add(time.Duration(row)*time.Second)
			if !yield(o, nil) {
				return
			}
		}
	}
}

func BenchmarkReconciliation(b *testing.B) {
	store := &endless{newMemory(time.Now), int64(b.N)}
	batch := issuance.Batch{No: 1, Rows: int64(b.N), ReceivedAt: time.Now(), FileName: "cards-1.csv"}
	r := run{Stage: &Stage{store: store}}
	b.ReportAllocs()
	b.ResetTimer()
	c, err := r.renderReconciliation(b.Context(), &issuance.Delivery{}, &batch, io.Discard)
	if err != nil || !c.Balanced {
		b.Fatal(err, c.Breaks)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
