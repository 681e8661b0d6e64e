package submit

import "time"

// The slice that is claimed next should last this long. Longer slices commit
// less often; shorter ones leave fewer orders to ask about after a crash and
// let an urgent order overtake sooner.
const (
	sliceLasts = 500 * time.Millisecond
	measure    = 50 * time.Millisecond // shorter spans say nothing about the speed
)

// sizer chooses how many orders to claim from how fast they are sent.
type sizer struct {
	min, max int
	size     int
	sent     int64     // at the last measurement
	at       time.Time // of the last measurement
}

func newSizer(min, max int, now time.Time) *sizer {
	return &sizer{min: min, max: max, size: min, at: now}
}

// next returns the size of the next slice; sent is how many were sent so far.
func (s *sizer) next(sent int64, now time.Time) int {
	if span := now.Sub(s.at); span >= measure {
		speed := float64(sent-s.sent) / span.Seconds()
		s.size = min(max(int(speed*sliceLasts.Seconds()), s.min), s.max)
		s.sent, s.at = sent, now
	}
	return s.size
}
