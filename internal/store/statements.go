package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// statements keeps the prepared statements of one connection.
type statements struct {
	conn  *sql.Conn
	known map[string]*statement
	texts map[rowsOf]string
}

// rowsOf is a statement for n rows.
type rowsOf struct {
	query string
	n     int
}

type statement struct {
	*sql.Stmt
	order []int
}

func newStatements(conn *sql.Conn) *statements {
	return &statements{conn: conn, known: map[string]*statement{}, texts: map[rowsOf]string{}}
}

func (c *statements) get(ctx context.Context, query string, args []any) (*sql.Stmt, []any, error) {
	st, ok := c.known[query]
	if !ok {
		text, order := positional(query)
		prepared, err := c.conn.PrepareContext(ctx, text)
		if err != nil {
			return nil, nil, err
		}
		st = &statement{prepared, order}
		c.known[query] = st
	}
	if st.order == nil {
		return st.Stmt, args, nil
	}
	ordered := make([]any, len(st.order))
	for i, n := range st.order {
		ordered[i] = args[n]
	}
	return st.Stmt, ordered, nil
}

// rows returns a statement with n rows of values in the place of its star.
func (c *statements) rows(ctx context.Context, query string, n, width int) (*sql.Stmt, error) {
	key := rowsOf{query, n}
	text, ok := c.texts[key]
	if !ok {
		row := "(?" + strings.Repeat(", ?", width-1) + ")"
		text = strings.Replace(query, "VALUES *", "VALUES "+row+strings.Repeat(", "+row, n-1), 1)
		c.texts[key] = text
	}
	st, _, err := c.get(ctx, text, nil)
	return st, err
}

func (c *statements) run(ctx context.Context, query string) error {
	st, _, err := c.get(ctx, query, nil) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return err
	}
	_, err = st.ExecContext(ctx)
	return err
}

func (c *statements) close() error {
	var errs []error
	for _, st := range c.known {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, c.conn.Close())...)
}

// scanner is a row being read.
type scanner interface{ Scan(dest ...any) error }

// querier is what reads: the transaction of a write, or the pool of readers.
type querier interface {
	query(query string, args ...any) (*sql.Rows, error)
}

type reader struct {
	ctx context.Context
	db  *sql.DB
}

func (s *Store) reader(ctx context.Context) reader { return reader{ctx, s.readers} }

func (r reader) query(query string, args ...any) (*sql.Rows, error) {
	text, order := positional(query)
	if order != nil {
		ordered := make([]any, len(order))
		for i, n := range order {
			ordered[i] = args[n]
		}
		args = ordered
	}
	rows, err := r.db.QueryContext(r.ctx, text, args...)
	if err != nil {
		return nil, classify(err)
	}
	return rows, nil
}

// each reads all rows of a query.
func each(q querier, scan func(scanner) error, query string, args ...any) (err error) {
	rows, err := q.query(query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one reads the only row of a query into dest, or reports that there is none.
func one(q querier, dest []any, query string, args ...any) (found bool, err error) {
	err = each(q, func(row scanner) error { found = true; return row.Scan(dest...) }, query, args...)
	return found, err
}

// list reads all rows of a query into a slice.
func list[T any](q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	var all []T
	err := each(q, func(row scanner) error {
		v, err := scan(row)
		all = append(all, v)
		return err
	}, query, args...)
	return all, err
}
