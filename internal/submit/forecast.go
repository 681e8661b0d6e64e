package submit

import (
	"context"
	"fmt"
	"time"

	"cardbatch/internal/calendar"
	"cardbatch/internal/issuance"

	"github.com/rs/zerolog"
)

// Forecast says when orders that wait will have been sent, if all goes on as it
// does.
type Forecast struct {
	Done   time.Time // when the last of them is sent; zero: not within a month, or nobody can say
	Closes time.Time // when the hours end in which they may be sent now; zero: they are not open, or do not end
	Left   int64     // how many will still wait then
}

// Predict counts how urgent and other orders are sent at a speed, urgent ones
// first, in the hours that h leaves; nil are all.
func Predict(h *calendar.Hours, now time.Time, urgent, normal int64, perSecond float64) Forecast {
	if h == nil {
		h = &calendar.Hours{}
	}
	if perSecond <= 0 {
		return Forecast{}
	}
	var f Forecast
	u, n := float64(urgent), float64(normal)
	opened, closed := false, false
	for from, phases := now, h.Phases(now); len(phases) > 0; from, phases = phases[0].Until, phases[1:] {
		p := phases[0]
		room := perSecond * p.Until.Sub(from).Seconds()
		if p.Until.IsZero() {
			room = u + n
		}
		start := room
		if p.Urgent {
			sent := min(u, room)
			u, room = u-sent, room-sent
		}
		if p.Normal {
			sent := min(n, room)
			n, room = n-sent, room-sent
		}
		if u+n < 0.5 {
			f.Done = from.Add(time.Duration((start - room) / perSecond * float64(time.Second)))
		}
		switch {
		case closed:
		case p.Normal:
			opened = true
			f.Closes, f.Left = p.Until, int64(u+n+0.5)
		case opened || !p.Open() || n > 0:
			closed = true
		}
		if !f.Done.IsZero() {
			if !closed && !f.Closes.IsZero() {
				f.Closes = ends(phases)
			}
			return f
		}
	}
	return f
}

// ends returns when the phases in which all may be sent end.
func ends(phases []calendar.Phase) (until time.Time) {
	for _, p := range phases {
		if !p.Normal {
			break
		}
		until = p.Until
	}
	return until
}

// queue is what waits, by what the hours tell apart.
type queue struct {
	urgent, normal       int64
	dueUrgent, dueNormal int64
}

func count(waiting []issuance.Waiting) (q queue) {
	for _, w := range waiting {
		if w.Urgency == issuance.Urgent {
			q.urgent += w.Orders
			q.dueUrgent += w.Due
		} else {
			q.normal += w.Orders
			q.dueNormal += w.Due
		}
	}
	return q
}

// foretell logs how long it will take. speed is how many orders a second go at
// present, 0 when that is not known yet: then the last run's counts, else what
// is agreed.
func (r *Runner) foretell(now time.Time, q queue, speed float64) {
	for _, other := range []float64{r.speed, r.PerSecond} {
		if speed <= 0 {
			speed = other
		}
	}
	total := q.urgent + q.normal
	if speed <= 0 || total == 0 {
		return
	}
	f := Predict(r.Hours, now, q.urgent, q.normal, speed)
	level, text := zerolog.InfoLevel, fmt.Sprintf("%d orders wait; at %.1f a second all are sent by %s", total, speed, r.clock(f.Done))
	switch {
	case f.Done.IsZero():
		level, text = zerolog.WarnLevel, fmt.Sprintf("%d orders wait; at %.1f a second they will not be sent within a month", total, speed)
	case f.Left > 0:
		level, text = zerolog.WarnLevel, fmt.Sprintf("%d orders wait and will not be finished by %s, when the hours for sending end: at %.1f a second %d are left then, and the last is sent by %s",
			total, r.clock(f.Closes), speed, f.Left, r.clock(f.Done))
	}
	r.Log.WithLevel(level).Str("stage", "submit").Str("issuer", r.IssuerID).Int64("count", total).Msg(text)
}

// foretellNowAndThen logs forecasts until the function returned is called.
func (p *pass) foretellNowAndThen(going context.Context) (end func()) {
	if p.Queue == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(going)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(p.ForecastEvery)
		defer tick.Stop()
		for before := int64(0); ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			sent := p.sent.Load()
			speed := float64(sent-before) / p.ForecastEvery.Seconds()
			before = sent
			if waiting, err := p.Queue.Waiting(ctx, p.IssuerID); err == nil {
				p.foretell(p.Now(), count(waiting), speed)
			}
		}
	}()
	return func() { cancel(); <-ended }
}
