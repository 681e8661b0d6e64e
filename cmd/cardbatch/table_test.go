package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	table := newTable("file", ">rows", "at", "why")
	table.add("a.csv", int64(1234567), time.Date(2026, 3, 1, 22, 15, 3, 0, time.UTC), "")
	table.add("déjà-vu.csv", int64(5), time.Time{}, "late")
	table.totals = texts([]any{"", int64(1234572), "", ""})
	var b strings.Builder
	if err := table.write(&b); err != nil {
		t.Fatal(err)
	}
	want := `FILE              ROWS  AT                    WHY
a.csv        1,234,567  2026-03-01 22:15:03Z
déjà-vu.csv          5  -                     late
             ---------
             1,234,572
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// Names of files are other people's: a line break must not break the table, an
// escape sequence must not reach the terminal.
func TestTableShowsNoControlCharacters(t *testing.T) {
	table := newTable("file", "why")
	table.add("a\nb.csv", "\x1b[31mred\x9b\u202e")
	var b strings.Builder
	if err := table.write(&b); err != nil {
		t.Fatal(err)
	}
	if want := "FILE     WHY\na\ufffdb.csv  \ufffd[31mred\ufffd\ufffd\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

func TestSummary(t *testing.T) {
	var b strings.Builder
	err := writeSummary(&b, `{"done":[{"issuer_id":"A","not_done":1234,"seconds":0.1234567}],"error":"D1 is down"}`, true)
	if err != nil {
		t.Fatal(err)
	}
	want := `
issuer id  A
not done   1,234
seconds    0.123

error: D1 is down
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	for _, nothing := range []string{"", "x", `{"done":7}`, "{}"} {
		b.Reset()
		if err := writeSummary(&b, nothing, true); err != nil || b.String() != "" {
			t.Errorf("%q gives %q, %v", nothing, b.String(), err)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
