package report

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/ageing"
	"cardbatch/internal/drop/localdir"
	"cardbatch/internal/issuance"
)

// night is a made-up night with a drop in a temporary directory.
type night struct {
	t     *testing.T
	store *memory
	dir   string
	drop  *faulty
	now   time.Time
	cfg   Config
	log   *strings.Builder
	post  *post // nil: files are in the clear
}

const (
	bank      = "demo-bank"
	source    = "core"
	firstDay  = "2026-03-01"
	secondDay = "2026-03-02"
)

func newNight(t *testing.T) *night {
	t.Helper()
	n := &night{t: t, dir: t.TempDir(), log: &strings.Builder{}, now: time.Date(2026, 3, 1, 22, 15, 3, 0, time.UTC)}
	n.store = newMemory(func() time.Time { return n.now })
	for _, sub := range []string{"reports", "quarantine"} {
		if err := os.Mkdir(filepath.Join(n.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	local, err := localdir.New(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = local.Close() })
	n.drop = &faulty{Drop: local, fault: func(string) error { return nil }}
	reports := Place{Name: "sftp:reports", Dir: "reports", Drop: n.drop}
	n.cfg = Config{
		Sources: []Source{{Name: source, Reports: reports,
			Quarantine: Place{Name: "sftp:quarantine", Dir: "quarantine", Drop: n.drop}}},
		Issuers: []Issuer{{ID: bank, Reports: reports, Ageing: rules()}},
		Now:     func() time.Time { return n.now },
	}
	return n
}

// rules are those of a center that rests at weekends, an hour east of us.
func rules() *ageing.Rules {
	limits := ageing.Limits{SilentAfterDays: 3, HoldDays: 1, UnresolvedAfter: 4 * time.Hour}
	return &ageing.Rules{Zone: time.FixedZone("center", 3600), Calendar: weekend{}, Default: limits,
		EndedFor: 30 * 24 * time.Hour, UnmatchedAfter: 24 * time.Hour}
}

type weekend struct{}

func (weekend) Off(day time.Time) bool {
	return day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
}

func (n *night) stage() *Stage {
	n.t.Helper()
	s, err := New(n.cfg, n.store, zerolog.New(n.log))
	if err != nil {
		n.t.Fatal(err)
	}
	return s
}

// run runs the stage; without kinds, all of them.
func (n *night) run(kinds ...string) Summary {
	n.t.Helper()
	summary, err := n.stage().RunOnce(n.t.Context(), Options{Kinds: kinds, BusinessDate: n.now.Format(time.DateOnly)})
	if err != nil {
		n.t.Fatal(err)
	}
	return summary
}

func (n *night) pass(d time.Duration) { n.now = n.now.Add(d) }

// take adds a file with the given orders and decides on it.
func (n *night) take(name string, to issuance.BatchState, why issuance.Why, orders ...issuance.Order) issuance.BatchNo {
	no := issuance.BatchNo(len(n.store.batches) + 1)
	why.At, why.Stage = n.now, "intake"
	n.store.batches = append(n.store.batches, issuance.Batch{
		No: no, ID: n.now.Format("20060102T150405") + "-00000" + string(rune('0'+no)), Source: source, IssuerID: bank,
		FileName: name, State: issuance.BatchLoading, Rows: int64(len(orders)), Size: 1234, BusinessDate: firstDay,
		SHA256: strings.Repeat("ab", 32), ReceivedAt: n.now,
		Control: &issuance.Control{File: name, Rows: int64(len(orders)), Sequence: int64(no), BusinessDate: firstDay,
			Echo: json.RawMessage(`{"run":"EOD-17"}`)},
	})
	for i := range orders {
		orders[i].Ref, orders[i].Line, orders[i].IssuerID = issuance.NewRef(no, int64(i+1)), int64(i+2), bank
	}
	if to != issuance.BatchRefused {
		n.store.orders[no] = orders
	}
	n.store.transition(no, to, why)
	if to == issuance.BatchRefused {
		b := &n.store.batches[no-1]
		b.Archived = "quarantine/" + b.ID + "_" + name
	}
	return no
}

func (n *night) decide(no issuance.BatchNo, to issuance.BatchState) {
	n.store.transition(no, to, issuance.Why{At: n.now, Stage: "operator"})
}

func (n *night) reject(no issuance.BatchNo, row int64, column string, code issuance.Code, text, masked string) {
	n.store.rowErrors[no] = append(n.store.rowErrors[no], issuance.RowError{Ref: issuance.NewRef(no, row), Line: row + 1,
		Column: column, Code: code, Text: text, Masked: masked})
}

func (n *night) hear(no issuance.BatchNo, row int64, status issuance.ProductionStatus, shipment issuance.Shipment) {
	n.store.hear(issuance.NewRef(no, row), issuance.Operation{Operation: issuance.OperationProduce,
		Status: issuance.OperationSuccessful, Production: status, EndTime: n.now.Add(-time.Minute), DueDate: "2026-03-04",
		Site: "PERSO-1", Shipment: shipment}, n.now)
}

// ordered is an order of a VISA card in some state.
func ordered(id string, s issuance.State) issuance.Order {
	o := issuance.Order{OrderID: id, CardID: "card-" + id, ConsumerID: "cons-" + id, ProductID: "VISA_DEBIT_STD",
		Issuance: issuance.Creation, MaskedPAN: "411111******1111", State: s}
	if s == issuance.Submitted {
		o.Attempts, o.OperationID = 1, "op-"+id
		o.SubmittedAt = time.Date(2026, 3, 1, 22, 20, 0, 123456000, time.UTC)
	}
	return o
}

func (n *night) files(sub string) []string {
	n.t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.dir, sub))
	if err != nil {
		n.t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

func (n *night) read(name string) string {
	n.t.Helper()
	content, err := os.ReadFile(filepath.Join(n.dir, name))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(content)
}

func (n *night) write(name, content string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(content), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *night) control(name string) Control {
	n.t.Helper()
	var c Control
	if err := json.Unmarshal([]byte(n.read(name+".ctl")), &c); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// rows reads a report as a table of cells by column.
func (n *night) rows(name string) []map[string]string {
	n.t.Helper()
	return parse(n.t, n.read(name))
}

func parse(t *testing.T, content string) []map[string]string {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, cell := range record {
			row[records[0][i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}
