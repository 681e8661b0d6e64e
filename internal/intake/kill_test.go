package intake_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile/sample"
)

// toKill tells a child process of the tests where to work until it is killed.
const (
	toKill      = "CARDBATCH_TEST_KILLED_IN"
	toKillStore = "CARDBATCH_TEST_KILLED_STORE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(toKill); dir != "" {
		workUntilKilled(dir, os.Getenv(toKillStore))
	}
	os.Exit(m.Run())
}

// childTB is a testing.TB for a process that is no test.
type childTB struct{ testing.TB }

func (childTB) Helper()                  {}
func (childTB) Cleanup(func())           {}
func (childTB) Context() context.Context { return context.Background() }
func (childTB) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

// workUntilKilled is a daemon without a scheduler: it takes files for ever.
func workUntilKilled(dir, store string) {
	b := newBenchAt(childTB{}, dir, store)
	b.cfg.Logger = b.cfg.Logger.Output(io.Discard)
	b.open()
	_, _ = os.Stdout.WriteString("working\n")
	for {
		stage, err := intake.New(b.cfg)
		b.must(err)
		_, err = stage.RunOnce(context.Background())
		b.must(err)
	}
}

// A process that takes files is killed again and again, at any point. The last
// one finds every file whole and every order once.
func TestKilledWhileTakingFiles(t *testing.T) {
	const files, rows, kills = 4, 800, 8
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			b := newBench(t)
			b.close()
			for i := range files {
				b.drops(b.generate(fmt.Sprint(i, ".csv"), int64(i+1), sample.Options{
					Rows: rows, Seed: uint64(i), Prefix: fmt.Sprint("p", i), BadEvery: 100}))
			}
			r := rand.New(rand.NewPCG(seed, seed))
			for range kills {
				killAfter(t, b, time.Duration(r.IntN(80))*time.Millisecond)
			}
			b.open()
			b.mustRun()
			all := b.batches()
			if len(all) != files {
				t.Fatalf("%d batches of %d files", len(all), files)
			}
			var attempts int
			for _, batch := range all {
				totals := b.totals(batch.No)
				if batch.State != issuance.BatchAccepted || totals.Rows != rows || totals.State(issuance.Ready) != rows-rows/100 {
					t.Errorf("%s is %s %s (%s): %v", batch.FileName, batch.State, batch.Code, batch.Reason, totals.Terms())
				}
				attempts += batch.Attempts
			}
			if len(b.files("drop")) != 0 || len(b.files("archive")) != 2*files || len(b.files("quarantine")) != 0 {
				t.Errorf("drop %v, archive %v", b.files("drop"), b.files("archive"))
			}
			t.Logf("%d attempts at %d files", attempts, files)
		})
	}
}

// killAfter starts a process and kills it some time after it has begun to work.
func killAfter(t *testing.T, b *bench, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), toKill+"="+b.dir, toKillStore+"="+b.path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	b.must(err)
	b.must(cmd.Start())
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Errorf("the process ended by itself: %v", err)
	}
	<-time.After(after) // the moment is the point, whichever it is
	b.must(cmd.Process.Kill())
	_ = cmd.Wait()
}
