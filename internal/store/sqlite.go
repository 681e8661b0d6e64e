package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"

	"modernc.org/sqlite" // the driver, and its error type
	sqlite3 "modernc.org/sqlite/lib"
)

// What differs from engine to engine is here: connections, placeholders and
// error codes.

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

const readerConns = 4

func migrations() (fs.FS, error) { return fs.Sub(sqliteMigrations, "migrations/sqlite") }

// Settings belong into the DSN, never into a statement: the pool opens
// connections when it likes, and each must have them.
func writerDSN(path string, maxPages int) string {
	pragmas := []string{
		"busy_timeout(15000)", // another process may write; first, so that the next ones wait
		"journal_mode(WAL)",
		"synchronous(FULL)",        // a commit survives loss of power
		"recursive_triggers(ON)",   // else a REPLACE goes past the trigger that keeps history
		"temp_store(MEMORY)",       // savepoints keep old pages in memory
		"cache_size(-16384)",       // KiB; the allocator rounds each page up to twice its size
		"wal_autocheckpoint(4000)", // pages: one changed often is written back once, and nobody waits long for it
		"journal_size_limit(67108864)",
		"secure_delete(FAST)",
	}
	if maxPages > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", maxPages))
	}
	return dsn(path, pragmas...)
}

func readerDSN(path string) string {
	return dsn(path, "busy_timeout(15000)", "query_only(ON)", "temp_store(MEMORY)", "cache_size(-8192)")
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func openPool(dsn string, conns int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// positional turns $1, $2 … into plain question marks, which the driver binds
// by place; it looks numbered ones up by name, one by one. order tells which
// argument each question mark takes, nil when it is simply the next one.
func positional(query string) (text string, order []int) {
	var b strings.Builder
	inOrder := true
	for i := 0; i < len(query); {
		if query[i] != '$' {
			b.WriteByte(query[i])
			i++
			continue
		}
		n, j := 0, i+1
		for ; j < len(query) && '0' <= query[j] && query[j] <= '9'; j++ {
			n = n*10 + int(query[j]-'0')
		}
		order = append(order, n-1)
		inOrder = inOrder && n == len(order)
		b.WriteByte('?')
		i = j
	}
	if inOrder {
		order = nil
	}
	return b.String(), order
}

// classify gives the errors of the engine that a caller can act on their
// names.
func classify(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return errors.Join(ErrBusy, err)
	case sqlite3.SQLITE_FULL:
		return errors.Join(ErrFull, err)
	case sqlite3.SQLITE_READONLY:
		return errors.Join(ErrReadOnly, err)
	}
	return err
}

// isUnique reports whether err says that a unique index already has the key.
func isUnique(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func begin(ctx context.Context, c *statements) error { return c.run(ctx, "BEGIN IMMEDIATE") }

// Statements over many orders at once take their keys as one JSON array: a
// statement costs this driver more than the row it changes.
const (
	// sqlAppendAll writes one event for each key, at the head of its chain.
	sqlAppendAll = `INSERT INTO event (id, prev, ref, batch_no, kind, from_value, to_value, at, stage, session, operator, code, reason, attempt)
		SELECT $2 + j.key, o.last_event, o.ref, o.batch_no, 'state', $3, $4, $5, $6, $7, $9, $10, $11, o.attempts + $8
		FROM json_each($1) j JOIN orders o ON o.ref = j.value`

	sqlClaim = `UPDATE orders SET state = 'submitting', code = '', reason = '', attempts = attempts + 1, next_attempt_at = 0, asks = 0,
		correlation_id = $2 || ($3 + j.key), session = $4, last_event = $5 + j.key
		FROM json_each($1) j WHERE orders.ref = j.value`

	// sqlCurrent finds those of [ref, attempt] that the session is submitting.
	sqlCurrent = `SELECT o.ref FROM json_each($1) j JOIN orders o ON o.ref = j.value ->> 0
		WHERE o.state = 'submitting' AND o.session = $2 AND o.attempts = j.value ->> 1`

	// sqlSubmitted takes [ref, operation id].
	sqlSubmitted = `UPDATE orders SET state = 'submitted', code = '', reason = '', session = '', operation_id = j.value ->> 1,
		submitted_at = $2, watched_at = $2, last_event = $3 + j.key
		FROM json_each($1) j WHERE orders.ref = j.value ->> 0`

	// sqlOpenOrders finds the unfinished orders of cards.
	sqlOpenOrders = `SELECT o.issuer_id, o.card_id, o.order_id, b.file_name, o.line
		FROM json_each($1) j CROSS JOIN orders o ON o.card_id = j.value CROSS JOIN batch b ON b.no = o.batch_no
		WHERE o.live = 1 AND (o.state = 'ready' OR o.state = 'submitting' OR o.state = 'unknown' OR o.state = 'held' OR o.watched_at > 0)`

	sqlErasePayloads = `DELETE FROM payload WHERE ref IN (SELECT value FROM json_each($1))`

	// sqlMatchAll finds the orders of an issuer with some order_ids.
	sqlMatchAll = `SELECT ` + matchFields + ` FROM json_each($2) j CROSS JOIN orders o ON o.issuer_id = $1 AND o.order_id = j.value
		CROSS JOIN batch b ON b.no = o.batch_no WHERE ` + matchWhere
)

// Statements for several rows, with the values of each as arguments in the place
// of the star: where there are bodies and texts, that is faster than JSON. OR FAIL
// saves the engine a copy of each page: whoever runs them undoes all when one fails.
const (
	sqlKeepAll = `INSERT OR FAIL INTO notification (id, issuer_id, digest, body, received_at, operations) VALUES *
		ON CONFLICT (issuer_id, digest) DO NOTHING`

	sqlEvents = `INSERT OR FAIL INTO event (id, prev, ref, batch_no, kind, from_value, to_value, at, stage, session, operator, code, reason, attempt, said_at)
		SELECT v.column1, v.column2, v.column3, v.column3 >> 24, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, '',
		v.column10, v.column11, 0, v.column12 FROM (VALUES *) v`

	sqlProductions = `UPDATE OR FAIL orders SET operation_id = v.column2, status = v.column3, failed = v.column4, status_reason = v.column5,
		status_at = v.column6, due_date = v.column7, site = v.column8, heard_at = v.column9, shipment = v.column10, shipment_at = v.column11,
		parcel_at = v.column12, beneath = v.column13, not_found = 0, last_event = v.column14
		FROM (VALUES *) v WHERE orders.ref = v.column1`

	sqlWatchedSince = `UPDATE OR FAIL orders SET watched_at = v.column2 FROM (VALUES *) v WHERE orders.ref = v.column1`
)
