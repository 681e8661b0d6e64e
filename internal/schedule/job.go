package schedule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/calendar"
	"cardbatch/internal/strictyaml"
)

// The stages a job can run.
const (
	StagePickup    = "pickup"
	StageSubmit    = "submit"
	StageTrack     = "track"
	StageChange    = "change"
	StageReport    = "report"
	StageRetention = "retention"
)

// The policies for due times that were missed.
const (
	CatchUpSkip = "skip" // recorded as skipped
	CatchUpOnce = "once" // one run for all of them
)

// The reports a job can select.
const (
	ReportReceipt        = "receipt"
	ReportReconciliation = "reconciliation"
	ReportStatus         = "status"
	ReportExceptions     = "exceptions"
)

const defaultTimeout = 24 * time.Hour

// Job is the content of a job file; jobs/README.md describes the keys.
type Job struct {
	Name     string          `yaml:"name"`
	Stage    string          `yaml:"stage"`
	Schedule Spec            `yaml:"schedule"` // zero for a job that only others wake
	TimeZone strictyaml.Zone `yaml:"time_zone"`
	Calendar Calendar        `yaml:"calendar"`
	After    []string        `yaml:"after"`
	CatchUp  string          `yaml:"catch_up"`
	Timeout  time.Duration   `yaml:"timeout"`
	Select   Selection       `yaml:"select"`

	file string // for messages
}

// Selection narrows a run down. An empty list means all.
type Selection struct {
	Issuers []string `yaml:"issuers"`
	Sources []string `yaml:"sources"`
	Reports []string `yaml:"reports"`
}

// Wants reports whether a list of a selection includes a name.
func Wants(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// ParseJob reads a job file; file is its name for messages. The error is a
// [strictyaml.Problems].
func ParseJob(file string, data []byte) (Job, error) {
	j := Job{file: file}
	doc := strictyaml.Parse(file, data)
	doc.Decode(&j)
	if doc.Err() == nil {
		j.check(doc)
	}
	if err := doc.Err(); err != nil {
		return Job{}, err
	}
	return j, nil
}

func (j *Job) check(doc *strictyaml.Document) {
	oneOf := func(key, v string, allowed ...string) {
		if !slices.Contains(allowed, v) {
			doc.Problem(key, "%q is not one of %s", v, strings.Join(allowed, ", "))
		}
	}
	if !nameRE.MatchString(j.Name) {
		doc.Problem("name", "%q must be 1 to 32 lower-case letters, digits, dashes or underscores", j.Name)
	}
	oneOf("stage", j.Stage, StagePickup, StageSubmit, StageTrack, StageChange, StageReport, StageRetention)
	if j.CatchUp == "" {
		j.CatchUp = CatchUpSkip
	}
	oneOf("catch_up", j.CatchUp, CatchUpSkip, CatchUpOnce)
	switch {
	case j.Timeout == 0 && doc.Has("timeout"):
		doc.Problem("timeout", "must be above zero")
	case j.Timeout == 0:
		j.Timeout = defaultTimeout
	}
	if slices.Contains(j.After, j.Name) {
		doc.Problem("after", "a job cannot wake itself")
	}
	if len(j.Select.Reports) > 0 && j.Stage != StageReport {
		doc.Problem("select.reports", "is for stage report only")
	}
	for i, r := range j.Select.Reports {
		oneOf(fmt.Sprintf("select.reports[%d]", i), r, ReportReceipt, ReportReconciliation, ReportStatus, ReportExceptions)
	}
	j.checkTimes(doc, oneOf)
}

func (j *Job) checkTimes(doc *strictyaml.Document, oneOf func(string, string, ...string)) {
	if j.TimeZone.Location == nil {
		doc.Problem("time_zone", "is required")
		return
	}
	if err := calendar.CheckCountry(j.Calendar.Country); err != nil {
		doc.Problem("calendar.country", "%v", err)
	}
	if j.Calendar.Roll == "" {
		j.Calendar.Roll = RollSkip
	}
	oneOf("calendar.roll", j.Calendar.Roll, RollSkip, RollNext, RollPrevious)
	if len(j.Calendar.DaysOff) >= 7 {
		doc.Problem("calendar.days_off", "leaves no working day")
		return
	}
	if j.Schedule.IsZero() {
		if len(j.After) == 0 {
			doc.Problem("schedule", "is required, or after")
		}
		return
	}
	if j.Calendar.Roll != RollSkip && j.Schedule.everyHour {
		doc.Problem("calendar.roll", "moving due times to another day needs a schedule with fixed hours")
		return
	}
	if _, ok := j.Next(referenceTime); !ok {
		doc.Problem("schedule", "%q never comes on a working day of the calendar", j.Schedule)
	}
}

// BusinessDate returns the date of a moment in the job's zone, YYYY-MM-DD.
func (j *Job) BusinessDate(t time.Time) string {
	return t.In(j.TimeZone.Location).Format(time.DateOnly)
}
