package d1sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerID = "SIMBANK_01"

// bench is a running simulator with one issuer and a client of it.
type rig struct {
	t     testing.TB
	sim   *d1sim.Simulator
	keys  *simkeys.Keys
	url   string
	http  *http.Client
	token string
}

func product() d1sim.Product {
	return d1sim.Product{
		ID: "VISA_DEBIT_STD", BINs: []string{"411111"}, Priorities: []string{"STANDARD", "URGENT"},
		Deliveries: []string{"usps-imb", "laposte-cip"}, Carriers: []string{"std-carrier"},
		Packagings: []string{"standard-envelope"}, Inserts: []string{"welcome-letter"},
		Countries: []string{"US", "FR"}, Configs: []string{"visa-di-01"},
	}
}

// newRig starts a simulator; change may alter its configuration first.
func newRig(tb testing.TB, change func(*d1sim.Config)) *rig {
	tb.Helper()
	keys, err := simkeys.New(issuerID)
	if err != nil {
		tb.Fatal(err)
	}
	c := d1sim.Config{Issuers: []d1sim.Issuer{keys.Issuer(product())}, Seed: 7}
	c.Settings.Day = 20 * time.Millisecond
	c.Floor.Epoch = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC) // a Monday
	if change != nil {
		change(&c)
	}
	sim, err := d1sim.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	sim.Start(context.Background())
	r := &rig{t: tb, sim: sim, keys: keys, url: srv.URL, http: &http.Client{Transport: &http.Transport{}}}
	tb.Cleanup(func() {
		r.http.CloseIdleConnections()
		srv.Close()
		sim.Close()
	})
	return r
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) member(name string) any {
	var m map[string]any
	if json.Unmarshal([]byte(a.body), &m) != nil {
		return nil
	}
	return m[name]
}

func (a answer) code() string { s, _ := a.member("errorCode").(string); return s }
func (a answer) text() string { s, _ := a.member("error").(string); return s }

func (r *rig) do(method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

func (r *rig) must(method, path, body string, header ...string) answer {
	r.t.Helper()
	a, err := r.do(method, path, body, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) form(assertion string) string {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}.Encode()
}

// login returns a token, one for all requests of the test.
func (r *rig) login() string {
	r.t.Helper()
	if r.token == "" {
		assertion, err := r.keys.Assertion(time.Now())
		if err != nil {
			r.t.Fatal(err)
		}
		a := r.must("POST", "/authz/v1/oauth2/token", r.form(assertion), "Content-Type", "application/x-www-form-urlencoded")
		if a.status != 200 {
			r.t.Fatalf("token: %d %s", a.status, a.body)
		}
		r.token = a.member("access_token").(string)
	}
	return r.token
}

func (r *rig) auth() []string {
	return []string{"Authorization", "Bearer " + r.login(), "Content-Type", "application/json"}
}

func orderPath(cardID string) string {
	return "/banking/v1/issuers/" + issuerID + "/physicalCards/" + cardID + "/operations:production"
}

func statusPath(cardID string) string {
	return "/banking/v1/issuers/" + issuerID + "/physicalCards/" + cardID + "/productionStatus"
}

const clearCard = `{"pan":"4111111111111111","exp":"2906","name":"MADE UP","panSequenceNumber":"00"}`

// body is a good order.
func (r *rig) body(orderID string) string {
	r.t.Helper()
	return orderBody(orderID, r.encrypt(clearCard))
}

func (r *rig) encrypt(clear string) string {
	r.t.Helper()
	jwe, err := r.keys.Encrypt([]byte(clear))
	if err != nil {
		r.t.Fatal(err)
	}
	return jwe
}

const addressJSON = `{"firstName":"Made","lastName":"Up","line1":"10 Test Street","zipCode":"10001","city":"Testville","countryCode":"US"}`

func orderBody(orderID, jwe string) string {
	return fmt.Sprintf(`{"distributionChannel":"THALES","consumerId":"c-1","cardProductId":"VISA_DEBIT_STD","issuerRequestId":%q,`+
		`"services":{"issuance":"CREATION","priority":"STANDARD","delivery":"usps-imb","cardCarrier":"std-carrier","packaging":"standard-envelope","pinMailer":false},`+
		`"encryptedData":%q,"paymentApplication":{"config":"visa-di-01","odaKeyIndex":"01","derivationKeyIndex":"01"},`+
		`"cardCarrierConfig":{"language":"en"},"packagingConfig":{"inserts":["welcome-letter"]},`+
		`"shipment":{"type":"INDIVIDUAL","deliveryAddress":%s,"individualAddress":%s}}`, orderID, jwe, addressJSON, addressJSON)
}

// order sends a good order and returns the answer.
func (r *rig) order(orderID, cardID string) answer {
	r.t.Helper()
	return r.must("POST", orderPath(cardID), r.body(orderID), r.auth()...)
}

func (r *rig) waitIdle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.sim.WaitIdle(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// operation is one entry of a notification, read independently of the
// simulator's own writing.
type operation struct {
	OperationID     string    `json:"operationId"`
	Operation       string    `json:"operation"`
	Status          string    `json:"status"`
	StartTime       time.Time `json:"startTime"`
	EndTime         time.Time `json:"endTime"`
	CardID          string    `json:"cardId"`
	IssuerRequestID string    `json:"issuerRequestId"`
	ErrorCode       string    `json:"errorCode"`
	Error           string    `json:"error"`
	Details         struct {
		Status          string `json:"status"`
		Reason          string `json:"reason"`
		DueDate         string `json:"dueDate"`
		ProductionSite  string `json:"productionSite"`
		IssuerRequestID string `json:"issuerRequestId"`
		Shipment        *struct {
			Carrier        string `json:"carrier"`
			TrackingNumber string `json:"trackingNumber"`
			Status         string `json:"status"`
			Message        string `json:"message"`
			TrackingURL    string `json:"trackingUrl"`
		} `json:"shipment"`
	} `json:"details"`
}

// backend is the issuer's notification endpoint.
type backend struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int // given in turn, then 204
	heard   []operation
	batches []int
	headers []http.Header
	paths   []string
}

func newBackend(tb testing.TB, answers ...int) *backend {
	tb.Helper()
	b := &backend{answers: answers}
	b.Server = httptest.NewServer(b)
	tb.Cleanup(b.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	var n struct {
		Operations []operation `json:"operations"`
	}
	err := dec.Decode(&n)
	b.mu.Lock()
	defer b.mu.Unlock()
	status := http.StatusNoContent
	if len(b.answers) > 0 {
		status, b.answers = b.answers[0], b.answers[1:]
	}
	if err != nil {
		status = http.StatusBadRequest
	}
	b.headers, b.paths = append(b.headers, r.Header.Clone()), append(b.paths, r.Method+" "+r.URL.Path)
	if status == http.StatusNoContent {
		b.heard, b.batches = append(b.heard, n.Operations...), append(b.batches, len(n.Operations))
	}
	w.WriteHeader(status)
}

// statuses are what was heard of an order, in order.
func (b *backend) statuses(orderID string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, o := range b.heard {
		if o.IssuerRequestID == orderID {
			s := o.Details.Status
			if o.Details.Shipment != nil {
				s += "/" + o.Details.Shipment.Status
			}
			out = append(out, s)
		}
	}
	return out
}
