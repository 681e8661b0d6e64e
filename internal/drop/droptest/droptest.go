// Package droptest holds the behaviour that every file drop shows, as one
// suite that each adapter runs against a real directory or server.
//
//	droptest.Run(t, func(t *testing.T) (drop.Drop, string) { ... })
//
// The suite also works behind the drop's back, in the local directory that the
// drop serves: it plants files as a bank's upload would, and looks at what is
// really there.
package droptest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/drop"
)

// Open gives an empty drop and the local directory it serves. What it opens
// must end with the test.
type Open func(t *testing.T) (drop.Drop, string)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"list", testList},
		{"list what is not there", testListMissing},
		{"stat", testStat},
		{"open", testOpen},
		{"open what is not there", testOpenMissing},
		{"close while reading", testCloseEarly},
		{"big file", testBigFile},
		{"rename", testRename},
		{"rename never overwrites", testRenameExists},
		{"rename what is not there", testRenameMissing},
		{"rename into a missing directory", testRenameNoDirectory},
		{"one of many claims wins", testClaimRace},
		{"put", testPut},
		{"put never overwrites", testPutExists},
		{"put fails with its content", testPutContentFails},
		{"put into a missing directory", testPutNoDirectory},
		{"put is never seen half", testPutAtomic},
		{"names", testNames},
		{"names that lead out", testBadNames},
		{"links lead nowhere", testLinks},
		{"cancelled", testCancelled},
		{"cancelled while reading", testCancelledReading},
		{"cancelled while putting", testCancelledPutting},
		{"checksum", testChecksum},
		{"closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, dir := open(t)
			f := &fixture{Drop: d, dir: dir}
			f.mkdir(t, "in", "archive", "out", "in/deep")
			c.test(t, f)
		})
	}
}

// limit is how long one test may take; nothing should come near it.
const limit = time.Minute

type fixture struct {
	drop.Drop
	dir string
}

func (f *fixture) ctx(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func (f *fixture) local(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f *fixture) mkdir(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(f.local(name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
}

func (f *fixture) plant(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(f.local(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// onDisk is what is really under a name, and whether there is anything.
func (f *fixture) onDisk(t *testing.T, name string) (string, bool) {
	t.Helper()
	b, err := os.ReadFile(f.local(name))
	if errors.Is(err, os.ErrNotExist) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b), true
}

func (f *fixture) wantOnDisk(t *testing.T, name, content string) {
	t.Helper()
	if got, ok := f.onDisk(t, name); !ok || got != content {
		t.Errorf("%s holds %.40q (there: %t), want %.40q", name, got, ok, content)
	}
}

func (f *fixture) wantGone(t *testing.T, name string) {
	t.Helper()
	if _, ok := f.onDisk(t, name); ok {
		t.Errorf("%s is there", name)
	}
}

// wantOnly checks every name in a directory, hidden ones included.
func (f *fixture) wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(f.local(dir))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(append([]string{}, names...), got); diff != "" {
		t.Errorf("names in %s (-want +got):\n%s", dir, diff)
	}
}

func (f *fixture) read(t *testing.T, name string) string {
	t.Helper()
	r, err := f.Open(f.ctx(t), name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func written(content string) drop.Written {
	sum := sha256.Sum256([]byte(content))
	return drop.Written{Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

// noise does not compress and repeats with the seed.
func noise(size int) string {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

func testList(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/b.csv", "12345")
	f.plant(t, "in/a.csv", "")
	f.plant(t, "in/.hidden", "1")
	f.plant(t, "in/deep/c.csv", "1")
	then := time.Date(2026, 3, 29, 1, 2, 3, 0, time.UTC)
	if err := os.Chtimes(f.local("in/b.csv"), then, then); err != nil {
		t.Fatal(err)
	}
	got, err := f.List(f.ctx(t), "in")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range got {
		names = append(names, e.Name)
	}
	if diff := cmp.Diff([]string{".hidden", "a.csv", "b.csv"}, names); diff != "" {
		t.Fatalf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(drop.Entry{Name: "b.csv", Size: 5, ModTime: then}, got[2]); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	if got, err := f.List(f.ctx(t), "in/deep"); err != nil || len(got) != 1 || got[0].Name != "c.csv" {
		t.Errorf("sub-directory: %v, %v", got, err)
	}
	if got, err := f.List(f.ctx(t), "."); err != nil || len(got) != 0 {
		t.Errorf("root with only directories: %v, %v", got, err)
	}
}

func testStat(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "12345")
	then := time.Date(2026, 3, 29, 1, 2, 3, 0, time.UTC)
	if err := os.Chtimes(f.local("in/a.csv"), then, then); err != nil {
		t.Fatal(err)
	}
	got, err := f.Stat(f.ctx(t), "in/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(drop.Entry{Name: "a.csv", Size: 5, ModTime: then}, got); diff != "" {
		t.Errorf("stat (-want +got):\n%s", diff)
	}
	_, err = f.Stat(f.ctx(t), "in/b.csv")
	wantError(t, err, drop.ErrNotExist)
	_, err = f.Stat(f.ctx(t), "nowhere/b.csv")
	wantError(t, err, drop.ErrNotExist)
	_, err = f.Stat(f.ctx(t), "../b.csv")
	wantError(t, err, drop.ErrName)
}

func testListMissing(t *testing.T, f *fixture) {
	t.Helper()
	_, err := f.List(f.ctx(t), "nowhere")
	wantError(t, err, drop.ErrNotExist)
}

func testOpen(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "one\ntwo\n")
	f.plant(t, "in/empty.csv", "")
	if got := f.read(t, "in/a.csv"); got != "one\ntwo\n" {
		t.Errorf("read %q", got)
	}
	if got := f.read(t, "in/empty.csv"); got != "" {
		t.Errorf("read %q of an empty file", got)
	}
}

func testOpenMissing(t *testing.T, f *fixture) {
	t.Helper()
	_, err := f.Open(f.ctx(t), "in/a.csv")
	wantError(t, err, drop.ErrNotExist)
	if err == nil || !strings.Contains(err.Error(), "in/a.csv") {
		t.Errorf("error %v does not name the file", err)
	}
}

func testCloseEarly(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", noise(3<<20))
	for range 20 { // more often than there are connections
		r, err := f.Open(f.ctx(t), "in/a.csv")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, 100<<10); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Fatalf("read after close: %v", err)
		}
	}
}

func testBigFile(t *testing.T, f *fixture) {
	t.Helper()
	content := noise(20<<20 + 12345)
	got, err := f.Put(f.ctx(t), "out/big.csv", text(content))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written(content), got); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if f.read(t, "out/big.csv") != content {
		t.Error("read back something else")
	}
}

func testRename(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "x")
	if err := f.Rename(f.ctx(t), "in/a.csv", "archive/a.csv.1"); err != nil {
		t.Fatal(err)
	}
	f.wantGone(t, "in/a.csv")
	f.wantOnDisk(t, "archive/a.csv.1", "x")
}

func testRenameExists(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "new")
	f.plant(t, "archive/a.csv", "old")
	wantError(t, f.Rename(f.ctx(t), "in/a.csv", "archive/a.csv"), drop.ErrExist)
	f.wantOnDisk(t, "in/a.csv", "new")
	f.wantOnDisk(t, "archive/a.csv", "old")
	wantError(t, f.Rename(f.ctx(t), "in/a.csv", "archive"), drop.ErrExist)
}

func testRenameMissing(t *testing.T, f *fixture) {
	t.Helper()
	wantError(t, f.Rename(f.ctx(t), "in/a.csv", "archive/a.csv"), drop.ErrNotExist)
	f.wantGone(t, "archive/a.csv")
}

func testRenameNoDirectory(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "x")
	err := f.Rename(f.ctx(t), "in/a.csv", "nowhere/a.csv")
	if err == nil || errors.Is(err, drop.ErrNotExist) || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error %v, want one that names the directory and is not ErrNotExist", err)
	}
	f.wantOnDisk(t, "in/a.csv", "x")
}

// testClaimRace: many take the same file, each to a name of its own.
func testClaimRace(t *testing.T, f *fixture) {
	t.Helper()
	const claimants = 4
	for round := range 10 {
		f.plant(t, "in/a.csv", "x")
		errs := make([]error, claimants)
		var wg sync.WaitGroup
		for i := range claimants {
			wg.Go(func() { errs[i] = f.Rename(f.ctx(t), "in/a.csv", fmt.Sprintf("archive/%d-%d", round, i)) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			name := fmt.Sprintf("archive/%d-%d", round, i)
			if err == nil {
				won++
				f.wantOnDisk(t, name, "x")
				continue
			}
			wantError(t, err, drop.ErrNotExist)
			f.wantGone(t, name)
		}
		if won != 1 {
			t.Fatalf("%d claims won in round %d: %v", won, round, errs)
		}
		f.wantGone(t, "in/a.csv")
	}
}

func testPut(t *testing.T, f *fixture) {
	t.Helper()
	got, err := f.Put(f.ctx(t), "out/r.csv", func(w io.Writer) error {
		for i := range 5000 {
			if _, err := fmt.Fprintf(w, "line %d\n", i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	content, _ := f.onDisk(t, "out/r.csv")
	if diff := cmp.Diff(written(content), got); diff != "" {
		t.Errorf("written (-on disk +returned):\n%s", diff)
	}
	if !strings.HasSuffix(content, "line 4999\n") {
		t.Errorf("ends with %q", content[max(0, len(content)-20):])
	}
	if got, err := f.Put(f.ctx(t), "out/empty.csv", text("")); err != nil || got != written("") {
		t.Errorf("empty file: %v, %v", got, err)
	}
	f.wantOnly(t, "out", "empty.csv", "r.csv")
}

func testPutExists(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "out/r.csv", "old")
	_, err := f.Put(f.ctx(t), "out/r.csv", func(io.Writer) error {
		t.Error("content was asked for")
		return nil
	})
	wantError(t, err, drop.ErrExist)
	// One that appears while we write is not replaced either.
	_, err = f.Put(f.ctx(t), "out/s.csv", func(w io.Writer) error {
		f.plant(t, "out/s.csv", "theirs")
		return text("ours")(w)
	})
	wantError(t, err, drop.ErrExist)
	f.wantOnDisk(t, "out/r.csv", "old")
	f.wantOnDisk(t, "out/s.csv", "theirs")
	f.wantOnly(t, "out", "r.csv", "s.csv")
}

func testPutContentFails(t *testing.T, f *fixture) {
	t.Helper()
	broken := errors.New("the rows ran out")
	_, err := f.Put(f.ctx(t), "out/r.csv", func(w io.Writer) error {
		return errors.Join(text(noise(100<<10))(w), broken)
	})
	wantError(t, err, broken)
	f.wantOnly(t, "out")
}

func testPutNoDirectory(t *testing.T, f *fixture) {
	t.Helper()
	if _, err := f.Put(f.ctx(t), "nowhere/r.csv", text("x")); err == nil {
		t.Error("no error")
	}
	f.wantOnly(t, ".", "archive", "in", "out")
}

// testPutAtomic looks on all the time while files are put.
func testPutAtomic(t *testing.T, f *fixture) {
	t.Helper()
	content := noise(256 << 10)
	ctx := f.ctx(t)
	done := make(chan struct{})
	seen := make(chan error, 1)
	go func() {
		for {
			select {
			case <-done:
				seen <- nil
				return
			default:
			}
			entries, err := f.List(ctx, "out")
			if err != nil {
				seen <- err
				return
			}
			for _, e := range entries {
				if !drop.Hidden(e.Name) && e.Size != int64(len(content)) {
					seen <- fmt.Errorf("%s was seen with %d bytes", e.Name, e.Size)
					return
				}
			}
		}
	}()
	for i := range 20 {
		if _, err := f.Put(ctx, fmt.Sprintf("out/%d.csv", i), text(content)); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	if err := <-seen; err != nil {
		t.Fatal(err)
	}
}

func testNames(t *testing.T, f *fixture) {
	t.Helper()
	for _, name := range []string{
		"with space.csv", "Ünïcödé-€-漢字.csv", "-dash.csv", "quote'\"$x`.csv", "star*?[a].csv", "trailing ", "back\\slash",
		strings.Repeat("long", 50) + ".csv", "in.deep..csv",
	} {
		if _, err := f.Put(f.ctx(t), "in/"+name, text(name)); err != nil {
			t.Errorf("put %q: %v", name, err)
			continue
		}
		if err := f.Rename(f.ctx(t), "in/"+name, "archive/"+name); err != nil {
			t.Errorf("rename %q: %v", name, err)
			continue
		}
		if got := f.read(t, "archive/"+name); got != name {
			t.Errorf("%q holds %q", name, got)
		}
	}
	entries, err := f.List(f.ctx(t), "archive")
	if err != nil || len(entries) != 9 {
		t.Errorf("list: %d entries, %v", len(entries), err)
	}
}

func testBadNames(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "x")
	for _, name := range []string{
		"", "/", "/etc/passwd", "..", "../a.csv", "in/../../a.csv", "in/../in/a.csv", "in//a.csv", "in/", "./in/a.csv", "in/\x00", "in/a\nb",
	} {
		_, err := f.Open(f.ctx(t), name)
		wantError(t, err, drop.ErrName)
		_, err = f.Put(f.ctx(t), name, text("x"))
		wantError(t, err, drop.ErrName)
		wantError(t, f.Rename(f.ctx(t), name, "archive/a.csv"), drop.ErrName)
		wantError(t, f.Rename(f.ctx(t), "in/a.csv", name), drop.ErrName)
		_, err = f.List(f.ctx(t), name)
		wantError(t, err, drop.ErrName)
	}
	f.wantOnDisk(t, "in/a.csv", "x")
}

// testLinks: a link is not a regular file, so nobody picks it up.
func testLinks(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "x")
	if err := os.Symlink("a.csv", f.local("in/link.csv")); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink("nothing", f.local("out/dangling.csv")); err != nil {
		t.Fatal(err)
	}
	entries, err := f.List(f.ctx(t), "in")
	if err != nil || len(entries) != 1 || entries[0].Name != "a.csv" {
		t.Errorf("list: %v, %v", entries, err)
	}
	_, err = f.Put(f.ctx(t), "out/dangling.csv", text("x"))
	wantError(t, err, drop.ErrExist)
}

func testCancelled(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "x")
	ctx, cancel := context.WithCancel(f.ctx(t))
	cancel()
	_, err := f.List(ctx, "in")
	wantError(t, err, context.Canceled)
	_, err = f.Open(ctx, "in/a.csv")
	wantError(t, err, context.Canceled)
	wantError(t, f.Rename(ctx, "in/a.csv", "archive/a.csv"), context.Canceled)
	_, err = f.Put(ctx, "out/a.csv", text("x"))
	wantError(t, err, context.Canceled)
	f.wantOnDisk(t, "in/a.csv", "x")
	f.wantOnly(t, "out")
}

func testCancelledReading(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", noise(10<<20))
	ctx, cancel := context.WithCancel(f.ctx(t))
	r, err := f.Open(ctx, "in/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, r, 1<<10); err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = io.Copy(io.Discard, r)
	wantError(t, err, context.Canceled)
	_ = r.Close()
	if _, err := f.List(f.ctx(t), "in"); err != nil {
		t.Errorf("the drop is unusable afterwards: %v", err)
	}
}

func testCancelledPutting(t *testing.T, f *fixture) {
	t.Helper()
	ctx, cancel := context.WithCancel(f.ctx(t))
	_, err := f.Put(ctx, "out/a.csv", func(w io.Writer) error {
		if err := text(noise(1 << 20))(w); err != nil {
			return err
		}
		cancel()
		return text(noise(1 << 20))(w)
	})
	wantError(t, err, context.Canceled)
	f.wantOnly(t, "out") // cleaned up although the context is done
}

func testChecksum(t *testing.T, f *fixture) {
	t.Helper()
	content := noise(100_000)
	f.plant(t, "in/a.csv", content)
	got, err := drop.Checksum(f.ctx(t), f, "in/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written(content), got); diff != "" {
		t.Errorf("checksum (-want +got):\n%s", diff)
	}
	_, err = drop.Checksum(f.ctx(t), f, "in/b.csv")
	wantError(t, err, drop.ErrNotExist)
}

func testClosed(t *testing.T, f *fixture) {
	t.Helper()
	f.plant(t, "in/a.csv", "x")
	if _, err := f.List(f.ctx(t), "in"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := f.List(f.ctx(t), "in")
	wantError(t, err, drop.ErrUnavailable)
	_, err = f.Put(f.ctx(t), "out/a.csv", func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader([]byte("x")))
		return err
	})
	wantError(t, err, drop.ErrUnavailable)
	if err := f.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}
