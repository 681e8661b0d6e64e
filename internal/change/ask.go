package change

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// askDue asks D1 about the changes whose outcome is unknown, and about those it
// has taken and said nothing of for too long.
func (p *pass) askDue(ctx context.Context) error {
	due, err := p.Store.DueChanges(ctx, p.IssuerID, p.ClaimSize)
	if err != nil {
		return fmt.Errorf("look for changes to ask about: %w", err)
	}
	for _, c := range due {
		done, err := p.Limiter.Acquire(ctx)
		if err != nil {
			return fmt.Errorf("wait for the rate limit: %w", err)
		}
		operations, err := p.D1.Ask(ctx, c.CardID, c.CorrelationID)
		done()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := p.answer(ctx, c, operations, retry.Of(err)); err != nil {
			return err
		}
	}
	return nil
}

// answer applies an answer about the card of a change.
func (p *pass) answer(ctx context.Context, c issuance.Change, operations []issuance.Operation, e *retry.Error) error {
	p.sum.Asked++
	if e != nil && (e.Class == retry.NotDone || e.Class == retry.Stop || e.Unavailable || e.Status == 0) {
		if e.Class == retry.Stop {
			return fmt.Errorf("%w: %w", ErrSetUp, e)
		}
		if e.Class == retry.NotDone && !e.Unavailable {
			p.Limiter.Slow(e.After)
		}
		return p.saw("", !e.Unavailable) // nothing was learnt; it stays due
	}
	if err := p.saw("", true); err != nil {
		return err
	}
	for i := range operations {
		if operations[i].CardID == "" {
			operations[i].CardID = c.CardID
		}
	}
	matched, err := p.Store.HearChanges(context.WithoutCancel(ctx), p.IssuerID, stage, operations)
	if err != nil {
		return fmt.Errorf("apply what D1 says: %w", err)
	}
	found := slices.Contains(matched, c.Ref)
	if found {
		p.sum.Found++
	}
	out := p.decide(c, operations, found, e, p.Now())
	if out.To == issuance.ChangeHeld || out.To == issuance.ChangeTooLate {
		p.count(out.To)
	}
	return p.record(ctx, out)
}

// decide says what follows for a change that D1 was asked about. An outcome that
// is overtaken by what D1 has just said of it is dropped by the store.
func (p *pass) decide(c issuance.Change, operations []issuance.Operation, found bool, e *retry.Error, now time.Time) issuance.ChangeOutcome {
	out := issuance.ChangeOutcome{Ref: c.Ref, Attempt: c.Attempts, To: c.State}
	unclear := e != nil
	switch {
	case found:
		out.To, out.NextAttemptAt = issuance.ChangeSubmitted, now.Add(p.Silence)
		return out
	case c.Type == issuance.Cancel && ended(operations, c.OrderID):
		out.To, out.Code, out.Reason = issuance.ChangeTooLate, issuance.TooLate, "the order is finished"
		return out
	case c.Asks+1 >= p.UnclearAsks:
		out.To, out.Code, out.Reason = issuance.ChangeHeld, issuance.OutcomeUnclear, "D1 does not say what became of it"
		return out
	case c.State == issuance.ChangeSubmitted:
		out.NextAttemptAt = now.Add(p.Silence)
		return out
	case unclear || c.NotFound+1 < p.NotFoundAsks:
		out.NextAttemptAt = now.Add(p.Settle << min(c.Asks, 6))
		if !unclear {
			out.NotFound, out.NextAttemptAt = c.NotFound+1, now.Add(p.Settle)
		}
		return out
	case c.Attempts >= p.MaxAttempts:
		out.To, out.Code, out.Reason = issuance.ChangeHeld, issuance.OutcomeUnclear, "D1 does not have it, and it was sent as often as allowed"
		return out
	default:
		out.To, out.Reason = issuance.ChangeWaiting, "D1 does not have it"
		return out
	}
}

// ended reports whether D1 says of the order that its production has ended, and
// not because it was cancelled.
func ended(operations []issuance.Operation, orderID string) bool {
	for _, op := range operations {
		if op.Operation == issuance.OperationProduce && op.IssuerRequestID == orderID && op.Production != issuance.CardProdCanceled &&
			op.Production.Final(op.Status == issuance.OperationFailed) {
			return true
		}
	}
	return false
}
