package store

import (
	"context"
	"fmt"
	"slices"

	"cardbatch/internal/issuance"
)

// ApplyNotification keeps the body and applies its operations to the orders
// they belong to, in one transaction; a body that was applied before is
// counted as repeated and changes nothing.
//
// An operation belongs to the order whose order_id it names as issuerRequestId.
// When it names none, it belongs to the order of its card that has its
// operation id or, failing that, to the only one of the card that D1 is known to
// have and is not final, unless the two have different operation ids. It
// is not taken for a proof that D1 has an order: it may be about a card that was
// made before, and an order wrongly taken for submitted would be lost, while one
// wrongly taken for unknown is asked about.
//
// A PRODUCE operation that belongs to no order is parked until an order that it
// belongs to is accepted, or turns out to be the one; see ApplyParked. An
// operation of another kind changes nothing.
func (s *Store) ApplyNotification(ctx context.Context, n issuance.Notification) (issuance.Applied, error) {
	in := &news{Notification: n, session: s.sessionID()}
	err := s.enqueue(&write{ctx: ctx, name: "apply notification", news: in, weight: len(n.Operations),
		fn: func(t *tx) error { return t.applyAlone(in) }})
	return in.applied, err
}

// applyAlone applies one notification, whatever is in it.
func (t *tx) applyAlone(n *news) error {
	n.applied = issuance.Applied{}
	a := &n.applied
	stored, err := t.keep(n.Notification)
	if a.Repeated = !stored; err != nil || a.Repeated {
		return err
	}
	why := n.why(t)
	for i := range n.Operations {
		if err := t.apply(&n.Notification, &n.Operations[i], why, a); err != nil {
			return err
		}
	}
	if a.Unmatched+a.Other == 0 {
		return nil
	}
	_, err = t.exec(`UPDATE notification SET unmatched = $1, other = $2 WHERE issuer_id = $3 AND digest = $4`,
		a.Unmatched, a.Other, n.IssuerID, n.Digest)
	return err
}

// apply applies one operation of a notification, by its kind.
func (t *tx) apply(n *issuance.Notification, op *issuance.Operation, why issuance.Why, a *issuance.Applied) error {
	strange, err := t.noteStrange(n.IssuerID, op, why)
	a.Strange += strange
	if err != nil {
		return err
	}
	switch op.Operation {
	case issuance.OperationProduce, issuance.OperationUpdateOrder:
		return t.applyKnown(n, op, why, a)
	default:
		a.Other++
		return nil
	}
}

func (t *tx) applyKnown(n *issuance.Notification, op *issuance.Operation, why issuance.Why, a *issuance.Applied) error {
	matched, changed, err := t.hear(n.IssuerID, *op, why)
	switch {
	case err != nil:
		return err
	case !matched:
		a.Unmatched++
		return t.park(n.Digest, n.IssuerID, *op)
	case changed:
		a.Changed++
	}
	a.Matched++
	return nil
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
	watched, others := r.watchedAt, len(r.OtherOperations)
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
	if len(r.OtherOperations) > others {
		if err := t.saveOperations(r); err != nil {
			return false, err
		}
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
	if err := t.saveOperations(r); err != nil {
		return err
	}
	return t.saveProduction(r, r.watchedAt)
}

// learnOperation adds an operation id to an order that D1 is known to have.
func (t *tx) learnOperation(r *record, id string, why issuance.Why) error {
	before := r.OperationID
	events := r.HearOperationID(id, why)
	if r.OperationID == before && len(events) == 0 {
		return nil
	}
	if err := t.changed(r, events...); err != nil {
		return err
	}
	return t.saveOperations(r)
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
const (
	matchFields = `o.ref, o.order_id, o.card_id, o.state, o.attempts, o.operation_id, o.status, o.failed, o.status_reason,
	o.status_at, o.due_date, o.site, o.heard_at, o.shipment, o.shipment_at, o.parcel_at, o.beneath, o.no_shipment, o.other_operations,
	o.watched_at, o.last_event, b.state`
	matchWhere   = `o.live = 1 AND b.state <> 'loading' AND b.state <> 'held'`
	matchColumns = `SELECT ` + matchFields + ` FROM orders o JOIN batch b ON b.no = o.batch_no WHERE ` + matchWhere + ` AND `
)

func scanMatch(row scanner) (r record, err error) {
	var statusAt, heard, shipmentAt, parcelAt int64
	var shipment, beneath, others string
	p := &r.Production
	err = row.Scan(&r.Ref, &r.OrderID, &r.CardID, &r.State, &r.Attempts, &r.OperationID, &p.Status, &p.Failed, &p.Reason,
		&statusAt, &p.DueDate, &p.Site, &heard, &shipment, &shipmentAt, &parcelAt, &beneath, &p.NoShipment, &others,
		&r.watchedAt, &r.lastEvent, &r.batchState)
	if err != nil {
		return r, err
	}
	p.At, p.HeardAt = fromMicros(statusAt), fromMicros(heard)
	p.ShipmentAt, p.ParcelAt = fromMicros(shipmentAt), fromMicros(parcelAt)
	return r, r.decode(shipment, beneath, others)
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

// pick chooses among the orders of a card.
func pick(ofCard []record, operationID string) (record, bool, error) {
	var open []record
	for _, r := range ofCard {
		if operationID != "" && (r.OperationID == operationID || slices.Contains(r.OtherOperations, operationID)) {
			return r, true, nil
		}
		if r.State == issuance.Submitted && !r.Final() && (r.OperationID == "" || operationID == "") {
			open = append(open, r)
		}
	}
	if len(open) != 1 {
		return record{}, false, nil
	}
	return open[0], true, nil
}
