package night_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/ageing"
	"cardbatch/internal/cardholder"
	"cardbatch/internal/d1"
	"cardbatch/internal/drop/localdir"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/notification"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/report"
	"cardbatch/internal/sealed"
	"cardbatch/internal/store"
	"cardbatch/internal/submit"
	"cardbatch/internal/track"
	"cardbatch/internal/validate"
)

const (
	settleFor = time.Minute
	silentFor = 10 * time.Minute
)

// small is a night inside the test: the stages and the store are real, D1 is a
// model, and time passes only when it is told to.
type small struct {
	tb    tb
	dir   string
	bank  *bank
	d1    *blind
	ctx   context.Context // of the runs
	drain time.Duration   // of a submit that is told to end

	mu   sync.Mutex
	time time.Time

	// What dies with a process.
	store    *store.Store
	session  string
	drop     *localdir.Drop
	fragile  fragileStore
	intake   *intake.Stage
	submit   *submit.Runner
	track    *track.Runner
	report   *report.Stage
	receiver *notification.Receiver
}

// lab is what all small nights share: keys and an empty store.
type lab struct {
	encoder *d1.Encoder
	ring    *sealed.Keyring
	empty   []byte // the database file
}

var newLab = sync.OnceValues(func() (*lab, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	l := &lab{}
	l.encoder, err = d1.NewEncoder(d1.EncoderConfig{JWEKeys: []d1.JWEKey{{ID: "k", Public: &key.PublicKey}}, Products: sample.Products()})
	if err != nil {
		return nil, err
	}
	if l.ring, err = sealed.NewKeyring("k1", map[string][]byte{"k1": bytes.Repeat([]byte{7}, sealed.KeySize)}); err != nil {
		return nil, err
	}
	path := filepath.Join(binaries, "empty.db")
	if _, err := store.Migrate(context.Background(), store.Config{Path: path}); err != nil {
		return nil, err
	}
	l.empty, err = os.ReadFile(path)
	return l, err
})

// memoryDir is a directory that costs no disk, where there is such a thing.
func memoryDir(t interface {
	tb
	Cleanup(func())
}) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "cardbatch-night-")
	if err != nil {
		dir, err = os.MkdirTemp("", "cardbatch-night-")
	}
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// newSmall prepares a night in an empty directory.
func newSmall(t tb, dir string, seed uint64) *small {
	t.Helper()
	l, err := newLab()
	must(t, err)
	for _, d := range []string{"drop", "archive", "quarantine", "reports"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(dir, "cardbatch.db"), l.empty, 0o600))
	n := &small{tb: t, dir: dir, ctx: t.Context(), drain: 10 * time.Second, time: time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)}
	n.d1 = &blind{now: n.now}
	n.bank = &bank{dir: dir, rnd: mathrand.New(mathrand.NewPCG(seed, 5)), seed: seed, date: n.time, most: 12,
		bad: 5, repeat: 4, ordered: map[string]bool{}}
	return n
}

func (n *small) now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.time
}

func (n *small) pass(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.time = n.time.Add(d)
}

// start starts a process: everything is made anew, on the same files. It fails
// as a program does that cannot start.
func (n *small) start(f *fault) error {
	l, err := newLab()
	must(n.tb, err)
	ctx := n.tb.Context()
	n.store, err = store.Open(ctx, store.Config{Path: filepath.Join(n.dir, "cardbatch.db"), Now: n.now})
	must(n.tb, err)
	n.session, err = n.store.StartSession(ctx, "test")
	must(n.tb, err)
	n.drop, err = localdir.New(n.dir)
	must(n.tb, err)
	s, d, network := fragileStore{n.store, f}, fragileDrop{n.drop, f}, fragileD1{n.d1, f}
	n.fragile = s
	if _, err := s.RecoverSessions(ctx, settleFor); err != nil {
		return err
	}
	fingerprint := cardholder.NewFingerprinter(make([]byte, 32))
	n.intake, err = intake.New(intake.Config{Store: s, Sealer: l.ring, Fingerprint: fingerprint, Session: n.session,
		Workers: 1, Now: n.now, Logger: zerolog.Nop(), Sources: []intake.Source{{
			Name: "core", IssuerID: rehearsal.IssuerID, Environment: "TEST", Location: time.UTC,
			Drop: d, Directory: "drop", Archive: "archive", Quarantine: "quarantine", Pattern: "*.csv",
			Completion: intake.Completion{Control: true}, Accept: intake.AcceptRows, MaxRejects: 1,
			MaxBytes: 1 << 20, MaxRows: 1000, Encoder: l.encoder,
			Rules: func(now time.Time) intake.Checker {
				return validate.New(validate.Rules{Products: sample.Products(), Now: now})
			},
		}}})
	must(n.tb, err)
	n.submit, err = submit.New(submit.Config{IssuerID: rehearsal.IssuerID, Session: n.session, ClaimSize: 4, InFlight: 1,
		Settle: settleFor, RetryWait: time.Second, DrainLimit: n.drain, FlushEvery: time.Millisecond, FlushSize: 2},
		submit.Deps{Store: s, Send: network.order, Limiter: noLimit{}, Opener: l.ring, Now: n.now, Log: zerolog.Nop()})
	must(n.tb, err)
	n.track, err = track.New(track.Config{IssuerID: rehearsal.IssuerID, InFlight: 1, Silence: silentFor, Settle: settleFor, MaxAttempts: 50, UnclearAsks: 50},
		track.Deps{Store: s, Issuer: network, Limiter: noLimit{}, Now: n.now, Log: zerolog.Nop()})
	must(n.tb, err)
	place := func(dir string) report.Place { return report.Place{Name: "bank:" + dir, Dir: dir, Drop: d} }
	n.report, err = report.New(report.Config{ReviseEvery: 30 * time.Minute, Now: n.now,
		Sources: []report.Source{{Name: "core", Reports: place("reports"), Quarantine: place("quarantine")}},
		Issuers: []report.Issuer{{ID: rehearsal.IssuerID, Reports: place("reports"),
			Ageing: &ageing.Rules{Zone: time.UTC, EndedFor: 24 * time.Hour, UnmatchedAfter: time.Minute}}}}, s, zerolog.Nop())
	must(n.tb, err)
	n.receiver, err = notification.New(notification.Config{Issuers: []string{rehearsal.IssuerID}},
		notification.Deps{Store: s, Parse: d1.ParseOperations, Sealer: l.ring, Digest: fingerprint.Content, Now: n.now, Log: zerolog.Nop()})
	must(n.tb, err)
	return nil
}

// noLimit lets every request pass.
type noLimit struct{}

func (noLimit) Acquire(context.Context) (func(), error) { return func() {}, nil }
func (noLimit) Slow(time.Duration)                      {}

// stop ends the process. Nothing is handed over: this is also what death leaves.
func (n *small) stop() {
	n.tb.Helper()
	must(n.tb, errors.Join(n.store.Close(), n.drop.Close()))
}

// round is some minutes of a night: every job runs once. That some run fails is
// what the faults are for.
func (n *small) round() (errs error) {
	ctx := n.ctx
	_, err := n.intake.RunOnce(ctx)
	errs = errors.Join(errs, err)
	_, err = n.submit.RunOnce(ctx)
	errs = errors.Join(errs, err)
	n.d1.work()
	n.deliver()
	if _, err = n.fragile.RecoverSessions(ctx, settleFor); err == nil {
		_, err = n.track.RunOnce(ctx)
	}
	errs = errors.Join(errs, err)
	_, err = n.report.RunOnce(ctx, report.Options{})
	n.pass(7 * time.Minute)
	return errors.Join(errs, err)
}

// deliver delivers all news, each in a notification of its own.
func (n *small) deliver() {
	for _, op := range n.d1.takeNews() {
		if !n.notify(op) {
			n.d1.again(op)
		}
	}
}

// notify reports whether a notification was answered 204.
func (n *small) notify(ops ...issuance.Operation) bool {
	req := httptest.NewRequestWithContext(n.tb.Context(), http.MethodPost,
		"/notifications/d1/v2/issuers/"+rehearsal.IssuerID+"/cards", bytes.NewReader(notice(ops...)))
	answer := httptest.NewRecorder()
	n.receiver.ServeHTTP(answer, req)
	return answer.Code == http.StatusNoContent
}

// settled says what is still to happen, "" when nothing is.
func (n *small) settled() string {
	ctx := n.tb.Context()
	if left := visible(n.tb, filepath.Join(n.dir, "drop")); len(left) > 0 {
		return fmt.Sprintf("%v is in the drop", left)
	}
	batches, err := n.store.Batches(ctx, issuance.BatchFilter{})
	must(n.tb, err)
	for _, b := range batches {
		if b.State != issuance.BatchClosed && b.State != issuance.BatchRefused || b.Archived == "" {
			totals, err := n.store.BatchTotals(ctx, b.No)
			must(n.tb, err)
			return fmt.Sprintf("%s is %s %s in %q, with %v", b.FileName, b.State, b.Reason, b.Archived, totals.Terms())
		}
		kind := issuance.DeliverReconciliation
		if b.State == issuance.BatchRefused {
			kind = issuance.DeliverReceipt
		}
		d, ok, err := n.store.LastDelivery(ctx, kind, rehearsal.IssuerID, b.No)
		must(n.tb, err)
		if !ok || d.PlannedAt.Before(b.ClosedAt) || d.DeliveredAt.IsZero() {
			return fmt.Sprintf("the last %s of %s is owed", kind, b.FileName)
		}
	}
	owed, err := n.store.Deliveries(ctx, issuance.DeliveryFilter{Pending: true})
	must(n.tb, err)
	if len(owed) > 0 {
		return fmt.Sprintf("%d reports are owed", len(owed))
	}
	if !n.d1.idle() {
		return "D1 is at work"
	}
	return ""
}

// prove compares everything.
func (n *small) prove() {
	n.tb.Helper()
	p := &proof{tb: n.tb, bank: n.bank, dir: n.dir}
	p.all(n.store, n.d1.ledger())
	p.checkStatuses(n.store)
}
