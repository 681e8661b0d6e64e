package store

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"cardbatch/internal/issuance"
)

// park keeps an operation that belongs to no order yet.
func (t *tx) park(digest []byte, issuerID string, op issuance.Operation) error {
	text, err := json.Marshal(op)
	if err != nil {
		return fmt.Errorf("park operation: %w", err)
	}
	_, err = t.exec(`INSERT INTO parked_operation (digest, issuer_id, issuer_request_id, card_id, operation_id, operation, parked_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		digest, issuerID, op.IssuerRequestID, op.CardID, op.OperationID, string(text), micros(t.now))
	return err
}

type parked struct {
	id, at int64
	text   string
}

func scanParked(row scanner) (p parked, err error) { return p, row.Scan(&p.id, &p.text, &p.at) }

// Both join to the orders first: what waits for an order that never comes costs
// a look into an index, and is not read.
const (
	sqlParkedByRequest = `SELECT p.id, p.operation, p.parked_at FROM parked_operation p JOIN orders o
		ON o.issuer_id = p.issuer_id AND o.order_id = p.issuer_request_id AND o.live = 1
		WHERE p.issuer_id = $1 AND p.applied_at = 0 AND p.issuer_request_id <> '' AND p.id > $2 ORDER BY p.id LIMIT $3`

	sqlParkedByCard = `SELECT DISTINCT p.id, p.operation, p.parked_at FROM parked_operation p JOIN orders o
		ON o.card_id = p.card_id AND o.issuer_id = p.issuer_id AND o.live = 1 AND o.state = 'submitted'
		WHERE p.issuer_id = $1 AND p.applied_at = 0 AND p.issuer_request_id = '' AND p.id > $2 ORDER BY p.id LIMIT $3`
)

// applyParked applies the parked operations of an issuer, found by a query and
// after an id, whose order can be found by now. It returns the last id it
// looked at, 0 when there are no more.
func (t *tx) applyParked(query, issuerID, session string, after int64, limit int) (last int64, applied int, err error) {
	waiting, err := list(t, scanParked, query, issuerID, after, limit)
	if err != nil {
		return 0, 0, err
	}
	for _, p := range waiting {
		var op issuance.Operation
		if err := json.Unmarshal([]byte(p.text), &op); err != nil {
			return 0, 0, fmt.Errorf("read parked operation: %w", err)
		}
		why := issuance.Why{At: fromMicros(p.at), Stage: "notification", Session: session}
		matched, _, err := t.hear(issuerID, op, why)
		if err != nil {
			return 0, 0, err
		}
		if !matched {
			continue
		}
		applied++
		if _, err := t.exec(`UPDATE parked_operation SET applied_at = $1 WHERE id = $2`, micros(t.now), p.id); err != nil {
			return 0, 0, err
		}
	}
	if len(waiting) == limit {
		last = waiting[limit-1].id
	}
	return last, applied, nil
}

// applyAllParked is applyParked for all that name an order. It belongs into the
// transaction that accepts a batch: an order that D1 reports on must not be
// there to be sent for one moment.
func (t *tx) applyAllParked(issuerID, session string) error {
	for after := int64(0); ; {
		last, _, err := t.applyParked(sqlParkedByRequest, issuerID, session, after, page)
		if err != nil || last == 0 {
			return err
		}
		after = last
	}
}

// ApplyParked applies the parked operations of an issuer that belong to an order
// by now. Those that name their order are applied when it is accepted and need
// no help; this is for those that name none, whose order has become known to be
// at D1 or learnt its operation id since.
func (s *Store) ApplyParked(ctx context.Context, issuerID string) (applied int, err error) {
	for _, query := range []string{sqlParkedByRequest, sqlParkedByCard} {
		for after := int64(0); ; {
			// Most often there is nothing, and then nothing is written.
			found, err := list(s.reader(ctx), scanParked, query, issuerID, after, 1)
			if err != nil {
				return applied, wrap("look for parked operations", err)
			}
			if len(found) == 0 {
				break
			}
			var last int64
			err = s.write(ctx, "apply parked operations", func(t *tx) (err error) {
				var n int
				last, n, err = t.applyParked(query, issuerID, s.sessionID(), after, parkedSlice)
				applied += n
				return err
			})
			if err != nil {
				return applied, err
			}
			if last == 0 {
				break
			}
			after = last
		}
	}
	return applied, nil
}

// parkedSlice is how many parked operations are applied in one write.
const parkedSlice = 200

// ParkedCount returns how many operations of an issuer wait for an order to
// belong to.
func (s *Store) ParkedCount(ctx context.Context, issuerID string) (n int64, err error) {
	_, err = one(s.reader(ctx), []any{&n}, `SELECT count(*) FROM parked_operation WHERE issuer_id = $1 AND applied_at = 0`, issuerID)
	return n, wrap("count parked operations", err)
}

// ParkedOperations streams the operations of an issuer that have waited for
// their order since before a time, the oldest first. An order that has not
// appeared in days will not: it was refused with its file, was never ours, or is
// ours for another card.
func (s *Store) ParkedOperations(ctx context.Context, issuerID string, before time.Time) iter.Seq2[issuance.Parked, error] {
	type numbered struct {
		issuance.Parked
		id, at int64
	}
	all := pages("read parked operations", func(after *numbered) ([]numbered, error) {
		at, id := int64(-1), int64(0)
		if after != nil {
			at, id = after.at, after.id
		}
		return list(s.reader(ctx), func(row scanner) (p numbered, err error) {
			p.IssuerID = issuerID
			err = row.Scan(&p.id, &p.IssuerRequestID, &p.OperationID, &p.CardID, &p.InputFileName, &p.Status, &p.at)
			p.ParkedAt = fromMicros(p.at)
			return p, err
		}, `SELECT id, issuer_request_id, operation_id, card_id,
			coalesce(operation ->> 'InputFileName', ''), coalesce(operation ->> 'Production', ''), parked_at FROM parked_operation
			WHERE issuer_id = $1 AND applied_at = 0 AND parked_at < $2 AND (parked_at, id) > ($3, $4) ORDER BY parked_at, id LIMIT $5`,
			issuerID, micros(before), at, id, page)
	})
	return func(yield func(issuance.Parked, error) bool) {
		for p, err := range all {
			if !yield(p.Parked, err) {
				return
			}
		}
	}
}
