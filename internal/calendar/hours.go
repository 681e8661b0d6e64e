package calendar

import (
	"errors"
	"slices"
	"time"
)

// Window is a stretch of hours that comes again on some days of the week. One
// that ends before it begins, or when it begins, ends the next day.
type Window struct {
	From, To TimeOfDay
	Days     []Weekday // on which it begins; none means every day
}

// CutOff is the time of day until which the personalization center takes what
// is ordered for the same day.
type CutOff struct {
	At         TimeOfDay
	Zone       *time.Location // of the center
	Days       Days           // off, in the center
	Wait       bool           // what comes later waits for the next day of production
	UrgentWait bool           // urgent orders do, too
}

// Hours say when orders may be sent. The zero value means always.
type Hours struct {
	Windows []Window       // none means all the time
	Zone    *time.Location // of the windows
	CutOff  *CutOff        // nil: none
}

// Phase is a stretch of time in which the same orders may be sent.
type Phase struct {
	Normal bool      // orders that are not urgent may be sent
	Urgent bool      // urgent ones may
	Until  time.Time // when it ends; zero when it goes on for more than a month
}

// Open reports whether any order may be sent.
func (p Phase) Open() bool { return p.Normal || p.Urgent }

// horizon is how many days ahead Hours look.
const horizon = 40

// Check says what is wrong with hours: that there are none at all.
func (h *Hours) Check(now time.Time) error {
	if !slices.ContainsFunc(h.Phases(now), func(p Phase) bool { return p.Normal }) {
		return errors.New("leaves no time to send orders that are not urgent: no window is open before the cut-off on a working day of the center")
	}
	return nil
}

// At returns the phase that a moment is in.
func (h *Hours) At(t time.Time) Phase {
	p := h.flags(t)
	if len(h.Windows) == 0 && (h.CutOff == nil || !h.CutOff.Wait && !h.CutOff.UrgentWait) {
		return p
	}
	for from, ok := h.change(t); ok; from, ok = h.change(from) {
		if next := h.flags(from); next != p {
			p.Until = from
			return p
		}
		if from.Sub(t) > horizon*24*time.Hour {
			break
		}
	}
	return p
}

// Phases returns the phases from a moment on, for about a month.
func (h *Hours) Phases(t time.Time) []Phase {
	var phases []Phase
	for from := t; from.Sub(t) < horizon*24*time.Hour; {
		p := h.At(from)
		phases = append(phases, p)
		if p.Until.IsZero() {
			break
		}
		from = p.Until
	}
	return phases
}

// Opens returns when orders may be sent next: t itself if they may. It reports
// false when that is more than a month away. urgent asks about urgent orders.
func (h *Hours) Opens(t time.Time, urgent bool) (time.Time, bool) {
	from := t
	for _, p := range h.Phases(t) {
		if p.Normal || urgent && p.Urgent {
			return from, true
		}
		from = p.Until
	}
	return time.Time{}, false
}

func (h *Hours) flags(t time.Time) Phase {
	open := len(h.Windows) == 0
	for day := range h.days(t, h.Zone) {
		for _, w := range h.Windows {
			from, to := w.on(day, h.Zone)
			open = open || w.begins(day) && !t.Before(from) && t.Before(to)
		}
	}
	late := h.CutOff != nil && h.CutOff.late(t)
	return Phase{
		Normal: open && (!late || !h.CutOff.Wait),
		Urgent: open && (!late || !h.CutOff.UrgentWait),
	}
}

// change returns the next moment after t at which something may change.
func (h *Hours) change(t time.Time) (next time.Time, ok bool) {
	consider := func(at time.Time) {
		if at.After(t) && (!ok || at.Before(next)) {
			next, ok = at, true
		}
	}
	for day := range h.days(t, h.Zone) {
		for _, w := range h.Windows {
			from, to := w.on(day, h.Zone)
			consider(from)
			consider(to)
		}
	}
	if h.CutOff != nil {
		for day := range h.days(t, h.CutOff.Zone) {
			consider(moment(day, 0, h.CutOff.Zone))
			consider(moment(day, h.CutOff.At, h.CutOff.Zone))
		}
	}
	return next, ok
}

// days gives the days around a moment, as a zone counts them: a window of
// yesterday may still be open, and the next change comes tomorrow at the latest.
func (h *Hours) days(t time.Time, zone *time.Location) func(yield func(time.Time) bool) {
	return func(yield func(time.Time) bool) {
		if zone == nil {
			return
		}
		today := bare(t.In(zone))
		for n := -2; n <= 2; n++ {
			if !yield(today.AddDate(0, 0, n)) {
				return
			}
		}
	}
}

func (w Window) begins(day time.Time) bool {
	return len(w.Days) == 0 || slices.Contains(w.Days, Weekday(day.Weekday()))
}

// on returns when the window of a day begins and ends.
func (w Window) on(day time.Time, zone *time.Location) (from, to time.Time) {
	end := day
	if w.To <= w.From {
		end = day.AddDate(0, 0, 1)
	}
	return moment(day, w.From, zone), moment(end, w.To, zone)
}

// late reports whether what is ordered at t counts for a later day.
func (c *CutOff) late(t time.Time) bool {
	today := bare(t.In(c.Zone))
	return c.Days.Off(today) || !t.Before(moment(today, c.At, c.Zone))
}
