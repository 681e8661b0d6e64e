package schedule

import (
	"cmp"
	"slices"
	"time"

	"cardbatch/internal/calendar"
)

// Due is one due time of a job.
type Due struct {
	At time.Time // the moment, UTC
	// Wall is the same on the wall clock of the job's zone, with its offset from
	// UTC so that both halves of an autumn night differ: 2026-10-25T02:30+02:00.
	// It is the run's key in the ledger.
	Wall string
}

const wallLayout = "2006-01-02T15:04Z07:00"

// Next returns the first due time after t. It reports false when there is
// none within some years.
func (j *Job) Next(t time.Time) (Due, bool) {
	const horizon = 5 * 366 * 24 * time.Hour
	for from, step := t, time.Hour; from.Sub(t) < horizon; from, step = from.Add(step), step*2 {
		if dues := j.Between(from, from.Add(step)); len(dues) > 0 {
			return dues[0], true
		}
	}
	return Due{}, false
}

// Between returns the due times after from, up to and including to, in order.
func (j *Job) Between(from, to time.Time) []Due {
	if j.Schedule.IsZero() || !from.Before(to) {
		return nil
	}
	// Wall clocks are at most some hours apart from UTC's pace, and due times
	// move by days: look that much further, then keep what is in range.
	margin := 4 * time.Hour
	if j.Calendar.Roll != RollSkip {
		margin += maxRoll * 24 * time.Hour
	}
	end := j.wall(to).Add(margin)
	var dues []Due
	for wall := j.Schedule.next(j.wall(from).Add(-margin)); !wall.IsZero() && !wall.After(end); wall = j.Schedule.next(wall) {
		rolled, ok := j.Calendar.roll(wall)
		if !ok {
			// Nothing runs on this day: go on with the next one.
			wall = time.Date(wall.Year(), wall.Month(), wall.Day(), 23, 59, 0, 0, time.UTC)
			continue
		}
		for _, at := range j.place(rolled) {
			if at.After(from) && !at.After(to) {
				dues = append(dues, Due{At: at.UTC(), Wall: at.In(j.TimeZone.Location).Format(wallLayout)})
			}
		}
	}
	slices.SortFunc(dues, func(a, b Due) int { return cmp.Compare(a.At.Unix(), b.At.Unix()) })
	return slices.Compact(dues)
}

// wall returns what the clock on the wall shows at t, written in UTC.
func (j *Job) wall(t time.Time) time.Time { return calendar.Wall(t, j.TimeZone.Location) }

// place finds the moments at which the wall clock shows the given time. Of two
// in an autumn night the first counts, and for jobs of every hour, which keep
// their pace, also the second.
func (j *Job) place(wall time.Time) []time.Time {
	found := calendar.Place(wall, j.TimeZone.Location)
	if !j.Schedule.everyHour {
		found = found[:1]
	}
	return found
}
