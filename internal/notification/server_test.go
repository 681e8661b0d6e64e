package notification_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/notification"
)

// serve starts a server and returns it with a function that ends it and
// returns what Serve said.
func serve(tb testing.TB, cfg notification.ServerConfig) (*notification.Server, func() error) {
	tb.Helper()
	cfg.Addr, cfg.Log = "127.0.0.1:0", zerolog.Nop()
	s, err := notification.Listen(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	end := func() error { cancel(); return <-ended }
	tb.Cleanup(func() { cancel() })
	return s, end
}

func post(t *testing.T, client *http.Client, url, body string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestServe(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	s, end := serve(t, notification.ServerConfig{Handler: b})
	if code, err := post(t, http.DefaultClient, "http://"+s.Addr().String(), good); err != nil || code != 204 {
		t.Errorf("answered %d, %v", code, err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if _, err := post(t, http.DefaultClient, "http://"+s.Addr().String(), good); err == nil {
		t.Error("still answers after its end")
	}
}

// A request under way is answered before the server ends.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.store.block = make(chan struct{})
	s, end := serve(t, notification.ServerConfig{Handler: b})
	code := make(chan int)
	go func() {
		c, _ := post(t, http.DefaultClient, "http://"+s.Addr().String(), good)
		code <- c
	}()
	b.store.block <- struct{}{} // the request is in the store
	ended := make(chan error)
	go func() { ended <- end() }()
	if c := <-code; c != 204 {
		t.Errorf("answered %d", c)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServeGivesUpDraining(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *notification.Config, _ *notification.Deps) { c.Timeout = time.Minute })
	b.store.block, b.store.here = make(chan struct{}), make(chan struct{})
	s, end := serve(t, notification.ServerConfig{Handler: b, DrainLimit: 20 * time.Millisecond})
	answer := make(chan error, 1)
	go func() {
		_, err := post(t, http.DefaultClient, "http://"+s.Addr().String(), good)
		answer <- err
	}()
	<-b.store.here
	if err := end(); err == nil {
		t.Error("the limit passed and nothing was said about it")
	}
	if err := <-answer; err == nil {
		t.Error("the request was answered")
	}
	close(b.store.block)
}

// One server takes a socket over from another, with TLS, as over a restart with
// systemd: connections that are being made, or are busy, are not refused.
func TestHandOver(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	bound, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	socket, err := bound.(*net.TCPListener).File()
	must(t, err)
	defer func() { _ = socket.Close() }()
	url := "https://" + bound.Addr().String()
	must(t, bound.Close())
	b := newBench(t, nil)
	start := func() func() error {
		l, err := net.FileListener(socket)
		must(t, err)
		cfg, err := notification.LoadTLS(p.files, zerolog.Nop())
		must(t, err)
		_, end := serve(t, notification.ServerConfig{Listener: l, Handler: b, TLS: cfg, HeaderTimeout: 20 * time.Second})
		return end
	}
	end := start()
	var answered atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	for i := range 6 {
		callers.Go(func() {
			client := p.httpClient(t, i%2 == 0, p.client(t, "D1"))
			client.Transport.(*http.Transport).DisableKeepAlives = i < 2
			for ctx.Err() == nil {
				if code, err := post(t, client, url, good); err != nil || code != 204 {
					t.Errorf("caller %d is answered %d, %v", i, code, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for range 3 {
		for before := answered.Load(); answered.Load() < before+30 && !t.Failed(); {
			<-time.After(time.Millisecond)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		end = start()
	}
	stop()
	callers.Wait()
	if err := end(); err != nil {
		t.Error(err)
	}
}

// A body that trickles in is cut off with an answer that asks for a repeat.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	s, _ := serve(t, notification.ServerConfig{Handler: b, ReadTimeout: 50 * time.Millisecond})
	conn := dial(t, s)
	_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(good), good[:20])
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout || len(b.store.taken) != 0 {
		t.Errorf("answered %d with %d stored", resp.StatusCode, len(b.store.taken))
	}
}

func dial(t *testing.T, s *notification.Server) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func TestServeTLS(t *testing.T) {
	t.Parallel()
	donor := httptest.NewTLSServer(nil) // for its certificate
	defer donor.Close()
	b := newBench(t, nil)
	s, _ := serve(t, notification.ServerConfig{Handler: b, TLS: &tls.Config{Certificates: donor.TLS.Certificates, MinVersion: tls.VersionTLS10}})
	roots := x509.NewCertPool()
	roots.AddCert(donor.Certificate())
	for _, tt := range []struct {
		newest uint16
		works  bool
	}{{tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			MinVersion: tls.VersionTLS10, MaxVersion: tt.newest}, ForceAttemptHTTP2: true}}
		code, err := post(t, client, "https://"+s.Addr().String(), good)
		if (err == nil) != tt.works || tt.works && code != 204 {
			t.Errorf("TLS up to %s: answered %d, %v", tls.VersionName(tt.newest), code, err)
		}
		client.CloseIdleConnections()
	}
}

func TestListenFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	s, err := notification.Listen(t.Context(), notification.ServerConfig{Addr: "127.0.0.1:0", Handler: b})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := notification.Listen(t.Context(), notification.ServerConfig{Addr: s.Addr().String(), Handler: b}); err == nil {
		t.Error("the same address was bound twice")
	}
	if _, err := notification.Listen(t.Context(), notification.ServerConfig{Addr: "127.0.0.1:0"}); err == nil {
		t.Error("no handler, no error")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Serve(t.Context()); err == nil {
		t.Error("a closed server serves")
	}
}
