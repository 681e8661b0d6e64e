package store

import (
	"context"

	"cardbatch/internal/issuance"
)

// AdvanceBatches settles the accepted batches that have no order left to send
// or decide, and closes the settled ones that have none left to hear of. It
// looks at open batches only, and at each by index.
func (s *Store) AdvanceBatches(ctx context.Context) (settled, closed int, err error) {
	due, err := list(s.reader(ctx), scanInt, sqlAdvance)
	if err != nil || len(due) == 0 {
		return 0, 0, wrap("advance batches", err)
	}
	err = s.write(ctx, "advance batches", func(t *tx) error {
		settled, closed = 0, 0
		why := issuance.Why{At: t.now, Stage: "advance", Session: s.sessionID()}
		for _, step := range []struct {
			where string
			to    issuance.BatchState
			count *int
		}{{canSettle, issuance.BatchSettled, &settled}, {canClose, issuance.BatchClosed, &closed}} {
			files, err := list(t, scanFile, `SELECT `+batchColumns+batchSource+`WHERE `+step.where+` ORDER BY b.no`)
			if err != nil {
				return err
			}
			for _, f := range files {
				if err := t.changeBatch(&f, step.to, why); err != nil {
					return err
				}
				*step.count++
			}
		}
		return nil
	})
	return settled, closed, err
}

// The partial indexes that make open batches and orders cheap to find are used
// only where a query repeats their condition word for word.
const (
	openBatch = `b.state IN ('loading', 'accepted', 'held', 'settled') AND `
	openOrder = `(o.state = 'ready' OR o.state = 'submitting' OR o.state = 'unknown' OR o.state = 'held') AND `

	canSettle = openBatch + `b.state = 'accepted' AND NOT EXISTS (SELECT 1 FROM orders o WHERE ` + openOrder + `o.batch_no = b.no)
		AND NOT EXISTS (SELECT 1 FROM order_change c WHERE ` + openChange + `c.state <> 'submitted' AND c.batch_no = b.no)`
	canClose = openBatch + `b.state = 'settled' AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.watched_at > 0 AND o.batch_no = b.no)
		AND NOT EXISTS (SELECT 1 FROM order_change c WHERE ` + openChange + `c.state = 'submitted' AND c.batch_no = b.no)`

	sqlAdvance = `SELECT no FROM batch b WHERE ` + canSettle + ` UNION ALL SELECT no FROM batch b WHERE ` + canClose
)
