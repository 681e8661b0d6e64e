package night_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cardbatch/internal/issuance"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/store"
)

// tb is what a proof needs of a test; also rapid's have it.
type tb interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

// proof compares what was dropped with what came of it.
type proof struct {
	tb   tb
	bank *bank
	dir  string // with drop, archive, quarantine and reports
}

// card is one that D1 makes: an entry of its ledger.
type card struct {
	orderID, operationID string
	status               string // of its production
}

// all compares everything, when everything has settled.
func (p *proof) all(s *store.Store, made []card) {
	p.tb.Helper()
	must(p.tb, s.Balance(p.tb.Context()))
	p.checkReports(p.checkStore(s, p.checkLedger(made)))
	p.checkDrop()
}

// lastEditions returns the last reconciliation of each file.
func lastEditions(all []rehearsal.Report) map[string]*rehearsal.Report {
	last := map[string]*rehearsal.Report{}
	for i, r := range all {
		if (r.Kind == string(issuance.DeliverReconciliation) || r.Kind == "change-"+string(issuance.DeliverReconciliation)) && (last[r.SourceFile] == nil || last[r.SourceFile].Revision < r.Revision) {
			last[r.SourceFile] = &all[i]
		}
	}
	return last
}

// visible lists a directory of the drop, without what is hidden.
func visible(t tb, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// checkLedger compares D1's orders with those that were dropped, both ways.
func (p *proof) checkLedger(made []card) map[string]card {
	p.tb.Helper()
	ledger := map[string]card{}
	for _, c := range made {
		if first, twice := ledger[c.orderID]; twice {
			p.tb.Errorf("order %s was produced twice, by %s and %s", c.orderID, first.operationID, c.operationID)
		}
		if !p.bank.ordered[c.orderID] {
			p.tb.Errorf("D1 was asked for %s, which no accepted file has as a good row", c.orderID)
		}
		ledger[c.orderID] = c
	}
	for id := range p.bank.ordered {
		if _, ok := ledger[id]; !ok {
			p.tb.Errorf("order %s is lost: D1 does not have it", id)
		}
	}
	return ledger
}

// fileOrders are the orders of an accepted file, as the store has them.
type fileOrders map[string][]issuance.Order

func (p *proof) checkStore(s *store.Store, ledger map[string]card) fileOrders {
	p.tb.Helper()
	batches, err := s.Batches(p.tb.Context(), issuance.BatchFilter{})
	must(p.tb, err)
	byName := map[string]issuance.Batch{}
	for _, b := range batches {
		if _, twice := byName[b.FileName]; twice {
			p.tb.Errorf("file %s was taken twice", b.FileName)
		}
		byName[b.FileName] = b
	}
	all := fileOrders{}
	for _, f := range p.bank.files {
		b, ok := byName[f.name]
		switch {
		case !ok:
			p.tb.Errorf("file %s was not taken", f.name)
		case f.refused != "":
			if b.State != issuance.BatchRefused || b.Code != f.refused {
				p.tb.Errorf("file %s is %s %s, want refused %s", f.name, b.State, b.Code, f.refused)
			}
		case b.State != issuance.BatchClosed:
			p.tb.Errorf("file %s is %s %s", f.name, b.State, b.Code)
		default:
			for o, err := range s.OrdersOfBatch(p.tb.Context(), b.No) {
				must(p.tb, err)
				all[f.name] = append(all[f.name], o)
			}
			p.checkRows(f, all[f.name], ledger)
		}
	}
	return all
}

func (p *proof) checkRows(f *dropped, orders []issuance.Order, ledger map[string]card) {
	p.tb.Helper()
	if len(orders) != len(f.rows) {
		p.tb.Errorf("file %s has %d rows, the store %d", f.name, len(f.rows), len(orders))
		return
	}
	for i, want := range f.rows {
		o := orders[i]
		if o.State != want.state {
			p.tb.Errorf("%s row %d, order %s, is %s %s, want %s", f.name, i+1, want.orderID, o.State, o.Code, want.state)
			continue
		}
		if want.state != issuance.Submitted {
			continue
		}
		e := ledger[want.orderID]
		if o.OrderID != want.orderID || o.OperationID != e.operationID || string(o.Production.Status) != e.status {
			p.tb.Errorf("order %s: we say operation %s and %s, D1 says %s and %s", want.orderID,
				o.OperationID, o.Production.Status, e.operationID, e.status)
		}
	}
}

// checkReports reads the reports as the back office does, and compares them
// with the files and the store.
func (p *proof) checkReports(orders fileOrders) {
	p.tb.Helper()
	all, err := rehearsal.ReadReports(filepath.Join(p.dir, "reports"))
	must(p.tb, err)
	receipts := map[string]rehearsal.Report{}
	for _, r := range all {
		p.checkProof(r)
		if r.Kind == string(issuance.DeliverReceipt) {
			if earlier, twice := receipts[r.SourceFile]; twice && earlier.Verdict == r.Verdict && sameFile(earlier, r) {
				p.tb.Errorf("%s has the same receipt twice, %s and %s", r.SourceFile, earlier.File, r.File)
			}
			receipts[r.SourceFile] = r
		}
	}
	last := lastEditions(all)
	for _, f := range p.bank.files {
		verdict := "accepted"
		if f.refused != "" {
			verdict = "refused"
		}
		if r := receipts[f.name]; r.Verdict != verdict || f.refused != "" && r.Code != string(f.refused) {
			p.tb.Errorf("the receipt of %s says %q %q, want %s %s", f.name, r.Verdict, r.Code, verdict, f.refused)
		}
		if r := last[f.name]; r != nil && f.refused == "" {
			p.checkReconciliation(f, r, orders[f.name])
		} else if f.refused == "" {
			p.tb.Errorf("%s has no reconciliation", f.name)
		} else if r != nil {
			p.tb.Errorf("%s was refused and has a reconciliation", f.name)
		}
	}
}

func sameFile(a, b rehearsal.Report) bool { return a.SHA256 == b.SHA256 }

// checkStatuses reads the status files in their order: the last one that names
// an order must say what we say. It is for nights that end with one.
func (p *proof) checkStatuses(s *store.Store) {
	p.tb.Helper()
	all, err := rehearsal.ReadReports(filepath.Join(p.dir, "reports"))
	must(p.tb, err)
	all = slices.DeleteFunc(all, func(r rehearsal.Report) bool { return r.Kind != string(issuance.DeliverStatus) })
	slices.SortFunc(all, func(a, b rehearsal.Report) int {
		return cmp.Or(cmp.Compare(a.Date, b.Date), cmp.Compare(a.Revision, b.Revision))
	})
	said := map[string]string{}
	for _, r := range all {
		must(p.tb, rehearsal.EachRow(r.Path, func(row map[string]string) { said[row["order_id"]] = row["production_status"] }))
	}
	for id := range p.bank.ordered {
		found, err := s.Order(p.tb.Context(), rehearsal.IssuerID, id)
		must(p.tb, err)
		if len(found) == 0 || said[id] != string(found[0].Production.Status) {
			p.tb.Errorf("the status files leave order %s at %q, of %d rows of it", id, said[id], len(found))
		}
	}
}

// checkProof holds a report against its own control file.
func (p *proof) checkProof(r rehearsal.Report) {
	p.tb.Helper()
	content, err := os.ReadFile(r.Path)
	must(p.tb, err)
	sum := sha256.Sum256(content)
	if hex.EncodeToString(sum[:]) != r.SHA256 || int64(len(content)) != r.Size || filepath.Base(r.Path) != r.File {
		p.tb.Errorf("report %s is not what its control file says", r.File)
	}
	if !r.Balanced {
		p.tb.Errorf("report %s does not balance", r.File)
	}
	var rows int64
	if err := rehearsal.EachRow(r.Path, func(map[string]string) { rows++ }); err != nil || rows != r.Rows {
		p.tb.Errorf("report %s has %d rows, its control file says %d (%v)", r.File, rows, r.Rows, err)
	}
}

func (p *proof) checkReconciliation(f *dropped, r *rehearsal.Report, orders []issuance.Order) {
	p.tb.Helper()
	i := 0
	err := rehearsal.EachRow(r.Path, func(row map[string]string) {
		if i++; i > len(orders) || i > len(f.rows) {
			return
		}
		o := orders[i-1]
		if f.rows[i-1].state != issuance.Rejected && row["order_id"] != f.rows[i-1].orderID ||
			row["disposition"] != o.Disposition() || row["operation_id"] != o.OperationID ||
			row["production_status"] != string(o.Production.Status) {
			p.tb.Errorf("%s line %d says %s %s %s, the store %s %s %s", r.File, i+1,
				row["order_id"], row["disposition"], row["production_status"], o.OrderID, o.Disposition(), o.Production.Status)
		}
	})
	must(p.tb, err)
	if i != len(f.rows) {
		p.tb.Errorf("%s has %d rows, the order file %d", r.File, i, len(f.rows))
	}
}

// checkDrop looks for every file that was dropped: once, where it belongs, and
// unchanged.
func (p *proof) checkDrop() {
	p.tb.Helper()
	where := map[string][]string{}
	for _, dir := range []string{"drop", "archive", "quarantine"} {
		for _, name := range visible(p.tb, filepath.Join(p.dir, dir)) {
			if !strings.Contains(name, ".receipt.") {
				where[name] = append(where[name], dir)
			}
		}
	}
	for _, f := range p.bank.files {
		dir := "archive"
		if f.refused != "" {
			dir = "quarantine"
		}
		for _, name := range []string{f.name, f.name + ".ctl"} {
			if at := where[name]; len(at) != 1 || at[0] != dir {
				p.tb.Errorf("%s is in %v, want %s", name, at, dir)
			}
			delete(where, name)
		}
		content, err := os.ReadFile(filepath.Join(p.dir, dir, f.name))
		if err != nil || sha256.Sum256(content) != f.sum {
			p.tb.Errorf("%s is not what was dropped (%v)", f.name, err)
		}
	}
	for name, at := range where {
		p.tb.Errorf("%s in %v is nobody's", name, at)
	}
}
