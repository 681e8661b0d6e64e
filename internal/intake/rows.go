package intake

import (
	"context"
	"fmt"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// rows is all that differs between files of orders and files of changes: what
// becomes of the records of a chunk. A worker adds, then the writer stores.
type rows interface {
	add(rec *orderfile.Record) error
	store(ctx context.Context, result *loaded) error
}

// makeRows returns what makes the rows of each chunk of a file, by the rules of
// this moment.
func (s *Stage) makeRows(src *Source, b *issuance.Batch) func() rows {
	if src.Changes != nil {
		rules := src.Changes.Rules(s.Now())
		return func() rows { return &changeRows{Stage: s, src: src, rules: rules, batch: b} }
	}
	rules := src.Rules(s.Now())
	return func() rows {
		return &orderRows{Stage: s, src: src, rules: rules, batch: b, orders: make([]issuance.NewOrder, 0, chunkRows)}
	}
}

// counts is what became of the rows of a file at intake.
type counts struct{ good, rejected, duplicate int64 }

func (s *Stage) count(ctx context.Context, b *issuance.Batch) (counts, error) {
	if b.Kind == issuance.BatchChanges {
		t, err := s.Store.ChangeTotals(ctx, b.No)
		return counts{t.State(issuance.ChangeWaiting), t.State(issuance.ChangeRejected), t.State(issuance.ChangeDuplicate)}, err
	}
	t, err := s.Store.BatchTotals(ctx, b.No)
	return counts{t.State(issuance.Ready), t.State(issuance.Rejected), t.State(issuance.Duplicate)}, err
}

// orderRows are rows of an order file.
type orderRows struct {
	*Stage
	src    *Source
	rules  Checker
	batch  *issuance.Batch
	orders []issuance.NewOrder
}

func (r *orderRows) add(rec *orderfile.Record) error {
	n, err := r.order(r.src, r.rules, r.batch, rec)
	r.orders = append(r.orders, n)
	return err
}

func (r *orderRows) store(ctx context.Context, result *loaded) error {
	result.attribute(r.batch.Control, r.orders)
	result.pans.mark(r.orders)
	return r.Store.AddOrders(ctx, r.batch.No, r.orders)
}

// order makes the order of a row: ready with its sealed request, or rejected
// with everything that is wrong.
func (s *Stage) order(src *Source, rules Checker, b *issuance.Batch, rec *orderfile.Record) (issuance.NewOrder, error) {
	n := issuance.NewOrder{Order: rules.Summary(*rec)}
	n.Ref, n.Line, n.IssuerID = issuance.NewRef(b.No, rec.RowNo), rec.Line, src.IssuerID
	instruction, found := rules.Check(*rec)
	if len(found) > 0 {
		src.Layout.Explain(found)
		for i := range found {
			found[i].Ref, found[i].Line = n.Ref, rec.Line
		}
		n.State, n.Code, n.Reason, n.Errors = issuance.Rejected, found[0].Code, found[0].Text, found
		return n, nil
	}
	n.State = issuance.Ready
	n.ContentMAC = s.Fingerprint.Content(rec.Row.AppendValues(nil)...)
	if instruction.Card != nil {
		n.PANFingerprint = s.Fingerprint.PAN(instruction.Card.PAN)
	}
	body, err := src.Encoder.Encode(instruction)
	if err != nil {
		return n, fmt.Errorf("encode the request for D1: %w", err)
	}
	n.Payload, err = s.Sealer.Seal(body, PayloadAAD(n.IssuerID, n.OrderID))
	if err != nil {
		return n, fmt.Errorf("seal the request for D1: %w", err)
	}
	return n, nil
}

// PayloadAAD binds a sealed payload to its order, so that it cannot be opened
// as another's.
func PayloadAAD(issuerID, orderID string) []byte { return []byte(issuerID + "/" + orderID) }

// attribute counts the rows of products that the control file does not count.
func (l *loaded) attribute(c *issuance.Control, orders []issuance.NewOrder) {
	if c == nil || len(c.Products) == 0 {
		return
	}
	for i := range orders {
		if _, counted := c.Products[orders[i].ProductID]; counted {
			continue
		}
		if orders[i].State == issuance.Rejected {
			l.unattributed++
		} else {
			l.uncounted++
		}
	}
}

// changeRows are rows of a change file.
type changeRows struct {
	*Stage
	src     *Source
	rules   ChangeChecker
	batch   *issuance.Batch
	changes []issuance.NewChange
}

func (r *changeRows) store(ctx context.Context, _ *loaded) error {
	return r.Store.AddChanges(ctx, r.batch.No, r.changes)
}

// add makes the change of a row: one that waits, with its sealed request, or a
// rejected one with everything that is wrong.
func (r *changeRows) add(rec *orderfile.Record) error {
	n := issuance.NewChange{Change: r.rules.Summary(*rec)}
	n.Ref, n.Line, n.IssuerID = issuance.NewRef(r.batch.No, rec.RowNo), rec.Line, r.src.IssuerID
	instruction, found := r.rules.Check(*rec)
	if len(found) > 0 {
		r.src.Layout.Explain(found)
		for i := range found {
			found[i].Ref, found[i].Line = n.Ref, rec.Line
		}
		n.State, n.Code, n.Reason, n.Errors = issuance.ChangeRejected, found[0].Code, found[0].Text, found
		r.changes = append(r.changes, n)
		return nil
	}
	n.State = issuance.ChangeWaiting
	n.ContentMAC = r.Fingerprint.Content(rec.Change.AppendValues(nil)...)
	body, err := r.src.Changes.Encoder.EncodeChange(instruction)
	if err != nil {
		return fmt.Errorf("encode the request for D1: %w", err)
	}
	if n.Payload, err = r.Sealer.Seal(body, n.AAD()); err != nil {
		return fmt.Errorf("seal the request for D1: %w", err)
	}
	r.changes = append(r.changes, n)
	return nil
}
