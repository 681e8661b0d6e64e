package store

import (
	"encoding/json"
	"fmt"

	"cardbatch/internal/issuance"
)

// change is one transition of many orders at once. Their events have
// consecutive ids, in the order of the keys.
type change struct {
	keys       string // JSON array
	firstEvent int64
}

// changeAll checks a transition that all orders make, and writes its events.
// The orders themselves are the caller's to update. later is added to the
// attempts of each to give the event's.
func (t *tx) changeAll(keys []issuance.Ref, from, to issuance.State, later int, why issuance.Why) (change, error) {
	if !from.CanBecome(to) {
		return change{}, fmt.Errorf("%w: %s cannot become %s", ErrOutOfState, from, to)
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return change{}, err
	}
	first, err := t.nextEvent()
	if err != nil {
		return change{}, err
	}
	t.lastEvent += int64(len(keys)) - 1
	n, err := t.exec(sqlAppendAll, string(text), first, string(from), string(to), micros(why.At), why.Stage, why.Session, later,
		why.Operator, string(why.Code), why.Reason)
	if err == nil && n != int64(len(keys)) {
		err = fmt.Errorf("%w: %d orders wrote %d events", ErrOutOfState, len(keys), n)
	}
	return change{string(text), first}, err
}

// recordSubmitted writes the outcomes that nearly all are: D1 took an order
// that this session is submitting. It returns the others.
func (t *tx) recordSubmitted(session string, outcomes []issuance.Outcome) (others []issuance.Outcome, err error) {
	asked := make([][2]int64, 0, len(outcomes))
	last := make(map[issuance.Ref]issuance.Outcome, len(outcomes))
	for _, out := range outcomes {
		if _, twice := last[out.Ref]; twice {
			return outcomes, nil // their order matters
		}
		last[out.Ref] = out
		if out.To == issuance.Submitted && out.Code == "" && out.Reason == "" {
			asked = append(asked, [2]int64{int64(out.Ref), int64(out.Attempt)})
		}
	}
	current, err := t.current(asked, session)
	if err != nil || len(current) == 0 {
		return outcomes, err
	}
	pairs := make([][2]any, len(current))
	for i, ref := range current {
		pairs[i] = [2]any{ref, last[ref].OperationID}
		delete(last, ref)
	}
	if err := t.submitted(current, pairs, session); err != nil {
		return nil, err
	}
	for _, out := range outcomes {
		if _, left := last[out.Ref]; left {
			others = append(others, out)
		}
	}
	return others, nil
}

func (t *tx) current(asked [][2]int64, session string) ([]issuance.Ref, error) {
	text, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	return list(t, func(row scanner) (ref issuance.Ref, err error) { return ref, row.Scan(&ref) }, sqlCurrent, string(text), session)
}

func (t *tx) submitted(keys []issuance.Ref, pairs [][2]any, session string) error {
	why := issuance.Why{At: t.now, Stage: "submit", Session: session}
	change, err := t.changeAll(keys, issuance.Submitting, issuance.Submitted, 0, why)
	if err != nil {
		return err
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		return err
	}
	if _, err := t.exec(sqlSubmitted, string(text), micros(t.now), change.firstEvent); err != nil {
		return err
	}
	if _, err = t.exec(sqlErasePayloads, change.keys); err != nil {
		return err
	}
	return t.reopenChanges(change.keys, why)
}
