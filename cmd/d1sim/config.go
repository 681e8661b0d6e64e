package main

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/goccy/go-yaml"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
)

// options are the configuration file; flags set the same fields. Relative
// paths in the file are relative to it.
type options struct {
	// Listen is the address of D1's API. Default 127.0.0.1:8443.
	Listen string `yaml:"listen"`
	// Admin is the address of the admin endpoint. Default 127.0.0.1:8444.
	Admin string `yaml:"admin"`
	// TLS is off, server or mutual (default): mutual also checks that the
	// client certificate names the issuer.
	TLS string `yaml:"tls"`
	// Dir holds certificates and keys; it is filled when it holds none.
	// Default: d1sim in the user's cache directory.
	Dir string `yaml:"dir"`
	// Hosts are names and addresses for the server's certificate, when it is made.
	Hosts []string `yaml:"hosts"`
	// Issuer is the issuer's id, 10 characters. Default SIMBANK_01.
	Issuer string `yaml:"issuer"`
	// Audience, when given, must stand in the claim aud of assertions.
	Audience string `yaml:"audience"`
	// TokenKeys are public keys of an issuer who brings its own: key id to a
	// PEM or JWK file.
	TokenKeys map[string]string `yaml:"token_keys"`
	// CardDataKeys are further private keys of D1's, JWK files with a kid.
	CardDataKeys []string `yaml:"card_data_keys"`
	// NotifyCA is the PEM file of who signed the issuer's server certificate.
	// Default: the system's authorities and this simulator's own.
	NotifyCA string `yaml:"notify_ca_file"`
	// OAuthSecret holds the client secret of notifications.oauth.
	OAuthSecret string `yaml:"oauth_secret_file"`
	// TimeZone of the center, an IANA name. Default UTC.
	TimeZone string `yaml:"time_zone"`
	// Seed of every random choice. Default: another one every time.
	Seed uint64 `yaml:"seed"`

	TokenLifetime             time.Duration `yaml:"token_lifetime"`
	ReuseTokens               bool          `yaml:"reuse_tokens"`
	NamePattern               string        `yaml:"name_pattern"`
	NameOptional              bool          `yaml:"name_optional"`
	IndividualAddressOptional bool          `yaml:"individual_address_optional"`
	LeafFieldNames            bool          `yaml:"leaf_field_names"`
	BatchPath                 string        `yaml:"batch_path"`
	MaxBatchBody              int64         `yaml:"max_batch_body"`
	ChangePath                string        `yaml:"change_path"`
	// Events is how many requests and notifications /admin/events shows. Default 10000.
	Events int `yaml:"events"`

	Products      []d1sim.Product     `yaml:"products"`
	Settings      d1sim.Settings      `yaml:"settings"`
	Notifications d1sim.Notifications `yaml:"notifications"`
	Floor         d1sim.Floor         `yaml:"floor"`
}

// defaultOptions are those of a first try: Thales' assumed limits, and a day
// that takes a minute.
func defaultOptions() options {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return options{
		Listen: "127.0.0.1:8443", Admin: "127.0.0.1:8444", TLS: "mutual", Dir: filepath.Join(cache, "d1sim"), Issuer: "SIMBANK_01",
		Settings: d1sim.Settings{Day: time.Minute, RateLimit: d1sim.RateLimit{PerSecond: 20, Burst: 40}},
	}
}

// readFile lays a configuration file over the options. A name it does not know
// is an error that shows line and column.
func (o *options) readFile(path string) error {
	doc, err := os.ReadFile(path) //nolint:gosec // whoever runs the simulator names the file
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(doc, o, yaml.Strict()); err != nil {
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	base := filepath.Dir(path)
	for kid, f := range o.TokenKeys {
		o.TokenKeys[kid] = absolute(base, f)
	}
	for i, f := range o.CardDataKeys {
		o.CardDataKeys[i] = absolute(base, f)
	}
	for _, f := range []*string{&o.Dir, &o.NotifyCA, &o.OAuthSecret} {
		*f = absolute(base, *f)
	}
	return nil
}

func absolute(base, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

func (o *options) validate() error {
	if len(o.Issuer) != 10 {
		return fmt.Errorf("issuer %q has %d characters, not 10", o.Issuer, len(o.Issuer))
	}
	switch o.TLS {
	case "off", "server", "mutual":
		return nil
	}
	return fmt.Errorf("tls is %q, want off, server or mutual", o.TLS)
}

// simulator turns the options and the key material into a configuration.
func (o *options) simulator(m *simkeys.Material) (d1sim.Config, error) {
	is := m.Keys.Issuer(o.Products...)
	is.Audience = o.Audience
	for kid, path := range o.TokenKeys {
		key, err := readPublic(path)
		if err != nil {
			return d1sim.Config{}, err
		}
		is.JWTKeys[kid] = key
	}
	for _, path := range o.CardDataKeys {
		key, kid, err := simkeys.ReadJWK(path)
		if err != nil {
			return d1sim.Config{}, err
		}
		is.JWEKeys[kid] = key
	}
	c := d1sim.Config{
		Issuers: []d1sim.Issuer{is}, Settings: o.Settings, Notifications: o.Notifications, Floor: o.Floor,
		TokenLifetime: o.TokenLifetime, ReuseTokens: o.ReuseTokens, NamePattern: o.NamePattern,
		NameOptional: o.NameOptional, IndividualAddressOptional: o.IndividualAddressOptional,
		LeafFieldNames: o.LeafFieldNames, BatchPath: o.BatchPath,
		MaxBatchBody: o.MaxBatchBody, ChangePath: o.ChangePath,
		CheckClientName: o.TLS == "mutual", Seed: o.Seed, Events: o.Events,
	}
	var err error
	if c.Floor.TimeZone, err = time.LoadLocation(o.TimeZone); err != nil {
		return c, fmt.Errorf("time_zone: %w", err)
	}
	if o.OAuthSecret != "" {
		secret, err := os.ReadFile(o.OAuthSecret)
		if err != nil {
			return c, fmt.Errorf("read OAuth secret: %w", err)
		}
		c.Notifications.OAuth.ClientSecret = strings.TrimSpace(string(secret))
	}
	c.Notifications.TLS, err = o.notifierTLS(m)
	return c, err
}

// notifierTLS is how D1 speaks to the issuer.
func (o *options) notifierTLS(m *simkeys.Material) (*tls.Config, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AddCert(m.CA.Cert)
	if o.NotifyCA != "" {
		b, err := os.ReadFile(o.NotifyCA)
		if err != nil {
			return nil, fmt.Errorf("read notify_ca_file: %w", err)
		}
		if pool = x509.NewCertPool(); !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("read notify_ca_file: no certificate in %s", o.NotifyCA)
		}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{m.Notifier}}, nil
}

// readPublic reads a public P-256 key, PEM or JWK.
func readPublic(path string) (*ecdsa.PublicKey, error) {
	b, err := os.ReadFile(path) //nolint:gosec // whoever runs the simulator names the file
	if err != nil {
		return nil, fmt.Errorf("read token key: %w", err)
	}
	var key any
	if block, _ := pem.Decode(b); block != nil {
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	} else {
		var j jose.JSONWebKey
		err = j.UnmarshalJSON(b)
		key = j.Key
	}
	if err != nil {
		return nil, fmt.Errorf("read token key %s: %w", path, err)
	}
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("read token key %s: %w", path, errors.New("not a public elliptic curve key"))
	}
	return k, nil
}
