package simkeys

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-jose/go-jose/v4"
)

// Material is what a directory of key material holds:
//
//	ca.pem, ca.key.pem                the authority of all certificates here
//	d1-server.pem, d1-server.key.pem  D1's server certificate
//	d1-client.pem, d1-client.key.pem  D1's certificate when it notifies
//	issuer.pem, issuer.key.pem        the issuer's client certificate (mutual TLS)
//	issuer-token.key.pem              the issuer's private key for assertions
//	d1-card-data.jwk                  D1's public key for encryptedData
//	d1-card-data.key.jwk              and its private half
//
// The issuer is given ca.pem, issuer.*, issuer-token.key.pem and d1-card-data.jwk.
type Material struct {
	Keys     *Keys
	CA       *CA
	Server   tls.Certificate
	Notifier tls.Certificate
	Client   tls.Certificate
}

// NewMaterial makes everything anew, in memory. The hosts are the server's
// names and addresses.
func NewMaterial(issuerID string, hosts []string) (*Material, error) {
	m := &Material{}
	var err error
	if m.Keys, err = New(issuerID); err != nil {
		return nil, err
	}
	if m.CA, err = NewCA(); err != nil {
		return nil, err
	}
	if m.Server, err = m.CA.Server(hosts...); err != nil {
		return nil, err
	}
	if m.Notifier, err = m.CA.Client("D1 simulator"); err != nil {
		return nil, err
	}
	m.Client, err = m.CA.Client(ClientName(issuerID))
	return m, err
}

// OpenDir reads the material of a directory; an empty or missing one is filled
// first. It never overwrites a file. created says that it was filled.
func OpenDir(dir, issuerID string, hosts []string) (m *Material, created bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, "ca.pem")); err == nil {
		m, err := readDir(dir, issuerID)
		return m, false, err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("open key directory: %w", err)
	}
	if m, err = NewMaterial(issuerID, hosts); err != nil {
		return nil, false, err
	}
	return m, true, m.write(dir)
}

// RenewClient replaces the issuer's client certificate and its key in a filled
// directory, each by a rename, the key first: what reads them again on a change
// can meet the pair half replaced, as in real life.
func (m *Material) RenewClient(dir string) error {
	c, err := m.CA.Client(m.Client.Leaf.Subject.CommonName)
	if err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(dir, ".renew-")
	if err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	w := writer{dir: fresh}
	w.key("issuer.key.pem", c.PrivateKey)
	w.put("issuer.pem", 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	err = w.err
	for _, name := range []string{"issuer.key.pem", "issuer.pem"} {
		if err == nil {
			err = os.Rename(filepath.Join(fresh, name), filepath.Join(dir, name))
		}
	}
	if err = errors.Join(err, os.RemoveAll(fresh)); err != nil {
		return fmt.Errorf("renew certificate: %w", err)
	}
	m.Client = c
	return nil
}

func (m *Material) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make key directory: %w", err)
	}
	public, err := json.MarshalIndent(m.Keys.JWEPublicKey(), "", "  ")
	if err != nil {
		return fmt.Errorf("write JWE key: %w", err)
	}
	private, err := json.Marshal(jose.JSONWebKey{Key: m.Keys.JWEKey, KeyID: m.Keys.JWEKeyID})
	if err != nil {
		return fmt.Errorf("write JWE key: %w", err)
	}
	w := writer{dir: dir}
	w.put("d1-card-data.jwk", 0o644, append(public, '\n'))
	w.put("d1-card-data.key.jwk", 0o600, private)
	w.key("issuer-token.key.pem", m.Keys.JWTKey)
	for name, c := range map[string]tls.Certificate{"d1-server": m.Server, "d1-client": m.Notifier, "issuer": m.Client} {
		w.key(name+".key.pem", c.PrivateKey)
		w.put(name+".pem", 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	}
	w.key("ca.key.pem", m.CA.Key)
	w.put("ca.pem", 0o644, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.CA.Cert.Raw}))
	return w.err
}

// writer keeps the first error.
type writer struct {
	dir string
	err error
}

func (w *writer) put(name string, mode fs.FileMode, content []byte) {
	if w.err != nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(w.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // whoever runs the simulator names the directory
	if err == nil {
		_, err = f.Write(content)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		w.err = fmt.Errorf("write %s: %w", name, err)
	}
}

func (w *writer) key(name string, key any) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.err = errors.Join(w.err, fmt.Errorf("write %s: %w", name, err))
		return
	}
	w.put(name, 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func readDir(dir, issuerID string) (*Material, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	pair := func(name string) (tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(in(name+".pem"), in(name+".key.pem"))
		if err != nil {
			return c, fmt.Errorf("read %s: %w", name, err)
		}
		return c, nil
	}
	k, err := New(issuerID)
	if err != nil {
		return nil, err
	}
	m := &Material{Keys: k}
	if k.JWTKey, err = ReadPEMKey(in("issuer-token.key.pem")); err != nil {
		return nil, err
	}
	if k.JWEKey, k.JWEKeyID, err = ReadJWK(in("d1-card-data.key.jwk")); err != nil {
		return nil, err
	}
	ca, err := pair("ca")
	if err != nil {
		return nil, err
	}
	key, ok := ca.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("read ca: not an elliptic curve key")
	}
	m.CA = &CA{Cert: ca.Leaf, Key: key}
	if m.Server, err = pair("d1-server"); err != nil {
		return nil, err
	}
	if m.Notifier, err = pair("d1-client"); err != nil {
		return nil, err
	}
	m.Client, err = pair("issuer")
	return m, err
}

// ReadPEMKey reads a private P-256 key in PKCS #8.
func ReadPEMKey(path string) (*ecdsa.PrivateKey, error) {
	b, err := os.ReadFile(path) //nolint:gosec // whoever runs the simulator names the file
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("read key: no PEM in %s", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read key %s: not an elliptic curve key", path)
	}
	return k, nil
}

// ReadJWK reads a private key and its id.
func ReadJWK(path string) (*ecdsa.PrivateKey, string, error) {
	b, err := os.ReadFile(path) //nolint:gosec // whoever runs the simulator names the file
	if err != nil {
		return nil, "", fmt.Errorf("read key: %w", err)
	}
	var j jose.JSONWebKey
	if err := j.UnmarshalJSON(b); err != nil {
		return nil, "", fmt.Errorf("read key %s: %w", path, err)
	}
	k, ok := j.Key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, "", fmt.Errorf("read key %s: not a private elliptic curve key", path)
	}
	return k, j.KeyID, nil
}
