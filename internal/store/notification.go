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
		id, err := t.keep(n)
		if err != nil {
			return err
		}
		if a.Repeated = id == 0; a.Repeated {
			return nil
		}
		at := n.ReceivedAt
		if at.IsZero() {
			at = t.now
		}
		why := issuance.Why{At: at, Stage: "notification", Session: s.sessionID()}
		for _, op := range n.Operations {
			if op.Operation != issuance.OperationProduce {
				a.Other++
				continue
			}
			matched, changed, err := t.hear(n.IssuerID, op, why)
			if err != nil {
				return err
			}
			if !matched {
				a.Unmatched++
				if err := t.park(id, n.IssuerID, op); err != nil {
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
		_, err = t.exec(`UPDATE notification SET unmatched = $1, other = $2 WHERE id = $3`, a.Unmatched, a.Other, id)
		return err
	})
	return a, err
}

// keep stores the body and returns its key, 0 when it is stored already.
func (t *tx) keep(n issuance.Notification) (id int64, err error) {
	_, err = one(t, []any{&id}, `INSERT INTO notification (issuer_id, digest, body, received_at, operations) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (issuer_id, digest) DO NOTHING RETURNING id`,
		n.IssuerID, n.Digest, nonNil(n.Body), micros(n.ReceivedAt), len(n.Operations))
	return id, err
}

// nonNil keeps an empty body from being stored as no body.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// hear applies one PRODUCE operation to the order it belongs to.
func (t *tx) hear(issuerID string, op issuance.Operation, why issuance.Why) (matched, changed bool, err error) {
	r, found, err := t.match(issuerID, op)
	if err != nil || !found {
		return false, false, err
	}
	changed, err = t.hearOrder(&r, op, why)
	return true, changed, err
}

func (t *tx) hearOrder(r *record, op issuance.Operation, why issuance.Why) (changed bool, err error) {
	was, watched := r.State, r.watchedAt
	events, err := r.Hear(op, why)
	if err != nil {
		return false, err
	}
	if err := t.changed(r, events...); err != nil {
		return false, err
	}
	if was != issuance.Submitted {
		r.NextAttemptAt, r.Asks = fromMicros(0), 0
		if err := t.saveState(r); err != nil {
			return false, err
		}
		if err := t.reopen(r, why); err != nil {
			return false, err
		}
		watched = r.watchedAt
	}
	return len(events) > 0, t.saveProduction(r, watched)
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

const matchColumns = `SELECT ` + orderColumns + `, b.state FROM orders o JOIN batch b ON b.no = o.batch_no WHERE o.live = 1 AND b.state <> 'loading' AND `

func scanMatch(row scanner) (r record, err error) {
	var state issuance.BatchState
	r, err = scanOrderAnd(row, &state)
	r.batchState = state
	return r, err
}

// match finds the order an operation belongs to. The orders of a batch that is
// being loaded are not found yet: it may still be reset.
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
func (t *tx) park(notification int64, issuerID string, op issuance.Operation) error {
	text, err := json.Marshal(op)
	if err != nil {
		return fmt.Errorf("park operation: %w", err)
	}
	_, err = t.exec(`INSERT INTO parked_operation (notification_id, issuer_id, issuer_request_id, operation, parked_at) VALUES ($1, $2, $3, $4, $5)`,
		notification, issuerID, op.IssuerRequestID, string(text), micros(t.now))
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
