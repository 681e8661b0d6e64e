package reconcile

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

const batchNo = issuance.BatchNo(7)

func order(row int64, s issuance.State, product string) issuance.Order {
	return issuance.Order{Ref: issuance.NewRef(batchNo, row), Line: row + 1, State: s, ProductID: product}
}

func produced(row int64, status issuance.ProductionStatus) issuance.Order {
	o := order(row, issuance.Submitted, "VISA")
	o.Production.Status = status
	return o
}

func all(orders ...issuance.Order) iter.Seq2[issuance.Order, error] {
	return func(yield func(issuance.Order, error) bool) {
		for _, o := range orders {
			if !yield(o, nil) {
				return
			}
		}
	}
}

func equations(r Result) []string {
	texts := []string{}
	for _, b := range r.Breaks {
		texts = append(texts, b.String())
	}
	return texts
}

func TestEveryRowGetsALineAndATerm(t *testing.T) {
	orders := []issuance.Order{
		order(1, issuance.Rejected, ""), order(2, issuance.Duplicate, "VISA"), order(3, issuance.Cancelled, "VISA"),
		order(4, issuance.Held, "VISA"), order(5, issuance.Ready, "MC"), order(6, issuance.Submitting, "MC"),
		order(7, issuance.Unknown, "MC"), order(8, issuance.Refused, "MC"), produced(9, ""),
		produced(10, issuance.CardProdOngoing), produced(11, issuance.CardProdOnHold),
		produced(12, issuance.DataException), produced(13, issuance.CardProdCanceled), produced(14, issuance.CardShipped),
		produced(15, issuance.CardProdDone),
	}
	orders[14].Production.NoShipment = true
	var dispositions []string
	r, err := Reconcile(&issuance.Batch{No: batchNo, Rows: 15}, all(orders...), func(l Line) error {
		dispositions = append(dispositions, l.Disposition)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"rejected", "duplicate", "cancelled", "held", "ready", "submitting", "unknown", "refused",
		"awaiting", "in_production", "on_hold", "failed", "canceled", "shipped", "produced"}
	if diff := cmp.Diff(want, dispositions); diff != "" {
		t.Errorf("dispositions (-want +got):\n%s", diff)
	}
	for _, term := range r.Totals.Terms() {
		want := int64(1)
		switch term.Name {
		case "rows":
			want = 15
		case "submitted":
			want = 7
		}
		if term.Count != want {
			t.Errorf("%s: %d, want %d", term.Name, term.Count, want)
		}
	}
	if !r.Balanced() || r.Lines != 15 {
		t.Errorf("lines %d, breaks %v", r.Lines, r.Breaks)
	}
	if got := r.Products["VISA"].Rows; got != 10 {
		t.Errorf("VISA has %d rows, want 10", got)
	}
	if got := r.Products["MC"].State(issuance.Refused); got != 1 {
		t.Errorf("MC has %d refused, want 1", got)
	}
}

func TestReasonIsProductionsOwnOnceD1HasTheOrder(t *testing.T) {
	o := produced(1, issuance.DataException)
	o.Reason = "D1 reports on it"
	if got := LineOf(&o).Reason; got != "D1 reports on it" {
		t.Errorf("without a reason of production's: %q", got)
	}
	o.Production.Reason = "chip profile unknown"
	if got := LineOf(&o).Reason; got != "chip profile unknown" {
		t.Errorf("with one: %q", got)
	}
	o.State, o.Code, o.Reason = issuance.Refused, "INVALID_FIELD", "delivery"
	if got := LineOf(&o); got.Reason != "delivery" || got.Code != "INVALID_FIELD" || got.Disposition != "refused" {
		t.Errorf("refused: %+v", got)
	}
}

// What a person must know of an order that D1 has stands in its line, whatever
// production says.
func TestWarningsOfOrdersThatD1Has(t *testing.T) {
	o := produced(1, issuance.CardShipped)
	if got := LineOf(&o).Code; got != "" {
		t.Errorf("code %q without a reason", got)
	}
	o.NotFound = 1
	if got := LineOf(&o).Code; got != issuance.MissingAtD1 {
		t.Errorf("missing: code %q", got)
	}
	o.OtherOperations = []string{"op-2"}
	if got := LineOf(&o).Code; got != issuance.SecondOperation {
		t.Errorf("taken twice: code %q", got)
	}
}

func TestBreaks(t *testing.T) {
	control := func(rows int64, products map[string]int64) *issuance.Control {
		return &issuance.Control{Rows: rows, Products: products}
	}
	tests := []struct {
		name   string
		batch  issuance.Batch
		orders []issuance.Order
		want   []string
	}{
		{"empty file", issuance.Batch{Control: control(0, nil)}, nil, []string{}},
		{"all there", issuance.Batch{Rows: 2, Control: control(2, map[string]int64{"VISA": 2})},
			[]issuance.Order{order(1, issuance.Ready, "VISA"), order(2, issuance.Ready, "VISA")}, []string{}},
		{"last row lost", issuance.Batch{Rows: 2}, []issuance.Order{order(1, issuance.Ready, "VISA")},
			[]string{"rows = sum of the states: 2 is not 1", "rows of the file = last row: 2 is not 1"}},
		{"one lost, one twice", issuance.Batch{Rows: 3},
			[]issuance.Order{order(1, issuance.Ready, "VISA"), order(1, issuance.Ready, "VISA"), order(3, issuance.Ready, "VISA")},
			[]string{"row after row 1: 2 is not 1", "row after row 1: 2 is not 3"}},
		{"a state nobody knows", issuance.Batch{Rows: 1}, []issuance.Order{order(1, "lost", "VISA")},
			[]string{"rows = sum of the states: 1 is not 0", "product VISA: rows = sum of the states: 1 is not 0"}},
		{"more announced than read", issuance.Batch{Rows: 1, Control: control(2, nil)},
			[]issuance.Order{order(1, issuance.Ready, "VISA")},
			[]string{"rows announced = rows of the file: 2 is not 1"}},
		{"a rejected row without its product", issuance.Batch{Rows: 2, Control: control(2, map[string]int64{"VISA": 2})},
			[]issuance.Order{order(1, issuance.Ready, "VISA"), order(2, issuance.Rejected, "")}, []string{}},
		{"another product than announced", issuance.Batch{Rows: 2, Control: control(2, map[string]int64{"VISA": 2})},
			[]issuance.Order{order(1, issuance.Ready, "VISA"), order(2, issuance.Ready, "MC")},
			[]string{"product MC: rows announced = rows taken: 0 is not 1",
				"rows of announced products not found = rejected rows without one: 1 is not 0"}},
		{"more of a product than announced", issuance.Batch{Rows: 2, Control: control(2, map[string]int64{"VISA": 1, "MC": 1})},
			[]issuance.Order{order(1, issuance.Ready, "VISA"), order(2, issuance.Ready, "VISA")},
			[]string{"product VISA: rows announced = rows: 1 is not 2",
				"rows of announced products not found = rejected rows without one: 1 is not 0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Reconcile(&tt.batch, all(tt.orders...), Discard)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, equations(r)); diff != "" {
				t.Errorf("breaks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRowBreaksAreBounded(t *testing.T) {
	var orders []issuance.Order
	for row := int64(1); row <= 1000; row += 2 {
		orders = append(orders, order(row, issuance.Ready, "VISA"))
	}
	r, err := Reconcile(&issuance.Batch{Rows: 1000}, all(orders...), Discard)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, e := range equations(r) {
		if strings.HasPrefix(e, "row after row") {
			rows++
		}
	}
	if rows != MaxRowBreaks || r.Balanced() {
		t.Errorf("%d breaks about single rows, want %d; balanced %v", rows, MaxRowBreaks, r.Balanced())
	}
}

func TestProductsAreBounded(t *testing.T) {
	const rows = 3 * MaxProducts
	slipped := func(yield func(issuance.Order, error) bool) {
		for row := range int64(rows) {
			if !yield(order(row+1, issuance.Rejected, fmt.Sprint("product ", row)), nil) {
				return
			}
		}
	}
	r, err := Reconcile(&issuance.Batch{Rows: rows}, slipped, Discard)
	if err != nil || !r.Balanced() {
		t.Fatal(err, r.Breaks)
	}
	if len(r.Products) != MaxProducts+1 || r.Products[Other].Rows != rows-MaxProducts {
		t.Errorf("%d products, %d rows under %s", len(r.Products), r.Products[Other].Rows, Other)
	}
}

func TestErrorsEndIt(t *testing.T) {
	boom := errors.New("boom")
	broken := func(yield func(issuance.Order, error) bool) {
		_ = yield(order(1, issuance.Ready, "VISA"), nil) && yield(issuance.Order{}, boom)
	}
	if _, err := Reconcile(&issuance.Batch{Rows: 2}, broken, Discard); !errors.Is(err, boom) {
		t.Errorf("iterator's error: got %v", err)
	}
	lines := 0
	_, err := Reconcile(&issuance.Batch{Rows: 2}, all(produced(1, ""), produced(2, "")), func(Line) error {
		lines++
		return boom
	})
	if !errors.Is(err, boom) || lines != 1 {
		t.Errorf("emit's error: got %v after %d lines", err, lines)
	}
}

// Whatever the mix of states, a complete file balances, its products add up to
// it, and taking out or repeating any one row is noticed.
func TestNoRowCanGetLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "rows")
		orders := make([]issuance.Order, n)
		for i := range orders {
			orders[i] = order(int64(i+1), rapid.SampledFrom(issuance.States()).Draw(t, "state"),
				rapid.SampledFrom([]string{"VISA", "MC", ""}).Draw(t, "product"))
			orders[i].Production.Status = rapid.SampledFrom([]issuance.ProductionStatus{"", issuance.DataPrepared,
				issuance.CardShipped, issuance.CardProdException, "NEW_STATUS"}).Draw(t, "status")
		}
		b := issuance.Batch{Rows: int64(n)}
		r, err := Reconcile(&b, all(orders...), Discard)
		if err != nil || !r.Balanced() {
			t.Fatalf("complete file: %v %v", err, r.Breaks)
		}
		var sum issuance.Totals
		for _, product := range r.Products {
			sum.Merge(*product)
		}
		if diff := cmp.Diff(r.Totals.Terms(), sum.Terms()); diff != "" {
			t.Fatalf("products do not add up (-file +products):\n%s", diff)
		}

		i := rapid.IntRange(0, n-1).Draw(t, "victim")
		r, _ = Reconcile(&b, all(slices.Delete(slices.Clone(orders), i, i+1)...), Discard)
		if r.Balanced() {
			t.Fatalf("row %d of %d is missing, unnoticed", i+1, n)
		}
		r, _ = Reconcile(&b, all(slices.Insert(slices.Clone(orders), i, orders[i])...), Discard)
		if r.Balanced() {
			t.Fatalf("row %d of %d is there twice, unnoticed", i+1, n)
		}
	})
}

func BenchmarkReconcile(b *testing.B) {
	o := produced(1, issuance.CardShipped)
	orders := func(yield func(issuance.Order, error) bool) {
		for row := range int64(b.N) {
			o.Ref = issuance.NewRef(batchNo, row+1)
			if !yield(o, nil) {
				return
			}
		}
	}
	b.ReportAllocs()
	r, err := Reconcile(&issuance.Batch{Rows: int64(b.N)}, orders, Discard)
	if err != nil || r.Lines != int64(b.N) {
		b.Fatal(r.Lines, err)
	}
}
