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
	none := &fault{}
	oneNight(t, none)
	stride, first := 1, 1
	if os.Getenv("CARDBATCH_NIGHT_KILLS") == "" {
		stride = 12
		if underRace {
			stride = 120
		}
		_, seed := nights(t)
		first += int(seed % uint64(stride))
	}
	t.Logf("such a night has %d calls; every %d. of them fails, from the %d. on", none.calls, stride, first)
	for _, after := range []bool{false, true} {
		t.Run(map[bool]string{false: "before", true: "after"}[after], func(t *testing.T) {
			t.Parallel()
			reached := map[string]int{}
			for at := first; ; at += stride {
				f := &fault{at: at, after: after}
				restarts := oneNight(t, f)
				if f.name == "" {
					break // the night has no such call
				}
				reached[f.name]++
				if restarts > 0 {
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

// oneNight plays a small night in which every stage has all its work to do: of
// three files one is refused, one has rows of another, and loading one was cut short by a
// death; requests and answers are lost, and so is news. It returns how often the process had to be
// started again for the night to end.
func oneNight(t *testing.T, f *fault) (restarts int) {
	t.Helper()
	n := newSmall(t, memoryDir(t), 3)
	n.d1.fates = []fate{arrives, lostAfter, arrives, lostBefore, arrives, notSent}
	must(t, n.bank.dropAs(good))
	must(t, n.start(&fault{only: "DecideBatch"}))
	n.round() //nolint:errcheck // it dies
	n.stop()
	must(t, n.bank.dropAs(wrong))
	if err := n.start(f); err != nil {
		n.stop() // systemd starts it again
		must(t, n.start(f))
	}
	defer func() { n.stop() }()
	for rounds, calm := 0, 0; ; rounds++ {
		if rounds == 2 { // when the first is archived
			must(t, n.bank.dropAs(grown))
		}
		if rounds < 3 {
			n.d1.work()
			n.d1.takeNews() // lost
		}
		err := n.round()
		if err != nil && f.name == "" {
			t.Fatalf("without a fault: %v", err)
		}
		missing := n.settled()
		// A status file that was owed tells of its own time: the next has the rest.
		if calm++; missing != "" || err != nil || rounds < 3 {
			calm = 0
		}
		if calm == 2 {
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
