package ageing

import (
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

// off are the days off of a test's center.
type off map[string]bool

// Off rests on weekends and on the days listed.
func (o off) Off(day time.Time) bool {
	return day.Weekday() == time.Saturday || day.Weekday() == time.Sunday || o[day.Format(time.DateOnly)]
}

// easter has the days off around Easter of 2026: Friday 3 to Monday 6 April.
func easter() off { return off{"2026-04-03": true, "2026-04-06": true} }

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func moment(tb testing.TB, text string) time.Time {
	tb.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

func TestWorkingDaysSince(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone, since, now string
		want             int
	}{
		"the same day":                     {"UTC", "2026-03-04T00:00:00Z", "2026-03-04T23:59:59Z", 0},
		"a minute, over midnight":          {"UTC", "2026-03-03T23:59:00Z", "2026-03-04T00:00:00Z", 1},
		"Friday to Saturday":               {"UTC", "2026-03-06T12:00:00Z", "2026-03-07T12:00:00Z", 0},
		"Friday to Monday":                 {"UTC", "2026-03-06T12:00:00Z", "2026-03-09T06:00:00Z", 1},
		"Sunday to Monday":                 {"UTC", "2026-03-08T12:00:00Z", "2026-03-09T06:00:00Z", 1},
		"a week":                           {"UTC", "2026-03-04T12:00:00Z", "2026-03-11T06:00:00Z", 5},
		"over Easter":                      {"UTC", "2026-04-02T12:00:00Z", "2026-04-07T06:00:00Z", 1},
		"within Easter":                    {"UTC", "2026-04-03T12:00:00Z", "2026-04-06T06:00:00Z", 0},
		"still yesterday in Chicago":       {"America/Chicago", "2026-03-03T12:00:00Z", "2026-03-04T05:59:00Z", 0},
		"today in Chicago":                 {"America/Chicago", "2026-03-03T12:00:00Z", "2026-03-04T06:00:00Z", 1},
		"tomorrow already in Tokyo":        {"Asia/Tokyo", "2026-03-03T14:59:00Z", "2026-03-03T15:00:00Z", 1},
		"Sunday here, Monday in Tokyo":     {"Asia/Tokyo", "2026-03-06T03:00:00Z", "2026-03-08T16:00:00Z", 1},
		"over the change of the clock":     {"Europe/Paris", "2026-03-27T12:00:00Z", "2026-03-29T22:00:00Z", 1},
		"just before midnight in summer":   {"Europe/Paris", "2026-03-27T12:00:00Z", "2026-03-29T21:59:00Z", 0},
		"in the future, by a clock ahead":  {"UTC", "2026-03-06T12:00:00Z", "2026-03-04T12:00:00Z", 0},
		"longer than anybody can remember": {"UTC", "1970-01-01T00:00:00Z", "2026-03-04T12:00:00Z", 2614},
	} {
		if got := newDays(zone(t, c.zone), easter(), moment(t, c.now)).since(moment(t, c.since)); got != c.want {
			t.Errorf("%s: %d working days, want %d", name, got, c.want)
		}
	}
	if got := newDays(time.UTC, nil, moment(t, "2026-03-09T06:00:00Z")).since(moment(t, "2026-03-06T06:00:00Z")); got != 3 {
		t.Errorf("without days off: %d", got)
	}
}

// The memory of days gives what counting them gives, in whatever order it is asked.
func TestWorkingDaysByCounting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		today := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 400).Draw(rt, "today"))
		d := newDays(time.UTC, easter(), today)
		for range 5 {
			date := today.AddDate(0, 0, -rapid.IntRange(-3, 500).Draw(rt, "back"))
			want := 0
			for day := date.AddDate(0, 0, 1); !day.After(today); day = day.AddDate(0, 0, 1) {
				if !easter().Off(day) {
					want++
				}
			}
			if got := d.after(date); got != want {
				rt.Fatalf("from %s to %s: %d, want %d", date.Format(time.DateOnly), today.Format(time.DateOnly), got, want)
			}
		}
	})
}

func TestDueDates(t *testing.T) {
	t.Parallel()
	d := newDays(zone(t, "America/Chicago"), easter(), moment(t, "2026-05-01T12:00:00Z"))
	for text, want := range map[string]string{
		"2026-03-04":                    "2026-03-04",
		" 2026-03-04 ":                  "2026-03-04",
		"20260304":                      "2026-03-04",
		"2026-03-04T17:00:00":           "2026-03-04", // the center's own time
		"2026-03-04T17:00":              "2026-03-04",
		"2026-03-04T23:30:00.000":       "2026-03-04",
		"2026-03-04T23:30:00Z":          "2026-03-04",
		"2026-03-05T05:59:00.000Z":      "2026-03-04",
		"2026-03-05T06:00:00.000Z":      "2026-03-05",
		"2026-03-05T00:00:00+01:00":     "2026-03-04",
		"2026-03-04T17:00:00-0600":      "2026-03-04",
		"2026-03-04T17:00-06:00":        "2026-03-04",
		"2026-03-07":                    "2026-03-09", // a Saturday
		"2026-04-03":                    "2026-04-07", // Good Friday
		"":                              "",
		"04/03/2026":                    "",
		"2026-02-30":                    "",
		"next week":                     "",
		"2026-03-04T17:00:00 [Chicago]": "",
	} {
		got, ok := d.due(text)
		if ok != (want != "") || ok && got.Format(time.DateOnly) != want {
			t.Errorf("%q is %v %v, want %q", text, got, ok, want)
		}
	}
}

func FuzzDueDate(f *testing.F) {
	f.Add("2026-03-04T17:00:00.000+01:00")
	f.Fuzz(func(t *testing.T, text string) {
		d := newDays(time.UTC, easter(), moment(t, "2026-05-01T12:00:00Z"))
		if due, ok := d.due(text); ok && d.after(due) < 0 {
			t.Errorf("%q is overdue by %d days", text, d.after(due))
		}
	})
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	for age, want := range map[int]string{0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", 4: "4-7", 7: "4-7", 8: "8-14", 14: "8-14", 15: "over 14", 3000: "over 14"} {
		if got := Bucket(age); got != want {
			t.Errorf("%d days: %s, want %s", age, got, want)
		}
	}
}
