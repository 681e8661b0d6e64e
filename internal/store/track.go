package store

import (
	"context"
	"iter"
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
	collect := func(query string, at time.Time) error {
		for _, u := range issuance.Urgencies() {
			for _, no := range open {
				if len(due) >= max {
					return nil
				}
				found, err := list(s.reader(ctx), scanPlain, query, no, int64(u), micros(at), max-len(due))
				if err != nil {
					return err
				}
				due = append(due, found...)
			}
		}
		return nil
	}
	if err := collect(sqlUnknown+isDue+sqlUnknownOrder, s.now()); err != nil || len(due) > 0 {
		return due, err
	}
	return due, collect(sqlUnknown+isMistaken+sqlUnknownOrder, s.now().Add(farSettled))
}

// farSettled is how far ahead the next question about an order lies at most; one
// further ahead was put off by a clock that has been set back since.
const farSettled = 48 * time.Hour

func openBatches(q querier, issuerID string) ([]int64, error) {
	return list(q, scanInt, sqlOpenBatches, issuerID)
}

const (
	sqlOpenBatches = `SELECT b.no FROM batch b WHERE ` + openBatch + `b.issuer_id = $1 ORDER BY b.no`

	sqlUnknown = `SELECT ` + orderColumns + ` FROM orders o
		WHERE ` + openOrder + `o.batch_no = $1 AND o.state = 'unknown' AND o.urgency = $2 AND `
	sqlUnknownOrder = ` ORDER BY o.next_attempt_at, o.ref LIMIT $4`

	sqlWatched = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.batch_no = $1 AND o.watched_at > 0 AND o.watched_at <= $2 ` + watchedOrder
	sqlQuiet = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.batch_no = $1 AND o.watched_at > 0 AND o.watched_at <= $2 AND o.heard_at <= $2 ` + watchedOrder
	watchedOrder = `ORDER BY o.watched_at, o.ref LIMIT $3`
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
	query, most := sqlWatched, page
	if s.writer == nil { // it cannot be noted who was heard of since: they are passed over
		query, most = sqlQuiet, limit
	}
	for _, no := range open {
		if len(quiet) >= limit || len(heard) >= page {
			break
		}
		waited, err := list(s.reader(ctx), scanOrder, query, no, micros(before), most)
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
// out. The wait for the orders asked about begins anew. That a submitted order
// is missing at D1 is counted until it is heard of again, and is an event the
// first time.
func (s *Store) HearOrders(ctx context.Context, issuerID, stage string, heard []issuance.Heard) error {
	return s.write(ctx, "hear orders", func(t *tx) error {
		why := issuance.Why{At: t.now, Stage: stage, Session: s.sessionID()}
		for _, h := range heard {
			if err := t.heard(issuerID, h, why); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) heard(issuerID string, h issuance.Heard, why issuance.Why) error {
	asked, found, err := t.load(h.Ref)
	if err != nil || !found {
		return err
	}
	for _, op := range h.Operations {
		if _, err := t.noteStrange(issuerID, &op, why); err != nil {
			return err
		}
		if op.Operation != issuance.OperationProduce && op.Operation != issuance.OperationUpdateOrder {
			continue
		}
		if op.CardID == "" {
			op.CardID = asked.CardID
		}
		op.Current = true
		if _, _, err := t.hear(issuerID, op, why); err != nil {
			return err
		}
	}
	if h.Missing {
		if err := t.missing(h.Ref, why); err != nil {
			return err
		}
	}
	_, err = t.exec(`UPDATE orders SET watched_at = $1 WHERE ref = $2 AND watched_at > 0`, micros(t.now), int64(h.Ref))
	return err
}

// missing counts that D1 does not know an order it had accepted.
func (t *tx) missing(ref issuance.Ref, why issuance.Why) error {
	r, found, err := t.load(ref)
	if err != nil || !found || r.State != issuance.Submitted {
		return err
	}
	if r.NotFound == 0 {
		why.Code, why.Reason = issuance.MissingAtD1, "D1 had accepted it and does not know it"
		status := string(r.Production.Status)
		if err := t.append(&r.lastEvent, issuance.Event{Ref: r.Ref, Batch: r.Ref.Batch(), Kind: issuance.KindProduction,
			From: status, To: status, Why: why}); err != nil {
			return err
		}
	}
	_, err = t.exec(`UPDATE orders SET not_found = not_found + 1, last_event = $1 WHERE ref = $2`, r.lastEvent, int64(r.Ref))
	return err
}

// MissingOrders streams the submitted orders of an issuer that D1 did not know
// when it was last asked.
func (s *Store) MissingOrders(ctx context.Context, issuerID string) iter.Seq2[issuance.Order, error] {
	return s.ordersWhere(ctx, `o.state = 'submitted' AND o.not_found > 0`, issuerID)
}

// OrdersTakenTwice streams the orders of an issuer that D1 produces under more
// than one operation, see [issuance.Order.OtherOperations].
func (s *Store) OrdersTakenTwice(ctx context.Context, issuerID string) iter.Seq2[issuance.Order, error] {
	return s.ordersWhere(ctx, `o.other_operations <> ''`, issuerID)
}

func (s *Store) ordersWhere(ctx context.Context, where, issuerID string) iter.Seq2[issuance.Order, error] {
	return pages("read orders", func(after *issuance.Order) ([]issuance.Order, error) {
		from := int64(0)
		if after != nil {
			from = int64(after.Ref)
		}
		return list(s.reader(ctx), scanPlain, `SELECT `+orderColumns+` FROM orders o
			WHERE `+where+` AND o.issuer_id = $1 AND o.ref > $2 ORDER BY o.ref LIMIT $3`, issuerID, from, page)
	})
}

// DoubtReady makes the ready orders of an issuer's accepted batches unknown, so
// that D1 is asked about each before it is sent. It is for a store that was
// restored from a backup: an order may have been sent since. It is safe to
// repeat, and beside running processes.
func (s *Store) DoubtReady(ctx context.Context, issuerID string, why issuance.Why) (n int, err error) {
	open, err := openBatches(s.reader(ctx), issuerID)
	if err != nil {
		return 0, wrap("look for ready orders", err)
	}
	for _, no := range open {
		for {
			var took int
			err := s.write(ctx, "doubt ready orders", func(t *tx) (err error) {
				took, err = t.doubt(no, why)
				return err
			})
			if err != nil {
				return n, err
			}
			if n += took; took < doubtSlice {
				break
			}
		}
	}
	return n, nil
}

// doubtSlice is how many orders are doubted in one write.
const doubtSlice = 500

func (t *tx) doubt(no int64, why issuance.Why) (int, error) {
	keys, err := list(t, func(row scanner) (ref issuance.Ref, err error) { return ref, row.Scan(&ref) }, `SELECT o.ref
		FROM orders o JOIN batch b ON b.no = o.batch_no
		WHERE `+openOrder+`o.batch_no = $1 AND o.state = 'ready' AND b.state = 'accepted' ORDER BY o.urgency, o.next_attempt_at LIMIT $2`, no, doubtSlice)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	why.At = t.now
	change, err := t.changeAll(keys, issuance.Ready, issuance.Unknown, 0, why)
	if err != nil {
		return 0, err
	}
	_, err = t.exec(`UPDATE orders SET state = 'unknown', code = '', reason = $1, asks = 0, not_found = 0, next_attempt_at = $2, last_event = $3 + j.key
		FROM json_each($4) j WHERE orders.ref = j.value`, why.Reason, micros(t.now), change.firstEvent, change.keys)
	return len(keys), err
}

// TakeAllowance takes up to n from an allowance of limit a day and returns how
// many it got. The day is the caller's to name; a new one begins with nothing
// used, and whatever process asks shares in it.
func (s *Store) TakeAllowance(ctx context.Context, name, day string, n, limit int) (taken int, err error) {
	err = s.write(ctx, "take from an allowance", func(t *tx) error {
		var used int
		if _, err := one(t, []any{&used}, `SELECT used FROM allowance WHERE name = $1 AND day = $2`, name, day); err != nil {
			return err
		}
		if taken = max(0, min(n, limit-used)); taken == 0 {
			return nil
		}
		_, err := t.exec(`INSERT INTO allowance (name, day, used) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET day = excluded.day, used = excluded.used`, name, day, used+taken)
		return err
	})
	return taken, err
}

// ReturnAllowance gives back what was taken on a day and not used.
func (s *Store) ReturnAllowance(ctx context.Context, name, day string, n int) error {
	return s.write(ctx, "return to an allowance", func(t *tx) error {
		_, err := t.exec(`UPDATE allowance SET used = max(0, used - $1) WHERE name = $2 AND day = $3`, n, name, day)
		return err
	})
}
