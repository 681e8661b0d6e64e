package store

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"cardbatch/internal/issuance"
)

// What may need a person, by the index that finds it: an index is used where
// its own condition stands in the query word for word.
const (
	endedBadly = `(o.state = 'refused' OR o.failed = 1 OR o.status = 'DATA_EXCEPTION' OR o.status = 'CARD_PROD_EXCEPTION')`

	sqlDoubled = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.other_operations <> '' AND o.issuer_id = $1 AND o.ref > $2 ORDER BY o.ref LIMIT $3`
	sqlMissing = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.state = 'submitted' AND o.not_found > 0 AND o.issuer_id = $1 AND o.ref > $2 ORDER BY o.ref LIMIT $3`
	sqlReturned = `SELECT ` + orderColumns + ` FROM orders o
		WHERE o.status = 'CARD_RETURNED' AND o.issuer_id = $1 AND (o.heard_at, o.ref) > ($2, $3) ORDER BY o.heard_at, o.ref LIMIT $4`

	sqlClosedOfLate = `SELECT b.no FROM batch b WHERE b.closed_at > 0 AND b.issuer_id = $1 AND b.closed_at >= $2 ORDER BY b.closed_at`

	// The orders of a batch that wait for a person or for an answer; their keys
	// change little, so that one page after the other misses none.
	sqlUndecided = `SELECT ` + orderColumns + ` FROM orders o
		WHERE ` + openOrder + `o.batch_no = $1 AND o.state = $2 AND (o.urgency, o.next_attempt_at, o.ref) > ($3, $4, $5)
		ORDER BY o.urgency, o.next_attempt_at, o.ref LIMIT $6`
	sqlEndedBadly = `SELECT ` + orderColumns + ` FROM orders o
		WHERE ` + endedBadly + ` AND o.batch_no = $1 AND o.ref > $2 ORDER BY o.ref LIMIT $3`
	// Of the orders that D1 works on, those that keep us waiting. watched_at only
	// rises, so that an order may come twice and none is missed.
	sqlKeepWaiting = `SELECT ` + orderColumns + ` FROM orders o CROSS JOIN event e ON e.id = o.last_event
		WHERE o.watched_at > 0 AND o.batch_no = $1 AND (o.watched_at, o.ref) > ($2, $3)
			AND (e.at <= $4 OR o.status = 'CARD_PROD_ON_HOLD' OR o.due_date <> '' AND (o.due_date < $5 OR substr(o.due_date, 5, 1) <> '-'))
		ORDER BY o.watched_at, o.ref LIMIT $6`

	changeFailed     = `(c.state = 'too_late' OR c.state = 'refused' OR c.state = 'held')`
	sqlFailedChanges = `SELECT ` + orderColumns + ` FROM order_change c CROSS JOIN orders o ON o.ref = c.order_ref
		WHERE ` + changeFailed + ` AND c.issuer_id = $1 AND c.order_ref > $2 AND (c.finished_at = 0 OR c.finished_at >= $3)
		ORDER BY c.order_ref LIMIT $4`
	// Of some orders, the last change if it was not made: a later one makes good for it.
	sqlLastChanges = `SELECT j.key, c.type, c.state, c.reason, e.at FROM json_each($1) j CROSS JOIN orders o ON o.ref = j.value
		CROSS JOIN order_change c ON c.ref = (SELECT max(x.ref) FROM order_change x
			WHERE x.live = 1 AND x.issuer_id = o.issuer_id AND x.order_id = o.order_id)
		CROSS JOIN event e ON e.id = c.last_event WHERE ` + changeFailed

	sqlByRefs = `SELECT ` + orderColumns + ` FROM json_each($1) j CROSS JOIN orders o ON o.ref = j.value ORDER BY j.key`

	// What the histories of some orders say of times. Heads of chains are given
	// by their place; $2 and $3 are the codes of what is doubtful, not news of production.
	sqlTimes = `WITH RECURSIVE chain (place, prev, kind, code, at) AS (
			SELECT j.key, e.prev, e.kind, e.code, e.at FROM json_each($1) j CROSS JOIN event e ON e.id = j.value
			UNION ALL
			SELECT c.place, e.prev, e.kind, e.code, e.at FROM chain c CROSS JOIN event e ON e.id = c.prev)
		SELECT place, max(at), coalesce(max(at) FILTER (WHERE kind = 'state'), 0),
			coalesce(max(at) FILTER (WHERE kind = 'production' AND code <> $2 AND code <> $3), 0),
			coalesce(min(at) FILTER (WHERE code = $2), 0), coalesce(max(at) FILTER (WHERE code = $3), 0)
		FROM chain GROUP BY place`
)

// Suspects streams the orders of an issuer that may need a person, in no order
// that means anything. It reads by indexes that hold only what is under way and what
// has ended badly: orders that are well and done are not looked at. It may
// return orders that need nobody, and some of them twice.
func (s *Store) Suspects(ctx context.Context, f issuance.SuspectFilter) iter.Seq2[issuance.Suspect, error] {
	return func(yield func(issuance.Suspect, error) bool) {
		var batches []int64
		open, err := openBatches(s.reader(ctx), f.IssuerID)
		if err == nil {
			batches, err = list(s.reader(ctx), scanInt, sqlClosedOfLate, f.IssuerID, micros(f.EndedAfter))
		}
		if err != nil {
			yield(issuance.Suspect{}, wrap("look for orders that need a person", err))
			return
		}
		streams := []iter.Seq2[record, error]{
			s.byRef(ctx, sqlDoubled, f.IssuerID), s.byRef(ctx, sqlMissing, f.IssuerID), s.returned(ctx, f), s.badlyChanged(ctx, f),
		}
		for _, no := range open {
			streams = append(streams, s.undecided(ctx, no, issuance.Held), s.undecided(ctx, no, issuance.Unknown), s.waiting(ctx, no, f))
		}
		for _, no := range append(open, batches...) {
			streams = append(streams, s.byRef(ctx, sqlEndedBadly, no))
		}
		for _, stream := range streams {
			if !s.suspect(ctx, stream, yield) {
				return
			}
		}
	}
}

// suspect adds what histories say to a stream of orders, a page at a time. It
// reports false when there is to be no more.
func (s *Store) suspect(ctx context.Context, orders iter.Seq2[record, error], yield func(issuance.Suspect, error) bool) bool {
	var some []record
	flush := func() bool {
		found, err := s.withTimes(ctx, some)
		if err != nil {
			yield(issuance.Suspect{}, wrap("read what orders have been through", err))
			return false
		}
		for _, o := range found {
			if !yield(o, nil) {
				return false
			}
		}
		some = some[:0]
		return true
	}
	for r, err := range orders {
		if err != nil {
			yield(issuance.Suspect{}, err)
			return false
		}
		if some = append(some, r); len(some) == page && !flush() {
			return false
		}
	}
	return len(some) == 0 || flush()
}

func (s *Store) byRef(ctx context.Context, query string, of any) iter.Seq2[record, error] {
	return pages("read orders", func(after *record) ([]record, error) {
		from := int64(0)
		if after != nil {
			from = int64(after.Ref)
		}
		return list(s.reader(ctx), scanOrder, query, of, from, page)
	})
}

func (s *Store) returned(ctx context.Context, f issuance.SuspectFilter) iter.Seq2[record, error] {
	return pages("read returned orders", func(after *record) ([]record, error) {
		heard, ref := micros(f.EndedAfter), int64(0)
		if after != nil {
			heard, ref = micros(after.Production.HeardAt), int64(after.Ref)
		}
		return list(s.reader(ctx), scanOrder, sqlReturned, f.IssuerID, heard, ref, page)
	})
}

func (s *Store) badlyChanged(ctx context.Context, f issuance.SuspectFilter) iter.Seq2[record, error] {
	return pages("read orders that were not changed", func(after *record) ([]record, error) {
		from := int64(0)
		if after != nil {
			from = int64(after.Ref)
		}
		return list(s.reader(ctx), scanOrder, sqlFailedChanges, f.IssuerID, from, micros(f.EndedAfter), page)
	})
}

func (s *Store) undecided(ctx context.Context, no int64, state issuance.State) iter.Seq2[record, error] {
	return pages("read undecided orders", func(after *record) ([]record, error) {
		urgency, next, ref := int64(-1), int64(0), int64(0)
		if after != nil {
			urgency, next, ref = int64(after.Urgency), micros(after.NextAttemptAt), int64(after.Ref)
		}
		return list(s.reader(ctx), scanOrder, sqlUndecided, no, string(state), urgency, next, ref, page)
	})
}

func (s *Store) waiting(ctx context.Context, no int64, f issuance.SuspectFilter) iter.Seq2[record, error] {
	return pages("read orders that D1 works on", func(after *record) ([]record, error) {
		watched, ref := int64(0), int64(0)
		if after != nil {
			watched, ref = after.watchedAt, int64(after.Ref)
		}
		return list(s.reader(ctx), scanOrder, sqlKeepWaiting, no, watched, ref, micros(f.QuietSince), f.DueBefore, page)
	})
}

// SuspectsByRef returns orders, in the order in which they are asked for; one
// that does not exist is left out.
func (s *Store) SuspectsByRef(ctx context.Context, refs []issuance.Ref) ([]issuance.Suspect, error) {
	keys, err := json.Marshal(refs)
	if err != nil {
		return nil, err
	}
	found, err := list(s.reader(ctx), scanOrder, sqlByRefs, string(keys))
	if err != nil {
		return nil, wrap("read orders", err)
	}
	all, err := s.withTimes(ctx, found)
	return all, wrap("read what orders have been through", err)
}

func (s *Store) withTimes(ctx context.Context, orders []record) ([]issuance.Suspect, error) {
	all := make([]issuance.Suspect, len(orders))
	heads, refs := make([]int64, len(orders)), make([]int64, len(orders))
	for i := range orders {
		all[i].Order, heads[i], refs[i] = orders[i].Order, orders[i].lastEvent, int64(orders[i].Ref)
	}
	chains, err1 := json.Marshal(heads)
	keys, err2 := json.Marshal(refs)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	err := each(s.reader(ctx), func(row scanner) error {
		var place int
		var news, state, status, second, missing int64
		if err := row.Scan(&place, &news, &state, &status, &second, &missing); err != nil {
			return err
		}
		o := &all[place]
		o.NewsAt, o.StateAt, o.StatusAt, o.DoubtAt = fromMicros(news), fromMicros(state), fromMicros(status), fromMicros(missing)
		if len(o.OtherOperations) > 0 {
			o.DoubtAt = fromMicros(second)
		}
		return nil
	}, sqlTimes, string(chains), string(issuance.SecondOperation), string(issuance.MissingAtD1))
	if err != nil {
		return nil, err
	}
	err = each(s.reader(ctx), func(row scanner) error {
		var place int
		var at int64
		var c issuance.Change
		if err := row.Scan(&place, &c.Type, &c.State, &c.Reason, &at); err != nil {
			return err
		}
		all[place].ChangeFailed, all[place].ChangeFailedAt = notChanged(&c), fromMicros(at)
		return nil
	}, sqlLastChanges, string(keys))
	return all, err
}

// notChanged says in words what became of a change that was not made.
func notChanged(c *issuance.Change) string {
	text := map[issuance.ChangeState]string{
		issuance.ChangeTooLate: " came too late", issuance.ChangeRefused: " was refused", issuance.ChangeHeld: " waits for a person",
	}[c.State]
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return string(c.Type) + text
}
