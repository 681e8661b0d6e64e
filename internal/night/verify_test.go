package night_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/store"
)

type settings = d1sim.Settings

// patience is how long everything may take to come to rest.
const patience = 90 * time.Second

// settle lets the night end: no new files, no new faults, no more deaths. It
// returns when nothing is left to happen and the daemon has been stopped.
func (w *town) settle() {
	w.Helper()
	must(w.T, w.world.D1.Adjust(func(s *settings) { s.Faults = d1sim.Faults{} }))
	if w.bank.resend != nil {
		must(w.T, w.bank.dropOne())
	}
	s := w.waitForStore()
	defer func() { must(w.T, s.Close()) }()
	deadline := time.Now().Add(patience)
	for {
		missing := w.unsettled(s)
		if missing == "" {
			break
		}
		select {
		case <-w.daemon.Done():
			w.Fatalf("the daemon died by itself: %v", w.daemon.Err())
		case <-w.Context().Done():
			w.Fatal("interrupted")
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			w.Fatalf("not settled within %s: %s", patience, missing)
		}
	}
	must(w.T, w.daemon.Stop())
}

// waitForStore waits until the daemon has made its store.
func (w *town) waitForStore() *store.Store {
	w.Helper()
	for range 100 {
		s, err := store.Open(w.Context(), store.Config{Path: w.world.Store(), ReadOnly: true})
		if err == nil {
			return s
		}
		if !errors.Is(err, store.ErrSchema) {
			must(w.T, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.Fatal("there is no store")
	return nil
}

// unsettled says what is still to happen, "" when nothing is.
func (w *town) unsettled(s *store.Store) string {
	w.Helper()
	if left := w.names("drop"); len(left) > 0 {
		return fmt.Sprintf("%d files are in the drop", len(left))
	}
	batches, err := s.Batches(w.Context(), issuance.BatchFilter{})
	must(w.T, err)
	for _, b := range batches {
		if b.State != issuance.BatchClosed && b.State != issuance.BatchRefused {
			totals, err := s.BatchTotals(w.Context(), b.No)
			must(w.T, err)
			return fmt.Sprintf("file %s is %s %s, with %v", b.FileName, b.State, b.Reason, totals.Terms())
		}
	}
	if len(batches) < len(w.bank.files) {
		return fmt.Sprintf("%d of %d files are taken", len(batches), len(w.bank.files))
	}
	if !w.world.D1.Idle() {
		return "D1 is at work"
	}
	found, err := rehearsal.ReadReports(w.world.Path("sftp/reports"))
	if err != nil {
		return err.Error() // it is being written
	}
	receipts := map[string]bool{}
	for _, r := range found {
		if r.Kind == string(issuance.DeliverReceipt) {
			receipts[r.SourceFile] = true
		}
	}
	if len(receipts) < len(w.bank.files) {
		return fmt.Sprintf("%d of %d receipts are written", len(receipts), len(w.bank.files))
	}
	owed, err := s.Deliveries(w.Context(), issuance.DeliveryFilter{Pending: true})
	must(w.T, err)
	if len(owed) > 0 {
		return fmt.Sprintf("%d reports are owed", len(owed))
	}
	last := lastEditions(found)
	for _, b := range batches {
		if b.State == issuance.BatchRefused {
			continue
		}
		d, ok, err := s.LastDelivery(w.Context(), issuance.DeliverReconciliation, rehearsal.IssuerID, b.No)
		must(w.T, err)
		if !ok || d.PlannedAt.Before(b.ClosedAt) || last[b.FileName] == nil {
			return "the last reconciliation of " + b.FileName + " is not written"
		}
	}
	return ""
}

// lastEditions returns the last reconciliation of each file.
func lastEditions(all []rehearsal.Report) map[string]*rehearsal.Report {
	last := map[string]*rehearsal.Report{}
	for i, r := range all {
		if r.Kind == string(issuance.DeliverReconciliation) && (last[r.SourceFile] == nil || last[r.SourceFile].Revision < r.Revision) {
			last[r.SourceFile] = &all[i]
		}
	}
	return last
}

// names lists a directory of the drop, without what is hidden.
func (w *town) names(dir string) []string {
	w.Helper()
	entries, err := os.ReadDir(w.world.Path("sftp/" + dir))
	must(w.T, err)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// verify compares what was dropped with D1's ledger, the store, the reports
// and the drop.
func (w *town) verify() {
	w.Helper()
	w.checkD1()
	ledger := w.checkLedger()
	s := w.open()
	defer func() { must(w.T, s.Close()) }()
	w.checkAnswered(s)
	must(w.T, s.Balance(w.Context()))
	orders := w.checkStore(s, ledger)
	w.checkReports(orders)
	w.checkDrop()
	if w.Failed() {
		w.FailNow()
	}
}

// checkLedger compares D1's orders with those that were dropped, both ways.
func (w *town) checkLedger() map[string]d1sim.LedgerEntry {
	w.Helper()
	ledger := map[string]d1sim.LedgerEntry{}
	for _, e := range w.world.D1.Ledger() {
		if e.Answer != http.StatusAccepted {
			w.Errorf("D1 refused order %s: %d %s %s", e.IssuerRequestID, e.Answer, e.ErrorCode, e.Error)
			continue
		}
		if e.Produced != 1 {
			w.Errorf("order %s was produced %d times", e.IssuerRequestID, e.Produced)
		}
		if !w.bank.ordered[e.IssuerRequestID] {
			w.Errorf("D1 was asked for %s, which no accepted file has as a good row", e.IssuerRequestID)
		}
		ledger[e.IssuerRequestID] = e
	}
	for id := range w.bank.ordered {
		if _, ok := ledger[id]; !ok {
			w.Errorf("order %s is lost: D1 does not have it", id)
		}
	}
	return ledger
}

// fileOrders are the orders of an accepted file, as the store has them.
type fileOrders map[string][]issuance.Order

func (w *town) checkStore(s *store.Store, ledger map[string]d1sim.LedgerEntry) fileOrders {
	w.Helper()
	batches, err := s.Batches(w.Context(), issuance.BatchFilter{})
	must(w.T, err)
	byName := map[string]issuance.Batch{}
	for _, b := range batches {
		if _, twice := byName[b.FileName]; twice {
			w.Errorf("file %s was taken twice", b.FileName)
		}
		byName[b.FileName] = b
	}
	all := fileOrders{}
	for _, f := range w.bank.files {
		b, ok := byName[f.name]
		switch {
		case !ok:
			w.Errorf("file %s was not taken", f.name)
		case f.refused != "":
			if b.State != issuance.BatchRefused || b.Code != f.refused {
				w.Errorf("file %s is %s %s, want refused %s", f.name, b.State, b.Code, f.refused)
			}
		case b.State != issuance.BatchClosed:
			w.Errorf("file %s is %s %s", f.name, b.State, b.Code)
		default:
			for o, err := range s.OrdersOfBatch(w.Context(), b.No) {
				must(w.T, err)
				all[f.name] = append(all[f.name], o)
			}
			w.checkRows(f, all[f.name], ledger)
		}
	}
	return all
}

func (w *town) checkRows(f *dropped, orders []issuance.Order, ledger map[string]d1sim.LedgerEntry) {
	w.Helper()
	if len(orders) != len(f.rows) {
		w.Errorf("file %s has %d rows, the store %d", f.name, len(f.rows), len(orders))
		return
	}
	for i, want := range f.rows {
		o := orders[i]
		if o.State != want.state {
			w.Errorf("%s row %d, order %s, is %s %s, want %s", f.name, i+1, want.orderID, o.State, o.Code, want.state)
			continue
		}
		if want.state != issuance.Submitted {
			continue
		}
		e := ledger[want.orderID]
		if o.OrderID != want.orderID || o.OperationID != e.OperationID || string(o.Production.Status) != e.Status {
			w.Errorf("order %s: we say operation %s and %s, D1 says %s and %s", want.orderID,
				o.OperationID, o.Production.Status, e.OperationID, e.Status)
		}
	}
}

// checkReports reads the reports as the back office does, and compares them
// with the files and the store.
func (w *town) checkReports(orders fileOrders) {
	w.Helper()
	all, err := rehearsal.ReadReports(w.world.Path("sftp/reports"))
	must(w.T, err)
	receipts := map[string]rehearsal.Report{}
	for _, r := range all {
		w.checkProof(r)
		if r.Kind == string(issuance.DeliverReceipt) {
			if earlier, twice := receipts[r.SourceFile]; twice && earlier.Verdict == r.Verdict && sameFile(earlier, r) {
				w.Errorf("%s has the same receipt twice, %s and %s", r.SourceFile, earlier.File, r.File)
			}
			receipts[r.SourceFile] = r
		}
	}
	last := lastEditions(all)
	for _, f := range w.bank.files {
		verdict := "accepted"
		if f.refused != "" {
			verdict = "refused"
		}
		if r := receipts[f.name]; r.Verdict != verdict || f.refused != "" && r.Code != string(f.refused) {
			w.Errorf("the receipt of %s says %q %q, want %s %s", f.name, r.Verdict, r.Code, verdict, f.refused)
		}
		if r := last[f.name]; r != nil && f.refused == "" {
			w.checkReconciliation(f, r, orders[f.name])
		} else if f.refused == "" {
			w.Errorf("%s has no reconciliation", f.name)
		} else if r != nil {
			w.Errorf("%s was refused and has a reconciliation", f.name)
		}
	}
}

func sameFile(a, b rehearsal.Report) bool { return a.SHA256 == b.SHA256 }

// checkProof holds a report against its own control file.
func (w *town) checkProof(r rehearsal.Report) {
	w.Helper()
	content, err := os.ReadFile(r.Path)
	must(w.T, err)
	sum := sha256.Sum256(content)
	if hex.EncodeToString(sum[:]) != r.SHA256 || int64(len(content)) != r.Size || filepath.Base(r.Path) != r.File {
		w.Errorf("report %s is not what its control file says", r.File)
	}
	if !r.Balanced {
		w.Errorf("report %s does not balance", r.File)
	}
	var rows int64
	if err := rehearsal.EachRow(r.Path, func(map[string]string) { rows++ }); err != nil || rows != r.Rows {
		w.Errorf("report %s has %d rows, its control file says %d (%v)", r.File, rows, r.Rows, err)
	}
}

func (w *town) checkReconciliation(f *dropped, r *rehearsal.Report, orders []issuance.Order) {
	w.Helper()
	i := 0
	err := rehearsal.EachRow(r.Path, func(row map[string]string) {
		if i++; i > len(orders) || i > len(f.rows) {
			return
		}
		o := orders[i-1]
		if f.rows[i-1].state != issuance.Rejected && row["order_id"] != f.rows[i-1].orderID ||
			row["disposition"] != o.Disposition() || row["operation_id"] != o.OperationID ||
			row["production_status"] != string(o.Production.Status) {
			w.Errorf("%s line %d says %s %s %s, the store %s %s %s", r.File, i+1,
				row["order_id"], row["disposition"], row["production_status"], o.OrderID, o.Disposition(), o.Production.Status)
		}
	})
	must(w.T, err)
	if i != len(f.rows) {
		w.Errorf("%s has %d rows, the order file %d", r.File, i, len(f.rows))
	}
}

// checkDrop looks for every file that was dropped: once, where it belongs, and
// unchanged.
func (w *town) checkDrop() {
	w.Helper()
	where := map[string][]string{}
	for _, dir := range []string{"drop", "archive", "quarantine"} {
		for _, name := range w.names(dir) {
			if !strings.Contains(name, ".receipt.") {
				where[name] = append(where[name], dir)
			}
		}
	}
	for _, f := range w.bank.files {
		dir := "archive"
		if f.refused != "" {
			dir = "quarantine"
		}
		for _, name := range []string{f.name, f.name + ".ctl"} {
			if at := where[name]; len(at) != 1 || at[0] != dir {
				w.Errorf("%s is in %v, want %s", name, at, dir)
			}
			delete(where, name)
		}
		content, err := os.ReadFile(w.world.Path("sftp/" + dir + "/" + f.name))
		if err != nil || sha256.Sum256(content) != f.sum {
			w.Errorf("%s is not what was dropped (%v)", f.name, err)
		}
	}
	for name, at := range where {
		w.Errorf("%s in %v is nobody's", name, at)
	}
}
