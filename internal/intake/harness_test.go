package intake_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/d1"
	"cardbatch/internal/drop"
	"cardbatch/internal/drop/localdir"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/sealed"
	"cardbatch/internal/store"
	"cardbatch/internal/validate"
)

const issuerID = "TESTBANK01"

var night = time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)

// bench is a bank's drop, a store and the stage between them.
type bench struct {
	tb    testing.TB
	dir   string
	drop  *faultyDrop
	path  string // of the store
	store *store.Store
	close func()
	logs  *bytes.Buffer
	cfg   intake.Config
	now   time.Time
	pages int // of the store, beyond which the disk counts as full
}

func newBench(tb testing.TB) *bench {
	tb.Helper()
	b := newBenchAt(tb, tb.TempDir(), filepath.Join(tb.TempDir(), "cardbatch.db"))
	b.open()
	return b
}

// newBenchAt is a bench on what may be there already. Its store is not open.
func newBenchAt(tb testing.TB, dir, store string) *bench {
	tb.Helper()
	b := &bench{tb: tb, dir: dir, path: store, logs: &bytes.Buffer{}, now: night}
	for _, d := range []string{"drop", "archive", "quarantine"} {
		b.must(os.MkdirAll(filepath.Join(b.dir, d), 0o700))
	}
	local, err := localdir.New(b.dir)
	b.must(err)
	tb.Cleanup(func() { b.must(local.Close()) })
	b.drop = &faultyDrop{Drop: local}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b.must(err)
	encoder, err := d1.NewEncoder(d1.EncoderConfig{
		JWEKeys: []d1.JWEKey{{ID: "test-key", Public: &key.PublicKey}}, Products: sample.Products(),
	})
	b.must(err)
	ring, err := sealed.NewKeyring("k1", map[string][]byte{"k1": make([]byte, 32)})
	b.must(err)
	b.cfg = intake.Config{
		Sealer: ring, Fingerprint: cardholder.NewFingerprinter(make([]byte, 32)),
		Workers: 2, Now: func() time.Time { return b.now }, Logger: zerolog.New(b.logs),
		Sources: []intake.Source{{
			Name: "core", IssuerID: issuerID, Environment: "TEST", Location: time.UTC,
			Drop: b.drop, Directory: "drop", Archive: "archive", Quarantine: "quarantine", Pattern: "*.csv",
			Completion: intake.Completion{Control: true}, Accept: intake.AcceptRows, MaxRejects: 1,
			MaxBytes: 1 << 30, MaxRows: issuance.MaxRows, Encoder: encoder,
			Rules: func(now time.Time) intake.Checker {
				return validate.New(validate.Rules{Products: sample.Products(), Now: now})
			},
		}},
	}
	return b
}

// open starts a process: the store, a session and the stage's configuration.
func (b *bench) open() {
	b.tb.Helper()
	ctx := context.Background()
	_, err := store.Migrate(ctx, store.Config{Path: b.path})
	b.must(err)
	s, err := store.Open(ctx, store.Config{Path: b.path, Now: b.cfg.Now, MaxPages: b.pages})
	b.must(err)
	session, err := s.StartSession(ctx, "test")
	b.must(err)
	b.store, b.cfg.Store, b.cfg.Session = s, s, session
	b.close = sync.OnceFunc(func() { b.must(s.Close()) })
	b.tb.Cleanup(b.close)
}

// restart is what a crash leaves: another process on the same file.
func (b *bench) restart() {
	b.tb.Helper()
	b.close()
	b.open()
}

// wait lets time pass, which runs at no other time.
func (b *bench) wait(d time.Duration) { b.now = b.now.Add(d) }

func (b *bench) source() *intake.Source { return &b.cfg.Sources[0] }

func (b *bench) run() (intake.Summary, error) {
	b.tb.Helper()
	stage, err := intake.New(b.cfg)
	b.must(err)
	return stage.RunOnce(b.tb.Context())
}

func (b *bench) mustRun() intake.Summary {
	b.tb.Helper()
	sum, err := b.run()
	b.must(err)
	b.must(b.store.Balance(b.tb.Context()))
	return sum
}

func (b *bench) must(err error) {
	b.tb.Helper()
	if err != nil {
		b.tb.Fatal(err)
	}
}

// write puts a file into the drop.
func (b *bench) write(name string, content []byte) {
	b.tb.Helper()
	b.must(os.WriteFile(filepath.Join(b.dir, "drop", name), content, 0o600))
}

// generated is a good file that can be spoilt before it is dropped.
type generated struct {
	content []byte
	control issuance.Control
	file    sample.File
	clear   []string
}

func (b *bench) generate(name string, sequence int64, o sample.Options) *generated {
	b.tb.Helper()
	g := &generated{}
	o.Now, o.Clear = night, func(v string) { g.clear = append(g.clear, v) }
	var buf bytes.Buffer
	var err error
	g.file, err = sample.Generate(&buf, o)
	b.must(err)
	g.content = buf.Bytes()
	g.control = g.file.Control(name, issuerID, sequence, "2026-03-01", night)
	return g
}

func (b *bench) drops(g *generated) {
	b.tb.Helper()
	b.write(g.control.File, g.content)
	ctl, err := orderfile.EncodeControl(g.control)
	b.must(err)
	b.write(g.control.File+".ctl", ctl)
}

// only returns the one batch there is.
func (b *bench) only() issuance.Batch {
	b.tb.Helper()
	all, err := b.store.Batches(b.tb.Context(), issuance.BatchFilter{})
	b.must(err)
	if len(all) != 1 {
		b.tb.Fatalf("there are %d batches, want 1", len(all))
	}
	return all[0]
}

func (b *bench) totals(no issuance.BatchNo) issuance.Totals {
	b.tb.Helper()
	t, err := b.store.BatchTotals(b.tb.Context(), no)
	b.must(err)
	return t
}

func (b *bench) orders(no issuance.BatchNo) []issuance.Order {
	b.tb.Helper()
	var all []issuance.Order
	for o, err := range b.store.OrdersOfBatch(b.tb.Context(), no) {
		b.must(err)
		all = append(all, o)
	}
	return all
}

// batches returns all batches in order of arrival.
func (b *bench) batches() []issuance.Batch {
	b.tb.Helper()
	all, err := b.store.Batches(b.tb.Context(), issuance.BatchFilter{})
	b.must(err)
	return all
}

// files lists a directory of the drop.
func (b *bench) files(dir string) []string {
	b.tb.Helper()
	entries, err := os.ReadDir(filepath.Join(b.dir, dir))
	b.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// faultyDrop fails the n-th call, once, before or after it is done.
type faultyDrop struct {
	drop.Drop
	failAt int // counted from 1; 0: never
	after  bool
	calls  int
}

var errInjected = fmt.Errorf("injected: %w", drop.ErrUnavailable)

func (d *faultyDrop) fails() bool {
	d.calls++
	return d.calls == d.failAt
}

func (d *faultyDrop) List(ctx context.Context, dir string) ([]drop.Entry, error) {
	if d.fails() {
		return nil, errInjected
	}
	return d.Drop.List(ctx, dir)
}

func (d *faultyDrop) Stat(ctx context.Context, name string) (drop.Entry, error) {
	if d.fails() {
		return drop.Entry{}, errInjected
	}
	return d.Drop.Stat(ctx, name)
}

func (d *faultyDrop) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if d.fails() {
		return nil, errInjected
	}
	f, err := d.Drop.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, d}, nil
}

func (d *faultyDrop) Rename(ctx context.Context, from, to string) error {
	fails := d.fails()
	if fails && !d.after {
		return errInjected
	}
	err := d.Drop.Rename(ctx, from, to)
	if fails {
		return errInjected
	}
	return err
}

type faultyFile struct {
	io.ReadCloser
	drop *faultyDrop
}

func (f *faultyFile) Read(p []byte) (int, error) {
	if f.drop.fails() {
		return 0, errInjected
	}
	return f.ReadCloser.Read(p)
}

func contains(haystack []byte, needles []string) int {
	n := 0
	for _, needle := range needles {
		if strings.TrimSpace(needle) != "" && bytes.Contains(haystack, []byte(needle)) {
			n++
		}
	}
	return n
}
