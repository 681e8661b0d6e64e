package submit_test

import (
	"context"
	"testing"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/submit"
)

// BenchmarkSubmit measures orders per second, from ready to submitted, on the
// real store: with a D1 that answers at once, which leaves our own cost, and
// over HTTP with a simulator that does not decrypt. Give it many orders:
// -benchtime 20000x.
func BenchmarkSubmit(b *testing.B) {
	b.Run("answers at once", func(b *testing.B) {
		benchmark(b, newRig(b, d1sim.Settings{}), func(context.Context, issuance.Claim, []byte) (string, error) {
			return "op-1", nil
		})
	})
	b.Run("simulator over HTTP", func(b *testing.B) {
		r := newRig(b, d1sim.Settings{})
		benchmark(b, r, r.send)
	})
}

func benchmark(b *testing.B, r *rig, send submit.SendFunc) {
	b.Helper()
	n := r.start(b.Context(), submit.Config{InFlight: 32}, send)
	n.load(b.Context(), b.N)
	b.ReportAllocs()
	b.ResetTimer()
	sum, err := n.submit.RunOnce(b.Context())
	b.StopTimer()
	if err != nil || sum.Submitted != b.N {
		b.Fatalf("summary %+v, error %v", sum, err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}
