package submit_test

import (
	"context"
	"testing"

	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/submit"
)

// BenchmarkSubmitBatch measures orders per second in batches, from ready to
// submitted, on the real store: with a D1 that answers at once, which leaves our
// own cost, and with a simulator that does not decrypt, over HTTP/1.1 and over
// HTTP/2 with mutual TLS; see [BenchmarkSubmit]. Give it many orders:
// -benchtime 50000x.
func BenchmarkSubmitBatch(b *testing.B) {
	b.Run("answers at once", func(b *testing.B) {
		r := newRig(b, d1sim.Settings{})
		benchmarkBatch(b, r, submit.Deps{SendBatch: func(_ context.Context, _ string, batch []submit.Sending) (submit.BatchReply, error) {
			return submit.BatchReply{Results: make([]submit.BatchResult, len(batch))}, nil
		}})
	})
	b.Run("simulator over HTTP", func(b *testing.B) {
		r := newRig(b, d1sim.Settings{})
		benchmarkBatch(b, r, r.batchDeps(d1.BatchPerCard))
	})
	b.Run("simulator over HTTP/2 with mTLS", func(b *testing.B) {
		r := newSecureRig(b)
		benchmarkBatch(b, r, r.batchDeps(d1.BatchPerCard))
	})
}

func benchmarkBatch(b *testing.B, r *rig, deps submit.Deps) {
	b.Helper()
	n := r.startWith(b.Context(), submit.Config{InFlight: 4}, deps)
	n.load(b.Context(), b.N)
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	sum, err := n.submit.RunOnce(b.Context())
	b.StopTimer()
	if err != nil || sum.Submitted != b.N {
		b.Fatalf("summary %+v, error %v", sum, err)
	}
	if made := r.sim.Summary().CardsProduced; made != 0 && made != b.N {
		b.Fatalf("D1 made %d cards of %d orders", made, b.N)
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/order")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	b.ReportMetric(float64(b.N)/float64(sum.Requests), "orders/request")
}
