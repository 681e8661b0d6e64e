package ageing

import (
	"strings"
	"time"
)

// Calendar says on which days nobody works; of day only the date counts.
type Calendar interface {
	Off(day time.Time) bool
}

// days counts working days back from today. Holidays take long to find out, so
// each day is asked about once.
type days struct {
	zone     *time.Location
	calendar Calendar
	today    time.Time // as a bare date
	working  []int     // working[n]: working days among today and the n-1 days before it
}

// longest is how far back days are counted; what is older is as old as that.
const longest = 3660

func newDays(zone *time.Location, calendar Calendar, now time.Time) *days {
	return &days{zone: zone, calendar: calendar, today: bare(now.In(zone)), working: []int{0}}
}

// bare is a day as a date without a zone.
func bare(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// since counts the working days after the day of a moment, up to today.
func (d *days) since(at time.Time) int { return d.after(bare(at.In(d.zone))) }

// after counts the working days after a bare date, up to today.
func (d *days) after(date time.Time) int {
	back := min(longest, int(d.today.Sub(date).Hours()/24))
	for len(d.working) <= back {
		n := len(d.working) - 1
		more := d.working[n]
		if !d.off(d.today.AddDate(0, 0, -n)) {
			more++
		}
		d.working = append(d.working, more)
	}
	return d.working[max(0, back)]
}

func (d *days) off(date time.Time) bool { return d.calendar != nil && d.calendar.Off(date) }

// due reads a due date as D1 writes it, and moves it to a working day.
func (d *days) due(text string) (date time.Time, ok bool) {
	date, ok = d.parse(strings.TrimSpace(text))
	for n := 0; ok && n < 366 && date.Before(d.today) && d.off(date); n++ {
		date = date.AddDate(0, 0, 1)
	}
	return date, ok
}

// begin is the moment at which a bare date begins at the center.
func (d *days) begin(date time.Time) time.Time {
	year, month, day := date.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, d.zone).UTC()
}

// The forms of a due date without a zone. Fractions of a second are read with each.
func (d *days) parse(text string) (time.Time, bool) {
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04:05", "2006-01-02T15:04", "20060102"} {
		if at, err := time.Parse(layout, text); err == nil {
			return bare(at), true
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, text); err == nil {
			return bare(at.In(d.zone)), true
		}
	}
	return time.Time{}, false
}
