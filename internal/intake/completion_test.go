package intake_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

// All that a source configures must hold, and nothing else.
func TestCompletion(t *testing.T) {
	for _, tt := range []struct {
		name     string
		rule     intake.Completion
		file     string   // default cards.csv
		with     []string // files beside it; a control file is a right one
		complete bool
	}{
		{name: "control", rule: intake.Completion{Control: true}, with: []string{"cards.csv.ctl"}, complete: true},
		{name: "no control", rule: intake.Completion{Control: true}, with: []string{"cards.csv.done"}},
		{name: "the control file is still empty", rule: intake.Completion{Control: true}, with: []string{"cards.csv.ctl:empty"}},
		{name: "marker", rule: intake.Completion{Markers: []string{".done", ".ok"}}, with: []string{"cards.csv.ok"}, complete: true},
		{name: "no marker", rule: intake.Completion{Markers: []string{".done", ".ok"}}, with: []string{"cards.csv.ctl", "cards.done"}},
		{name: "marker of the stem", rule: intake.Completion{Markers: []string{".done"}, MarkerOfStem: true}, with: []string{"cards.done"}, complete: true},
		{name: "marker of the name instead", rule: intake.Completion{Markers: []string{".done"}, MarkerOfStem: true}, with: []string{"cards.csv.done"}},
		{name: "control and marker", rule: intake.Completion{Control: true, Markers: []string{".done"}}, with: []string{"cards.csv.ctl", "cards.csv.done"}, complete: true},
		{name: "control without marker", rule: intake.Completion{Control: true, Markers: []string{".done"}}, with: []string{"cards.csv.ctl"}},
		{name: "marker without control", rule: intake.Completion{Control: true, Markers: []string{".done"}}, with: []string{"cards.csv.done"}},
		{name: "renamed", complete: true},
		{name: "not yet renamed", rule: intake.Completion{Ignore: []string{".tmp", ".part"}}, file: "cards.csv.part"},
		{name: "hidden", file: ".cards.csv"},
		{name: "large enough", rule: intake.Completion{MinSize: 500}, complete: true},
		{name: "too small", rule: intake.Completion{MinSize: 1 << 20}},
		{name: "another name", file: "cards.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.source().Completion = tt.rule
			if tt.file == "" {
				tt.file = "cards.csv"
			}
			g := b.generate("cards.csv", 1, sample.Options{Rows: 5, Seed: 1})
			b.write(tt.file, g.content)
			for _, name := range tt.with {
				name, empty := strings.CutSuffix(name, ":empty")
				content := []byte{}
				if strings.HasSuffix(name, ".ctl") && !empty {
					var err error
					content, err = orderfile.EncodeControl(g.control)
					b.must(err)
				}
				b.write(name, content)
			}
			before := b.files("drop")
			entries, err := b.drop.List(t.Context(), "drop")
			b.must(err)
			if n, _ := tt.rule.Sort("*.csv", entries); (n == 1) != tt.complete {
				t.Errorf("%d files would be taken", n)
			}
			sum := b.mustRun()
			if !tt.complete {
				if diff := cmp.Diff(before, b.files("drop")); diff != "" || sum.Files != 0 {
					t.Errorf("an incomplete file was touched: %+v\n%s", sum, diff)
				}
				return
			}
			if sum.Accepted != 1 || sum.Ready != 5 {
				t.Fatalf("summary %+v, log %s", sum, b.logs)
			}
			// What belonged to it goes with it.
			if left := b.files("drop"); len(left) != 0 {
				t.Errorf("left in the drop: %v", left)
			}
			if diff := cmp.Diff(before, b.files("archive")); diff != "" {
				t.Errorf("archive (-want +got):\n%s", diff)
			}
		})
	}
}

// A quiet period is what we have seen ourselves: the times that the server
// gives may be hours off, only that they change counts.
func TestQuietIsByOurOwnObservations(t *testing.T) {
	for _, off := range []time.Duration{-48 * time.Hour, 0, 3 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			b := newBench(t)
			b.source().Completion = intake.Completion{Control: true, Observations: 3, QuietFor: 2 * time.Minute}
			g := b.generate("cards.csv", 1, sample.Options{Rows: 5, Seed: 1})
			b.drops(g)
			touch := func(name string, age time.Duration) {
				at := night.Add(off - age)
				b.must(os.Chtimes(filepath.Join(b.dir, "drop", name), at, at))
			}
			touch("cards.csv", 0)
			touch("cards.csv.ctl", 0)
			for i, step := range []struct {
				wait  time.Duration
				touch string
				taken bool
			}{
				{wait: 0},
				{wait: 10 * time.Second},
				{wait: 10 * time.Second}, // seen three times, and not long enough
				{wait: 50 * time.Minute, touch: "cards.csv"},
				{wait: 90 * time.Second},
				{wait: 90 * time.Second, touch: "cards.csv.ctl"}, // long enough, and its control file changes
				{wait: time.Hour},                                // long enough, and not seen often enough
				{wait: time.Second, taken: true},
			} {
				b.wait(step.wait)
				if step.touch != "" {
					touch(step.touch, time.Duration(i)*time.Minute)
				}
				if sum := b.mustRun(); (sum.Accepted == 1) != step.taken {
					t.Fatalf("step %d: %+v", i, sum)
				}
			}
		})
	}
}

// Files that do not complete are in the summary of every run and in the log
// once a day, each with its reason.
func TestWhatNeverCompletesIsStuck(t *testing.T) {
	b := newBench(t)
	b.source().Completion = intake.Completion{Control: true, Markers: []string{".done"}, Ignore: []string{".part"}, StuckAfter: 4 * time.Hour}
	other := *b.source()
	other.Name, other.Pattern, other.Completion = "lists", "*.lst", intake.Completion{Observations: 99, StuckAfter: 4 * time.Hour}
	b.cfg.Sources = append(b.cfg.Sources, other)
	reasons := map[string]string{
		"no-control.csv":             "no control file no-control.csv.ctl",
		"no-marker.csv":              "no marker no-marker.csv.done",
		"orphan.csv.ctl":             "control file of orphan.csv, which is not there",
		"orphan.csv.done":            "marker of a file that is not there",
		"upload.csv.part":            "being written",
		".hidden.csv":                "being written",
		"cards.CSV":                  "no source expects",
		".lost.csv.20260101-x.taken": "it was taken and nothing has become of it",
	}
	for name := range reasons {
		b.write(name, []byte("x"))
	}
	b.write("no-marker.csv.ctl", []byte("x"))
	b.write(".profile", nil)   // nobody's business
	b.write("moving.lst", nil) // of the other source, which waits for it
	if sum := b.mustRun(); sum.Stuck != 0 {
		t.Fatalf("stuck at first sight: %+v", sum)
	}
	b.wait(4*time.Hour - time.Second)
	if sum := b.mustRun(); sum.Stuck != 0 {
		t.Fatalf("stuck too soon: %+v", sum)
	}
	b.wait(time.Second)
	b.logs.Reset()
	var want []string
	for name := range reasons {
		want = append(want, "core: "+name)
	}
	want = append(want, "lists: moving.lst")
	slices.Sort(want)
	for range 3 { // every run says it
		sum := b.mustRun()
		slices.Sort(sum.StuckFiles)
		if diff := cmp.Diff(want, sum.StuckFiles); diff != "" || sum.Stuck != len(want) {
			t.Fatalf("%d stuck (-want +got):\n%s", sum.Stuck, diff)
		}
		if sum.HasRejects() {
			t.Error("a stuck file counts as a reject")
		}
		b.wait(time.Minute)
	}
	for name, reason := range reasons {
		said := 0
		for line := range strings.Lines(b.logs.String()) {
			if strings.Contains(line, `"file":"`+name+`"`) && strings.Contains(line, reason) && strings.Contains(line, `"level":"warn"`) {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%s: said %d times on one day", name, said)
		}
	}
	b.logs.Reset()
	b.wait(24 * time.Hour)
	b.mustRun()
	if got := strings.Count(b.logs.String(), `"stuck: `); got != len(want) {
		t.Errorf("said %d times the next day, want %d", got, len(want))
	}
}

// A directory full of stuck files fills neither the log nor the summary.
func TestManyStuckFilesAreCounted(t *testing.T) {
	b := newBench(t)
	b.source().Completion.StuckAfter = time.Hour
	for i := range 50 {
		b.write(fmt.Sprintf("%d.csv", i), []byte("x"))
	}
	b.mustRun()
	b.wait(time.Hour)
	b.logs.Reset()
	if sum := b.mustRun(); sum.Stuck != 50 || len(sum.StuckFiles) != 20 {
		t.Errorf("%d stuck, %d named", sum.Stuck, len(sum.StuckFiles))
	}
	if n := strings.Count(b.logs.String(), "\n"); n != 20 {
		t.Errorf("%d lines in the log", n)
	}
}

// A complete file that another process keeps from being taken is stuck, too.
func TestAFileThatWaitsForAnotherProcess(t *testing.T) {
	b := newBench(t)
	b.source().Completion.StuckAfter = time.Hour
	other := newBenchAt(t, b.dir, b.path)
	other.open()
	_, err := other.store.ClaimFile(t.Context(), issuance.Batch{Source: "core", IssuerID: issuerID, FileName: "0.csv", ReceivedAt: night})
	b.must(err)
	b.drops(b.generate("a.csv", 1, sample.Options{Rows: 5, Seed: 1}))
	if sum := b.mustRun(); sum.Files != 0 || sum.Stuck != 0 {
		t.Fatalf("%+v", sum)
	}
	b.wait(time.Hour)
	if sum := b.mustRun(); sum.Stuck != 1 || !strings.Contains(b.logs.String(), "stuck: another file of its issuer") {
		t.Errorf("%+v, log %s", sum, b.logs)
	}
	other.close() // it dies without having taken the file out of sight
	b.wait(time.Minute)
	sum := b.mustRun()
	if sum.Refused != 1 || sum.Accepted != 1 || sum.Stuck != 0 {
		t.Errorf("%+v", sum)
	}
}
