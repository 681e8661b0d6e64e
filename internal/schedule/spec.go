package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Spec is a schedule of five cron fields. It knows nothing of time zones: it
// counts on a bare wall clock.
type Spec struct {
	text      string
	schedule  cron.Schedule
	everyHour bool // the hour field is *
}

// referenceTime stands for now when a schedule is examined, so that the same
// file is always judged the same way.
var referenceTime = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// ParseSpec reads five cron fields: minute, hour, day of month, month, day of
// week. It refuses what never comes, such as 30 February.
func ParseSpec(text string) (s Spec, err error) {
	fields := strings.Fields(text)
	if len(fields) != 5 || strings.Contains(text, "=") {
		return Spec{}, fmt.Errorf("%q is not a schedule; write five fields: minute, hour, day of month, month, day of week", text)
	}
	defer func() {
		// The parser panics on some malformed input.
		if r := recover(); r != nil {
			s, err = Spec{}, fmt.Errorf("%q is not a schedule", text)
		}
	}()
	// Its schedules take the zone of the time they are asked about, if Local.
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	schedule, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return Spec{}, fmt.Errorf("%q is not a schedule: %w", text, err)
	}
	s = Spec{text: strings.Join(fields, " "), schedule: schedule, everyHour: fields[1] == "*"}
	if s.next(referenceTime).IsZero() {
		return Spec{}, fmt.Errorf("%q never comes", text)
	}
	return s, nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Spec) UnmarshalText(b []byte) error {
	if len(b) > 200 {
		return errors.New("is too long for a schedule")
	}
	parsed, err := ParseSpec(string(b))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// String returns the five fields.
func (s Spec) String() string { return s.text }

// IsZero reports whether there is no schedule.
func (s Spec) IsZero() bool { return s.schedule == nil }

// next returns the first wall time after the given one, zero if none comes
// within years. Wall times are written in UTC, whose days all have 24 hours.
func (s Spec) next(wall time.Time) time.Time { return s.schedule.Next(wall) }
