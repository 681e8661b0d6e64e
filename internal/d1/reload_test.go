package d1_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
)

// warnings keeps what somebody should see to.
type warnings struct {
	mu   sync.Mutex
	told []string
}

func (w *warnings) warn(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, err.Error())
}

// expect checks that there has been one warning for each text.
func (w *warnings) expect(t *testing.T, when string, texts ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told) != len(texts) {
		t.Fatalf("%s: warnings %q, want %q", when, w.told, texts)
	}
	for i, text := range texts {
		if !strings.Contains(w.told[i], text) {
			t.Errorf("%s: warning %q, want %q", when, w.told[i], text)
		}
	}
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestClientReadsItsFilesAgain renews all of mutual TLS under a running
// client: D1 changes its CA, we our certificate.
func TestClientReadsItsFilesAgain(t *testing.T) {
	t.Parallel()
	before, after, dir := newAuthority(t), newAuthority(t), t.TempDir()
	var shown atomic.Value                      // by us to D1
	var showing atomic.Pointer[tls.Certificate] // by D1 to us
	f := &fakeD1{key: newKey(t), card: func(w http.ResponseWriter, r *http.Request) {
		shown.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		says(http.StatusAccepted, `{}`)(w, r)
	}}
	f.server = httptest.NewUnstartedServer(f)
	f.server.EnableHTTP2 = true
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.server.TLS = before.serverTLS(t)
	f.server.TLS.ClientCAs.AddCert(after.cert)
	f.server.TLS.Certificates = nil
	f.server.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*showing.Load()}, ClientCAs: before.pool,
			ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"}}, nil
	}
	f.server.StartTLS()
	t.Cleanup(f.server.Close)
	serve := func(ca *authority) { showing.Store(&ca.serverTLS(t).Certificates[0]) }
	serve(before)

	caFile := filepath.Join(dir, "ca.pem")
	write(t, caFile, read(t, before.file))
	certFile, keyFile := before.issue(t, dir, "first")
	var w warnings
	client := f.client(t, func(c *d1.Config) {
		c.TLSFiles = d1.TLSFiles{Cert: certFile, Key: keyFile, CA: caFile}
		c.Warn = w.warn
	})
	order := func(want bool, as string) {
		t.Helper()
		client.Close() // so that a new connection is made
		_, err := client.Order(t.Context(), call())
		if (err == nil) != want || err == nil && shown.Load() != as {
			t.Errorf("as %q: %v", shown.Load(), err)
		}
	}
	order(true, "first")

	// Half of the new bundle: the old one stays.
	both := append(read(t, before.file), read(t, after.file)...)
	write(t, caFile, both[:len(both)-100])
	order(true, "first")
	w.expect(t, "half a CA file", "CA")
	write(t, caFile, both)
	order(true, "first")
	serve(after)
	order(true, "first")

	// A certificate without its key, for as long as it takes.
	newCert, newKey := after.issue(t, t.TempDir(), "second")
	write(t, certFile, read(t, newCert))
	order(true, "first")
	order(true, "first")
	w.expect(t, "half a certificate", "CA", "client certificate")
	write(t, keyFile, read(t, newKey))
	order(true, "second")

	// The old CA goes, and with it the trust in what it has signed.
	write(t, caFile, read(t, after.file))
	order(true, "second")
	serve(before)
	order(false, "")

	// Bad files after good ones are told again.
	write(t, caFile, []byte("no certificate"))
	serve(after)
	order(true, "second")
	w.expect(t, "no CA at all", "CA", "client certificate", "CA")
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certFile, keyFile := ca.issue(t, t.TempDir(), "ours")
	f := newFake(t, nil)
	var w warnings
	client := f.client(t, func(c *d1.Config) {
		c.TLSFiles = d1.TLSFiles{Cert: certFile, Key: keyFile, CA: ca.file}
		c.Warn = w.warn
	})
	got := client.Certificates()
	if len(got) != 2 || got[0].Use != d1.UseClient || got[0].Name != "ours" || got[0].File != certFile ||
		got[1].Use != d1.UseCA || got[1].Name != "Test CA" || !got[1].NotAfter.Equal(ca.cert.NotAfter) {
		t.Errorf("got %+v", got)
	}
	if left := time.Until(got[0].NotAfter); left < 50*time.Minute || left > time.Hour {
		t.Errorf("ours ends in %v", left)
	}
	write(t, certFile, []byte("nothing"))
	if got = client.Certificates(); len(got) != 2 || got[0].Name != "ours" {
		t.Errorf("with a bad file: %+v", got)
	}
	w.expect(t, "a bad file that no connection has needed yet", "client certificate")
	if got = f.client(t).Certificates(); got != nil {
		t.Errorf("without files: %+v", got)
	}
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	writePEM(t, file, "PRIVATE KEY", der)
	return read(t, file)
}

func TestTokenKeyIsReadAgain(t *testing.T) {
	t.Parallel()
	first, second := newKey(t), newKey(t)
	file := filepath.Join(t.TempDir(), "jwt.pem")
	write(t, file, keyPEM(t, first))
	f := newFake(t, nil)
	var w warnings
	client := f.client(t, func(c *d1.Config) { c.Token.Key, c.Token.KeyFile, c.Warn = nil, file, w.warn })
	signedBy := func(key *ecdsa.PrivateKey) {
		t.Helper()
		if err := client.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		form, _ := url.ParseQuery(f.forms[len(f.forms)-1])
		token, err := jwt.ParseSigned(form.Get("assertion"), []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		if err = token.Claims(&key.PublicKey, &jwt.Claims{}); err != nil {
			t.Errorf("signed by another key: %v", err)
		}
	}
	signedBy(first)
	write(t, file, keyPEM(t, second)[:90])
	signedBy(first)
	signedBy(first)
	w.expect(t, "half a key", "token key")
	write(t, file, keyPEM(t, p384(t)))
	signedBy(first)
	w.expect(t, "a key of another curve", "token key")
	write(t, file, keyPEM(t, second))
	signedBy(second)
	w.expect(t, "a good key", "token key")
}

// TestJWEKeysAreReadAgain: the second key of a change-over becomes the first.
func TestJWEKeysAreReadAgain(t *testing.T) {
	t.Parallel()
	oldKey, newKey := newKey(t), newKey(t)
	dir := t.TempDir()
	jwk := func(key *ecdsa.PrivateKey) []byte {
		content, err := (&jose.JSONWebKey{Key: &key.PublicKey, KeyID: "own"}).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	current, next := filepath.Join(dir, "current.jwk"), filepath.Join(dir, "next.jwk")
	write(t, current, jwk(oldKey))
	write(t, next, jwk(newKey))
	var w warnings
	var c clock
	e, err := d1.NewEncoder(d1.EncoderConfig{
		JWEFiles: []d1.JWEFile{{ID: "current", Path: current}, {ID: "next", Path: next}},
		Products: map[string]issuance.Product{product().ID: product()},
		Warn:     w.warn, Now: c.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	opens := func(key *ecdsa.PrivateKey) {
		t.Helper()
		c.move(time.Minute)
		body, err := e.Encode(plainInstruction())
		if err != nil {
			t.Fatal(err)
		}
		var order struct{ EncryptedData string }
		if err = json.Unmarshal(body, &order); err != nil {
			t.Fatal(err)
		}
		jwe, err := jose.ParseEncryptedCompact(order.EncryptedData, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = jwe.Decrypt(key); err != nil || jwe.Header.KeyID != "current" {
			t.Errorf("kid %s: %v", jwe.Header.KeyID, err)
		}
	}
	opens(oldKey)
	write(t, current, []byte(`{"kty":"EC","crv":`))
	opens(oldKey)
	opens(oldKey)
	w.expect(t, "half a key", "JWE keys")
	write(t, current, jwk(newKey))
	opens(newKey)
	c.move(-3 * time.Hour)
	write(t, current, jwk(oldKey))
	opens(oldKey)
	if err = os.Remove(next); err != nil {
		t.Fatal(err)
	}
	opens(oldKey)
	w.expect(t, "a key is gone", "JWE keys", "JWE keys")
}

func TestNewRefusesTwoKeys(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	file := filepath.Join(t.TempDir(), "jwt.pem")
	write(t, file, keyPEM(t, key))
	for name, token := range map[string]d1.Token{
		"both":    {KeyID: "jwt-1", Key: key, KeyFile: file},
		"no file": {KeyID: "jwt-1", KeyFile: file + ".none"},
		"no id":   {KeyFile: file},
	} {
		if _, err := d1.New(d1.Config{IssuerID: testIssuer, BaseURL: "https://d1.invalid", TokenURL: "https://d1.invalid", Token: token}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	jwe := d1.JWEKey{ID: "a", Public: &key.PublicKey}
	if _, err := d1.NewEncoder(d1.EncoderConfig{JWEKeys: []d1.JWEKey{jwe}, JWEFiles: []d1.JWEFile{{Path: file}}}); err == nil {
		t.Error("JWE keys given and in files: no error")
	}
	if _, err := d1.New(d1.Config{IssuerID: testIssuer, BaseURL: "https://d1.invalid", TokenURL: "https://d1.invalid",
		Token: d1.Token{KeyID: "jwt-1", Key: key}, TLSFiles: d1.TLSFiles{CA: "/nonexistent"}}); err == nil {
		t.Error("no such CA: no error")
	}
}
