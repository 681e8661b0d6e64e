package schedule

import (
	"time"

	"cardbatch/internal/calendar"
)

// What happens to a due time on a day off.
const (
	RollSkip     = "skip"     // nothing runs
	RollNext     = "next"     // it moves to the same time of the next working day
	RollPrevious = "previous" // it moves to the same time of the working day before
)

// Calendar says which days are off.
type Calendar struct {
	DaysOff  []calendar.Weekday `yaml:"days_off"`
	DatesOff []calendar.Date    `yaml:"dates_off"`
	Roll     string             `yaml:"roll"`
	Country  string             `yaml:"country"` // whose holidays are off, too
}

func (c *Calendar) off(wall time.Time) bool {
	days := calendar.Days{Country: c.Country, DaysOff: c.DaysOff, DatesOff: c.DatesOff}
	return days.Off(wall)
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
