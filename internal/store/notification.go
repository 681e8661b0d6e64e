package store

import (
	"context"
	"encoding/json"
	"fmt"

	"cardbatch/internal/issuance"
)

// ApplyNotification keeps the body and applies its operations to the orders
// they belong to, in one transaction; a body that was applied before is
// counted as repeated and changes nothing.
//
// An operation belongs to the order whose order_id it names as issuerRequestId.
// When it names none, it belongs to the order of its card that has its
// operation id or, failing that, to the only one of the card that was sent and
// is not final. A PRODUCE operation that belongs to no order is kept until an
// order with its issuerRequestId is accepted. An operation of another kind
// changes nothing.
func (s *Store) ApplyNotification(ctx context.Context, n issuance.Notification) (issuance.Applied, error) {
	var a issuance.Applied
	err := s.write(ctx, "apply notification", func(t *tx) error {
		a = issuance.Applied{}
		stored, err := t.keep(n)
		if a.Repeated = !stored; err != nil || a.Repeated {
			return err
		}
		at := n.ReceivedAt
		if at.IsZero() {
			at = t.now
		}
		why := issuance.Why{At: at, Stage: "notification", Session: s.sessionID()}
		for _, op := range n.Operations {
			if op.Operation != issuance.OperationProduce && op.Operation != issuance.OperationUpdateOrder {
				a.Other++
				continue
			}
			matched, changed, err := t.hear(n.IssuerID, op, why)
			if err != nil {
				return err
			}
			if !matched {
				a.Unmatched++
				if err := t.park(n.Digest, n.IssuerID, op); err != nil {
					return err
				}
				continue
			}
			a.Matched++
			if changed {
				a.Changed++
			}
		}
		if a.Unmatched+a.Other == 0 {
			return nil
		}
		_, err = t.exec(`UPDATE notification SET unmatched = $1, other = $2 WHERE issuer_id = $3 AND digest = $4`,
			a.Unmatched, a.Other, n.IssuerID, n.Digest)
		return err
	})
	return a, err
}

// keep stores the body, unless it is stored already.
func (t *tx) keep(n issuance.Notification) (stored bool, err error) {
	count, err := t.exec(`INSERT INTO notification (issuer_id, digest, body, received_at, operations) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (issuer_id, digest) DO NOTHING`,
		n.IssuerID, n.Digest, nonNil(n.Body), micros(n.ReceivedAt), len(n.Operations))
	return count == 1, err
}

// nonNil keeps an empty body from being stored as no body.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// hear applies one operation to the order or, UPDATE_ORDER, to the change it
// belongs to.
func (t *tx) hear(issuerID string, op issuance.Operation, why issuance.Why) (matched, changed bool, err error) {
	if op.Operation == issuance.OperationUpdateOrder {
		return t.hearChange(issuerID, op, why)
	}
	r, found, err := t.match(issuerID, op)
	if err != nil || !found {
		return false, false, err
	}
	if changed, err = t.hearOrder(&r, op, why); err != nil {
		return true, changed, err
	}
	return true, changed, t.heardCanceled(&r, op, why)
}

func (t *tx) hearOrder(r *record, op issuance.Operation, why issuance.Why) (changed bool, err error) {
	watched := r.watchedAt
	if r.State != issuance.Submitted {
		return true, t.hearFirst(r, op, why)
	}
	events, err := r.Hear(op, why)
	if err != nil {
		return false, err
	}
	if err := t.changed(r, events...); err != nil {
		return false, err
	}
	return len(events) > 0, t.saveProduction(r, watched)
}

// hearFirst applies news of an order that was not known to be at D1.
func (t *tx) hearFirst(r *record, op issuance.Operation, why issuance.Why) error {
	whole, _, err := t.load(r.Ref)
	if err != nil {
		return err
	}
	whole.batchState = r.batchState
	r = &whole
	events, err := r.Hear(op, why)
	if err != nil {
		return err
	}
	if err := t.changed(r, events...); err != nil {
		return err
	}
	r.NextAttemptAt, r.Asks, r.NotFound = fromMicros(0), 0, 0
	if err := t.saveState(r); err != nil {
		return err
	}
	if err := t.reopen(r, why); err != nil {
		return err
	}
	if err := t.reopenChanges(fmt.Sprintf("[%d]", r.Ref), why); err != nil {
		return err
	}
	return t.saveProduction(r, r.watchedAt)
}

// reopen opens the batch of an order again that turned out to be at D1 after
// its batch was closed: there is news to expect.
func (t *tx) reopen(r *record, why issuance.Why) error {
	if r.batchState != issuance.BatchClosed || r.Final() {
		return nil
	}
	f, err := t.file(r.Ref.Batch())
	if err != nil {
		return err
	}
	why.Reason = "D1 reports on an order of it"
	return t.changeBatch(&f, issuance.BatchAccepted, why)
}

// matchColumns is what it takes to find an order and to apply news to one that
// is submitted: every column read costs time, and most news is of that kind.
const matchColumns = `SELECT o.ref, o.order_id, o.card_id, o.state, o.attempts, o.operation_id, o.status, o.failed, o.status_reason,
	o.status_at, o.due_date, o.site, o.heard_at, o.shipment, o.shipment_at, o.watched_at, o.last_event, b.state
	FROM orders o JOIN batch b ON b.no = o.batch_no WHERE o.live = 1 AND b.state <> 'loading' AND b.state <> 'held' AND `

func scanMatch(row scanner) (r record, err error) {
	var statusAt, heard, shipmentAt int64
	var shipment string
	p := &r.Production
	err = row.Scan(&r.Ref, &r.OrderID, &r.CardID, &r.State, &r.Attempts, &r.OperationID, &p.Status, &p.Failed, &p.Reason,
		&statusAt, &p.DueDate, &p.Site, &heard, &shipment, &shipmentAt, &r.watchedAt, &r.lastEvent, &r.batchState)
	if err != nil {
		return r, err
	}
	p.At, p.HeardAt, p.ShipmentAt = fromMicros(statusAt), fromMicros(heard), fromMicros(shipmentAt)
	p.Shipment, err = decodeShipment(shipment)
	return r, err
}

// match finds the order an operation belongs to. The orders of a batch that is
// being loaded or held are not found yet: it may still be reset or refused,
// which deletes them and would take the news with them.
func (t *tx) match(issuerID string, op issuance.Operation) (record, bool, error) {
	if op.IssuerRequestID != "" {
		found, err := list(t, scanMatch, matchColumns+`o.issuer_id = $1 AND o.order_id = $2`, issuerID, op.IssuerRequestID)
		if err != nil || len(found) == 0 || (op.CardID != "" && found[0].CardID != op.CardID) {
			return record{}, false, err
		}
		return found[0], true, nil
	}
	if op.CardID == "" {
		return record{}, false, nil
	}
	found, err := list(t, scanMatch, matchColumns+`o.card_id = $1 AND o.issuer_id = $2`, op.CardID, issuerID)
	if err != nil {
		return record{}, false, err
	}
	return pick(found, op.OperationID)
}

// pick chooses among the orders of a card. An order that was never sent is no
// candidate: the operation may be about a card made before it.
func pick(ofCard []record, operationID string) (record, bool, error) {
	var open []record
	for _, r := range ofCard {
		if operationID != "" && r.OperationID == operationID {
			return r, true, nil
		}
		if r.Attempts > 0 && !r.Final() && (r.OperationID == "" || operationID == "") {
			open = append(open, r)
		}
	}
	if len(open) != 1 {
		return record{}, false, nil
	}
	return open[0], true, nil
}

// park keeps an operation that belongs to no order yet.
func (t *tx) park(digest []byte, issuerID string, op issuance.Operation) error {
	text, err := json.Marshal(op)
	if err != nil {
		return fmt.Errorf("park operation: %w", err)
	}
	_, err = t.exec(`INSERT INTO parked_operation (digest, issuer_id, issuer_request_id, operation, parked_at) VALUES ($1, $2, $3, $4, $5)`,
		digest, issuerID, op.IssuerRequestID, string(text), micros(t.now))
	return err
}

// applyParked applies the parked operations of an issuer whose order can be
// found by now.
func (t *tx) applyParked(issuerID, session string) error {
	type parked struct {
		id, at int64
		text   string
	}
	waiting, err := list(t, func(row scanner) (p parked, err error) {
		return p, row.Scan(&p.id, &p.text, &p.at)
	}, `SELECT p.id, p.operation, p.parked_at FROM parked_operation p JOIN orders o
		ON o.issuer_id = p.issuer_id AND o.order_id = p.issuer_request_id AND o.live = 1
		WHERE p.issuer_id = $1 AND p.applied_at = 0 AND p.issuer_request_id <> '' ORDER BY p.id`, issuerID)
	if err != nil {
		return err
	}
	for _, p := range waiting {
		var op issuance.Operation
		if err := json.Unmarshal([]byte(p.text), &op); err != nil {
			return fmt.Errorf("read parked operation: %w", err)
		}
		why := issuance.Why{At: fromMicros(p.at), Stage: "notification", Session: session}
		matched, _, err := t.hear(issuerID, op, why)
		if err != nil {
			return err
		}
		if !matched {
			continue
		}
		if _, err := t.exec(`UPDATE parked_operation SET applied_at = $1 WHERE id = $2`, micros(t.now), p.id); err != nil {
			return err
		}
	}
	return nil
}

// ParkedOperations returns how many operations of an issuer wait for an order
// to belong to.
func (s *Store) ParkedOperations(ctx context.Context, issuerID string) (n int64, err error) {
	_, err = one(s.reader(ctx), []any{&n}, `SELECT count(*) FROM parked_operation WHERE issuer_id = $1 AND applied_at = 0`, issuerID)
	return n, wrap("count parked operations", err)
}
