package night_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
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
	for _, p := range w.others {
		<-p.Done()
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
		<-time.After(50 * time.Millisecond)
	}
	w.Fatal("there is no store")
	return nil
}

// unsettled says what is still to happen, "" when nothing is.
func (w *town) unsettled(s *store.Store) string {
	w.Helper()
	if left := visible(w.T, w.world.Path("sftp/drop")); len(left) > 0 {
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
	dropped := len(w.bank.files)
	if w.desk != nil {
		dropped += len(w.desk.files)
	}
	if len(batches) < dropped {
		return fmt.Sprintf("%d of %d files are taken", len(batches), dropped)
	}
	if !w.world.D1.Idle() {
		return "D1 is at work"
	}
	var found []rehearsal.Report
	for _, dir := range []string{"sftp/reports", "sftp/changes/reports"} {
		some, err := rehearsal.ReadReports(w.world.Path(dir))
		if err != nil {
			return err.Error() // it is being written
		}
		found = append(found, some...)
	}
	receipts := map[string]bool{}
	for _, r := range found {
		if r.Kind == string(issuance.DeliverReceipt) {
			receipts[r.SourceFile] = true
		}
	}
	if len(receipts) < dropped {
		return fmt.Sprintf("%d of %d receipts are written", len(receipts), dropped)
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

// verify compares what was dropped with D1's ledger, the store, the reports
// and the drop.
func (w *town) verify() {
	w.Helper()
	w.checkD1()
	s := w.open()
	defer func() { must(w.T, s.Close()) }()
	w.checkAnswered(s)
	var made []card
	ledger := w.world.D1.Ledger()
	if w.desk != nil {
		w.Logf("changes: %s", w.desk.check(w.T, w.bank, s, ledger, w.world.Path("sftp/changes/reports")))
	}
	for _, e := range ledger {
		if e.Answer != http.StatusAccepted {
			w.Errorf("D1 refused order %s: %d %s %s", e.IssuerRequestID, e.Answer, e.ErrorCode, e.Error)
			continue
		}
		made = append(made, card{orderID: e.IssuerRequestID, operationID: e.OperationID, status: e.Status})
	}
	w.checkLog()
	(&proof{tb: w.T, bank: w.bank, dir: w.world.Path("sftp")}).all(s, made)
	if w.Failed() {
		w.FailNow()
	}
}

// checkLog looks for what the daemon survived and should not have met.
func (w *town) checkLog() {
	w.Helper()
	log, err := os.ReadFile(w.log.Name())
	must(w.T, err)
	for _, sign := range []string{"panic", "fatal error", "DATA RACE", "out of balance", "malformed", "is locked"} {
		if n := bytes.Count(log, []byte(sign)); n > 0 {
			w.Errorf("the daemon's log says %q %d times", sign, n)
		}
	}
}
