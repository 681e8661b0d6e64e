package d1

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	skewMatters = 20 * time.Second // less than what assertions allow for in any case
	skewMost    = time.Hour        // more is no clock that drifted: somebody must look
)

// skew is how far D1's clock is ahead of ours, as far as we have had to learn
// it. D1 judges our assertions by its own clock: exp may be at most 15 minutes
// ahead of it and not behind, iat not in its future. Its Date header tells us
// what time it is there, to the second, which is not asked while D1 is content.
type skew struct {
	warn func(error)

	mu     sync.Mutex
	offset time.Duration
	told   bool
}

// ahead returns the correction for assertions.
func (s *skew) ahead() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offset
}

// learn takes the Date header of an answer that turned an assertion away, and
// reports whether the times in the next assertion will differ enough for
// another attempt.
func (s *skew) learn(date string, now time.Time) bool {
	at, err := http.ParseTime(date)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	offset := at.Sub(now).Round(time.Second)
	changed := (offset - s.offset).Abs() >= skewMatters
	if offset.Abs() < skewMatters {
		s.offset, s.told = 0, false // the clock is right again
		return changed
	}
	s.tell(offset)
	if offset.Abs() > skewMost || !changed {
		return false
	}
	s.offset = offset
	return true
}

// tell reports a wrong clock, once until it is right again. The lock is held.
func (s *skew) tell(offset time.Duration) {
	if s.told || s.warn == nil {
		return
	}
	s.told = true
	where := "behind"
	if offset < 0 {
		where = "ahead of"
	}
	s.warn(fmt.Errorf("our clock is %v %s D1's", offset.Abs(), where))
}

// doubt forgets a correction that did not help.
func (s *skew) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = 0
}
