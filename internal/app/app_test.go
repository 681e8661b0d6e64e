package app_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/ops"
	"cardbatch/internal/store"

	"github.com/google/go-cmp/cmp"
)

// One small night through every part: taken, ordered, produced, notified, reported.
func TestNight(t *testing.T) {
	w := newWorld(t)
	a, stop := w.start(t)
	w.dropSample(t, "good.csv")
	w.dropSample(t, "bad-rows.csv")

	run, err := a.RunJob(t.Context(), "pickup", "")
	if got := exitcode.Of(err); got != exitcode.Rejected || run.Outcome != issuance.RunRejects {
		t.Fatalf("pickup: exit code %d, %s, %v", got, run.Outcome, err)
	}
	if left := w.files(t, "drop/drop"); len(left) != 0 {
		t.Errorf("left in the drop: %q", left)
	}
	if _, err := a.RunJob(t.Context(), "submit", ""); err != nil {
		t.Fatalf("submit: %v\n%s", err, w.log)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, w.sim.WaitFinal(ctx, 20))
	for _, job := range []string{"track", "report", "status", "exceptions"} {
		if _, err := a.RunJob(t.Context(), job, "2026-12-01"); err != nil {
			t.Fatalf("%s: %v\n%s", job, err, w.log)
		}
	}
	if sum := w.sim.Summary(); sum.OrdersAccepted != 20 || sum.ProducedTwice != 0 || sum.NotificationsPending != 0 {
		t.Errorf("D1's ledger: %+v", sum)
	}
	reports := w.files(t, "drop/reports")
	for _, want := range []string{"good.receipt.csv", "good.reconciliation.csv", "bad-rows.receipt.csv", "bad-rows.reconciliation.csv", "status-DEMO_BANK1-2026-12-01-1.csv",
		"exceptions-DEMO_BANK1-2026-12-01-1.csv"} {
		if !slices.Contains(reports, want) || !slices.Contains(reports, want+".ctl") {
			t.Errorf("%s is not complete among %q", want, reports)
		}
	}
	stop()
	w.balances(t)
	w.holdsNothingClear(t)
}

// balances checks the store after cardbatch has gone.
func (w *world) balances(t *testing.T) {
	t.Helper()
	s, err := app.OpenStore(t.Context(), w.cfg, true, nil)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	must(t, s.Balance(t.Context()))
	batches, err := s.Batches(t.Context(), issuance.BatchFilter{})
	must(t, err)
	var shipped int64
	for _, b := range batches {
		totals, err := s.BatchTotals(t.Context(), b.No)
		must(t, err)
		shipped += totals.Phase(issuance.Shipped)
	}
	if shipped == 0 {
		t.Error("no card was shipped")
	}
}

// holdsNothingClear looks for card data in everything that was left behind: that
// of the samples, and more.
func (w *world) holdsNothingClear(t *testing.T, more ...string) {
	t.Helper()
	secrets := append([]string{"4111110000000013", "ZOFIA TESTOWA", "Rue du Specimen"}, more...)
	check := func(name string, data []byte) {
		for _, secret := range secrets {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s holds card or personal data", name)
			}
		}
	}
	for _, dir := range []string{"state", "drop/reports"} {
		must(t, filepath.WalkDir(filepath.Join(w.dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			check(path, data)
			return err
		}))
	}
	check("the log", []byte(w.log.String()))
}

func TestRunErrors(t *testing.T) {
	w := newWorld(t)
	a, _ := w.start(t)
	for _, tc := range []struct {
		name string
		run  func() (issuance.Run, error)
		want exitcode.Code
	}{
		{"no such job", func() (issuance.Run, error) { return a.RunJob(t.Context(), "brew", "") }, exitcode.Usage},
		{"no such report", func() (issuance.Run, error) { return a.RunReport(t.Context(), "gossip", "") }, exitcode.Usage},
		{"nothing to do", func() (issuance.Run, error) { return a.RunJob(t.Context(), "pickup", "") }, exitcode.Done},
		{"one report", func() (issuance.Run, error) { return a.RunReport(t.Context(), "status", "2026-12-01") }, exitcode.Done},
		{"the drop is gone", func() (issuance.Run, error) {
			must(t, os.Rename(filepath.Join(w.dir, "drop", "drop"), filepath.Join(w.dir, "elsewhere")))
			return a.RunJob(t.Context(), "pickup", "")
		}, exitcode.Failed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.run()
			if got := exitcode.Of(err); got != tc.want {
				t.Errorf("exit code %d, want %d: %v", got, tc.want, err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		spoil func(w *world)
		want  exitcode.Code
		text  string
	}{
		{"a key that is none", func(w *world) { w.write(t, "seal.key", "short") }, exitcode.Config, "sealing key k1"},
		{"a key that is gone", func(w *world) { must(t, os.Remove(filepath.Join(w.dir, "token.pem"))) }, exitcode.Config, "token.pem"},
		{"a bad job", func(w *world) { w.write(t, "jobs/pickup.yaml", "name: pickup\n") }, exitcode.Config, "pickup.yaml"},
		{"a job for nobody", func(w *world) {
			w.write(t, "jobs/x.yaml", "name: x\nstage: pickup\nafter: [pickup]\ntime_zone: UTC\nselect: {sources: [nowhere], issuers: [ISSUER0009]}\n")
		}, exitcode.Config, `"nowhere" is not a source`},
		{"a drop that is gone", func(w *world) { must(t, os.RemoveAll(filepath.Join(w.dir, "drop"))) }, exitcode.Config, "open drop bank"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.spoil(w)
			_, err := app.New(t.Context(), app.Options{Config: w.cfg, Logger: ops.NewLogger(w.log, "error", "json", time.Now), Migrate: true})
			if got := exitcode.Of(err); got != tc.want || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("exit code %d, %v", got, err)
			}
			if err := app.CheckFiles(w.cfg); strings.HasPrefix(tc.name, "a key") && err == nil {
				t.Error("check does not see it")
			}
		})
	}
}

func TestStoreMustBeThere(t *testing.T) {
	w := newWorld(t)
	_, err := app.OpenStore(t.Context(), w.cfg, true, nil)
	if exitcode.Hint(err) == "" {
		t.Errorf("no hint: %v", err)
	}
	applied, err := app.Migrate(t.Context(), w.cfg)
	if err != nil || applied == 0 {
		t.Fatalf("applied %d, %v", applied, err)
	}
	s, err := app.OpenStore(t.Context(), w.cfg, true, nil)
	must(t, err)
	must(t, s.Close())
	if _, err := s.Runs(t.Context(), issuance.RunFilter{}); !errors.Is(err, store.ErrClosed) && err == nil {
		t.Error("a closed store answers")
	}
}

func TestCheckFile(t *testing.T) {
	cfg, err := config.Load("../../samples/config/cardbatch.yaml")
	must(t, err)
	now := func() time.Time { return time.Date(2026, 12, 1, 22, 0, 0, 0, time.UTC) }
	rules, err := app.RulesOf(cfg, "core-banking", now)
	must(t, err)
	good, err := app.CheckFile(t.Context(), "../../samples/orders/good.csv", rules)
	must(t, err)
	if !good.Clean() || good.Rows != 20 || good.Good != 20 || !good.Control {
		t.Errorf("good: %+v", good)
	}
	bad, err := app.CheckFile(t.Context(), "../../samples/orders/bad-rows.csv", rules)
	must(t, err)
	// The sample source refuses files with more than 5 % of bad rows.
	if bad.Clean() || bad.Accepted || bad.Code != issuance.TooManyRejects || bad.Rejected != 17 || len(bad.Errors) < 17 {
		t.Errorf("bad: %+v", bad)
	}

	data, err := os.ReadFile("../../samples/orders/good.csv")
	must(t, err)
	lines := strings.SplitAfter(string(data), "\n")
	twice := filepath.Join(t.TempDir(), "twice.csv")
	must(t, os.WriteFile(twice, []byte(strings.Join(append(lines, lines[1]), "")), 0o600))
	rules, err = app.RulesOf(cfg, "", now)
	must(t, err)
	v, err := app.CheckFile(t.Context(), twice, rules)
	must(t, err)
	v.Errors, v.SHA256 = nil, ""
	if diff := cmp.Diff(app.Verdict{File: twice, Accepted: true, Rows: 21, Good: 20, Duplicate: 1}, v); diff != "" {
		t.Error(diff)
	}
	if _, err := app.RulesOf(cfg, "nowhere", now); exitcode.Of(err) != exitcode.Usage {
		t.Errorf("got %v", err)
	}
	if _, err := app.CheckFile(t.Context(), twice+".gone", rules); err == nil {
		t.Error("a file that is not there was checked")
	}
}
