package store

import (
	"encoding/json"

	"cardbatch/internal/issuance"
)

// news is a notification on its way into the store, and what became of it.
type news struct {
	issuance.Notification
	applied issuance.Applied
	session string
	alone   bool // it needs more than applyTogether does
}

func (n *news) why(t *tx) issuance.Why {
	at := n.ReceivedAt
	if at.IsZero() {
		at = t.now
	}
	return issuance.Why{At: at, Stage: "notification", Session: n.session}
}

// plain reports whether a notification is of the kind nearly all are: every
// operation names its order, has only words that we know, and says nothing of a
// change; see heardCanceled.
func (n *news) plain() bool {
	for i := range n.Operations {
		op := &n.Operations[i]
		if op.Operation != issuance.OperationProduce || op.IssuerRequestID == "" || op.Production == issuance.CardProdCanceled {
			return false
		}
		for range op.Strange() {
			return false
		}
	}
	return true
}

// orderKey identifies an order as D1 names it.
type orderKey struct{ issuerID, orderID string }

// heard is an order that a transaction applies news to, as it was read before
// the first of them.
type heard struct {
	record
	watched    int64
	operations int
	touched    bool
}

// applyTogether applies many notifications at once, with the same effect as one
// after the other and a few statements for all of them: a statement costs this
// driver more than the row it changes. It does so for those that are plain and
// about orders that are known to be at D1; the others it marks to be applied
// alone. An error says nothing about who caused it: all must be undone, and each
// be tried alone.
func (t *tx) applyTogether(all []*news) error {
	orders, err := t.ordersOf(all)
	if err != nil {
		return err
	}
	together := make([]*news, 0, len(all))
	for _, n := range all {
		if n.applied, n.alone = (issuance.Applied{}), !n.plain() || !n.known(orders); !n.alone {
			together = append(together, n)
		}
	}
	if together, err = t.keepAll(together); err != nil {
		return err
	}
	var events []issuance.Event
	var heads []int64
	var touched []*heard
	for _, n := range together {
		why := n.why(t)
		for i := range n.Operations {
			h := orders[orderKey{n.IssuerID, n.Operations[i].IssuerRequestID}]
			came, err := h.Hear(n.Operations[i], why)
			if err != nil {
				return err
			}
			for j := range came {
				heads = append(heads, h.lastEvent)
				if came[j].ID, err = t.nextEvent(); err != nil {
					return err
				}
				h.lastEvent = came[j].ID
			}
			h.settle(t.now)
			if !h.touched {
				h.touched = true
				touched = append(touched, h)
			}
			events = append(events, came...)
			n.applied.Matched++
			if len(came) > 0 {
				n.applied.Changed++
			}
		}
	}
	if err := t.appendAll(events, heads); err != nil {
		return err
	}
	return t.saveHeard(touched)
}

// known reports whether every operation belongs to an order that was submitted.
func (n *news) known(orders map[orderKey]*heard) bool {
	for i := range n.Operations {
		op := &n.Operations[i]
		h := orders[orderKey{n.IssuerID, op.IssuerRequestID}]
		if h == nil || h.State != issuance.Submitted || (op.CardID != "" && h.CardID != op.CardID) {
			return false
		}
	}
	return true
}

// ordersOf reads the orders that plain notifications name.
func (t *tx) ordersOf(all []*news) (map[orderKey]*heard, error) {
	orders := map[orderKey]*heard{}
	named := map[string][]string{}
	for _, n := range all {
		if !n.plain() {
			continue
		}
		for i := range n.Operations {
			key := orderKey{n.IssuerID, n.Operations[i].IssuerRequestID}
			if _, asked := orders[key]; !asked {
				orders[key] = nil
				named[n.IssuerID] = append(named[n.IssuerID], key.orderID)
			}
		}
	}
	for issuerID, ids := range named {
		text, err := json.Marshal(ids)
		if err != nil {
			return nil, err
		}
		err = each(t, func(row scanner) error {
			r, err := scanMatch(row)
			orders[orderKey{issuerID, r.OrderID}] = &heard{record: r, watched: r.watchedAt, operations: len(r.OtherOperations)}
			return err
		}, sqlMatchAll, issuerID, string(text))
		if err != nil {
			return nil, err
		}
	}
	return orders, nil
}

// keepAll stores bodies and returns the notifications whose body was not stored
// before; the others are repeats.
func (t *tx) keepAll(all []*news) ([]*news, error) {
	if len(all) == 0 {
		return nil, nil
	}
	var last int64
	if _, err := one(t, []any{&last}, `SELECT coalesce(max(id), 0) FROM notification`); err != nil {
		return nil, err
	}
	args := make([]any, 0, 6*len(all))
	for i, n := range all {
		args = append(args, last+1+int64(i), n.IssuerID, n.Digest, nonNil(n.Body), micros(n.ReceivedAt), int64(len(n.Operations)))
	}
	stored, err := t.execRows(sqlKeepAll, 6, args)
	if err != nil || stored == int64(len(all)) {
		return all, err
	}
	isNew := make([]bool, len(all))
	err = each(t, func(row scanner) error {
		var id int64
		err := row.Scan(&id)
		isNew[id-last-1] = true
		return err
	}, `SELECT id FROM notification WHERE id > $1`, last)
	if err != nil {
		return nil, err
	}
	var fresh []*news
	for i, n := range all {
		if n.applied.Repeated = !isNew[i]; isNew[i] {
			fresh = append(fresh, n)
		}
	}
	return fresh, nil
}

// appendAll writes events that have their ids, each at the head of its chain.
func (t *tx) appendAll(events []issuance.Event, heads []int64) error {
	args := make([]any, 0, 12*len(events))
	for i := range events {
		e := &events[i]
		args = append(args, e.ID, heads[i], int64(e.Ref), string(e.Kind), e.From, e.To, micros(e.At), e.Stage, e.Session,
			string(e.Code), e.Reason, micros(e.Said))
	}
	_, err := t.execRows(sqlEvents, 12, args)
	return err
}

// saveHeard writes what news of production changed in submitted orders.
func (t *tx) saveHeard(orders []*heard) error {
	args := make([]any, 0, 14*len(orders))
	var watched []any
	for _, h := range orders {
		p := &h.Production
		shipment, err := encode(p.Shipment, p.Shipment == issuance.Shipment{})
		if err != nil {
			return err
		}
		beneath, err := encode(p.Beneath, p.Beneath == issuance.Step{})
		if err != nil {
			return err
		}
		args = append(args, int64(h.Ref), h.OperationID, string(p.Status), p.Failed, p.Reason, micros(p.At), p.DueDate,
			p.Site, micros(p.HeardAt), shipment, micros(p.ShipmentAt), micros(p.ParcelAt), beneath, h.lastEvent)
		if h.watched != h.watchedAt {
			watched = append(watched, int64(h.Ref), h.watchedAt)
		}
		if len(h.OtherOperations) > h.operations {
			if err := t.saveOperations(&h.record); err != nil {
				return err
			}
		}
	}
	if _, err := t.execRows(sqlProductions, 14, args); err != nil {
		return err
	}
	_, err := t.execRows(sqlWatchedSince, 2, watched)
	return err
}

// mostRows is how many rows a statement has at most. The driver looks for each
// argument in the list of all.
const mostRows = 8

// execRows runs a statement for all rows whose values are args, width of them
// each, by and by, and returns how many rows it changed.
func (t *tx) execRows(query string, width int, args []any) (changed int64, err error) {
	for n := mostRows; len(args) > 0; {
		if len(args) < n*width {
			n /= 2
			continue
		}
		st, err := t.stmts.rows(t.ctx, query, n, width) //nolint:sqlclosecheck // kept for the next time
		if err != nil {
			return changed, err
		}
		res, err := st.ExecContext(t.ctx, args[:n*width]...)
		if err != nil {
			return changed, err
		}
		did, err := res.RowsAffected()
		if err != nil {
			return changed, err
		}
		changed += did
		args = args[n*width:]
	}
	return changed, nil
}
