package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"cardbatch/internal/issuance"
)

// Errors the store answers with, beside the ones of package issuance that it
// repeats here. None of them, nor any other error of this package, holds a
// value that was stored or looked for.
var (
	ErrSchema   = errors.New("the database has another schema than this program")
	ErrBusy     = errors.New("the database is locked by another process")
	ErrFull     = errors.New("the disk of the database is full")
	ErrReadOnly = errors.New("the store is open for reading only")
	ErrClosed   = errors.New("the store is closed")

	ErrNotFound   = issuance.ErrNotFound
	ErrClaimed    = issuance.ErrClaimed
	ErrRunExists  = issuance.ErrRunExists
	ErrRunning    = issuance.ErrRunning
	ErrOutOfState = issuance.ErrOutOfState
	ErrNameTaken  = issuance.ErrNameTaken
)

// Config says where the store is.
type Config struct {
	Path     string           // of the SQLite file; its directory must exist
	ReadOnly bool             // look, never write; the file must exist
	Now      func() time.Time // nil: the system's clock
	MaxPages int              // beyond which the disk counts as full, for tests; 0: no bound
}

// Store is the store of record. It is safe for concurrent use, and any number
// of processes on one machine may have the same file open.
type Store struct {
	path    string
	now     func() time.Time
	readers *sql.DB
	writer  *writer // nil when read-only
	session atomic.Pointer[sessionLock]
	closing sync.Once
	closed  error
}

// Open opens the store. It changes nothing in the database: [Migrate] creates
// and upgrades it, and a schema that is older or newer than the program's is
// ErrSchema.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	// The sessions of all processes are beside the file, whatever its name is to each.
	path, err := filepath.EvalSymlinks(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w (%w)", ErrSchema, err)
	}
	s := &Store{path: path, now: clock(cfg.Now)}
	readers, err := openPool(readerDSN(path), readerConns)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.readers = readers
	if err := checkSchema(ctx, readers); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), readers.Close())
	}
	if cfg.ReadOnly {
		return s, nil
	}
	if s.writer, err = newWriter(ctx, writerDSN(path, cfg.MaxPages), s.now); err != nil {
		return nil, errors.Join(fmt.Errorf("open store: %w", err), readers.Close())
	}
	return s, nil
}

// Close waits for the writes under way, ends the session and closes the
// database. What the session had claimed and not released becomes unknown at
// the next RecoverSessions, as after a crash.
func (s *Store) Close() error {
	s.closing.Do(func() {
		var errs []error
		if s.writer != nil {
			errs = append(errs, s.writer.close())
		}
		s.closed = errors.Join(append(errs, s.readers.Close(), s.session.Load().release())...)
	})
	return s.closed
}

func clock(now func() time.Time) func() time.Time {
	if now == nil {
		now = time.Now
	}
	return func() time.Time { return now().UTC().Truncate(time.Microsecond) }
}

func (s *Store) sessionDir() string { return s.path + ".sessions" }

func (s *Store) sessionFile(id string) string {
	return filepath.Join(s.sessionDir(), id+".lock")
}

// micros is how a time is stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
