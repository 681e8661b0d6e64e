package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/pressly/goose/v3"
)

const versionTable = "schema_version"

// Migrate creates the database or brings it to the schema of this program, and
// returns how many steps that took. It is safe to repeat, and safe beside
// other processes: each step is one transaction.
func Migrate(ctx context.Context, cfg Config) (applied int, err error) {
	// The file gets its mode before it gets content; the engine gives the
	// files beside it the same.
	f, err := os.OpenFile(cfg.Path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, fmt.Errorf("migrate store: %w", err)
	}
	if err := f.Close(); err != nil {
		return 0, fmt.Errorf("migrate store: %w", err)
	}
	db, err := openPool(writerDSN(cfg.Path, 0), 1)
	if err != nil {
		return 0, fmt.Errorf("migrate store: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p, err := provider(db)
	if err != nil {
		return 0, fmt.Errorf("migrate store: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate store: %w", classify(err))
	}
	if current > target {
		return 0, fmt.Errorf("migrate store: %w: it has version %d, the program %d", ErrSchema, current, target)
	}
	results, err := p.Up(ctx)
	if err != nil {
		return len(results), fmt.Errorf("migrate store: %w", classify(err))
	}
	return len(results), nil
}

// Migrate is [Migrate] on the database of an open store, where it finds
// nothing to do: a store of another schema does not open.
func (s *Store) Migrate(ctx context.Context) (applied int, err error) {
	return Migrate(ctx, Config{Path: s.path})
}

func provider(db *sql.DB) (*goose.Provider, error) {
	files, err := migrations()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// checkSchema compares versions without goose, which would create its table.
func checkSchema(ctx context.Context, db *sql.DB) error {
	files, err := migrations()
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	sources := p.ListSources()
	want := sources[len(sources)-1].Version
	var exists bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '"+versionTable+"')").Scan(&exists); err != nil {
		return classify(err)
	}
	if !exists {
		return fmt.Errorf("%w: it has none, the program version %d", ErrSchema, want)
	}
	var got int64
	if err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+versionTable).Scan(&got); err != nil {
		return classify(err)
	}
	if got != want {
		return fmt.Errorf("%w: it has version %d, the program %d", ErrSchema, got, want)
	}
	return nil
}
