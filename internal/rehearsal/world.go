package rehearsal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	_ "embed"
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

// IssuerID is the one issuer of a World.
const IssuerID = "DEMOBANK01"

const (
	tokenKeyID = "demo-token-key" //nolint:gosec // the name of a key, not a key
	jweKeyID   = "demo-card-data-key"
)

// Config says what a World is like. Dir is required.
type Config struct {
	Dir  string // must be empty or not exist
	Seed uint64 // of everything that D1 does at random

	// D1 is how D1 behaves from the start, and Notifications how it notifies;
	// the URL is filled in.
	D1            d1sim.Settings
	Notifications d1sim.Notifications
	Floor         d1sim.Floor
	// WrapD1, when set, stands between the daemon and D1's API.
	WrapD1 func(http.Handler) http.Handler

	// Jobs are made of built-in ones and added to them, by name.
	Jobs map[string]Job
	Pace Pace
}

// Job is a built-in job with another schedule.
type Job struct {
	Like     string // the built-in job; empty: that of the same name
	Schedule string // five cron fields
}

// Pace is the daemon's configuration as far as worlds differ in it. A zero
// value means what a demonstration of some minutes needs.
type Pace struct {
	Rate           int           // requests per second; default 50
	InFlight       int           // default 16
	RequestTimeout time.Duration // default 2 s
	Settle         time.Duration // default 2.5 s
	RetryWait      time.Duration // default 30 s
	ClaimSize      int           // default 500
	Attempts       int           // and answers without sense, before a person is asked; default 8
	SilentAfter    time.Duration // default 30 s
	ReviseEvery    time.Duration // default 10 s
	BatchOrders    int           // so many orders in a request; default one, by the other API
}

func (p Pace) withDefaults() Pace {
	p.Rate = cmp.Or(p.Rate, 50)
	p.InFlight = cmp.Or(p.InFlight, 16)
	p.RequestTimeout = cmp.Or(p.RequestTimeout, 2*time.Second)
	p.Settle = cmp.Or(p.Settle, 2500*time.Millisecond)
	p.RetryWait = cmp.Or(p.RetryWait, 30*time.Second)
	p.ClaimSize = cmp.Or(p.ClaimSize, 500)
	p.Attempts = cmp.Or(p.Attempts, 8)
	p.SilentAfter = cmp.Or(p.SilentAfter, 30*time.Second)
	p.ReviseEvery = cmp.Or(p.ReviseEvery, 10*time.Second)
	return p
}

// World is everything around the daemon: the bank's SFTP server, Thales, and
// the files that tell the daemon where they are.
type World struct {
	ConfigFile string // path of the daemon's configuration
	Receiver   string // host and port where the daemon listens for notifications
	SFTP       *sftptest.Server
	D1         *d1sim.Simulator

	dir    string
	closes []func() error
}

//go:embed cardbatch.yaml.tmpl
var configTemplate string

var (
	nameLine     = regexp.MustCompile(`(?m)^name: .*$`)
	scheduleLine = regexp.MustCompile(`(?m)^schedule: .*$`)
)

// New builds a world and starts what is in it.
func New(ctx context.Context, c Config) (_ *World, err error) {
	w := &World{dir: c.Dir, ConfigFile: filepath.Join(c.Dir, "cardbatch.yaml")}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	for _, d := range []string{"sftp/drop", "sftp/archive", "sftp/quarantine", "sftp/reports", "sftp/changes/archive", "sftp/changes/quarantine", "state", "keys", "jobs"} {
		if err := os.MkdirAll(w.Path(d), 0o700); err != nil {
			return nil, err
		}
	}
	k, err := newKeys(w.Path("keys"))
	if err != nil {
		return nil, err
	}
	if w.Receiver, err = freeAddress(ctx); err != nil {
		return nil, err
	}
	w.SFTP, err = sftptest.Start(sftptest.Config{ //nolint:contextcheck // it lives until it is closed
		Dir:   w.Path("sftp"),
		Users: []sftptest.User{{Name: "cardbatch", Password: k.password}},
	})
	if err != nil {
		return nil, fmt.Errorf("start the SFTP server: %w", err)
	}
	w.closes = append(w.closes, w.SFTP.Close)
	base, err := w.startD1(ctx, k, &c)
	if err != nil {
		return nil, fmt.Errorf("start the D1 simulator: %w", err)
	}
	return w, errors.Join(w.writeJobs(c.Jobs), w.writeConfig(base, c.Pace.withDefaults()))
}

// Path is a place below the world's directory, in slashes.
func (w *World) Path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

// Store is the path of the daemon's database.
func (w *World) Store() string { return w.Path("state/cardbatch.db") }

// OnClose adds something to be done by Close, before what was added earlier.
func (w *World) OnClose(do func() error) { w.closes = append(w.closes, do) }

// Close stops everything but the daemon.
func (w *World) Close() error {
	var errs []error
	for i := len(w.closes) - 1; i >= 0; i-- {
		errs = append(errs, w.closes[i]())
	}
	w.closes = nil
	return errors.Join(errs...)
}

func (w *World) startD1(ctx context.Context, k *keys, c *Config) (string, error) {
	c.Notifications.URL = "http://" + w.Receiver
	sim, err := d1sim.New(d1sim.Config{
		Seed: c.Seed,
		Issuers: []d1sim.Issuer{{
			ID:      IssuerID,
			JWTKeys: map[string]*ecdsa.PublicKey{tokenKeyID: &k.token.PublicKey},
			JWEKeys: map[string]*ecdsa.PrivateKey{jweKeyID: k.cardData},
			Products: []d1sim.Product{
				{ID: "VISA_DEBIT_STD", BINs: []string{"411111"}, Countries: []string{"FR", "DE", "BE", "US"}},
				{ID: "MC_CREDIT_GOLD", BINs: []string{"555555"}, Countries: []string{"FR", "DE", "BE", "US"}},
			},
		}},
		Settings: c.D1, Notifications: c.Notifications, Floor: c.Floor,
	})
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	handler := sim.Handler()
	if c.WrapD1 != nil {
		handler = c.WrapD1(handler)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	sim.Start(ctx)
	w.D1 = sim
	w.closes = append(w.closes, server.Close, func() error { sim.Close(); return nil })
	return "http://" + listener.Addr().String(), nil
}

func (w *World) writeJobs(all map[string]Job) error {
	for name, job := range all {
		text, err := jobs.FS.ReadFile(cmp.Or(job.Like, name) + ".yaml")
		if err != nil {
			return err
		}
		text = nameLine.ReplaceAll(text, []byte("name: "+name))
		text = scheduleLine.ReplaceAll(text, []byte(`schedule: "`+job.Schedule+`"`))
		if err := os.WriteFile(w.Path("jobs/"+name+".yaml"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) writeConfig(d1 string, pace Pace) error {
	host, port, err := net.SplitHostPort(w.SFTP.Addr())
	if err != nil {
		return err
	}
	t, err := template.New("cardbatch.yaml").Parse(configTemplate)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{
		"SFTPHost": host, "SFTPPort": port, "HostKey": w.SFTP.Fingerprint(),
		"Issuer": IssuerID, "D1": d1, "TokenKeyID": tokenKeyID, "JWEKeyID": jweKeyID,
		"Pace": pace, "Notifications": w.Receiver,
	})
	if err != nil {
		return err
	}
	return os.WriteFile(w.ConfigFile, b.Bytes(), 0o600)
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
