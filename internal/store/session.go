package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"cardbatch/internal/issuance"
)

// sessionLock is a file that this process holds locked for as long as it
// lives. The kernel lets go of it when the process dies, however it dies.
type sessionLock struct {
	id   string
	file *os.File
}

func (l *sessionLock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// StartSession makes this process known. Its claims are good until Close, or
// until the process dies. A store has at most one session.
func (s *Store) StartSession(ctx context.Context, node string) (session string, err error) {
	if s.session.Load() != nil {
		return "", fmt.Errorf("start session: %w", ErrOutOfState)
	}
	if err := os.MkdirAll(s.sessionDir(), 0o700); err != nil {
		return "", fmt.Errorf("start session: %w", err)
	}
	id := strings.ToLower(rand.Text()[:10])
	lock, err := lockFile(s.sessionFile(id), os.O_CREATE|os.O_EXCL|os.O_RDWR)
	if err != nil {
		return "", fmt.Errorf("start session: %w", err)
	}
	// The process that looks at the lock may be another user's. The directory
	// keeps strangers out.
	if err := lock.Chmod(0o644); err != nil {
		return "", fmt.Errorf("start session: %w", errors.Join(err, lock.Close()))
	}
	// The lock is held before the row can be seen, so that nobody takes a
	// session that begins for a dead one.
	err = s.write(ctx, "start session", func(t *tx) error {
		_, err := t.exec(`INSERT INTO session (id, node, started_at) VALUES ($1, $2, $3)`, id, node, micros(t.now))
		return err
	})
	if err != nil {
		return "", errors.Join(err, lock.Close(), os.Remove(lock.Name()))
	}
	s.session.Store(&sessionLock{id: id, file: lock})
	return id, nil
}

// lockFile opens a file and locks it, or fails at once when another holds it.
func lockFile(name string, flags int) (*os.File, error) {
	f, err := os.OpenFile(name, flags, 0o600) //nolint:gosec // the name is made of our path and our ids
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sessionID returns the id of this process's session, empty without one.
func (s *Store) sessionID() string {
	if l := s.session.Load(); l != nil {
		return l.id
	}
	return ""
}

// alive reports whether the process of a session still lives. When in doubt it
// does: taking over from a living process is what must never happen.
func (s *Store) alive(session string) bool {
	if session == "" {
		return false
	}
	if session == s.sessionID() {
		return true
	}
	f, err := lockFile(s.sessionFile(session), os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return true
	}
	return f.Close() != nil
}

// RecoverSessions ends the sessions whose process is gone. Nobody knows what
// became of the orders they were sending: those become unknown, and D1 is
// asked about them after settle, which must be longer than D1's own timeout.
// Their runs end as lost. It returns how many orders became unknown.
func (s *Store) RecoverSessions(ctx context.Context, settle time.Duration) (orders int, err error) {
	open, err := list(s.reader(ctx), scanText, `SELECT id FROM session WHERE ended_at = 0`)
	if err != nil {
		return 0, fmt.Errorf("recover sessions: %w", err)
	}
	for _, id := range open {
		if s.alive(id) {
			continue
		}
		n, err := s.endSession(ctx, id, settle)
		orders += n
		if err != nil {
			return orders, err
		}
		if err := os.Remove(s.sessionFile(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return orders, fmt.Errorf("recover sessions: %w", err)
		}
	}
	return orders, nil
}

func (s *Store) endSession(ctx context.Context, id string, settle time.Duration) (orders int, err error) {
	err = s.write(ctx, "recover sessions", func(t *tx) error {
		if orders, err = t.forsakeOrders("", id, settle, "its session ended while it was being sent"); err != nil {
			return err
		}
		if _, err := t.forsakeChanges("", id, settle, "its session ended while it was being sent"); err != nil {
			return err
		}
		_, err = t.exec(`UPDATE run SET ended_at = $1, outcome = 'lost' WHERE session = $2 AND ended_at = 0`, micros(t.now), id)
		if err != nil {
			return err
		}
		_, err = t.exec(`UPDATE session SET ended_at = $1 WHERE id = $2`, micros(t.now), id)
		return err
	})
	if err != nil {
		return 0, err
	}
	return orders, nil
}

// ForsakeOrders makes orders of an issuer unknown that a session is submitting,
// and returns how many there were. It is for the session itself, when it knows
// of no claim that is under way: what it holds all the same it was never told
// of, because the answer to its claim was lost, and would hold until it ends.
func (s *Store) ForsakeOrders(ctx context.Context, issuerID, session string, settle time.Duration) (int, error) {
	return s.forsake(ctx, issuerID, session, sqlSubmitting, func(t *tx) (int, error) {
		return t.forsakeOrders(issuerID, session, settle, claimLost)
	})
}

// ForsakeChanges does the same with changes.
func (s *Store) ForsakeChanges(ctx context.Context, issuerID, session string, settle time.Duration) (int, error) {
	return s.forsake(ctx, issuerID, session, sqlSubmittingChanges, func(t *tx) (int, error) {
		return t.forsakeChanges(issuerID, session, settle, claimLost)
	})
}

const claimLost = "the answer to its claim was lost"

// forsake writes only if there is something to forsake, as there hardly ever is.
func (s *Store) forsake(ctx context.Context, issuerID, session, from string, do func(*tx) (int, error)) (n int, err error) {
	if _, err := one(s.reader(ctx), []any{&n}, `SELECT count(*) `+from, issuerID, session); err != nil || n == 0 {
		return 0, wrap("look for forsaken claims", err)
	}
	err = s.write(ctx, "forsake claims", func(t *tx) error {
		n, err = do(t)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// What a session is submitting, for one issuer or, for an empty one, for all.
const (
	sqlSubmitting = `FROM batch b JOIN orders o ON o.batch_no = b.no
		WHERE ` + openBatch + openOrder + `o.state = 'submitting' AND ($1 = '' OR b.issuer_id = $1) AND o.session = $2`
	sqlSubmittingChanges = `FROM batch b JOIN order_change c ON c.batch_no = b.no
		WHERE ` + openBatch + `b.kind = 'changes' AND ` + openChange + `c.state = 'submitting' AND ($1 = '' OR b.issuer_id = $1) AND c.session = $2`
)

func (t *tx) forsakeOrders(issuerID, session string, settle time.Duration, reason string) (int, error) {
	lost, err := list(t, scanOrder, `SELECT `+orderColumns+` `+sqlSubmitting, issuerID, session)
	for _, r := range lost {
		why := issuance.Why{At: t.now, Stage: "recovery", Session: session, Reason: reason, Attempt: r.Attempts}
		if err := t.change(&r, issuance.Unknown, why); err != nil {
			return 0, err
		}
		r.NextAttemptAt = t.now.Add(settle)
		if err := t.saveState(&r); err != nil {
			return 0, err
		}
	}
	return len(lost), err
}

// openSession is an error unless the session is open. A process that lives may
// find its own ended when somebody has removed its lock file: see alive.
func (t *tx) openSession(id string) error {
	found, err := one(t, []any{new(string)}, `SELECT id FROM session WHERE id = $1 AND ended_at = 0`, id)
	if err == nil && !found {
		err = fmt.Errorf("%w: session %s has ended", ErrOutOfState, id)
	}
	return err
}

func scanText(row scanner) (v string, err error) { return v, row.Scan(&v) }

func scanInt(row scanner) (v int64, err error) { return v, row.Scan(&v) }
