package intake

import (
	"encoding/binary"

	"cardbatch/internal/issuance"
)

// panSet remembers which PANs a file had, and in which row first: eight bytes a
// row, at most 16 MB for a million, and no more than it has to for less. An
// entry is 40 bits of the PAN's keyed fingerprint and the row's number. Two PANs
// that agree in those bits are mistaken for one about once in two files of a
// million rows; the store compares whole fingerprints before a row is rejected.
type panSet struct {
	entries []uint64 // tag << rowBits | row, 0 for none; a power of two of them
	used    int
}

const (
	rowBits    = 24 // of [issuance.MaxRows]
	rowMask    = 1<<rowBits - 1
	smallestPS = 1 << 10
)

// add returns the row that first had the PAN, or remembers this one and returns 0.
func (s *panSet) add(fingerprint []byte, row int64) (first int64) {
	if s.used >= len(s.entries)/8*7 {
		s.grow()
	}
	tag := binary.BigEndian.Uint64(fingerprint) >> rowBits
	mask := uint64(len(s.entries) - 1)
	i := tag & mask
	for ; s.entries[i] != 0; i = (i + 1) & mask {
		if s.entries[i]>>rowBits == tag {
			return int64(s.entries[i] & rowMask)
		}
	}
	s.entries[i] = tag<<rowBits | uint64(row)&rowMask
	s.used++
	return 0
}

func (s *panSet) grow() {
	old := s.entries
	s.entries = make([]uint64, max(smallestPS, 2*len(old)))
	mask := uint64(len(s.entries) - 1)
	for _, e := range old {
		if e == 0 {
			continue
		}
		i := e >> rowBits & mask
		for s.entries[i] != 0 {
			i = (i + 1) & mask
		}
		s.entries[i] = e
	}
}

// mark notes on each order which earlier row of the file seems to have its PAN.
func (s *panSet) mark(orders []issuance.NewOrder) {
	for i := range orders {
		n := &orders[i]
		if n.State != issuance.Ready || len(n.PANFingerprint) < 8 {
			continue
		}
		if first := s.add(n.PANFingerprint, n.Ref.Row()); first != 0 {
			n.SamePAN = issuance.NewRef(n.Ref.Batch(), first)
		}
	}
}
