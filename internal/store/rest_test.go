package store

import (
	"testing"
	"time"
)

// Loading must not slow down what D1 waits for, and must go on all the same.
func TestRestOfBulkWrites(t *testing.T) {
	const took, second = 10 * time.Millisecond, time.Second
	for _, tc := range []struct {
		name          string
		others, calls int
		want          time.Duration
	}{
		{"nobody else", 0, 0, 0},
		{"hardly anybody", manyOthers - 1, manyOthers - 1, 0},
		{"half the full rate", fullRate / 2, 1, took * (bulkShare - 1) / 2},
		{"the full rate", fullRate, fullRate, took * (bulkShare - 1)},
		{"many operations in few calls", 10 * fullRate, fullRate, took * (bulkShare - 1)},
		{"twice the calls that make it busy", 2 * busyRate, 2 * busyRate, 2 * took * (bulkShare - 1)},
		{"a flood", 100 * busyRate, 100 * busyRate, mostRests * took * (bulkShare - 1)},
	} {
		if got := rest(took, tc.others, tc.calls, second); got != tc.want {
			t.Errorf("%s: it rests %s, want %s", tc.name, got, tc.want)
		}
	}
}
