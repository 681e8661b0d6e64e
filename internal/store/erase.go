package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cardbatch/internal/issuance"
)

// erasure is how one kind of thing is found and erased. things gives the key of
// each and the time since which it is not needed, oldest first; erase takes
// keys as a JSON array.
type erasure struct {
	things, erase string
	also          string // a second table that may hold the same keys; empty for none
	// inOrder kinds are erased in the order of their keys, and what has been
	// erased is remembered by the last of them: what is left of it would
	// otherwise be looked at in every run, for years.
	inOrder bool
}

// The keys of a batch's orders are computed here as in [issuance.NewRef]. A
// settled batch has no payloads but those of orders that will not be sent
// unless a person says so.
var erasures = map[issuance.Erasable]erasure{
	issuance.ErasePayloads: {
		things: `SELECT p.ref AS key, b.settled_at AS at FROM batch b
			JOIN payload p ON p.ref > b.no * 16777216 AND p.ref < (b.no + 1) * 16777216
			JOIN orders o ON o.ref = p.ref
			WHERE b.state IN ('settled', 'closed') AND o.state IN ('refused', 'cancelled')
			UNION ALL SELECT p.ref, b.settled_at FROM change_payload p JOIN order_change c ON c.ref = p.ref JOIN batch b ON b.no = c.batch_no
			WHERE b.state IN ('settled', 'closed') AND c.state = 'applied'`,
		erase: `DELETE FROM payload WHERE ref IN (SELECT o.ref FROM json_each($1) j JOIN orders o ON o.ref = j.value
			WHERE o.state IN ('refused', 'cancelled'))`,
		also: `DELETE FROM change_payload WHERE ref IN (SELECT c.ref FROM json_each($1) j JOIN order_change c ON c.ref = j.value
			WHERE c.state = 'applied')`,
	},
	issuance.EraseNotifications: {
		things: `SELECT id AS key, received_at AS at FROM notification
			WHERE id > (SELECT coalesce(max(up_to), 0) FROM erased WHERE kind = 'notification bodies') ORDER BY id`,
		erase:   `UPDATE notification SET body = x'' WHERE id IN (SELECT value FROM json_each($1))`,
		inOrder: true,
	},
	issuance.EraseParked: {
		things: `SELECT id AS key, applied_at AS at FROM parked_operation WHERE applied_at > 0 ORDER BY id`,
		erase:  `DELETE FROM parked_operation WHERE id IN (SELECT value FROM json_each($1))`,
	},
	issuance.EraseUnmatched: {
		things: `SELECT id AS key, parked_at AS at FROM parked_operation WHERE applied_at = 0 ORDER BY id`,
		erase:  `DELETE FROM parked_operation WHERE applied_at = 0 AND id IN (SELECT value FROM json_each($1))`,
	},
	issuance.EraseIdleRuns: {
		things: endedRuns + ` AND outcome = 'done' AND summary LIKE '%"idle":true}' ORDER BY id`,
		erase:  `DELETE FROM run WHERE id IN (SELECT value FROM json_each($1))`,
	},
	issuance.EraseRuns: {
		things: endedRuns + ` ORDER BY id`,
		erase:  `DELETE FROM run WHERE id IN (SELECT value FROM json_each($1))`,
	},
}

// endedRuns spares the run of each job from which its next due time follows.
const endedRuns = `SELECT id AS key, ended_at AS at FROM run WHERE ended_at > 0
	AND id NOT IN (SELECT max(id) FROM run WHERE due_wall <> '' AND outcome <> 'lost' GROUP BY job)`

// Erase erases up to max things of a kind that were done with before a time,
// the oldest first, and returns how many there were.
func (s *Store) Erase(ctx context.Context, kind issuance.Erasable, before time.Time, max int) (int64, error) {
	how, known := erasures[kind]
	if !known {
		return 0, fmt.Errorf("erase: there are no %s", kind)
	}
	// Looked for outside of the transaction, which holds up all others.
	keys, err := s.erasable(ctx, how, before, max)
	if err != nil || len(keys) == 0 {
		return 0, wrap("look for what can be erased", err)
	}
	text, err := json.Marshal(keys)
	if err != nil {
		return 0, err
	}
	err = s.write(ctx, "erase", func(t *tx) error {
		if _, err := t.exec(how.erase, string(text)); err != nil {
			return err
		}
		if how.also != "" {
			_, err := t.exec(how.also, string(text))
			return err
		}
		if !how.inOrder {
			return nil
		}
		_, err := t.exec(`INSERT INTO erased (kind, up_to) VALUES ($1, $2) ON CONFLICT (kind) DO UPDATE SET up_to = excluded.up_to
			WHERE excluded.up_to > erased.up_to`, string(kind), keys[len(keys)-1])
		return err
	})
	if err != nil {
		return 0, err
	}
	return int64(len(keys)), nil
}

// erasable returns the keys of what can be erased. A kind that is erased in
// order ends at the first that is still needed: those after it were done with
// at nearly the same time, and would be passed over for ever.
func (s *Store) erasable(ctx context.Context, how erasure, before time.Time, max int) ([]int64, error) {
	where := ` WHERE at < $1`
	if how.inOrder {
		where = ` WHERE $1 > 0`
	}
	type thing struct{ key, at int64 }
	things, err := list(s.reader(ctx), func(row scanner) (v thing, err error) {
		return v, row.Scan(&v.key, &v.at)
	}, `SELECT key, at FROM (`+how.things+`)`+where+fmt.Sprintf(" LIMIT %d", max), micros(before))
	keys := make([]int64, 0, len(things))
	for _, v := range things {
		if v.at >= micros(before) {
			break
		}
		keys = append(keys, v.key)
	}
	return keys, err
}

// CountErasable returns how many things of a kind Erase would erase by and by.
func (s *Store) CountErasable(ctx context.Context, kind issuance.Erasable, before time.Time) (n int64, err error) {
	how, known := erasures[kind]
	if !known {
		return 0, fmt.Errorf("count what can be erased: there are no %s", kind)
	}
	where := ` WHERE at < $1`
	if how.inOrder { // as erasable has it
		where += ` AND key < coalesce((SELECT min(key) FROM (` + how.things + `) WHERE at >= $1), 9223372036854775807)`
	}
	_, err = one(s.reader(ctx), []any{&n}, `SELECT count(*) FROM (`+how.things+`)`+where, micros(before))
	return n, wrap("count what can be erased", err)
}
