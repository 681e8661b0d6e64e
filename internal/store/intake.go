package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"cardbatch/internal/issuance"
)

// AddOrders adds rows to a batch that this session loads, all of them or none.
// A ready order is judged by what is there already; orders is changed
// accordingly:
//
//   - the issuer has used its order_id before, in this file or in an earlier
//     one: a duplicate or rejected, as [issuance.NewOrder.Collide] says
//   - its SamePAN has the same PAN: rejected
//   - its card has an order that is not finished: rejected
//
// Several calls may run at once, in any order of rows; a row named by SamePAN
// must have been added before. All other writes wait while one runs: some
// hundreds of rows per call keep them prompt. While many others write, loading
// gets a share of the writer only.
func (s *Store) AddOrders(ctx context.Context, no issuance.BatchNo, orders []issuance.NewOrder) error {
	return s.writeBulk(ctx, "add orders", func(t *tx) error {
		f, err := t.loading(no, s.sessionID())
		if err != nil {
			return err
		}
		if f.Kind != issuance.BatchOrders {
			return fmt.Errorf("%w: batch %s is not of orders", ErrOutOfState, f.ID)
		}
		busy, err := t.openOrders(orders)
		if err != nil {
			return err
		}
		for i := range orders {
			if err := t.add(no, &orders[i], busy); err != nil {
				return err
			}
		}
		_, err = t.exec(`UPDATE batch SET loaded = loaded + $1 WHERE no = $2`, len(orders), int64(no))
		return err
	})
}

func (t *tx) add(no issuance.BatchNo, n *issuance.NewOrder, busy map[cardOf]issuance.OpenOrder) error {
	if n.Ref.Batch() != no || n.Ref.Row() == 0 {
		return fmt.Errorf("%w: row %d is of another batch", ErrOutOfState, n.Ref.Row())
	}
	switch n.State {
	case issuance.Ready:
		if added, err := t.addReady(n, busy); err != nil || added {
			return err
		}
	case issuance.Rejected:
	default:
		return fmt.Errorf("%w: row %d is %s", ErrOutOfState, n.Ref.Row(), n.State)
	}
	if _, err := t.insertOrder(n); err != nil {
		return err
	}
	return t.addErrors(n.Ref, n.Errors)
}

func (t *tx) addErrors(ref issuance.Ref, errors []issuance.RowError) error {
	for i, e := range errors {
		_, err := t.exec(`INSERT INTO row_error (ref, n, line, column_name, code, text, masked) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			int64(ref), i, e.Line, e.Column, string(e.Code), e.Text, e.Masked)
		if err != nil {
			return err
		}
	}
	return nil
}

// addReady adds a row that is not rejected so far, or says why it is.
func (t *tx) addReady(n *issuance.NewOrder, busy map[cardOf]issuance.OpenOrder) (added bool, err error) {
	card := cardOf{n.IssuerID, n.CardID}
	open, isBusy := busy[card]
	if isBusy || n.SamePAN != 0 { // rare; a repeat of the order itself comes first
		first, used, err := t.firstUse(n.IssuerID, n.OrderID)
		if err != nil {
			return false, err
		}
		if used {
			n.Collide(first)
			return false, nil
		}
		if line, same, err := t.samePAN(n); err != nil || same {
			n.RepeatPAN(line)
			return false, err
		}
	}
	if isBusy {
		if open.FileName == "" { // it is of this call
			if err := t.fileOf(n.Ref, &open.FileName); err != nil {
				return false, err
			}
		}
		n.CardBusy(open)
		return false, nil
	}
	added, err = t.insertOrder(n)
	if err != nil {
		return false, err
	}
	if added {
		busy[card] = issuance.OpenOrder{OrderID: n.OrderID, Line: n.Line}
		_, err := t.exec(`INSERT INTO payload (ref, body) VALUES ($1, $2)`, int64(n.Ref), n.Payload)
		return true, err
	}
	first, used, err := t.firstUse(n.IssuerID, n.OrderID)
	if err == nil && !used {
		err = fmt.Errorf("first use of an order_id: %w", ErrNotFound)
	}
	n.Collide(first)
	return false, err
}

// cardOf identifies a card.
type cardOf struct{ issuerID, cardID string }

// openOrders returns the unfinished orders of the cards that ready rows are
// for. A submitted order is watched until it is final.
func (t *tx) openOrders(orders []issuance.NewOrder) (map[cardOf]issuance.OpenOrder, error) {
	cards := make([]string, 0, len(orders))
	for i := range orders {
		if orders[i].State == issuance.Ready {
			cards = append(cards, orders[i].CardID)
		}
	}
	busy := make(map[cardOf]issuance.OpenOrder, len(orders))
	if len(cards) == 0 {
		return busy, nil
	}
	text, err := json.Marshal(cards)
	if err != nil {
		return nil, err
	}
	err = each(t, func(row scanner) error {
		var card cardOf
		var open issuance.OpenOrder
		err := row.Scan(&card.issuerID, &card.cardID, &open.OrderID, &open.FileName, &open.Line)
		busy[card] = open
		return err
	}, sqlOpenOrders, string(text))
	return busy, err
}

// samePAN compares the row with the one that seems to have the same PAN.
func (t *tx) samePAN(n *issuance.NewOrder) (line int64, same bool, err error) {
	if n.SamePAN == 0 {
		return 0, false, nil
	}
	var pan []byte
	found, err := one(t, []any{&line, &pan}, `SELECT line, pan_fingerprint FROM orders WHERE ref = $1`, int64(n.SamePAN))
	return line, found && len(pan) > 0 && bytes.Equal(pan, n.PANFingerprint), err
}

func (t *tx) fileOf(ref issuance.Ref, name *string) error {
	_, err := one(t, []any{name}, `SELECT file_name FROM batch WHERE no = $1`, int64(ref.Batch()))
	return err
}

// insertOrder adds the row, unless a live order has the order_id.
func (t *tx) insertOrder(n *issuance.NewOrder) (added bool, err error) {
	live := 0
	if n.State == issuance.Ready {
		live = 1
	}
	count, err := t.exec(`INSERT INTO orders (ref, batch_no, line, live, urgency, state, issuer_id, order_id, card_id, consumer_id,
		product_id, issuance, priority, masked_pan, pan_fingerprint, content_mac, code, reason, no_shipment)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (issuer_id, order_id) WHERE live = 1 DO NOTHING`,
		int64(n.Ref), int64(n.Ref.Batch()), n.Line, live, int64(n.Urgency), string(n.State), n.IssuerID, n.OrderID, n.CardID, n.ConsumerID,
		n.ProductID, n.Issuance, n.Priority, n.MaskedPAN, n.PANFingerprint, n.ContentMAC, string(n.Code), n.Reason, n.Production.NoShipment)
	return count == 1, err
}

func (t *tx) firstUse(issuerID, orderID string) (u issuance.FirstUse, found bool, err error) {
	found, err = one(t, []any{&u.FileName, &u.Line, &u.ContentMAC}, `SELECT b.file_name, o.line, o.content_mac
		FROM orders o JOIN batch b ON b.no = o.batch_no
		WHERE o.issuer_id = $1 AND o.order_id = $2 AND o.live = 1`, issuerID, orderID)
	return u, found, err
}
