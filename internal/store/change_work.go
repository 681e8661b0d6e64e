package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"cardbatch/internal/issuance"
)

// Partial indexes are used only where a query repeats their condition.
const (
	openChange = `(c.state = 'waiting' OR c.state = 'submitting' OR c.state = 'unknown' OR c.state = 'held' OR c.state = 'submitted') AND `
	sentChange = `(c.state = 'submitting' OR c.state = 'unknown' OR c.state = 'submitted') AND `
)

// notFirst: an earlier change of the same order, of a file that was taken, has
// no outcome yet.
const notFirst = `EXISTS (SELECT 1 FROM order_change e JOIN batch eb ON eb.no = e.batch_no
	WHERE e.live = 1 AND e.issuer_id = c.issuer_id AND e.order_id = c.order_id AND e.ref < c.ref
		AND e.state IN ('waiting', 'submitting', 'unknown', 'held', 'submitted') AND eb.state NOT IN ('loading', 'held', 'refused'))`

const sqlWaiting = `SELECT ` + changeColumns + `, b.decided_at FROM batch b CROSS JOIN order_change c ON c.batch_no = b.no
	WHERE ` + openBatch + `b.state = 'accepted' AND b.issuer_id = $1 AND b.kind = 'changes'
		AND ` + openChange + `c.state = 'waiting' AND c.next_attempt_at <= $2 AND c.ref > $3 AND NOT ` + notFirst + `
	ORDER BY b.no, c.ref LIMIT $4`

// ClaimChanges decides about up to max waiting changes of an issuer whose turn
// it is, in the order of their rows after the given one. The changes of an order
// go strictly one after the other. What is to be applied to our copy of an order
// is returned as it waits; what is to be sent is submitting when it is returned,
// and should the session die becomes unknown. What cannot be made any more ends,
// and so does what has waited for its order for longer than wait. next is where
// to go on, 0 when all were looked at.
func (s *Store) ClaimChanges(ctx context.Context, issuerID, session string, wait time.Duration, after issuance.Ref, max int) (
	claims []issuance.ChangeClaim, next issuance.Ref, err error,
) {
	type waiting struct {
		changeRecord
		decidedAt int64
	}
	err = s.write(ctx, "claim changes", func(t *tx) error {
		claims, next = nil, 0
		if err := t.openSession(session); err != nil {
			return err
		}
		due, err := list(t, func(row scanner) (w waiting, err error) {
			w.changeRecord, err = scanChange(scanMore{row, &w.decidedAt})
			return w, err
		}, sqlWaiting, issuerID, micros(t.now), int64(after), max)
		if err != nil {
			return err
		}
		prefix := rand.Text()[:16] + "-"
		for i := range due {
			w := &due[i]
			expired := t.now.Sub(fromMicros(w.decidedAt)) > wait
			claim, ok, err := t.nextStep(&w.changeRecord, session, prefix+strconv.Itoa(i), expired)
			if err != nil {
				return err
			}
			if ok {
				claims = append(claims, claim)
			}
		}
		if len(due) == max {
			next = due[max-1].Ref
		}
		return nil
	})
	return claims, next, err
}

// scanMore scans one column more than the one who asks.
type scanMore struct {
	scanner
	more any
}

// Scan implements scanner.
func (s scanMore) Scan(dest ...any) error { return s.scanner.Scan(append(dest, s.more)...) }

// nextStep does what follows for a change whose turn it is.
func (t *tx) nextStep(r *changeRecord, session, correlationID string, expired bool) (claim issuance.ChangeClaim, ok bool, err error) {
	o, found, err := t.orderToChange(r)
	if err != nil {
		return claim, false, err
	}
	var order *issuance.Order
	if found {
		order, r.Order, r.CardID = &o.Order, o.Ref, o.CardID
	}
	why := issuance.Why{At: t.now, Stage: "change", Session: session, Attempt: r.Attempts}
	canceled, err := t.canceledBefore(r)
	if err != nil {
		return claim, false, err
	}
	step, code, reason := r.Next(order, canceled)
	why.Code, why.Reason = code, reason
	switch step {
	case issuance.StepEnd:
		return claim, false, t.changeOf(r, issuance.ChangeTooLate, why)
	case issuance.StepWait:
		if !found && expired {
			why.Reason = "no order of this order_id has come in time"
			return claim, false, t.changeOf(r, issuance.ChangeUnmatched, why)
		}
		if r.Code == code && r.Reason == reason {
			return claim, false, nil
		}
		r.Code, r.Reason = code, reason
		return claim, false, t.saveChange(r)
	case issuance.StepSend:
		r.Attempts++
		why.Attempt = r.Attempts
		r.session, r.CorrelationID = session, correlationID
		if r.firstSentAt == 0 {
			r.firstSentAt = micros(t.now)
		}
		if err := t.changeOf(r, issuance.ChangeSubmitting, why); err != nil {
			return claim, false, err
		}
	case issuance.StepApply:
		if _, err := one(t, []any{&claim.OrderPayload}, `SELECT body FROM payload WHERE ref = $1`, int64(o.Ref)); err != nil {
			return claim, false, err
		}
	}
	claim.Change, claim.Step, claim.ProductID = r.Change, step, o.ProductID
	_, err = one(t, []any{&claim.Payload}, `SELECT body FROM change_payload WHERE ref = $1`, int64(r.Ref))
	return claim, true, err
}

// canceledBefore reports whether the center has made an earlier change that
// cancels the order.
func (t *tx) canceledBefore(r *changeRecord) (canceled bool, err error) {
	_, err = one(t, []any{&canceled}, `SELECT EXISTS (SELECT 1 FROM order_change c
		WHERE c.live = 1 AND c.issuer_id = $1 AND c.order_id = $2 AND c.ref < $3 AND c.type = 'CANCEL' AND c.state = 'done')`,
		r.IssuerID, r.OrderID, int64(r.Ref))
	return canceled, err
}

// orderToChange finds the order of a change. Like news, a change does not reach
// orders of a file that is being loaded or held.
func (t *tx) orderToChange(r *changeRecord) (record, bool, error) {
	found, err := list(t, scanOrder, `SELECT `+orderColumns+` FROM orders o JOIN batch b ON b.no = o.batch_no
		WHERE o.live = 1 AND o.issuer_id = $1 AND o.order_id = $2 AND b.state <> 'loading' AND b.state <> 'held'`, r.IssuerID, r.OrderID)
	if err != nil || len(found) == 0 {
		return record{}, false, err
	}
	return found[0], true, nil
}

// ApplyChanges makes changes in our copies of orders that D1 does not have. In
// the same transaction it is decided anew that this is so, because an order may
// have been claimed since: then the change waits on, and is not counted.
func (s *Store) ApplyChanges(ctx context.Context, session string, changes []issuance.LocalChange) (applied int, err error) {
	err = s.write(ctx, "apply changes", func(t *tx) error {
		applied = 0
		for _, l := range changes {
			done, err := t.applyChange(session, l)
			if err != nil {
				return err
			}
			if done {
				applied++
			}
		}
		return nil
	})
	return applied, err
}

func (t *tx) applyChange(session string, l issuance.LocalChange) (bool, error) {
	r, found, err := t.loadChange(l.Ref)
	if err != nil || !found || r.State != issuance.ChangeWaiting {
		return false, err
	}
	var blocked bool
	if _, err := one(t, []any{&blocked}, `SELECT `+notFirst+` FROM order_change c WHERE c.ref = $1`, int64(l.Ref)); err != nil || blocked {
		return false, err
	}
	o, found, err := t.orderToChange(&r)
	if err != nil || !found {
		return false, err
	}
	if step, _, _ := r.Next(&o.Order, false); step != issuance.StepApply {
		return false, nil
	}
	var name string
	if err := t.fileOf(r.Ref, &name); err != nil {
		return false, err
	}
	why := issuance.Why{At: t.now, Stage: "change", Session: session, Attempt: o.Attempts,
		Reason: fmt.Sprintf("%s in %s line %d", r.Type, name, r.Line)}
	if r.Type == issuance.Cancel {
		err = t.cancelOrder(&o, why)
	} else {
		err = t.reviseOrder(&o, l, why)
	}
	if err != nil {
		return false, err
	}
	r.Order, r.CardID, r.orderAttempts = o.Ref, o.CardID, o.Attempts
	return true, t.changeOf(&r, issuance.ChangeApplied, issuance.Why{At: t.now, Stage: "change", Session: session, Reason: "made before the order was sent"})
}

func (t *tx) cancelOrder(o *record, why issuance.Why) error {
	if err := t.change(o, issuance.Cancelled, why); err != nil {
		return err
	}
	if err := t.saveState(o); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM payload WHERE ref = $1`, int64(o.Ref))
	return err
}

func (t *tx) reviseOrder(o *record, l issuance.LocalChange, why issuance.Why) error {
	if l.Payload != nil {
		if _, err := t.exec(`UPDATE payload SET body = $1 WHERE ref = $2`, l.Payload, int64(o.Ref)); err != nil {
			return err
		}
	}
	if l.Priority != "" {
		o.Priority, o.Urgency = l.Priority, issuance.Urgent
	}
	if err := t.append(&o.lastEvent, o.Revise(why)); err != nil {
		return err
	}
	_, err := t.exec(`UPDATE orders SET priority = $1, urgency = $2, last_event = $3 WHERE ref = $4`,
		o.Priority, int64(o.Urgency), o.lastEvent, int64(o.Ref))
	return err
}

// RecordChanges writes what came of changes that were claimed, or of asking D1
// about them. That D1 took one is evidence and is believed from whomever it
// comes; anything else counts only for the same attempt, and of a change that is
// being sent only from the session that sends it. A change that waits again was
// surely not sent, and its attempt does not count. An outcome that leaves a
// change as it was says that D1 was asked.
func (s *Store) RecordChanges(ctx context.Context, session string, outcomes []issuance.ChangeOutcome) error {
	return s.write(ctx, "record changes", func(t *tx) error {
		for _, out := range outcomes {
			r, found, err := t.loadChange(out.Ref)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			if err := t.recordChange(&r, out, session); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) recordChange(r *changeRecord, out issuance.ChangeOutcome, session string) error {
	learnt := out.OperationID != "" && r.OperationID == ""
	if learnt {
		r.OperationID = out.OperationID
	}
	why := issuance.Why{At: t.now, Stage: "change", Session: session, Code: out.Code, Reason: out.Reason, Attempt: out.Attempt}
	evidence := out.To == issuance.ChangeSubmitted
	current := r.Attempts == out.Attempt && (r.State != issuance.ChangeSubmitting || r.session == session)
	switch {
	case current && r.State == out.To:
		r.Asks, r.NotFound, r.NextAttemptAt = r.Asks+1, out.NotFound, out.NextAttemptAt
		if err := t.saveChange(r); err != nil {
			return err
		}
	case r.State.CanBecome(out.To) && (current && r.State != issuance.ChangeWaiting || evidence):
		if r.State == issuance.ChangeSubmitting && out.To == issuance.ChangeWaiting {
			r.Attempts--
		}
		r.Asks, r.NotFound, r.NextAttemptAt = 0, 0, out.NextAttemptAt
		if err := t.changeOf(r, out.To, why); err != nil {
			return err
		}
	case learnt:
		if err := t.saveChange(r); err != nil {
			return err
		}
	}
	if learnt {
		return t.applyParkedUpdate(r, why)
	}
	return nil
}

// EndChange ends a change that waits, or leaves it to a person: it can be
// neither applied nor sent.
func (s *Store) EndChange(ctx context.Context, session string, ref issuance.Ref, to issuance.ChangeState, code issuance.Code, reason string) error {
	return s.write(ctx, "end change", func(t *tx) error {
		r, found, err := t.loadChange(ref)
		if err != nil || !found || r.State != issuance.ChangeWaiting {
			return err
		}
		return t.changeOf(&r, to, issuance.Why{At: t.now, Stage: "change", Session: session, Code: code, Reason: reason})
	})
}

// DueChanges returns up to max changes of an issuer that D1 should be asked
// about: those of unknown outcome and those it has taken, when their time has
// come.
func (s *Store) DueChanges(ctx context.Context, issuerID string, max int) ([]issuance.Change, error) {
	found, err := list(s.reader(ctx), scanPlainChange, `SELECT `+changeColumns+` FROM batch b CROSS JOIN order_change c ON c.batch_no = b.no
		WHERE `+openBatch+`b.issuer_id = $1 AND b.kind = 'changes' AND `+openChange+`c.state IN ('unknown', 'submitted')
			AND c.next_attempt_at <= $2 ORDER BY c.next_attempt_at, c.ref LIMIT $3`, issuerID, micros(s.now()), max)
	return found, wrap("look for changes to ask about", err)
}

// WaitingChanges returns how many changes of an issuer wait, for whatever.
func (s *Store) WaitingChanges(ctx context.Context, issuerID string) (n int64, err error) {
	_, err = one(s.reader(ctx), []any{&n}, `SELECT count(*) FROM batch b JOIN order_change c ON c.batch_no = b.no
		WHERE `+openBatch+`b.issuer_id = $1 AND b.kind = 'changes' AND `+openChange+`c.state = 'waiting'`, issuerID)
	return n, wrap("count waiting changes", err)
}

// HearChanges applies what D1 answered when asked about cards: to the changes
// what it says of changes, to the orders the rest. It returns the changes that
// were spoken of.
func (s *Store) HearChanges(ctx context.Context, issuerID, stage string, operations []issuance.Operation) (matched []issuance.Ref, err error) {
	err = s.write(ctx, "hear changes", func(t *tx) error {
		matched = nil
		why := issuance.Why{At: t.now, Stage: stage, Session: s.sessionID()}
		for _, op := range operations {
			if op.Operation == issuance.OperationUpdateOrder {
				r, found, err := t.matchChange(issuerID, op)
				if err != nil {
					return err
				}
				if found {
					matched = append(matched, r.Ref)
				}
			}
			if op.Operation != issuance.OperationProduce && op.Operation != issuance.OperationUpdateOrder {
				continue
			}
			if _, _, err := t.hear(issuerID, op, why); err != nil {
				return err
			}
		}
		return nil
	})
	return matched, err
}

// hearChange applies one UPDATE_ORDER operation to the change it belongs to.
func (t *tx) hearChange(issuerID string, op issuance.Operation, why issuance.Why) (matched, changed bool, err error) {
	r, found, err := t.matchChange(issuerID, op)
	if err != nil || !found {
		return false, false, err
	}
	before := r.OperationID
	events, err := r.Hear(op, why)
	if err != nil || len(events) == 0 && r.OperationID == before {
		return true, false, err
	}
	return true, len(events) > 0, t.changedChange(&r, why, events...)
}

// matchChange finds the change an operation belongs to: by D1's operation id
// or, while that of a change is not known, by the order or card. There is at
// most one change of an order under way. One that was sent more than once and
// came to nothing may have been made by another attempt.
func (t *tx) matchChange(issuerID string, op issuance.Operation) (changeRecord, bool, error) {
	if op.OperationID != "" {
		found, err := list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c
			WHERE c.operation_id <> '' AND c.operation_id = $1 AND c.issuer_id = $2`, op.OperationID, issuerID)
		if err != nil || len(found) > 0 {
			return firstOf(found), len(found) > 0, err
		}
	}
	var candidates []changeRecord
	var err error
	switch {
	case op.IssuerRequestID != "":
		candidates, err = list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c WHERE c.issuer_id = $1 AND c.order_id = $2 AND c.live = 1
			AND c.state IN ('submitting', 'unknown', 'submitted', 'too_late', 'refused') ORDER BY c.ref DESC`, issuerID, op.IssuerRequestID)
	case op.CardID != "":
		candidates, err = list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c WHERE `+sentChange+`c.card_id = $1 AND c.issuer_id = $2`,
			op.CardID, issuerID)
	}
	for _, r := range candidates {
		if r.mayBe(op) {
			return r, true, err
		}
	}
	return changeRecord{}, false, err
}

func firstOf(found []changeRecord) changeRecord {
	if len(found) == 0 {
		return changeRecord{}
	}
	return found[0]
}

// skew is how far D1's clock may be behind ours.
const skew = 5 * time.Minute

// mayBe reports whether an operation whose id we do not know can be the change.
func (r *changeRecord) mayBe(op issuance.Operation) bool {
	if op.CardID != "" && r.CardID != op.CardID {
		return false
	}
	if !op.StartTime.IsZero() && op.StartTime.Before(fromMicros(r.firstSentAt).Add(-skew)) {
		return false // older than the change: somebody else's
	}
	if r.Attempts > 1 {
		return !r.State.Final() || op.Status == issuance.OperationSuccessful
	}
	return !r.State.Final() && (r.OperationID == "" || op.OperationID == "")
}

// heardCanceled makes changes done that cancelled an order: that D1 has
// cancelled it says more than any answer to the change.
func (t *tx) heardCanceled(r *record, op issuance.Operation, why issuance.Why) error {
	if op.Production != issuance.CardProdCanceled {
		return nil
	}
	found, err := list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c WHERE `+sentChange+`c.card_id = $1 AND c.order_ref = $2 AND c.type = 'CANCEL'`,
		r.CardID, int64(r.Ref))
	if err != nil {
		return err
	}
	for _, c := range found {
		events, err := c.Hear(issuance.Operation{Status: issuance.OperationSuccessful}, why)
		if err != nil {
			return err
		}
		if err := t.changedChange(&c, why, events...); err != nil {
			return err
		}
	}
	return nil
}

// reopenChanges lets changes wait again that were made to our copies of orders
// which D1 turns out to have: of an earlier attempt, perhaps, without the change.
func (t *tx) reopenChanges(orders string, why issuance.Why) error {
	found, err := list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c
		WHERE c.state = 'applied' AND c.order_attempts > 0 AND c.order_ref IN (SELECT value FROM json_each($1)) ORDER BY c.ref`, orders)
	if err != nil {
		return err
	}
	why.Code, why.Reason = "", "D1 may have the order without it"
	for _, r := range found {
		r.orderAttempts = 0
		to := issuance.ChangeWaiting
		has, err := one(t, []any{new(int64)}, `SELECT ref FROM change_payload WHERE ref = $1`, int64(r.Ref))
		if err != nil {
			return err
		}
		if !has { // erased since
			to, why.Code = issuance.ChangeHeld, issuance.PayloadLost
		}
		if err := t.changeOf(&r, to, why); err != nil {
			return err
		}
	}
	return nil
}

// applyParkedUpdate applies news that came before the answer that told its
// operation id, and could not be matched without.
func (t *tx) applyParkedUpdate(r *changeRecord, why issuance.Why) error {
	waiting, err := list(t, scanParked, `SELECT p.id, p.operation, p.parked_at FROM parked_operation p
		WHERE p.issuer_id = $1 AND p.applied_at = 0 AND p.issuer_request_id IN ($2, '') AND p.operation_id = $3 ORDER BY p.id`,
		r.IssuerID, r.OrderID, r.OperationID)
	if err != nil {
		return err
	}
	for _, p := range waiting {
		var op issuance.Operation
		if err := json.Unmarshal([]byte(p.text), &op); err != nil {
			return fmt.Errorf("read parked operation: %w", err)
		}
		if op.Operation != issuance.OperationUpdateOrder {
			continue
		}
		why := issuance.Why{At: fromMicros(p.at), Stage: "notification", Session: why.Session}
		if _, _, err := t.hearChange(r.IssuerID, op, why); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE parked_operation SET applied_at = $1 WHERE id = $2`, micros(t.now), p.id); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) forsakeChanges(issuerID, session string, settle time.Duration, reason string) (int, error) {
	lost, err := list(t, scanChange, `SELECT `+changeColumns+` `+sqlSubmittingChanges, issuerID, session)
	for _, r := range lost {
		r.NextAttemptAt = t.now.Add(settle)
		why := issuance.Why{At: t.now, Stage: "recovery", Session: session, Reason: reason, Attempt: r.Attempts}
		if err := t.changeOf(&r, issuance.ChangeUnknown, why); err != nil {
			return 0, err
		}
	}
	return len(lost), err
}
