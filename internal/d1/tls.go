package d1

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"
)

// TLSFiles names the PEM files of a mutual TLS set-up.
type TLSFiles struct {
	Cert string // our certificate, followed by its chain; empty: no client certificate
	Key  string // its private key
	CA   string // certificates to trust instead of the system's; empty: the system's
}

// Certificate is one certificate that a client uses.
type Certificate struct {
	Use      string // "client" for our own and its chain, "ca" for one that we trust
	File     string
	Name     string // its subject's common name
	NotAfter time.Time
}

// What [Certificate.Use] says.
const (
	UseClient = "client"
	UseCA     = "ca"
)

// identity is whom we show ourselves as and whom we trust, as the files have
// it at this moment.
type identity struct {
	files TLSFiles
	cert  *reread[*tls.Certificate] // nil: no client certificate
	roots *reread[roots]            // nil: the system's
}

type roots struct {
	pool  *x509.CertPool
	certs []*x509.Certificate
}

func newIdentity(files TLSFiles, warn func(error)) (*identity, error) {
	id := &identity{files: files}
	if files.CA != "" {
		r, err := newReread(func() (roots, error) { return loadRoots(files.CA) }, files.CA)
		if err != nil {
			return nil, fmt.Errorf("read D1's CA: %w", err)
		}
		r.warn = naming("D1's new CA file cannot be used", warn)
		id.roots = r
	}
	switch {
	case files.Cert == "" && files.Key == "":
		return id, nil
	case files.Cert == "" || files.Key == "":
		return nil, errors.New("a client certificate needs both its file and its key's file")
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		return &pair, err //nolint:wrapcheck // newReread's callers say what was loaded
	}
	r, err := newReread(load, files.Cert, files.Key)
	if err != nil {
		return nil, fmt.Errorf("load client certificate: %w", err)
	}
	r.warn = naming("the new client certificate cannot be used", warn)
	id.cert = r
	return id, nil
}

// naming puts what it is about before a warning. A nil hook stays nil.
func naming(what string, warn func(error)) func(error) {
	if warn == nil {
		return nil
	}
	return func(err error) { warn(fmt.Errorf("%s, %w", what, err)) }
}

// loadRoots reads a bundle. Unlike x509.AppendCertsFromPEM it takes all of it
// or nothing: half a bundle is a file that is being written.
func loadRoots(file string) (roots, error) {
	content, err := os.ReadFile(file) //nolint:gosec // the operator names the file in the configuration
	if err != nil {
		return roots{}, err //nolint:wrapcheck // the callers say what was read
	}
	r := roots{pool: x509.NewCertPool()}
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			break
		}
		content = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return roots{}, fmt.Errorf("parse certificate %d of %s: %w", len(r.certs)+1, file, err)
		}
		r.pool.AddCert(cert)
		r.certs = append(r.certs, cert)
	}
	switch {
	case len(r.certs) == 0:
		return roots{}, fmt.Errorf("no certificate in %s", file)
	case bytes.Contains(content, []byte("-----BEGIN")):
		return roots{}, fmt.Errorf("%s ends inside a certificate", file)
	}
	return r, nil
}

// config returns the configuration for one connection.
func (id *identity) config() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if id.roots != nil {
		cfg.RootCAs = id.roots.get().pool
	}
	if id.cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return id.cert.get(), nil }
	}
	return cfg
}

// certificates returns all that is in use.
func (id *identity) certificates() []Certificate {
	var all []Certificate
	if id.cert != nil {
		for _, der := range id.cert.get().Certificate {
			if cert, err := x509.ParseCertificate(der); err == nil {
				all = append(all, Certificate{UseClient, id.files.Cert, cert.Subject.CommonName, cert.NotAfter})
			}
		}
	}
	if id.roots != nil {
		for _, cert := range id.roots.get().certs {
			all = append(all, Certificate{UseCA, id.files.CA, cert.Subject.CommonName, cert.NotAfter})
		}
	}
	return all
}

// clientTLS returns what makes the configuration of each new connection: from
// the files when there are any, else from the fixed one.
func clientTLS(cfg Config, id *identity) func() *tls.Config {
	if id != nil {
		return id.config
	}
	fixed := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		fixed = cfg.TLS.Clone()
		fixed.MinVersion = max(fixed.MinVersion, tls.VersionTLS12)
	}
	return fixed.Clone
}
