package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/ops"
)

const issuerID = "DEMO_BANK1"

// world is all that a cardbatch needs around it, in a directory of its own: a
// drop, a D1 simulator, keys, and a configuration.
type world struct {
	dir string
	sim *d1sim.Simulator
	cfg *config.Config
	log *lockedBuffer

	ahead atomic.Int64 // how far the clock of cardbatch is ahead
}

func (w *world) now() time.Time { return time.Now().UTC().Add(time.Duration(w.ahead.Load())) }

// wait lets time pass for cardbatch.
func (w *world) wait(d time.Duration) { w.ahead.Add(int64(d)) }

// lockedBuffer takes log lines from many goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newWorld(tb testing.TB, change ...func(*d1sim.Config)) *world {
	tb.Helper()
	w := &world{dir: tb.TempDir(), log: &lockedBuffer{}}
	for _, dir := range []string{"jobs", "drop/drop", "drop/archive", "drop/quarantine", "drop/reports"} {
		must(tb, os.MkdirAll(filepath.Join(w.dir, dir), 0o700))
	}
	token, jwe := w.key(tb, "token.pem", true), w.key(tb, "jwe.pem", false)
	for _, name := range []string{"seal.key", "fingerprint.key"} {
		secret := make([]byte, 32)
		_, _ = rand.Read(secret)
		w.write(tb, name, hex.EncodeToString(secret))
	}
	// Jobs run only when the test says so.
	for name, stage := range map[string]string{"pickup": "pickup", "submit": "submit", "track": "track", "change": "change", "report": "report", "status": "report", "exceptions": "report"} {
		text := fmt.Sprintf("name: %s\nstage: %s\nschedule: \"0 0 1 1 *\"\ntime_zone: Europe/Paris\n", name, stage)
		switch name {
		case "report":
			text += "select: {reports: [receipt, reconciliation]}\n"
		case "status":
			text += "select: {reports: [status]}\n"
		case "exceptions":
			text += "select: {reports: [exceptions]}\n"
		}
		w.write(tb, "jobs/"+name+".yaml", text)
	}

	var err error
	simulated := d1sim.Config{
		Issuers: []d1sim.Issuer{{ID: issuerID, JWTKeys: map[string]*ecdsa.PublicKey{"t1": &token.PublicKey},
			JWEKeys: map[string]*ecdsa.PrivateKey{"j1": jwe}}},
		Settings: d1sim.Settings{Day: 5 * time.Millisecond}, Now: w.now,
	}
	for _, c := range change {
		c(&simulated)
	}
	w.sim, err = d1sim.New(simulated)
	must(tb, err)
	w.sim.Start(tb.Context())
	tb.Cleanup(w.sim.Close)
	server := httptest.NewServer(w.sim.Handler())
	tb.Cleanup(server.Close)

	w.write(tb, "cardbatch.yaml", strings.ReplaceAll(configText, "{{D1}}", server.URL))
	w.cfg, err = config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(tb, err)
	return w
}

const configText = `
node: test
state_dir: state
jobs_dir: jobs
drain_timeout: 5s
log: {level: debug}
keys:
  sealing: {current: k1, keys: [{id: k1, file: seal.key}]}
  fingerprint_file: fingerprint.key
drops: [{name: bank, type: localdir, root: drop}]
issuers:
  - id: DEMO_BANK1
    environment: TEST
    time_zone: Europe/Paris
    d1:
      base_url: "{{D1}}/banking/v1"
      token_url: "{{D1}}/authz/v1/oauth2/token"
      token: {key_id: t1, key_file: token.pem}
      jwe_keys: [{kid: j1, file: jwe.pem}]
    rate: {requests_per_second: 1000}
products:
  - id: VISA_DEBIT_STD
    bin_ranges: [{low: "411111", high: "411112"}]
    priorities: [STANDARD, URGENT]
    urgent_priorities: [URGENT]
    deliveries: [usps-imb, laposte-cip, NO_SHIPMENT]
    card_carriers: [std-carrier]
    packagings: [standard-envelope]
    packaging_inserts: [welcome-letter, terms-and-conditions-v3]
    countries: [FR, DE, BE, US]
    chip_config: visa-di-01
    oda_key_index: "01"
    derivation_key_index: "01"
  - id: MC_CREDIT_GOLD
    bin_ranges: [{low: "555555"}]
    priorities: [STANDARD, URGENT]
    deliveries: [usps-imb, laposte-cip, NO_SHIPMENT]
    card_carriers: [std-carrier]
    packagings: [standard-envelope]
    packaging_inserts: [welcome-letter, terms-and-conditions-v3]
    countries: [FR, DE, BE, US]
    chip_config: mc-di-01
    oda_key_index: "01"
    derivation_key_index: "01"
sources: [{name: core, issuer: DEMO_BANK1, drop: bank}]
reports: {revise_every: 1ms}
notifications: {listen: "127.0.0.1:0"}
`

// key makes a P-256 key and writes the half of it that cardbatch has.
func (w *world) key(tb testing.TB, name string, private bool) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	kind := "PUBLIC KEY"
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if private {
		kind = "PRIVATE KEY"
		der, err = x509.MarshalPKCS8PrivateKey(key)
	}
	must(tb, err)
	w.write(tb, name, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	return key
}

func (w *world) write(tb testing.TB, name, text string) {
	tb.Helper()
	must(tb, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
}

// dropSample drops a sample order file, the control file last.
func (w *world) dropSample(tb testing.TB, name string) {
	tb.Helper()
	for _, file := range []string{name, name + ".ctl"} {
		data, err := os.ReadFile("../../samples/orders/" + file)
		must(tb, err)
		w.write(tb, "drop/drop/"+file, string(data))
	}
}

// start builds a cardbatch and lets it serve until the returned stop, or the
// test's end.
func (w *world) start(tb testing.TB) (a *app.App, stop func()) {
	tb.Helper()
	a, err := app.New(tb.Context(), app.Options{Config: w.cfg, Version: "test", Now: w.now, Migrate: true, Listen: true,
		Logger: ops.NewLogger(w.log, "debug", "json", w.now)})
	must(tb, err)
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Serve(ctx) }()
	scheme := "http://"
	if w.cfg.Notifications.CertFile != "" {
		scheme = "https://"
	}
	must(tb, w.sim.Adjust(func(s *d1sim.Settings) { s.NotificationURL = scheme + a.Addr().String() }))
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				tb.Errorf("serve: %v", err)
			}
			if err := a.Close(); err != nil {
				tb.Errorf("close: %v", err)
			}
		})
	}
	tb.Cleanup(stop)
	return a, stop
}

// files lists the names below a directory of the world.
func (w *world) files(tb testing.TB, dir string) []string {
	tb.Helper()
	entries, err := os.ReadDir(filepath.Join(w.dir, dir))
	must(tb, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
