package report_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/ageing"
	"cardbatch/internal/drop"
	"cardbatch/internal/drop/localdir"
	"cardbatch/internal/drop/sftp"
	"cardbatch/internal/drop/sftp/sftptest"
	"cardbatch/internal/issuance"
	"cardbatch/internal/report"
	"cardbatch/internal/secret"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
)

// house is a stage on the real store and a real drop.
type house struct {
	store   *store.Store
	session string
	stage   *report.Stage
	dir     string
	now     time.Time
}

func openHouse(tb testing.TB) *house {
	tb.Helper()
	dir := tb.TempDir()
	local, err := localdir.New(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = local.Close() })
	return openHouseOn(tb, dir, local)
}

func openHouseOn(tb testing.TB, dir string, files report.Drop) *house {
	tb.Helper()
	h := &house{dir: dir, now: time.Date(2026, 3, 1, 22, 15, 3, 0, time.UTC)}
	now := func() time.Time { return h.now }
	h.store = storetest.SQLite(tb).Open(tb, now)
	var err error
	if h.session, err = h.store.StartSession(tb.Context(), "test"); err != nil {
		tb.Fatal(err)
	}
	for _, sub := range []string{"reports", "quarantine"} {
		if err := os.Mkdir(filepath.Join(h.dir, sub), 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	reports := report.Place{Name: "local:reports", Dir: "reports", Drop: files}
	h.stage, err = report.New(report.Config{
		Sources: []report.Source{{Name: "core", Reports: reports,
			Quarantine: report.Place{Name: "local:quarantine", Dir: "quarantine", Drop: files}}},
		Issuers: []report.Issuer{{ID: "demo-bank", Reports: reports, Ageing: &ageing.Rules{
			Zone: time.UTC, EndedFor: 30 * 24 * time.Hour, UnmatchedAfter: 24 * time.Hour,
			Default: ageing.Limits{SilentAfterDays: 5, HoldDays: 2, UnresolvedAfter: 4 * time.Hour}}}},
		Now: now,
	}, h.store, zerolog.Nop())
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// take puts a file of n orders, every tenth of them rejected, into the store.
func (h *house) take(tb testing.TB, name string, n int, to issuance.BatchState, why issuance.Why) issuance.BatchNo {
	tb.Helper()
	ctx := tb.Context()
	b, err := h.store.ClaimFile(ctx, issuance.Batch{Source: "core", IssuerID: "demo-bank", FileName: name,
		BusinessDate: "2026-03-01"})
	if err != nil {
		tb.Fatal(err)
	}
	for first := 1; first <= n; first += 2000 {
		var orders []issuance.NewOrder
		for row := first; row <= min(n, first+1999); row++ {
			orders = append(orders, newOrder(b.No, name, int64(row)))
		}
		if err := h.store.AddOrders(ctx, b.No, orders); err != nil {
			tb.Fatal(err)
		}
	}
	b.Rows, b.Size, b.SHA256 = int64(n), 4711, strings.Repeat("ab", 32)
	b.Control = &issuance.Control{File: name, Rows: int64(n), Sequence: int64(b.No), BusinessDate: "2026-03-01"}
	if err := h.store.DecideBatch(ctx, b, to, why); err != nil {
		tb.Fatal(err)
	}
	return b.No
}

func newOrder(no issuance.BatchNo, name string, row int64) issuance.NewOrder {
	ref := issuance.NewRef(no, row)
	o := issuance.NewOrder{Payload: []byte("sealed"), Order: issuance.Order{
		Ref: ref, Line: row + 1, IssuerID: "demo-bank", OrderID: fmt.Sprintf("ORD-%s-%07d", strings.TrimSuffix(name, ".csv"), row),
		CardID: fmt.Sprintf("card-%d-%07d", no, row), ConsumerID: fmt.Sprintf("cons-%d-%07d", no, row),
		ProductID: "VISA_DEBIT_STD", Issuance: issuance.Creation, Urgency: issuance.Normal, MaskedPAN: "411111******1111",
		ContentMAC: []byte{byte(no), byte(row)}, State: issuance.Ready,
	}}
	if row%10 == 0 {
		o.State, o.Code, o.Reason, o.Payload = issuance.Rejected, issuance.PANInvalid, "the check digit is wrong", nil
		o.Errors = []issuance.RowError{{Ref: ref, Line: row + 1, Column: "pan", Code: issuance.PANInvalid,
			Text: "the check digit is wrong", Masked: "411111******1112"}}
	}
	return o
}

// submit claims everything that is ready and says that D1 has it.
func (h *house) submit(tb testing.TB) []issuance.Claim {
	tb.Helper()
	claims, err := h.store.ClaimReady(tb.Context(), "demo-bank", h.session, 1<<20)
	if err != nil {
		tb.Fatal(err)
	}
	var outcomes []issuance.Outcome
	for _, c := range claims {
		outcomes = append(outcomes, issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Submitted, OperationID: "op-" + c.OrderID})
	}
	if err := h.store.RecordOutcomes(tb.Context(), h.session, outcomes); err != nil {
		tb.Fatal(err)
	}
	return claims
}

func (h *house) ship(tb testing.TB, claims ...issuance.Claim) {
	tb.Helper()
	n := issuance.Notification{IssuerID: "demo-bank", Digest: []byte(h.now.String()), Body: []byte("sealed"), ReceivedAt: h.now}
	for _, c := range claims {
		n.Operations = append(n.Operations, issuance.Operation{OperationID: "op-" + c.OrderID, Operation: issuance.OperationProduce,
			Status: issuance.OperationSuccessful, CardID: c.CardID, IssuerRequestID: c.OrderID, EndTime: h.now,
			Production: issuance.CardShipped, Shipment: issuance.Shipment{Carrier: "laposte", TrackingNumber: "LP" + c.CardID, Status: "InTransit"}})
	}
	if _, err := h.store.ApplyNotification(tb.Context(), n); err != nil {
		tb.Fatal(err)
	}
}

func (h *house) run(tb testing.TB) report.Summary {
	tb.Helper()
	summary, err := h.stage.RunOnce(tb.Context(), report.Options{BusinessDate: h.now.Format(time.DateOnly)})
	if err != nil {
		tb.Fatal(err)
	}
	return summary
}

// column returns one column of a report, and its control file.
func (h *house) column(t *testing.T, name, column string) ([]string, report.Control) {
	t.Helper()
	file, err := os.Open(filepath.Join(h.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // opened for reading
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var cells []string
	for i, header := range records[0] {
		for _, record := range records[1:] {
			if header == column {
				cells = append(cells, record[i])
			}
		}
	}
	content, err := os.ReadFile(filepath.Join(h.dir, name+".ctl"))
	if err != nil {
		t.Fatal(err)
	}
	var c report.Control
	if err := json.Unmarshal(content, &c); err != nil {
		t.Fatal(err)
	}
	return cells, c
}

func TestOnTheRealStore(t *testing.T) {
	const rows = 2500 // more than the store reads at a time
	h := openHouse(t)
	h.take(t, "cards-1.csv", rows, issuance.BatchAccepted, issuance.Why{Stage: "intake"})
	refused := h.take(t, "cards-2.csv", 10, issuance.BatchRefused, issuance.Why{Stage: "intake", Code: issuance.TooManyRejects, Reason: "1 of 10"})
	if err := h.store.MarkArchived(t.Context(), refused, "quarantine/x_cards-2.csv"); err != nil {
		t.Fatal(err)
	}
	if got := h.run(t); got.Receipts != 3 || got.Reconciliations != 0 || got.Statuses != 1 || !got.Balanced() {
		t.Fatalf("after intake: %+v", got)
	}
	lines, c := h.column(t, "reports/cards-1.receipt.csv", "line")
	if got := lines[len(lines)-1]; got != "2501" || !c.Balanced || c.NextExpectedSequence != 2 || len(lines) != int(c.Rows) {
		t.Errorf("receipt: last line %s of %d, %+v", got, len(lines), c)
	}
	if codes, c := h.column(t, "quarantine/x_cards-2.receipt.csv", "code"); codes[len(codes)-1] != "PAN_INVALID" || c.Verdict != "refused" {
		t.Errorf("refused: %v %+v", codes, c)
	}

	claims := h.submit(t)
	h.now = h.now.Add(time.Hour)
	h.ship(t, claims[:2]...)
	if got := h.run(t); got.Receipts != 0 || got.Reconciliations != 1 || got.Statuses != 1 || !got.Balanced() {
		t.Fatalf("settled: %+v", got)
	}
	dispositions, c := h.column(t, "reports/cards-1.reconciliation.csv", "disposition")
	if len(dispositions) != rows || dispositions[0] != "shipped" || dispositions[2] != "awaiting" || dispositions[9] != "rejected" || !c.Balanced {
		t.Errorf("%d lines, first %v, %+v", len(dispositions), dispositions[:10], c)
	}
	if ids, _ := h.column(t, "reports/status-demo-bank-2026-03-01-2.csv", "order_id"); len(ids) != 2 || ids[0] != claims[0].OrderID {
		t.Errorf("status: %v", ids)
	}

	h.now = h.now.Add(24 * time.Hour)
	h.ship(t, claims...)
	h.now = h.now.Add(time.Minute)
	if got := h.run(t); got.Receipts != 0 || got.Reconciliations != 1 || got.Statuses != 1 {
		t.Fatalf("closed: %+v", got)
	}
	if ids, _ := h.column(t, "reports/status-demo-bank-2026-03-02-1.csv", "order_id"); len(ids) != len(claims)-2 {
		t.Errorf("status has %d orders, want %d", len(ids), len(claims)-2)
	}
	if _, c := h.column(t, "reports/cards-1.reconciliation.r2.csv", "line"); c.State != "closed" || !c.Balanced {
		t.Errorf("last edition: %+v", c)
	}
	h.now = h.now.Add(100 * time.Hour)
	if got := h.run(t); got.Reconciliations != 0 || got.Receipts != 0 {
		t.Errorf("closed for long: %+v", got)
	}
}

func TestStrangersFileOnTheRealStore(t *testing.T) {
	h := openHouse(t)
	h.take(t, "cards-1.csv", 3, issuance.BatchAccepted, issuance.Why{Stage: "intake"})
	if err := os.WriteFile(filepath.Join(h.dir, "reports/cards-1.receipt.csv"), []byte("a stranger's"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run(t)
	if _, c := h.column(t, "reports/cards-1.receipt.r2.csv", "line"); c.Revision != 2 {
		t.Errorf("control file: %+v", c)
	}
	if got := h.run(t); got.Receipts != 0 {
		t.Errorf("the second run: %+v", got)
	}
}

func TestSFTPServerIsDownForAWhile(t *testing.T) {
	dir := t.TempDir()
	server, err := sftptest.Start(sftptest.Config{Dir: dir, Users: []sftptest.User{{Name: "cardbatch", Password: "not-a-real-password"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	files, err := sftp.New(sftp.Config{Address: server.Addr(), User: "cardbatch", Password: secret.New("not-a-real-password"),
		HostKeys: []string{server.Fingerprint()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	h := openHouseOn(t, dir, files)
	h.take(t, "cards-1.csv", 30, issuance.BatchAccepted, issuance.Why{Stage: "intake"})
	h.take(t, "cards-2.csv", 30, issuance.BatchAccepted, issuance.Why{Stage: "intake"})

	server.Stop()
	summary, err := h.stage.RunOnce(t.Context(), report.Options{BusinessDate: "2026-03-01"})
	if !errors.Is(err, drop.ErrUnavailable) || summary.Pending != 4 || summary.Files() != 0 {
		t.Fatalf("the server is down: %+v, %v", summary, err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if got := h.run(t); got.Receipts != 2 || got.Statuses != 1 || got.Pending != 0 {
		t.Errorf("the server is back: %+v", got)
	}
	if lines, c := h.column(t, "reports/cards-2.receipt.csv", "line"); len(lines) != int(c.Rows) || !c.Balanced {
		t.Errorf("receipt: %d lines, %+v", len(lines), c)
	}
}

// BenchmarkFromTheStore writes each kind of report on one batch of b.N orders
// that are all shipped: go test -bench Store -benchtime 100000x.
func BenchmarkFromTheStore(b *testing.B) {
	for _, kind := range report.Kinds() {
		b.Run(kind, func(b *testing.B) {
			h := openHouse(b)
			h.take(b, "cards-1.csv", b.N, issuance.BatchAccepted, issuance.Why{Stage: "intake"})
			h.ship(b, h.submit(b)...)
			b.ReportAllocs()
			b.ResetTimer()
			summary, err := h.stage.RunOnce(b.Context(), report.Options{Kinds: []string{kind}})
			if err != nil || summary.Files() != 1 {
				b.Fatal(summary, err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
