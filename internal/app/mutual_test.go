package app_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/notification"
)

// D1 reports over mutual TLS, with a token that it fetches from us: a night in
// which everything that is configurable about that is on.
func TestNotificationsWithCertificatesAndTokens(t *testing.T) {
	ca, err := simkeys.NewCA()
	must(t, err)
	server, err := ca.Server("127.0.0.1")
	must(t, err)
	client, err := ca.Client("D1 notifications")
	must(t, err)
	secret := notification.NewSecret()
	hash, err := notification.HashSecret(secret)
	must(t, err)
	addr := freeAddress(t)
	w := newWorld(t, func(c *d1sim.Config) {
		c.Notifications.TLS = &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{client}, MinVersion: tls.VersionTLS12}
		c.Notifications.OAuth = d1sim.OAuth{TokenURL: "https://" + addr + "/token", ClientID: "d1", ClientSecret: secret, Scope: "cards"}
		c.Notifications.RetryPlan = []time.Duration{50 * time.Millisecond, 50 * time.Millisecond}
	})
	w.write(t, "ca.pem", pemOf("CERTIFICATE", ca.Cert.Raw))
	w.write(t, "cert.pem", pemOf("CERTIFICATE", server.Certificate[0]))
	der, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	must(t, err)
	w.write(t, "cert.key", pemOf("PRIVATE KEY", der))
	w.write(t, "cardbatch.yaml", strings.Replace(w.text(t), `notifications: {listen: "127.0.0.1:0"}`, `notifications:
  listen: `+addr+`
  cert_file: cert.pem
  key_file: cert.key
  client_ca_file: ca.pem
  client_names: ["D1 *"]
  oauth:
    token_path: /token
    scope: cards
    clients: [{id: d1, secret_hashes: ["`+hash+`"]}]`, 1)+"metrics: {listen: \"127.0.0.1:0\"}\n")
	w.cfg, err = config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
	a, stop := w.start(t)
	w.dropSample(t, "good.csv")
	for _, job := range []string{"pickup", "submit"} {
		if run, err := a.RunJob(t.Context(), job, ""); err != nil && exitcode.Of(err) != exitcode.Rejected {
			t.Fatalf("%s: %v %s", job, err, run.Summary)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, w.sim.WaitFinal(ctx, 18))
	if sum := w.sim.Summary(); sum.NotificationsPending != 0 || sum.OrdersAccepted != 18 {
		t.Errorf("D1's ledger: %+v", sum)
	}
	_, text := fetch(t, "http://"+a.WatchAddr().String()+"/metrics")
	for _, want := range []string{`cardbatch_cert_not_after_timestamp_seconds{issuer="",use="notifications"}`,
		`cardbatch_cert_not_after_timestamp_seconds{issuer="",use="notifications_client_ca"}`, `cardbatch_receiver_refused_total{reason="bearer_missing"} 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	stop()
	w.balances(t)
	w.holdsNothingClear(t, secret)
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// freeAddress returns an address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
