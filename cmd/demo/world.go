package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"text/template"
	"time"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/drop/sftp/sftptest"
	"cardbatch/jobs"
)

const (
	issuerID   = "DEMOBANK01"
	tokenKeyID = "demo-token-key" //nolint:gosec // the name of a key, not a key
	jweKeyID   = "demo-card-data-key"
	day        = 400 * time.Millisecond // of the Shopfloor
)

// world is everything around the daemon: the bank's SFTP server, Thales, and
// the files that tell the daemon where they are.
type world struct {
	dir    string
	config string // path of the daemon's configuration
	sftp   *sftptest.Server
	d1     *d1sim.Simulator
	closes []func() error
}

//go:embed cardbatch.yaml.tmpl
var configTemplate string

var scheduleLine = regexp.MustCompile(`(?m)^schedule: .*$`)

// newWorld builds it under dir, which must be empty or not exist.
func newWorld(ctx context.Context, dir string, rate int, seed uint64) (_ *world, err error) {
	w := &world{dir: dir, config: filepath.Join(dir, "cardbatch.yaml")}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for _, d := range []string{"sftp/drop", "sftp/archive", "sftp/quarantine", "sftp/reports", "state", "keys", "jobs"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(d)), 0o700); err != nil {
			return nil, err
		}
	}
	k, err := newKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	notifications, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	w.sftp, err = sftptest.Start(sftptest.Config{ //nolint:contextcheck // it lives until it is closed
		Dir:   filepath.Join(dir, "sftp"),
		Users: []sftptest.User{{Name: "cardbatch", Password: k.password}},
	})
	if err != nil {
		return nil, fmt.Errorf("start the SFTP server: %w", err)
	}
	w.closes = append(w.closes, w.sftp.Close)
	base, err := w.startD1(ctx, k, "http://"+notifications, seed)
	if err != nil {
		return nil, fmt.Errorf("start the D1 simulator: %w", err)
	}
	return w, errors.Join(w.writeJobs(), w.writeConfig(base, notifications, rate))
}

func (w *world) close() error {
	var errs []error
	for i := len(w.closes) - 1; i >= 0; i-- {
		errs = append(errs, w.closes[i]())
	}
	return errors.Join(errs...)
}

// startD1 starts the simulator in its worst mode: it makes a card for every
// request that reaches it, repeated or not.
func (w *world) startD1(ctx context.Context, k *keys, notifications string, seed uint64) (string, error) {
	sim, err := d1sim.New(d1sim.Config{
		Seed: seed,
		Issuers: []d1sim.Issuer{{
			ID:      issuerID,
			JWTKeys: map[string]*ecdsa.PublicKey{tokenKeyID: &k.token.PublicKey},
			JWEKeys: map[string]*ecdsa.PrivateKey{jweKeyID: k.cardData},
			Products: []d1sim.Product{
				{ID: "VISA_DEBIT_STD", BINs: []string{"411111"}, Countries: []string{"FR", "DE", "BE", "US"}},
				{ID: "MC_CREDIT_GOLD", BINs: []string{"555555"}, Countries: []string{"FR", "DE", "BE", "US"}},
			},
		}},
		Settings: d1sim.Settings{
			Day:        day,
			Duplicates: d1sim.DuplicatesBlind,
			Production: d1sim.Production{DataException: 0.01, OnHold: 0.01},
		},
		Notifications: d1sim.Notifications{
			URL: notifications, BatchSize: 50, Timeout: 5 * time.Second,
			RetryPlan: []time.Duration{
				500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
			},
		},
		Floor: d1sim.Floor{ShipUndelivered: true},
	})
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: sim.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	sim.Start(ctx)
	w.d1 = sim
	w.closes = append(w.closes, server.Close, func() error { sim.Close(); return nil })
	return "http://" + listener.Addr().String(), nil
}

// writeJobs replaces the jobs that a night of minutes is too short for.
func (w *world) writeJobs() error {
	for _, name := range []string{"track", "status"} {
		builtIn, err := jobs.FS.ReadFile(name + ".yaml")
		if err != nil {
			return err
		}
		often := scheduleLine.ReplaceAll(builtIn, []byte(`schedule: "*/3 * * * *"`))
		if err := os.WriteFile(filepath.Join(w.dir, "jobs", name+".yaml"), often, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) writeConfig(d1, notifications string, rate int) error {
	host, port, err := net.SplitHostPort(w.sftp.Addr())
	if err != nil {
		return err
	}
	t, err := template.New("cardbatch.yaml").Parse(configTemplate)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"SFTPHost": host, "SFTPPort": port, "HostKey": w.sftp.Fingerprint(),
		"Issuer": issuerID, "D1": d1, "TokenKeyID": tokenKeyID, "JWEKeyID": jweKeyID,
		"Rate": rate, "Notifications": notifications,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(w.config, b.Bytes(), 0o600)
}

// keys are made for this one night.
type keys struct {
	token    *ecdsa.PrivateKey // signs the bank's token requests
	cardData *ecdsa.PrivateKey // D1's; the daemon gets the public half
	password string            // of the daemon's SFTP login
}

func newKeys(dir string) (*keys, error) {
	token, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cardData, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tokenDER, err := x509.MarshalPKCS8PrivateKey(token)
	if err != nil {
		return nil, err
	}
	cardDataDER, err := x509.MarshalPKIXPublicKey(&cardData.PublicKey)
	if err != nil {
		return nil, err
	}
	k := &keys{token: token, cardData: cardData, password: rand.Text()}
	files := map[string][]byte{
		"d1-token.pem":     pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: tokenDER}),
		"d1-card-data.pem": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: cardDataDER}),
		"sftp-password":    []byte(k.password + "\n"),
		"sealing.key":      randomKey(),
		"fingerprint.key":  randomKey(),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return k, nil
}

func randomKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return []byte(base64.StdEncoding.EncodeToString(key) + "\n")
}

// freeAddress finds a loopback port for the daemon to listen on. The daemon is
// restarted during the night and must come back on the same one.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
