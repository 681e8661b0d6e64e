package ratelimit_test

import (
	"path/filepath"
	"testing"
	"time"

	"cardbatch/internal/ratelimit"
	"cardbatch/internal/store"
)

// BenchmarkShareOfRate reports how much of a rate is used, with the store of
// record handing out the slots.
func BenchmarkShareOfRate(b *testing.B) {
	cfg := store.Config{Path: filepath.Join(b.TempDir(), "store.db")}
	if _, err := store.Migrate(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	s, err := store.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	const rate, length = 2000, 3 * time.Second
	l := newLimiter(b, s, ratelimit.Config{PerSecond: rate, Burst: 20, InFlight: 64})
	calls := 0
	for b.Loop() {
		calls += len(run(l, 32, length, 5*time.Millisecond, never))
	}
	b.ReportMetric(100*float64(calls)/float64(b.N)/rate/length.Seconds(), "%ofrate")
}
