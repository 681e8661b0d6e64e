package ratelimit

import (
	"math"
	"time"
)

const (
	climb     = 30 * time.Second // from low to top
	firstRest = 5 * time.Minute  // at top, before more is tried
	longRest  = 20 * time.Minute // when trying has led to nothing several times
	probe     = 1.0 / 100        // per second, how fast more is tried
	goneIdle  = 5 * time.Second  // without a call D1 may have forgotten what it counted
)

// pace is the rate to go at: the configured one until D1 complains, then what
// is learnt of D1's own limit. After a complaint the rate goes
//
//	from low to top, 30 s
//	stays at top, 5 min or more
//	rises from there by 1 % a second, until D1 complains again
//
// where time counts only while the limiter is in use.
//
// D1 is taken to count calls in some way that lets so many through in the long
// run. Between two complaints it has let through as many as it would: the rate
// over that time, the pause included, is what it allows, or less when it does
// not save up allowances over a pause. The rate at which it complained is more
// than it allows. The truth is in between.
type pace struct {
	most float64 // configured

	learnt   bool
	low, top float64
	rest     time.Duration
	since    time.Time // the climb begins

	complaint time.Time // the last one; zero when it says nothing about the next
	lastCall  time.Time
	calls     int // since the complaint
	waited    int // of those, the ones that had to wait for their slot
}

// at is the rate at a time.
func (p *pace) at(now time.Time) float64 {
	if !p.learnt {
		return p.most
	}
	t := max(now.Sub(p.since), 0)
	switch {
	case t < climb:
		return p.low + (p.top-p.low)*t.Seconds()/climb.Seconds()
	case t < climb+p.rest:
		return p.top
	}
	return min(p.most, p.top*math.Exp(probe*(t-climb-p.rest).Seconds()))
}

// intended is how many calls the pace has meant from the climb's begin to now,
// before anything more was tried.
func (p *pace) intended(now time.Time) float64 {
	t := min(max(now.Sub(p.since), 0), climb+p.rest).Seconds()
	c := min(t, climb.Seconds())
	return p.low*c + (p.top-p.low)*c*c/(2*climb.Seconds()) + p.top*(t-c)
}

// called takes notice of a call. waited says that it had to wait for its slot.
func (p *pace) called(now time.Time, waited bool) {
	if idle := now.Sub(later(p.lastCall, p.since)); idle > goneIdle {
		if p.learnt {
			p.since = p.since.Add(idle)
		}
		p.complaint, p.calls, p.waited = time.Time{}, 0, 0
	}
	p.lastCall = now
	p.calls++
	if waited {
		p.waited++
	}
}

// complain learns from a complaint; nothing is sent before resume.
func (p *pace) complain(now, resume time.Time) {
	rate := p.at(now)
	allowed, tooMuch := p.allowed(now, rate), rate
	switch trying := now.Sub(p.since) - climb - p.rest; {
	case !p.learnt:
		p.rest = firstRest
	case trying > 0 && rate < 1.25*p.top:
		// Nothing new but that D1's limit is where it was. That it took some time
		// to say so is what it had saved up for us.
		allowed, tooMuch = p.top, (rate+p.top)/2
		p.rest = min(2*p.rest, longRest)
	case trying > 0:
		p.rest = firstRest
	}
	least := min(p.most, max(p.most/256, 1))
	middle := (allowed + tooMuch) / 2
	p.low = max(0.94*middle, least)
	p.top = max(0.97*(middle+tooMuch)/2, p.low)
	p.learnt, p.since = true, resume
	p.complaint, p.calls, p.waited = now, 0, 0
}

// allowed is a lower bound for what D1 allows, or rate when there is none.
func (p *pace) allowed(now time.Time, rate float64) float64 {
	span := now.Sub(p.complaint).Seconds()
	switch {
	case p.complaint.IsZero() || span <= 0:
		return rate
	case 2*p.waited < p.calls: // the pace was not what held us back
		return min(rate, float64(p.calls)/span)
	}
	return min(rate, p.intended(now)/span)
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
