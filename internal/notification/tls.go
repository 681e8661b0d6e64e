package notification

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// TLSFiles names the PEM files of the listener and says whom it lets in.
type TLSFiles struct {
	Cert string // our certificate, followed by its chain; required
	Key  string // its private key; required
	// ClientCA holds the authorities whose client certificates are accepted, any
	// number of them. Empty: none is asked for. Certificates are never pinned: D1
	// changes its own when it likes.
	ClientCA string
	// ClientNames are patterns, with * for anything, one of which the certificate's
	// common name or one of its DNS names must match. Empty: any name.
	ClientNames []string
}

// errClientName says that a certificate is good, but not one we know the name of.
var errClientName = errors.New("the client certificate has a name that is not allowed")

// LoadTLS reads the files and returns a configuration that reads them again when
// one changes, at the next handshake. While the new ones do not fit together, as
// in the middle of their replacement, the old ones stay in use and log says so, once.
//
// TLS sessions are not resumed: with the full handshake an authority that was
// taken out of the file is out at once.
func LoadTLS(files TLSFiles, log zerolog.Logger) (*tls.Config, error) {
	if files.Cert == "" || files.Key == "" {
		return nil, errors.New("TLS for notifications needs a certificate and its key")
	}
	s := &tlsSource{files: files, log: log}
	for _, p := range files.ClientNames {
		s.names = append(s.names, regexp.MustCompile(`(?i)^`+strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, `.*`)+`$`))
	}
	current, err := s.load()
	if err != nil {
		return nil, err
	}
	s.current, s.stamp = current, s.look()
	cfg := current.Clone()
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.get(), nil }
	return cfg, nil
}

// tlsSource holds what was last read from the files.
type tlsSource struct {
	files TLSFiles
	names []*regexp.Regexp
	log   zerolog.Logger

	mu      sync.Mutex
	current *tls.Config
	stamp   [3]fileStamp
}

// fileStamp tells one content of a file from the next.
type fileStamp struct {
	modified time.Time
	info     os.FileInfo // knows which file it is, when another took its name
	size     int64
}

func (s fileStamp) same(other fileStamp) bool {
	sameFile := s.info == nil && other.info == nil || s.info != nil && other.info != nil && os.SameFile(s.info, other.info)
	return sameFile && s.size == other.size && s.modified.Equal(other.modified)
}

func (s *tlsSource) look() (stamps [3]fileStamp) {
	for i, path := range []string{s.files.Cert, s.files.Key, s.files.ClientCA} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil {
			stamps[i] = fileStamp{modified: info.ModTime(), info: info, size: info.Size()}
		}
	}
	return stamps
}

func (s *tlsSource) get() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := s.look()
	if stamp[0].same(s.stamp[0]) && stamp[1].same(s.stamp[1]) && stamp[2].same(s.stamp[2]) {
		return s.current
	}
	s.stamp = stamp // also when they are bad: tried again, and logged, at the next change only
	next, err := s.load()
	if err != nil {
		s.log.Error().Str("stage", stage).Err(err).Msg("the listener's certificates have changed and cannot be used; the old ones stay in use")
		return s.current
	}
	s.current = next
	s.log.Info().Str("stage", stage).Msg("the listener's certificates were read again")
	return s.current
}

func (s *tlsSource) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		return nil, fmt.Errorf("load the listener's certificate: %w", err)
	}
	cfg := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		NextProtos: []string{"h2", "http/1.1"}, SessionTicketsDisabled: true,
	}
	if s.files.ClientCA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(s.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read the authorities of client certificates: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read the authorities of client certificates: no certificate in %s", s.files.ClientCA)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if len(s.names) > 0 {
		cfg.VerifyConnection = s.checkName
	}
	return cfg, nil
}

func (s *tlsSource) checkName(state tls.ConnectionState) error {
	leaf := state.PeerCertificates[0] // there is one: it was verified
	for _, name := range append([]string{leaf.Subject.CommonName}, leaf.DNSNames...) {
		if slices.ContainsFunc(s.names, func(p *regexp.Regexp) bool { return p.MatchString(name) }) {
			return nil
		}
	}
	return errClientName
}

// handshakeReason sorts the error of a TLS handshake.
func handshakeReason(err error) Reason {
	var (
		verification *tls.CertificateVerificationError
		invalid      x509.CertificateInvalidError
		authority    x509.UnknownAuthorityError
	)
	switch {
	case errors.Is(err, errClientName):
		return CertificateName
	case errors.As(err, &verification):
		switch {
		case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
			return CertificateExpired
		case errors.As(err, &authority):
			return CertificateAuthority
		}
		return CertificateInvalid
	case strings.Contains(err.Error(), "client didn't provide a certificate"): // crypto/tls has no type for it
		return NoCertificate
	case isTimeout(err):
		return SlowHandshake
	}
	return BadHandshake
}
