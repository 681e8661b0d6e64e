package store

import (
	"context"
	"fmt"

	"cardbatch/internal/issuance"
)

// AddOrders adds rows to a batch that this session loads, all of them or none.
// A ready order whose order_id the issuer has used before, in this file or in
// an earlier one, becomes a duplicate or is rejected as
// [issuance.NewOrder.Collide] says; orders is changed accordingly. Several
// calls may run at once, in any order of rows. All other writes wait while one
// runs: some hundreds of rows per call keep them prompt.
func (s *Store) AddOrders(ctx context.Context, no issuance.BatchNo, orders []issuance.NewOrder) error {
	return s.write(ctx, "add orders", func(t *tx) error {
		if _, err := t.loading(no, s.sessionID()); err != nil {
			return err
		}
		for i := range orders {
			if err := t.add(no, &orders[i]); err != nil {
				return err
			}
		}
		_, err := t.exec(`UPDATE batch SET loaded = loaded + $1 WHERE no = $2`, len(orders), int64(no))
		return err
	})
}

func (t *tx) add(no issuance.BatchNo, n *issuance.NewOrder) error {
	if n.Ref.Batch() != no || n.Ref.Row() == 0 {
		return fmt.Errorf("%w: row %d is of another batch", ErrOutOfState, n.Ref.Row())
	}
	switch n.State {
	case issuance.Ready:
		added, err := t.insertOrder(n)
		if err != nil {
			return err
		}
		if added {
			_, err := t.exec(`INSERT INTO payload (ref, body) VALUES ($1, $2)`, int64(n.Ref), n.Payload)
			return err
		}
		first, err := t.firstUse(n.IssuerID, n.OrderID)
		if err != nil {
			return err
		}
		n.Collide(first)
	case issuance.Rejected:
	default:
		return fmt.Errorf("%w: row %d is %s", ErrOutOfState, n.Ref.Row(), n.State)
	}
	if _, err := t.insertOrder(n); err != nil {
		return err
	}
	for i, e := range n.Errors {
		_, err := t.exec(`INSERT INTO row_error (ref, n, line, column_name, code, text, masked) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			int64(n.Ref), i, e.Line, e.Column, string(e.Code), e.Text, e.Masked)
		if err != nil {
			return err
		}
	}
	return nil
}

// insertOrder adds the row, unless a live order has the order_id.
func (t *tx) insertOrder(n *issuance.NewOrder) (added bool, err error) {
	live := 0
	if n.State == issuance.Ready {
		live = 1
	}
	count, err := t.exec(`INSERT INTO orders (ref, batch_no, line, live, urgency, state, issuer_id, order_id, card_id, consumer_id,
		product_id, issuance, priority, masked_pan, pan_fingerprint, content_mac, code, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
		ON CONFLICT (issuer_id, order_id) WHERE live = 1 DO NOTHING`,
		int64(n.Ref), int64(n.Ref.Batch()), n.Line, live, int64(n.Urgency), string(n.State), n.IssuerID, n.OrderID, n.CardID, n.ConsumerID,
		n.ProductID, n.Issuance, n.Priority, n.MaskedPAN, n.PANFingerprint, n.ContentMAC, string(n.Code), n.Reason)
	return count == 1, err
}

func (t *tx) firstUse(issuerID, orderID string) (u issuance.FirstUse, err error) {
	found, err := one(t, []any{&u.FileName, &u.Line, &u.ContentMAC}, `SELECT b.file_name, o.line, o.content_mac
		FROM orders o JOIN batch b ON b.no = o.batch_no
		WHERE o.issuer_id = $1 AND o.order_id = $2 AND o.live = 1`, issuerID, orderID)
	if err == nil && !found {
		err = fmt.Errorf("first use of an order_id: %w", ErrNotFound)
	}
	return u, err
}
