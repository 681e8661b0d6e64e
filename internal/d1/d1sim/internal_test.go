package d1sim

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// rebuild turns a document back into what encoding/json would have made of it.
func (d *document) rebuild(i int) any {
	n := d.nodes[i]
	switch n.kind {
	case kindString:
		return d.string(i)
	case kindArray:
		out := []any{}
		d.items(i, func(k int) bool { out = append(out, d.rebuild(k)); return true })
		return out
	case kindObject:
		out := map[string]any{}
		d.members(i, func(name string, _ int) bool {
			out[name] = d.rebuild(d.member(i, name))
			return true
		})
		return out
	}
	var v any
	_ = json.Unmarshal(d.src[n.start:n.end], &v)
	return v
}

func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `null`, `"a\u00e9\n"`, `{"a":{"b":[1,-2.5e+3,true,false,null]},"a":"last"}`, `{"a\u0062":1}`,
		`[1,]`, `{"a"}`, `01`, `1.`, `"\x"`, `"`, "\"\x01\"", `[[[[`, ` { "a" : [ ] } `, `{} {}`, `-`, `tru`, `"\ud800"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var d document
		err := d.parse(src)
		if err == nil && !json.Valid(src) {
			t.Fatal("accepted what is not JSON")
		}
		if err != nil {
			if json.Valid(src) && utf8.Valid(src) && depth(src) <= maxDepth {
				t.Fatal("refused a JSON text")
			}
			return
		}
		var want any
		if err := json.Unmarshal(src, &want); err != nil {
			return // a number out of range
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(d.rebuild(0))
		if string(a) != string(b) {
			t.Errorf("got %s, want %s", b, a)
		}
	})
}

// depth counts brackets, those in strings too: an upper bound.
func depth(src []byte) int {
	n := 0
	for _, c := range src {
		if c == '[' || c == '{' {
			n++
		}
	}
	return n
}

func TestHeapSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOf(rapid.Int64Range(0, 50)).Draw(t, "times")
		var tl heap[entry]
		for i, at := range times {
			tl.push(entry{at, uint32(i)})
		}
		slices.Sort(times)
		for i, want := range times {
			if got := tl.pop(); got.at != want {
				t.Fatalf("entry %d is at %d, want %d", i, got.at, want)
			}
		}
	})
}

func TestDueDate(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Skip("no time zone data")
	}
	f := Floor{TimeZone: paris, Holidays: []string{"2026-05-01"}}.withDefaults(time.Now())
	c := newCalendar(&f)
	tests := []struct{ name, requested, issuance, priority, want string }{
		{"next day", "2026-03-02T10:00:00+01:00", "CREATION", "", "2026-03-03T17:00:00+01:00"},
		{"replacement", "2026-03-02T10:00:00+01:00", "REPLACEMENT", "STANDARD", "2026-03-03T17:00:00+01:00"},
		{"at the cut-off", "2026-03-02T17:00:00+01:00", "CREATION", "", "2026-03-03T17:00:00+01:00"},
		{"just after the cut-off", "2026-03-02T17:00:00.000001+01:00", "CREATION", "", "2026-03-04T17:00:00+01:00"},
		{"in UTC it is still before", "2026-03-02T16:30:00Z", "CREATION", "", "2026-03-04T17:00:00+01:00"},
		{"Friday", "2026-03-06T10:00:00+01:00", "CREATION", "", "2026-03-09T17:00:00+01:00"},
		{"Friday evening counts as Saturday", "2026-03-06T18:00:00+01:00", "CREATION", "", "2026-03-09T17:00:00+01:00"},
		{"Saturday", "2026-03-07T10:00:00+01:00", "CREATION", "", "2026-03-09T17:00:00+01:00"},
		{"holiday", "2026-04-30T10:00:00+02:00", "CREATION", "", "2026-05-04T17:00:00+02:00"},
		{"renewal", "2026-03-02T10:00:00+01:00", "RENEWAL", "", "2026-03-16T17:00:00+01:00"},
		{"over the clock change", "2026-03-27T10:00:00+01:00", "CREATION", "", "2026-03-30T17:00:00+02:00"},
		{"urgent", "2026-03-02T11:59:00+01:00", "RENEWAL", "URGENT", "2026-03-02T15:59:00+01:00"},
		{"urgent too late", "2026-03-02T12:00:00+01:00", "CREATION", "URGENT", "2026-03-03T17:00:00+01:00"},
		{"urgent on a Sunday", "2026-03-01T09:00:00+01:00", "CREATION", "URGENT", "2026-03-02T17:00:00+01:00"},
	}
	for _, tc := range tests {
		at, err := time.Parse(time.RFC3339Nano, tc.requested)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.due(at.UTC(), tc.issuance, tc.priority).Format(time.RFC3339); got != tc.want {
			t.Errorf("%s: due %s, want %s", tc.name, got, tc.want)
		}
	}
}

// Whatever is decided for an order, its life goes forward in time and ends once.
func TestEveryLifeEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record{
			received: 1e15, due: 1e15 + rapid.Int64Range(-day, 20*day).Draw(t, "due"),
			outcome: outcome(rapid.IntRange(0, int(returned)).Draw(t, "outcome")),
			jitter:  rapid.Byte().Draw(t, "jitter"),
			updates: rapid.SampledFrom([]uint8{0, 1, 2, 3, 7, neverShipped}).Draw(t, "updates"),
		}
		last, ends := int64(0), 0
		for k := 0; ; k++ {
			st, ok := r.step(k)
			if !ok {
				if ends != 1 {
					t.Fatalf("%d ends after %d steps", ends, k)
				}
				return
			}
			if ends > 0 || st.at < last || k > 70 {
				t.Fatalf("step %d (%s) at %d, after %d", k, st.status, st.at, last)
			}
			last = st.at
			if st.final {
				ends++
			}
		}
	})
}

func TestClockBends(t *testing.T) {
	base := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	c := clock{base: base, since: time.Now().Add(-time.Second), day: time.Second}
	if d := c.now().Sub(base); d < 24*time.Hour || d > 48*time.Hour {
		t.Errorf("after one short day: %v", d)
	}
	c.setDay(time.Hour)
	if d := c.now().Sub(base); d < 24*time.Hour || d > 48*time.Hour {
		t.Errorf("the clock jumped: %v", d)
	}
	if w := c.until(c.now().Add(12 * time.Hour).UnixMicro()); w < 29*time.Minute || w > 31*time.Minute {
		t.Errorf("half a day takes %v, want 30m", w)
	}
}

func TestBucketNeverGivesMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := RateLimit{PerSecond: float64(rapid.IntRange(1, 50).Draw(t, "rate")), Burst: rapid.IntRange(1, 20).Draw(t, "burst")}
		var b bucket
		now := time.Unix(0, 0)
		var taken []time.Time
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "ms")) * time.Millisecond)
			if b.take(&l, now) {
				taken = append(taken, now)
			}
		}
		for i, from := range taken {
			n := 0
			for _, at := range taken[i:] {
				if at.Sub(from) < time.Second {
					n++
				}
			}
			if n > int(l.PerSecond)+l.Burst {
				t.Fatalf("%d in one second at %+v", n, l)
			}
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for name, s := range map[string]func(*Settings){
		"mode":    func(s *Settings) { s.Duplicates = "maybe" },
		"share":   func(s *Settings) { s.Faults.ResetAfter = 1.5 },
		"day":     func(s *Settings) { s.Day = -1 },
		"status":  func(s *Settings) { s.Faults.ErrorStatus = 200 },
		"URL":     func(s *Settings) { s.NotificationURL = "ftp://x" },
		"outcome": func(s *Settings) { s.Production.Outcomes = map[string]string{"a": "LOST"} },
		"updates": func(s *Settings) { s.Production.ShipmentUpdates = 99 },
	} {
		set := Settings{}.withDefaults()
		if set.validate() != nil {
			t.Fatal("defaults are not valid")
		}
		if s(&set); set.validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no issuer: accepted")
	}
	if _, err := New(Config{Issuers: []Issuer{{ID: "short"}}}); err == nil {
		t.Error("short issuer id: accepted")
	}
}

func TestSettingsReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		share := rapid.Float64Range(0, 0.25)
		s := Settings{
			Day:        time.Duration(rapid.Int64Range(1, 1<<50).Draw(t, "day")),
			Duplicates: rapid.SampledFrom([]string{"replay", "reject", "blind"}).Draw(t, "mode"),
			RateLimit:  RateLimit{PerSecond: rapid.Float64Range(0, 1e6).Draw(t, "rate"), Burst: rapid.IntRange(0, 99).Draw(t, "burst")},
			StatusLag:  time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "lag")), SkipDecryption: rapid.Bool().Draw(t, "skip"),
			Production: Production{Late: share.Draw(t, "late"), Outcomes: map[string]string{
				rapid.String().Draw(t, "id"): "DATA_EXCEPTION"}},
			Faults: Faults{Slow: share.Draw(t, "slow"), TokenDown: rapid.Bool().Draw(t, "down")},
		}.withDefaults()
		got, err := Settings{}.withDefaults().merge(s.json())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestLongTailedLatency(t *testing.T) {
	l := Latency{P50: 40 * time.Millisecond, P99: 2 * time.Second}
	d := dice{seed: 3}
	times := make([]time.Duration, 20_000)
	for i := range times {
		times[i] = l.of(unit(d.next()))
	}
	slices.Sort(times)
	p50, p99 := times[len(times)/2], times[len(times)*99/100]
	if p50 < 36*time.Millisecond || p50 > 44*time.Millisecond || p99 < 1600*time.Millisecond || p99 > 2400*time.Millisecond {
		t.Errorf("half within %s, 99 of 100 within %s", p50, p99)
	}
	l.Min, l.Max = 20*time.Millisecond, time.Second
	for _, roll := range []float64{0, 1e-12, 0.5, 0.999999999} {
		if got := l.of(roll); got < l.Min || got > l.Max {
			t.Errorf("roll %v: %s is out of bounds", roll, got)
		}
	}
	even := Latency{Min: 10, Max: 20}
	if even.of(0) != 10 || even.of(0.5) != 15 {
		t.Error("evenly spread")
	}
}

func TestLives(t *testing.T) {
	for name, tc := range map[string]struct {
		r    record
		want []string
	}{
		"exception": {record{outcome: exception}, []string{cardRequested, dataPrepared, cardReady, cardOngoing, cardException}},
		"returned": {record{outcome: returned, updates: 1}, []string{cardRequested, dataPrepared, cardReady, cardOngoing, cardDone,
			cardShipped, cardShipped, cardReturned}},
		"never shipped, so not returned": {record{outcome: returned, updates: neverShipped},
			[]string{cardRequested, dataPrepared, cardReady, cardOngoing, cardDone}},
		"cancelled early":        {record{outcome: cancelled, cancelAt: 3}, []string{cardRequested, dataPrepared, cardReady, cardCanceled}},
		"cancelled while made":   {record{outcome: cancelled, cancelAt: 4}, []string{cardRequested, dataPrepared, cardReady, cardOngoing, cardCanceled}},
		"cancelled on hold":      {record{outcome: cancelled, cancelAt: 5, held: true}, []string{cardRequested, dataPrepared, cardReady, cardOngoing, cardOnHold, cardCanceled}},
		"cancelled when made":    {record{outcome: cancelled, cancelAt: 5}, []string{cardRequested, dataPrepared, cardReady, cardOngoing, cardDone, cardCanceled}},
		"never shipped, on hold": {record{outcome: onHold, updates: neverShipped}, []string{cardRequested, dataPrepared, cardReady, cardOngoing, cardOnHold, cardDone}},
	} {
		tc.r.due = day
		var got []string
		last := step{at: -1}
		for k := 0; ; k++ {
			st, ok := tc.r.step(k)
			if !ok {
				break
			}
			if st.at < last.at || last.final {
				t.Errorf("%s: %+v after %+v", name, st, last)
			}
			got, last = append(got, st.status), st
		}
		if diff := cmp.Diff(tc.want, got); diff != "" || !last.final {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
