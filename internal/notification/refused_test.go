package notification_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/notification"
)

// Who does not have the right certificate does not get as far as a request, in
// both versions of HTTP; each is counted by its reason, and D1 is still served.
func TestCertificatesRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *notification.Config, _ *notification.ServerConfig, f *notification.TLSFiles) {
		f.ClientNames = []string{"D1", "TLSMA-*/DEMO_BANK1/*"}
	})
	stranger := s.other.issue(t, "D1", 100*time.Hour, x509.ExtKeyUsageClientAuth)
	for _, tt := range []struct {
		name   string
		certs  []tls.Certificate
		reason notification.Reason
	}{
		{"none", nil, notification.NoCertificate},
		{"expired", []tls.Certificate{s.ca.issue(t, "D1", time.Minute, x509.ExtKeyUsageClientAuth)}, notification.CertificateExpired},
		{"of another authority", []tls.Certificate{stranger}, notification.CertificateAuthority},
		{"for servers", []tls.Certificate{s.ca.issue(t, "D1", 100*time.Hour, x509.ExtKeyUsageServerAuth)}, notification.CertificateInvalid},
		{"of another name", []tls.Certificate{s.client(t, "mallory")}, notification.CertificateName},
	} {
		for n, http2 := range []bool{true, false} {
			if code, err := post(t, s.httpClient(t, http2, tt.certs...), s.url, good); err == nil {
				t.Errorf("%s: answered %d", tt.name, code)
			}
			s.meter.waitFor(t, tt.reason, n+1)
		}
	}
	if len(s.store.taken) != 0 {
		t.Error("something was stored")
	}
	for _, name := range []string{"D1", "TLSMA-ECC/DEMO_BANK1/PPR"} {
		for _, http2 := range []bool{true, false} {
			if code, err := post(t, s.httpClient(t, http2, s.client(t, name)), s.url, good); code != 204 {
				t.Errorf("%s: answered %d, %v", name, code, err)
			}
		}
	}
	if strings.Contains(s.log.String(), "mallory") {
		t.Error("the log quotes a stranger's certificate")
	}
}

// Certificate, key and authorities are taken from their files as they change,
// and a half-changed pair is not.
func TestCertificatesReloaded(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	old, next := s.client(t, "D1"), s.other.issue(t, "D1", 100*time.Hour, x509.ExtKeyUsageClientAuth)
	works := func(cert tls.Certificate) bool {
		code, err := post(t, s.httpClient(t, true, cert), s.url, good)
		return err == nil && code == 204
	}
	if !works(old) || works(next) {
		t.Fatal("the first authority is not the only one")
	}
	// Both for a while, then the new one alone.
	must(t, os.WriteFile(s.files.ClientCA, append(s.ca.pem(), s.other.pem()...), 0o600))
	if !works(old) || !works(next) {
		t.Error("a bundle of two authorities does not let both in")
	}
	must(t, os.WriteFile(s.files.ClientCA, s.other.pem(), 0o600))
	if works(old) || !works(next) {
		t.Error("an authority that was taken out still lets in")
	}
	// Our own certificate: first one that does not fit its key.
	served := func() string {
		conn, err := tls.Dial("tcp", s.Addr().String(), s.httpClient(t, true, next).Transport.(*http.Transport).TLSClientConfig)
		must(t, err)
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	cert := s.ca.issue(t, "us, renewed", 100*time.Hour, x509.ExtKeyUsageServerAuth)
	must(t, os.WriteFile(s.files.Cert, []byte("half"), 0o600))
	if got := served(); got != "us" {
		t.Errorf("with a broken file %q is shown", got)
	}
	writePair(t, cert, s.files.Cert, s.files.Key)
	if got := served(); got != "us, renewed" {
		t.Errorf("%q is shown", got)
	}
}

// A connection does not outlive what let it in for long: when it has its age,
// it ends with an answer, and the next one shows its certificate again.
func TestConnectionsAge(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *notification.Config, sc *notification.ServerConfig, _ *notification.TLSFiles) {
		sc.MaxAge = time.Nanosecond
	})
	for _, http2 := range []bool{true, false} {
		client := s.httpClient(t, http2, s.client(t, "D1"))
		for range 5 {
			if code, err := post(t, client, s.url, good); code != http.StatusNoContent {
				t.Errorf("answered %d, %v", code, err)
			}
		}
		must(t, os.WriteFile(s.files.ClientCA, s.other.pem(), 0o600))
		refused := false
		for range 200 { // HTTP/2 says goodbye, and takes what comes meanwhile
			if _, err := post(t, client, s.url, good); err != nil {
				refused = true
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		if !refused {
			t.Error("a client whose authority was taken out goes on")
		}
		must(t, os.WriteFile(s.files.ClientCA, s.ca.pem(), 0o600))
	}
}

// rawDial opens a TLS connection and leaves the rest to the test.
func (s *site) rawDial(t *testing.T, protocol string) *tls.Conn {
	t.Helper()
	cfg := s.httpClient(t, true, s.client(t, "D1")).Transport.(*http.Transport).TLSClientConfig
	cfg.NextProtos = []string{protocol}
	conn, err := tls.Dial("tcp", s.Addr().String(), cfg)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	return conn
}

func short(_ *notification.Config, s *notification.ServerConfig, _ *notification.TLSFiles) {
	// Long enough for a good client on a busy machine.
	s.HandshakeTimeout, s.HeaderTimeout, s.ReadTimeout, s.IdleTimeout = 3*time.Second, time.Second, 1500*time.Millisecond, 1500*time.Millisecond
}

// trickle sends a byte every few milliseconds until the other end has enough.
func trickle(conn net.Conn, text string) {
	for i := range len(text) {
		if _, err := conn.Write([]byte(text[i : i+1])); err != nil {
			return
		}
		<-time.After(2 * time.Millisecond)
	}
}

func expectStatus(t *testing.T, conn net.Conn, want int) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	_ = resp.Body.Close()
	if resp.StatusCode != want {
		t.Errorf("answered %d, want %d", resp.StatusCode, want)
	}
}

// Clients that send slowly, each in another place, are cut off; meanwhile and
// afterwards the others are served.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	header := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n", path, strings.Repeat("a", 4000))
	for name, tt := range map[string]struct {
		attack func(*testing.T, *site)
		reason notification.Reason
	}{
		"silent before TLS": {func(t *testing.T, s *site) {
			t.Helper()
			conn := dial(t, s.Server)
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("the server has something to say")
			}
		}, notification.SlowHandshake},
		"no TLS": {func(t *testing.T, s *site) {
			t.Helper()
			conn := dial(t, s.Server)
			_, _ = io.WriteString(conn, header)
			_, _ = io.Copy(io.Discard, conn)
		}, notification.BadHandshake},
		"header, byte by byte": {func(t *testing.T, s *site) {
			t.Helper()
			trickle(s.rawDial(t, "http/1.1"), header)
		}, notification.SlowHeader},
		"silent after TLS": {func(t *testing.T, s *site) {
			t.Helper()
			_, _ = io.Copy(io.Discard, s.rawDial(t, "http/1.1"))
		}, notification.SlowHeader},
		"HTTP/2 header, byte by byte": {func(t *testing.T, s *site) {
			t.Helper()
			conn := s.rawDial(t, "h2")
			_, _ = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			trickle(conn, "\x00\x10\x00\x01\x04\x00\x00\x00\x01"+strings.Repeat("a", 4096))
		}, notification.SlowHeader},
		"header too large": {func(t *testing.T, s *site) {
			t.Helper()
			conn := s.rawDial(t, "http/1.1")
			_, _ = io.WriteString(conn, strings.TrimSuffix(header, "\r\n")+strings.Repeat("b", 100<<10))
			expectStatus(t, conn, http.StatusRequestHeaderFieldsTooLarge)
		}, notification.BadHeader},
		"body, byte by byte": {func(t *testing.T, s *site) {
			t.Helper()
			conn := s.rawDial(t, "http/1.1")
			_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n", path)
			go trickle(conn, strings.Repeat(" ", 5000))
			expectStatus(t, conn, http.StatusRequestTimeout)
		}, notification.SlowBody},
		"HTTP/2 body that stops": {func(t *testing.T, s *site) {
			t.Helper()
			r, w := io.Pipe()
			defer func() { _ = w.Close() }()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, r)
			must(t, err)
			go func() { _, _ = io.WriteString(w, `{"operations":`) }()
			resp, err := s.httpClient(t, true, s.client(t, "D1")).Do(req)
			must(t, err)
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusRequestTimeout {
				t.Errorf("answered %d", resp.StatusCode)
			}
		}, notification.SlowBody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, short)
			done := make(chan struct{})
			go func() { defer close(done); tt.attack(t, s) }()
			s.unharmed(t)
			<-done
			s.meter.waitFor(t, tt.reason, 1)
			if len(s.store.taken) != 1 {
				t.Errorf("%d stored", len(s.store.taken))
			}
			s.unharmed(t)
		})
	}
}

// A crowd of clients that send their bodies slowly does not keep others from
// being served: they hold no places.
func TestManySlowBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *notification.Config, sc *notification.ServerConfig, _ *notification.TLSFiles) {
		c.MaxInFlight, sc.ReadTimeout = 2, 10*time.Second
	})
	for range 40 {
		conn := s.rawDial(t, "http/1.1")
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{", path)
	}
	s.unharmed(t)
}

// More connections than allowed are closed at once, of one address before all.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		all, address int
		reason       notification.Reason
	}{{10, 3, notification.TooManyOfAddress}, {3, 10, notification.TooManyConnections}} {
		s := newSite(t, func(_ *notification.Config, sc *notification.ServerConfig, _ *notification.TLSFiles) {
			sc.MaxConnections, sc.MaxPerAddress = tt.all, tt.address
		})
		var held []net.Conn
		for range 3 {
			held = append(held, s.rawDial(t, "h2"))
		}
		if _, err := post(t, s.httpClient(t, true, s.client(t, "D1")), s.url, good); err == nil {
			t.Error("one more was served")
		}
		s.meter.waitFor(t, tt.reason, 1)
		_ = held[0].Close()
		limit := time.Now().Add(20 * time.Second)
		for s.Connections() > 2 && time.Now().Before(limit) {
			<-time.After(time.Millisecond)
		}
		s.unharmed(t)
	}
}

// Both versions of HTTP are spoken.
func TestProtocols(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for want, http2 := range map[int]bool{2: true, 1: false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(good))
		must(t, err)
		resp, err := s.httpClient(t, http2, s.client(t, "D1")).Do(req)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent || resp.ProtoMajor != want {
			t.Errorf("answered %d by %s", resp.StatusCode, resp.Proto)
		}
	}
}

// What is wrong about a request is answered as documented.
func TestRequestsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	huge := func() io.Reader { return io.LimitReader(spaces{}, 50<<20) }
	for _, tt := range []struct {
		name   string
		path   string
		body   io.Reader
		length int64
		code   int
		reason notification.Reason
	}{
		{"issuer", strings.Replace(path, "01", "99", 1), strings.NewReader(good), 0, 404, notification.UnknownIssuer},
		{"path", "/", strings.NewReader(good), 0, 404, notification.NotFound},
		{"50 MB", path, huge(), 50 << 20, 413, notification.TooLarge},
		{"50 MB without its length", path, huge(), -1, 413, notification.TooLarge},
		{"not JSON", path, strings.NewReader("<x/>"), 0, 400, notification.NotJSON},
	} {
		for _, http2 := range []bool{true, false} {
			before := s.meter.snapshot()[string(tt.reason)]
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+tt.path, tt.body)
			must(t, err)
			if tt.length != 0 {
				req.ContentLength = tt.length
			}
			req.Header.Set("Expect", "100-continue") // so that the answer is not lost in what is still sent
			client := s.httpClient(t, http2, s.client(t, "D1"))
			client.Transport.(*http.Transport).ExpectContinueTimeout = 5 * time.Second
			code := tt.code
			resp, err := client.Do(req)
			if err == nil {
				code = resp.StatusCode
				_ = resp.Body.Close()
			}
			// An HTTP/1 client that goes on sending may see the connection close before it reads the answer.
			if code != tt.code || err != nil && (tt.reason != notification.TooLarge || http2) {
				t.Errorf("%s: %d, %v", tt.name, code, err)
			}
			s.meter.waitFor(t, tt.reason, before+1)
			if seeker, ok := tt.body.(io.Seeker); ok {
				_, _ = seeker.Seek(0, io.SeekStart)
			} else {
				tt.body = huge()
			}
			s.unharmed(t)
		}
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte{' '}, len(p)))
	return len(p), nil
}

// A client that sends more than its share is told when to come again; another
// one is not.
func TestRateOfAClient(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *notification.Config, _ *notification.ServerConfig, _ *notification.TLSFiles) { c.PerSecond = 5 })
	d1, other := s.httpClient(t, true, s.client(t, "D1")), s.httpClient(t, true, s.client(t, "D1 too"))
	codes := map[int]int{}
	for range 20 {
		code, err := post(t, d1, s.url, good)
		must(t, err)
		codes[code]++
	}
	if codes[204] < 5 || codes[429] == 0 || codes[204]+codes[429] != 20 {
		t.Errorf("answered %v", codes)
	}
	if code, err := post(t, other, s.url, good); code != 204 {
		t.Errorf("another client is answered %d, %v", code, err)
	}
	s.meter.waitFor(t, notification.TooOften, codes[429])
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(good))
	must(t, err)
	for range 20 {
		resp, err := d1.Do(req.Clone(t.Context()))
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusTooManyRequests {
			if resp.Header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
			}
			return
		}
	}
	t.Error("no limit any more")
}

// The memory of the bodies that are being read is bounded.
func TestBodiesFillTheirMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *notification.Config, _ *notification.Deps) { c.MaxBody, c.MaxBuffered = 1000, 1500 })
	b.store.block, b.store.here = make(chan struct{}), make(chan struct{})
	first := make(chan int)
	go func() {
		code, _ := b.send(t, "POST", path, strings.NewReader(good+strings.Repeat(" ", 1000-len(good))))
		first <- code
	}()
	<-b.store.here
	if code, after := b.send(t, "POST", path, strings.NewReader(good+strings.Repeat(" ", 800-len(good)))); code != 503 || after == "" {
		t.Errorf("answered %d, Retry-After %q", code, after)
	}
	close(b.store.block)
	if code := <-first; code != 204 {
		t.Errorf("the first is answered %d", code)
	}
	b.store.here = nil
	if code, _ := b.send(t, "POST", path, strings.NewReader(good)); code != 204 {
		t.Errorf("afterwards %d", code)
	}
}

// Refusals do not fill the log.
func TestRefusalsAreLoggedRarely(t *testing.T) {
	t.Parallel()
	meter := newTally()
	b := newBench(t, func(_ *notification.Config, d *notification.Deps) {
		d.Meter = meter
		d.Store.(*fakeStore).err = errors.New("disk full")
	})
	for range 1000 {
		b.send(t, "POST", path, strings.NewReader(good))
		b.send(t, "POST", path, strings.NewReader("<"))
	}
	if n := strings.Count(b.log.String(), "\n"); n != 2 {
		t.Errorf("%d lines", n)
	}
	if got := meter.snapshot(); got["store"] != 1000 || got["not_json"] != 1000 {
		t.Errorf("counted %v", got)
	}
}
