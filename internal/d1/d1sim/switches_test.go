package d1sim_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
)

func TestChangeOfTheCardDataKey(t *testing.T) {
	s := newSite(t, func(c *d1sim.Config) { c.Settings.SkipDecryption = false })
	a := s.admin("POST", "/jwe-keys", `{"kid":"sim-jwe-2"}`)
	var public jose.JSONWebKey
	if err := json.Unmarshal([]byte(a.body), &public); err != nil || a.status != 201 || !public.IsPublic() || public.KeyID != "sim-jwe-2" {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	under := func(kid string, key *ecdsa.PublicKey) string {
		enc, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: key, KeyID: kid}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := enc.Encrypt([]byte(clearCard))
		if err != nil {
			t.Fatal(err)
		}
		jwe, err := o.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return jwe
	}
	order := func(id, jwe string) answer { return s.must("POST", orderPath(id), orderBody(id, jwe), s.auth()...) }
	old, fresh := s.encrypt(clearCard), under("sim-jwe-2", public.Key.(*ecdsa.PublicKey))
	if a, b := order("ord-1", old), order("ord-2", fresh); a.status != 202 || b.status != 202 {
		t.Errorf("with two keys: %d %d %s", a.status, b.status, b.body)
	}
	if a := s.admin("GET", "/jwe-keys", ""); strings.Count(a.body, `"kid"`) != 2 || strings.Contains(a.body, `"d"`) {
		t.Errorf("keys: %s", a.body)
	}
	if a := s.admin("DELETE", "/jwe-keys/sim-jwe-1", ""); a.status != 204 {
		t.Errorf("withdraw: %d", a.status)
	}
	if a, b := order("ord-3", old), order("ord-4", fresh); a.code() != "CRYPTO_ERROR" || b.status != 202 {
		t.Errorf("with the new one alone: %d %s, %d", a.status, a.body, b.status)
	}
	for _, tc := range []struct{ method, path, body string }{
		{"DELETE", "/jwe-keys/sim-jwe-1", ""}, {"POST", "/jwe-keys", `{}`}, {"POST", "/jwe-keys", `{"kid":"k","issuerId":"NOBODYHERE"}`},
		{"GET", "/jwe-keys?issuerId=NOBODYHERE", ""},
	} {
		if a := s.admin(tc.method, tc.path, tc.body); a.status < 400 || a.status >= 500 {
			t.Errorf("%s %s %s: %d", tc.method, tc.path, tc.body, a.status)
		}
	}
}

func TestClientCertificateIsSwitched(t *testing.T) {
	s := newSite(t, func(c *d1sim.Config) { c.CheckClientName = false })
	stranger, err := s.d.Material.CA.Client(simkeys.ClientName("OTHERBANK1"))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(certs ...tls.Certificate) func() int {
		tr := &http.Transport{TLSClientConfig: s.d.ClientTLS(), ForceAttemptHTTP2: true}
		tr.TLSClientConfig.Certificates = certs
		t.Cleanup(tr.CloseIdleConnections)
		r := &rig{t: t, sim: s.sim, keys: s.keys, url: s.url, http: &http.Client{Transport: tr}}
		assertion, err := s.keys.Assertion(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return func() int { // the status of a token request; 0: no connection
			a, err := r.do("POST", tokenPath, r.form(assertion), "Content-Type", formType)
			if err != nil {
				return 0
			}
			return a.status
		}
	}
	mine := s.d.Material.Client
	early := dial()
	if n := early(); n != 200 {
		t.Fatalf("off: %d", n)
	}
	s.patch(`{"client_certificate":"required"}`)
	if n := early(); n != 400 {
		t.Errorf("required, over a connection from before: %d", n)
	}
	if bare, other, own := dial()(), dial(stranger)(), dial(mine)(); bare != 0 || other != 200 || own != 200 {
		t.Errorf("required: none %d, another's %d, the issuer's %d", bare, other, own)
	}
	s.patch(`{"client_certificate":"named"}`)
	if bare, other, own := dial()(), dial(stranger)(), dial(mine)(); bare != 0 || other != 400 || own != 200 {
		t.Errorf("named: none %d, another's %d, the issuer's %d", bare, other, own)
	}
	s.patch(`{"client_certificate":"off"}`)
	if n := dial()(); n != 200 {
		t.Errorf("off again: %d", n)
	}
}

func TestBatchAcceptedAsAWhole(t *testing.T) {
	s := newSite(t, func(c *d1sim.Config) {
		c.Settings.BatchAnswer = d1sim.BatchAccepted
		c.Settings.Day = 10 * time.Millisecond
	})
	a := s.must("POST", batchPath, cards(s.item("ord-1", "card-1"), with(t, s.item("ord-2", "card-2"), "services", nil)), s.auth()...)
	if a.status != 202 || a.member("operationId") == nil || a.member("operations") != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.waitIdle()
	if sum := s.sim.Summary(); sum.OrdersAccepted != 2 || sum.Shipped != 1 || sum.DataException != 1 {
		t.Errorf("%+v", sum)
	}
	if st := s.must("GET", statusPath("card-2"), "", s.auth()...); !strings.Contains(st.body, "DATA_EXCEPTION") {
		t.Errorf("the card with the mistake: %s", st.body)
	}
}

func TestBatchProcessedInPart(t *testing.T) {
	s := newSite(t, nil)
	s.login()
	s.patch(`{"faults":{"batch_partly":1}}`)
	_, err := s.do("POST", batchPath, cards(s.item("ord-1", "card-1"), s.item("ord-2", "card-2"), s.item("ord-3", "card-3")), s.auth()...)
	if l := s.sim.Ledger(); err == nil || len(l) != 2 {
		t.Errorf("%v, ledger %+v", err, l)
	}
	if e := s.events("?kind=batch"); len(e) != 1 || e[0].Cards != 3 || e[0].Fault != "batch_partly" || e[0].Answer != 0 {
		t.Errorf("events %+v", e)
	}
}

func TestDelayedNotificationsAreOvertaken(t *testing.T) {
	b := newBackend(t)
	s := newSite(t, func(c *d1sim.Config) { short(c, b); c.Settings.Day = 10 * time.Millisecond })
	s.patch(`{"faults":{"delayed_notifications":0.25,"delayed_for":"50ms"}}`)
	const orders = 20
	for i := range orders {
		s.order(fmt.Sprint("ord-", i), fmt.Sprint("card-", i))
	}
	s.waitIdle()
	overtaken := 0
	for i := range orders {
		st := b.statuses(fmt.Sprint("ord-", i))
		if len(st) != 8 {
			t.Errorf("heard %v", st)
		}
		if st[len(st)-1] != "CARD_SHIPPED/Delivered" {
			overtaken++
		}
	}
	if n := s.sim.FaultCounts()["delayed_notifications"]; n < 20 || overtaken == 0 {
		t.Errorf("%d delayed, %d orders whose last was overtaken", n, overtaken)
	}
}

func TestTheRetryPlanIsASetting(t *testing.T) {
	b := newBackend(t, 503, 503)
	s := newSite(t, func(c *d1sim.Config) {
		c.Notifications.URL = b.URL // retries after half a minute
		c.Settings.Day = 10 * time.Millisecond
	})
	s.patch(`{"notification_retry_plan":["1ms","1ms"]}`)
	s.order("ord-1", "card-1")
	s.waitIdle()
	if n := len(b.statuses("ord-1")); n != 8 {
		t.Errorf("heard %d", n)
	}
	retried := 0
	for _, e := range s.events("?kind=notification&issuerRequestId=ord-1&answer=204") {
		if e.Attempt > 1 {
			retried++
		}
	}
	if failed := s.events("?kind=notification&answer=503"); len(failed) != 2 || retried == 0 || failed[0].Attempt != 1 {
		t.Errorf("%d failures in the event log, %d successes after one", len(failed), retried)
	}
	if a := s.admin("GET", "/settings", ""); !strings.Contains(a.body, `"notification_retry_plan":["1ms","1ms"]`) {
		t.Errorf("settings %s", a.body)
	}
}

func TestEventsAndCounts(t *testing.T) {
	s := newSite(t, func(c *d1sim.Config) { c.Events = 3 })
	s.order("ord-1", "card-1")
	s.patch(`{"faults":{"error_after":1}}`)
	s.order("ord-2", "card-2")
	s.patch(`{"faults":{"error_after":0}}`)
	s.must("GET", statusPath("card-1"), "", s.auth()...)
	all := s.events("")
	if len(all) != 3 || all[0].N != 2 || all[0].Kind != "order" || all[2].Kind != "status" || all[2].Answer != 200 {
		t.Fatalf("the newest three of four: %+v", all)
	}
	second := all[1]
	if l := s.sim.Ledger()[1]; second.BodySHA256 != l.BodySHA256 || second.IssuerRequestID != "ord-2" ||
		second.Fault != "error_after" || second.Answer != 503 {
		t.Errorf("%+v of %+v", second, l)
	}
	if e := s.events("?after=3"); len(e) != 1 {
		t.Errorf("after 3: %+v", e)
	}
	if a := s.admin("GET", "/events?after=x", ""); a.status != 400 {
		t.Errorf("after x: %d", a.status)
	}
	if a := s.admin("GET", "/faults", ""); a.member("error_after") != 1.0 {
		t.Errorf("faults %s", a.body)
	}
	if a := s.admin("POST", "/reset-counters", ""); a.status != 204 {
		t.Errorf("reset: %d", a.status)
	}
	sum := s.sim.Summary()
	if sum.RequestsReceived != 0 || sum.FaultsMade != 0 || sum.StatusRequests != 0 || sum.TokensIssued != 0 || sum.CardsProduced != 2 ||
		len(s.events("")) != 0 || len(s.sim.FaultCounts()) != 0 {
		t.Errorf("afterwards %+v", sum)
	}
}
