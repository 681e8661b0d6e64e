package store

import (
	"context"
	"time"

	"cardbatch/internal/issuance"
)

// farFuture is how far ahead the next attempt of a ready order lies at most:
// nobody asks us to wait longer than an hour. One further ahead was stored by a
// clock that has been set back since, and counts as due.
const farFuture = 2 * time.Hour

// ClaimUrgent is [Store.ClaimReady] for urgent orders only.
func (s *Store) ClaimUrgent(ctx context.Context, issuerID, session string, max int) ([]issuance.Claim, error) {
	return s.claimOf(ctx, issuerID, session, max, []issuance.Urgency{issuance.Urgent})
}

// Waiting counts the ready orders of an issuer's accepted batches in the order
// in which they will be sent.
func (s *Store) Waiting(ctx context.Context, issuerID string) ([]issuance.Waiting, error) {
	now := s.now()
	found, err := list(s.reader(ctx), func(row scanner) (w issuance.Waiting, err error) {
		err = row.Scan(&w.BatchNo, &w.Urgency, &w.Orders, &w.Due)
		return w, err
	}, `SELECT o.batch_no, o.urgency, count(*), sum(CASE WHEN o.next_attempt_at <= $2 OR o.next_attempt_at > $3 THEN 1 ELSE 0 END)
		FROM batch b JOIN orders o ON o.batch_no = b.no
		WHERE b.issuer_id = $1 AND `+openBatch+`b.state = 'accepted' AND `+openOrder+`o.state = 'ready'
		GROUP BY o.batch_no, o.urgency ORDER BY o.urgency, o.batch_no`, issuerID, micros(now), micros(now.Add(farFuture)))
	return found, wrap("count waiting orders", err)
}

// pastEvents is how many of the last events are looked at for the pace.
const pastEvents = 20_000

// Pace returns how many orders of an issuer were submitted since a time, as far
// as the last events tell, and when the first and the last of them were.
func (s *Store) Pace(ctx context.Context, issuerID string, since time.Time) (n int64, first, last time.Time, err error) {
	var from, to int64
	_, err = one(s.reader(ctx), []any{&n, &from, &to}, `SELECT count(*), coalesce(min(e.at), 0), coalesce(max(e.at), 0)
		FROM event e JOIN batch b ON b.no = e.batch_no
		WHERE e.id > (SELECT coalesce(max(id), 0) FROM event) - $1 AND b.issuer_id = $2
			AND e.kind = 'state' AND e.to_value = 'submitted' AND e.at >= $3`, pastEvents, issuerID, micros(since))
	return n, fromMicros(from), fromMicros(to), wrap("measure the pace", err)
}
