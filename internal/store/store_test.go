package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
)

// killedAt tells a child process of the tests which database to die on.
const killedAt = "CARDBATCH_TEST_KILLED_AT"

func TestMain(m *testing.M) {
	if path := os.Getenv(killedAt); path != "" {
		claimAndWait(path)
	}
	os.Exit(m.Run())
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(tb testing.TB) storetest.Database {
		tb.Helper()
		return storetest.SQLite(tb)
	})
}

func TestSchema(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "x.db")
	open := func(want error) {
		t.Helper()
		s, err := store.Open(ctx, store.Config{Path: path})
		if !errors.Is(err, want) {
			t.Errorf("open: %v, want %v", err, want)
		}
		if err != nil {
			return
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	migrate := func(want error) int {
		t.Helper()
		n, err := store.Migrate(ctx, store.Config{Path: path})
		if !errors.Is(err, want) {
			t.Errorf("migrate: %v, want %v", err, want)
		}
		return n
	}
	open(store.ErrSchema)
	if _, err := os.Stat(path); err == nil {
		t.Error("opening created the database")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(store.ErrSchema)
	if n := migrate(nil); n == 0 {
		t.Error("nothing to migrate in an empty database")
	}
	open(nil)
	if n := migrate(nil); n != 0 {
		t.Errorf("migrated %d steps twice", n)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.ExecContext(ctx, "INSERT INTO schema_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	open(store.ErrSchema)
	migrate(store.ErrSchema)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the database's mode is %v, %v", info.Mode(), err)
	}
}

func TestReadOnly(t *testing.T) {
	file := storetest.SQLite(t)
	w := file.Open(t, nil)
	r, err := store.Open(t.Context(), store.Config{Path: string(file), ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.StartSession(t.Context(), "x"); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a read-only store writes: %v", err)
	}
	b := claimFile(t, w)
	if got, err := r.Batch(t.Context(), b.ID); err != nil || got.No != b.No {
		t.Errorf("reads %v, %v", got, err)
	}
}

// A dry run of the track job asks a store that it must not change what is due:
// also when some of what waits was heard of since.
func TestReadOnlyKnowsWhatIsDue(t *testing.T) {
	file := storetest.SQLite(t)
	now := time.Now().UTC()
	clock := func() time.Time { return now }
	w := file.Open(t, clock)
	session := claimed(t, w)
	claims, err := w.ClaimReady(t.Context(), "bank", session, 1)
	if err != nil || len(claims) != 1 {
		t.Fatalf("claimed %v, %v", claims, err)
	}
	first, err := w.OrderByRef(t.Context(), claims[0].Ref-1)
	if err != nil {
		t.Fatal(err)
	}
	for i, ref := range []issuance.Ref{first.Ref, claims[0].Ref} {
		if err := w.RecordOutcomes(t.Context(), session, []issuance.Outcome{{Ref: ref, Attempt: 1, To: issuance.Submitted,
			OperationID: fmt.Sprint("op-", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(20 * time.Hour)
	if a, err := w.ApplyNotification(t.Context(), issuance.Notification{IssuerID: "bank", Digest: []byte("d"), ReceivedAt: now,
		Operations: []issuance.Operation{{Operation: issuance.OperationProduce, IssuerRequestID: first.OrderID, Production: issuance.DataPrepared}}}); err != nil || a.Matched != 1 {
		t.Fatal(a, err)
	}
	now = now.Add(20 * time.Hour)
	r, err := store.Open(t.Context(), store.Config{Path: string(file), ReadOnly: true, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, s := range map[string]*store.Store{"read-only": r, "other": w} {
		due, err := s.DueForTracking(t.Context(), "bank", 24*time.Hour, 9)
		if err != nil || len(due) != 1 || due[0].Ref != claims[0].Ref {
			t.Errorf("the %s store has %d orders due, %v", name, len(due), err)
		}
	}
}

func claimFile(t *testing.T, s *store.Store) issuance.Batch {
	t.Helper()
	b, err := s.ClaimFile(t.Context(), issuance.Batch{Source: "src", IssuerID: "bank", FileName: "f.csv"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newOrder(no issuance.BatchNo, row int64, id string) issuance.NewOrder {
	return issuance.NewOrder{Payload: []byte("sealed"), Order: issuance.Order{Ref: issuance.NewRef(no, row), Line: row + 1, IssuerID: "bank",
		OrderID: id, CardID: "card-" + id, State: issuance.Ready, ContentMAC: []byte(id)}}
}

// An error may end up in a log, and what is stored must not.
func TestErrorsHoldNoValues(t *testing.T) {
	s := storetest.New(t)
	b := claimFile(t, s)
	o := newOrder(b.No, 1, "secret-order-id")
	if err := s.AddOrders(t.Context(), b.No, []issuance.NewOrder{o}); err != nil {
		t.Fatal(err)
	}
	o.OrderID = "other-secret-id"
	err := s.AddOrders(t.Context(), b.No, []issuance.NewOrder{o})
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sealed") {
		t.Errorf("the error is %v", err)
	}
}

// TestKilled kills a process between its claim and its outcome.
func TestKilled(t *testing.T) {
	file := storetest.SQLite(t)
	s := file.Open(t, nil)
	if _, err := s.StartSession(t.Context(), "survivor"); err != nil {
		t.Fatal(err)
	}
	b := claimFile(t, s)
	if err := s.AddOrders(t.Context(), b.No, []issuance.NewOrder{newOrder(b.No, 1, "a"), newOrder(b.No, 2, "b")}); err != nil {
		t.Fatal(err)
	}
	b.Rows = 2
	if err := s.DecideBatch(t.Context(), b, issuance.BatchAccepted, issuance.Why{}); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), killedAt+"="+string(file))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "claimed 1\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	recovered := func() int {
		n, err := s.RecoverSessions(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := recovered(); n != 0 {
		t.Errorf("%d orders were taken from a living process", n)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait() //nolint:errcheck // it was killed
	if n := recovered(); n != 1 {
		t.Errorf("%d orders of the dead process became unknown, want 1", n)
	}
	if err := s.Balance(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(string(file) + ".sessions/*"); err != nil || len(left) != 1 {
		t.Errorf("lock files left: %v, %v", left, err)
	}
}

// claimed makes two orders and claims one of them, in a session of its own.
func claimed(t *testing.T, s *store.Store) (session string) {
	t.Helper()
	session, err := s.StartSession(t.Context(), "node")
	if err != nil {
		t.Fatal(err)
	}
	b := claimFile(t, s)
	if err := s.AddOrders(t.Context(), b.No, []issuance.NewOrder{newOrder(b.No, 1, "a"), newOrder(b.No, 2, "b")}); err != nil {
		t.Fatal(err)
	}
	b.Rows = 2
	if err := s.DecideBatch(t.Context(), b, issuance.BatchAccepted, issuance.Why{}); err != nil {
		t.Fatal(err)
	}
	if claims, err := s.ClaimReady(t.Context(), "bank", session, 1); err != nil || len(claims) != 1 {
		t.Fatalf("claimed %v, %v", claims, err)
	}
	return session
}

// Somebody has cleaned up the lock file of a living process, and another took
// it for dead. What it claimed from then on would stay submitting for ever:
// nobody recovers a session that has ended.
func TestEndedSessionClaimsNothing(t *testing.T) {
	file := storetest.SQLite(t)
	s, other := file.Open(t, nil), file.Open(t, nil)
	session := claimed(t, s)
	if err := os.RemoveAll(string(file) + ".sessions"); err != nil {
		t.Fatal(err)
	}
	if n, err := other.RecoverSessions(t.Context(), time.Minute); err != nil || n != 1 {
		t.Fatalf("%d orders became unknown, %v", n, err)
	}
	if claims, err := s.ClaimReady(t.Context(), "bank", session, 9); !errors.Is(err, store.ErrOutOfState) {
		t.Errorf("claimed %v, %v", claims, err)
	}
	if err := s.Balance(t.Context()); err != nil {
		t.Error(err)
	}
}

// An operator may run a job as root. When that process dies, the daemon must be
// able to see that its lock is free, or its orders are submitting for ever.
func TestOtherUsersSeeTheLock(t *testing.T) {
	file := storetest.SQLite(t)
	s, other := file.Open(t, nil), file.Open(t, nil)
	claimed(t, s)
	locks, err := filepath.Glob(string(file) + ".sessions/*")
	if err != nil || len(locks) != 1 {
		t.Fatalf("lock files: %v, %v", locks, err)
	}
	if info, err := os.Stat(locks[0]); err != nil || info.Mode().Perm()&0o044 != 0o044 {
		t.Errorf("the lock file's mode is %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(locks[0])); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the mode of its directory is %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(locks[0], 0o444); err != nil { // as it is to a user who does not own it
		t.Fatal(err)
	}
	if n, err := other.RecoverSessions(t.Context(), 0); err != nil || n != 0 {
		t.Errorf("%d orders were taken from a living process, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := other.RecoverSessions(t.Context(), 0); err != nil || n != 1 {
		t.Errorf("%d orders of the dead process became unknown, %v", n, err)
	}
}

// A process that reaches the database by another name is still its neighbour.
func TestSessionsBehindALink(t *testing.T) {
	file := storetest.SQLite(t)
	link := storetest.SQLiteFile(filepath.Join(t.TempDir(), "link.db"))
	if err := os.Symlink(string(file), string(link)); err != nil {
		t.Skip(err)
	}
	s, other := file.Open(t, nil), link.Open(t, nil)
	claimed(t, s)
	if n, err := other.RecoverSessions(t.Context(), 0); err != nil || n != 0 {
		t.Errorf("%d orders were taken from a living process, %v", n, err)
	}
}

// claimAndWait is the child: it claims one order and waits to be killed.
func claimAndWait(path string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	s, err := store.Open(ctx, store.Config{Path: path})
	fail(err)
	session, err := s.StartSession(ctx, "victim")
	fail(err)
	claims, err := s.ClaimReady(ctx, "bank", session, 1)
	fail(err)
	_, err = fmt.Fprintln(os.Stdout, "claimed", len(claims))
	fail(err)
	select {}
}
