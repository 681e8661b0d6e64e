package night_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/store"
)

// speed is how many seconds of the job schedule pass in one: jobs of every
// minute run four times a second.
const speed = 240

// program builds the daemon, once for all tests, and returns its path.
// TestMain removes it.
var program = sync.OnceValues(func() (string, error) {
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", binaries, "./cmd/cardbatch")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cardbatch: %w\n%s", err, out)
	}
	return filepath.Join(binaries, "cardbatch"), nil
})

var binaries string // a directory

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "cardbatch-night-bin-"); err != nil {
		panic(err)
	}
	if err := long(); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binaries)
	os.Exit(code)
}

// long makes histories and worlds more when the night is to be a long one, and
// otherwise leaves them few. Flags that were given count.
func long() error {
	flag.Parse()
	wanted := map[string]string{"rapid.checks": "25"}
	if underRace {
		wanted["rapid.checks"] = "2"
	}
	if kills, err := strconv.Atoi(os.Getenv("CARDBATCH_NIGHT_KILLS")); err == nil && kills >= manyKills {
		wanted = map[string]string{"rapid.checks": "200", "test.parallel": strconv.Itoa(2 * worlds)}
	}
	flag.Visit(func(f *flag.Flag) { delete(wanted, f.Name) })
	for name, value := range wanted {
		if err := flag.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// town is a world with all that watches over it.
type town struct {
	*testing.T
	seed  uint64
	rnd   *rand.Rand
	batch int // orders in a request
	world *rehearsal.World
	trap  *trap
	post  *postbox
	bank  *bank
	desk  *desk // nil: nobody changes his mind

	program string
	daemon  *rehearsal.Process
	others  []*rehearsal.Process // that run one job
	log     *os.File
}

func newTown(t *testing.T, seed uint64, jobs map[string]rehearsal.Job, batch int) *town {
	t.Helper()
	path, err := program()
	must(t, err)
	dir, err := os.MkdirTemp("", "cardbatch-night-")
	must(t, err)
	w := &town{T: t, seed: seed, batch: batch, rnd: rand.New(rand.NewPCG(seed, 4)), trap: newTrap(), program: path}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d (CARDBATCH_NIGHT_SEED=%d repeats its choices); what the night left, with the daemon's log, is in %s", seed, seed, dir)
			return
		}
		must(t, os.RemoveAll(dir))
	})
	all := map[string]rehearsal.Job{"track": {Schedule: "* * * * *"}, "status": {Schedule: "*/20 * * * *"}}
	for name, job := range jobs {
		all[name] = job
	}
	w.world, err = rehearsal.New(t.Context(), rehearsal.Config{
		Dir: dir, Seed: seed, WrapD1: w.trap.wrapD1, Jobs: all,
		D1: d1sim.Settings{Day: 250 * time.Millisecond, Duplicates: d1sim.DuplicatesBlind, StatusLag: 100 * time.Millisecond,
			Latency: d1sim.Latency{Max: 30 * time.Millisecond}, Production: d1sim.Production{DataException: 0.03, OnHold: 0.03, Cancelled: 0.02},
			Faults: faults()},
		Notifications: d1sim.Notifications{BatchSize: 7, Timeout: 5 * time.Second, RetryPlan: plan()},
		Pace: rehearsal.Pace{Rate: 250, RequestTimeout: 600 * time.Millisecond, Settle: 1200 * time.Millisecond,
			RetryWait: 200 * time.Millisecond, ClaimSize: 30, Attempts: 60, SilentAfter: 4 * time.Second, ReviseEvery: 3 * time.Second, BatchOrders: batch},
	})
	must(t, err)
	t.Cleanup(func() { must(t, w.world.Close()) })
	w.world.SFTP.SetHook(w.trap.hook)
	w.post = newPostbox(w.world.Receiver, w.trap)
	t.Cleanup(w.post.server.Close)
	must(t, w.world.D1.Adjust(func(s *d1sim.Settings) { s.NotificationURL = w.post.server.URL }))
	w.bank = &bank{dir: w.world.Path("sftp"), rnd: w.rnd, seed: seed, date: time.Now().UTC(), most: 48, bad: 12, repeat: 13, ordered: map[string]bool{}}

	w.log, err = os.OpenFile(w.world.Path("state/daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	t.Cleanup(func() { must(t, w.log.Close()) })
	w.daemon = w.process("serve", "--schedule-clock", time.Now().UTC().Format(time.RFC3339Nano)+","+strconv.Itoa(speed))
	t.Cleanup(func() { must(t, w.daemon.Kill()) })
	return w
}

func (w *town) process(args ...string) *rehearsal.Process {
	return rehearsal.NewProcess(w.log, w.program, append([]string{"--config", w.world.ConfigFile}, args...)...)
}

// faults are those of a bad night.
func faults() d1sim.Faults {
	return d1sim.Faults{
		ErrorBefore: 0.01, ErrorAfter: 0.02, ResetBefore: 0.01, ResetAfter: 0.03, Slow: 0.01, SlowFor: 800 * time.Millisecond,
		Truncated: 0.01, NotJSON: 0.01, NoOperationID: 0.01, SlowBody: 0.005, SlowBodyFor: 800 * time.Millisecond,
		BatchPartly: 0.05, StatusError: 0.02, RevokeTokens: 0.002, TokenError: 0.1, GoawayEvery: 97,
		LostNotifications: 0.05, DelayedNotifications: 0.05, DelayedFor: 700 * time.Millisecond, DuplicateNotifications: 0.1, ReorderedNotifications: 0.1, UnreadNotificationAcks: 0.05,
	}
}

// plan is how D1 tries again: soon, and for minutes.
func plan() []time.Duration {
	var p []time.Duration
	for i := range 60 {
		p = append(p, min(2*time.Second, time.Duration(i+1)*100*time.Millisecond))
	}
	return p
}

// open looks into the daemon's store.
func (w *town) open() *store.Store {
	w.Helper()
	s, err := store.Open(w.Context(), store.Config{Path: w.world.Store(), ReadOnly: true})
	must(w.T, err)
	return s
}

// checkAnswered looks up every notification that was answered 204 since the
// last time: hearing it again must bring no news.
func (w *town) checkAnswered(s *store.Store) {
	w.Helper()
	for _, op := range w.post.take() {
		found, err := s.Order(w.Context(), rehearsal.IssuerID, op.IssuerRequestID)
		must(w.T, err)
		if op.Operation == issuance.OperationUpdateOrder {
			continue // the changes are compared when all has settled
		}
		if len(found) == 0 {
			w.Errorf("D1 reports on order %s, which we do not have", op.IssuerRequestID)
			continue
		}
		events, err := found[0].Hear(op, issuance.Why{At: time.Now()})
		must(w.T, err)
		for _, e := range events {
			if e.Kind != issuance.KindLateNews {
				w.Errorf("order %s: %s was answered 204 and is not in the store, where it would change %s from %q to %q",
					op.IssuerRequestID, op.Production, e.Kind, e.From, e.To)
			}
		}
	}
}

// checkD1 looks for the one thing that must never happen.
func (w *town) checkD1() {
	w.Helper()
	if sum := w.world.D1.Summary(); sum.ProducedTwice != 0 {
		for _, e := range w.world.D1.Ledger() {
			if e.Produced > 1 {
				w.Logf("order %s: %d cards, operation %s", e.IssuerRequestID, e.Produced, e.OperationID)
			}
		}
		w.Fatalf("%d orders were produced twice", sum.ProducedTwice)
	}
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}
