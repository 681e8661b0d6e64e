package store

import (
	"context"
	"fmt"
	"iter"

	"cardbatch/internal/issuance"
)

// changeRecord is a change with what only the store needs to know of it.
type changeRecord struct {
	issuance.Change
	orderAttempts int
	firstSentAt   int64
	session       string
	lastEvent     int64
}

const changeColumns = `c.ref, c.line, c.issuer_id, c.order_id, c.type, c.content_mac, c.state, c.code, c.reason, c.order_ref, c.order_attempts,
	c.card_id, c.attempts, c.asks, c.not_found, c.next_attempt_at, c.first_sent_at, c.submitted_at, c.finished_at, c.session,
	c.correlation_id, c.operation_id, c.last_event`

func scanChange(row scanner) (r changeRecord, err error) {
	var next, submitted, finished int64
	err = row.Scan(&r.Ref, &r.Line, &r.IssuerID, &r.OrderID, &r.Type, &r.ContentMAC, &r.State, &r.Code, &r.Reason, &r.Order, &r.orderAttempts,
		&r.CardID, &r.Attempts, &r.Asks, &r.NotFound, &next, &r.firstSentAt, &submitted, &finished, &r.session,
		&r.CorrelationID, &r.OperationID, &r.lastEvent)
	r.NextAttemptAt, r.SubmittedAt, r.FinishedAt = fromMicros(next), fromMicros(submitted), fromMicros(finished)
	return r, err
}

func scanPlainChange(row scanner) (issuance.Change, error) {
	r, err := scanChange(row)
	return r.Change, err
}

func (t *tx) loadChange(ref issuance.Ref) (changeRecord, bool, error) {
	found, err := list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c WHERE c.ref = $1`, int64(ref))
	if err != nil || len(found) == 0 {
		return changeRecord{}, false, err
	}
	return found[0], true, nil
}

// AddChanges adds rows to a batch of changes that this session loads, all of
// them or none. A row that repeats the last change of its order becomes a
// duplicate; changes is altered accordingly.
func (s *Store) AddChanges(ctx context.Context, no issuance.BatchNo, changes []issuance.NewChange) error {
	return s.writeBulk(ctx, "add changes", func(t *tx) error {
		f, err := t.loading(no, s.sessionID())
		if err != nil {
			return err
		}
		if f.Kind != issuance.BatchChanges {
			return fmt.Errorf("%w: batch %s is not of changes", ErrOutOfState, f.ID)
		}
		for i := range changes {
			if err := t.addChange(no, &changes[i]); err != nil {
				return err
			}
		}
		_, err = t.exec(`UPDATE batch SET loaded = loaded + $1 WHERE no = $2`, len(changes), int64(no))
		return err
	})
}

func (t *tx) addChange(no issuance.BatchNo, n *issuance.NewChange) error {
	if n.Ref.Batch() != no || n.Ref.Row() == 0 {
		return fmt.Errorf("%w: row %d is of another batch", ErrOutOfState, n.Ref.Row())
	}
	switch n.State {
	case issuance.ChangeWaiting:
		if err := t.compareWithLast(n); err != nil {
			return err
		}
	case issuance.ChangeRejected:
	default:
		return fmt.Errorf("%w: row %d is %s", ErrOutOfState, n.Ref.Row(), n.State)
	}
	live := 0
	if n.State.Taken() {
		live = 1
	}
	_, err := t.exec(`INSERT INTO order_change (ref, batch_no, line, live, state, issuer_id, order_id, type, content_mac, code, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		int64(n.Ref), int64(no), n.Line, live, string(n.State), n.IssuerID, n.OrderID, string(n.Type), n.ContentMAC, string(n.Code), n.Reason)
	if err != nil {
		return err
	}
	if live == 1 {
		if _, err := t.exec(`INSERT INTO change_payload (ref, body) VALUES ($1, $2)`, int64(n.Ref), n.Payload); err != nil {
			return err
		}
	}
	return t.addErrors(n.Ref, n.Errors)
}

// compareWithLast makes the row a duplicate when it repeats the last change
// that was asked of its order.
func (t *tx) compareWithLast(n *issuance.NewChange) error {
	last, err := list(t, scanChange, `SELECT `+changeColumns+` FROM order_change c
		WHERE c.issuer_id = $1 AND c.order_id = $2 AND c.live = 1 ORDER BY c.ref DESC LIMIT 1`, n.IssuerID, n.OrderID)
	if err != nil || len(last) == 0 || !last[0].RepeatsLast(n.ContentMAC) {
		return err
	}
	var name string
	if err := t.fileOf(last[0].Ref, &name); err != nil {
		return err
	}
	n.Repeat(name, last[0].Line)
	return nil
}

// changeOf makes a legal transition and writes its event and the row.
func (t *tx) changeOf(r *changeRecord, to issuance.ChangeState, why issuance.Why) error {
	if why.At.IsZero() {
		why.At = t.now
	}
	e, err := r.Transition(to, why)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutOfState, err)
	}
	return t.changedChange(r, why, e)
}

// changedChange writes the events of a change and its row, and opens its batch
// again where that was thought to be through with it.
func (t *tx) changedChange(r *changeRecord, why issuance.Why, events ...issuance.Event) error {
	for _, e := range events {
		if err := t.append(&r.lastEvent, e); err != nil {
			return err
		}
	}
	if err := t.saveChange(r); err != nil {
		return err
	}
	var state issuance.BatchState
	if _, err := one(t, []any{&state}, `SELECT state FROM batch WHERE no = $1`, int64(r.Ref.Batch())); err != nil {
		return err
	}
	if state != issuance.BatchClosed && (state != issuance.BatchSettled || !r.State.Open()) {
		return nil
	}
	f, err := t.file(r.Ref.Batch())
	if err != nil {
		return err
	}
	why.Code, why.Reason = "", "there is news of a change of it"
	return t.changeBatch(&f, issuance.BatchAccepted, why)
}

// saveChange writes all that can change. The payload goes with the last chance
// that it is sent.
func (t *tx) saveChange(r *changeRecord) error {
	if r.State != issuance.ChangeSubmitting {
		r.session = ""
	}
	_, err := t.exec(`UPDATE order_change SET state = $1, code = $2, reason = $3, order_ref = $4, order_attempts = $5, card_id = $6,
		attempts = $7, asks = $8, not_found = $9, next_attempt_at = $10, first_sent_at = $11, submitted_at = $12, finished_at = $13,
		session = $14, correlation_id = $15, operation_id = $16, last_event = $17 WHERE ref = $18`,
		string(r.State), string(r.Code), r.Reason, int64(r.Order), r.orderAttempts, r.CardID,
		r.Attempts, r.Asks, r.NotFound, micros(r.NextAttemptAt), r.firstSentAt, micros(r.SubmittedAt), micros(r.FinishedAt),
		r.session, r.CorrelationID, r.OperationID, r.lastEvent, int64(r.Ref))
	if err != nil || !r.erasable() {
		return err
	}
	_, err = t.exec(`DELETE FROM change_payload WHERE ref = $1`, int64(r.Ref))
	return err
}

// erasable reports whether the request cannot be needed any more. One that was
// applied to an order of which D1 had denied an attempt may be.
func (r *changeRecord) erasable() bool {
	return r.State == issuance.ChangeSubmitted || r.State.Final() && (r.State != issuance.ChangeApplied || r.orderAttempts == 0)
}

// ChangeTotals counts the rows of a batch of changes. Rows is what the file was
// decided on with; a refused file counts none.
func (s *Store) ChangeTotals(ctx context.Context, no issuance.BatchNo) (issuance.ChangeTotals, error) {
	var sum issuance.ChangeTotals
	b, err := s.BatchByNo(ctx, no)
	if err != nil {
		return sum, err
	}
	first, last := refs(no)
	err = each(s.reader(ctx), func(row scanner) error {
		var state issuance.ChangeState
		var n int64
		err := row.Scan(&state, &n)
		sum.Add(state, n)
		if b.State == issuance.BatchLoading {
			sum.Rows += n
		}
		return err
	}, `SELECT state, count(*) FROM order_change WHERE ref BETWEEN $1 AND $2 GROUP BY state`, first, last)
	if b.State != issuance.BatchLoading && b.State != issuance.BatchRefused && b.Kind == issuance.BatchChanges {
		sum.Rows = b.Rows
	}
	return sum, wrap("count changes", err)
}

// ChangesOfBatch streams the changes of a batch in the order of their rows, in
// constant memory. Each is as it stands when its page is read.
func (s *Store) ChangesOfBatch(ctx context.Context, no issuance.BatchNo) iter.Seq2[issuance.Change, error] {
	first, last := refs(no)
	return pages("read changes", func(after *issuance.Change) ([]issuance.Change, error) {
		from := first
		if after != nil {
			from = int64(after.Ref)
		}
		return list(s.reader(ctx), scanPlainChange, `SELECT `+changeColumns+` FROM order_change c
			WHERE c.ref > $1 AND c.ref <= $2 ORDER BY c.ref LIMIT $3`, from, last, page)
	})
}

// ChangesOfOrder returns the changes asked of an order, oldest first; of one
// issuer or, when issuerID is empty, of all.
func (s *Store) ChangesOfOrder(ctx context.Context, issuerID, orderID string) ([]issuance.Change, error) {
	found, err := list(s.reader(ctx), scanPlainChange, `SELECT `+changeColumns+` FROM order_change c
		WHERE c.live = 1 AND c.issuer_id IN (SELECT issuer_id FROM batch) AND c.order_id = $1 AND ($2 = '' OR c.issuer_id = $2) ORDER BY c.ref`,
		orderID, issuerID)
	return found, wrap("look for changes", err)
}

// ChangeEvents returns the history of a change, oldest first.
func (s *Store) ChangeEvents(ctx context.Context, ref issuance.Ref) ([]issuance.Event, error) {
	return s.chain(ctx, `SELECT last_event FROM order_change WHERE ref = $1`, int64(ref))
}
