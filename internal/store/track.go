package store

import (
	"context"
	"time"

	"cardbatch/internal/issuance"
)

// DueForTracking returns up to max orders of an issuer that D1 should be asked
// about: first the unknown ones whose time has come, then the submitted ones
// that are not final and of which nothing was heard for the time of silence.
// The same orders are returned until HearOrders or DecideUnknown is told of
// the answer.
func (s *Store) DueForTracking(ctx context.Context, issuerID string, silence time.Duration, max int) ([]issuance.Order, error) {
	due, err := s.dueUnknown(ctx, issuerID, max)
	if err != nil || len(due) >= max {
		return due, wrap("look for orders to track", err)
	}
	for {
		quiet, heard, err := s.dueSilent(ctx, issuerID, silence, max-len(due))
		if err != nil {
			return nil, wrap("look for orders to track", err)
		}
		if len(heard) == 0 {
			return append(due, quiet...), nil
		}
		if err := s.watchFrom(ctx, heard); err != nil {
			return nil, err
		}
	}
}

// dueUnknown and dueSilent go from batch to batch: within one the index gives
// the order, so that as much is read as is returned.
func (s *Store) dueUnknown(ctx context.Context, issuerID string, max int) ([]issuance.Order, error) {
	var due []issuance.Order
	open, err := openBatches(s.reader(ctx), issuerID)
	if err != nil {
		return nil, err
	}
	for _, u := range issuance.Urgencies() {
		for _, no := range open {
			if len(due) >= max {
				return due, nil
			}
			found, err := list(s.reader(ctx), scanPlain, sqlUnknown, no, int64(u), micros(s.now()), max-len(due))
			if err != nil {
				return nil, err
			}
			due = append(due, found...)
		}
	}
	return due, nil
}

func openBatches(q querier, issuerID string) ([]int64, error) {
	return list(q, scanInt, sqlOpenBatches, issuerID)
}

const (
	sqlOpenBatches = `SELECT b.no FROM batch b WHERE ` + openBatch + `b.issuer_id = $1 ORDER BY b.no`

	sqlUnknown = `SELECT ` + orderColumns + ` FROM orders o
		WHERE ` + openOrder + `o.batch_no = $1 AND o.state = 'unknown' AND o.urgency = $2 AND o.next_attempt_at <= $3
		ORDER BY o.next_attempt_at, o.ref LIMIT $4`

	sqlWatched = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.batch_no = $1 AND o.watched_at > 0 AND o.watched_at <= $2 ORDER BY o.watched_at, o.ref LIMIT $3`
)

func scanPlain(row scanner) (issuance.Order, error) {
	r, err := scanOrder(row)
	return r.Order, err
}

// dueSilent looks at the orders we have waited on the longest. Waiting counts
// from when it was last looked at, so that a notification need not touch the
// index; the orders heard of since are returned apart.
func (s *Store) dueSilent(ctx context.Context, issuerID string, silence time.Duration, limit int) (quiet []issuance.Order, heard []record, err error) {
	before := s.now().Add(-silence)
	open, err := openBatches(s.reader(ctx), issuerID)
	if err != nil {
		return nil, nil, err
	}
	for _, no := range open {
		if len(quiet) >= limit || len(heard) >= page {
			break
		}
		waited, err := list(s.reader(ctx), scanOrder, sqlWatched, no, micros(before), page)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range waited {
			if r.Production.HeardAt.After(before) {
				heard = append(heard, r)
			} else {
				quiet = append(quiet, r.Order)
			}
		}
	}
	return quiet[:min(limit, len(quiet))], heard, nil
}

// watchFrom makes the wait for orders begin when they were last heard of.
func (s *Store) watchFrom(ctx context.Context, heard []record) error {
	return s.write(ctx, "reschedule tracking", func(t *tx) error {
		for _, r := range heard {
			if _, err := t.exec(`UPDATE orders SET watched_at = heard_at WHERE ref = $1 AND watched_at > 0 AND heard_at > watched_at`,
				int64(r.Ref)); err != nil {
				return err
			}
		}
		return nil
	})
}

// HearOrders applies what D1 answered when asked about orders, with the same
// effect as a notification. D1 answers with all operations of a card, and each
// is applied to the order it belongs to; those that belong to none are left
// out. The wait for the orders asked about begins anew.
func (s *Store) HearOrders(ctx context.Context, issuerID, stage string, heard []issuance.Heard) error {
	return s.write(ctx, "hear orders", func(t *tx) error {
		why := issuance.Why{At: t.now, Stage: stage, Session: s.sessionID()}
		for _, h := range heard {
			asked, found, err := t.load(h.Ref)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			for _, op := range h.Operations {
				if op.Operation != issuance.OperationProduce && op.Operation != issuance.OperationUpdateOrder {
					continue
				}
				if op.CardID == "" {
					op.CardID = asked.CardID
				}
				if _, _, err := t.hear(issuerID, op, why); err != nil {
					return err
				}
			}
			if _, err := t.exec(`UPDATE orders SET watched_at = $1 WHERE ref = $2 AND watched_at > 0`, micros(t.now), int64(h.Ref)); err != nil {
				return err
			}
		}
		return nil
	})
}
