package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/store"
)

// Whatever the bytes of a file are, it gets its answer in the first run, in
// bounded memory, and the next file is taken.
func TestNoContentGetsStuck(t *testing.T) {
	const mib = 1 << 20
	header := strings.Join(orderfile.Schema().Names(), ",") + "\n"
	for _, tt := range []struct {
		name  string
		spoil func(good []byte) []byte
		state issuance.BatchState
		code  issuance.Code // of the file or, when it is accepted, of its one rejected row
	}{
		{"a lone quote in the middle", func(good []byte) []byte {
			return replaceLine(good, 100, func(line []byte) []byte { return append([]byte(`"`), line...) })
		}, issuance.BatchAccepted, issuance.BadQuote},
		{"a lone quote in the header", func(good []byte) []byte { return append([]byte(`"`), good...) }, issuance.BatchRefused, issuance.HeaderInvalid},
		{"a line of 100 MB", func(good []byte) []byte {
			return append(bytes.Clone(good), bytes.Repeat([]byte("x"), 100*mib)...)
		}, issuance.BatchRefused, issuance.FileUnreadable},
		{"a quoted line of 100 MB", func(good []byte) []byte {
			return append(append(bytes.Clone(good), '"'), bytes.Repeat([]byte("x"), 100*mib)...)
		}, issuance.BatchRefused, issuance.FileUnreadable},
		{"a first line of 100 MB", func([]byte) []byte { return bytes.Repeat([]byte("x"), 100*mib) }, issuance.BatchRefused, issuance.FileUnreadable},
		{"a million columns", func(good []byte) []byte {
			return append(bytes.Clone(good), bytes.Repeat([]byte(","), 1e6)...)
		}, issuance.BatchRefused, issuance.FileUnreadable},
		{"a header of a million columns", func([]byte) []byte { return bytes.Repeat([]byte("a,"), 1e6) }, issuance.BatchRefused, issuance.FileUnreadable},
		{"some columns too many", func(good []byte) []byte {
			return replaceLine(good, 100, func(line []byte) []byte { return append(bytes.Repeat([]byte(","), 1000), line...) })
		}, issuance.BatchAccepted, issuance.FieldCount},
		{"a NUL byte in a value", func(good []byte) []byte {
			return replaceLine(good, 100, func(line []byte) []byte { line[1] = 0; return line })
		}, issuance.BatchAccepted, issuance.FormatInvalid},
		{"NUL bytes only", func([]byte) []byte { return make([]byte, mib) }, issuance.BatchRefused, issuance.FileUnreadable},
		{"a header and then NUL bytes", func([]byte) []byte { return append([]byte(header), make([]byte, mib)...) }, issuance.BatchRefused, issuance.FileUnreadable},
		{"blank lines only", func([]byte) []byte { return bytes.Repeat([]byte("\n"), mib) }, issuance.BatchRefused, issuance.HeaderInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.source().Completion = intake.Completion{}
			good := b.generate("a.csv", 1, sample.Options{Rows: 300, Seed: 1}).content
			b.write("a.csv", tt.spoil(good))
			peak := watchMemory(t)
			if sum := b.mustRun(); sum.Files != 1 {
				t.Fatalf("summary %+v, log %s", sum, b.logs)
			}
			if got := peak(); got > 60*mib {
				t.Errorf("%d MiB of memory", got/mib)
			}
			batch := b.only()
			if batch.State != tt.state || tt.state == issuance.BatchRefused && batch.Code != tt.code {
				t.Fatalf("the batch is %s %s (%s), want %s %s", batch.State, batch.Code, batch.Reason, tt.state, tt.code)
			}
			if tt.state == issuance.BatchAccepted {
				for _, o := range b.orders(batch.No) {
					if bad := o.Line == 100; bad != (o.State == issuance.Rejected) || bad && o.Code != tt.code {
						t.Errorf("line %d is %s %s", o.Line, o.State, o.Code)
					}
				}
			}
			b.write("b.csv", b.generate("b.csv", 2, sample.Options{Rows: 5, Seed: 9, Prefix: "nxt"}).content)
			if sum := b.mustRun(); sum.Ready != 5 {
				t.Errorf("the next file: %+v", sum)
			}
		})
	}
}

// replaceLine changes one line, counted from 1.
func replaceLine(content []byte, n int, change func([]byte) []byte) []byte {
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines[n-1] = change(bytes.Clone(lines[n-1]))
	return bytes.Join(lines, nil)
}

// watchMemory returns what gives the largest growth of the heap since.
func watchMemory(t *testing.T) (peak func() uint64) {
	t.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	start, most := heap(), uint64(0)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if now := heap(); now > start {
					most = max(most, now-start)
				}
			case <-stop:
				return
			}
		}
	}()
	end := sync.OnceFunc(func() { close(stop); <-done })
	t.Cleanup(end)
	return func() uint64 { end(); return most }
}

// hookedDrop runs code of the test around the calls.
type hookedDrop struct {
	drop.Drop
	open   func(name string) error
	rename func(from, to string) error
	read   func(name string) // before a read
}

func (d *hookedDrop) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if d.open != nil {
		if err := d.open(name); err != nil {
			return nil, err
		}
	}
	f, err := d.Drop.Open(ctx, name)
	if err != nil || d.read == nil {
		return f, err
	}
	return &hookedFile{f, func() { d.read(name) }}, nil
}

func (d *hookedDrop) Rename(ctx context.Context, from, to string) error {
	if d.rename != nil {
		if err := d.rename(from, to); err != nil {
			return err
		}
	}
	return d.Drop.Rename(ctx, from, to)
}

type hookedFile struct {
	io.ReadCloser
	before func()
}

func (f *hookedFile) Read(p []byte) (int, error) {
	f.before()
	return f.ReadCloser.Read(p)
}

func (b *bench) hook() *hookedDrop {
	h := &hookedDrop{Drop: b.source().Drop.(drop.Drop)}
	b.source().Drop = h
	return h
}

// A producer that goes on writing through a file that is renamed away is
// waited for; nothing of what was read meanwhile is accepted.
func TestAFileThatChangesWhileItIsRead(t *testing.T) {
	for name, rule := range map[string]intake.Completion{
		"control": {Control: true}, "renamed": {}, "quiet": {Observations: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.source().Completion = rule
			g := b.generate("a.csv", 1, sample.Options{Rows: 400, Seed: 1})
			ctl, err := orderfile.EncodeControl(g.control)
			b.must(err)
			if rule.Control {
				b.write("a.csv.ctl", ctl)
			}
			lines := bytes.SplitAfter(g.content, []byte("\n"))
			b.write("a.csv", bytes.Join(lines[:100], nil))
			producer, err := os.OpenFile(filepath.Join(b.dir, "drop", "a.csv"), os.O_APPEND|os.O_WRONLY, 0)
			b.must(err)
			defer producer.Close() //nolint:errcheck // a test
			lines = lines[100:]
			b.hook().read = func(string) {
				if len(lines) > 0 {
					n := min(30, len(lines))
					_, err := producer.Write(bytes.Join(lines[:n], nil))
					b.must(err)
					lines = lines[n:]
				}
			}
			for range 2 { // while it is being written
				if rule.Control && len(lines) == 0 {
					break
				}
				sum, err := b.run()
				if len(lines) > 0 && (err == nil || sum.Files > 0) {
					t.Fatalf("%+v, error %v", sum, err)
				}
			}
			for range 3 {
				if sum, err := b.run(); err == nil && sum.Files == 1 {
					break
				}
			}
			batch := b.only()
			if batch.State != issuance.BatchAccepted || batch.Rows != 400 || batch.SHA256 != g.file.SHA256 {
				t.Fatalf("the batch is %s %s (%s), %d rows; log %s", batch.State, batch.Code, batch.Reason, batch.Rows, b.logs)
			}
		})
	}
}

// A quiet file that grew between the last look and its taking must be quiet
// again before it is read.
func TestAQuietFileThatGrewAtTheLastMoment(t *testing.T) {
	b := newBench(t)
	b.source().Completion = intake.Completion{Observations: 2}
	g := b.generate("a.csv", 1, sample.Options{Rows: 100, Seed: 1})
	half := bytes.LastIndexByte(g.content[:len(g.content)/2], '\n') + 1
	b.write("a.csv", g.content[:half])
	b.mustRun()
	grow := sync.OnceFunc(func() { b.write("a.csv", g.content) })
	b.hook().rename = func(string, string) error { grow(); return nil }
	for i := range 2 {
		if sum, err := b.run(); err == nil || sum.Files != 0 {
			t.Fatalf("run %d: taken half: %+v, %v", i, sum, err)
		}
		if got := b.only(); !got.SetAside || b.totals(got.No).Rows != 0 {
			t.Errorf("run %d: the batch %+v, %d rows", i, got, b.totals(got.No).Rows)
		}
	}
	if sum := b.mustRun(); sum.Ready != 100 {
		t.Errorf("summary %+v", sum)
	}
}

var errFile = errors.New("input/output error")

// A taken file that cannot be read keeps nobody waiting: not its source, not
// its issuer. It is tried again by every run and given up in the end.
func TestAFileThatCannotBeRead(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		runs int // until it can be read; 0: never
		want issuance.BatchState
	}{
		{"for some days", errFile, 5, issuance.BatchAccepted},
		{"for ever", errFile, 0, issuance.BatchRefused},
		{"because the drop is down", drop.ErrUnavailable, 0, issuance.BatchLoading},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.source().GiveUpAfter = 4 * 24 * time.Hour
			b.drops(b.generate("a.csv", 1, sample.Options{Rows: 20, Seed: 1, Prefix: "bad"}))
			broken := true
			b.hook().open = func(name string) error {
				if broken && strings.Contains(name, ".a.csv.2026") {
					return tt.err
				}
				return nil
			}
			for run := 1; run <= 8; run++ {
				broken = run != tt.runs
				name := fmt.Sprintf("b%d.csv", run)
				b.drops(b.generate(name, int64(run+1), sample.Options{Rows: 5, Seed: uint64(run), Prefix: fmt.Sprint("nxt", run)}))
				sum, err := b.run()
				b.must(b.store.Balance(t.Context()))
				if sum.Ready < 5 {
					t.Fatalf("run %d: the other file was not taken: %+v, %v", run, sum, err)
				}
				if state := b.batches()[0].State; (err != nil) != (state == issuance.BatchLoading) {
					t.Errorf("run %d: it is %s, error %v", run, state, err)
				}
				b.wait(24 * time.Hour)
			}
			first := b.batches()[0]
			if first.State != tt.want {
				t.Fatalf("the batch is %s (%s)", first.State, first.Reason)
			}
			switch tt.want {
			case issuance.BatchRefused:
				if first.Code != issuance.FileUnreadable || !strings.Contains(first.Reason, "96h0m0s, in 5 attempts") || first.Archived != "quarantine/a.csv" {
					t.Errorf("%s: %s; %s", first.Code, first.Reason, first.Archived)
				}
				if got := b.files("quarantine"); len(got) != 2 {
					t.Errorf("quarantine %v", got)
				}
			case issuance.BatchLoading:
				if first.Attempts != 8 || first.Reason == "" || !first.TroubledAt.Equal(night) {
					t.Errorf("%+v", first)
				}
			}
		})
	}
}

// A rename that never works: the file stays where it is, others are taken, and
// it is refused in the end rather than taken twice.
func TestAFileThatCannotBeMoved(t *testing.T) {
	for _, where := range []string{"drop/a.csv", ".taken", "quarantine/"} {
		t.Run(where, func(t *testing.T) {
			b := newBench(t)
			b.source().GiveUpAfter = time.Hour
			g := b.generate("a.csv", 1, sample.Options{Rows: 20, Seed: 1})
			if where == "quarantine/" {
				g.control.Rows++ // it is refused, and cannot be moved there
			}
			b.drops(g)
			b.hook().rename = func(from, to string) error {
				if strings.Contains(from, "a.csv") && (from == where || strings.HasPrefix(to, where) || where == ".taken" && strings.HasSuffix(from, where)) {
					return os.ErrPermission
				}
				return nil
			}
			for run := range 5 {
				b.drops(b.generate(fmt.Sprint(run, ".csv"), int64(run+2), sample.Options{Rows: 5, Seed: uint64(run), Prefix: fmt.Sprint("nxt", run)}))
				sum, err := b.run()
				if err == nil || !strings.Contains(err.Error(), "a.csv") || !errors.Is(err, os.ErrPermission) {
					if run < 2 {
						t.Errorf("run %d: error %v", run, err)
					}
				}
				if sum.Accepted == 0 {
					t.Fatalf("run %d: the other file was not taken: %+v", run, sum)
				}
				b.wait(31 * time.Minute)
			}
			b.must(b.store.Balance(t.Context()))
			accepted := 0
			for _, batch := range b.batches() {
				if batch.FileName == "a.csv" && batch.State == issuance.BatchAccepted {
					accepted++
				}
			}
			if want := map[string]int{".taken": 1}[where]; accepted != want {
				t.Errorf("accepted %d times, want %d", accepted, want)
			}
			if b.files("drop") == nil {
				t.Error("the original is gone")
			}
			b.source().Drop.(*hookedDrop).rename = nil
			b.mustRun()
			if where == ".taken" && !strings.HasPrefix(b.batches()[0].Archived, "archive/") {
				t.Errorf("archived as %q", b.batches()[0].Archived)
			}
		})
	}
}

// What a dead process left of a source that is not worked any more blocks no
// other source of the issuer, and is taken when its source comes back.
func TestASourceThatIsGone(t *testing.T) {
	for _, how := range []string{"not configured", "not selected"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t)
			b.drops(b.generate("a.csv", 1, sample.Options{Rows: 600, Seed: 1}))
			b.cfg.Store = &faultyStore{Store: b.store, failAt: 9} // dies in the middle
			if _, err := b.run(); err == nil {
				t.Fatal("nothing was cut short")
			}
			b.restart()
			both := b.cfg.Sources
			other := *b.source()
			other.Name, other.Directory = "other", "other"
			b.must(os.Mkdir(filepath.Join(b.dir, "other"), 0o700))
			b.cfg.Sources = []intake.Source{other}
			names := []string(nil)
			if how == "not selected" {
				b.cfg.Sources, names = append(b.cfg.Sources, both...), []string{"other"}
			}
			g := b.generate("b.csv", 1, sample.Options{Rows: 5, Seed: 2, Prefix: "oth"})
			b.must(os.WriteFile(filepath.Join(b.dir, "other", "b.csv"), g.content, 0o600))
			ctl, err := orderfile.EncodeControl(g.control)
			b.must(err)
			b.must(os.WriteFile(filepath.Join(b.dir, "other", "b.csv.ctl"), ctl, 0o600))
			stage, err := intake.New(b.cfg, names...)
			b.must(err)
			if sum, err := stage.RunOnce(t.Context()); err != nil || sum.Ready != 5 {
				t.Fatalf("the other source: %+v, %v", sum, err)
			}
			b.must(b.store.Balance(t.Context()))
			b.cfg.Sources = both
			if sum := b.mustRun(); sum.Ready != 600 {
				t.Errorf("back again: %+v", sum)
			}
		})
	}
}

// A full disk under the store loses nothing and leaves nothing half; with
// space the next run goes on.
func TestAFullDiskUnderTheStore(t *testing.T) {
	reached := false
	for pages := 90; pages < 500; pages += 100 {
		b := newBench(t)
		b.close()
		b.pages = pages
		b.open()
		g := b.generate("a.csv", 1, sample.Options{Rows: 600, Seed: 1})
		b.drops(g)
		sum, err := b.run()
		if err == nil {
			if sum.Ready != 600 {
				t.Errorf("%d pages: %+v", pages, sum)
			}
			continue
		}
		reached = true
		if !errors.Is(err, store.ErrFull) || sum.Accepted != 0 {
			t.Errorf("%d pages: %+v, %v", pages, sum, err)
		}
		b.must(b.store.Balance(t.Context()))
		b.pages = 0
		b.restart()
		b.mustRun()
		checkWhole(t, b, g, fmt.Sprint(pages, " pages"))
	}
	if !reached {
		t.Error("the disk was never full")
	}
}
