package report

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"

	"cardbatch/internal/issuance"
	"cardbatch/internal/reconcile"
)

// The columns of schemas/report-receipt.v1.table.json. The first tells three
// kinds of rows apart: `file` says something about the file as a whole, `total`
// is a count, `row` is one thing wrong with one row of the order file.
func receiptColumns() []string {
	return []string{"record", "line", "order_id", "field", "value", "code", "text"}
}

// receipt writes one receipt.
type receipt struct {
	*table
}

func (r *receipt) fact(field, value string, code issuance.Code, text string) {
	if value == "" {
		return
	}
	r.plain("file")
	r.empty()
	r.empty()
	r.plain(field)
	r.foreign(value)
	r.id(string(code))
	r.text(text)
	_ = r.end() // the table keeps its first error; close returns it
}

func (r *receipt) total(field string, n int64, text string) {
	r.plain("total")
	r.empty()
	r.empty()
	r.plain(field)
	r.number(n)
	r.empty()
	r.plain(text)
	_ = r.end()
}

func (r *receipt) rowError(orderID string, e *issuance.RowError) error {
	r.plain("row")
	r.number(e.Line)
	r.id(orderID)
	r.foreign(e.Column)
	r.text(e.Masked)
	r.id(string(e.Code))
	r.text(e.Text)
	return r.end()
}

func (r *run) renderReceipt(ctx context.Context, d *issuance.Delivery, b *issuance.Batch, w io.Writer) (Control, error) {
	c := newControl(d, b)
	if b.Control != nil {
		last, err := r.store.LastSequence(ctx, b.Source)
		if err != nil {
			return Control{}, err
		}
		c.NextExpectedSequence = last + 1
	}
	counts, err := r.countReceipt(ctx, b, &c)
	if err != nil {
		return Control{}, err
	}
	out := receipt{newTable(w, receiptColumns())}
	out.head(b, &c, counts)
	if err := r.receiptRows(ctx, b, counts, &out); err != nil {
		return Control{}, err
	}
	c.Rows = out.rows
	return c, out.close()
}

// intakeTotals is how a file was received. Unlike the dispositions it never
// changes again: an order that is taken counts as accepted whatever becomes of it.
type intakeTotals struct{ rows, accepted, rejected, duplicate int64 }

func (t intakeTotals) terms() Totals {
	return Totals{{Name: "rows", Count: t.rows}, {Name: "accepted", Count: t.accepted},
		{Name: "rejected", Count: t.rejected}, {Name: "duplicate", Count: t.duplicate}}
}

func intakeOf(t *issuance.Totals) intakeTotals {
	counts := intakeTotals{rows: t.Rows, rejected: t.State(issuance.Rejected), duplicate: t.State(issuance.Duplicate)}
	for _, s := range issuance.States() {
		counts.accepted += t.State(s)
	}
	counts.accepted -= counts.rejected + counts.duplicate
	return counts
}

// countReceipt lets the store count, because the totals stand at the top, where
// people look for them, and a file without rejected rows needs no walk at all.
// Nothing of a refused file is taken, and its orders are gone.
func (r *run) countReceipt(ctx context.Context, b *issuance.Batch, c *Control) (intakeTotals, error) {
	if b.State == issuance.BatchRefused {
		counts := intakeTotals{rows: b.Rows, rejected: b.Rows}
		c.Totals = counts.terms()
		return counts, nil
	}
	if b.Kind == issuance.BatchChanges {
		return r.countChanges(ctx, b, c)
	}
	products, err := r.store.ProductTotals(ctx, b.No)
	if err != nil {
		return intakeTotals{}, err
	}
	var sum, other issuance.Totals
	for _, id := range slices.Sorted(maps.Keys(products)) {
		totals := products[id]
		sum.Merge(totals)
		if len(c.Products) < reconcile.MaxProducts {
			c.Products[productKey(id)] = intakeOf(&totals).terms()
		} else {
			other.Merge(totals)
			c.Products[reconcile.Other] = intakeOf(&other).terms()
		}
	}
	sum.Rows = b.Rows
	c.addBreaks(sum.Breaks())
	counts := intakeOf(&sum)
	c.Totals = counts.terms()
	return counts, nil
}

func (r *receipt) head(b *issuance.Batch, c *Control, counts intakeTotals) {
	w := wordsOf(b.Kind)
	r.fact("verdict", c.Verdict, c.Code, w.verdict(verdict(b), c, counts))
	r.fact("file", b.FileName, "", "")
	r.fact("batch", b.ID, "", "our name of the file; quote it when you ask us")
	r.fact("issuer_id", b.IssuerID, "", "")
	r.fact("business_date", b.BusinessDate, "", "")
	r.fact("received_at", stamp(b.ReceivedAt), "", "")
	r.fact("sha256", b.SHA256, "", "of the "+w.file+" as we read it")
	if b.Control == nil {
		r.fact("control_totals", totalsNone, "", "no control totals: no valid control file says how many rows to expect")
	} else {
		r.fact("control_totals", totalsPresent, "", "")
		r.fact("sequence", strconv.FormatInt(c.Sequence, 10), "", "")
		r.fact("next_expected_sequence", strconv.FormatInt(c.NextExpectedSequence, 10), "",
			"the sequence number your next file must have")
	}
	r.total("rows", counts.rows, "rows read from the "+w.file)
	r.total("accepted", counts.accepted, "rows taken as "+w.rows)
	r.total("rejected", counts.rejected, "rows not taken")
	r.total("duplicate", counts.duplicate, "identical repeats of "+w.rows+" that we already have; not taken again")
	if !c.Balanced {
		r.fact("balanced", "false", "", fmt.Sprintf("the totals do not add up: %s", c.Breaks[0]))
	}
}

// words are how a file and its rows are called.
type words struct{ file, rows, onTheirWay string }

func wordsOf(kind issuance.BatchKind) words {
	if kind == issuance.BatchChanges {
		return words{"change file", "changes", "the changes in its accepted rows are being made"}
	}
	return words{"order file", "orders", "its accepted rows are on their way to D1"}
}

// verdict says what became of the file, what to do, and why.
func (w words) verdict(verdict issuance.BatchState, c *Control, counts intakeTotals) string {
	because := ": "
	var text string
	switch {
	case verdict == issuance.BatchHeld:
		text = "the file is complete but waits, for what is missing or for a person to release it"
	case verdict == issuance.BatchRefused && c.Code == issuance.DuplicateContent:
		text = "nothing of the file is taken, because we have it already; there is nothing to send again"
	case verdict == issuance.BatchRefused:
		text = "nothing of the file is taken; correct it and send it again"
	case counts.rows == 0:
		text, because = "the file is taken; it has no rows", "; "
	case counts.accepted > 0:
		text, because = "the file is taken; "+w.onTheirWay, "; "
	case counts.rejected == 0:
		text, because = "the file is taken; all of its rows are repeats of "+w.rows+" that we already have", "; "
	default:
		text, because = "the file is taken, but none of its rows: correct them and send them again in a new file", "; "
	}
	if c.Reason == "" {
		return text
	}
	return text + because + c.Reason
}

// receiptRows writes a line for everything wrong with a row. It walks orders
// and errors side by side, both in the order of the rows, for the sake of the
// order_id; when every row is accepted, there is nothing to walk.
func (r *run) receiptRows(ctx context.Context, b *issuance.Batch, counts intakeTotals, out *receipt) error {
	next, stop := iter.Pull2(r.store.RowErrors(ctx, b.No))
	defer stop()
	errs := cursor{next: next}
	errs.advance()
	if b.Kind == issuance.BatchChanges && counts.accepted < counts.rows && b.State != issuance.BatchRefused {
		if err := r.changeErrors(ctx, b, &errs, out); err != nil {
			return err
		}
	} else if counts.accepted < counts.rows && b.State != issuance.BatchRefused {
		for o, err := range r.store.OrdersOfBatch(ctx, b.No) {
			if err != nil {
				return err
			}
			if o.State != issuance.Rejected && o.State != issuance.Duplicate {
				continue
			}
			if err := r.notAccepted(&o, &errs, out); err != nil {
				return err
			}
		}
	}
	_, err := errs.writeUpTo(issuance.MaxRows, "", out)
	return err
}

// notAccepted writes what is wrong with one row, its own code and reason when
// nothing more is known.
func (r *run) notAccepted(o *issuance.Order, errs *cursor, out *receipt) error {
	if _, err := errs.writeUpTo(o.Ref.Row()-1, "", out); err != nil {
		return err
	}
	written, err := errs.writeUpTo(o.Ref.Row(), o.OrderID, out)
	if err == nil && written == 0 {
		err = out.rowError(o.OrderID, &issuance.RowError{Line: o.Line, Code: o.Code, Text: o.Reason})
	}
	return err
}

// cursor stands on the next row error.
type cursor struct {
	next    func() (issuance.RowError, error, bool)
	current issuance.RowError
	err     error
	more    bool
}

func (c *cursor) advance() { c.current, c.err, c.more = c.next() }

// writeUpTo writes the errors of the rows not above the given one and returns
// how many.
func (c *cursor) writeUpTo(row int64, orderID string, out *receipt) (int, error) {
	written := 0
	for ; c.more && c.err == nil && c.current.Ref.Row() <= row; c.advance() {
		if err := out.rowError(orderID, &c.current); err != nil {
			return written, err
		}
		written++
	}
	return written, c.err
}
