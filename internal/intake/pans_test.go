package intake

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

func fingerprint(n uint64) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, n*0x9E3779B97F4A7C15) // spread, as a digest is
	return b
}

// TestPANSet compares with a map.
func TestPANSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set panSet
		first := map[uint64]int64{}
		for i, n := range rapid.SliceOfN(rapid.Uint64Range(0, 1500), 0, 2500).Draw(t, "pans") {
			row := int64(i + 1)
			if got := set.add(fingerprint(n), row); got != first[n] {
				t.Fatalf("row %d: first row %d, want %d", row, got, first[n])
			}
			if first[n] == 0 {
				first[n] = row
			}
		}
	})
}

func TestPANSetIsSmall(t *testing.T) {
	const rows = 1_000_000
	var set panSet
	mistaken := 0
	for n := range uint64(rows) {
		if set.add(fingerprint(n), int64(n+1)) != 0 {
			mistaken++
		}
	}
	if size := 8 * len(set.entries); size > 16<<20+1 {
		t.Errorf("%d bytes for %d rows", size, rows)
	}
	if mistaken > 5 {
		t.Errorf("%d of %d taken for repeats", mistaken, rows)
	}
	if got := set.add(fingerprint(rows-1), issuance.MaxRows); got != rows {
		t.Errorf("the last is first in row %d", got)
	}
}
