package night_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"testing"

	"cardbatch/internal/intake"
	"cardbatch/internal/notification"
	"cardbatch/internal/report"
	"cardbatch/internal/submit"
	"cardbatch/internal/track"
)

// Every call to the store, the drop and D1 fails once, in turn, before and
// after it is done. The night ends as if nothing had happened.
func TestNightEveryCallFails(t *testing.T) {
	t.Parallel()
	quiet := &fault{}
	oneNight(t, quiet)
	stride := 1
	if testing.Short() {
		stride = 11
	}
	t.Logf("a quiet night has %d calls; every %d. fails", quiet.calls, stride)
	for _, after := range []bool{false, true} {
		t.Run(map[bool]string{false: "before", true: "after"}[after], func(t *testing.T) {
			t.Parallel()
			reached := map[string]int{}
			for at := 1; ; at += stride {
				f := &fault{at: at, after: after}
				restarts := oneNight(t, f)
				if f.name == "" {
					break // the night has no such call
				}
				reached[f.name]++
				if restarts > 0 && !(after && f.name == "ClaimReady") {
					t.Errorf("call %d, %s: nothing but a restart went on with it", at, f.name)
				}
				if t.Failed() {
					t.Fatalf("it was call %d, %s, after %v", at, f.name, after)
				}
			}
			t.Logf("failed: %s", tally(reached))
		})
	}
}

// oneNight plays a small night of three files and returns how often the process
// had to be started again for it to end.
func oneNight(t *testing.T, f *fault) (restarts int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cardbatch-night-")
	must(t, err)
	defer func() { must(t, os.RemoveAll(dir)) }()
	n := newSmall(t, dir, 3)
	must(t, n.bank.dropAs(good))
	must(t, n.bank.dropAs(wrong))
	if err := n.start(f); err != nil {
		n.stop() // systemd starts it again
		must(t, n.start(f))
	}
	defer func() { n.stop() }()
	for rounds := 0; ; rounds++ {
		if rounds == 1 { // once the first is archived
			must(t, n.bank.dropAs(grown))
		}
		err := n.round()
		if err != nil && f.name == "" {
			t.Fatalf("without a fault: %v", err)
		}
		missing := n.settled()
		if missing == "" && rounds > 1 {
			break
		}
		if rounds%25 == 24 {
			if restarts++; restarts > 1 {
				t.Fatalf("call %d, %s, after %v: not settled: %s; the last run: %v", f.at, f.name, f.after, missing, err)
			}
			n.stop()
			must(t, n.start(f))
		}
	}
	n.prove()
	return restarts
}

// A method of a stage's port that fragileStore does not have fails never.
func TestNightFaultsReachEveryCall(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "fragile_test.go", nil, parser.SkipObjectResolution)
	must(t, err)
	own := map[string][]string{}
	for _, d := range file.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
			of := fmt.Sprint(fn.Recv.List[0].Type)
			own[of] = append(own[of], fn.Name.Name)
		}
	}
	for port, of := range map[reflect.Type]string{
		reflect.TypeFor[intake.Store](): "fragileStore", reflect.TypeFor[submit.Store](): "fragileStore",
		reflect.TypeFor[track.Store](): "fragileStore", reflect.TypeFor[notification.Store](): "fragileStore",
		reflect.TypeFor[report.Store](): "fragileStore", reflect.TypeFor[intake.Drop](): "fragileDrop",
		reflect.TypeFor[report.Drop](): "fragileDrop", reflect.TypeFor[track.Issuer](): "fragileD1",
	} {
		for i := range port.NumMethod() {
			if name := port.Method(i).Name; !slices.Contains(own[of], name) {
				t.Errorf("%s of %s never fails: %s does not have it", name, port, of)
			}
		}
	}
}
