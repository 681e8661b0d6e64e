package d1_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"cardbatch/internal/d1"
)

// presented returns the name in the certificate that a client would present.
func presented(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	pair, err := cfg.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.Subject.CommonName
}

func TestLoadTLSReadsChangedFilesAgain(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t), t.TempDir()
	certFile, keyFile := ca.issue(t, dir, "first")
	cfg, err := d1.LoadTLS(d1.TLSFiles{Cert: certFile, Key: keyFile, CA: ca.file})
	if err != nil {
		t.Fatal(err)
	}
	if got := presented(t, cfg); got != "first" {
		t.Errorf("presents %s", got)
	}
	if cfg.MinVersion < tls.VersionTLS12 {
		t.Error("TLS below 1.2 is allowed")
	}
	// In the middle of a change, and when a file is gone, the old one stays.
	newCert, newCertKey := ca.issue(t, t.TempDir(), "second, renewed")
	rename(t, newCert, certFile)
	if got := presented(t, cfg); got != "first" {
		t.Errorf("with half of the new files it presents %s", got)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if got := presented(t, cfg); got != "first" {
		t.Errorf("without a key it presents %s", got)
	}
	rename(t, newCertKey, keyFile)
	if got := presented(t, cfg); got != "second, renewed" {
		t.Errorf("with the new files it presents %s", got)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Minute) // as if some time had passed
	if err := os.Chtimes(to, soon, soon); err != nil {
		t.Fatal(err)
	}
}

func TestLoadTLSRefuses(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certFile, keyFile := ca.issue(t, t.TempDir(), "ours")
	_, otherKey := ca.issue(t, t.TempDir(), "other")
	for name, files := range map[string]d1.TLSFiles{
		"no such CA":            {CA: "/nonexistent"},
		"a CA without any":      {CA: keyFile},
		"a certificate, no key": {Cert: certFile},
		"a key, no certificate": {Key: keyFile},
		"no such certificate":   {Cert: "/nonexistent", Key: keyFile},
		"no such key":           {Cert: certFile, Key: "/nonexistent"},
		"another's key":         {Cert: certFile, Key: otherKey},
	} {
		if _, err := d1.LoadTLS(files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if cfg, err := d1.LoadTLS(d1.TLSFiles{}); err != nil || cfg.RootCAs != nil || cfg.GetClientCertificate != nil {
		t.Errorf("no files: %v", err)
	}
}

func TestLoadSigningKey(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), newKey(t)
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := x509.MarshalPKCS8PrivateKey(p384(t))
	if err != nil {
		t.Fatal(err)
	}
	for kind, c := range map[string]struct {
		der  []byte
		good bool
	}{
		"EC PRIVATE KEY": {sec1, true}, "PRIVATE KEY": {pkcs8, true},
		"WRONG CURVE": {wrong, false}, "BROKEN": {[]byte("x"), false},
	} {
		file := filepath.Join(dir, strings.ReplaceAll(kind, " ", "-"))
		writePEM(t, file, kind, c.der)
		got, err := d1.LoadSigningKey(file)
		if c.good && (err != nil || !key.Equal(got)) || !c.good && err == nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err = d1.LoadSigningKey(filepath.Join(dir, "none")); err == nil {
		t.Error("a missing file: no error")
	}
}

func TestLoadJWEKey(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), newKey(t)
	write := func(name string, public *ecdsa.PublicKey, jwk bool) string {
		file := filepath.Join(dir, name)
		if !jwk {
			der, err := x509.MarshalPKIXPublicKey(public)
			if err != nil {
				t.Fatal(err)
			}
			writePEM(t, file, "PUBLIC KEY", der)
			return file
		}
		content, err := (&jose.JSONWebKey{Key: public, KeyID: "own"}).MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err = os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct {
		file, id, want string
		good           bool
	}{
		{write("jwk", &key.PublicKey, true), "", "own", true},
		{write("jwk", &key.PublicKey, true), "given", "given", true},
		{write("pem", &key.PublicKey, false), "given", "given", true},
		{write("p384.jwk", &p384(t).PublicKey, true), "k", "", false},
		{write("p384.pem", &p384(t).PublicKey, false), "k", "", false},
		{filepath.Join(dir, "none"), "k", "", false},
	} {
		got, err := d1.LoadJWEKey(c.file, c.id)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", c.file, err)
		} else if c.good && (got.ID != c.want || !key.PublicKey.Equal(got.Public)) {
			t.Errorf("%s: id %q", c.file, got.ID)
		}
	}
}
