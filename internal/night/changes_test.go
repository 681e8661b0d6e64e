package night_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/store"
)

// desk is where the bank changes its mind: it drops change files in waves.
type desk struct {
	dir   string // of the drop
	rnd   *rand.Rand
	files []asked

	mu      sync.Mutex
	streets map[string]string // by digest of a body that went to D1
}

// asked is a change file that was dropped.
type asked struct {
	name string
	rows []wish
}

type wish struct {
	kind    issuance.ChangeType
	orderID string
	street  string
}

// The real daemon is killed while orders are cancelled, redirected and
// accelerated, before and after D1 has them.
func TestNightKilledWhileChanging(t *testing.T) {
	t.Parallel()
	theNight(t, 6, worlds/2, 0, nil, (*town).changing)
}

// changing drops a wave of changes, then has the daemon killed.
func (w *town) changing(moment string) bool {
	w.Helper()
	if w.desk == nil {
		w.desk = &desk{dir: w.world.Path("sftp/changes"), rnd: w.rnd, streets: map[string]string{}}
		w.trap.watch(w.desk.see)
		must(w.T, w.world.D1.Adjust(func(s *settings) { s.Day = time.Second })) // time to change one's mind
	}
	must(w.T, w.desk.dropOne(w.bank))
	if w.rnd.IntN(2) == 0 {
		moment = []string{"change arrives", "change lost", "change done"}[w.rnd.IntN(3)]
	}
	return w.one(moment)
}

// dropOne drops a file of changes of orders old and new; now and then several of
// one order.
func (d *desk) dropOne(b *bank) error {
	var ids []string
	for _, dropped := range b.files[max(0, len(b.files)-4):] {
		for _, row := range dropped.rows {
			if row.state == issuance.Submitted {
				ids = append(ids, row.orderID)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	f := asked{name: fmt.Sprintf("changes-%04d.csv", len(d.files)+1)}
	for range 4 + d.rnd.IntN(8) {
		wish := wish{orderID: ids[d.rnd.IntN(len(ids))], kind: []issuance.ChangeType{issuance.Cancel, issuance.Redirect, issuance.Redirect,
			issuance.Accelerate, issuance.AccelerateAndRedirect}[d.rnd.IntN(5)]}
		if wish.kind.Redirects() {
			wish.street = fmt.Sprintf("%d New Street %d", len(f.rows)+1, len(d.files)+1)
		}
		f.rows = append(f.rows, wish)
		if d.rnd.IntN(3) == 0 { // another one, of the same order
			ids = append(ids[:len(ids):len(ids)], slices.Repeat([]string{wish.orderID}, 1+len(ids)/4)...)
		}
	}
	d.files = append(d.files, f)
	file, err := rehearsal.NewChangeFile(f.name, int64(len(d.files)), b.date, f.content())
	if err != nil {
		return err
	}
	return file.Drop(filepath.Join(d.dir, "drop"))
}

func (f *asked) content() []orderfile.ChangeRow {
	rows := make([]orderfile.ChangeRow, len(f.rows))
	for i, w := range f.rows {
		row := &rows[i]
		row.OrderID, row.Change = w.orderID, string(w.kind)
		if w.street != "" {
			row.DeliveryLastName, row.DeliveryLine1 = cardholder.NewText("Testowa"), cardholder.NewText(w.street)
			row.DeliveryCity, row.DeliveryZipCode, row.DeliveryCountryCode = cardholder.NewText("Oyonnax"), cardholder.NewText("01100"), "FR"
		}
	}
	return rows
}

// see remembers where a request to D1 would have a card sent.
func (d *desk) see(r *http.Request) {
	if r.Method != http.MethodPost || strings.Contains(r.URL.Path, "oauth2") {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(err)))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var q struct {
		NewDeliveryAddress struct{ Line1 string }
		Shipment           struct{ DeliveryAddress struct{ Line1 string } }
	}
	if json.Unmarshal(body, &q) != nil {
		return
	}
	sum := sha256.Sum256(body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streets[hex.EncodeToString(sum[:])] = q.NewDeliveryAddress.Line1 + q.Shipment.DeliveryAddress.Line1
}

// street is where D1 sends a card.
func (d *desk) street(e *d1sim.LedgerEntry) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	street := d.streets[e.BodySHA256]
	for _, c := range e.Changes {
		if c.Accepted && issuance.ChangeType(c.Type).Redirects() {
			street = d.streets[c.BodySHA256]
		}
	}
	return street
}

// check compares the changes with D1's ledger and the reports, and takes out of
// the bank's expectations what was cancelled before D1 had it.
func (d *desk) check(t tb, b *bank, s *store.Store, ledger []d1sim.LedgerEntry, reports string) (summary string) {
	t.Helper()
	atD1 := map[string]*d1sim.LedgerEntry{}
	for i := range ledger {
		atD1[ledger[i].IssuerRequestID] = &ledger[i]
	}
	rows := map[string][]wish{}
	for _, f := range d.files {
		rows[f.name] = f.rows
	}
	tally := map[string]int{}
	batches, err := s.Batches(t.Context(), issuance.BatchFilter{})
	must(t, err)
	of := map[string][]issuance.Change{} // by order
	street := map[issuance.Ref]string{}
	for _, batch := range batches {
		if batch.Kind != issuance.BatchChanges {
			continue
		}
		n := 0
		for c, err := range s.ChangesOfBatch(t.Context(), batch.No) {
			must(t, err)
			w := rows[batch.FileName][n]
			if n++; c.OrderID != w.orderID || c.Type != w.kind {
				t.Errorf("%s row %d is %s of %s, want %s of %s", batch.FileName, n, c.Type, c.OrderID, w.kind, w.orderID)
			}
			tally[string(c.State)]++
			street[c.Ref] = w.street
			of[c.OrderID] = append(of[c.OrderID], c)
			if !c.State.Final() {
				t.Errorf("%s row %d is still %s", batch.FileName, n, c.State)
			}
		}
		if n != len(rows[batch.FileName]) {
			t.Errorf("%s has %d rows, the store %d", batch.FileName, len(rows[batch.FileName]), n)
		}
	}
	for id, changes := range of {
		slices.SortFunc(changes, func(a, b issuance.Change) int { return int(a.Ref - b.Ref) })
		checkChanges(t, b, id, changes, street, atD1[id], d)
	}
	d.checkReports(t, reports)
	return fmt.Sprint(tally)
}

// checkChanges holds the changes of one order against what D1 did.
func checkChanges(t tb, b *bank, id string, changes []issuance.Change, street map[issuance.Ref]string, e *d1sim.LedgerEntry, d *desk) {
	t.Helper()
	want, canceled, byUs := "", false, false
	for _, c := range changes {
		made := c.State == issuance.ChangeDone || c.State == issuance.ChangeApplied
		if made && c.Type.Redirects() {
			want = street[c.Ref]
		}
		if made && c.Type == issuance.Cancel {
			canceled, byUs = true, byUs || c.State == issuance.ChangeApplied
		}
		byItself := e != nil && c.Type == issuance.Cancel && e.Status == string(issuance.CardProdCanceled) // as D1 does now and then
		if c.State == issuance.ChangeDone && !byItself && (e == nil || !slices.ContainsFunc(e.Changes, func(x d1sim.LedgerChange) bool {
			return x.Accepted && x.Type == string(c.Type)
		})) {
			t.Errorf("%s of order %s is done, and D1 has not accepted it", c.Type, id)
		}
	}
	if e == nil {
		if !byUs {
			t.Errorf("order %s is not at D1, and was not cancelled here", id)
		}
		b.cancel(id)
		return
	}
	if byUs {
		t.Errorf("order %s was cancelled here and is at D1, %s", id, e.Status)
	}
	accepted := slices.ContainsFunc(e.Changes, func(x d1sim.LedgerChange) bool { return x.Accepted && x.Type == string(issuance.Cancel) })
	if accepted && !canceled || canceled && e.Status != string(issuance.CardProdCanceled) {
		t.Errorf("order %s: D1 has accepted a cancel: %v, we say %v, and it is %s", id, accepted, canceled, e.Status)
	}
	if got := d.street(e); want != "" && got != want {
		t.Errorf("order %s goes to %q, and the last redirect that was made said %q; D1 decided %v, we say %v", id, got, want, e.Changes, states(changes))
	}
}

func states(changes []issuance.Change) (all []string) {
	for _, c := range changes {
		all = append(all, fmt.Sprintf("%s %s %s, sent %d times", c.Type, c.State, c.Reason, c.Attempts))
	}
	return all
}

// checkReports holds the last reconciliation of each change file against it.
func (d *desk) checkReports(t tb, dir string) {
	t.Helper()
	all, err := rehearsal.ReadReports(dir)
	must(t, err)
	last := lastEditions(all)
	for _, f := range d.files {
		r := last[f.name]
		if r == nil {
			t.Errorf("%s has no reconciliation", f.name)
			continue
		}
		if !r.Balanced || r.Rows != int64(len(f.rows)) {
			t.Errorf("%s balances: %v, with %d rows of %d", r.File, r.Balanced, r.Rows, len(f.rows))
		}
		i := 0
		must(t, rehearsal.EachRow(r.Path, func(row map[string]string) {
			if i < len(f.rows) && (row["order_id"] != f.rows[i].orderID || row["change"] != string(f.rows[i].kind)) {
				t.Errorf("%s row %d is not that of the file", r.File, i+1)
			}
			i++
		}))
	}
	for _, dirs := range []string{"drop", "quarantine"} {
		if left := visible(t, filepath.Join(d.dir, dirs)); slices.ContainsFunc(left, func(n string) bool { return strings.HasSuffix(n, ".csv") }) {
			t.Errorf("change files are left in %q: %v", dirs, left)
		}
	}
}

// cancel takes back an order that was cancelled before D1 had it.
func (b *bank) cancel(id string) {
	delete(b.ordered, id)
	for _, f := range b.files {
		for i := range f.rows {
			if f.rows[i].orderID == id && f.rows[i].state == issuance.Submitted {
				f.rows[i].state = issuance.Cancelled
			}
		}
	}
}
