package simkeys_test

import (
	"crypto/tls"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
)

const issuerID = "SIMBANK_01"

func TestADirectoryIsFilledOnceAndReadAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	first, created, err := simkeys.OpenDir(dir, issuerID, []string{"localhost"})
	if err != nil || !created {
		t.Fatalf("fill: created %v, %v", created, err)
	}
	again, created, err := simkeys.OpenDir(dir, issuerID, []string{"localhost"})
	if err != nil || created {
		t.Fatalf("read: created %v, %v", created, err)
	}
	if !first.Keys.JWTKey.Equal(again.Keys.JWTKey) || !first.Keys.JWEKey.Equal(again.Keys.JWEKey) ||
		first.Keys.JWEKeyID != again.Keys.JWEKeyID || !first.CA.Cert.Equal(again.CA.Cert) {
		t.Error("another key was read than written")
	}
	if diff := cmp.Diff(first.Server.Certificate, again.Server.Certificate); diff != "" {
		t.Error("another certificate was read than written")
	}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if strings.Contains(d.Name(), ".key.") && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", d.Name(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(dir, "d1-card-data.jwk"))
	if err != nil || strings.Contains(string(public), `"d"`) {
		t.Errorf("the public key holds the private one, or %v", err)
	}
}

func TestADirectoryHalfGoneIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := simkeys.OpenDir(dir, issuerID, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "issuer-token.key.pem")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := simkeys.OpenDir(dir, issuerID, []string{"localhost"}); err == nil {
		t.Error("a missing key was not noticed")
	}
}

func TestMutualTLSAndTheClientsName(t *testing.T) {
	m, err := simkeys.NewMaterial(issuerID, []string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	sim, err := d1sim.New(d1sim.Config{Issuers: []d1sim.Issuer{m.Keys.Issuer()}, CheckClientName: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	srv := httptest.NewUnstartedServer(sim.Handler())
	srv.EnableHTTP2 = true
	srv.TLS = m.CA.ServerTLS(m.Server, true)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	stranger, err := m.CA.Client(simkeys.ClientName("OTHERBANK1"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(certs ...tls.Certificate) int {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: m.CA.Pool(), Certificates: certs}, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		assertion, err := m.Keys.Assertion(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		body := "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" + assertion
		resp, err := (&http.Client{Transport: tr}).Post(srv.URL+"/authz/v1/oauth2/token",
			"application/x-www-form-urlencoded", strings.NewReader(body))
		if err != nil {
			return 0
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.ProtoMajor != 2 {
			t.Errorf("spoken over %s", resp.Proto)
		}
		return resp.StatusCode
	}
	if got := ask(m.Client); got != 200 {
		t.Errorf("the issuer's certificate: %d", got)
	}
	if got := ask(stranger); got != 400 {
		t.Errorf("another issuer's certificate: %d", got)
	}
	if got := ask(); got != 0 {
		t.Errorf("no certificate: %d", got)
	}
}

func TestRenewedClientCertificate(t *testing.T) {
	dir := t.TempDir()
	m, _, err := simkeys.OpenDir(dir, issuerID, []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	old := m.Client.Leaf
	if err := m.RenewClient(dir); err != nil {
		t.Fatal(err)
	}
	again, _, err := simkeys.OpenDir(dir, issuerID, nil)
	if err != nil {
		t.Fatal(err)
	}
	fresh := again.Client.Leaf
	if fresh.Equal(old) || !fresh.Equal(m.Client.Leaf) || fresh.Subject.CommonName != old.Subject.CommonName {
		t.Errorf("%s, serial %v after %v", fresh.Subject, fresh.SerialNumber, old.SerialNumber)
	}
	if err := fresh.CheckSignatureFrom(m.CA.Cert); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".renew-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind %v %v", left, err)
	}
}
