package submit_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simtest"
	"cardbatch/internal/issuance"
	"cardbatch/internal/submit"
)

// BenchmarkSubmit measures orders per second, from ready to submitted, on the
// real store, every order committed: with a D1 that answers at once, which
// leaves our own cost, and over the network with a simulator in this process
// that does not decrypt. Give it many orders: -benchtime 20000x. On a machine
// that others use too, cpu-µs/order says more than orders/s; it holds our
// share and the simulator's.
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
	b.Run("simulator over HTTP/2 with mTLS", func(b *testing.B) {
		r := newSecureRig(b)
		benchmark(b, r, r.send)
	})
}

// newSecureRig reaches its D1 as production does: HTTP/2, and both sides show
// a certificate. The D1 still takes card data as given.
func newSecureRig(tb testing.TB) *rig {
	tb.Helper()
	r := newRig(tb, d1sim.Settings{})
	d := simtest.Start(tb, func(c *d1sim.Config) { c.Settings.SkipDecryption = true; c.Settings.Day = time.Hour })
	r.sim = d.Sim
	var err error
	r.client, err = d1.New(d1.Config{IssuerID: d.IssuerID, BaseURL: d.BaseURL, TokenURL: d.TokenURL,
		TLSFiles: d1.TLSFiles{Cert: d.CertFile, Key: d.KeyFile, CA: d.CAFile},
		Token:    d1.Token{KeyID: d.Keys.JWTKeyID, Key: d.Keys.JWTKey}})
	r.must(err)
	tb.Cleanup(r.client.Close)
	return r
}

func benchmark(b *testing.B, r *rig, send submit.SendFunc) {
	b.Helper()
	n := r.start(b.Context(), submit.Config{InFlight: 32}, send)
	n.load(b.Context(), b.N)
	b.ReportAllocs()
	before := processorTime(b)
	b.ResetTimer()
	sum, err := n.submit.RunOnce(b.Context())
	b.StopTimer()
	if err != nil || sum.Submitted != b.N {
		b.Fatalf("summary %+v, error %v", sum, err)
	}
	if got := r.sim.Summary(); got.CardsProduced != got.OrdersAccepted || got.CardsProduced != 0 && got.CardsProduced != b.N {
		b.Fatalf("D1 made %d cards of %d orders", got.CardsProduced, b.N)
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/order")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}

// processorTime is what this process has used of all cores.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
