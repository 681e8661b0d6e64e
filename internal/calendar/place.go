package calendar

import (
	"fmt"
	"slices"
	"time"
)

// TimeOfDay is a time on the wall clock, in minutes since midnight; 24:00 is
// the midnight that ends the day.
type TimeOfDay int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *TimeOfDay) UnmarshalText(b []byte) error {
	if string(b) == "24:00" {
		*d = 24 * 60
		return nil
	}
	t, err := time.Parse("15:04", string(b))
	if err != nil || len(b) != len("15:04") {
		return fmt.Errorf("%q is not a time of day; write it in quotes as \"08:30\", \"00:00\" to \"24:00\"", b)
	}
	*d = TimeOfDay(t.Hour()*60 + t.Minute())
	return nil
}

// String returns the time as HH:MM.
func (d TimeOfDay) String() string { return fmt.Sprintf("%02d:%02d", int(d)/60, int(d)%60) }

// Wall returns what the clock on the wall of a zone shows at t, written in UTC.
func Wall(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// Place finds the moments, in order, at which the clock on the wall of a zone
// shows the given time, written in UTC. There are two when the clock is put
// back over it. There is none when the clock is put forward over it: then the
// moment of the change takes its place.
func Place(wall time.Time, zone *time.Location) []time.Time {
	// No two changes of a zone lie within a day of each other, so the offsets
	// a day before and after are the only ones possible.
	var found []time.Time
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(near).In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if Wall(at, zone).Equal(wall) && !slices.ContainsFunc(found, at.Equal) {
			found = append(found, at)
		}
	}
	if len(found) == 0 {
		_, before := wall.Add(-24 * time.Hour).In(zone).Zone()
		start, _ := wall.Add(-time.Duration(before) * time.Second).In(zone).ZoneBounds()
		return []time.Time{start}
	}
	slices.SortFunc(found, time.Time.Compare)
	return found
}

// moment is the first time at which the wall clock shows a time of a day.
func moment(day time.Time, at TimeOfDay, zone *time.Location) time.Time {
	return Place(day.Add(time.Duration(at)*time.Minute), zone)[0].UTC()
}
