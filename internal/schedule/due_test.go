package schedule_test

import (
	"strings"
	"testing"
	"time"

	"cardbatch/internal/schedule"

	"github.com/google/go-cmp/cmp"
)

func job(t *testing.T, lines ...string) schedule.Job {
	t.Helper()
	text := "name: j\nstage: pickup\n" + strings.Join(lines, "\n") + "\n"
	if !strings.Contains(text, "time_zone") {
		text += "time_zone: Europe/Paris\n"
	}
	j, err := schedule.ParseJob("j.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func at(t *testing.T, text string) time.Time {
	t.Helper()
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return moment
}

func TestBetween(t *testing.T) {
	for _, tc := range []struct {
		name, from, to string
		job            []string
		want           []string
	}{
		{"plain", "2026-03-02T00:00:00Z", "2026-03-04T05:00:00Z",
			[]string{`schedule: "0 6 * * *"`},
			[]string{"2026-03-02T06:00+01:00", "2026-03-03T06:00+01:00", "2026-03-04T06:00+01:00"}},
		{"from is not included", "2026-03-02T05:00:00Z", "2026-03-03T04:59:59Z",
			[]string{`schedule: "0 6 * * *"`}, nil},
		{"spring, fixed hour that does not exist", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z",
			[]string{`schedule: "30 2 * * *"`},
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"}},
		{"spring, first minute of the gap", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z",
			[]string{`schedule: "0 2 * * *"`}, []string{"2026-03-29T03:00+02:00"}},
		{"spring, every 20 minutes", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z",
			[]string{`schedule: "*/20 * * * *"`},
			[]string{"2026-03-29T01:40+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00"}},
		{"spring, times in the gap and the next one are one", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z",
			[]string{`schedule: "0,30 2-3 * * *"`}, []string{"2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"}},
		{"autumn, fixed hour that exists twice", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z",
			[]string{`schedule: "30 2 * * *"`},
			[]string{"2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"}},
		{"autumn, seen only after the first", "2026-10-25T00:31:00Z", "2026-10-25T12:00:00Z",
			[]string{`schedule: "30 2 * * *"`}, nil},
		{"autumn, every hour keeps its pace", "2026-10-24T23:50:00Z", "2026-10-25T02:50:00Z",
			[]string{`schedule: "30 * * * *"`},
			[]string{"2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"}},
		{"half-hour change", "2026-04-04T00:00:00Z", "2026-04-05T00:00:00Z",
			[]string{`schedule: "45 1 * * *"`, "time_zone: Australia/Lord_Howe"},
			[]string{"2026-04-05T01:45+11:00"}},
		{"change at midnight", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z",
			[]string{`schedule: "0 0 * * *"`, "time_zone: America/Sao_Paulo"},
			[]string{"2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"}},
		{"month ends", "2026-01-30T12:00:00Z", "2026-05-31T12:00:00Z",
			[]string{`schedule: "0 6 31 * *"`},
			[]string{"2026-01-31T06:00+01:00", "2026-03-31T06:00+02:00", "2026-05-31T06:00+02:00"}},
		{"leap day", "2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z",
			[]string{`schedule: "0 6 29 2 *"`}, []string{"2028-02-29T06:00+01:00"}},
		{"days off are skipped", "2026-03-05T12:00:00Z", "2026-03-10T12:00:00Z",
			[]string{`schedule: "0 6 * * *"`, "calendar: {days_off: [saturday, Sunday], dates_off: [2026-03-09]}"},
			[]string{"2026-03-06T06:00+01:00", "2026-03-10T06:00+01:00"}},
		{"days off roll to the next working day", "2026-03-06T12:00:00Z", "2026-03-11T04:00:00Z",
			[]string{`schedule: "0 6 * * 6,2"`, `calendar: {days_off: [saturday, sunday], dates_off: ["2026-03-09"], roll: next}`},
			[]string{"2026-03-10T06:00+01:00"}},
		{"days off roll back", "2026-02-26T00:00:00Z", "2026-03-10T00:00:00Z",
			[]string{`schedule: "0 18 1 * *"`, "calendar: {days_off: [saturday, sunday], roll: previous}"},
			[]string{"2026-02-27T18:00+01:00"}},
		{"holidays of a country", "2026-04-02T12:00:00Z", "2026-04-08T00:00:00Z",
			[]string{`schedule: "0 6 * * *"`, "calendar: {days_off: [saturday, sunday], country: FR}"},
			[]string{"2026-04-03T06:00+02:00", "2026-04-07T06:00+02:00"}},
		{"nothing without a schedule", "2026-02-26T00:00:00Z", "2026-03-10T00:00:00Z",
			[]string{"after: [submit]"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := job(t, tc.job...)
			var got []string
			for _, due := range j.Between(at(t, tc.from), at(t, tc.to)) {
				got = append(got, due.Wall)
				if shown := due.At.In(j.TimeZone.Location).Format("2006-01-02T15:04Z07:00"); shown != due.Wall {
					t.Errorf("%s is %s", due.Wall, shown)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNext(t *testing.T) {
	j := job(t, `schedule: "0 6 29 2 *"`)
	due, ok := j.Next(at(t, "2026-06-01T00:00:00Z"))
	if !ok || due.Wall != "2028-02-29T06:00+01:00" {
		t.Errorf("got %v %v", due, ok)
	}
	if got := j.BusinessDate(at(t, "2026-03-01T23:30:00Z")); got != "2026-03-02" {
		t.Errorf("business date %s", got)
	}
}

// However a stretch of time is cut into looks, the same due times are found,
// each once. A year of Paris has both changes.
func TestLooksDoNotMatter(t *testing.T) {
	j := job(t, `schedule: "*/30 1-3 * * *"`)
	from, to := at(t, "2026-01-01T00:00:00Z"), at(t, "2027-01-01T00:00:00Z")
	whole := j.Between(from, to)
	var cut []schedule.Due
	for step, look := 7*time.Hour, from; look.Before(to); look = look.Add(step) {
		end := look.Add(step)
		if end.After(to) {
			end = to
		}
		cut = append(cut, j.Between(look, end)...)
	}
	if diff := cmp.Diff(whole, cut); diff != "" {
		t.Error(diff)
	}
	// 6 a day, but in spring 02:00, 02:30 and 03:00 are one.
	if want := 365*6 - 2; len(whole) != want {
		t.Errorf("%d due times, want %d", len(whole), want)
	}
}

func FuzzSpec(f *testing.F) {
	for _, seed := range []string{"0 6 * * *", "TZ=Europe/Paris", "CRON_TZ=UTC 0 6 * * *", "30 2 30 2 *", "*/5 1-3,5 * JAN-MAR MON", "@daily", "0-59/0 * * * *", "? ? ? ? ?"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := schedule.ParseSpec(text)
		if err != nil {
			return
		}
		again, err := schedule.ParseSpec(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q does not parse back: %v", s, err)
		}
	})
}
