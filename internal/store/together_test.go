package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

// aGroup makes the writes of some notifications.
func aGroup(s *Store, ns ...issuance.Notification) []*write {
	members := make([]*write, len(ns))
	for i, n := range ns {
		in := &news{Notification: n, session: s.sessionID()}
		members[i] = &write{ctx: context.Background(), news: in, weight: len(n.Operations),
			fn: func(t *tx) error { return t.applyAlone(in) }, done: make(chan struct{})}
	}
	return members
}

// runGroup runs a group on the writer, which must have nothing else to do: behind
// another write, or as a group of its own.
func runGroup(t *testing.T, s *Store, behind bool, members []*write) error {
	t.Helper()
	if behind {
		return s.write(t.Context(), "group", func(tx *tx) error { return s.writer.together(tx, members, false) })
	}
	if err := s.writer.stmts.run(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := s.writer.together(&tx{ctx: t.Context(), stmts: s.writer.stmts, now: s.writer.now()}, members, true)
	if err != nil {
		return errors.Join(err, s.writer.stmts.run(t.Context(), "ROLLBACK"))
	}
	return s.writer.stmts.run(t.Context(), "COMMIT")
}

// atD1 returns a store with n orders, order-1 and so on, that D1 has; only the
// last is still ready.
func atD1(t *testing.T, n int) *Store {
	t.Helper()
	path := t.TempDir() + "/store.db"
	_, err := Migrate(t.Context(), Config{Path: path})
	must(t, err)
	s, err := Open(t.Context(), Config{Path: path})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	session, err := s.StartSession(t.Context(), "n")
	must(t, err)
	b, err := s.ClaimFile(t.Context(), issuance.Batch{Source: "src", IssuerID: "bank", FileName: "f"})
	must(t, err)
	orders := make([]issuance.NewOrder, n)
	for i := range orders {
		orders[i] = issuance.NewOrder{Payload: []byte("sealed"), Order: issuance.Order{Ref: issuance.NewRef(b.No, int64(i+1)), IssuerID: "bank",
			OrderID: fmt.Sprintf("order-%d", i+1), CardID: fmt.Sprintf("card-%d", i+1), State: issuance.Ready}}
	}
	must(t, s.AddOrders(t.Context(), b.No, orders))
	b.Rows = int64(n)
	must(t, s.DecideBatch(t.Context(), b, issuance.BatchAccepted, issuance.Why{}))
	claims, err := s.ClaimReady(t.Context(), "bank", session, n-1)
	must(t, err)
	outcomes := make([]issuance.Outcome, len(claims))
	for i, c := range claims {
		outcomes[i] = issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Submitted, OperationID: fmt.Sprintf("op-%d", c.Ref.Row())}
	}
	must(t, s.RecordOutcomes(t.Context(), session, outcomes))
	return s
}

// copyOf returns a store with a copy of a file, with a clock that stands.
func copyOf(t *testing.T, file []byte) *Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	must(t, os.WriteFile(path, file, 0o600))
	s, err := Open(t.Context(), Config{Path: path, Now: func() time.Time { return time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC) }})
	must(t, err)
	return s
}

// content is all that notifications can change, without the ids of events.
func content(t *testing.T, s *Store) (rows []string) {
	t.Helper()
	for _, query := range []string{
		`SELECT order_id, state, reason, operation_id, other_operations, status, failed, status_reason, status_at, due_date, site, heard_at,
			shipment, shipment_at, parcel_at, beneath, not_found, watched_at, (SELECT count(*) FROM event e WHERE e.id = last_event AND e.ref = orders.ref)
			FROM orders ORDER BY ref`,
		`SELECT ref, batch_no, (SELECT count(*) FROM event p WHERE p.id = e.prev AND p.ref = e.ref), kind, from_value, to_value, at, stage, session,
			operator, code, reason, attempt, said_at FROM event e ORDER BY ref, id`,
		`SELECT issuer_id, digest, body, received_at, operations, unmatched, other FROM notification ORDER BY digest`,
		`SELECT digest, operation, applied_at FROM parked_operation ORDER BY id`,
		`SELECT * FROM vocabulary ORDER BY word`,
	} {
		found, err := s.readers.QueryContext(t.Context(), query)
		must(t, err)
		columns, err := found.Columns()
		must(t, err)
		for found.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			must(t, found.Scan(values...))
			row := ""
			for i := range values {
				row += fmt.Sprintf("%s=%v ", columns[i], *values[i].(*any)) //nolint:forcetypeassert // made above
			}
			rows = append(rows, row)
		}
		must(t, errors.Join(found.Err(), found.Close())) //nolint:sqlclosecheck // there are several
	}
	return rows
}

func status(order int, s issuance.ProductionStatus, minute int) issuance.Operation {
	return issuance.Operation{Operation: issuance.OperationProduce, Status: issuance.OperationPending, Production: s,
		OperationID: fmt.Sprintf("op-%d", order), CardID: fmt.Sprintf("card-%d", order), IssuerRequestID: fmt.Sprintf("order-%d", order),
		EndTime: time.Date(2026, 3, 2, 9, minute, 0, 0, time.UTC)}
}

func note(digest string, ops ...issuance.Operation) issuance.Notification {
	return issuance.Notification{IssuerID: "bank", Digest: []byte(digest), Body: []byte("body of " + digest), Operations: ops}
}

// said is the production of an order and the bodies that are kept.
func (s *Store) said(t *testing.T, order int) (p issuance.ProductionStatus, bodies int) {
	t.Helper()
	must(t, s.readers.QueryRowContext(t.Context(), `SELECT status, (SELECT count(*) FROM notification) FROM orders WHERE order_id = ?`,
		fmt.Sprintf("order-%d", order)).Scan(&p, &bodies))
	return p, bodies
}

// One notification of a group cannot be applied: its caller is told, it is not
// kept, and the others are applied as if it had not been there.
func TestOneOfAGroupFails(t *testing.T) {
	for _, behind := range []bool{false, true} {
		s := atD1(t, 5)
		must(t, raw(t, s, `CREATE TRIGGER broken BEFORE UPDATE ON orders WHEN new.order_id = 'order-2' BEGIN SELECT RAISE(ABORT, 'no'); END`))
		members := aGroup(s, note("1", status(1, issuance.DataPrepared, 1)), note("2", status(3, issuance.DataPrepared, 1), status(2, issuance.DataPrepared, 1)),
			note("3", status(4, issuance.DataPrepared, 1)), note("1"))
		must(t, runGroup(t, s, behind, members))
		for i, m := range members {
			if failed := i == 1; (m.err != nil) != failed || m.panics != nil {
				t.Errorf("behind %v: member %d: %v, %v", behind, i, m.err, m.panics)
			}
		}
		if !members[3].news.applied.Repeated {
			t.Errorf("behind %v: the repeat: %+v", behind, members[3].news.applied)
		}
		for order, want := range map[int]issuance.ProductionStatus{1: issuance.DataPrepared, 2: "", 3: "", 4: issuance.DataPrepared} {
			if got, bodies := s.said(t, order); got != want || bodies != 2 {
				t.Errorf("behind %v: order %d is %q, and %d bodies are kept", behind, order, got, bodies)
			}
		}
		must(t, raw(t, s, `DROP TRIGGER broken`))
		a, err := s.ApplyNotification(t.Context(), note("2", status(3, issuance.DataPrepared, 1), status(2, issuance.DataPrepared, 1)))
		if err != nil || a.Changed != 2 { // D1 sends it again
			t.Errorf("behind %v: sent again: %+v, %v", behind, a, err)
		}
		must(t, s.Balance(t.Context()))
	}
}

// What ends the whole transaction is told to everybody, and leaves nothing behind.
func TestAGroupLosesItsTransaction(t *testing.T) {
	s := atD1(t, 4)
	must(t, raw(t, s, `CREATE TRIGGER broken BEFORE UPDATE ON orders WHEN new.order_id = 'order-2' BEGIN SELECT RAISE(ROLLBACK, 'no'); END`))
	for _, behind := range []bool{false, true} {
		members := aGroup(s, note("1", status(1, issuance.DataPrepared, 1)), note("2", status(2, issuance.DataPrepared, 1)))
		if err := runGroup(t, s, behind, members); err == nil {
			t.Errorf("behind %v: no error", behind)
		}
		if got, bodies := s.said(t, 1); got != "" || bodies != 0 {
			t.Errorf("behind %v: order 1 is %q, and %d bodies are kept", behind, got, bodies)
		}
	}
	must(t, raw(t, s, `DROP TRIGGER broken`))
	if a, err := s.ApplyNotification(t.Context(), note("2", status(2, issuance.DataPrepared, 1))); err != nil || a.Changed != 1 {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
}

// A panic undoes what the group has done so far, ids included, and no more.
func TestPanicInAGroup(t *testing.T) {
	s := atD1(t, 2)
	for name, guarded := range map[string]func(*tx, func(*tx) error) (error, any, error){"savepoint": s.writer.guarded, "begun anew": s.writer.begunAnew} {
		must(t, s.writer.stmts.run(t.Context(), "BEGIN IMMEDIATE"))
		in := &tx{ctx: t.Context(), stmts: s.writer.stmts, now: s.writer.now()}
		before, err := in.nextEvent()
		must(t, err)
		in.lastEvent = 0
		failed, panics, err := guarded(in, func(t *tx) error {
			if _, err := t.exec(`INSERT INTO rate (name, tat) VALUES ('x', 1)`); err != nil {
				return err
			}
			if _, err := t.nextEvent(); err != nil {
				return err
			}
			panic("bug")
		})
		if failed != nil || panics != "bug" || err != nil {
			t.Errorf("%s: %v, %v, %v", name, failed, panics, err)
		}
		if after, err := in.nextEvent(); err != nil || after != before {
			t.Errorf("%s: the next event is %d, not %d (%v)", name, after, before, err)
		}
		if _, err := in.exec(`INSERT INTO rate (name, tat) VALUES ($1, 1)`, "x"+name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		must(t, s.writer.stmts.run(t.Context(), "COMMIT"))
	}
	var rates int
	must(t, s.readers.QueryRowContext(t.Context(), `SELECT count(*) FROM rate`).Scan(&rates))
	if rates != 2 {
		t.Errorf("%d rows are there", rates)
	}
}

// A caller that has given up is told so, and nothing of it is applied.
func TestOneOfAGroupGaveUp(t *testing.T) {
	s := atD1(t, 4)
	members := aGroup(s, note("1", status(1, issuance.DataPrepared, 1)), note("2", status(2, issuance.DataPrepared, 1)), note("3", status(3, issuance.DataPrepared, 1)))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	members[1].ctx = gone
	must(t, runGroup(t, s, false, members))
	if members[0].err != nil || !errors.Is(members[1].err, context.Canceled) || members[2].err != nil {
		t.Errorf("%v, %v, %v", members[0].err, members[1].err, members[2].err)
	}
	if got, bodies := s.said(t, 2); got != "" || bodies != 2 {
		t.Errorf("order 2 is %q, and %d bodies are kept", got, bodies)
	}
}

// Together or one after the other: the same orders, events, bodies and counts.
// What must be applied alone is about orders of its own here, as within a group
// it comes after the rest.
func TestTogetherIsOneAfterTheOther(t *testing.T) {
	statuses := []issuance.ProductionStatus{"", issuance.CardProdRequested, issuance.DataPrepared, issuance.CardProdOnHold, issuance.CardProdDone, issuance.CardShipped}
	plain := rapid.Custom(func(rt *rapid.T) issuance.Operation {
		op := status(rapid.IntRange(1, 3).Draw(rt, "order"), rapid.SampledFrom(statuses).Draw(rt, "status"), rapid.IntRange(0, 9).Draw(rt, "minute"))
		op.OperationID = rapid.SampledFrom([]string{op.OperationID, op.OperationID, "", "op-other"}).Draw(rt, "operation")
		op.Status = rapid.SampledFrom([]string{issuance.OperationPending, issuance.OperationFailed}).Draw(rt, "result")
		op.Reason = rapid.SampledFrom([]string{"", "reason"}).Draw(rt, "reason")
		if rapid.Bool().Draw(rt, "ships") {
			op.Shipment = issuance.Shipment{Status: "InTransit", Carrier: "ups", TrackingNumber: "T1"}
		}
		return op
	})
	other := rapid.Custom(func(rt *rapid.T) issuance.Operation {
		op := status(rapid.SampledFrom([]int{4, 5, 6, 7}).Draw(rt, "order"), issuance.DataPrepared, rapid.IntRange(0, 9).Draw(rt, "minute"))
		switch rapid.SampledFrom([]string{"", "strange", "by card", "kind", "card", "canceled"}).Draw(rt, "how") {
		case "strange":
			op.Production = "NEW_WORD"
		case "by card":
			op.IssuerRequestID = ""
		case "canceled":
			op.Production = issuance.CardProdCanceled
		case "kind":
			op.Operation = "OTHER"
		case "card":
			op.CardID = "card-of-another"
		default: // the order that is ready, or none of ours
			op.IssuerRequestID, op.CardID = rapid.SampledFrom([]string{"order-6", "order-7"}).Draw(rt, "order"), ""
		}
		return op
	})
	template := atD1(t, 6)
	must(t, template.Close())
	file, err := os.ReadFile(template.path)
	must(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		var ns []issuance.Notification
		for range rapid.IntRange(1, 12).Draw(rt, "notifications") {
			kind := plain
			if rapid.IntRange(0, 3).Draw(rt, "kind") == 0 {
				kind = other
			}
			n := note(rapid.StringMatching(`[a-f]{2}`).Draw(rt, "digest"), rapid.SliceOfN(kind, 0, 3).Draw(rt, "operations")...)
			for _, before := range ns { // the same digest is the same body
				if string(before.Digest) == string(n.Digest) {
					n = before
				}
			}
			n.ReceivedAt = time.Date(2026, 3, 3, 0, 0, len(ns), 0, time.UTC)
			ns = append(ns, n)
		}
		one, all := copyOf(t, file), copyOf(t, file)
		defer func() { must(t, errors.Join(one.Close(), all.Close())) }()
		var want []issuance.Applied
		for _, n := range ns {
			a, err := one.ApplyNotification(t.Context(), n)
			must(t, err)
			want = append(want, a)
		}
		members := aGroup(all, ns...)
		must(t, runGroup(t, all, rapid.Bool().Draw(rt, "behind"), members))
		for i, m := range members {
			if m.err != nil || m.panics != nil || !reflect.DeepEqual(m.news.applied, want[i]) {
				rt.Errorf("notification %d: %+v, not %+v; %v %v", i, m.news.applied, want[i], m.err, m.panics)
			}
		}
		if diff := cmp.Diff(content(t, one), content(t, all)); diff != "" {
			rt.Error(diff)
		}
	})
}
