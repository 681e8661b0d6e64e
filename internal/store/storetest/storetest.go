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

// New returns an empty store in a temporary directory, with a session, closed
// when the test ends.
func New(t testing.TB) *store.Store {
	t.Helper()
	s := Open(t, NewPath(t), nil)
	if _, err := s.StartSession(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	return s
}

// NewPath creates an empty database in a temporary directory.
func NewPath(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cardbatch.db")
	if _, err := store.Migrate(t.Context(), store.Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	return path
}

// Open opens a database that NewPath created, without a session. It is closed
// when the test ends; a test may close it before.
func Open(t testing.TB, path string, now func() time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Path: path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
