package store

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/issuance"
)

func migrated(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "with space & sign.db")
	if _, err := Migrate(t.Context(), Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	return path
}

func opened(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: migrated(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// The pool opens connections as it likes; holding several at once makes it
// open several.
func TestSettingsOnEveryConnection(t *testing.T) {
	path := migrated(t)
	for name, tc := range map[string]struct {
		dsn  string
		want map[string]string
	}{
		"writer": {writerDSN(path, 0), map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "15000",
			"recursive_triggers": "1", "temp_store": "2", "query_only": "0", "secure_delete": "2", "wal_autocheckpoint": "4000"}},
		"reader": {readerDSN(path), map[string]string{"journal_mode": "wal", "busy_timeout": "15000", "query_only": "1", "temp_store": "2"}},
	} {
		db, err := openPool(tc.dsn, 3)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { must(t, db.Close()) })
		for i := range 3 {
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { must(t, conn.Close()) })
			got := map[string]string{}
			for pragma := range tc.want {
				var v string
				if err := conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&v); err != nil {
					t.Fatal(err)
				}
				got[pragma] = v
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("connection %d of the %s, want - got +:\n%s", i, name, d)
			}
		}
	}
}

func TestPositional(t *testing.T) {
	for query, want := range map[string]struct {
		text  string
		order []int
	}{
		"SELECT 1":                 {"SELECT 1", nil},
		"a = $1 AND b = $2":        {"a = ? AND b = ?", nil},
		"a = $2 OR $1 = $2 OR $10": {"a = ? OR ? = ? OR ?", []int{1, 0, 1, 9}},
		"a = $1 OR b = $1":         {"a = ? OR b = ?", []int{0, 0}},
	} {
		text, order := positional(query)
		if text != want.text || !slices.Equal(order, want.order) {
			t.Errorf("%q became %q %v, want %q %v", query, text, order, want.text, want.order)
		}
	}
}

// raw runs SQL past the store, as a person with a shell could.
func raw(t *testing.T, s *Store, query string, args ...any) error {
	t.Helper()
	return s.write(t.Context(), "raw", func(tx *tx) error {
		_, err := tx.exec(query, args...)
		return err
	})
}

// loadedStore has one accepted order that is submitting and one that is ready,
// and used nearly every statement that writes.
func loadedStore(t *testing.T) *Store {
	t.Helper()
	s, ctx := opened(t), context.Background()
	session, err := s.StartSession(ctx, "test")
	must(t, err)
	b, err := s.ClaimFile(ctx, issuance.Batch{Source: "src", IssuerID: "bank", FileName: "f"})
	must(t, err)
	var rows []issuance.NewOrder
	for i := range 6 {
		id := fmt.Sprintf("order-%d", i)
		rows = append(rows, issuance.NewOrder{Payload: []byte("x"), Order: issuance.Order{Ref: issuance.NewRef(b.No, int64(i+1)),
			IssuerID: "bank", OrderID: id, CardID: "card-" + id, State: issuance.Ready, Urgency: issuance.Normal}})
	}
	must(t, s.AddOrders(ctx, b.No, rows))
	b.Rows = 6
	must(t, s.DecideBatch(ctx, b, issuance.BatchAccepted, issuance.Why{}))
	claims, err := s.ClaimReady(ctx, "bank", session, 5)
	must(t, err)
	op := issuance.Operation{Operation: issuance.OperationProduce, IssuerRequestID: "order-0", Production: issuance.DataPrepared}
	byCard := issuance.Operation{Operation: issuance.OperationProduce, CardID: "card-order-1", Production: issuance.CardShipped}
	must(t, s.RecordOutcomes(ctx, session, []issuance.Outcome{{Ref: claims[0].Ref, Attempt: 1, To: issuance.Submitted},
		{Ref: claims[1].Ref, Attempt: 1, To: issuance.Unknown}, {Ref: claims[2].Ref, Attempt: 1, To: issuance.Unknown}}))
	_, err = s.ApplyNotification(ctx, issuance.Notification{IssuerID: "bank", Digest: []byte("d"), Operations: []issuance.Operation{op, byCard, {Operation: "PRODUCE", CardID: "none"}}})
	must(t, err)
	must(t, s.DecideUnknown(ctx, []issuance.Outcome{{Ref: claims[2].Ref, Attempt: 1, To: issuance.Unknown}}))
	must(t, s.Release(ctx, session, []issuance.Ref{claims[3].Ref}))
	must(t, s.HearOrders(ctx, "bank", "track", []issuance.Heard{{Ref: claims[0].Ref, Operations: []issuance.Operation{op}}}))
	_, err = s.ReserveSlots(ctx, "key", 1, 1, 1)
	must(t, err)
	run, err := s.StartRun(ctx, issuance.Run{Job: "j", Trigger: issuance.TriggerManual})
	must(t, err)
	must(t, s.FinishRun(ctx, run.ID, issuance.RunDone, ""))
	_, err = s.endSession(ctx, "nobody", 0)
	must(t, err)
	must(t, s.Balance(ctx))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNewsOfOneOfTwo: a card has one open order, but an older program may have
// left two, and news that may be of either is kept for a person.
func TestNewsOfOneOfTwo(t *testing.T) {
	s := loadedStore(t)
	must(t, raw(t, s, "UPDATE orders SET card_id = 'card-order-2', state = 'unknown', session = '' WHERE order_id = 'order-4'"))
	op := issuance.Operation{Operation: issuance.OperationProduce, CardID: "card-order-2", Production: issuance.DataPrepared}
	got, err := s.ApplyNotification(t.Context(), issuance.Notification{IssuerID: "bank", Digest: []byte("two"), Operations: []issuance.Operation{op}})
	must(t, err)
	if got.Unmatched != 1 || got.Matched != 0 {
		t.Errorf("applied: %+v", got)
	}
}

func TestHistoryCannotBeChanged(t *testing.T) {
	s := loadedStore(t)
	for _, query := range []string{"UPDATE event SET reason = 'x'", "UPDATE event SET id = id + 1000", "DELETE FROM event", "DELETE FROM event WHERE id = 1",
		"INSERT OR REPLACE INTO event SELECT * FROM event WHERE id = 1"} {
		if err := raw(t, s, query); err == nil {
			t.Errorf("%s was possible", query)
		}
	}
}

func TestChecksRestateTheStates(t *testing.T) {
	s := loadedStore(t)
	for _, state := range append(issuance.States(), "sent", "") {
		query := `UPDATE orders SET state = $1, live = $2, session = $3, watched_at = 0 WHERE order_id = 'order-5'`
		live, session := 1, ""
		if state == issuance.Rejected || state == issuance.Duplicate {
			live = 0
		}
		if state == issuance.Submitting {
			session = "x"
		}
		if err := raw(t, s, query, string(state), live, session); (err == nil) != state.Valid() {
			t.Errorf("state %q: %v", state, err)
		}
	}
	for _, state := range []issuance.BatchState{issuance.BatchLoading, issuance.BatchAccepted, issuance.BatchHeld, issuance.BatchRefused, issuance.BatchSettled, issuance.BatchClosed} {
		must(t, raw(t, s, `UPDATE batch SET state = $1`, string(state)))
	}
	for _, query := range []string{
		`UPDATE batch SET state = 'open'`,
		`UPDATE orders SET batch_no = batch_no + 1`,
		`UPDATE orders SET session = 'x' WHERE state = 'unknown'`,
		`UPDATE orders SET live = 0 WHERE state = 'unknown'`,
		`UPDATE orders SET order_id = 'order-0' WHERE order_id = 'order-2'`,
		`UPDATE run SET ended_at = 0`,
	} {
		if err := raw(t, s, query); err == nil {
			t.Errorf("%s was possible", query)
		}
	}
}

// What was erased must not be in the table any more, sealed as it was.
func TestErasedBodiesAreGone(t *testing.T) {
	s := loadedStore(t)
	n := issuance.Notification{IssuerID: "bank-1", Digest: []byte("d"), Body: []byte("sealed"), ReceivedAt: time.Now().Add(-time.Hour)}
	_, err := s.ApplyNotification(t.Context(), n)
	must(t, err)
	left := func() (left int) {
		_, err := one(s.reader(t.Context()), []any{&left}, `SELECT count(*) FROM notification WHERE length(body) > 0`)
		must(t, err)
		return left
	}
	if left() != 1 {
		t.Fatal("the body was not kept")
	}
	_, err = s.Erase(t.Context(), issuance.EraseNotifications, time.Now(), 10)
	must(t, err)
	if left() != 0 {
		t.Error("the body is still there")
	}
}

// Balance must see what the checks cannot.
func TestBalanceSees(t *testing.T) {
	for _, query := range []string{
		`UPDATE orders SET state = 'held' WHERE order_id = 'order-5'`,
		`UPDATE orders SET state = 'refused' WHERE order_id = 'order-2'`,
		`DELETE FROM orders WHERE order_id = 'order-5'`,
		`DELETE FROM payload WHERE ref = (SELECT ref FROM orders WHERE order_id = 'order-5')`,
		`INSERT INTO payload SELECT ref, 'x' FROM orders WHERE order_id = 'order-0'`,
		`UPDATE batch SET row_count = row_count + 1`,
		`UPDATE batch SET state = 'settled'`,
		`UPDATE batch SET state = 'held'`,
	} {
		s := loadedStore(t)
		must(t, raw(t, s, query))
		if err := s.Balance(t.Context()); err == nil || !strings.Contains(err.Error(), ErrUnbalanced.Error()) {
			t.Errorf("after %s Balance says %v", query, err)
		}
	}
}

// Every statement that runs per order, or at a start with a million of them,
// must find its rows by index.
func TestPlans(t *testing.T) {
	s := loadedStore(t)
	queries := []string{sqlOpenBatches, sqlUnknown + isDue + sqlUnknownOrder, sqlWatched, sqlAdvance, sqlOrder, sqlNotLive,
		sqlDoubled, sqlMissing, sqlReturned, sqlClosedOfLate, sqlUndecided, sqlEndedBadly, sqlKeepWaiting, sqlByRefs, sqlTimes, sqlFailedChanges, sqlLastChanges}
	must(t, s.write(t.Context(), "collect", func(tx *tx) error {
		for q := range tx.stmts.known {
			queries = append(queries, q)
		}
		return nil
	}))
	if len(queries) < 30 {
		t.Fatalf("only %d statements to look at", len(queries))
	}
	for _, q := range queries {
		if strings.HasPrefix(q, "BEGIN") || strings.Contains(q, "SAVEPOINT") || strings.Contains(q, "TO member") || strings.HasPrefix(q, "RELEASE") || q == "COMMIT" {
			continue
		}
		for _, step := range plan(t, s.readers, q) {
			words := strings.Fields(step)
			// The keys given and their histories, the runs that are open, and batches are few.
			if words[0] == "SCAN" && !slices.Contains([]string{"j", "json_each", "c", "chain", "run", "batch", "CONSTANT"}, words[1]) {
				t.Errorf("%s: %s", q, step)
			}
		}
	}
}

func plan(t *testing.T, db *sql.DB, query string) (steps []string) {
	t.Helper()
	text, _ := positional(query)
	args := make([]any, strings.Count(text, "?"))
	for i := range args {
		args[i] = "[]"
	}
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must(t, rows.Close()) }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		must(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	must(t, rows.Err())
	return steps
}

// A bug in one write must reach its caller and nobody else.
func TestPanicInAWrite(t *testing.T) {
	s := opened(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the caller was not told")
			}
		}()
		err := s.write(t.Context(), "bug", func(tx *tx) error {
			if _, err := tx.exec(`INSERT INTO rate (name, tat) VALUES ('x', 1)`); err != nil {
				return err
			}
			panic("bug")
		})
		t.Errorf("it returned %v", err)
	}()
	must(t, raw(t, s, `INSERT INTO rate (name, tat) VALUES ('x', 1)`))
}

func TestBusyIsNamed(t *testing.T) {
	path := migrated(t)
	s, err := Open(t.Context(), Config{Path: path})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	db, err := openPool(dsn(path, "busy_timeout(1)"), 1)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	must(t, s.write(t.Context(), "hold", func(*tx) error {
		_, err := db.ExecContext(t.Context(), `INSERT INTO rate (name, tat) VALUES ('x', 1)`)
		if err == nil || !strings.Contains(classify(err).Error(), ErrBusy.Error()) {
			t.Errorf("the error is %v", err)
		}
		return nil
	}))
}

// A disk that is full spoils the writes that need room and nothing after them.
func TestFullDisk(t *testing.T) {
	s := opened(t)
	ctx := t.Context()
	session, err := s.StartSession(ctx, "node")
	must(t, err)
	limit := func(pages int) {
		// The pragma belongs to the writer's connection, which only its loop may use.
		must(t, s.write(ctx, "limit", func(tx *tx) error {
			var got int
			_, err := one(tx, []any{&got}, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			return err
		}))
	}
	b, err := s.ClaimFile(ctx, issuance.Batch{Source: "src", IssuerID: "bank", FileName: "f.csv"})
	must(t, err)
	order := issuance.NewOrder{Payload: make([]byte, 3000), Order: issuance.Order{Ref: issuance.NewRef(b.No, 1), IssuerID: "bank", OrderID: "a", CardID: "a", State: issuance.Ready}}
	must(t, s.AddOrders(ctx, b.No, []issuance.NewOrder{order}))
	limit(1)
	var full []issuance.NewOrder
	for i := range 500 {
		o := order
		o.Ref, o.OrderID = issuance.NewRef(b.No, int64(i+2)), fmt.Sprint("b", i)
		full = append(full, o)
	}
	var wg sync.WaitGroup
	answers := make([]error, 20)
	for i := range answers {
		wg.Go(func() {
			if i == 10 {
				answers[i] = s.AddOrders(ctx, b.No, full)
				return
			}
			_, answers[i] = s.ReserveSlots(ctx, fmt.Sprint("key", i), 1, 1, 1)
		})
	}
	wg.Wait()
	if answers[10] == nil {
		t.Fatal("500 orders found room on a full disk")
	}
	kept := 0
	for _, err := range answers {
		if err == nil {
			kept++
		}
	}
	var rates int
	_, err = one(s.reader(ctx), []any{&rates}, "SELECT count(*) FROM rate")
	must(t, err)
	if rates != kept {
		t.Errorf("%d writes were answered as done, and %d are there", kept, rates)
	}
	limit(1 << 30)
	b.Rows = 1
	must(t, s.DecideBatch(ctx, b, issuance.BatchAccepted, issuance.Why{}))
	claims, err := s.ClaimReady(ctx, "bank", session, 9)
	must(t, err)
	if len(claims) != 1 {
		t.Errorf("%d orders were claimed afterwards", len(claims))
	}
	must(t, s.Balance(ctx))
}
