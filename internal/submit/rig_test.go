package submit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
	"cardbatch/internal/issuance"
	"cardbatch/internal/ratelimit"
	"cardbatch/internal/sealed"
	"cardbatch/internal/store"
	"cardbatch/internal/store/storetest"
	"cardbatch/internal/submit"
	"cardbatch/internal/track"
)

const issuerID = "SIMBANK_01"

// rig is the whole road from the store to a simulated D1, all of it real.
type rig struct {
	tb     testing.TB
	sim    *d1sim.Simulator
	client *d1.Client
	ring   *sealed.Keyring
	path   string // of the database

	// connect makes a client of a D1 elsewhere, or of a less patient one.
	connect func(url string, timeout time.Duration) *d1.Client
	url     string
}

// newRig starts a D1 that takes card data as given. in may stand in front of it.
func newRig(tb testing.TB, settings d1sim.Settings, in ...func(http.Handler) http.Handler) *rig {
	tb.Helper()
	keys, err := simkeys.New(issuerID)
	if err != nil {
		tb.Fatal(err)
	}
	settings.SkipDecryption = true
	sim, err := d1sim.New(d1sim.Config{Issuers: []d1sim.Issuer{keys.Issuer()}, Settings: settings, Seed: 7})
	if err != nil {
		tb.Fatal(err)
	}
	handler := sim.Handler()
	for _, front := range in {
		handler = front(handler)
	}
	server := httptest.NewServer(handler)
	tb.Cleanup(func() { server.Close(); sim.Close() })
	connect := func(url string, timeout time.Duration) *d1.Client {
		client, err := d1.New(d1.Config{IssuerID: issuerID, BaseURL: url + "/banking/v1", TokenURL: url + "/authz/v1/oauth2/token",
			Token: d1.Token{KeyID: keys.JWTKeyID, Key: keys.JWTKey}, Timeout: timeout})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(client.Close)
		return client
	}
	ring, err := sealed.NewKeyring("k1", map[string][]byte{"k1": bytes.Repeat([]byte{7}, sealed.KeySize)})
	if err != nil {
		tb.Fatal(err)
	}
	return &rig{tb: tb, sim: sim, client: connect(server.URL, 0), ring: ring, path: string(storetest.SQLite(tb)), connect: connect, url: server.URL}
}

// node is one process of ours: a store with a session, and the stages.
type node struct {
	*rig
	store   *store.Store
	close   func()
	session string
	limiter *ratelimit.Limiter
	submit  *submit.Runner
	track   *track.Runner
}

func (r *rig) send(ctx context.Context, c issuance.Claim, body []byte) (string, error) {
	return r.client.Order(ctx, d1.Call{CardID: c.CardID, CorrelationID: c.CorrelationID, Body: body})
}

// start starts a process. send is the way to D1, r.send or something worse.
func (r *rig) start(ctx context.Context, cfg submit.Config, send submit.SendFunc) *node {
	r.tb.Helper()
	return r.startWith(ctx, cfg, submit.Deps{Send: send})
}

func (r *rig) startWith(ctx context.Context, cfg submit.Config, deps submit.Deps) *node {
	r.tb.Helper()
	n := &node{rig: r}
	var err error
	n.store, err = store.Open(ctx, store.Config{Path: r.path})
	r.must(err)
	n.close = sync.OnceFunc(func() { r.must(n.store.Close()) })
	r.tb.Cleanup(n.close)
	n.session, err = n.store.StartSession(ctx, "test")
	r.must(err)
	_, err = n.store.RecoverSessions(ctx, time.Millisecond)
	r.must(err)
	n.limiter, err = ratelimit.New(n.store, issuerID, ratelimit.Config{PerSecond: cfg.PerSecond, InFlight: max(cfg.InFlight, 16)})
	r.must(err)
	cfg.IssuerID, cfg.Session = issuerID, n.session
	deps.Store, deps.Queue, deps.Limiter, deps.Opener, deps.Log = n.store, n.store, n.limiter, r.ring, zerolog.Nop()
	deps.Now = func() time.Time { return time.Now().UTC() }
	n.submit, err = submit.New(cfg, deps)
	r.must(err)
	n.track, err = track.New(track.Config{IssuerID: issuerID, Settle: time.Millisecond, MaxAttempts: 100},
		track.Deps{Store: n.store, Issuer: r.client, Limiter: n.limiter,
			Now: func() time.Time { return time.Now().UTC() }, Log: zerolog.Nop()})
	r.must(err)
	return n
}

func (r *rig) must(err error) {
	r.tb.Helper()
	if err != nil {
		r.tb.Fatal(err)
	}
}

// load takes a file of n orders in, as intake would.
func (n *node) load(ctx context.Context, orders int) {
	n.tb.Helper()
	n.loadAs(ctx, "ord-", issuance.Normal, orders)
}

// loadAs is load for orders whose ids begin alike and that are as urgent.
func (n *node) loadAs(ctx context.Context, prefix string, urgency issuance.Urgency, orders int) {
	n.tb.Helper()
	why := issuance.Why{At: time.Now().UTC(), Stage: "intake", Session: n.session}
	b, err := n.store.ClaimFile(ctx, issuance.Batch{Source: "test", IssuerID: issuerID, FileName: prefix + "orders.csv",
		Session: n.session, State: issuance.BatchLoading, BusinessDate: "2026-03-02", ReceivedAt: why.At, Why: why})
	n.must(err)
	const slice = 1000
	for from := 0; from < orders; from += slice {
		rows := make([]issuance.NewOrder, min(slice, orders-from))
		for i := range rows {
			row := int64(from + i + 1)
			o := issuance.Order{Ref: issuance.NewRef(b.No, row), Line: row + 1, IssuerID: issuerID,
				OrderID: fmt.Sprintf("%s%07d", prefix, row), CardID: fmt.Sprintf("card-%s%07d", prefix, row), ConsumerID: "c-1",
				ProductID: "VISA_DEBIT_STD", Issuance: issuance.Creation, Urgency: urgency, State: issuance.Ready}
			mac := sha256.Sum256([]byte(o.OrderID))
			o.ContentMAC = mac[:16]
			box, err := n.ring.Seal(orderBody(o.OrderID), []byte(issuerID+"/"+o.OrderID))
			n.must(err)
			rows[i] = issuance.NewOrder{Order: o, Payload: box}
		}
		n.must(n.store.AddOrders(ctx, b.No, rows))
	}
	b.Rows = int64(orders)
	n.must(n.store.DecideBatch(ctx, b, issuance.BatchAccepted, why))
}

// orderBody has the size and shape of a real request; nothing in it is real.
func orderBody(orderID string) []byte {
	const address = `{"firstName":"Made","lastName":"Up","line1":"10 Test Street","zipCode":"10001","city":"Testville","countryCode":"US"}`
	jwe := strings.Repeat("A", 160) + ".." + strings.Repeat("B", 16) + "." + strings.Repeat("C", 160) + "." + strings.Repeat("D", 22)
	return []byte(`{"distributionChannel":"THALES","consumerId":"c-1","cardProductId":"VISA_DEBIT_STD","issuerRequestId":"` + orderID + `",` +
		`"services":{"issuance":"CREATION","priority":"STANDARD","delivery":"usps-imb","cardCarrier":"std-carrier","packaging":"standard-envelope","pinMailer":false},` +
		`"encryptedData":"` + jwe + `","paymentApplication":{"config":"visa-di-01","odaKeyIndex":"01","derivationKeyIndex":"01"},` +
		`"shipment":{"type":"INDIVIDUAL","deliveryAddress":` + address + `,"individualAddress":` + address + `}}`)
}

// count returns how many orders are in each state.
func (n *node) count(ctx context.Context) map[issuance.State]int64 {
	n.tb.Helper()
	all, err := n.store.Batches(ctx, issuance.BatchFilter{})
	n.must(err)
	counts := map[issuance.State]int64{}
	for _, b := range all {
		totals, err := n.store.BatchTotals(ctx, b.No)
		n.must(err)
		for _, s := range issuance.States() {
			counts[s] += totals.State(s)
		}
	}
	n.must(n.store.Balance(ctx))
	return counts
}
