package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/drop/sftp"
	"cardbatch/internal/drop/sftp/sftptest"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/secret"
)

// serve puts an SFTP server between the bench and its directory.
func (b *bench) serve(change ...func(*sftptest.Config)) *sftptest.Server {
	b.tb.Helper()
	cfg := sftptest.Config{Dir: b.dir, Users: []sftptest.User{{Name: "cardbatch", Password: "not-a-real-password"}}}
	for _, c := range change {
		c(&cfg)
	}
	server, err := sftptest.Start(cfg)
	b.must(err)
	b.tb.Cleanup(func() { _ = server.Close() })
	d, err := sftp.New(sftp.Config{Address: server.Addr(), User: "cardbatch", Password: secret.New("not-a-real-password"),
		HostKeys: []string{server.Fingerprint()}})
	b.must(err)
	b.tb.Cleanup(func() { _ = d.Close() })
	b.source().Drop = d
	return server
}

// The line is cut at every tenth of the download; the next run takes the file
// whole, in the same process and in another.
func TestTheLineIsCutWhileAFileIsRead(t *testing.T) {
	for tenth := range 11 {
		restarted := tenth%2 == 1
		b := newBench(t)
		server := b.serve(func(c *sftptest.Config) { c.MaxRead = 4 << 10 })
		g := b.generate("a.csv", 1, sample.Options{Rows: 300, Seed: 1, BadEvery: 50})
		b.drops(g)
		reads := len(g.content)/(4<<10) + 1
		at := int32(max(1, reads*tenth/10))
		var n atomic.Int32
		server.SetHook(func(op, name string) error {
			if op == "read" && strings.Contains(name, ".a.csv.2026") && n.Add(1) == at {
				go server.KillConnections()
				return sftptest.Cut
			}
			return nil
		})
		when := fmt.Sprintf("cut at %d0 %% of %d reads, restarted %v", tenth, reads, restarted)
		sum, err := b.run()
		if !errors.Is(err, drop.ErrUnavailable) || sum.Files != 0 {
			t.Fatalf("%s: %+v, %v", when, sum, err)
		}
		b.must(b.store.Balance(t.Context()))
		if got := b.totals(b.only().No).Rows; got != 0 {
			t.Errorf("%s: %d rows stay behind", when, got)
		}
		if restarted {
			b.restart()
		}
		b.mustRun()
		checkWhole(t, b, g, when)
	}
}

// The server goes away at each of its operations in turn, before it is done;
// the file is taken whole afterwards.
func TestTheServerGoesAwayAtEveryOperation(t *testing.T) {
	for failAt := int32(1); ; failAt++ {
		b := newBench(t)
		server := b.serve()
		g := b.generate("a.csv", 1, sample.Options{Rows: 60, Seed: 1, BadEvery: 50})
		b.drops(g)
		var n atomic.Int32
		server.SetHook(func(string, string) error {
			if n.Add(1) == failAt {
				return sftptest.Cut
			}
			return nil
		})
		_, _ = b.run() // an operation that only looks is repeated and may succeed
		reached := n.Load() >= failAt
		server.SetHook(nil)
		b.restart()
		b.mustRun()
		checkWhole(t, b, g, fmt.Sprint("operation ", failAt))
		if !reached {
			if failAt < 15 {
				t.Errorf("only %d operations were cut", failAt-1)
			}
			return
		}
	}
}

// A server with every shortcoming at once: no posix-rename, no fsync, one
// handle, slow, small packets, success where there is none.
func TestANastyServer(t *testing.T) {
	b := newBench(t)
	server := b.serve(sftptest.Nasty)
	server.SetDelay(time.Millisecond)
	b.source().Completion.Markers = []string{".done"}
	for i := range 3 {
		name := fmt.Sprint(i, ".csv")
		g := b.generate(name, int64(i+1), sample.Options{Rows: 200, Seed: uint64(i), Prefix: fmt.Sprint("p", i)})
		if i == 1 {
			g.control.Rows++ // refused
		}
		b.drops(g)
		b.write(name+".done", nil)
	}
	if sum := b.mustRun(); sum.Accepted != 2 || sum.Refused != 1 || sum.Ready != 400 {
		t.Fatalf("%+v, log %s", sum, b.logs)
	}
	if len(b.files("drop")) != 0 || len(b.files("archive")) != 6 || len(b.files("quarantine")) != 3 {
		t.Errorf("drop %v, archive %v, quarantine %v", b.files("drop"), b.files("archive"), b.files("quarantine"))
	}
}

// A server that says yes to a rename and does nothing: the file is not read
// where others can still take it, and taken when the server does what it says.
func TestARenameThatIsALie(t *testing.T) {
	b := newBench(t)
	server := b.serve()
	g := b.generate("a.csv", 1, sample.Options{Rows: 50, Seed: 1})
	b.drops(g)
	server.SetHook(func(op, _ string) error {
		if op == "rename" {
			return sftptest.Lie
		}
		return nil
	})
	for range 2 {
		if sum, err := b.run(); !errors.Is(err, drop.ErrUnverified) || sum.Files != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
	}
	server.SetHook(nil)
	b.mustRun()
	checkWhole(t, b, g, "honest again")
}

// Two daemons that know nothing of each other look at the same directory: each
// file is loaded by exactly one; the other, when it was quick enough to notice,
// records that the file was gone.
func TestTwoDaemonsOnOneDirectory(t *testing.T) {
	const files = 12
	dir := t.TempDir()
	var daemons [2]*bench
	for i := range daemons {
		daemons[i] = newBenchAt(t, dir, t.TempDir()+"/cardbatch.db")
		daemons[i].open()
	}
	for i := range files {
		daemons[0].drops(daemons[0].generate(fmt.Sprintf("%02d.csv", i), int64(i+1),
			sample.Options{Rows: 30, Seed: uint64(i), Prefix: fmt.Sprint("p", i)}))
	}
	runTogether(t, daemons[:])
	accepted := map[string]int{}
	for i, d := range daemons {
		d.mustRun() // the other may have been between two steps
		for _, batch := range d.batches() {
			totals := d.totals(batch.No)
			switch {
			case batch.State == issuance.BatchAccepted && totals.State(issuance.Ready) == 30:
				accepted[batch.FileName]++
			case batch.State != issuance.BatchRefused || batch.Code != issuance.FileUnreadable:
				t.Errorf("daemon %d: %s is %s %s (%s)", i, batch.FileName, batch.State, batch.Code, batch.Reason)
			}
		}
	}
	for name, n := range accepted {
		if n != 1 {
			t.Errorf("%s was loaded %d times", name, n)
		}
	}
	if len(accepted) != files || len(daemons[0].files("drop")) != 0 {
		t.Errorf("%d files loaded; left in the drop: %v", len(accepted), daemons[0].files("drop"))
	}
}

// Two processes on one store share the work: nothing is refused because the
// other was quicker.
func TestTwoProcessesOnOneStore(t *testing.T) {
	for _, rule := range []intake.Completion{{Control: true}, {}} {
		const files = 12
		dir, store := t.TempDir(), t.TempDir()+"/cardbatch.db"
		var processes [3]*bench
		for i := range processes {
			processes[i] = newBenchAt(t, dir, store)
			processes[i].cfg.Now = func() time.Time { return time.Now().UTC() }
			processes[i].source().Completion = rule
			processes[i].open()
		}
		for i := range files {
			g := processes[0].generate(fmt.Sprintf("%02d.csv", i), int64(i+1),
				sample.Options{Rows: 20, Seed: uint64(i), Prefix: fmt.Sprint("p", i)})
			processes[0].drops(g)
		}
		for range 20 {
			runTogether(t, processes[:])
			if len(processes[0].batches()) == files {
				break
			}
		}
		for _, batch := range processes[0].batches() {
			if batch.State != issuance.BatchAccepted || batch.Archived != "archive/"+batch.FileName {
				t.Errorf("%s is %s %s (%s), archived as %q", batch.FileName, batch.State, batch.Code, batch.Reason, batch.Archived)
			}
		}
		if n := len(processes[0].batches()); n != files {
			t.Errorf("%d batches, want %d", n, files)
		}
		processes[0].must(processes[0].store.Balance(t.Context()))
	}
}

func runTogether(t *testing.T, benches []*bench) {
	t.Helper()
	errs := make(chan error, len(benches))
	for _, b := range benches {
		stage, err := intake.New(b.cfg)
		b.must(err)
		go func() {
			_, err := stage.RunOnce(t.Context())
			errs <- err
		}()
	}
	for range benches {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
