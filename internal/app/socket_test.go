package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/ops"
)

// childConfig tells a process of this test that it is a daemon.
const childConfig = "CARDBATCH_TEST_DAEMON"

func TestMain(m *testing.M) {
	if path := os.Getenv(newsDaemon); path != "" {
		_, _ = fmt.Fprintln(os.Stderr, serveUntilKilled(path))
		os.Exit(1)
	}
	if path := os.Getenv(childConfig); path != "" {
		if err := daemon(path); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// daemon is what `cardbatch serve` does.
func daemon(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, app.Options{Config: cfg, Migrate: true, Listen: true,
		Logger: ops.NewLogger(os.Stdout, "info", "json", func() time.Time { return time.Now().UTC() })})
	if err != nil {
		return err
	}
	return errors.Join(a.Serve(ctx), a.Close())
}

// startDaemon starts a process as systemd would, with the socket as its third
// descriptor, and waits until it is ready.
func (w *world) startDaemon(t *testing.T, socket *os.File) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$0"`, self)
	cmd.Env = append(os.Environ(), childConfig+"="+filepath.Join(w.dir, "cardbatch.yaml"), "LISTEN_FDS=1", "LISTEN_FDNAMES=notifications")
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = w.log
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(out)
		for once := sync.OnceFunc(func() { close(ready) }); lines.Scan(); {
			_, _ = w.log.Write(append(lines.Bytes(), '\n'))
			if strings.Contains(lines.Text(), `"message":"ready"`) {
				once()
			}
		}
	}()
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatalf("the daemon did not start:\n%s", w.log)
	}
	return cmd
}

// While the daemon restarts, D1 calls on, with new connections and with old
// ones: nobody is refused.
func TestRestartWithSystemdsSocketRefusesNoCall(t *testing.T) {
	w := newWorld(t)
	w.write(t, "cardbatch.yaml", strings.Replace(w.text(t), `listen: "127.0.0.1:0"`, "listen: systemd, plain_http: true", 1))
	bound, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	socket, err := bound.(*net.TCPListener).File()
	must(t, err)
	defer func() { _ = socket.Close() }()
	url := "http://" + bound.Addr().String() + "/notifications/d1/v2/issuers/" + issuerID + "/cards"
	must(t, bound.Close()) // the socket lives on in our file, as in systemd

	process := w.startDaemon(t, socket)
	var answered, refused atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	for i := range 6 {
		callers.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: 30 * time.Second}
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf(`{"operations":[],"n":"%d-%d"}`, i, n)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				req.GetBody = nil // no second try that we would not see
				resp, err := client.Do(req)
				if err != nil || resp.StatusCode != http.StatusNoContent {
					refused.Add(1)
					t.Errorf("refused: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				answered.Add(1)
			}
		})
	}
	for range 3 {
		before := answered.Load()
		waitUntil(t, func() bool { return answered.Load() > before+50 || refused.Load() > 0 })
		must(t, process.Process.Signal(syscall.SIGTERM))
		if err := process.Wait(); err != nil {
			t.Errorf("the daemon ended: %v", err)
		}
		process = w.startDaemon(t, socket)
	}
	before := answered.Load()
	waitUntil(t, func() bool { return answered.Load() > before+50 || refused.Load() > 0 })
	stop()
	callers.Wait()
	must(t, process.Process.Signal(syscall.SIGTERM))
	if err := process.Wait(); err != nil {
		t.Errorf("the daemon ended: %v", err)
	}
	if refused.Load() != 0 || answered.Load() < 200 {
		t.Errorf("%d answered, %d refused\n%s", answered.Load(), refused.Load(), w.log)
	}
}

// Without the socket that the configuration promises, the daemon does not start.
func TestSystemdsSocketMissing(t *testing.T) {
	w := newWorld(t)
	w.write(t, "cardbatch.yaml", strings.Replace(w.text(t), `listen: "127.0.0.1:0"`, "listen: systemd, plain_http: true", 1))
	cfg, err := config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
	_, err = app.New(t.Context(), app.Options{Config: cfg, Migrate: true, Listen: true})
	if err == nil || !strings.Contains(err.Error(), "cardbatch.socket") {
		t.Errorf("got %v", err)
	}
}

func (w *world) text(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
	return string(b)
}

func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.NewTimer(30*time.Second)
	defer tick.Stop()
	defer limit.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("it did not happen")
		}
	}
}
