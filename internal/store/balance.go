package store

import (
	"context"
	"errors"
	"fmt"

	"cardbatch/internal/issuance"
)

// ErrUnbalanced says that the database contradicts itself.
var ErrUnbalanced = errors.New("out of balance")

// Each statement counts rows that cannot be.
var impossible = []struct{ what, query string }{
	{"decided batches with other rows than were added",
		`SELECT count(*) FROM batch WHERE state NOT IN ('loading', 'refused') AND loaded <> row_count`},
	{"batches that count other orders than they have",
		`SELECT count(*) FROM batch b WHERE loaded <> (SELECT count(*) FROM orders o WHERE o.ref >= b.no << 24 AND o.ref < (b.no + 1) << 24)
			+ (SELECT count(*) FROM order_change c WHERE c.ref >= b.no << 24 AND c.ref < (b.no + 1) << 24)`},
	{"orders and changes in batches of the other kind",
		`SELECT (SELECT count(*) FROM orders o JOIN batch b ON b.no = o.batch_no WHERE b.kind <> 'orders')
			+ (SELECT count(*) FROM order_change c LEFT JOIN batch b ON b.no = c.batch_no WHERE b.no IS NULL OR b.kind <> 'changes')`},
	{"changes sent from a batch that was never accepted",
		`SELECT count(*) FROM order_change c JOIN batch b ON b.no = c.batch_no
			WHERE b.state IN ('loading', 'held', 'refused') AND c.state NOT IN ('waiting', 'rejected', 'duplicate')`},
	{"changes to send without a payload",
		`SELECT count(*) FROM order_change c WHERE c.state IN ('waiting', 'submitting', 'unknown') AND NOT EXISTS (SELECT 1 FROM change_payload p WHERE p.ref = c.ref)`},
	{"payloads of changes that are not needed any more",
		`SELECT count(*) FROM change_payload p WHERE NOT EXISTS (SELECT 1 FROM order_change c
			WHERE c.ref = p.ref AND (c.state IN ('waiting', 'submitting', 'unknown', 'held') OR c.state = 'applied' AND c.order_attempts > 0))`},
	{"changes whose history ends in another state",
		`SELECT count(*) FROM (SELECT ref, max(id) AS id FROM event WHERE kind = 'state' GROUP BY ref) last
			JOIN event e ON e.id = last.id JOIN order_change c ON c.ref = last.ref WHERE c.state <> e.to_value`},
	{"changes that changed without history",
		`SELECT count(*) FROM order_change c WHERE c.last_event = 0 AND c.state NOT IN ('waiting', 'rejected', 'duplicate')`},
	{"two changes of one order under way",
		`SELECT count(*) FROM (SELECT 1 FROM order_change c WHERE c.live = 1 AND c.state IN ('submitting', 'unknown', 'submitted')
			GROUP BY c.issuer_id, c.order_id HAVING count(*) > 1)`},
	{"settled batches with open changes", `SELECT count(*) FROM order_change c JOIN batch b ON b.no = c.batch_no
		WHERE b.state IN ('settled', 'closed') AND c.state IN ('waiting', 'submitting', 'unknown', 'held') OR b.state = 'closed' AND c.state = 'submitted'`},
	{"orders without a batch", `SELECT count(*) FROM orders o WHERE NOT EXISTS (SELECT 1 FROM batch b WHERE b.no = o.batch_no)`},
	{"orders sent from a batch that was never accepted",
		`SELECT count(*) FROM orders o JOIN batch b ON b.no = o.batch_no
			WHERE b.state IN ('loading', 'held', 'refused') AND o.state IN ('submitting', 'unknown')`},
	{"orders to send without a payload",
		`SELECT count(*) FROM orders o WHERE o.state IN ('ready', 'submitting') AND NOT EXISTS (SELECT 1 FROM payload p WHERE p.ref = o.ref)`},
	{"payloads that are not needed any more",
		`SELECT count(*) FROM payload p WHERE NOT EXISTS (SELECT 1 FROM orders o
			WHERE o.ref = p.ref AND o.state IN ('ready', 'submitting', 'unknown', 'held', 'refused'))`},
	{"rejected rows without a reason",
		`SELECT count(*) FROM orders o WHERE o.live = 0 AND NOT EXISTS (SELECT 1 FROM row_error e WHERE e.ref = o.ref)`},
	{"orders whose history ends in another state",
		`SELECT count(*) FROM (SELECT ref, max(id) AS id FROM event WHERE kind = 'state' GROUP BY ref) last
			JOIN event e ON e.id = last.id JOIN orders o ON o.ref = last.ref WHERE o.state <> e.to_value`},
	{"orders that changed without history",
		`SELECT count(*) FROM orders o WHERE o.last_event = 0 AND o.state NOT IN ('ready', 'rejected', 'duplicate')`},
	{"submitted orders nobody waits for", `SELECT count(*) FROM orders o JOIN batch b ON b.no = o.batch_no
		WHERE o.state = 'submitted' AND b.state IN ('settled', 'closed') AND o.watched_at = 0 AND o.failed = 0 AND o.status IN
			('', 'CARD_PROD_REQUESTED', 'DATA_PREPARED', 'CARD_PROD_READY', 'CARD_PROD_ONGOING', 'CARD_PROD_ON_HOLD', 'CARD_PROD_DONE')
			AND NOT (o.no_shipment = 1 AND o.status = 'CARD_PROD_DONE')`},
	{"settled batches with open orders", `SELECT count(*) FROM orders o JOIN batch b ON b.no = o.batch_no
		WHERE b.state IN ('settled', 'closed') AND o.state IN ('held', 'ready', 'submitting', 'unknown')`},
}

// Balance checks the whole database: that the control equation holds for every
// batch, and that no row is in a condition that cannot be. What does not hold
// is an ErrUnbalanced that says how often. It reads everything, and is for
// tests and for people who doubt.
func (s *Store) Balance(ctx context.Context) error {
	var broken []error
	for _, check := range impossible {
		var n int64
		if _, err := one(s.reader(ctx), []any{&n}, check.query); err != nil {
			return fmt.Errorf("check balance: %w", err)
		}
		if n > 0 {
			broken = append(broken, fmt.Errorf("%w: %d %s", ErrUnbalanced, n, check.what))
		}
	}
	all, err := s.Batches(ctx, issuance.BatchFilter{})
	if err != nil {
		return err
	}
	for _, b := range all {
		breaks, err := s.breaks(ctx, &b)
		if err != nil {
			return err
		}
		for _, br := range breaks {
			broken = append(broken, fmt.Errorf("%w: batch %s: %s", ErrUnbalanced, b.ID, br))
		}
	}
	return errors.Join(broken...)
}

// breaks returns what does not balance in a batch, whatever its rows are.
func (s *Store) breaks(ctx context.Context, b *issuance.Batch) ([]issuance.Break, error) {
	if b.Kind == issuance.BatchChanges {
		totals, err := s.ChangeTotals(ctx, b.No)
		return totals.Breaks(), err
	}
	totals, err := s.BatchTotals(ctx, b.No)
	return totals.Breaks(), err
}
