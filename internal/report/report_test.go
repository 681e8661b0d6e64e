package report

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
)

const (
	receiptKind        = string(issuance.DeliverReceipt)
	reconciliationKind = string(issuance.DeliverReconciliation)
	statusKind         = string(issuance.DeliverStatus)
	exceptionsKind     = string(issuance.DeliverExceptions)
)

func TestReceiptOfAnAcceptedFile(t *testing.T) {
	n := newNight(t)
	bad := ordered("ORD-2", issuance.Rejected)
	repeat := ordered("ORD-1", issuance.Duplicate)
	repeat.Code, repeat.Reason = issuance.OrderRepeated, "identical repeat of cards-1.csv line 2"
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Ready), bad, repeat)
	n.reject(no, 2, "pan", issuance.PANInvalid, "the check digit is wrong", "411111******1112")
	n.reject(no, 2, "expiry", issuance.ExpiryInvalid, "not a month", "")

	if got := n.run(receiptKind); got.Receipts != 1 || got.Files() != 1 {
		t.Errorf("summary %+v", got)
	}
	rows := n.rows("reports/cards-1.receipt.csv")
	facts := map[string]string{}
	var rowErrors []map[string]string
	for _, row := range rows {
		if row["record"] == "row" {
			delete(row, "record")
			rowErrors = append(rowErrors, row)
			continue
		}
		facts[row["record"]+" "+row["field"]] = row["value"]
	}
	wantFacts := map[string]string{
		"file verdict": "accepted", "file file": "cards-1.csv", "file batch": "20260301T221503-000001",
		"file issuer_id": bank, "file business_date": firstDay, "file received_at": "2026-03-01T22:15:03Z",
		"file sha256": strings.Repeat("ab", 32), "file control_totals": "present", "file sequence": "1",
		"file next_expected_sequence": "2",
		"total rows":                  "3", "total accepted": "1", "total rejected": "1", "total duplicate": "1",
	}
	if diff := cmp.Diff(wantFacts, facts); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	wantRows := []map[string]string{
		{"line": "3", "order_id": "ORD-2", "field": "pan", "value": "411111******1112", "code": "PAN_INVALID", "text": "the check digit is wrong"},
		{"line": "3", "order_id": "ORD-2", "field": "expiry", "value": "", "code": "EXPIRY_INVALID", "text": "not a month"},
		{"line": "4", "order_id": "ORD-1", "field": "", "value": "", "code": "ORDER_REPEATED", "text": "identical repeat of cards-1.csv line 2"},
	}
	if diff := cmp.Diff(wantRows, rowErrors); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}

	c := n.control("reports/cards-1.receipt.csv")
	if c.Verdict != "accepted" || c.Sequence != 1 || c.NextExpectedSequence != 2 || !c.Balanced || string(c.Echo) == "" {
		t.Errorf("control file: %+v", c)
	}
	if c.Rows != int64(len(rows)) {
		t.Errorf("control file says %d rows, the receipt has %d", c.Rows, len(rows))
	}
	if got := n.run(receiptKind); got.Files() != 0 {
		t.Errorf("the second run wrote %d files", got.Files())
	}
}

func TestReceiptOfARefusedFileGoesToBothPlaces(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchRefused,
		issuance.Why{Code: issuance.TooManyRejects, Reason: "2 of 2 rows break a rule"},
		ordered("ORD-1", issuance.Ready), ordered("ORD-2", issuance.Ready))
	n.reject(no, 2, "city", issuance.RequiredMissing, "there must be a value", "")
	if got := n.run(); got.Receipts != 2 || got.Reconciliations != 0 || got.Statuses != 1 {
		t.Errorf("summary %+v", got)
	}
	receipt := n.read("reports/cards-1.receipt.csv")
	if receipt != n.read("quarantine/20260301T221503-000001_cards-1.receipt.csv") {
		t.Error("the two receipts differ")
	}
	rows := parse(t, receipt)
	if rows[0]["value"] != "refused" || rows[0]["code"] != "TOO_MANY_REJECTS" || !strings.Contains(rows[0]["text"], "2 of 2 rows") {
		t.Errorf("verdict: %v", rows[0])
	}
	if last := rows[len(rows)-1]; last["line"] != "3" || last["field"] != "city" {
		t.Errorf("row error: %v", last)
	}
	want := Totals{{Name: "accepted"}, {Name: "duplicate"}, {Name: "rejected", Count: 2}, {Name: "rows", Count: 2}}
	c := n.control("quarantine/20260301T221503-000001_cards-1.receipt.csv")
	if diff := cmp.Diff(want, c.Totals); diff != "" || c.NextExpectedSequence != 1 {
		t.Errorf("totals (-want +got):\n%s next expected %d, want 1", diff, c.NextExpectedSequence)
	}
	if got := n.run(receiptKind); got.Files() != 0 {
		t.Errorf("the second run wrote %d files", got.Files())
	}
}

// What the sender reads first must be true of his file, and be the thing to do.
func TestReceiptsSayWhatBecameOfTheFile(t *testing.T) {
	gap := issuance.Why{Code: issuance.SequenceGap, Reason: "sequence 2 was expected after 1, and this is 9"}
	tests := map[string]struct {
		to     issuance.BatchState
		why    issuance.Why
		orders []issuance.Order
		want   string
	}{
		"taken": {issuance.BatchAccepted, issuance.Why{}, []issuance.Order{ordered("ORD-1", issuance.Ready)},
			"the file is taken; its accepted rows are on their way to D1"},
		"with a gap": {issuance.BatchAccepted, gap, []issuance.Order{ordered("ORD-1", issuance.Ready)},
			"the file is taken; its accepted rows are on their way to D1; sequence 2 was expected after 1, and this is 9"},
		"nil return": {issuance.BatchAccepted, issuance.Why{}, nil, "the file is taken; it has no rows"},
		"nothing good": {issuance.BatchAccepted, issuance.Why{}, []issuance.Order{ordered("ORD-1", issuance.Rejected)},
			"the file is taken, but none of its rows: correct them and send them again in a new file"},
		"only repeats": {issuance.BatchAccepted, issuance.Why{}, []issuance.Order{ordered("ORD-1", issuance.Duplicate)},
			"the file is taken; all of its rows are repeats of orders that we already have"},
		"cut": {issuance.BatchRefused, issuance.Why{Code: issuance.Truncated, Reason: "3 rows are missing"}, nil,
			"nothing of the file is taken; correct it and send it again: 3 rows are missing"},
		"sent twice": {issuance.BatchRefused, issuance.Why{Code: issuance.DuplicateContent, Reason: "it is batch 1"}, nil,
			"nothing of the file is taken, because we have it already; there is nothing to send again: it is batch 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := newNight(t)
			n.take("cards-1.csv", tt.to, tt.why, tt.orders...)
			n.run(receiptKind)
			verdict := n.rows("reports/cards-1.receipt.csv")[0]
			if verdict["text"] != tt.want || verdict["code"] != string(tt.why.Code) {
				t.Errorf("%s %q, want %q", verdict["code"], verdict["text"], tt.want)
			}
		})
	}
}

// A file may be settled before its receipt is written, at once when no row of
// it is good: that is no new verdict, and what was said of it stays.
func TestASettledFileKeepsWhatWasSaidOfIt(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{Code: issuance.SequenceGap, Reason: "9 came after 1"},
		ordered("ORD-1", issuance.Rejected))
	n.decide(no, issuance.BatchSettled)
	n.decide(no, issuance.BatchClosed)
	n.run(receiptKind)
	if c := n.control("reports/cards-1.receipt.csv"); c.Code != issuance.SequenceGap || c.Reason != "9 came after 1" || c.State != "closed" {
		t.Errorf("control file %+v", c)
	}
}

func TestQuarantineReceiptWaitsForTheFile(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchRefused, issuance.Why{Code: issuance.Truncated})
	archived := n.store.batches[no-1].Archived
	n.store.batches[no-1].Archived = ""
	for _, want := range []int{1, 0} {
		if got := n.run(receiptKind).Receipts; got != want {
			t.Errorf("before it is archived: %d receipts, want %d", got, want)
		}
	}
	n.store.batches[no-1].Archived = archived
	if got := n.run(receiptKind).Receipts; got != 1 || len(n.files("quarantine")) != 2 {
		t.Errorf("archived: %d receipts, quarantine %v", got, n.files("quarantine"))
	}
}

func TestReceiptForEachVerdict(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchHeld, issuance.Why{Code: issuance.SequenceGap, Reason: "4 came after 2"},
		ordered("ORD-1", issuance.Ready))
	n.run(receiptKind)
	n.pass(time.Hour)
	n.decide(no, issuance.BatchAccepted)
	n.run(receiptKind)
	n.run(receiptKind)
	want := []string{"cards-1.receipt.csv", "cards-1.receipt.csv.ctl", "cards-1.receipt.r2.csv", "cards-1.receipt.r2.csv.ctl"}
	if diff := cmp.Diff(want, n.files("reports")); diff != "" {
		t.Fatalf("files (-want +got):\n%s", diff)
	}
	first, second := n.control("reports/cards-1.receipt.csv"), n.control("reports/cards-1.receipt.r2.csv")
	if first.Verdict != "held" || first.Code != issuance.SequenceGap || second.Verdict != "accepted" || second.Revision != 2 {
		t.Errorf("held: %+v\naccepted: %+v", first, second)
	}
	n.pass(time.Hour)
	n.decide(no, issuance.BatchSettled)
	n.pass(time.Hour)
	n.decide(no, issuance.BatchAccepted) // an operator resubmits an order
	if got := n.run(receiptKind); got.Files() != 0 {
		t.Error("opening a settled batch again is no new verdict")
	}
}

func TestSameFileNameAgainTakesTheNextName(t *testing.T) {
	n := newNight(t)
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Ready))
	n.take("cards-1.csv", issuance.BatchRefused, issuance.Why{Code: issuance.DuplicateName, Reason: "taken before"})
	n.run(receiptKind)
	if c := n.control("reports/cards-1.receipt.csv"); c.Verdict != "accepted" {
		t.Errorf("first receipt: %+v", c)
	}
	if c := n.control("reports/cards-1.receipt.r2.csv"); c.Verdict != "refused" || c.Revision != 2 {
		t.Errorf("second receipt: %+v", c)
	}
	if got := n.files("quarantine"); len(got) != 2 || got[0] != "20260301T221503-000002_cards-1.receipt.csv" {
		t.Errorf("quarantine: %v", got)
	}
}

func TestQuietSourceHasNoControlTotals(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Ready))
	n.store.batches[no-1].Control = nil
	n.run(receiptKind)
	c := n.control("reports/cards-1.receipt.csv")
	if c.ControlTotals != "none" || c.NextExpectedSequence != 0 || c.Sequence != 0 || c.Echo != nil {
		t.Errorf("control file: %+v", c)
	}
	if !strings.Contains(n.read("reports/cards-1.receipt.csv"), "no control totals") {
		t.Error("the receipt does not say that there are no control totals")
	}
}

// editions drives a batch from acceptance to closing and checks what each run writes.
func TestEditionsOfAReconciliation(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted), ordered("ORD-2", issuance.Submitted))
	step := func(what string, want int) {
		t.Helper()
		if got := n.run(reconciliationKind).Reconciliations; got != want {
			t.Fatalf("%s: %d reconciliations, want %d", what, got, want)
		}
	}
	step("accepted, orders on their way", 0)
	n.pass(time.Minute)
	n.decide(no, issuance.BatchSettled)
	step("settled", 1)
	step("nothing new", 0)
	n.pass(time.Hour)
	n.hear(no, 1, issuance.CardShipped, issuance.Shipment{Carrier: "laposte", TrackingNumber: "LP0001"})
	step("news, but the last edition is young", 0)
	n.pass(19 * time.Hour)
	step("the last edition is 20 hours old", 1)
	n.pass(24 * time.Hour)
	n.store.addEvent(issuance.Event{Batch: no + 1, Kind: issuance.KindBatch}) // of another batch
	step("old, but nothing new", 0)
	if last := n.store.deliveries[1].UpToEvent; last != int64(len(n.store.events)) {
		t.Errorf("the second edition covers %d events of %d: the next run reads them again", last, len(n.store.events))
	}
	n.hear(no, 2, issuance.CardShipped, issuance.Shipment{})
	n.pass(time.Minute)
	n.decide(no, issuance.BatchClosed)
	n.pass(time.Minute)
	step("closed", 1)
	n.pass(100 * time.Hour)
	step("closed for long", 0)

	want := []string{
		"cards-1.reconciliation.csv", "cards-1.reconciliation.csv.ctl",
		"cards-1.reconciliation.r2.csv", "cards-1.reconciliation.r2.csv.ctl",
		"cards-1.reconciliation.r3.csv", "cards-1.reconciliation.r3.csv.ctl",
	}
	if diff := cmp.Diff(want, n.files("reports")); diff != "" {
		t.Fatalf("files (-want +got):\n%s", diff)
	}
	second := n.rows("reports/cards-1.reconciliation.r2.csv")
	if second[0]["disposition"] != "shipped" || second[0]["tracking_number"] != "LP0001" || second[1]["disposition"] != "awaiting" {
		t.Errorf("second edition: %v", second)
	}
	last := n.control("reports/cards-1.reconciliation.r3.csv")
	if last.State != "closed" || last.Verdict != "accepted" || last.Revision != 3 || !last.Balanced {
		t.Errorf("last edition: %+v", last)
	}
}

func TestClosedAtOnceGetsOneReconciliation(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Rejected))
	n.decide(no, issuance.BatchSettled)
	n.decide(no, issuance.BatchClosed)
	n.pass(time.Second)
	for _, want := range []int{1, 0} {
		if got := n.run(reconciliationKind).Reconciliations; got != want {
			t.Errorf("%d reconciliations, want %d", got, want)
		}
		n.pass(48 * time.Hour)
	}
}

func TestBatchThatDoesNotSettleIsReportedAfterADay(t *testing.T) {
	n := newNight(t)
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Unknown))
	n.pass(19 * time.Hour)
	if got := n.run(reconciliationKind).Reconciliations; got != 0 {
		t.Errorf("after 19 hours: %d reconciliations", got)
	}
	n.pass(time.Hour)
	if got := n.run(reconciliationKind).Reconciliations; got != 1 {
		t.Errorf("after 20 hours: %d reconciliations", got)
	}
	if rows := n.rows("reports/cards-1.reconciliation.csv"); rows[0]["disposition"] != "unknown" {
		t.Errorf("rows: %v", rows)
	}
}

func TestOutOfBalanceIsWrittenAndSaid(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted), ordered("ORD-2", issuance.Submitted))
	n.store.orders[no] = n.store.orders[no][:1]
	n.decide(no, issuance.BatchSettled)
	summary := n.run(reconciliationKind)
	if summary.Balanced() || len(summary.Unbalanced) != 1 || summary.Unbalanced[0] != "cards-1.reconciliation.csv" {
		t.Errorf("summary %+v", summary)
	}
	c := n.control("reports/cards-1.reconciliation.csv")
	if c.Balanced || len(c.Breaks) == 0 || c.Breaks[0] != "rows = sum of the states: 2 is not 1" {
		t.Errorf("control file: %+v", c)
	}
	if !strings.Contains(n.log.String(), `"level":"error"`) {
		t.Error("nothing in the log")
	}
}

func TestStatusFilesFollowEachOther(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted), ordered("ORD-2", issuance.Submitted))
	n.hear(no, 2, issuance.DataPrepared, issuance.Shipment{})
	n.run(statusKind)
	n.run(statusKind) // nil
	n.pass(24 * time.Hour)
	n.hear(no, 1, issuance.CardShipped, issuance.Shipment{Carrier: "usps", TrackingNumber: "9400"})
	n.run(statusKind)

	want := []string{"status-demo-bank-2026-03-01-1.csv", "status-demo-bank-2026-03-01-2.csv", "status-demo-bank-2026-03-02-1.csv"}
	wantOrders := []string{"ORD-2", "", "ORD-1"}
	for i, name := range want {
		var ids []string
		for _, row := range n.rows("reports/" + name) {
			ids = append(ids, row["order_id"])
			if row["source_file"] != "cards-1.csv" || row["batch"] == "" {
				t.Errorf("%s: %v", name, row)
			}
		}
		if got := strings.Join(ids, " "); got != wantOrders[i] {
			t.Errorf("%s has %q, want %q", name, got, wantOrders[i])
		}
		c := n.control("reports/" + name)
		if !c.Balanced || c.Rows != int64(len(ids)) || c.Kind != "status" || c.Batch != "" || c.BusinessDate != name[17:27] {
			t.Errorf("%s: control file %+v", name, c)
		}
	}
}

func TestControlFileProvesTheReport(t *testing.T) {
	n := newNight(t)
	no := n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted))
	n.decide(no, issuance.BatchSettled)
	n.run()
	for _, name := range n.files("reports") {
		if strings.HasSuffix(name, ".ctl") {
			continue
		}
		content, c := n.read("reports/"+name), n.control("reports/"+name)
		sum := sha256.Sum256([]byte(content))
		if c.SHA256 != hex.EncodeToString(sum[:]) || c.Size != int64(len(content)) || c.File != name {
			t.Errorf("%s: %+v", name, c)
		}
		if got := int64(strings.Count(content, "\n")) - 1; got != c.Rows {
			t.Errorf("%s has %d lines after the header, its control file says %d", name, got, c.Rows)
		}
	}
	for _, d := range n.store.deliveries {
		if d.DeliveredAt.IsZero() || d.SHA256 == "" || d.Size == 0 {
			t.Errorf("delivery not marked: %+v", d)
		}
	}
}

func TestOneDeadDestinationDoesNotStopTheOthers(t *testing.T) {
	n := newNight(t)
	dead := &faulty{Drop: n.drop, fault: func(string) error { return drop.ErrUnavailable }}
	n.cfg.Sources = append([]Source{{Name: "branch",
		Reports:    Place{Name: "dead:reports", Dir: "reports", Drop: dead},
		Quarantine: Place{Name: "dead:quarantine", Dir: "quarantine", Drop: dead}}}, n.cfg.Sources...)
	tries := 0
	dead.fault = func(string) error { tries++; return drop.ErrUnavailable }
	for _, name := range []string{"branch-1.csv", "branch-2.csv"} {
		n.store.batches[n.take(name, issuance.BatchAccepted, issuance.Why{})-1].Source = "branch"
	}
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{})

	summary, err := n.stage().RunOnce(t.Context(), Options{Kinds: []string{receiptKind}})
	if !errors.Is(err, drop.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if summary.Receipts != 1 || summary.Pending != 2 || tries != 1 {
		t.Errorf("summary %+v after %d tries of the dead one", summary, tries)
	}
	dead.fault = func(string) error { return nil }
	if got := n.run(receiptKind); got.Receipts != 2 || got.Pending != 0 {
		t.Errorf("once it is back: %+v", got)
	}
}

func TestAnotherRunPlansAtTheSameTime(t *testing.T) {
	n := newNight(t)
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{})
	other := n.stage()
	n.store.fault = func(op string) error {
		if op == "Deliveries" { // this run has read the ledger, and now the other one plans
			n.store.fault = func(string) error { return nil }
			_, err := other.RunOnce(t.Context(), Options{Kinds: []string{receiptKind}})
			return err
		}
		return nil
	}
	if got := n.run(receiptKind); len(n.store.deliveries) != 1 || len(n.files("reports")) != 2 {
		t.Errorf("summary %+v, deliveries %+v, files %v", got, n.store.deliveries, n.files("reports"))
	}
}

func TestOtherSourcesAreLeftAlone(t *testing.T) {
	n := newNight(t)
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{})
	n.store.fault = func(op string) error {
		if op == "PlanDelivery" {
			return errors.New("boom") // the plan is made, the run ends
		}
		return nil
	}
	if _, err := n.stage().RunOnce(t.Context(), Options{Kinds: []string{receiptKind}}); err == nil {
		t.Fatal("no error")
	}
	n.store.fault = func(string) error { return nil }
	n.cfg.Sources[0].Name = "other"
	if got := n.run(receiptKind); got.Files() != 0 || len(n.store.deliveries) != 1 {
		t.Errorf("summary %+v, %d deliveries", got, len(n.store.deliveries))
	}
}

func TestOptions(t *testing.T) {
	n := newNight(t)
	for _, opts := range []Options{{Kinds: []string{"alignment"}}, {BusinessDate: "01.03.2026"}} {
		if _, err := n.stage().RunOnce(t.Context(), opts); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: error %v", opts, err)
		}
	}
	if _, err := n.stage().RunOnce(t.Context(), Options{}); err != nil {
		t.Fatal(err)
	}
	if got := n.files("reports"); len(got) != 4 || got[0] != "exceptions-demo-bank-2026-03-01-1.csv" || got[2] != "status-demo-bank-2026-03-01-1.csv" {
		t.Errorf("files of a run without options: %v", got)
	}
	n.cfg.Sources[0].Quarantine = Place{}
	if _, err := New(n.cfg, n.store, zerolog.Nop()); err == nil {
		t.Error("a place without a drop is accepted")
	}
}
