package report_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/report"
)

// BenchmarkExceptions writes the exceptions of 200,000 orders on the real
// store: 5,000 need a person, half of the others are shipped, half on their way.
func BenchmarkExceptions(b *testing.B) {
	const rows, exceptions = 200_000, 5000
	h := openHouse(b)
	h.take(b, "cards-1.csv", rows, issuance.BatchAccepted, issuance.Why{Stage: "intake"})
	claims := h.submit(b)
	for first := 0; first < len(claims); first += 500 {
		n := issuance.Notification{IssuerID: "demo-bank", Digest: fmt.Append(nil, first), Body: []byte("sealed"), ReceivedAt: h.now}
		for i, c := range claims[first:min(first+500, len(claims))] {
			n.Operations = append(n.Operations, operation(c, first+i, exceptions, h.now))
		}
		if _, err := h.store.ApplyNotification(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
	h.now = h.now.Add(3 * 24 * time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		sum, err := h.stage.RunOnce(b.Context(), report.Options{Kinds: []string{"exceptions"}, BusinessDate: "2026-03-04"})
		if err != nil || sum.Rows != exceptions || !sum.Balanced() {
			b.Fatal(sum, err)
		}
	}
	b.ReportMetric(exceptions*float64(b.N)/b.Elapsed().Seconds(), "exceptions/s")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/report")
	if files, err := os.ReadDir(filepath.Join(h.dir, "reports")); err != nil || len(files) != 2*b.N {
		b.Errorf("%d files, %v", len(files), err)
	}
}

// operation is what D1 says of the i-th order, the first some of which need a person.
func operation(c issuance.Claim, i, exceptions int, at time.Time) issuance.Operation {
	op := issuance.Operation{OperationID: "op-" + c.OrderID, Operation: issuance.OperationProduce, Status: issuance.OperationPending,
		CardID: c.CardID, IssuerRequestID: c.OrderID, StartTime: at, Production: issuance.CardProdOngoing, DueDate: "2026-03-20"}
	switch {
	case i < exceptions && i%3 == 0:
		op.Production = issuance.CardProdOnHold
	case i < exceptions && i%3 == 1:
		op.Production, op.Status, op.Reason = issuance.DataException, issuance.OperationFailed, "INVALID_ADDRESS"
	case i < exceptions:
		op.DueDate = "2026-03-02T17:00:00+01:00"
	case i%2 == 0:
		op.Production, op.Status, op.EndTime = issuance.CardShipped, issuance.OperationSuccessful, at
	}
	return op
}
