package track

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// reply is what came of one question.
type reply struct {
	order      issuance.Order
	operations []issuance.Operation
	err        *retry.Error // nil when D1 answered
}

// ask asks D1 about each order of a slice, a few at a time. It returns the
// replies it got, and why it stopped before the end, if it did.
func (r *Runner) ask(parent context.Context, slice []issuance.Order) ([]reply, error) {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	var (
		mu          sync.Mutex
		replies     []reply
		unreachable int
		workers     sync.WaitGroup
	)
	work := make(chan issuance.Order)
	learn := func(a reply) {
		mu.Lock()
		defer mu.Unlock()
		replies = append(replies, a)
		switch {
		case a.err != nil && a.err.Class == retry.Stop:
			stop(fmt.Errorf("%w: %s", ErrSetUp, a.err.Code))
		case a.err != nil && a.err.Unavailable:
			if unreachable++; unreachable >= r.UnreachableStop && !mayBeTheOrders(a.err) {
				stop(fmt.Errorf("%w: not reached %d times in a row", ErrUnavailable, unreachable))
			}
		default:
			unreachable = 0
		}
	}
	for range min(r.InFlight, len(slice)) {
		workers.Go(func() {
			for o := range work {
				if a, ok := r.askOne(ctx, o, stop); ok {
					learn(a)
				}
			}
		})
	}
	for _, o := range slice {
		select {
		case work <- o:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return replies, err
	}
	if unreachable > 0 && unreachable == len(replies) { // too few for the rule of so many in a row
		return replies, fmt.Errorf("%w: not reached with any of %d questions", ErrUnavailable, unreachable)
	}
	return replies, nil
}

// askOne reports false when there is nothing to learn because we gave up.
func (r *Runner) askOne(ctx context.Context, o issuance.Order, stop context.CancelCauseFunc) (reply, bool) {
	if ctx.Err() != nil {
		return reply{}, false
	}
	done, err := r.Limiter.Acquire(ctx)
	if err != nil {
		stop(fmt.Errorf("wait for the rate limit: %w", err))
		return reply{}, false
	}
	defer done()
	operations, err := r.productionStatus(ctx, o.CardID)
	if err == nil {
		return reply{order: o, operations: operations}, true
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return reply{}, false
	}
	e := retry.Of(err)
	if e.Class == retry.NotDone && !e.Unavailable {
		r.Limiter.Slow(e.After)
	}
	return reply{order: o, err: e}, true
}

var errPanic = errors.New("asking panicked")

// productionStatus asks. The recover is here because workers are goroutines of
// their own: one answer that brings out a bug would end the daemon.
func (r *Runner) productionStatus(ctx context.Context, cardID string) (operations []issuance.Operation, err error) {
	defer func() {
		if recover() != nil { // its value may hold data of the answer, the stack does not
			r.Log.Error().Str("stage", stage).Str("issuer", r.IssuerID).Err(fmt.Errorf("%w:\n%s", errPanic, debug.Stack())).
				Msg("panic while asking about an order")
			operations, err = nil, errPanic
		}
	}()
	return r.Issuer.ProductionStatus(ctx, cardID, "track-"+rand.Text())
}

// mostNamed is how many orders a run names in the log; the others are counted.
const mostNamed = 20

// recordLimit bounds how long recording may go on after the run was told to end.
const recordLimit = 30 * time.Second

// record applies the replies of a slice. It does so even when the run was told
// to end: the questions have been paid for.
func (r *Runner) record(ctx context.Context, replies []reply, sum *Summary) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	var heard []issuance.Heard
	var outcomes []issuance.Outcome
	r.charge(replies, r.Now())
	for _, a := range replies {
		sum.Asked++
		v := r.judge(a, r.Now())
		sum.count(v)
		if a.err != nil {
			sum.Errors++
		}
		if v.hear {
			heard = append(heard, issuance.Heard{Ref: a.order.Ref, Operations: v.operations, Missing: v.kind == missing})
		}
		if v.kind == missing && a.order.NotFound == 0 && sum.Missing <= mostNamed {
			r.Log.Warn().Str("stage", stage).Str("issuer", r.IssuerID).Str("order", a.order.OrderID).
				Msg("D1 had accepted an order and does not know it")
		}
		if v.decide {
			outcomes = append(outcomes, v.outcome)
		}
	}
	if len(heard) > 0 {
		if err := r.Store.HearOrders(ctx, r.IssuerID, stage, heard); err != nil {
			return fmt.Errorf("record what D1 said: %w", err)
		}
	}
	if len(outcomes) > 0 {
		if err := r.Store.DecideUnknown(ctx, outcomes); err != nil {
			return fmt.Errorf("record decisions: %w", err)
		}
	}
	return nil
}
