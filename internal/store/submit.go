package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"cardbatch/internal/issuance"
)

// ClaimReady gives a session up to max ready orders of an issuer's accepted
// batches, the most urgent first, then the oldest. The orders are submitting
// when it returns: no one else gets them, and should the session die they
// become unknown. A session that was ended gets none: nobody would look after
// its orders any more.
func (s *Store) ClaimReady(ctx context.Context, issuerID, session string, max int) ([]issuance.Claim, error) {
	return s.claimOf(ctx, issuerID, session, max, issuance.Urgencies())
}

func (s *Store) claimOf(ctx context.Context, issuerID, session string, max int, urgencies []issuance.Urgency) ([]issuance.Claim, error) {
	var claims []issuance.Claim
	err := s.write(ctx, "claim orders", func(t *tx) error {
		claims = claims[:0]
		if err := t.openSession(session); err != nil {
			return err
		}
		open, err := list(t, scanInt, `SELECT no FROM batch b WHERE `+openBatch+`b.state = 'accepted' AND b.issuer_id = $1 ORDER BY no`, issuerID)
		if err != nil {
			return err
		}
		prefix := rand.Text()[:16] + "-"
		why := issuance.Why{At: t.now, Stage: "submit", Session: session}
		collect := func(when string, at time.Time) error {
			for _, u := range urgencies {
				for _, no := range open {
					if len(claims) >= max {
						return nil
					}
					if claims, err = t.claim(claims, no, u, when, at, max-len(claims), prefix, why); err != nil {
						return err
					}
				}
			}
			return nil
		}
		if err := collect(isDue, t.now); err != nil {
			return err
		}
		if len(claims) == 0 {
			return collect(isMistaken, t.now.Add(farFuture))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claims, nil
}

// When an order may be claimed, as a condition with a time.
const (
	isDue      = `o.next_attempt_at <= $3`
	isMistaken = `o.next_attempt_at > $3`
)

func (t *tx) claim(claims []issuance.Claim, no int64, u issuance.Urgency, when string, at time.Time, max int, prefix string, why issuance.Why) ([]issuance.Claim, error) {
	ready, err := list(t, func(row scanner) (c issuance.Claim, err error) {
		err = row.Scan(&c.Ref, &c.OrderID, &c.CardID, &c.Attempt, &c.Payload)
		return c, err
	}, `SELECT o.ref, o.order_id, o.card_id, o.attempts + 1, p.body FROM orders o LEFT JOIN payload p ON p.ref = o.ref
		WHERE `+openOrder+`o.batch_no = $1 AND o.state = 'ready' AND o.urgency = $2 AND `+when+`
		ORDER BY o.next_attempt_at, o.ref LIMIT $4`, no, int64(u), micros(at), max)
	if err != nil || len(ready) == 0 {
		return claims, err
	}
	keys := make([]issuance.Ref, len(ready))
	for i := range ready {
		keys[i] = ready[i].Ref
		ready[i].CorrelationID = prefix + strconv.Itoa(len(claims)+i)
	}
	change, err := t.changeAll(keys, issuance.Ready, issuance.Submitting, 1, why)
	if err != nil {
		return claims, err
	}
	if _, err = t.exec(sqlClaim, change.keys, prefix, len(claims), why.Session, change.firstEvent); err != nil {
		return claims, err
	}
	return append(claims, ready...), nil
}

// StillClaimed reports whether an order is still submitting in the given attempt
// of a session. A claim that has waited may have been overtaken by news.
func (s *Store) StillClaimed(ctx context.Context, session string, ref issuance.Ref, attempt int) (bool, error) {
	found, err := one(s.reader(ctx), []any{new(int64)}, `SELECT o.ref FROM orders o
		WHERE o.ref = $1 AND o.state = 'submitting' AND o.session = $2 AND o.attempts = $3`, int64(ref), session, attempt)
	return found, wrap("look at a claim", err)
}

// RecordOutcomes writes what came of claims. That D1 took an order is evidence
// and is believed from whomever it comes; any other outcome counts only while
// the order is still submitting, in the same claim of the same session, and
// is dropped otherwise: somebody knew better since. For an order that is
// submitted already only its operation id is learnt. An order that becomes ready
// or held was surely not sent, and its attempt does not count.
func (s *Store) RecordOutcomes(ctx context.Context, session string, outcomes []issuance.Outcome) error {
	return s.write(ctx, "record outcomes", func(t *tx) error {
		others, err := t.recordSubmitted(session, outcomes)
		if err != nil {
			return err
		}
		for _, out := range others {
			r, found, err := t.load(out.Ref)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			mine := r.State == issuance.Submitting && r.session == session && r.Attempts == out.Attempt &&
				(out.CorrelationID == "" || out.CorrelationID == r.CorrelationID)
			if err := t.record(&r, out, mine, "submit", session); err != nil {
				return err
			}
		}
		return nil
	})
}

// record writes an outcome. current tells that it is about the order as it
// stands; one that is not may only bring evidence.
func (t *tx) record(r *record, out issuance.Outcome, current bool, stage, session string) error {
	evidence := out.To == issuance.Submitted
	if evidence && r.State == issuance.Submitted {
		return t.learnOperation(r, out.OperationID, issuance.Why{At: t.now, Stage: stage, Session: session})
	}
	if !current && (!evidence || !r.State.CanBecome(issuance.Submitted)) {
		return nil
	}
	why := issuance.Why{At: t.now, Stage: stage, Session: session, Code: out.Code, Reason: out.Reason, Attempt: out.Attempt}
	if r.State == issuance.Submitting && (out.To == issuance.Ready || out.To == issuance.Held) {
		r.Attempts-- // it was surely not delivered
	}
	if r.State == issuance.Submitting && out.To == issuance.Held {
		if err := t.change(r, issuance.Ready, why); err != nil {
			return err
		}
	}
	if err := t.change(r, out.To, why); err != nil {
		return err
	}
	r.NextAttemptAt, r.Asks, r.NotFound = time.Time{}, 0, 0
	if out.To == issuance.Ready || out.To == issuance.Unknown {
		r.NextAttemptAt = out.NextAttemptAt
	}
	if evidence {
		r.OperationID = out.OperationID
		if err := t.reopenChanges(fmt.Sprintf("[%d]", r.Ref), why); err != nil {
			return err
		}
	}
	return t.saveState(r)
}

// Release gives claims back that were not sent. Their attempt does not count.
func (s *Store) Release(ctx context.Context, session string, claimed []issuance.Ref) error {
	return s.write(ctx, "release orders", func(t *tx) error {
		for _, ref := range claimed {
			r, found, err := t.load(ref)
			if err != nil {
				return err
			}
			if !found || r.State != issuance.Submitting || r.session != session {
				continue
			}
			why := issuance.Why{At: t.now, Stage: "submit", Session: session, Reason: "not sent", Attempt: r.Attempts}
			if err := t.change(&r, issuance.Ready, why); err != nil {
				return err
			}
			r.Attempts--
			if err := t.saveState(&r); err != nil {
				return err
			}
		}
		return nil
	})
}

// DecideUnknown writes what is to be done about unknown orders after D1 was
// asked: ready to send again, held for a person, or unknown still, to be asked
// about at a later time. It counts how often D1 was asked. An order that is not
// unknown any more, or of another attempt, is left alone.
func (s *Store) DecideUnknown(ctx context.Context, outcomes []issuance.Outcome) error {
	return s.write(ctx, "decide unknown orders", func(t *tx) error {
		for _, out := range outcomes {
			r, found, err := t.load(out.Ref)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			unknown := r.State == issuance.Unknown && r.Attempts == out.Attempt
			if unknown && out.To == issuance.Unknown {
				if _, err := t.exec(`UPDATE orders SET asks = asks + 1, not_found = $1, next_attempt_at = $2 WHERE ref = $3`,
					out.NotFound, micros(out.NextAttemptAt), int64(out.Ref)); err != nil {
					return err
				}
				continue
			}
			if err := t.record(&r, out, unknown, "track", s.sessionID()); err != nil {
				return err
			}
		}
		return nil
	})
}

// ReadyCount returns how many orders of an issuer's accepted batches are ready,
// those that must still wait included.
func (s *Store) ReadyCount(ctx context.Context, issuerID string) (n int64, err error) {
	_, err = one(s.reader(ctx), []any{&n}, `SELECT count(*) FROM batch b JOIN orders o ON o.batch_no = b.no
		WHERE b.issuer_id = $1 AND `+openBatch+`b.state = 'accepted' AND `+openOrder+`o.state = 'ready'`, issuerID)
	return n, wrap("count ready orders", err)
}

// farAhead is how far ahead slots are taken at most, besides two of them.
const farAhead = time.Minute

// ReserveSlots takes n consecutive slots of a rate that all processes share
// under key, one slot every interval, and returns the time of the first; slot
// i, from 0, may be used from first + i*interval on.
//
// This is the generic cell rate algorithm on one stored time, that of the next
// free slot, which lags behind the clock by at most burst-1 intervals. So
// after a pause up to burst slots lie in the past, to be used at once, and then
// one comes every interval; first may therefore be before now. In any window
// of length T at most burst + T/interval slots begin, whoever takes them. A
// slot is not handed back: one that is not used soon after its time must be
// forgotten, or slots bunch up. A next free slot more than a minute and two
// intervals ahead was stored by a clock that has been set back since, and gives
// way to the present.
func (s *Store) ReserveSlots(ctx context.Context, key string, n int, interval time.Duration, burst int) (first time.Time, err error) {
	err = s.write(ctx, "reserve slots", func(t *tx) error {
		var next int64
		if _, err := one(t, []any{&next}, `SELECT tat FROM rate WHERE name = $1`, key); err != nil {
			return err
		}
		now := s.now()
		if next > now.Add(farAhead+2*interval).UnixNano() {
			next = now.UnixNano()
		}
		earliest := now.Add(-time.Duration(max(burst, 1)-1) * interval)
		next = max(next, earliest.UnixNano())
		first = time.Unix(0, next).UTC()
		_, err := t.exec(`INSERT INTO rate (name, tat) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET tat = excluded.tat`,
			key, next+int64(n)*int64(interval))
		return err
	})
	return first, err
}
