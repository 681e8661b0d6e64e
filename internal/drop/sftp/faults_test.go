package sftp_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/drop/sftp"
	"cardbatch/internal/drop/sftp/sftptest"
)

// soon is what a stuck call may take in these tests, where silence is allowed
// for a fraction of a second.
const soon = 10 * time.Second

// impatient makes silence short.
func impatient(cfg sftp.Config) sftp.Config {
	cfg.DialTimeout, cfg.IdleTimeout = time.Second, 400*time.Millisecond
	return cfg
}

func plant(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func dirOf(dir *string) func(*sftptest.Config) {
	return func(c *sftptest.Config) { *dir = c.Dir }
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func wantFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		if !e.IsDir() {
			got = append(got, e.Name())
		}
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("files %q, want %q", got, names)
	}
}

// eventually polls, for things of the server that nobody announces.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !is() {
		select {
		case <-deadline.C:
			t.Fatalf("never came: %s", what)
		case <-poll.C:
		}
	}
}

func inTime(t *testing.T, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatal("the call hangs")
	}
}

func content(size int) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Repeat("x", size))
		return err
	}
}

// everyOperation calls each operation on in/a.csv once.
func everyOperation(d drop.Drop) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"list":   func(ctx context.Context) error { _, err := d.List(ctx, "."); return err },
		"rename": func(ctx context.Context) error { return d.Rename(ctx, "a.csv", "b.csv") },
		"put":    func(ctx context.Context) error { _, err := d.Put(ctx, "r.csv", content(100)); return err },
		"read":   func(ctx context.Context) error { _, err := drop.Checksum(ctx, d, "a.csv"); return err },
	}
}

// silentPort accepts connections and says nothing.
func silentPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); wg.Wait() })
	return listener.Addr().String()
}

func TestSilentHost(t *testing.T) {
	t.Parallel()
	_, cfg := serve(t)
	cfg.Address = silentPort(t)
	d := connect(t, impatient(cfg))
	for name, operation := range everyOperation(d) {
		inTime(t, func() {
			if err := operation(t.Context()); !errors.Is(err, drop.ErrUnavailable) || !strings.Contains(err.Error(), cfg.Address) {
				t.Errorf("%s: error %v", name, err)
			}
		})
	}
}

func TestSilentHostAndCancel(t *testing.T) {
	_, cfg := serve(t)
	cfg.Address = silentPort(t)
	d := connect(t, cfg) // patient: only the context can end it
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	inTime(t, func() {
		_, err := d.List(ctx, ".")
		wantError(t, err, context.DeadlineExceeded)
	})
}

func TestNobodyListens(t *testing.T) {
	server, cfg := serve(t)
	d := connect(t, cfg)
	server.Stop()
	_, err := d.List(t.Context(), ".")
	wantError(t, err, drop.ErrUnavailable)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.List(t.Context(), "."); err != nil {
		t.Errorf("the server is back, but: %v", err)
	}
}

// TestSilentService: ssh lives and answers keepalives, the file service does
// not answer any more.
func TestSilentService(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"list", "stat", "open", "read", "create", "write", "close", "rename"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			var dir string
			server, cfg := serve(t, dirOf(&dir))
			plant(t, dir, "a.csv", "x")
			d := connect(t, impatient(cfg))
			server.SetHook(func(op, _ string) error {
				if op == at {
					return sftptest.Hang
				}
				return nil
			})
			silenced := 0
			for name, operation := range everyOperation(d) {
				inTime(t, func() {
					err := operation(t.Context())
					if errors.Is(err, drop.ErrUnavailable) {
						silenced++
					} else if err != nil && !errors.Is(err, drop.ErrNotExist) { // the rename came before the read
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			if silenced == 0 {
				t.Error("no operation noticed")
			}
			server.SetHook(nil)
			if _, err := d.List(t.Context(), "."); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestStuckCallAndCancel: with all the patience of the default, a context
// still ends a stuck call at once, and Close too.
func TestStuckCallAndCancel(t *testing.T) {
	for name, end := range map[string]func(cancel func(), d drop.Drop){
		"cancel": func(cancel func(), _ drop.Drop) { cancel() },
		"close":  func(_ func(), d drop.Drop) { _ = d.Close() },
	} {
		server, cfg := serve(t)
		d := connect(t, cfg)
		stuck := make(chan struct{}, 1)
		server.SetHook(func(string, string) error {
			stuck <- struct{}{}
			return sftptest.Hang
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-stuck
			end(cancel, d)
		}()
		inTime(t, func() {
			_, err := d.List(ctx, ".")
			if want := map[string]error{"cancel": context.Canceled, "close": drop.ErrUnavailable}[name]; !errors.Is(err, want) {
				t.Errorf("%s: error %v", name, err)
			}
		})
		cancel()
	}
}

// blackHole forwards to a server until it swallows everything, as a firewall
// that has forgotten a connection.
func blackHole(t *testing.T, to string) (string, *atomic.Bool) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var swallow atomic.Bool
	var wg sync.WaitGroup
	pipe := func(to, from net.Conn) {
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				_ = to.Close()
				return
			}
			if !swallow.Load() {
				_, _ = to.Write(buffer[:n])
			}
		}
	}
	wg.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			wg.Go(func() { pipe(far, near) })
			wg.Go(func() { pipe(near, far) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); wg.Wait() })
	return listener.Addr().String(), &swallow
}

// TestCutCable: nothing arrives any more, nothing says so. The idle
// connection is noticed by its missing keepalives and replaced.
func TestCutCable(t *testing.T) {
	t.Parallel()
	server, cfg := serve(t)
	addr, swallow := blackHole(t, server.Addr())
	cfg.Address = addr
	d := connect(t, impatient(cfg))
	if _, err := d.List(t.Context(), "."); err != nil {
		t.Fatal(err)
	}
	swallow.Store(true)
	inTime(t, func() {
		_, err := d.List(t.Context(), ".")
		wantError(t, err, drop.ErrUnavailable)
	})
	swallow.Store(false)
	if _, err := d.List(t.Context(), "."); err != nil {
		t.Errorf("the cable is mended, but: %v", err)
	}
}

// TestSlowIsNotSilent: a transfer may last many times the idle timeout as
// long as something arrives.
func TestSlowIsNotSilent(t *testing.T) {
	t.Parallel()
	var dir string
	server, cfg := serve(t, dirOf(&dir), func(c *sftptest.Config) { c.MaxRead = 8 << 10 })
	const size = 480 << 10 // 60 reads of 20 ms
	plant(t, dir, "a.csv", strings.Repeat("x", size))
	server.SetDelay(20 * time.Millisecond)
	start := time.Now()
	got, err := drop.Checksum(t.Context(), connect(t, impatient(cfg)), "a.csv")
	if err != nil || got.Size != size {
		t.Errorf("read %d bytes, %v", got.Size, err)
	}
	if took := time.Since(start); took < 800*time.Millisecond {
		t.Errorf("took only %s: the test proves nothing", took)
	}
}

// TestSlowReaderKeepsItsConnection: who reads may take his time; keepalives
// hold the line.
func TestSlowReaderKeepsItsConnection(t *testing.T) {
	t.Parallel()
	var dir string
	server, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", strings.Repeat("x", 3<<20))
	r, err := connect(t, impatient(cfg)).Open(t.Context(), "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.CopyN(io.Discard, r, 10)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "keepalives for longer than the idle timeout", func() bool { return server.Keepalives() >= 8 })
	rest, err := io.Copy(io.Discard, r)
	if err := errors.Join(err, r.Close()); err != nil || n+rest != 3<<20 {
		t.Errorf("read %d bytes, %v", n+rest, err)
	}
	if server.Connections() != 1 {
		t.Errorf("%d connections", server.Connections())
	}
}

// TestReconnects: connections that died between operations cost nothing but a
// new one; the operations do not fail.
func TestReconnects(t *testing.T) {
	var dir string
	server, cfg := serve(t, dirOf(&dir))
	d := connect(t, cfg)
	for name, operation := range everyOperation(d) {
		plant(t, dir, "a.csv", "x")
		if _, err := d.List(t.Context(), "."); err != nil {
			t.Fatal(err)
		}
		server.KillConnections()
		if err := operation(t.Context()); err != nil {
			t.Errorf("%s on a dead connection: %v", name, err)
		}
	}
}

// TestAnswersKeepTheConnection: a refusal is an answer, not a fault of the
// line.
func TestAnswersKeepTheConnection(t *testing.T) {
	var dir string
	server, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", "x")
	d := connect(t, cfg)
	for _, answer := range []error{fs.ErrPermission, errors.New("quota exceeded"), fs.ErrNotExist} {
		server.SetHook(func(string, string) error { return answer })
		for name, operation := range everyOperation(d) {
			if err := operation(t.Context()); err == nil || errors.Is(err, drop.ErrUnavailable) {
				t.Errorf("%s answered by %q: %v", name, answer, err)
			}
		}
	}
	server.SetHook(func(string, string) error { return fs.ErrPermission })
	_, err := d.List(t.Context(), "secret")
	wantError(t, err, fs.ErrPermission)
	if want := "list secret on sftp://cardbatch@" + server.Addr() + "/"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v does not begin with %q", err, want)
	}
	server.SetHook(nil)
	if _, err := d.List(t.Context(), "."); err != nil {
		t.Error(err)
	}
	if server.Connections() != 1 {
		t.Errorf("%d connections", server.Connections())
	}
}

// TestNothingIsSentTwice: when the line breaks at a step that changes
// something, the step is not sent again.
func TestNothingIsSentTwice(t *testing.T) {
	for op, operation := range map[string]string{"rename": "rename", "create": "put", "write": "put"} {
		var dir string
		server, cfg := serve(t, dirOf(&dir))
		plant(t, dir, "a.csv", "x")
		d := connect(t, cfg)
		if _, err := d.List(t.Context(), "."); err != nil { // a connection to be reused
			t.Fatal(err)
		}
		var sent atomic.Int32
		server.SetHook(func(asked, _ string) error {
			if asked == op {
				sent.Add(1)
				return sftptest.Cut
			}
			return nil
		})
		wantError(t, everyOperation(d)[operation](t.Context()), drop.ErrUnavailable)
		if sent.Load() != 1 {
			t.Errorf("%s was sent %d times", op, sent.Load())
		}
		server.SetHook(nil)
		if _, err := d.List(t.Context(), "."); err != nil {
			t.Error(err)
		}
		if op != "create" {
			wantFiles(t, dir, "a.csv") // also the temporary file is gone
		}
	}
}

// TestBrokenReadIsNoEnd: a file is not taken for complete when the line breaks.
func TestBrokenReadIsNoEnd(t *testing.T) {
	var dir string
	server, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", strings.Repeat("x", 2<<20))
	d := connect(t, cfg)
	for _, at := range []int32{1, 2, 3, 10, 40, 64} {
		var reads atomic.Int32
		server.SetHook(func(op, _ string) error {
			if op == "read" && reads.Add(1) == at {
				return sftptest.Cut
			}
			return nil
		})
		_, err := drop.Checksum(t.Context(), d, "a.csv")
		wantError(t, err, drop.ErrUnavailable)
	}
}

// TestGrowingFileIsNoticed: a file still being uploaded is not a file.
func TestGrowingFileIsNoticed(t *testing.T) {
	var dir string
	server, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", "first half, ")
	server.SetHook(func(op, name string) error {
		if op == "stat" && name == "a.csv" {
			plant(t, dir, "a.csv", "first half, second half")
		}
		return nil
	})
	_, err := drop.Checksum(t.Context(), connect(t, cfg), "a.csv")
	wantError(t, err, io.ErrUnexpectedEOF)
}

// TestSmallPackets: a short answer is not the end of the file.
func TestSmallPackets(t *testing.T) {
	var dir string
	_, cfg := serve(t, dirOf(&dir), func(c *sftptest.Config) { c.MaxRead = 5000 })
	d := connect(t, cfg)
	for _, size := range []int{0, 1, 4999, 5000, 5001, 32 << 10, 65<<10 + 1, 1 << 20} {
		name := "r" + time.Duration(size).String()
		put, err := d.Put(t.Context(), name, content(size))
		if err != nil || put.Size != int64(size) {
			t.Errorf("%d bytes: %v, %v", size, put, err)
		}
	}
}

func TestServerThatLies(t *testing.T) {
	for _, op := range []string{"create", "write", "rename"} {
		var dir string
		server, cfg := serve(t, dirOf(&dir))
		plant(t, dir, "a.csv", "x")
		d := connect(t, cfg)
		server.SetHook(func(asked, _ string) error {
			if asked == op {
				return sftptest.Lie
			}
			return nil
		})
		_, err := d.Put(t.Context(), "r.csv", content(100_000))
		wantError(t, err, drop.ErrUnverified)
		wantFiles(t, dir, "a.csv")
		if op == "rename" {
			err := d.Rename(t.Context(), "a.csv", "b.csv")
			wantError(t, err, drop.ErrUnverified)
			if errors.Is(err, drop.ErrNotExist) {
				t.Error("looks as if somebody else had taken the file")
			}
		}
	}
}

// TestServerThatOverwrites: nothing is lost on a server whose rename replaces.
func TestServerThatOverwrites(t *testing.T) {
	var dir string
	_, cfg := serve(t, dirOf(&dir), func(c *sftptest.Config) { c.RenameOverwrites = true })
	plant(t, dir, "a.csv", "new")
	plant(t, dir, "b.csv", "old")
	d := connect(t, cfg)
	wantError(t, d.Rename(t.Context(), "a.csv", "b.csv"), drop.ErrExist)
	_, err := d.Put(t.Context(), "b.csv", content(1))
	wantError(t, err, drop.ErrExist)
	if b, err := os.ReadFile(filepath.Join(dir, "b.csv")); err != nil || string(b) != "old" {
		t.Errorf("b.csv holds %q, %v", b, err)
	}
}

// TestModestDemands: what many servers refuse is not asked for.
func TestModestDemands(t *testing.T) {
	var dir string
	server, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", "x")
	var open, most atomic.Int32
	server.SetHook(func(op, name string) error {
		switch op {
		case "setstat", "mkdir", "rmdir":
			t.Errorf("%s %s", op, name)
			return fs.ErrPermission
		case "open", "create":
			most.Store(max(most.Load(), open.Add(1)))
		case "close":
			open.Add(-1)
		}
		return nil
	})
	d := connect(t, cfg)
	for _, name := range []string{"list", "read", "rename", "put"} {
		if err := everyOperation(d)[name](t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if most.Load() != 1 || open.Load() != 0 {
		t.Errorf("%d files open at once, %d in the end", most.Load(), open.Load())
	}
	if server.Connections() != 1 {
		t.Errorf("%d connections for one thing after the other", server.Connections())
	}
}

func TestConnectionLimit(t *testing.T) {
	var dir string
	server, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", "x")
	cfg.MaxConnections = 2
	d := connect(t, cfg)
	var readers []io.ReadCloser
	for range 2 {
		r, err := d.Open(t.Context(), "a.csv")
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.List(ctx, ".")
	wantError(t, err, context.DeadlineExceeded)
	for _, r := range readers {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.List(t.Context(), "."); err != nil {
		t.Error(err)
	}
	if server.Connections() != 2 {
		t.Errorf("%d connections", server.Connections())
	}
}

// TestCloseEndsOpenFiles: nobody waits for a file that nobody closes.
func TestCloseEndsOpenFiles(t *testing.T) {
	var dir string
	_, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", strings.Repeat("x", 3<<20))
	d := connect(t, cfg)
	r, err := d.Open(t.Context(), "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	inTime(t, func() { _ = d.Close() })
	_, err = io.Copy(io.Discard, r)
	wantError(t, err, drop.ErrUnavailable)
	_ = r.Close()
}

// TestMemoryIsBounded reads a file that would not fit.
func TestMemoryIsBounded(t *testing.T) {
	var dir string
	_, cfg := serve(t, dirOf(&dir))
	plant(t, dir, "a.csv", "")
	const size = 96 << 20
	if err := os.Truncate(filepath.Join(dir, "a.csv"), size); err != nil { // sparse
		t.Fatal(err)
	}
	r, err := connect(t, cfg).Open(t.Context(), "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // a reader
	var read int64
	var peak uint64
	for {
		n, err := io.CopyN(io.Discard, r, 16<<20)
		read += n
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		peak = max(peak, stats.HeapInuse)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if read != size || peak > size/2 {
		t.Errorf("read %d bytes with %d MiB in use", read, peak>>20)
	}
}

func BenchmarkDownload(b *testing.B) {
	dir := b.TempDir()
	server, err := sftptest.Start(sftptest.Config{Dir: dir, Users: []sftptest.User{{Name: "cardbatch", Password: "not-a-real-password"}}})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close() //nolint:errcheck // a benchmark
	const size = 64 << 20
	if err := os.WriteFile(filepath.Join(dir, "a.csv"), make([]byte, size), 0o600); err != nil {
		b.Fatal(err)
	}
	d, err := sftp.New(password(server))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // a benchmark
	b.SetBytes(size)
	for b.Loop() {
		r, err := d.Open(b.Context(), "a.csv")
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); err != nil || n != size {
			b.Fatal(n, err)
		}
		_ = r.Close()
	}
}
