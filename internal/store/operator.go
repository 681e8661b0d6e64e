package store

import (
	"context"
	"fmt"

	"cardbatch/internal/issuance"
)

// ReleaseOrder lets a held order of an accepted file go on, as
// [issuance.Order.Release] says. It returns the order as it is then. The error
// wraps ErrNotFound when there is no such order, and ErrOutOfState when it
// cannot be released. An empty issuerID stands for the only issuer that has the
// order.
func (s *Store) ReleaseOrder(ctx context.Context, issuerID, orderID string, sure bool, why issuance.Why) (o issuance.Order, err error) {
	err = s.write(ctx, "release order", func(t *tx) error {
		r, err := t.operatorsOrder(issuerID, orderID)
		if err != nil {
			return err
		}
		to, err := r.Release(sure)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrOutOfState, err)
		}
		why.At, why.Attempt = t.now, r.Attempts
		if err := t.change(&r, to, why); err != nil {
			return err
		}
		r.Asks, r.NotFound, r.NextAttemptAt = 0, 0, t.now
		o = r.Order
		return t.saveState(&r)
	})
	return o, err
}

// CancelOrder withdraws an order that was not sent, as [issuance.Order.Withdraw]
// says; otherwise it is like ReleaseOrder.
func (s *Store) CancelOrder(ctx context.Context, issuerID, orderID string, sure bool, why issuance.Why) (o issuance.Order, err error) {
	err = s.write(ctx, "cancel order", func(t *tx) error {
		r, err := t.operatorsOrder(issuerID, orderID)
		if err != nil {
			return err
		}
		if err := r.Withdraw(sure); err != nil {
			return fmt.Errorf("%w: %w", ErrOutOfState, err)
		}
		why.At, why.Attempt = t.now, r.Attempts
		if err := t.cancelOrder(&r, why); err != nil {
			return err
		}
		o = r.Order
		return nil
	})
	return o, err
}

// operatorsOrder finds an order that a person names, of a file that was taken.
func (t *tx) operatorsOrder(issuerID, orderID string) (record, error) {
	found, err := list(t, scanOrder, `SELECT `+orderColumns+` FROM orders o JOIN batch b ON b.no = o.batch_no
		WHERE o.live = 1 AND o.issuer_id IN (SELECT issuer_id FROM batch) AND o.order_id = $1 AND ($2 = '' OR o.issuer_id = $2)
			AND b.state IN ('accepted', 'settled', 'closed')`, orderID, issuerID)
	switch {
	case err != nil:
		return record{}, err
	case len(found) == 0:
		return record{}, fmt.Errorf("order %s: %w", orderID, ErrNotFound)
	case len(found) > 1:
		return record{}, fmt.Errorf("%w: %d issuers have an order %s", ErrOutOfState, len(found), orderID)
	}
	return found[0], nil
}

// ReleaseChange lets the held change of an order go on, as
// [issuance.Change.Release] says. Errors are those of ReleaseOrder.
func (s *Store) ReleaseChange(ctx context.Context, issuerID, orderID string, again bool, why issuance.Why) (c issuance.Change, err error) {
	err = s.write(ctx, "release change", func(t *tx) error {
		r, err := t.operatorsChange(issuerID, orderID, issuance.ChangeHeld)
		if err != nil {
			return err
		}
		kept, err := one(t, []any{new(int64)}, `SELECT ref FROM change_payload WHERE ref = $1 AND body IS NOT NULL`, int64(r.Ref))
		if err != nil {
			return err
		}
		to, err := r.Release(again, kept)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrOutOfState, err)
		}
		r.Asks, r.NotFound, r.NextAttemptAt = 0, 0, t.now
		why.Attempt = r.Attempts
		if err := t.changeOf(&r, to, why); err != nil {
			return err
		}
		c = r.Change
		return nil
	})
	return c, err
}

// WithdrawChange gives up the change of an order that is held or, when none is,
// the first one that waits: it is refused, with the code of that. Errors are those of
// ReleaseOrder.
func (s *Store) WithdrawChange(ctx context.Context, issuerID, orderID string, why issuance.Why) (c issuance.Change, err error) {
	err = s.write(ctx, "withdraw change", func(t *tx) error {
		r, err := t.operatorsChange(issuerID, orderID, issuance.ChangeHeld, issuance.ChangeWaiting)
		if err != nil {
			return err
		}
		why.Code, why.Attempt = issuance.Withdrawn, r.Attempts
		if err := t.changeOf(&r, issuance.ChangeRefused, why); err != nil {
			return err
		}
		c = r.Change
		return nil
	})
	return c, err
}

// operatorsChange finds the first change of an order that is in one of the
// states, the first state first.
func (t *tx) operatorsChange(issuerID, orderID string, states ...issuance.ChangeState) (changeRecord, error) {
	found, err := list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c JOIN batch b ON b.no = c.batch_no
		WHERE c.live = 1 AND c.issuer_id IN (SELECT issuer_id FROM batch) AND c.order_id = $1 AND ($2 = '' OR c.issuer_id = $2)
			AND b.state IN ('accepted', 'settled', 'closed') ORDER BY c.ref`, orderID, issuerID)
	if err != nil {
		return changeRecord{}, err
	}
	if len(found) == 0 {
		return changeRecord{}, fmt.Errorf("change of order %s: %w", orderID, ErrNotFound)
	}
	for _, r := range found {
		if r.IssuerID != found[0].IssuerID {
			return changeRecord{}, fmt.Errorf("%w: several issuers have an order %s", ErrOutOfState, orderID)
		}
	}
	for _, state := range states {
		for _, r := range found {
			if r.State == state {
				return r, nil
			}
		}
	}
	last := found[len(found)-1]
	return changeRecord{}, fmt.Errorf("%w: the last change of order %s is %s", ErrOutOfState, orderID, last.State)
}
