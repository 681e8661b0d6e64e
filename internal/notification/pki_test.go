package notification_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/notification"
)

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newCA(tb testing.TB, name string) authority {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-1000 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(tb, err)
	cert, err := x509.ParseCertificate(der)
	must(tb, err)
	return authority{cert, key}
}

// issue makes a certificate that was issued an hour ago and is valid for so long.
func (ca authority) issue(tb testing.TB, name string, valid time.Duration, use x509.ExtKeyUsage) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	from := time.Now().Add(-time.Hour)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: from.Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, &key.PublicKey, ca.key)
	must(tb, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (ca authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
}

// writePair writes a certificate and its key.
func writePair(tb testing.TB, cert tls.Certificate, certFile, keyFile string) {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	must(tb, err)
	must(tb, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600))
	must(tb, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}

// pki is our side and D1's.
type pki struct {
	ca, other authority
	files     notification.TLSFiles
}

func newPKI(tb testing.TB) *pki {
	tb.Helper()
	dir := tb.TempDir()
	p := &pki{ca: newCA(tb, "Thales test"), other: newCA(tb, "other"), files: notification.TLSFiles{
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem")}}
	writePair(tb, p.ca.issue(tb, "us", 1000*time.Hour, x509.ExtKeyUsageServerAuth), p.files.Cert, p.files.Key)
	must(tb, os.WriteFile(p.files.ClientCA, p.ca.pem(), 0o600))
	return p
}

func (p *pki) client(tb testing.TB, name string) tls.Certificate {
	tb.Helper()
	return p.ca.issue(tb, name, 100*time.Hour, x509.ExtKeyUsageClientAuth)
}

// httpClient is a client with or without a certificate, of one connection.
func (p *pki) httpClient(tb testing.TB, http2 bool, certs ...tls.Certificate) *http.Client {
	tb.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(p.ca.cert)
	// GetClientCertificate: the certificate is sent whoever the server says it trusts.
	cfg := &tls.Config{RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if len(certs) == 0 {
			return &tls.Certificate{}, nil
		}
		return &certs[0], nil
	}}
	t := &http.Transport{TLSClientConfig: cfg, ForceAttemptHTTP2: http2}
	tb.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: 20 * time.Second}
}

// tally is a Meter that remembers.
type tally struct {
	mu      sync.Mutex
	refused map[string]int
	taken   map[string]int
	ops     map[string]int
	lag     time.Duration
}

func newTally() *tally {
	return &tally{refused: map[string]int{}, taken: map[string]int{}, ops: map[string]int{}}
}

func (m *tally) Notification(issuer, result string, _, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lag = lag
	m.taken[issuer+"/"+result]++
}

func (m *tally) Operations(issuer, outcome string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ops[issuer+"/"+outcome] += n
}

func (m *tally) Refused(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[reason]++
}

func (m *tally) snapshot() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.refused)
}

// waitFor waits until a reason was counted n times.
func (m *tally) waitFor(tb testing.TB, reason notification.Reason, n int) {
	tb.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.NewTimer(20*time.Second)
	defer tick.Stop()
	defer limit.Stop()
	for m.snapshot()[string(reason)] != n {
		select {
		case <-tick.C:
		case <-limit.C:
			tb.Fatalf("%s was not counted %d times: %v", reason, n, m.snapshot())
		}
	}
}

// site is a receiver behind TLS, as in production.
type site struct {
	*pki
	*bench
	*notification.Server
	meter *tally
	url   string
}

func newSite(tb testing.TB, change func(*notification.Config, *notification.ServerConfig, *notification.TLSFiles),
	deps ...func(*notification.Deps)) *site {
	tb.Helper()
	s := &site{pki: newPKI(tb), meter: newTally()}
	var cfg notification.Config
	var server notification.ServerConfig
	if change != nil {
		change(&cfg, &server, &s.files)
	}
	s.bench = newBench(tb, func(c *notification.Config, d *notification.Deps) {
		cfg.Issuers = c.Issuers
		*c, d.Meter = cfg, s.meter
		for _, change := range deps {
			change(d)
		}
	})
	var err error
	server.TLS, err = notification.LoadTLS(s.files, zerolog.New(zerolog.SyncWriter(&s.log)))
	must(tb, err)
	server.Handler, server.Meter = s.bench, s.meter
	s.Server, _ = serve(tb, server)
	s.url = fmt.Sprintf("https://%s", s.Addr())
	return s
}

// unharmed checks that a good notification is taken.
func (s *site) unharmed(t *testing.T) {
	t.Helper()
	code, err := post(t, s.httpClient(t, true, s.client(t, "D1")), s.url, good)
	if err != nil || code != http.StatusNoContent {
		t.Errorf("afterwards a good notification is answered %d, %v", code, err)
	}
}
