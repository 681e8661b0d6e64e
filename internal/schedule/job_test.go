package schedule_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"cardbatch/internal/calendar"
	"cardbatch/internal/schedule"
	"cardbatch/jobs"

	"github.com/google/go-cmp/cmp"
)

func TestJobMistakes(t *testing.T) {
	const good = "name: j\nstage: report\nschedule: \"0 6 * * *\"\ntime_zone: Europe/Paris\n"
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", good + "catchup: once\n", `j.yaml:5:1: catchup: unknown key; did you mean "catch_up"?`},
		{"stage", strings.Replace(good, "report", "print", 1), `j.yaml:2:1: stage: "print" is not one of pickup, submit, track, change, report, retention`},
		{"zone missing", strings.Replace(good, "time_zone: Europe/Paris\n", "", 1), `j.yaml: time_zone: is required`},
		{"zone", strings.Replace(good, "Paris", "Atlantis", 1), `j.yaml:4:12: time_zone: "Europe/Atlantis" is not a time zone this machine knows; write an IANA name such as Europe/Paris`},
		{"six fields", strings.Replace(good, "0 6", "0 0 6", 1), `j.yaml:3:11: schedule: "0 0 6 * * *" is not a schedule; write five fields: minute, hour, day of month, month, day of week`},
		{"zone in the schedule", strings.Replace(good, "0 6 * * *", "TZ=Europe/Paris", 1), `j.yaml:3:11: schedule: "TZ=Europe/Paris" is not a schedule; write five fields: minute, hour, day of month, month, day of week`},
		{"zone before the schedule", strings.Replace(good, "0 6 * * *", "CRON_TZ=UTC 6 * * *", 1), `j.yaml:3:11: schedule: "CRON_TZ=UTC 6 * * *" is not a schedule; write five fields: minute, hour, day of month, month, day of week`},
		{"never", strings.Replace(good, "0 6 * * *", "30 2 30 2 *", 1), `j.yaml:3:11: schedule: "30 2 30 2 *" never comes`},
		{"never on a working day", strings.Replace(good, "* * *", "* * 0", 1) + "calendar: {days_off: [sunday]}\n", `j.yaml:3:1: schedule: "0 6 * * 0" never comes on a working day of the calendar`},
		{"no time at all", strings.Replace(good, "schedule: \"0 6 * * *\"\n", "", 1), `j.yaml: schedule: is required, or after`},
		{"out of range", strings.Replace(good, "0 6", "0 24", 1), `j.yaml:3:11: schedule: "0 24 * * *" is not a schedule: end of range (24) above maximum (23): 24`},
		{"country", good + "calendar: {country: XX}\n", `j.yaml:5:12: calendar.country: the holidays of "XX" are not known; list dates_off, or write one of ` + strings.Join(calendar.Countries(), ", ")},
		{"day", good + "calendar: {days_off: [caturday]}\n", `j.yaml:5:23: calendar.days_off[0]: "caturday" is not a day of the week; write monday to sunday`},
		{"date", good + "calendar: {dates_off: [25.12.2026]}\n", `j.yaml:5:24: calendar.dates_off[0]: "25.12.2026" is not a date; write YYYY-MM-DD`},
		{"roll", good + "calendar: {roll: sideways}\n", `j.yaml:5:12: calendar.roll: "sideways" is not one of skip, next, previous`},
		{"roll of every hour", strings.Replace(good, "0 6", "0 *", 1) + "calendar: {roll: next}\n", `j.yaml:5:12: calendar.roll: moving due times to another day needs a schedule with fixed hours`},
		{"no working day", good + "calendar: {days_off: [monday, tuesday, wednesday, thursday, friday, saturday, sunday]}\n", `j.yaml:5:12: calendar.days_off: leaves no working day`},
		{"catch up", good + "catch_up: twice\n", `j.yaml:5:1: catch_up: "twice" is not one of skip, once`},
		{"timeout", good + "timeout: 0s\n", `j.yaml:5:1: timeout: must be above zero`},
		{"after itself", good + "after: [j]\n", `j.yaml:5:1: after: a job cannot wake itself`},
		{"report", good + "select: {reports: [gossip]}\n", `j.yaml:5:20: select.reports[0]: "gossip" is not one of receipt, reconciliation, status, exceptions`},
		{"reports of another stage", strings.Replace(good, "report", "track", 1) + "select: {reports: [status]}\n", `j.yaml:5:10: select.reports: is for stage report only`},
		{"name", strings.Replace(good, "name: j", "name: J 1", 1), `j.yaml:1:1: name: "J 1" must be 1 to 32 lower-case letters, digits, dashes or underscores`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := schedule.ParseJob("j.yaml", []byte(tc.text))
			if err == nil {
				t.Fatal("was accepted")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBuiltinJobs(t *testing.T) {
	all, err := schedule.LoadJobs(jobs.FS, "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range all {
		names = append(names, j.Name)
	}
	if diff := cmp.Diff([]string{"change", "exceptions", "pickup", "report", "retention", "status", "submit", "track"}, names); diff != "" {
		t.Error(diff)
	}
	readme, err := os.ReadFile("../../jobs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"name", "stage", "schedule", "time_zone", "calendar", "after", "catch_up", "timeout", "select"} {
		if !strings.Contains(string(readme), "| `"+key+"` |") {
			t.Errorf("jobs/README.md does not describe %s", key)
		}
	}
}

func TestOwnJobsReplaceBuiltinOnes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	builtin := fstest.MapFS{
		"a.yaml": {Data: []byte("name: a\nstage: pickup\nschedule: \"0 6 * * *\"\ntime_zone: UTC\n")},
		"b.yaml": {Data: []byte("name: b\nstage: submit\nafter: [a]\ntime_zone: UTC\n")},
	}
	write("a.yaml", "name: a\nstage: track\nschedule: \"0 7 * * *\"\ntime_zone: UTC\ntimeout: 1m\n")
	all, err := schedule.LoadJobs(builtin, dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Stage != schedule.StageTrack || all[0].Timeout != time.Minute || all[1].Timeout != 24*time.Hour {
		t.Errorf("got %+v", all)
	}
	write("c.yaml", "name: d\nstage: track\nafter: [a]\ntime_zone: UTC\n")
	write("e.yaml", "nome: e\n")
	_, err = schedule.LoadJobs(builtin, dir)
	if err == nil || !strings.Contains(err.Error(), `c.yaml: name: "d" must be the file's name`) || !strings.Contains(err.Error(), `e.yaml:1:1: nome: unknown key`) {
		t.Errorf("got %v", err)
	}
	if _, err := schedule.LoadJobs(builtin, filepath.Join(dir, "none")); err == nil {
		t.Error("a jobs_dir that is not there was accepted")
	}
}

func TestCirclesAreRefused(t *testing.T) {
	link := func(name, after string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("name: " + name + "\nstage: track\nafter: [" + after + "]\ntime_zone: UTC\n")}
	}
	_, err := schedule.LoadJobs(fstest.MapFS{"a.yaml": link("a", "b"), "b.yaml": link("b", "c"), "c.yaml": link("c", "a")}, "")
	if err == nil || err.Error() != "jobs/a.yaml: after: goes in a circle: a after b after c after a" {
		t.Errorf("got %v", err)
	}
	_, err = schedule.LoadJobs(fstest.MapFS{"a.yaml": link("a", "x")}, "")
	if err == nil || err.Error() != `jobs/a.yaml: after: "x" is not a job` {
		t.Errorf("got %v", err)
	}
}

func FuzzJob(f *testing.F) {
	names, err := jobs.FS.ReadDir(".")
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		data, err := jobs.FS.ReadFile(n.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		j, err := schedule.ParseJob("j.yaml", []byte(text))
		if err == nil && !j.Schedule.IsZero() {
			if _, ok := j.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); !ok {
				t.Error("accepted, but never comes")
			}
		}
	})
}
