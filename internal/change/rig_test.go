package change_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/change"
	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/sealed"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
)

const bank = "TESTBANK01"

// rig is a store with orders and changes, a D1 made of a few maps, and the stage
// between them.
type rig struct {
	rapid.TB
	t       testing.TB
	db      storetest.Database
	store   *store.Store
	session string
	runner  *change.Runner
	ring    *sealed.Keyring
	encoder *d1.Encoder
	logs    *bytes.Buffer
	cfg     change.Config
	d1      *fakeD1
	files   int
	wrap    func(change.Store) change.Store // what is between the stage and its store

	mu sync.Mutex
	at time.Time
}

func products() map[string]issuance.Product {
	return map[string]issuance.Product{
		"FAST": {ID: "FAST", UrgentPriorities: []string{"URGENT"}, Countries: []string{"FR"}},
		"SLOW": {ID: "SLOW", Countries: []string{"FR", "DE"}},
	}
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{TB: tb, t: tb, db: storetest.SQLite(tb), logs: &bytes.Buffer{}, at: time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.must(err)
	r.encoder, err = d1.NewEncoder(d1.EncoderConfig{JWEKeys: []d1.JWEKey{{ID: "k", Public: &key.PublicKey}}, Products: products()})
	r.must(err)
	r.ring, err = sealed.NewKeyring("k1", map[string][]byte{"k1": make([]byte, 32)})
	r.must(err)
	r.d1 = &fakeD1{now: r.now, orders: map[string]*production{}}
	r.cfg = change.Config{IssuerID: bank, Products: products(), Wait: time.Hour}
	r.open()
	return r
}

func (r *rig) open() {
	r.Helper()
	r.store = r.db.Open(r.t, r.now)
	var err error
	r.session, err = r.store.StartSession(context.Background(), "node")
	r.must(err)
	_, err = r.store.RecoverSessions(context.Background(), time.Minute)
	r.must(err)
	r.start()
}

// start makes the stage anew.
func (r *rig) start() {
	r.Helper()
	cfg := r.cfg
	cfg.Session = r.session
	st := change.Store(r.store)
	if r.wrap != nil {
		st = r.wrap(st)
	}
	var err error
	r.runner, err = change.New(cfg, change.Deps{Store: st, D1: change.D1{Send: r.d1.send, Ask: r.d1.ask}, Box: r.ring,
		Bodies: change.Bodies{Amend: d1.Amend, Country: d1.ChangeCountry}, Limiter: freeWay{}, Now: r.now, Log: zerolog.New(r.logs)})
	r.must(err)
}

// crash ends the process without a word and starts another.
func (r *rig) crash() {
	r.Helper()
	r.must(r.store.Close())
	r.open()
}

type freeWay struct{}

func (freeWay) Acquire(ctx context.Context) (func(), error) { return func() {}, ctx.Err() }
func (freeWay) Slow(time.Duration)                          {}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *rig) wait(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = r.at.Add(d)
}

func text(s string) cardholder.Text { return cardholder.NewText(s) }

func address(street, country string) cardholder.Address {
	return cardholder.Address{LastName: text("Testowa"), Line1: text(street), City: text("Ici"), ZipCode: text("25000"), CountryCode: text(country)}
}

// give takes an order file of one product, one order for each key.
func (r *rig) give(product string, keys ...string) {
	r.Helper()
	ctx := context.Background()
	r.files++
	b, err := r.store.ClaimFile(ctx, issuance.Batch{Source: "core", IssuerID: bank, FileName: fmt.Sprintf("orders-%d.csv", r.files)})
	r.must(err)
	var rows []issuance.NewOrder
	for i, key := range keys {
		body, err := r.encoder.Encode(cardholder.Instruction{OrderID: key, CardID: "card-" + key, ProductID: product, EncryptedData: "a.b.c.d.e",
			Issuance: issuance.Creation, Delivery: "laposte-cip", DeliveryAddress: address("1 Old Street", "FR")})
		r.must(err)
		payload, err := r.ring.Seal(body, []byte(bank+"/"+key))
		r.must(err)
		rows = append(rows, issuance.NewOrder{Payload: payload, Order: issuance.Order{Ref: issuance.NewRef(b.No, int64(i+1)), Line: int64(i + 2), IssuerID: bank,
			OrderID: key, CardID: "card-" + key, ConsumerID: "c", ProductID: product, Issuance: issuance.Creation, Urgency: issuance.Normal,
			ContentMAC: []byte(key), State: issuance.Ready}})
	}
	r.must(r.store.AddOrders(ctx, b.No, rows))
	b.Rows = int64(len(keys))
	r.must(r.store.DecideBatch(ctx, b, issuance.BatchAccepted, issuance.Why{Stage: "intake"}))
}

// submit lets D1 have every order that is ready.
func (r *rig) submit() {
	r.Helper()
	claims, err := r.store.ClaimReady(context.Background(), bank, r.session, 1000)
	r.must(err)
	var outcomes []issuance.Outcome
	for _, c := range claims {
		body, err := r.ring.Open(c.Payload, []byte(bank+"/"+c.OrderID))
		r.must(err)
		r.d1.order(c.OrderID, body)
		outcomes = append(outcomes, issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, To: issuance.Submitted, OperationID: "op-" + c.OrderID})
	}
	r.must(r.store.RecordOutcomes(context.Background(), r.session, outcomes))
}

// request is a row of a change file.
type request struct {
	kind    issuance.ChangeType
	order   string
	street  string
	country string
}

// ask takes a change file.
func (r *rig) ask(requests ...request) {
	r.Helper()
	ctx := context.Background()
	r.files++
	b, err := r.store.ClaimFile(ctx, issuance.Batch{Kind: issuance.BatchChanges, Source: "changes", IssuerID: bank, FileName: fmt.Sprintf("changes-%d.csv", r.files)})
	r.must(err)
	var rows []issuance.NewChange
	for i, q := range requests {
		mac := sha256.Sum256(fmt.Append(nil, q))
		n := issuance.NewChange{Change: issuance.Change{Ref: issuance.NewRef(b.No, int64(i+1)), Line: int64(i + 2), IssuerID: bank, OrderID: q.order, Type: q.kind,
			ContentMAC: mac[:], State: issuance.ChangeWaiting}}
		in := cardholder.ChangeInstruction{OrderID: q.order, Change: string(q.kind)}
		if q.kind.Redirects() {
			country := q.country
			if country == "" {
				country = "FR"
			}
			in.Address = address(q.street, country)
		}
		body, err := r.encoder.EncodeChange(in)
		r.must(err)
		n.Payload, err = r.ring.Seal(body, n.AAD())
		r.must(err)
		rows = append(rows, n)
	}
	r.must(r.store.AddChanges(ctx, b.No, rows))
	b.Rows = int64(len(rows))
	r.must(r.store.DecideBatch(ctx, b, issuance.BatchAccepted, issuance.Why{Stage: "intake"}))
}

func (r *rig) run() (change.Summary, error) {
	r.Helper()
	return r.runner.RunOnce(context.Background())
}

func (r *rig) mustRun() change.Summary {
	r.Helper()
	sum, err := r.run()
	r.must(err)
	r.must(r.store.Balance(context.Background()))
	return sum
}

// changes returns what became of the changes of an order, oldest first.
func (r *rig) changes(key string) []issuance.Change {
	r.Helper()
	found, err := r.store.ChangesOfOrder(context.Background(), bank, key)
	r.must(err)
	return found
}

func (r *rig) want(key string, states ...issuance.ChangeState) {
	r.Helper()
	var got []issuance.ChangeState
	for _, c := range r.changes(key) {
		got = append(got, c.State)
	}
	if fmt.Sprint(got) != fmt.Sprint(states) {
		r.Errorf("changes of %s are %v, want %v", key, got, states)
	}
}

func (r *rig) order(key string) issuance.Order {
	r.Helper()
	found, err := r.store.Order(context.Background(), bank, key)
	r.must(err)
	return found[0]
}

// notify delivers news.
func (r *rig) notify(operations ...issuance.Operation) {
	r.Helper()
	digest := make([]byte, 8)
	_, _ = rand.Read(digest)
	_, err := r.store.ApplyNotification(context.Background(), issuance.Notification{IssuerID: bank, Digest: digest, Body: []byte("sealed"),
		ReceivedAt: r.now(), Operations: operations})
	r.must(err)
}

// notifyAll delivers all that D1 has to say.
func (r *rig) notifyAll() {
	r.Helper()
	r.notify(r.d1.all()...)
}

// fakeD1 orders, changes and reports. What goes wrong with the next request is
// the fault of the test.
type fakeD1 struct {
	now func() time.Time

	mu       sync.Mutex
	orders   map[string]*production
	sent     int
	fault    func(call int) fault
	unlisted bool  // changes are not in the answers to questions
	deaf     error // to questions
}

type production struct {
	id, street, priority string
	shipped, canceled    bool
	updates              []issuance.Operation
	log                  []string // what was done to it, in order
}

// fault is what goes wrong with one request.
type fault struct {
	before error // instead of processing
	after  error // instead of the answer
	mute   bool  // the answer has no operation id
}

func (d *fakeD1) order(id string, body []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var o struct {
		Services struct{ Priority string }
		Shipment struct{ DeliveryAddress, IndividualAddress struct{ Line1 string } }
	}
	if err := json.Unmarshal(body, &o); err != nil {
		panic(err)
	}
	d.orders["card-"+id] = &production{id: id, street: o.Shipment.DeliveryAddress.Line1, priority: o.Services.Priority}
}

func (d *fakeD1) send(_ context.Context, c issuance.ChangeClaim, body []byte) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent++
	var f fault
	if d.fault != nil {
		f = d.fault(d.sent)
	}
	if f.before != nil {
		return "", f.before
	}
	var q struct {
		Type               string
		NewDeliveryAddress struct{ Line1 string }
	}
	if err := json.Unmarshal(body, &q); err != nil {
		panic(err)
	}
	o := d.orders[c.CardID]
	if o == nil {
		return "", &retry.Error{Class: retry.Refused, Status: 404, Code: "CARD_NOT_FOUND"}
	}
	op := issuance.Operation{OperationID: fmt.Sprintf("up-%d", d.sent), Operation: issuance.OperationUpdateOrder, Status: issuance.OperationSuccessful,
		CardID: c.CardID, IssuerRequestID: o.id, StartTime: d.now(), EndTime: d.now()}
	switch {
	case o.shipped || o.canceled:
		op.Status, op.ErrorCode = issuance.OperationFailed, "STAGE_TOO_LATE"
	case q.Type == "CANCEL":
		o.canceled = true
	default:
		if q.NewDeliveryAddress.Line1 != "" {
			o.street = q.NewDeliveryAddress.Line1
		}
	}
	o.log = append(o.log, q.Type+" "+q.NewDeliveryAddress.Line1+" "+op.Status)
	o.updates = append(o.updates, op)
	if f.after != nil {
		return "", f.after
	}
	if f.mute {
		return "", nil
	}
	return op.OperationID, nil
}

func (d *fakeD1) ask(_ context.Context, cardID, _ string) ([]issuance.Operation, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.orders[cardID]
	if d.deaf != nil || o == nil {
		return nil, d.deaf
	}
	operations := []issuance.Operation{o.produce(cardID, d.now())}
	if !d.unlisted {
		operations = append(operations, o.updates...)
	}
	return operations, nil
}

func (o *production) produce(cardID string, at time.Time) issuance.Operation {
	op := issuance.Operation{OperationID: "op-" + o.id, Operation: issuance.OperationProduce, Status: issuance.OperationPending, CardID: cardID,
		IssuerRequestID: o.id, StartTime: at, Production: issuance.CardProdRequested}
	switch {
	case o.canceled:
		op.Status, op.Production = issuance.OperationFailed, issuance.CardProdCanceled
	case o.shipped:
		op.Status, op.Production = issuance.OperationSuccessful, issuance.CardShipped
	}
	return op
}

// all is every piece of news there is.
func (d *fakeD1) all() []issuance.Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []issuance.Operation
	for card, o := range d.orders {
		all = append(append(all, o.updates...), o.produce(card, d.now()))
	}
	return all
}

func (d *fakeD1) production(key string) *production {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.orders["card-"+key]
}
