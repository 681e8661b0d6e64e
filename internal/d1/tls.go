package d1

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// TLSFiles names the PEM files of a mutual TLS set-up.
type TLSFiles struct {
	Cert string // our certificate, followed by its chain; empty: no client certificate
	Key  string // its private key
	CA   string // certificates to trust instead of the system's; empty: the system's
}

// LoadTLS reads the files and returns a client configuration. The certificate
// and key are read again when a file changes, at the next handshake; while
// the new files do not fit together, as in the middle of their replacement, the
// old ones stay in use. The CA file is read once.
func LoadTLS(files TLSFiles) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if files.CA != "" {
		pem, err := os.ReadFile(files.CA)
		if err != nil {
			return nil, fmt.Errorf("read D1's CA: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read D1's CA: no certificate in %s", files.CA)
		}
	}
	switch {
	case files.Cert == "" && files.Key == "":
		return cfg, nil
	case files.Cert == "" || files.Key == "":
		return nil, errors.New("a client certificate needs both its file and its key's file")
	}
	source := &certSource{files: files}
	if _, err := source.get(); err != nil {
		return nil, err
	}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return source.get() }
	return cfg, nil
}

func clientTLS(cfg *tls.Config) *tls.Config {
	if cfg == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	out := cfg.Clone()
	out.MinVersion = max(out.MinVersion, tls.VersionTLS12)
	return out
}

// certSource reads a certificate again when its files change.
type certSource struct {
	files TLSFiles

	mu      sync.Mutex
	current *tls.Certificate
	stamp   [2]fileStamp
}

// fileStamp tells one content of a file from the next.
type fileStamp struct {
	modified time.Time
	size     int64
}

func stampOf(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, fmt.Errorf("look at certificate: %w", err)
	}
	return fileStamp{info.ModTime(), info.Size()}, nil
}

func (s *certSource) get() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.reload()
	if s.current == nil {
		return nil, err
	}
	return s.current, nil
}

// reload takes the files over when they have changed and fit together.
func (s *certSource) reload() error {
	cert, err := stampOf(s.files.Cert)
	if err != nil {
		return err
	}
	key, err := stampOf(s.files.Key)
	if err != nil {
		return err
	}
	stamp := [2]fileStamp{cert, key}
	if s.current != nil && s.stamp == stamp {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return fmt.Errorf("load client certificate: %w", err)
	}
	s.current, s.stamp = &pair, stamp
	return nil
}
