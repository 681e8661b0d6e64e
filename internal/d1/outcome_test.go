package d1_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/retry"
)

// outcome is one line of the table in package retry, brought about for real.
type outcome struct {
	name  string
	class retry.Class
	down  bool
	seen  int32 // how often the order, or a part of it, reaches D1
	big   bool  // send an order that no transport writes in one piece
	// start makes the D1 and the configuration of its client. It returns how
	// often the order has arrived, once nothing can arrive any more.
	start func(*testing.T, *d1.Config) func() int32
}

// TestOutcomes brings every outcome about that has no HTTP status of its own
// (for those see TestOrderEveryStatus), and compares what the client says with
// what D1 has seen: never an order twice, and none at all where the client says
// that it is surely not done.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, group := range [][]outcome{unconnected, unwelcome, broken, overHTTP2, unreadable} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				token := newFake(t, nil) // well, so that only the order is concerned
				var seen func() int32
				client := token.client(t, func(cfg *d1.Config) { seen = c.start(t, cfg) })
				if err := client.Authenticate(t.Context()); err != nil {
					t.Fatal(err)
				}
				order := call()
				if c.big {
					order = long()
				}
				_, err := client.Order(t.Context(), order)
				got := retry.Of(err)
				if err == nil {
					got = retry.Failed(retry.Accepted, nil)
				}
				if got.Class != c.class || got.Unavailable != c.down {
					t.Errorf("%v, down %v: %v", got.Class, got.Unavailable, err)
				}
				client.Close()
				if n := seen(); n != c.seen {
					t.Errorf("the order arrived %d times, want %d", n, c.seen)
				}
			})
		}
	}
}

func never() int32 { return 0 }

// Deadlines of calls that are meant to run into them: before the order is
// written, and after, for which it has to be written in time on a busy machine.
const (
	short = 300 * time.Millisecond
	later = time.Second
)

// unconnected: nobody there.
var unconnected = []outcome{
	{name: "name not found", class: retry.NotDone, down: true, start: func(_ *testing.T, c *d1.Config) func() int32 {
		c.BaseURL = "https://d1.invalid/banking/v1"
		return never
	}},
	{name: "connection refused", class: retry.NotDone, down: true, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		p := newPeer(t, nil)
		p.stop()
		c.BaseURL = "http://" + p.addr
		return never
	}},
	{name: "timeout while connecting", class: retry.NotDone, down: true, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		c.BaseURL, c.Timeout = "http://"+fullListener(t), short
		return never
	}},
	{name: "timeout in the TLS handshake", class: retry.NotDone, down: true, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		p := newPeer(t, func(_ *peer, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		c.BaseURL, c.Timeout = "https://"+p.addr, short
		return p.ended
	}},
	{name: "reset in the TLS handshake", class: retry.NotDone, down: true, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		p := newPeer(t, func(_ *peer, conn net.Conn) { reset(conn) })
		c.BaseURL = "https://" + p.addr
		return p.ended
	}},
	{name: "no TLS there", class: retry.NotDone, down: true, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		f := newFake(t, says(http.StatusAccepted, `{}`))
		c.BaseURL = "https" + strings.TrimPrefix(f.server.URL, "http")
		return f.ended
	}},
}

// fullListener returns an address that answers no attempt to connect: its queue
// is full and nobody empties it.
func fullListener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err2 := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		cancel()
		if err != nil {
			return l.Addr().String()
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

// unwelcome: TLS that one side does not accept.
var unwelcome = []outcome{
	handshake("D1's certificate is not of our CA", func(t *testing.T, c *d1.Config, _ *tls.Config) {
		t.Helper()
		c.TLSFiles.CA = newAuthority(t).file
	}),
	handshake("D1's certificate is for another name", func(_ *testing.T, c *d1.Config, _ *tls.Config) {
		c.BaseURL = strings.Replace(c.BaseURL, "127.0.0.1", "localhost", 1)
	}),
	handshake("TLS 1.1 only", func(_ *testing.T, _ *d1.Config, server *tls.Config) {
		server.MinVersion, server.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	}),
	handshake("our certificate is a stranger's, TLS 1.2", stranger(tls.VersionTLS12)),
	handshake("our certificate is a stranger's, TLS 1.3", stranger(tls.VersionTLS13)),
	handshake("our certificate is a stranger's, TLS 1.3, HTTP/2", stranger(tls.VersionTLS13, "h2")),
	handshake("we show no certificate, TLS 1.2", nameless(tls.VersionTLS12)),
	handshake("we show no certificate, TLS 1.3", nameless(tls.VersionTLS13)),
	handshake("we show no certificate, TLS 1.3, HTTP/2", nameless(tls.VersionTLS13, "h2")),
}

type spoil func(t *testing.T, c *d1.Config, server *tls.Config)

func stranger(version uint16, protocols ...string) spoil {
	return func(t *testing.T, c *d1.Config, server *tls.Config) {
		t.Helper()
		server.MinVersion, server.MaxVersion, server.NextProtos = version, version, protocols
		c.TLSFiles.Cert, c.TLSFiles.Key = newAuthority(t).issue(t, t.TempDir(), "stranger")
	}
}

func nameless(version uint16, protocols ...string) spoil {
	return func(_ *testing.T, c *d1.Config, server *tls.Config) {
		server.MinVersion, server.MaxVersion, server.NextProtos = version, version, protocols
		c.TLSFiles.Cert, c.TLSFiles.Key = "", ""
	}
}

// handshake is a D1 with mutual TLS that would take any order, spoilt.
func handshake(name string, spoil spoil) outcome {
	return outcome{name: name, class: retry.NotDone, down: true, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		ca := newAuthority(t)
		server := ca.serverTLS(t)
		p := newPeer(t, overTLS(server, http1(func(_ *net.TCPConn, conn net.Conn, _ int) {
			_, _ = io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")
		})))
		c.BaseURL = "https://" + p.addr
		c.TLSFiles.CA = ca.file
		c.TLSFiles.Cert, c.TLSFiles.Key = ca.issue(t, t.TempDir(), "TLSMA-issuer")
		spoil(t, c, server)
		return p.ended
	}}
}

// broken: the order is on its way over HTTP/1.1 when something breaks.
var broken = []outcome{
	order1("reset after the order was read", retry.Unknown, true, func(raw *net.TCPConn, _ net.Conn) { reset(raw) }),
	order1("closed after the order was read", retry.Unknown, true, func(_ *net.TCPConn, conn net.Conn) { _ = conn.Close() }),
	order1("timeout while waiting", retry.Unknown, true, func(*net.TCPConn, net.Conn) {}),
	order1("timeout while reading the header of the answer", retry.Unknown, true, func(_ *net.TCPConn, conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 202 Acc")
	}),
	order1("timeout while reading the answer", retry.Unknown, false, func(_ *net.TCPConn, conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n{\"operationId\":")
	}),
	order1("reset in the answer", retry.Unknown, false, func(raw *net.TCPConn, conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 99\r\n\r\n{\"operationId\":\"op-1\"")
		reset(raw)
	}),
	{name: "reset in the middle of the order", class: retry.Unknown, down: true, seen: 1, big: true,
		start: func(t *testing.T, c *d1.Config) func() int32 {
			t.Helper()
			p := newPeer(t, func(p *peer, conn net.Conn) {
				if _, err := io.CopyN(io.Discard, conn, 32<<10); err == nil {
					p.seen.Add(1)
				}
				reset(conn)
			})
			c.BaseURL = "http://" + p.addr
			return p.ended
		}},
	// The server closes a connection that it kept, as an order is written into
	// it. For a request that may be repeated, net/http would open another.
	{name: "a kept connection closed at its second use", class: retry.Unknown, down: true, seen: 1,
		start: func(t *testing.T, c *d1.Config) func() int32 {
			t.Helper()
			serve := http1(func(_ *net.TCPConn, conn net.Conn, n int) {
				if n > 1 {
					_ = conn.Close()
					return
				}
				const token = `{"access_token":"secret","expires_in":900}`
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(token))+"\r\n\r\n"+token)
			})
			p := newPeer(t, func(p *peer, conn net.Conn) { serve(p, conn.(*net.TCPConn), conn) })
			c.BaseURL, c.TokenURL = "http://"+p.addr, "http://"+p.addr+tokenPath
			return p.ended
		}},
}

// order1 is a D1 over plain HTTP/1.1 that reads an order and then acts.
func order1(name string, class retry.Class, down bool, act func(*net.TCPConn, net.Conn)) outcome {
	return outcome{name: name, class: class, down: down, seen: 1, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		serve := http1(func(raw *net.TCPConn, conn net.Conn, _ int) { act(raw, conn) })
		p := newPeer(t, func(p *peer, conn net.Conn) { serve(p, conn.(*net.TCPConn), conn) })
		c.BaseURL = "http://" + p.addr
		if strings.HasPrefix(name, "timeout") {
			c.Timeout = later
		}
		return p.ended
	}}
}

// overHTTP2: where the protocol lets a server tell the client to repeat a
// request, which net/http does by itself when it can, and where it does not.
var overHTTP2 = []outcome{
	order2("REFUSED_STREAM", retry.NotDone, false, resetStream(7)),
	order2("GOAWAY that leaves the order out", retry.NotDone, false, goAway(0, 0)),
	order2("GOAWAY after the order was taken", retry.Unknown, true, goAway(1, 0)),
	order2("GOAWAY for an error", retry.Unknown, true, goAway(0, 2)),
	order2("PROTOCOL_ERROR", retry.Unknown, true, resetStream(1)),
	order2("INTERNAL_ERROR", retry.Unknown, true, resetStream(2)),
	order2("CANCEL", retry.Unknown, true, resetStream(8)),
	order2("HTTP_1_1_REQUIRED", retry.Unknown, true, resetStream(13)),
	order2("HTTP/2, closed", retry.Unknown, true, func(raw *net.TCPConn, _ net.Conn, _ uint32) { _ = raw.Close() }),
	order2("HTTP/2, reset", retry.Unknown, true, func(raw *net.TCPConn, _ net.Conn, _ uint32) { reset(raw) }),
	order2("HTTP/2, timeout while waiting", retry.Unknown, true, func(*net.TCPConn, net.Conn, uint32) {}),
	order2("HTTP/2, timeout while writing", retry.Unknown, true, func(*net.TCPConn, net.Conn, uint32) {}), // the window stays shut
	order2("HTTP/2, timeout while reading the answer", retry.Unknown, false, func(_ *net.TCPConn, conn net.Conn, stream uint32) {
		writeFrame(conn, frameHeaders, stream, endHeaders, status202...)
		writeFrame(conn, frameData, stream, 0, []byte(`{"operationId":`)...)
	}),
	order2("HTTP/2, stream reset in the answer", retry.Unknown, false, func(_ *net.TCPConn, conn net.Conn, stream uint32) {
		writeFrame(conn, frameHeaders, stream, endHeaders, status202...)
		writeFrame(conn, frameData, stream, 0, []byte(`{"operationId":"op-1"`)...)
		writeFrame(conn, frameReset, stream, 0, uint32s(7)...) // too late to refuse it
	}),
	order2("HTTP/2, accepted", retry.Done, false, func(_ *net.TCPConn, conn net.Conn, stream uint32) {
		writeFrame(conn, frameHeaders, stream, endHeaders, status202...)
		writeFrame(conn, frameData, stream, endStream, []byte(`{"operationId":"op-1"}`)...)
	}),
}

func resetStream(code uint32) func(*net.TCPConn, net.Conn, uint32) {
	return func(_ *net.TCPConn, conn net.Conn, stream uint32) {
		writeFrame(conn, frameReset, stream, 0, uint32s(code)...)
	}
}

func goAway(last, code uint32) func(*net.TCPConn, net.Conn, uint32) {
	return func(raw *net.TCPConn, conn net.Conn, _ uint32) {
		writeFrame(conn, frameGoAway, 0, 0, uint32s(last, code)...)
		if last > 0 {
			_ = raw.Close()
		}
	}
}

// order2 is a D1 over HTTP/2 and mutual TLS that acts at the first byte of an
// order's body.
func order2(name string, class retry.Class, down bool, act func(*net.TCPConn, net.Conn, uint32)) outcome {
	return outcome{name: name, class: class, down: down, seen: 1, big: strings.HasSuffix(name, "writing"),
		start: func(t *testing.T, c *d1.Config) func() int32 {
			t.Helper()
			ca := newAuthority(t)
			p := newPeer(t, overTLS(ca.serverTLS(t, "h2"), http2(act)))
			c.BaseURL = "https://" + p.addr
			c.TLSFiles.CA = ca.file
			c.TLSFiles.Cert, c.TLSFiles.Key = ca.issue(t, t.TempDir(), "TLSMA-issuer")
			if strings.Contains(name, "timeout") {
				c.Timeout = later
			}
			return p.ended
		}}
}

// unreadable: an answer that comes whole and says little. More of them are in
// TestOrderAnswers.
var unreadable = []outcome{
	answers("202 without an operation id", retry.Done, false, http.StatusAccepted, `{"status":"new"}`),
	answers("202 and not JSON", retry.Unknown, false, http.StatusAccepted, `<html>`),
	answers("202 and nothing", retry.Unknown, false, http.StatusAccepted, ``),
	answers("301", retry.Stop, false, http.StatusMovedPermanently, ``),
	answers("302", retry.Unknown, true, http.StatusFound, ``),
	answers("303", retry.Unknown, true, http.StatusSeeOther, ``),
	answers("307", retry.Stop, false, http.StatusTemporaryRedirect, ``),
	answers("308", retry.Stop, false, http.StatusPermanentRedirect, ``),
	order1("not HTTP", retry.Unknown, true, func(_ *net.TCPConn, conn net.Conn) {
		_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
		_ = conn.Close()
	}),
}

// answers is a D1 that answers and would take the order again elsewhere.
func answers(name string, class retry.Class, down bool, status int, body string) outcome {
	return outcome{name: name, class: class, down: down, seen: 1, start: func(t *testing.T, c *d1.Config) func() int32 {
		t.Helper()
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			says(status, body)(w, r)
		})
		c.BaseURL = f.server.URL
		return f.ended
	}}
}
