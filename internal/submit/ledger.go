package submit

import (
	"context"
	"fmt"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// ledger is what the store must still be told.
type ledger struct {
	outcomes []issuance.Outcome
	unsent   []issuance.Ref
}

// record writes the ledger to the store and empties it. It repeats what does
// not work until ctx ends or the drain limit has passed; what was not written
// stays in the ledger. trouble is called before the first repetition.
func (r *Runner) record(ctx context.Context, l *ledger, trouble func()) error {
	ctx, cancel := context.WithTimeout(ctx, r.DrainLimit)
	defer cancel()
	pause := retry.Backoff{First: 100 * time.Millisecond, Most: 5 * time.Second}
	for attempt := 1; ; attempt++ {
		err := r.write(ctx, l)
		if err == nil {
			return nil
		}
		if attempt == 1 {
			trouble()
		}
		select {
		case <-time.After(pause.Wait(attempt, 0)):
		case <-ctx.Done():
			return err
		}
	}
}

func (r *Runner) write(ctx context.Context, l *ledger) error {
	if len(l.outcomes) > 0 {
		if err := r.Store.RecordOutcomes(ctx, r.Session, l.outcomes); err != nil {
			return fmt.Errorf("record outcomes: %w", err)
		}
		l.outcomes = nil // not reused: a write that timed out may still hold it
	}
	if len(l.unsent) > 0 {
		if err := r.Store.Release(ctx, r.Session, l.unsent); err != nil {
			return fmt.Errorf("release unsent orders: %w", err)
		}
		l.unsent = nil
	}
	return nil
}
