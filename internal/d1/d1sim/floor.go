package d1sim

import (
	"context"
	"time"
)

// clock is the Shopfloor's: it starts at base and runs so that one of its days
// takes day in real time.
type clock struct {
	base  time.Time
	since time.Time // real time of base, with its monotonic reading
	day   time.Duration
}

func (c *clock) now() time.Time { return c.at(time.Now()) }

func (c *clock) at(real time.Time) time.Time {
	return c.base.Add(time.Duration(float64(real.Sub(c.since)) * c.scale()))
}

func (c *clock) scale() float64 { return float64(24*time.Hour) / float64(c.day) }

// setDay goes on from the present moment at another speed.
func (c *clock) setDay(d time.Duration) {
	if d != c.day {
		now := time.Now()
		c.base, c.since, c.day = c.at(now), now, d
	}
}

// until returns the real time until a moment of the Shopfloor (µs).
func (c *clock) until(at int64) time.Duration {
	ahead := time.UnixMicro(at).Sub(c.now())
	return time.Duration(float64(ahead)/c.scale()) + time.Microsecond
}

// entry says when an open order takes its next step. The Shopfloor's timeline
// has one for each.
type entry struct {
	at    int64 // Shopfloor time, µs
	order uint32
}

// Before orders the timeline.
func (e entry) Before(f entry) bool { return e.at < f.at }

// runFloor lets happen what is due.
func (s *Simulator) runFloor(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.work())
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wakeFloor:
		}
	}
}

// workSlice is how many steps happen under one hold of the lock.
const workSlice = 256

// work does all steps that are due and returns how long to wait for the next.
func (s *Simulator) work() time.Duration {
	for {
		s.mu.Lock()
		now := s.clock.now().UnixMicro()
		n := 0
		for ; n < workSlice && len(s.floor) > 0 && s.floor[0].at <= now; n++ {
			s.advanceLocked(s.floor.pop().order, now)
		}
		if n > 0 {
			s.signalLocked()
		}
		if n == workSlice {
			s.mu.Unlock()
			continue
		}
		wait := time.Hour
		if len(s.floor) > 0 {
			wait = min(wait, max(s.clock.until(s.floor[0].at), 200*time.Microsecond))
		}
		s.mu.Unlock()
		return wait
	}
}

// advanceLocked lets an order's next step happen and plans the one after it. A
// changed order may be in the timeline twice: what is not due is put back.
func (s *Simulator) advanceLocked(i uint32, now int64) {
	r := s.ledger.at(i)
	st, ok := r.step(int(r.stage))
	if !ok {
		return
	}
	if st.at > now {
		s.floor.push(entry{st.at, i})
		return
	}
	r.stage++
	s.totals.step(r, st)
	s.outbox.add(i, r.stage-1, st.final)
	if next, ok := r.step(int(r.stage)); ok && !st.final {
		first := len(s.floor) == 0 || next.at < s.floor[0].at
		s.floor.push(entry{next.at, i})
		if first {
			select {
			case s.wakeFloor <- struct{}{}:
			default:
			}
		}
	}
}
