package d1_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"cardbatch/internal/d1"
)

func TestTLSFilesRefused(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certFile, keyFile := ca.issue(t, t.TempDir(), "ours")
	_, otherKey := ca.issue(t, t.TempDir(), "other")
	good := d1.Config{
		IssuerID: testIssuer, BaseURL: "https://d1.invalid", TokenURL: "https://d1.invalid",
		Token: d1.Token{KeyID: "jwt-1", Key: newKey(t)}, TLSFiles: d1.TLSFiles{Cert: certFile, Key: keyFile, CA: ca.file},
	}
	if _, err := d1.New(good); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]d1.TLSFiles{
		"no such CA":            {CA: "/nonexistent"},
		"a CA without any":      {CA: keyFile},
		"a certificate, no key": {Cert: certFile},
		"a key, no certificate": {Key: keyFile},
		"no such certificate":   {Cert: "/nonexistent", Key: keyFile},
		"no such key":           {Cert: certFile, Key: "/nonexistent"},
		"another's key":         {Cert: certFile, Key: otherKey},
	} {
		cfg := good
		cfg.TLSFiles = files
		if _, err := d1.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
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
