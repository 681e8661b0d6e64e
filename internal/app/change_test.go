package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/cardholder"
	"cardbatch/internal/config"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"

	"github.com/google/go-cmp/cmp"
)

// withChanges gives a world a second source, of change files.
func (w *world) withChanges(t *testing.T) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(w.dir, "drop/changes"), 0o700))
	text, err := os.ReadFile(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
	w.write(t, "cardbatch.yaml", strings.Replace(string(text), "sources: [{name: core, issuer: DEMO_BANK1, drop: bank}]",
		"sources: [{name: core, issuer: DEMO_BANK1, drop: bank}, {name: core-changes, issuer: DEMO_BANK1, drop: bank, content: changes, directories: {drop: changes}}]", 1))
	w.cfg, err = config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
}

// ask makes a row of a change file.
func ask(change issuance.ChangeType, orderID string) *orderfile.ChangeRow {
	r := &orderfile.ChangeRow{OrderID: orderID, Change: string(change)}
	if change.Redirects() {
		text := cardholder.NewText
		r.DeliveryFirstName, r.DeliveryLastName = text("Ondine"), text("Umgezogen")
		r.DeliveryLine1, r.DeliveryCity, r.DeliveryZipCode, r.DeliveryCountryCode = text("7 Chemin du Nouveau"), text("Oyonnax"), text("01100"), "FR"
	}
	return r
}

// dropChanges drops a change file, the control file last.
func (w *world) dropChanges(t *testing.T, name string, sequence int64, rows ...*orderfile.ChangeRow) {
	t.Helper()
	layout, err := orderfile.NewLayout(orderfile.Format{Content: orderfile.Changes})
	must(t, err)
	var b bytes.Buffer
	e, err := orderfile.NewLayoutEncoder(&b, layout)
	must(t, err)
	for _, r := range rows {
		must(t, e.EncodeChange(r))
	}
	must(t, e.Flush())
	sum := sha256.Sum256(b.Bytes())
	ctl, err := orderfile.EncodeControl(issuance.Control{File: name, Rows: int64(len(rows)), SHA256: hex.EncodeToString(sum[:]), IssuerID: issuerID,
		Environment: "TEST", Sequence: sequence, BusinessDate: "2026-12-01", CreatedAt: "2026-12-01T21:30:00Z"})
	must(t, err)
	w.write(t, "drop/changes/"+name, b.String())
	w.write(t, "drop/changes/"+name+".ctl", string(ctl))
}

// job runs a job that may reject rows.
func (w *world) job(t *testing.T, a *app.App, name string) {
	t.Helper()
	if _, err := a.RunJob(t.Context(), name, ""); err != nil && exitcode.Of(err) != exitcode.Rejected {
		t.Fatalf("%s: %v\n%s", name, err, w.log)
	}
}

// dispositions reads the newest reconciliation of a change file: order and what
// became of the change.
func (w *world) dispositions(t *testing.T, stem string) map[string]string {
	t.Helper()
	newest := ""
	for _, name := range w.files(t, "drop/reports") {
		if strings.HasPrefix(name, stem+".reconciliation") && strings.HasSuffix(name, ".csv") && len(name) >= len(newest) {
			newest = name
		}
	}
	f, err := os.Open(filepath.Join(w.dir, "drop/reports", newest))
	must(t, err)
	defer f.Close() //nolint:errcheck // read only
	rows, err := csv.NewReader(f).ReadAll()
	must(t, err)
	got := map[string]string{}
	for _, r := range rows[1:] {
		got[r[1]] += r[2] + " " + r[3]
	}
	return got
}

func order(n string) string { return "sample-20261201-0000" + n }

// Cancelled, redirected and accelerated, before and after D1 has the orders,
// through every part.
func TestChanges(t *testing.T) {
	w := newWorld(t)
	w.withChanges(t)
	a, stop := w.start(t)
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Day = time.Hour }))
	w.dropSample(t, "good.csv")
	w.job(t, a, "pickup")
	w.dropChanges(t, "before.csv", 1, ask(issuance.Cancel, order("01")), ask(issuance.Redirect, order("02")),
		ask(issuance.AccelerateAndRedirect, order("03")), ask(issuance.Cancel, "no-such-order"), ask(issuance.Redirect, ""))
	w.job(t, a, "pickup")
	w.job(t, a, "change")
	w.job(t, a, "submit")
	w.dropChanges(t, "after.csv", 2, ask(issuance.Cancel, order("04")), ask(issuance.Redirect, order("05")), ask(issuance.Accelerate, order("06")),
		ask(issuance.Accelerate, order("04")))
	w.job(t, a, "pickup")
	w.job(t, a, "change")
	if sum := w.sim.Summary(); sum.OrdersAccepted == 0 {
		t.Fatalf("D1's ledger: %+v", sum)
	}
	must(t, w.sim.Adjust(func(s *d1sim.Settings) { s.Day = 5 * time.Millisecond }))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, w.sim.WaitFinal(ctx, w.sim.Summary().OrdersAccepted))
	w.dropChanges(t, "late.csv", 3, ask(issuance.Cancel, order("07")))
	for _, job := range []string{"pickup", "change", "report"} {
		w.job(t, a, job)
	}
	for stem, want := range map[string]map[string]string{
		"before": {order("01"): "CANCEL applied", order("02"): "REDIRECT applied", order("03"): "ACCELERATE_AND_REDIRECT applied",
			"no-such-order": "CANCEL waiting", "": "REDIRECT rejected"},
		"after": {order("04"): "CANCEL doneACCELERATE too_late", order("05"): "REDIRECT done", order("06"): "ACCELERATE done"},
		"late":  {order("07"): "CANCEL too_late"},
	} {
		if diff := cmp.Diff(want, w.dispositions(t, stem)); diff != "" {
			t.Errorf("%s: %s", stem, diff)
		}
	}
	if sum := w.sim.Summary(); sum.Cancelled != 1 || sum.ProducedTwice != 0 {
		t.Errorf("D1's ledger: %+v", sum)
	}
	stop()
	w.balances(t)
	w.holdsNothingClear(t, "Umgezogen", "Chemin du Nouveau", "Oyonnax")
}
