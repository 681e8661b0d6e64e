package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"cardbatch/internal/issuance"
)

const batchColumns = `b.no, b.id, b.kind, b.source, b.issuer_id, b.file_name, b.session, b.size, b.sha256, b.row_count, b.control,
	b.state, b.code, b.reason, b.archived, b.business_date, b.received_at, b.decided_at, b.settled_at, b.closed_at, b.last_event, b.loaded,
	b.attempts, b.troubled_at, b.set_aside, coalesce(e.at, 0), coalesce(e.stage, ''), coalesce(e.session, ''), coalesce(e.operator, '')`

const batchSource = ` FROM batch b LEFT JOIN event e ON e.id = b.last_event `

// file is a batch with what only the store needs to know of it.
type file struct {
	issuance.Batch
	lastEvent int64
	loaded    int64
}

func scanFile(row scanner) (f file, err error) {
	var received, decided, settled, closed, troubled, at int64
	var control string
	err = row.Scan(&f.No, &f.ID, &f.Kind, &f.Source, &f.IssuerID, &f.FileName, &f.Session, &f.Size, &f.SHA256, &f.Rows, &control,
		&f.State, &f.Code, &f.Reason, &f.Archived, &f.BusinessDate, &received, &decided, &settled, &closed, &f.lastEvent, &f.loaded,
		&f.Attempts, &troubled, &f.SetAside, &at, &f.Why.Stage, &f.Why.Session, &f.Why.Operator)
	if err != nil {
		return f, err
	}
	f.ReceivedAt, f.DecidedAt = fromMicros(received), fromMicros(decided)
	f.SettledAt, f.ClosedAt = fromMicros(settled), fromMicros(closed)
	f.TroubledAt = fromMicros(troubled)
	f.Why.At, f.Why.Code, f.Why.Reason = fromMicros(at), f.Code, f.Reason
	if control != "" {
		if err := json.Unmarshal([]byte(control), &f.Control); err != nil {
			return f, fmt.Errorf("read control: %w", err)
		}
	}
	return f, nil
}

func batches(q querier, where string, args ...any) ([]issuance.Batch, error) {
	return list(q, func(row scanner) (issuance.Batch, error) {
		f, err := scanFile(row)
		return f.Batch, err
	}, `SELECT `+batchColumns+batchSource+where, args...)
}

// file reads a batch inside the transaction that will change it.
func (t *tx) file(no issuance.BatchNo) (file, error) {
	found, err := list(t, scanFile, `SELECT `+batchColumns+batchSource+`WHERE b.no = $1`, int64(no))
	if err != nil {
		return file{}, err
	}
	if len(found) == 0 {
		return file{}, fmt.Errorf("batch: %w", ErrNotFound)
	}
	return found[0], nil
}

// loading reads a batch that this session loads.
func (t *tx) loading(no issuance.BatchNo, session string) (file, error) {
	f, err := t.file(no)
	if err != nil {
		return f, err
	}
	if f.State != issuance.BatchLoading {
		return f, fmt.Errorf("%w: batch %s is %s", ErrOutOfState, f.ID, f.State)
	}
	if f.Session != session {
		return f, fmt.Errorf("%w: batch %s is loaded by another session", ErrOutOfState, f.ID)
	}
	return f, nil
}

// ClaimFile makes a file a batch that this session loads, and gives it its
// number and, unless it has one, its id. Of b it takes Kind, Source, IssuerID,
// FileName, BusinessDate, Size and ReceivedAt. The row decides between two
// processes that saw the same file. While another file of the issuer is being
// loaded, or was when its process died and still waits to be adopted, the
// answer is ErrClaimed; and also when a file of the same name is set aside, or
// was decided since b.ReceivedAt: then that is the file the caller saw.
func (s *Store) ClaimFile(ctx context.Context, b issuance.Batch) (issuance.Batch, error) {
	err := s.write(ctx, "claim file", func(t *tx) error {
		b.State, b.Session = issuance.BatchLoading, s.sessionID()
		b.Kind = cmp.Or(b.Kind, issuance.BatchOrders)
		if b.ReceivedAt.IsZero() {
			b.ReceivedAt = t.now
		}
		if b.ID == "" {
			b.ID = t.now.Format("20060102T150405") + "-" + strings.ToLower(rand.Text()[:6])
		}
		var taken bool
		if _, err := one(t, []any{&taken}, `SELECT EXISTS (SELECT 1 FROM batch
			WHERE source = $1 AND file_name = $2 AND (state = 'loading' OR decided_at > $3))`, b.Source, b.FileName, micros(b.ReceivedAt)); err != nil || taken {
			return errors.Join(err, ErrClaimed)
		}
		if _, err := one(t, []any{&b.No}, `SELECT coalesce(max(no), 0) + 1 FROM batch`); err != nil {
			return err
		}
		why := issuance.Why{At: t.now, Stage: "intake", Session: b.Session}
		var head int64
		err := t.append(&head, issuance.Event{Batch: b.No, Kind: issuance.KindBatch, To: string(b.State), Why: why})
		if err != nil {
			return err
		}
		b.Why, b.Attempts = why, 1
		_, err = t.exec(`INSERT INTO batch (no, id, kind, source, issuer_id, file_name, session, size, state, business_date, received_at, last_event)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			int64(b.No), b.ID, string(b.Kind), b.Source, b.IssuerID, b.FileName, b.Session, b.Size, string(b.State), b.BusinessDate,
			micros(b.ReceivedAt), head)
		if isUnique(err) {
			return ErrClaimed
		}
		return err
	})
	if err != nil {
		return issuance.Batch{}, err
	}
	return b, nil
}

// LoadingBatches returns the batches of a source, or with "" of all sources,
// whose loading was interrupted or which were set aside: their session is dead,
// or it is this one. Adopt and ResetBatch, then load them again from the start.
func (s *Store) LoadingBatches(ctx context.Context, source string) ([]issuance.Batch, error) {
	all, err := batches(s.reader(ctx), `WHERE b.state = 'loading' AND (b.source = $1 OR $2 = '') ORDER BY b.no`, source, source)
	if err != nil {
		return nil, fmt.Errorf("look for interrupted batches: %w", err)
	}
	var mine []issuance.Batch
	for _, b := range all {
		if b.Session == s.sessionID() || !s.alive(b.Session) {
			mine = append(mine, b)
		}
	}
	return mine, nil
}

// Adopt makes a loading batch this session's, and the one its issuer loads. A
// batch whose session lives is ErrClaimed, and so is one that was set aside
// while another file of the issuer is being loaded.
func (s *Store) Adopt(ctx context.Context, no issuance.BatchNo) error {
	return s.write(ctx, "adopt batch", func(t *tx) error {
		f, err := t.file(no)
		if err != nil {
			return err
		}
		if f.State != issuance.BatchLoading {
			return fmt.Errorf("%w: batch %s is %s", ErrOutOfState, f.ID, f.State)
		}
		if f.Session != s.sessionID() && s.alive(f.Session) {
			return ErrClaimed
		}
		_, err = t.exec(`UPDATE batch SET session = $1, set_aside = 0, attempts = attempts + 1 WHERE no = $2`, s.sessionID(), int64(no))
		if isUnique(err) {
			return ErrClaimed
		}
		return err
	})
}

// SetAside discards what was loaded of a batch of this session and lets other
// files of its issuer go first. The batch stays loading until somebody adopts
// it again; reason is shown until then.
func (s *Store) SetAside(ctx context.Context, no issuance.BatchNo, reason string) error {
	if err := s.ResetBatch(ctx, no); err != nil {
		return err
	}
	return s.write(ctx, "set batch aside", func(t *tx) error {
		f, err := t.loading(no, s.sessionID())
		if err != nil {
			return err
		}
		if f.TroubledAt.IsZero() {
			f.TroubledAt = t.now
		}
		_, err = t.exec(`UPDATE batch SET set_aside = 1, troubled_at = $1, reason = $2 WHERE no = $3`, micros(f.TroubledAt), reason, int64(no))
		return err
	})
}

// resetChunk is how many rows one transaction deletes, so that others get
// their turn.
const resetChunk = 5000

// ResetBatch forgets all that was loaded of a batch of this session, so that
// it can be loaded again. It can be interrupted and repeated.
func (s *Store) ResetBatch(ctx context.Context, no issuance.BatchNo) error {
	if err := s.unload(ctx, no); err != nil {
		return err
	}
	return s.write(ctx, "reset batch", func(t *tx) error {
		if _, err := t.loading(no, s.sessionID()); err != nil {
			return err
		}
		first, last := refs(no)
		_, err := t.exec(`DELETE FROM row_error WHERE ref BETWEEN $1 AND $2`, first, last)
		return err
	})
}

// unload deletes the orders of a batch that is not, or not any more, to be
// sent, a chunk at a time.
func (s *Store) unload(ctx context.Context, no issuance.BatchNo) error {
	first, last := refs(no)
	for more := true; more; {
		err := s.write(ctx, "reset batch", func(t *tx) error {
			f, err := t.file(no)
			if err != nil {
				return err
			}
			if f.State != issuance.BatchHeld {
				if _, err := t.loading(no, s.sessionID()); err != nil {
					return err
				}
			}
			rows, payloads := "orders", "payload"
			if f.Kind == issuance.BatchChanges {
				rows, payloads = "order_change", "change_payload"
			}
			upTo := last
			if _, err := one(t, []any{&upTo}, `SELECT ref FROM `+rows+` WHERE ref BETWEEN $1 AND $2 ORDER BY ref LIMIT 1 OFFSET $3`,
				first, last, resetChunk-1); err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM `+payloads+` WHERE ref BETWEEN $1 AND $2`, first, upTo); err != nil {
				return err
			}
			n, err := t.exec(`DELETE FROM `+rows+` WHERE ref BETWEEN $1 AND $2`, first, upTo)
			if err != nil {
				return err
			}
			more = n == resetChunk
			_, err = t.exec(`UPDATE batch SET loaded = loaded - $1 WHERE no = $2`, n, int64(no))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DecideBatch accepts, holds or refuses a batch, and with it all its orders in
// one step. A loading batch gets the Rows, Size, SHA256, Control, BusinessDate
// of b; it must be this session's, and Rows must be what was
// added. Refusing deletes the orders and keeps the row errors. The orders of
// an accepted batch can be claimed from then on; what D1 had reported on them
// before is applied first.
func (s *Store) DecideBatch(ctx context.Context, b issuance.Batch, to issuance.BatchState, why issuance.Why) error {
	if to == issuance.BatchRefused {
		if err := s.unload(ctx, b.No); err != nil {
			return err
		}
	}
	return s.write(ctx, "decide batch", func(t *tx) error {
		f, err := t.file(b.No)
		if err != nil {
			return err
		}
		if f.State == issuance.BatchLoading {
			if f, err = t.loading(b.No, s.sessionID()); err != nil {
				return err
			}
			f.Rows, f.Size, f.SHA256, f.Control, f.BusinessDate = b.Rows, b.Size, b.SHA256, b.Control, b.BusinessDate
		}
		if to != issuance.BatchRefused && f.loaded != f.Rows {
			return fmt.Errorf("%w: batch %s has %d rows and %d were added", ErrOutOfState, f.ID, f.Rows, f.loaded)
		}
		if err := t.changeBatch(&f, to, why); err != nil {
			return err
		}
		if err := t.saveContent(&f); err != nil {
			return err
		}
		if to == issuance.BatchAccepted {
			return t.applyAllParked(f.IssuerID, s.sessionID())
		}
		return nil
	})
}

// saveContent writes what was found out about the file by reading it.
func (t *tx) saveContent(f *file) error {
	control, sequence := "", int64(0)
	if f.Control != nil {
		text, err := json.Marshal(f.Control)
		if err != nil {
			return fmt.Errorf("write control: %w", err)
		}
		control, sequence = string(text), f.Control.Sequence
	}
	_, err := t.exec(`UPDATE batch SET row_count = $1, size = $2, sha256 = $3, control = $4, sequence = $5, business_date = $6 WHERE no = $7`,
		f.Rows, f.Size, f.SHA256, control, sequence, f.BusinessDate, int64(f.No))
	return err
}

// changeBatch makes a legal transition, writes its event and the row.
func (t *tx) changeBatch(f *file, to issuance.BatchState, why issuance.Why) error {
	if why.At.IsZero() {
		why.At = t.now
	}
	e, err := f.Transition(to, why)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOutOfState, err)
	}
	if err := t.append(&f.lastEvent, e); err != nil {
		return err
	}
	_, err = t.exec(`UPDATE batch SET state = $1, code = $2, reason = $3, decided_at = $4, settled_at = $5, closed_at = $6, last_event = $7 WHERE no = $8`,
		string(f.State), string(f.Code), f.Reason, micros(f.DecidedAt), micros(f.SettledAt), micros(f.ClosedAt), f.lastEvent, int64(f.No))
	return err
}

// Batches returns the batches that match a filter.
func (s *Store) Batches(ctx context.Context, f issuance.BatchFilter) ([]issuance.Batch, error) {
	where, args := "WHERE 1 = 1", []any(nil)
	and := func(column, value string) {
		if value != "" {
			args = append(args, value)
			where += fmt.Sprintf(" AND b.%s = $%d", column, len(args))
		}
	}
	and("issuer_id", f.IssuerID)
	and("source", f.Source)
	and("business_date", f.BusinessDate)
	if len(f.States) > 0 {
		where += " AND b.state IN " + oneOf(f.States)
	}
	if f.Limit > 0 {
		where += fmt.Sprintf(" ORDER BY b.no DESC LIMIT %d", f.Limit)
	} else {
		where += " ORDER BY b.no"
	}
	found, err := batches(s.reader(ctx), where, args...)
	return found, wrap("list batches", err)
}

// Batch returns the batch with the given id, or ErrNotFound.
func (s *Store) Batch(ctx context.Context, id string) (issuance.Batch, error) {
	return s.batch(ctx, "id", id)
}

// BatchByNo returns the batch with the given number, or ErrNotFound.
func (s *Store) BatchByNo(ctx context.Context, no issuance.BatchNo) (issuance.Batch, error) {
	return s.batch(ctx, "no", int64(no))
}

func (s *Store) batch(ctx context.Context, column string, value any) (issuance.Batch, error) {
	found, err := batches(s.reader(ctx), `WHERE b.`+column+` = $1`, value)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return issuance.Batch{}, fmt.Errorf("read batch: %w", err)
	}
	return found[0], nil
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
