// Package storetest holds what every store must do, whatever its engine: Run
// is the conformance suite, and the only place where the behaviour of a store
// is asserted. New gives other packages' tests a store to work with.
package storetest

import (
	"path/filepath"
	"testing"
	"time"

	"cardbatch/internal/store"
)

// Database is an empty, migrated database of some engine.
type Database interface {
	// Open opens the database once more, as another process would, without a
	// session. It is closed when the test ends; a test may close it before.
	Open(tb testing.TB, now func() time.Time) *store.Store
}

// Run runs the conformance suite, each test on a database of its own.
func Run(t *testing.T, create func(tb testing.TB) Database) {
	t.Helper()
	for _, group := range []map[string]func(*world){
		intakeTests(), changeTests(), submitTests(), sessionTests(), notificationTests(), trackTests(), lifeTests(), suspectTests(), readTests(), ledgerTests(), eraseTests(), concurrencyTests(),
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // they wait for the disk most of the time
				test(newWorld(t, create(t)))
			})
		}
	}
	t.Run("any delivery of the news ends where D1 is", func(t *testing.T) {
		t.Parallel()
		anyDelivery(t, create)
	})
	t.Run("any sequence of steps balances", func(t *testing.T) {
		t.Parallel()
		anySequence(t, create)
	})
}

// New returns an empty store in a temporary directory, with a session, closed
// when the test ends.
func New(tb testing.TB) *store.Store {
	tb.Helper()
	s := SQLite(tb).Open(tb, nil)
	if _, err := s.StartSession(tb.Context(), "test"); err != nil {
		tb.Fatal(err)
	}
	return s
}

// SQLite creates a database in a temporary directory.
func SQLite(tb testing.TB) SQLiteFile {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "cardbatch.db")
	if _, err := store.Migrate(tb.Context(), store.Config{Path: path}); err != nil {
		tb.Fatal(err)
	}
	return SQLiteFile(path)
}

// SQLiteFile is the path of a database file.
type SQLiteFile string

// Open opens the file.
func (f SQLiteFile) Open(tb testing.TB, now func() time.Time) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Config{Path: string(f), Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close store: %v", err)
		}
	})
	return s
}
