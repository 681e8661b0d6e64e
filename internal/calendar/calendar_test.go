package calendar_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"cardbatch/internal/calendar"
)

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func clock(tb testing.TB, text string) (d calendar.TimeOfDay) {
	tb.Helper()
	if err := d.UnmarshalText([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	return d
}

// moment reads a wall time with its offset: 2026-03-02T20:00+01:00.
func moment(tb testing.TB, text string) time.Time {
	tb.Helper()
	t, err := time.Parse("2006-01-02T15:04Z07:00", text)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestHolidays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		country, date string
		off           bool
	}{
		{"FR", "2026-07-14", true}, {"FR", "2026-07-15", false}, {"FR", "2026-04-06", true},
		{"DE", "2026-10-03", true}, {"DE", "2026-07-14", false}, {"DE", "2026-05-14", true},
		{"US", "2026-07-04", true}, {"US", "2026-07-03", true}, {"US", "2026-11-26", true},
		{"GB", "2026-12-25", true}, {"GB", "2026-12-28", true}, {"BE", "2026-07-21", true},
		{"TARGET", "2026-05-01", true}, {"TARGET", "2026-05-14", false}, {"", "2026-12-25", false},
	} {
		day, _ := time.Parse(time.DateOnly, c.date)
		if got := (&calendar.Days{Country: c.country}).Off(day); got != c.off {
			t.Errorf("%s %s off: %v", c.country, c.date, got)
		}
	}
}

func TestCountries(t *testing.T) {
	t.Parallel()
	for _, country := range calendar.Countries() {
		if err := calendar.CheckCountry(country); err != nil {
			t.Error(err)
		}
		days := calendar.Days{Country: country}
		if newYear := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC); !days.Off(newYear) {
			t.Errorf("%s works on 1 January", country)
		}
	}
	if calendar.CheckCountry("XX") == nil || calendar.CheckCountry("fr") == nil {
		t.Error("an unknown country is accepted")
	}
}

func TestAddWorkingDays(t *testing.T) {
	t.Parallel()
	days := calendar.Days{Country: "FR", DaysOff: weekend(), DatesOff: []calendar.Date{"2026-04-07"}}
	for _, c := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-04-02", 0, "2026-04-02"}, {"2026-04-02", 1, "2026-04-03"}, {"2026-04-03", 1, "2026-04-08"}, // over Easter
		{"2026-04-04", 0, "2026-04-08"}, {"2026-04-04", 1, "2026-04-09"}, {"2026-04-02", 10, "2026-04-20"},
	} {
		from, _ := time.Parse(time.DateOnly, c.from)
		if got, ok := days.Add(from, c.n); !ok || got.Format(time.DateOnly) != c.want {
			t.Errorf("%s and %d working days: %s %v, want %s", c.from, c.n, got.Format(time.DateOnly), ok, c.want)
		}
	}
	var never calendar.Days
	for d := range calendar.Weekday(7) {
		never.DaysOff = append(never.DaysOff, d)
	}
	if _, ok := never.Next(time.Now()); ok {
		t.Error("a working day although all are off")
	}
}

func weekend() []calendar.Weekday {
	return []calendar.Weekday{calendar.Weekday(time.Saturday), calendar.Weekday(time.Sunday)}
}

func TestTimeOfDay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]calendar.TimeOfDay{"00:00": 0, "08:30": 510, "24:00": 1440} {
		if got := clock(t, text); got != want || got.String() != text {
			t.Errorf("%s is %d, %s", text, got, got)
		}
	}
	for _, text := range []string{"", "8:30", "24:01", "1:1", "0830", "-1:00", "08:30:00", "25:00"} {
		var d calendar.TimeOfDay
		if d.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	paris := zone(t, "Europe/Paris")
	working := []calendar.Weekday{1, 2, 3, 4, 5}
	window := func(from, to string, days ...calendar.Weekday) calendar.Window {
		return calendar.Window{From: clock(t, from), To: clock(t, to), Days: days}
	}
	for name, c := range map[string]struct {
		windows []calendar.Window
		at      string
		open    bool
		until   string // empty: for ever
	}{
		"none":                          {nil, "2026-03-02T12:00+01:00", true, ""},
		"inside":                        {[]calendar.Window{window("08:00", "18:00")}, "2026-03-02T12:00+01:00", true, "2026-03-02T18:00+01:00"},
		"at its begin":                  {[]calendar.Window{window("08:00", "18:00")}, "2026-03-02T08:00+01:00", true, "2026-03-02T18:00+01:00"},
		"at its end":                    {[]calendar.Window{window("08:00", "18:00")}, "2026-03-02T18:00+01:00", false, "2026-03-03T08:00+01:00"},
		"before midnight":               {[]calendar.Window{window("20:00", "06:00")}, "2026-03-02T23:59+01:00", true, "2026-03-03T06:00+01:00"},
		"after midnight":                {[]calendar.Window{window("20:00", "06:00")}, "2026-03-03T00:00+01:00", true, "2026-03-03T06:00+01:00"},
		"Friday's, on Saturday":         {[]calendar.Window{window("20:00", "06:00", working...)}, "2026-03-07T05:00+01:00", true, "2026-03-07T06:00+01:00"},
		"none on Sunday":                {[]calendar.Window{window("20:00", "06:00", working...)}, "2026-03-08T21:00+01:00", false, "2026-03-09T20:00+01:00"},
		"to midnight and from midnight": {[]calendar.Window{window("20:00", "24:00"), window("00:00", "06:00")}, "2026-03-02T21:00+01:00", true, "2026-03-03T06:00+01:00"},
		"all day":                       {[]calendar.Window{window("00:00", "24:00")}, "2026-03-02T21:00+01:00", true, ""},
		"a whole day from noon":         {[]calendar.Window{window("12:00", "12:00", 1)}, "2026-03-02T13:00+01:00", true, "2026-03-03T12:00+01:00"},
		// The night of 28 to 29 March has no 02:00 to 03:00.
		"over the spring change":    {[]calendar.Window{window("22:00", "06:00")}, "2026-03-28T23:00+01:00", true, "2026-03-29T06:00+02:00"},
		"ends in the hour left out": {[]calendar.Window{window("22:00", "02:30")}, "2026-03-28T23:00+01:00", true, "2026-03-29T03:00+02:00"},
		"begins in it":              {[]calendar.Window{window("02:30", "06:00")}, "2026-03-29T01:00+01:00", false, "2026-03-29T03:00+02:00"},
		"within it":                 {[]calendar.Window{window("02:10", "02:50")}, "2026-03-28T12:00+01:00", false, "2026-03-30T02:10+02:00"},
		// The night of 24 to 25 October has it twice.
		"over the autumn change":      {[]calendar.Window{window("22:00", "06:00")}, "2026-10-24T23:00+02:00", true, "2026-10-25T06:00+01:00"},
		"ends in the hour of twice":   {[]calendar.Window{window("22:00", "02:30")}, "2026-10-24T23:00+02:00", true, "2026-10-25T02:30+02:00"},
		"begins in the hour of twice": {[]calendar.Window{window("02:30", "06:00")}, "2026-10-25T01:00+02:00", false, "2026-10-25T02:30+02:00"},
	} {
		h := calendar.Hours{Windows: c.windows, Zone: paris}
		p := h.At(moment(t, c.at))
		want := time.Time{}
		if c.until != "" {
			want = moment(t, c.until)
		}
		if p.Open() != c.open || p.Normal != c.open || !p.Until.Equal(want) {
			t.Errorf("%s: at %s open %v until %v, want %v until %v", name, c.at, p.Open(), p.Until.In(paris), c.open, want)
		}
	}
}

func TestCutOff(t *testing.T) {
	t.Parallel()
	paris, chicago := zone(t, "Europe/Paris"), zone(t, "America/Chicago")
	night := []calendar.Window{{From: clock(t, "20:00"), To: clock(t, "06:00")}}
	cutOff := func(wait, urgentWait bool) *calendar.CutOff {
		return &calendar.CutOff{At: clock(t, "17:00"), Zone: chicago, Wait: wait, UrgentWait: urgentWait,
			Days: calendar.Days{Country: "US", DaysOff: weekend()}}
	}
	type phase struct {
		normal, urgent bool
		until          string
	}
	for name, c := range map[string]struct {
		hours calendar.Hours
		at    string
		want  phase
	}{
		"before":                          {calendar.Hours{CutOff: cutOff(true, false)}, "2026-03-02T16:59-06:00", phase{true, true, "2026-03-02T17:00-06:00"}},
		"waits to midnight, the center's": {calendar.Hours{CutOff: cutOff(true, false)}, "2026-03-02T17:00-06:00", phase{false, true, "2026-03-03T00:00-06:00"}},
		"all wait":                        {calendar.Hours{CutOff: cutOff(true, true)}, "2026-03-02T18:00-06:00", phase{false, false, "2026-03-03T00:00-06:00"}},
		"all go":                          {calendar.Hours{CutOff: cutOff(false, false)}, "2026-03-02T18:00-06:00", phase{true, true, ""}},
		"over a weekend":                  {calendar.Hours{CutOff: cutOff(true, false)}, "2026-03-06T18:00-06:00", phase{false, true, "2026-03-09T00:00-05:00"}},
		"over a holiday":                  {calendar.Hours{CutOff: cutOff(true, false)}, "2026-11-25T18:00-06:00", phase{false, true, "2026-11-27T00:00-06:00"}},
		// 00:00 in Chicago is 07:00 in Paris: the window is closed by then.
		"in the night's window, before": {calendar.Hours{Windows: night, Zone: paris, CutOff: cutOff(true, false)}, "2026-03-02T22:00+01:00", phase{true, true, "2026-03-03T00:00+01:00"}},
		"in the night's window, after":  {calendar.Hours{Windows: night, Zone: paris, CutOff: cutOff(true, false)}, "2026-03-03T01:00+01:00", phase{false, true, "2026-03-03T06:00+01:00"}},
	} {
		p := c.hours.At(moment(t, c.at))
		var until time.Time
		if c.want.until != "" {
			until = moment(t, c.want.until)
		}
		if got := (phase{p.Normal, p.Urgent, c.want.until}); got != c.want || !p.Until.Equal(until) {
			t.Errorf("%s: %+v until %v, want %+v", name, got, p.Until.In(chicago), c.want)
		}
	}
	h := calendar.Hours{Windows: night, Zone: paris, CutOff: cutOff(true, false)}
	for urgent, want := range map[bool]string{false: "2026-03-09T20:00+01:00", true: "2026-03-07T20:00+01:00"} { // from a Saturday
		if at, ok := h.Opens(moment(t, "2026-03-07T12:00+01:00"), urgent); !ok || !at.Equal(moment(t, want)) {
			t.Errorf("opens at %v for urgent %v, want %s", at.In(paris), urgent, want)
		}
	}
}

func TestHoursThatNeverCome(t *testing.T) {
	t.Parallel()
	paris := zone(t, "Europe/Paris")
	h := calendar.Hours{Windows: []calendar.Window{{From: clock(t, "18:00"), To: clock(t, "23:00")}}, Zone: paris,
		CutOff: &calendar.CutOff{At: clock(t, "17:00"), Zone: paris, Wait: true}}
	if h.Check(time.Now()) == nil {
		t.Error("a window that begins after the cut-off and ends before midnight is accepted")
	}
	h.CutOff.Wait = false
	if err := h.Check(time.Now()); err != nil {
		t.Error(err)
	}
}

// TestPhasesHold: within a phase nothing changes, and after it something does.
func TestPhasesHold(t *testing.T) {
	t.Parallel()
	zones := []*time.Location{zone(t, "Europe/Paris"), zone(t, "America/Chicago"), zone(t, "Asia/Tokyo"), zone(t, "Australia/Lord_Howe"), time.UTC}
	rapid.Check(t, func(rt *rapid.T) {
		tod := func(name string) calendar.TimeOfDay {
			return calendar.TimeOfDay(rapid.IntRange(0, 24*4).Draw(rt, name) * 15)
		}
		h := calendar.Hours{Zone: rapid.SampledFrom(zones).Draw(rt, "zone")}
		for range rapid.IntRange(0, 3).Draw(rt, "windows") {
			w := calendar.Window{From: tod("from"), To: tod("to")}
			for d := range calendar.Weekday(7) {
				if rapid.Bool().Draw(rt, "day") {
					w.Days = append(w.Days, d)
				}
			}
			h.Windows = append(h.Windows, w)
		}
		if rapid.Bool().Draw(rt, "cut-off") {
			h.CutOff = &calendar.CutOff{At: tod("at"), Zone: rapid.SampledFrom(zones).Draw(rt, "center"),
				Days: calendar.Days{DaysOff: weekend()}, Wait: rapid.Bool().Draw(rt, "wait"), UrgentWait: rapid.Bool().Draw(rt, "urgent waits")}
		}
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 365*24*60).Draw(rt, "minute")) * time.Minute)
		p := h.At(start)
		end := p.Until
		if end.IsZero() {
			end = start.Add(30 * 24 * time.Hour)
		}
		if !end.After(start) {
			rt.Fatalf("a phase from %v to %v", start, end)
		}
		within := start.Add(time.Duration(rapid.Float64Range(0, 0.999).Draw(rt, "share") * float64(end.Sub(start))))
		if got := h.At(within); got.Normal != p.Normal || got.Urgent != p.Urgent {
			rt.Fatalf("at %v %+v, at %v %+v", start, p, within, got)
		}
		if p.Until.IsZero() {
			return
		}
		if next := h.At(p.Until); next.Normal == p.Normal && next.Urgent == p.Urgent {
			rt.Fatalf("nothing changes at %v: %+v", p.Until, next)
		}
	})
}
