package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
)

const (
	bank   = "bank-1"
	source = "bank-1-cards"
)

// world is a store with a session, a clock that stands still, and short ways
// to say what the tests do all the time.
type world struct {
	rapid.TB
	t       testing.TB // whose end closes the stores
	db      Database
	s       *store.Store
	session string
	clock   *clock
	files   int
}

// clock is a time that moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newWorld(tb testing.TB, db Database) *world {
	tb.Helper()
	w := &world{TB: tb, t: tb, db: db, clock: &clock{at: time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)}}
	w.s, w.session = w.open()
	return w
}

// open opens the database once more, as another process.
func (w *world) open() (*store.Store, string) {
	w.Helper()
	s := w.db.Open(w.t, w.clock.now)
	session, err := s.StartSession(w.ctx(), "node")
	w.must(err)
	return s, session
}

// restart ends the process without a word and starts another.
func (w *world) restart() {
	w.Helper()
	w.must(w.s.Close())
	w.s, w.session = w.open()
}

func (w *world) ctx() context.Context { return context.Background() }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) wantErr(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("error is %v, want %v", err, want)
	}
}

func (w *world) equal(got, want any) {
	w.Helper()
	if d := cmp.Diff(want, got); d != "" {
		w.Errorf("want - got +:\n%s", d)
	}
}

func (w *world) balance() {
	w.Helper()
	w.must(w.s.Balance(w.ctx()))
}

// claimFile begins a file.
func (w *world) claimFile() issuance.Batch {
	w.Helper()
	w.files++
	name := fmt.Sprintf("orders-%d.csv", w.files)
	b, err := w.s.ClaimFile(w.ctx(), issuance.Batch{Source: source, IssuerID: bank, FileName: name})
	w.must(err)
	return b
}

// row makes a ready order; its ids follow from the key.
func row(no issuance.BatchNo, n int64, key string) issuance.NewOrder {
	return issuance.NewOrder{
		Order: issuance.Order{
			Ref: issuance.NewRef(no, n), Line: n + 1, IssuerID: bank, OrderID: "order-" + key, CardID: "card-" + key,
			ConsumerID: "consumer-" + key, ProductID: "VISA_DEBIT_STD", Issuance: issuance.Creation, Priority: "STANDARD",
			Urgency: issuance.Normal, MaskedPAN: "411111******1111", PANFingerprint: []byte{1}, ContentMAC: []byte("mac " + key), State: issuance.Ready,
		},
		Payload: []byte("sealed " + key),
	}
}

func rejectedRow(no issuance.BatchNo, n int64) issuance.NewOrder {
	r := issuance.NewOrder{Order: issuance.Order{Ref: issuance.NewRef(no, n), Line: n + 1, IssuerID: bank, State: issuance.Rejected,
		Code: issuance.PANInvalid, Reason: "check digit"}}
	for _, column := range []string{"pan", "expiry"} {
		r.Errors = append(r.Errors, issuance.RowError{Ref: r.Ref, Line: r.Line, Column: column, Code: issuance.PANInvalid, Text: "wrong", Masked: "4111…"})
	}
	return r
}

func (w *world) add(b issuance.Batch, rows ...issuance.NewOrder) []issuance.NewOrder {
	w.Helper()
	w.must(w.s.AddOrders(w.ctx(), b.No, rows))
	return rows
}

func (w *world) decide(b issuance.Batch, to issuance.BatchState, rows int64) {
	w.Helper()
	b.Rows, b.Size, b.SHA256, b.BusinessDate = rows, 1000, fmt.Sprintf("sum-%d", b.No), "2026-03-01"
	w.must(w.s.DecideBatch(w.ctx(), b, to, issuance.Why{Stage: "intake", Session: w.session}))
}

// accepted makes an accepted batch of ready orders with the given keys.
func (w *world) accepted(keys ...string) issuance.Batch {
	w.Helper()
	b := w.claimFile()
	var rows []issuance.NewOrder
	for i, k := range keys {
		rows = append(rows, row(b.No, int64(i+1), k))
	}
	w.add(b, rows...)
	w.decide(b, issuance.BatchAccepted, int64(len(rows)))
	return b
}

func (w *world) claim(max int) []issuance.Claim {
	w.Helper()
	claims, err := w.s.ClaimReady(w.ctx(), bank, w.session, max)
	w.must(err)
	return claims
}

func (w *world) record(outcomes ...issuance.Outcome) {
	w.Helper()
	w.must(w.s.RecordOutcomes(w.ctx(), w.session, outcomes))
}

// submitted makes an accepted batch whose orders D1 has taken.
func (w *world) submitted(keys ...string) issuance.Batch {
	w.Helper()
	b := w.accepted(keys...)
	for _, c := range w.claim(len(keys)) {
		w.record(outcome(c, issuance.Submitted))
	}
	return b
}

func outcome(c issuance.Claim, to issuance.State) issuance.Outcome {
	o := issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, CorrelationID: c.CorrelationID, To: to}
	if to == issuance.Submitted {
		o.OperationID = "op-" + c.OrderID
	}
	return o
}

// produce is what D1 says of the order with a key.
func produce(key string, status issuance.ProductionStatus, at time.Time) issuance.Operation {
	return issuance.Operation{OperationID: "op-order-" + key, Operation: issuance.OperationProduce, Status: issuance.OperationSuccessful,
		CardID: "card-" + key, IssuerRequestID: "order-" + key, EndTime: at, Production: status}
}

func (w *world) notify(digest string, ops ...issuance.Operation) issuance.Applied {
	w.Helper()
	a, err := w.s.ApplyNotification(w.ctx(), issuance.Notification{IssuerID: bank, Digest: []byte(digest), Body: []byte("sealed"),
		ReceivedAt: w.clock.now(), Operations: ops})
	w.must(err)
	return a
}

// order returns the live order with a key.
func (w *world) order(key string) issuance.Order {
	w.Helper()
	found, err := w.s.Order(w.ctx(), bank, "order-"+key)
	w.must(err)
	if len(found) == 0 {
		w.Fatalf("no order-%s", key)
	}
	return found[0]
}

func (w *world) wantState(key string, want issuance.State) {
	w.Helper()
	if got := w.order(key).State; got != want {
		w.Errorf("order-%s is %s, want %s", key, got, want)
	}
}

// path returns the states an order went through.
func (w *world) path(key string) []string {
	w.Helper()
	events, err := w.s.Events(w.ctx(), w.order(key).Ref)
	w.must(err)
	var path []string
	for _, e := range events {
		if e.Kind == issuance.KindState {
			path = append(path, e.From+">"+e.To)
		}
	}
	return path
}

func (w *world) batch(b issuance.Batch) issuance.Batch {
	w.Helper()
	got, err := w.s.BatchByNo(w.ctx(), b.No)
	w.must(err)
	return got
}

func collect[T any](w *world, seq iter.Seq2[T, error]) []T {
	w.Helper()
	var all []T
	for v, err := range seq {
		w.must(err)
		all = append(all, v)
	}
	return all
}

func orderIDs(claims []issuance.Claim) []string {
	var ids []string
	for _, c := range claims {
		ids = append(ids, c.OrderID)
	}
	return ids
}

func sorted(ids []string) []string {
	slices.Sort(ids)
	return ids
}
