package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cardbatch/internal/issuance"
)

// record is an order with what only the store needs to know of it.
type record struct {
	issuance.Order
	session    string
	watchedAt  int64
	lastEvent  int64
	batchState issuance.BatchState // where the query joins it
}

const orderColumns = `o.ref, o.line, o.issuer_id, o.order_id, o.card_id, o.consumer_id, o.product_id, o.issuance,
	o.priority, o.urgency, o.masked_pan, o.pan_fingerprint, o.content_mac, o.state, o.code, o.reason, o.attempts, o.asks, o.not_found,
	o.next_attempt_at, o.correlation_id, o.operation_id, o.submitted_at, o.status, o.failed, o.status_reason, o.status_at,
	o.due_date, o.site, o.heard_at, o.shipment, o.shipment_at, o.parcel_at, o.beneath, o.no_shipment, o.other_operations, o.session, o.watched_at, o.last_event`

func scanOrder(row scanner) (r record, err error) {
	var next, submitted, statusAt, heard, shipmentAt, parcelAt int64
	var shipment, beneath, others string
	p := &r.Production
	err = row.Scan(&r.Ref, &r.Line, &r.IssuerID, &r.OrderID, &r.CardID, &r.ConsumerID, &r.ProductID, &r.Issuance,
		&r.Priority, &r.Urgency, &r.MaskedPAN, &r.PANFingerprint, &r.ContentMAC, &r.State, &r.Code, &r.Reason, &r.Attempts, &r.Asks, &r.NotFound,
		&next, &r.CorrelationID, &r.OperationID, &submitted, &p.Status, &p.Failed, &p.Reason, &statusAt,
		&p.DueDate, &p.Site, &heard, &shipment, &shipmentAt, &parcelAt, &beneath, &p.NoShipment, &others, &r.session, &r.watchedAt, &r.lastEvent)
	if err != nil {
		return record{}, err
	}
	r.NextAttemptAt, r.SubmittedAt = fromMicros(next), fromMicros(submitted)
	p.At, p.HeardAt = fromMicros(statusAt), fromMicros(heard)
	p.ShipmentAt, p.ParcelAt = fromMicros(shipmentAt), fromMicros(parcelAt)
	return r, r.decode(shipment, beneath, others)
}

// decode reads the columns that hold JSON. They are empty for most orders.
func (r *record) decode(shipment, beneath, others string) error {
	for _, column := range []struct {
		what, text string
		into       any
	}{{"shipment", shipment, &r.Production.Shipment}, {"step", beneath, &r.Production.Beneath}, {"operations", others, &r.OtherOperations}} {
		if column.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(column.text), column.into); err != nil {
			return fmt.Errorf("read %s of an order: %w", column.what, err)
		}
	}
	return nil
}

// encode writes what has nothing in it as nothing.
func encode[T any](v T, empty bool) (string, error) {
	if empty {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
}

// load reads an order inside the transaction that will change it.
func (t *tx) load(ref issuance.Ref) (record, bool, error) {
	found, err := list(t, scanOrder, `SELECT `+orderColumns+` FROM orders o WHERE o.ref = $1`, int64(ref))
	if err != nil || len(found) == 0 {
		return record{}, false, err
	}
	return found[0], true, nil
}

// change makes a legal transition and writes its event. What goes with the new
// state in the order's row is up to saveState.
func (t *tx) change(r *record, to issuance.State, why issuance.Why) error {
	e, err := r.Transition(to, why)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutOfState, err)
	}
	return t.changed(r, e)
}

// changed writes the events of a change and draws what follows from it.
func (t *tx) changed(r *record, events ...issuance.Event) error {
	for _, e := range events {
		if err := t.append(&r.lastEvent, e); err != nil {
			return err
		}
	}
	r.settle(t.now)
	return nil
}

// settle draws what follows from a change.
func (r *record) settle(now time.Time) {
	r.session = ""
	switch {
	case r.State != issuance.Submitted || r.Final():
		r.watchedAt = 0
	case r.watchedAt == 0:
		r.watchedAt = micros(now)
	}
}

// saveState writes all that a change of state can change.
func (t *tx) saveState(r *record) error {
	_, err := t.exec(`UPDATE orders SET state = $1, code = $2, reason = $3, attempts = $4, asks = $5, not_found = $6, next_attempt_at = $7,
		correlation_id = $8, operation_id = $9, submitted_at = $10, session = $11, watched_at = $12, last_event = $13 WHERE ref = $14`,
		string(r.State), string(r.Code), r.Reason, r.Attempts, r.Asks, r.NotFound, micros(r.NextAttemptAt),
		r.CorrelationID, r.OperationID, micros(r.SubmittedAt), r.session, r.watchedAt, r.lastEvent, int64(r.Ref))
	if err != nil {
		return err
	}
	if r.State == issuance.Submitted {
		_, err = t.exec(`DELETE FROM payload WHERE ref = $1`, int64(r.Ref))
	}
	return err
}

// saveProduction writes all that news of production can change in an order
// that was submitted before.
func (t *tx) saveProduction(r *record, watched int64) error {
	p := &r.Production
	shipment, err := encode(p.Shipment, p.Shipment == issuance.Shipment{})
	if err != nil {
		return err
	}
	beneath, err := encode(p.Beneath, p.Beneath == issuance.Step{})
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE orders SET operation_id = $1, status = $2, failed = $3, status_reason = $4, status_at = $5, due_date = $6,
		site = $7, heard_at = $8, shipment = $9, shipment_at = $10, parcel_at = $11, beneath = $12, not_found = 0, last_event = $13 WHERE ref = $14`,
		r.OperationID, string(p.Status), p.Failed, p.Reason, micros(p.At), p.DueDate,
		p.Site, micros(p.HeardAt), shipment, micros(p.ShipmentAt), micros(p.ParcelAt), beneath, r.lastEvent, int64(r.Ref))
	if err != nil || r.watchedAt == watched {
		return err
	}
	_, err = t.exec(`UPDATE orders SET watched_at = $1 WHERE ref = $2`, r.watchedAt, int64(r.Ref))
	return err
}

// saveOperations writes the operation ids of an order that D1 took twice.
func (t *tx) saveOperations(r *record) error {
	others, err := encode(r.OtherOperations, len(r.OtherOperations) == 0)
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE orders SET operation_id = $1, other_operations = $2, last_event = $3 WHERE ref = $4`,
		r.OperationID, others, r.lastEvent, int64(r.Ref))
	return err
}

// append writes an event at the head of the chain of its order or batch. Ids
// rise in the order of commits, because only one transaction at a time writes.
func (t *tx) append(head *int64, e issuance.Event) error {
	id, err := t.nextEvent()
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO event (id, prev, ref, batch_no, kind, from_value, to_value, at, stage, session, operator, code, reason, attempt, said_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		id, *head, int64(e.Ref), int64(e.Batch), string(e.Kind), e.From, e.To, micros(e.At), e.Stage, e.Session, e.Operator,
		string(e.Code), e.Reason, e.Attempt, micros(e.Said))
	*head = id
	return err
}

func (t *tx) nextEvent() (int64, error) {
	if t.lastEvent == 0 {
		if _, err := one(t, []any{&t.lastEvent}, `SELECT coalesce(max(id), 0) FROM event`); err != nil {
			return 0, err
		}
	}
	t.lastEvent++
	return t.lastEvent, nil
}

// oneOf returns a list of quoted constants of ours for an IN.
func oneOf[T ~string](values []T) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "'" + strings.ReplaceAll(string(v), "'", "''") + "'"
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// refs returns the first and the last key an order of the batch can have.
func refs(no issuance.BatchNo) (first, last int64) {
	return int64(issuance.NewRef(no, 0)), int64(issuance.NewRef(no, issuance.MaxRows))
}
