// Package reconcile answers the one question a back office asks every morning:
// what became of each row of the order file? It walks the orders of a batch
// once, in the order of the file, and gives for each a [Line] with its
// disposition, and in the end a [Result] with the totals per disposition and
// per product.
//
// It also proves the answer. Three things must hold, and what does not is a
// break:
//
//   - the control equation of package issuance, for the file and for each
//     product;
//   - the rows: exactly those numbered 1 to the number of rows read from the
//     file, each once and in order, so that a lost row cannot hide behind one
//     that is there twice;
//   - what the control file announced: as many rows in all and per product.
//
// The package is pure: no clock, no log, no store. It keeps one order at a
// time, so a file of a million rows takes no more memory than one of ten.
package reconcile

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"

	"cardbatch/internal/issuance"
)

// MaxRowBreaks is the most breaks listed for missing or repeated rows; a
// report needs to say that rows are missing and where it starts, not repeat it
// a million times.
const MaxRowBreaks = 20

// A file whose columns have slipped may name a new product in every row. What
// goes beyond MaxProducts is counted under Other, so that neither our memory
// nor the report grows with it.
const (
	MaxProducts = 500
	Other       = "(other)"
)

// Line is what became of one row. Order is valid only until the function it is
// given to returns.
type Line struct {
	Order       *issuance.Order
	Disposition string        // a term of the control equation
	Code        issuance.Code // ours, or D1's errorCode of a refused order
	Reason      string        // for people: why it is where it is
}

// LineOf says what became of an order.
func LineOf(o *issuance.Order) Line {
	line := Line{Order: o, Disposition: o.Disposition(), Code: o.Code, Reason: o.Reason}
	if o.State == issuance.Submitted {
		// Once D1 has the order, production's own reason is the news.
		line.Reason = cmp.Or(o.Production.Reason, o.Reason)
		line.Code = cmp.Or(o.Code, warning(o))
	}
	return line
}

// warning is what a person must know of an order that D1 has, wherever its
// production stands.
func warning(o *issuance.Order) issuance.Code {
	switch {
	case len(o.OtherOperations) > 0:
		return issuance.SecondOperation
	case o.NotFound > 0:
		return issuance.MissingAtD1
	default:
		return ""
	}
}

// Result is the sum of the lines.
type Result struct {
	Lines    int64
	Totals   issuance.Totals             // Rows as read from the file
	Products map[string]*issuance.Totals // by product; Rows as counted here
	Breaks   []issuance.Break            // empty when all of it balances
}

// Balanced reports whether nothing contradicts the control equation.
func (r *Result) Balanced() bool { return len(r.Breaks) == 0 }

// Reconcile reads the orders of a batch, which must come in the order of their
// rows, calls emit for each and returns the totals. An error of the iterator
// or of emit ends it and is returned as it is; breaks are not errors but part
// of the result.
func Reconcile(b *issuance.Batch, orders iter.Seq2[issuance.Order, error], emit func(Line) error) (Result, error) {
	w := walk{result: Result{Products: map[string]*issuance.Totals{}}}
	var current issuance.Order // one for all lines, not one each
	for o, err := range orders {
		if err != nil {
			return w.result, err
		}
		current = o
		w.add(&current)
		if err := emit(LineOf(&current)); err != nil {
			return w.result, err
		}
	}
	w.finish(b)
	return w.result, nil
}

// Discard is an emit function for who wants the totals only.
func Discard(Line) error { return nil }

type walk struct {
	result    Result
	lastRow   int64
	rowBreaks int
}

func (w *walk) add(o *issuance.Order) {
	w.result.Lines++
	w.result.Totals.AddOrder(o)
	product := w.product(o.ProductID)
	product.Rows++
	product.AddOrder(o)
	if row := o.Ref.Row(); row != w.lastRow+1 {
		w.rowBreak("row after row "+strconv.FormatInt(w.lastRow, 10), w.lastRow+1, row)
	}
	w.lastRow = o.Ref.Row()
}

func (w *walk) product(id string) *issuance.Totals {
	products := w.result.Products
	if products[id] == nil && len(products) >= MaxProducts {
		id = Other
	}
	if products[id] == nil {
		products[id] = &issuance.Totals{}
	}
	return products[id]
}

func (w *walk) rowBreak(equation string, want, got int64) {
	if w.rowBreaks++; w.rowBreaks <= MaxRowBreaks {
		w.breakAt(equation, want, got)
	}
}

func (w *walk) breakAt(equation string, left, right int64) {
	w.result.Breaks = append(w.result.Breaks, issuance.Break{Equation: equation, Left: left, Right: right})
}

func (w *walk) finish(b *issuance.Batch) {
	r := &w.result
	r.Totals.Rows = b.Rows
	r.Breaks = append(r.Breaks, r.Totals.Breaks()...)
	if w.lastRow != b.Rows {
		w.breakAt("rows of the file = last row", b.Rows, w.lastRow)
	}
	for _, id := range slices.Sorted(maps.Keys(r.Products)) {
		for _, br := range r.Products[id].Breaks() {
			br.Equation = "product " + id + ": " + br.Equation
			r.Breaks = append(r.Breaks, br)
		}
	}
	if b.Control != nil {
		w.finishControl(b)
	}
}

// finishControl compares with what the control file announced. A row that is
// rejected may have lost its product (its fields cannot be told apart, its
// product is not one of ours), so rejected rows may make up for what a product
// lacks; nothing makes up for too many.
func (w *walk) finishControl(b *issuance.Batch) {
	if b.Control.Rows != b.Rows {
		w.breakAt("rows announced = rows of the file", b.Control.Rows, b.Rows)
	}
	announced := b.Control.Products
	if len(announced) == 0 {
		return
	}
	var lacking, unattributed int64
	for _, id := range slices.Sorted(maps.Keys(announced)) {
		var counted int64
		if product := w.result.Products[id]; product != nil {
			counted = product.Rows
		}
		if counted > announced[id] {
			w.breakAt("product "+id+": rows announced = rows", announced[id], counted)
		}
		lacking += max(0, announced[id]-counted)
	}
	for _, id := range slices.Sorted(maps.Keys(w.result.Products)) {
		if _, ok := announced[id]; ok {
			continue
		}
		product := w.result.Products[id]
		rejected := product.State(issuance.Rejected)
		unattributed += rejected
		if taken := product.Rows - rejected; taken > 0 {
			w.breakAt("product "+id+": rows announced = rows taken", 0, taken)
		}
	}
	if lacking > unattributed {
		w.breakAt("rows of announced products not found = rejected rows without one", lacking, unattributed)
	}
}
