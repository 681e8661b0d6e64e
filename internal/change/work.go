package change

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/sealed"
)

// pass is one run.
type pass struct {
	*Runner
	sum *Summary

	guard       sync.Mutex // of sum and what follows
	refusals    int        // the same one in a row
	refusal     string
	unreachable int // in a row
}

// workAll goes once through the changes whose turn it is, and reports whether
// anything moved: then the next ones of the same orders have their turn.
func (p *pass) workAll(ctx context.Context) (worked bool, err error) {
	for after := issuance.Ref(0); ctx.Err() == nil; {
		claims, next, err := p.Store.ClaimChanges(context.WithoutCancel(ctx), p.IssuerID, p.Session, p.Wait, after, p.ClaimSize)
		if err != nil {
			return worked, fmt.Errorf("claim changes: %w", err)
		}
		moved, err := p.work(ctx, claims)
		worked = worked || moved
		if err != nil || next == 0 {
			return worked, err
		}
		after = next
	}
	return worked, ctx.Err()
}

func (p *pass) work(ctx context.Context, claims []issuance.ChangeClaim) (moved bool, err error) {
	var local []issuance.LocalChange
	group, going := errgroup.WithContext(ctx)
	group.SetLimit(p.InFlight)
	var errs []error
	for _, c := range claims {
		if c.Step == issuance.StepSend { // each of them must get its outcome, whatever becomes of the others
			moved = true
			group.Go(func() error { return p.send(going, c) })
			continue
		}
		l, ok, err := p.prepare(ctx, c)
		errs = append(errs, err)
		if ok {
			local = append(local, l)
		}
	}
	applied := 0
	if len(local) > 0 {
		applied, err = p.Store.ApplyChanges(context.WithoutCancel(ctx), p.Session, local)
		errs = append(errs, err)
	}
	errs = append(errs, group.Wait())
	p.sum.Applied += applied
	return moved || applied > 0, errors.Join(errs...)
}

// prepare makes a change in our copy of an order. ok is false when it cannot be
// made there, which is recorded.
func (p *pass) prepare(ctx context.Context, c issuance.ChangeClaim) (l issuance.LocalChange, ok bool, err error) {
	l.Ref = c.Ref
	if c.Type == issuance.Cancel {
		return l, true, nil
	}
	if c.Type.Accelerates() {
		product := p.Products[c.ProductID]
		if len(product.UrgentPriorities) == 0 {
			return l, false, p.record(ctx, issuance.ChangeOutcome{Ref: c.Ref, Attempt: c.Attempts, To: issuance.ChangeWaiting,
				NextAttemptAt: p.Now().Add(p.RetryWait)})
		}
		l.Priority = product.UrgentPriorities[0]
	}
	change, ok, err := p.open(ctx, c)
	if err != nil || !ok {
		return l, false, err
	}
	aad := []byte(p.IssuerID + "/" + c.OrderID)
	order, err := p.Box.Open(c.OrderPayload, aad)
	if missing := new(sealed.UnknownKeyError); errors.As(err, &missing) {
		return l, false, err // the key may come back, the order is not to blame
	}
	if err == nil {
		order, err = p.Bodies.Amend(order, change, l.Priority)
	}
	if err != nil {
		return l, false, p.end(ctx, c, issuance.ChangeHeld, issuance.PayloadLost, "the sealed request of the order cannot be opened")
	}
	l.Payload, err = p.Box.Seal(order, aad)
	return l, err == nil, err
}

// open opens the request of a change and makes sure that the order's product may
// go where it says. ok is false when it may not, or the request is lost.
func (p *pass) open(ctx context.Context, c issuance.ChangeClaim) (body []byte, ok bool, err error) {
	body, err = p.Box.Open(c.Payload, c.AAD())
	if missing := new(sealed.UnknownKeyError); errors.As(err, &missing) {
		return nil, false, err
	}
	country := ""
	if err == nil {
		country, err = p.Bodies.Country(body)
	}
	if err != nil {
		return nil, false, p.end(ctx, c, issuance.ChangeHeld, issuance.PayloadLost, "the sealed change cannot be opened")
	}
	if product, known := p.Products[c.ProductID]; country != "" && known && !slices.Contains(product.Countries, country) {
		return nil, false, p.end(ctx, c, issuance.ChangeRefused, issuance.CountryNotAllowed,
			fmt.Sprintf("cards of product %s may not be sent there; allowed: %s", product.ID, strings.Join(product.Countries, ", ")))
	}
	return body, true, nil
}

// end gives a change up that was not sent.
func (p *pass) end(ctx context.Context, c issuance.ChangeClaim, to issuance.ChangeState, code issuance.Code, reason string) error {
	p.count(to)
	if c.Step == issuance.StepSend {
		return p.record(ctx, issuance.ChangeOutcome{Ref: c.Ref, Attempt: c.Attempts, To: to, Code: code, Reason: reason})
	}
	return p.Store.EndChange(context.WithoutCancel(ctx), p.Session, c.Ref, to, code, reason)
}

// send sees one claimed change through. Whatever happens, its outcome is
// recorded: no other session would take it up while this one lives.
func (p *pass) send(going context.Context, c issuance.ChangeClaim) error {
	unsent := issuance.ChangeOutcome{Ref: c.Ref, Attempt: c.Attempts, To: issuance.ChangeWaiting, Reason: "not sent"}
	body, ok, err := p.open(going, c)
	if err != nil || !ok {
		if err != nil {
			err = errors.Join(err, p.record(going, unsent))
		}
		return err
	}
	done, err := p.Limiter.Acquire(going)
	if err != nil {
		return errors.Join(fmt.Errorf("wait for the rate limit: %w", err), p.record(going, unsent))
	}
	operationID, err := p.call(going, c, body)
	done()
	out, stop := p.judge(c, operationID, err, p.Now())
	p.count(out.To)
	return errors.Join(p.record(going, out), stop)
}

var errPanic = errors.New("sending panicked")

// call sends. One change that brings out a bug must not end the daemon.
func (p *pass) call(going context.Context, c issuance.ChangeClaim, body []byte) (operationID string, err error) {
	defer func() {
		if recover() != nil { // its value may hold data of the order, the stack does not
			p.Log.Error().Str("stage", stage).Str("issuer", p.IssuerID).Err(fmt.Errorf("%w:\n%s", errPanic, debug.Stack())).
				Msg("panic while sending a change")
			operationID, err = "", errPanic
		}
	}()
	// A request under way is not given up because another one failed; the
	// client has a timeout of its own.
	return p.D1.Send(context.WithoutCancel(going), c, body)
}

// judge says what an answer means for the change, and whether to go on.
func (p *pass) judge(c issuance.ChangeClaim, operationID string, err error, now time.Time) (issuance.ChangeOutcome, error) {
	out := issuance.ChangeOutcome{Ref: c.Ref, Attempt: c.Attempts}
	if err == nil {
		out.To, out.OperationID, out.NextAttemptAt = issuance.ChangeSubmitted, operationID, now.Add(p.Silence)
		return out, p.saw("", true)
	}
	e := retry.Of(err)
	out.Code, out.Reason = issuance.Code(e.Code), e.Reason
	upper := strings.ToUpper(e.Code)
	switch {
	case e.Class.Sent() && (e.Status == conflict || strings.Contains(upper, "DUPLICATE")):
		out.To, out.NextAttemptAt = issuance.ChangeUnknown, now
		out.Reason = cmp.Or(out.Reason, "D1 says that it has the change already")
		return out, p.saw("", true)
	case e.Class == retry.Refused && (strings.Contains(upper, "LATE") || strings.Contains(upper, "STAGE")):
		out.To = issuance.ChangeTooLate
		return out, p.saw("", true)
	case e.Class == retry.Refused:
		out.To = issuance.ChangeRefused
		return out, p.saw(strings.TrimSpace(e.Code+" "+e.Reason), true)
	case e.Class == retry.NotDone:
		out.To = issuance.ChangeWaiting
		out.Reason = cmp.Or(out.Reason, "not delivered")
		out.NextAttemptAt = now.Add(max(e.After, p.RetryWait))
		if !e.Unavailable {
			p.Limiter.Slow(e.After)
		}
		return out, p.saw("", !e.Unavailable)
	case e.Class == retry.Stop:
		out.To = issuance.ChangeWaiting
		out.Reason = cmp.Or(out.Reason, "the run stopped")
		return out, fmt.Errorf("%w: %w", ErrSetUp, err)
	default:
		out.To, out.NextAttemptAt = issuance.ChangeUnknown, now.Add(p.Settle)
		out.Reason = cmp.Or(out.Reason, "outcome unknown")
		return out, p.saw("", !e.Unavailable)
	}
}

const conflict = 409

// saw counts what stops a run: the same refusal again and again, or a D1 that
// does not answer.
func (p *pass) saw(refusal string, reached bool) error {
	p.guard.Lock()
	defer p.guard.Unlock()
	p.unreachable++
	if reached {
		p.unreachable = 0
	}
	if refusal == "" || refusal != p.refusal {
		p.refusals = 0
	}
	p.refusal = refusal
	if refusal != "" {
		p.refusals++
	}
	switch {
	case p.refusals >= p.RefusalStop:
		return fmt.Errorf("%w: %s", ErrRefusals, refusal)
	case p.unreachable >= p.UnreachableStop:
		return ErrUnavailable
	default:
		return nil
	}
}

func (p *pass) count(to issuance.ChangeState) {
	p.guard.Lock()
	defer p.guard.Unlock()
	switch to { //nolint:exhaustive // the others are not an outcome
	case issuance.ChangeSubmitted:
		p.sum.Submitted++
	case issuance.ChangeRefused:
		p.sum.Refused++
	case issuance.ChangeTooLate:
		p.sum.TooLate++
	case issuance.ChangeUnknown:
		p.sum.Unknown++
	case issuance.ChangeWaiting:
		p.sum.NotDone++
	case issuance.ChangeHeld:
		p.sum.Held++
	}
}
