package store

import (
	"context"
	"fmt"

	"cardbatch/internal/issuance"
)

const runColumns = `id, job, stage, due, due_wall, business_date, cause, session, started_at, ended_at, outcome, summary`

func scanRun(row scanner) (r issuance.Run, err error) {
	var due, started, ended int64
	err = row.Scan(&r.ID, &r.Job, &r.Stage, &due, &r.DueWall, &r.BusinessDate, &r.Trigger, &r.Session, &started, &ended, &r.Outcome, &r.Summary)
	r.Due, r.StartedAt, r.EndedAt = fromMicros(due), fromMicros(started), fromMicros(ended)
	return r, err
}

// StartRun opens a run in the ledger and returns it with its id and start. A
// job that is running in a live session is ErrRunning; a run that a dead one
// left open ends as lost. A due time that has a run is ErrRunExists, unless
// that run was lost: its work may be undone, so it may be run again. A run
// without DueWall is not tied to a due time.
func (s *Store) StartRun(ctx context.Context, r issuance.Run) (issuance.Run, error) {
	err := s.write(ctx, "start run", func(t *tx) error {
		if r.Session == "" {
			r.Session = s.sessionID()
		}
		open, err := list(t, scanRun, `SELECT `+runColumns+` FROM run WHERE job = $1 AND ended_at = 0`, r.Job)
		if err != nil {
			return err
		}
		for _, o := range open {
			if s.alive(o.Session) {
				return ErrRunning
			}
			if _, err := t.exec(`UPDATE run SET ended_at = $1, outcome = 'lost' WHERE id = $2`, micros(t.now), o.ID); err != nil {
				return err
			}
		}
		r.StartedAt = t.now
		_, err = one(t, []any{&r.ID}, `INSERT INTO run (job, stage, due, due_wall, business_date, cause, session, started_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
			r.Job, r.Stage, micros(r.Due), r.DueWall, r.BusinessDate, string(r.Trigger), r.Session, micros(r.StartedAt))
		if isUnique(err) {
			return ErrRunExists
		}
		return err
	})
	if err != nil {
		return issuance.Run{}, err
	}
	return r, nil
}

// FinishRun closes a run. One that is closed already is ErrOutOfState.
func (s *Store) FinishRun(ctx context.Context, id int64, outcome issuance.RunOutcome, summary string) error {
	return s.write(ctx, "finish run", func(t *tx) error {
		n, err := t.exec(`UPDATE run SET ended_at = $1, outcome = $2, summary = $3 WHERE id = $4 AND ended_at = 0`,
			micros(t.now), string(outcome), summary, id)
		if err == nil && n == 0 {
			err = ErrOutOfState
		}
		return err
	})
}

// Runs returns the runs that match a filter, newest first.
func (s *Store) Runs(ctx context.Context, f issuance.RunFilter) ([]issuance.Run, error) {
	where, args := "WHERE 1 = 1", []any(nil)
	and := func(column, value string) {
		if value != "" {
			args = append(args, value)
			where += fmt.Sprintf(" AND %s = $%d", column, len(args))
		}
	}
	and("job", f.Job)
	and("business_date", f.BusinessDate)
	if f.Open {
		where += " AND ended_at = 0"
	}
	where += " ORDER BY id DESC"
	if f.Limit > 0 {
		where += fmt.Sprintf(" LIMIT %d", f.Limit)
	}
	found, err := list(s.reader(ctx), scanRun, `SELECT `+runColumns+` FROM run `+where, args...)
	return found, wrap("list runs", err)
}

// LastDue returns the run of a job with the latest due time, lost ones not
// counted, and whether there is one.
func (s *Store) LastDue(ctx context.Context, job string) (issuance.Run, bool, error) {
	found, err := list(s.reader(ctx), scanRun, `SELECT `+runColumns+` FROM run
		WHERE job = $1 AND due_wall <> '' AND outcome <> 'lost' ORDER BY due DESC, id DESC LIMIT 1`, job)
	if err != nil || len(found) == 0 {
		return issuance.Run{}, false, wrap("look for the last due time", err)
	}
	return found[0], true, nil
}
