package store

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"cardbatch/internal/issuance"
)

// page is how many rows a stream reads at a time. No read transaction is held
// between pages, so a slow consumer never keeps the log from being emptied.
const page = 1000

// OrdersOfBatch streams the orders of a batch in the order of their rows, in
// constant memory. Each order is as it stands when its page is read.
func (s *Store) OrdersOfBatch(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.Order, error] {
	first, last := refs(no)
	return pages("read orders", func(after *issuance.Order) ([]issuance.Order, error) {
		from := first
		if after != nil {
			from = int64(after.Ref)
		}
		return list(s.reader(ctx), scanPlain, `SELECT `+orderColumns+` FROM orders o WHERE o.ref > $1 AND o.ref <= $2 ORDER BY o.ref LIMIT $3`,
			from, last, page)
	})
}

// RowErrors streams the row errors of a batch in the order of its rows.
func (s *Store) RowErrors(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.RowError, error] {
	type numbered struct {
		issuance.RowError
		n int64
	}
	first, last := refs(no)
	all := pages("read row errors", func(after *numbered) ([]numbered, error) {
		ref, n := first, int64(0)
		if after != nil {
			ref, n = int64(after.Ref), after.n
		}
		return list(s.reader(ctx), func(row scanner) (e numbered, err error) {
			err = row.Scan(&e.Ref, &e.n, &e.Line, &e.Column, &e.Code, &e.Text, &e.Masked)
			return e, err
		}, `SELECT ref, n, line, column_name, code, text, masked FROM row_error
			WHERE (ref, n) > ($1, $2) AND ref <= $3 ORDER BY ref, n LIMIT $4`, ref, n, last, page)
	})
	return func(yield func(issuance.RowError, error) bool) {
		for e, err := range all {
			if !yield(e.RowError, err) {
				return
			}
		}
	}
}

// pages streams what next returns, until it returns less than a page.
func pages[T any](what string, next func(after *T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var after *T
		for {
			got, err := next(after)
			if err != nil {
				var none T
				yield(none, fmt.Errorf("%s: %w", what, err))
				return
			}
			for i := range got {
				if !yield(got[i], nil) {
					return
				}
			}
			if len(got) < page {
				return
			}
			after = &got[len(got)-1]
		}
	}
}

// ProductTotals counts the orders of a batch by product. Rows of a product's
// totals are the rows found for it.
func (s *Store) ProductTotals(ctx context.Context, no issuance.BatchNo) (map[string]issuance.Totals, error) {
	totals := map[string]issuance.Totals{}
	first, last := refs(no)
	err := each(s.reader(ctx), func(row scanner) error {
		var product string
		var state issuance.State
		var p issuance.Production
		var n int64
		if err := row.Scan(&product, &state, &p.Status, &p.Failed, &p.NoShipment, &n); err != nil {
			return err
		}
		t := totals[product]
		t.Rows += n
		t.Add(state, p.Phase(), n)
		totals[product] = t
		return nil
	}, `SELECT product_id, state, status, failed, no_shipment, count(*) FROM orders
		WHERE ref BETWEEN $1 AND $2 GROUP BY product_id, state, status, failed, no_shipment`,
		first, last)
	return totals, wrap("count orders", err)
}

// BatchTotals counts the orders of a batch. Rows is what the file was decided
// on with; a refused file counts none, because none of its rows was taken.
func (s *Store) BatchTotals(ctx context.Context, no issuance.BatchNo) (issuance.Totals, error) {
	var sum issuance.Totals
	b, err := s.BatchByNo(ctx, no)
	if err != nil {
		return sum, err
	}
	byProduct, err := s.ProductTotals(ctx, no)
	if err != nil {
		return sum, err
	}
	for _, t := range byProduct {
		sum.Merge(t)
	}
	if b.State != issuance.BatchLoading {
		sum.Rows = b.Rows
	}
	if b.Kind != issuance.BatchOrders { // its rows are no orders
		sum.Rows = 0
	}
	if b.State == issuance.BatchRefused {
		sum.Rows = 0
	}
	return sum, nil
}

// Order returns the rows that have an order_id, of one issuer or, when
// issuerID is empty, of all: the order, then its repeats and conflicts.
func (s *Store) Order(ctx context.Context, issuerID, orderID string) ([]issuance.Order, error) {
	found, err := list(s.reader(ctx), scanPlain, sqlOrder, orderID, issuerID)
	if err != nil {
		return nil, wrap("look for order", err)
	}
	others, err := list(s.reader(ctx), scanPlain, sqlNotLive, orderID, issuerID)
	return append(found, others...), wrap("look for order", err)
}

const (
	sqlOrder = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.live = 1 AND o.issuer_id IN (SELECT issuer_id FROM batch) AND o.order_id = $1 AND ($2 = '' OR o.issuer_id = $2) ORDER BY o.ref`

	sqlNotLive = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.live = 0 AND o.order_id = $1 AND ($2 = '' OR o.issuer_id = $2) ORDER BY o.ref`
)

// OrderByRef returns one order, or ErrNotFound.
func (s *Store) OrderByRef(ctx context.Context, ref issuance.Ref) (issuance.Order, error) {
	found, err := list(s.reader(ctx), scanPlain, `SELECT `+orderColumns+` FROM orders o WHERE o.ref = $1`, int64(ref))
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return issuance.Order{}, fmt.Errorf("read order: %w", err)
	}
	return found[0], nil
}

const eventColumns = `e.id, e.ref, e.batch_no, e.kind, e.from_value, e.to_value, e.at, e.stage, e.session, e.operator, e.code, e.reason, e.attempt, e.said_at`

func scanEvent(row scanner) (e issuance.Event, err error) {
	var at, said int64
	err = row.Scan(&e.ID, &e.Ref, &e.Batch, &e.Kind, &e.From, &e.To, &at, &e.Stage, &e.Session, &e.Operator, &e.Code, &e.Reason, &e.Attempt, &said)
	e.At, e.Said = fromMicros(at), fromMicros(said)
	return e, err
}

// Events returns the history of an order, oldest first.
func (s *Store) Events(ctx context.Context, ref issuance.Ref) ([]issuance.Event, error) {
	return s.chain(ctx, `SELECT last_event FROM orders WHERE ref = $1`, int64(ref))
}

// BatchEvents returns the history of a batch itself, oldest first.
func (s *Store) BatchEvents(ctx context.Context, no issuance.BatchNo) ([]issuance.Event, error) {
	return s.chain(ctx, `SELECT last_event FROM batch WHERE no = $1`, int64(no))
}

// chain follows the events of one order or batch back from the last. They are
// linked rather than indexed: an index would cost every change of state a
// random write.
func (s *Store) chain(ctx context.Context, head string, key int64) ([]issuance.Event, error) {
	events, err := list(s.reader(ctx), scanEvent, `WITH RECURSIVE chain (id, prev) AS (
			SELECT id, prev FROM event WHERE id = (`+head+`)
			UNION ALL SELECT e.id, e.prev FROM event e JOIN chain c ON e.id = c.prev)
		SELECT `+eventColumns+` FROM chain c JOIN event e ON e.id = c.id ORDER BY e.id`, key)
	return events, wrap("read events", err)
}

// LastEventID returns the id of the newest event, 0 when there is none.
func (s *Store) LastEventID(ctx context.Context) (id int64, err error) {
	_, err = one(s.reader(ctx), []any{&id}, `SELECT coalesce(max(id), 0) FROM event`)
	return id, wrap("read the last event", err)
}

// ChangedOrders streams the orders of an issuer whose production or shipment
// changed in the events after one and up to another, by batch and row. It
// keeps eight bytes per changed order in memory.
func (s *Store) ChangedOrders(ctx context.Context, issuerID string, after, upTo int64) iter.Seq2[issuance.Order, error] {
	return func(yield func(issuance.Order, error) bool) {
		changed, err := list(s.reader(ctx), scanInt, `SELECT ref FROM event WHERE id > $1 AND id <= $2 AND kind IN ('production', 'shipment')`, after, upTo)
		if err != nil {
			yield(issuance.Order{}, wrap("read changed orders", err))
			return
		}
		slices.Sort(changed)
		for _, ref := range slices.Compact(changed) {
			o, err := s.OrderByRef(ctx, issuance.Ref(ref))
			if err == nil && o.IssuerID != issuerID {
				continue
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// ChangedBatches returns, for each batch that has events after one and up to
// another, of its own or of its orders, the id of the last of them.
func (s *Store) ChangedBatches(ctx context.Context, after, upTo int64) (map[issuance.BatchNo]int64, error) {
	last := map[issuance.BatchNo]int64{}
	err := each(s.reader(ctx), func(row scanner) error {
		var no issuance.BatchNo
		var id int64
		err := row.Scan(&no, &id)
		last[no] = id
		return err
	}, `SELECT batch_no, max(id) FROM event WHERE id > $1 AND id <= $2 GROUP BY batch_no`, after, upTo)
	return last, wrap("look for changed batches", err)
}
