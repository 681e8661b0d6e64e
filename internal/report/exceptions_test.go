package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"cardbatch/internal/ageing"
	"cardbatch/internal/issuance"
)

const firstExceptions = "reports/exceptions-demo-bank-2026-03-01-1.csv"

// troubled has an order that needs a person, and one that does not.
func troubled(t *testing.T) *night {
	t.Helper()
	n := newNight(t)
	held := ordered("ORD-1", issuance.Held)
	held.Code, held.Reason = issuance.OutcomeUnclear, "=asked in vain"
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, held, ordered("ORD-2", issuance.Ready))
	return n
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	n := troubled(t)
	if got := n.run(exceptionsKind); got.Exceptions != 1 || got.Rows != 1 || got.Files() != 1 {
		t.Errorf("summary %+v", got)
	}
	want := []map[string]string{{
		"kind": "held", "order_id": "ORD-1", "batch": "20260301T221503-000001", "source_file": "cards-1.csv", "line": "2",
		"card_id": "card-ORD-1", "card_product_id": "VISA_DEBIT_STD", "masked_pan": "411111******1111", "disposition": "held",
		"production_status": "", "operation_id": "", "code": "OUTCOME_UNCLEAR", "text": "'=asked in vain", "times": "", "due_date": "",
		"since": "2026-03-01T22:15:03Z", "age_days": "0", "age_bucket": "0-1", "remedy": ageing.Held.Remedy(),
	}}
	if diff := cmp.Diff(want, n.rows(firstExceptions)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	c := n.control(firstExceptions)
	if !c.Balanced || c.Rows != 1 || c.Kind != exceptionsKind || c.BusinessDate != firstDay || c.IssuerID != bank || c.Batch != "" {
		t.Errorf("control file %+v", c)
	}
	counts := map[string]int64{}
	for _, term := range slices.Concat(c.Totals, c.Ageing, c.Products["VISA_DEBIT_STD"]) {
		counts[term.Name] += term.Count
	}
	if len(c.Totals) != 1+len(ageing.Kinds()) || len(c.Ageing) != len(ageing.Buckets()) || counts["held"] != 2 || counts["0-1"] != 1 || counts["refused"] != 0 {
		t.Errorf("totals %v, ages %v, products %v", c.Totals, c.Ageing, c.Products)
	}
}

// Silence would be ambiguous.
func TestNoExceptionsIsAFileToo(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.run(exceptionsKind)
	n.run(exceptionsKind) // asked for again
	for _, name := range []string{firstExceptions, "reports/exceptions-demo-bank-2026-03-01-2.csv"} {
		if got := n.rows(name); len(got) != 0 || strings.Count(n.read(name), "\n") != 1 {
			t.Errorf("%s: %v", name, got)
		}
		if c := n.control(name); c.Rows != 0 || !c.Balanced || len(c.Totals) != 1+len(ageing.Kinds()) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	n.checkLedger("after two runs")
}

func TestNoExceptionsWithoutRules(t *testing.T) {
	t.Parallel()
	n := troubled(t)
	n.cfg.Issuers[0].Ageing = nil
	if got := n.run(exceptionsKind); got.Files() != 0 || len(n.store.deliveries) != 0 {
		t.Errorf("summary %+v", got)
	}
}

// A file that was whole when the process died is the snapshot that counts,
// however the rows have gone on and however late it is.
func TestExceptionsFileLeftByACrashStands(t *testing.T) {
	t.Parallel()
	eachEnvelope(t, func(t *testing.T, busyNight func(*testing.T) *night) {
		t.Helper()
		n := busyNight(t)
		n.store.orders[1][0].OtherOperations = []string{"op-2"}
		n.drop.fault = func(op string) error {
			if op == "Put" {
				return errCrash
			}
			return nil
		}
		if _, err := n.stage().RunOnce(t.Context(), Options{Kinds: []string{exceptionsKind}, BusinessDate: firstDay}); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		n.drop.fault = func(string) error { return nil }
		left := n.opened()
		if len(left) != 1 {
			t.Fatalf("%d files are left", len(left))
		}
		n.pass(36 * time.Hour)
		n.store.orders[1][0].OtherOperations = nil
		n.store.orders[1][2].OtherOperations = []string{"op-3"}
		if got, err := n.stage().RunOnce(t.Context(), Options{Kinds: []string{exceptionsKind}, BusinessDate: firstDay}); err != nil || got.Exceptions != 1 || got.Rows != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		now := n.opened()
		for name, content := range left {
			if now[name] != content || !strings.Contains(content, "ORD-1") {
				t.Errorf("%s is\n%s\nwas\n%s", name, now[name], content)
			}
		}
		if len(now) != 2 {
			t.Errorf("%d files, want one and its control file", len(now))
		}
		n.checkLedger("afterwards")
	})
}

func TestStrangeExceptionsFilesAreNotOurs(t *testing.T) {
	t.Parallel()
	header := strings.Join(exceptionsColumns(), ",") + "\n"
	row := strings.Repeat(",", len(exceptionsColumns())-3) + "1,0-1,do something\n"
	for name, content := range map[string]string{
		"nothing": "", "another header": "a,b\n", "another kind": header + "odd" + row, "half a row": header + "held,ORD", "a bad quote": header + `held,"` + row,
		"an age of its own":  header + "held" + strings.Replace(row, "0-1", "0-9", 1),
		"an age that is not": header + "held" + strings.Replace(row, ",1,", ",x,", 1),
	} {
		n := troubled(t)
		n.write(firstExceptions, content)
		n.run(exceptionsKind)
		if n.read(firstExceptions) != content {
			t.Errorf("%s: the file was changed", name)
		}
		if c := n.control("reports/exceptions-demo-bank-2026-03-01-2.csv"); c.Rows != 1 {
			t.Errorf("%s: %+v", name, c)
		}
		n.checkLedger(name)
	}
	n := troubled(t)
	n.write(firstExceptions, header+"held"+row)
	n.run(exceptionsKind)
	if c := n.control(firstExceptions); c.Rows != 1 {
		t.Errorf("one that is as ours: %+v", c)
	}
}

// What is counted while a file is written is what is counted when it is read back.
func TestExceptionsAreCountedFromTheFile(t *testing.T) {
	t.Parallel()
	n := sampleNight(t)
	const name = "reports/exceptions-demo-bank-2026-03-06-1.csv"
	sum, err := countExceptions(strings.NewReader(n.read(name)))
	if err != nil {
		t.Fatal(err)
	}
	want := n.control(name)
	d := n.store.deliveries[len(n.store.deliveries)-1]
	got := sum.control(&d, sum.rows)
	got.Size, got.SHA256 = want.Size, want.SHA256
	written, err1 := want.encode()
	again, err2 := got.encode()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	var a, b Control
	decode(t, written, &a)
	decode(t, again, &b)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("(-written +counted)\n%s", diff)
	}
}

func TestExceptionsThatDoNotAddUp(t *testing.T) {
	t.Parallel()
	sum := newExceptionTotals()
	row := make([]string, len(exceptionsColumns()))
	row[kindColumn], row[bucketColumn] = "odd", "0-9"
	sum.add(row)
	c := sum.control(&issuance.Delivery{}, 2)
	if c.Balanced || len(c.Breaks) != 3 {
		t.Errorf("%v", c.Breaks)
	}
}

// A thousand products do not make a control file of a thousand entries.
func TestExceptionsOfManyProducts(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	var orders []issuance.Order
	for i := range 600 {
		o := ordered(fmt.Sprint("ORD-", i), issuance.Held)
		o.ProductID = fmt.Sprint("P", i)
		orders = append(orders, o)
	}
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, orders...)
	n.run(exceptionsKind)
	if c := n.control(firstExceptions); !c.Balanced || c.Rows != 600 || len(c.Products) != 501 {
		t.Errorf("%d rows, %d products, %v", c.Rows, len(c.Products), c.Breaks)
	}
}

func TestExceptionsFail(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"Suspects", "SuspectsByRef", "ParkedOperations", "StrangeWords"} {
		n := troubled(t)
		n.store.fault = func(what string) error {
			if what == op {
				return errCrash
			}
			return nil
		}
		got, err := n.stage().RunOnce(t.Context(), Options{Kinds: []string{exceptionsKind}, BusinessDate: firstDay})
		if !errors.Is(err, errCrash) || got.Pending != 1 || len(n.files("reports")) != 0 {
			t.Errorf("%s: %+v, %v, files %v", op, got, err, n.files("reports"))
		}
	}
	n := troubled(t)
	s, err := New(n.cfg, n.store, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	r := run{Stage: s}
	if _, err := r.renderExceptions(t.Context(), &issuance.Delivery{IssuerID: "another"}, nil); err == nil {
		t.Error("an issuer without rules has exceptions")
	}
}
