package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// What happens to a due time on a day off.
const (
	RollSkip     = "skip"     // nothing runs
	RollNext     = "next"     // it moves to the same time of the next working day
	RollPrevious = "previous" // it moves to the same time of the working day before
)

// Calendar says which days are off.
type Calendar struct {
	DaysOff  []Weekday `yaml:"days_off"`
	DatesOff []Date    `yaml:"dates_off"`
	Roll     string    `yaml:"roll"`
	Country  string    `yaml:"country"` // refused until we have their calendars
}

// Weekday is a day of the week by its English name.
type Weekday time.Weekday

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Weekday) UnmarshalText(b []byte) error {
	for day := time.Sunday; day <= time.Saturday; day++ {
		if strings.EqualFold(day.String(), string(b)) {
			*d = Weekday(day)
			return nil
		}
	}
	return fmt.Errorf("%q is not a day of the week; write monday to sunday", b)
}

// Date is a day, as YYYY-MM-DD.
type Date string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Date) UnmarshalText(b []byte) error {
	if _, err := time.Parse(time.DateOnly, string(b)); err != nil {
		return fmt.Errorf("%q is not a date; write YYYY-MM-DD", b)
	}
	*d = Date(b)
	return nil
}

func (c *Calendar) off(wall time.Time) bool {
	return slices.Contains(c.DaysOff, Weekday(wall.Weekday())) ||
		slices.Contains(c.DatesOff, Date(wall.Format(time.DateOnly)))
}

// maxRoll is how many days a due time is moved at most.
const maxRoll = 31

// roll moves a wall time off days off. It reports false when nothing is to run.
func (c *Calendar) roll(wall time.Time) (time.Time, bool) {
	step := 0
	switch c.Roll {
	case RollNext:
		step = 1
	case RollPrevious:
		step = -1
	}
	for range maxRoll + 1 {
		if !c.off(wall) {
			return wall, true
		}
		if step == 0 {
			return time.Time{}, false
		}
		wall = wall.AddDate(0, 0, step)
	}
	return time.Time{}, false
}
