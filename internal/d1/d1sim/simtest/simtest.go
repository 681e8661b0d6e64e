// Package simtest runs a simulated D1 for a test as the real one is reached:
// TLS, a client certificate, HTTP/2, an authority of its own.
//
//	d := simtest.Start(t, func(c *d1sim.Config) { c.Settings.SkipDecryption = true })
//	client, err := d1.New(d1.Config{IssuerID: d.IssuerID, BaseURL: d.BaseURL, TokenURL: d.TokenURL,
//	        Token: d1.Token{KeyID: d.Keys.JWTKeyID, Key: d.Keys.JWTKey}, TLS: d.ClientTLS()})
//	d.Sim.Adjust(...)       // or PATCH d.AdminURL + "/settings"
//
// The same material also lies in files (CAFile, CertFile, KeyFile, Dir), for
// code that reads its certificates itself, such as the program.
//
// [Server.Stall] makes every connection go silent, as a cut cable does: what
// comes in is not read, what goes out is not sent, and nothing is closed.
package simtest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/d1/d1sim/simkeys"
)

// IssuerID is the one issuer that is known unless the configuration names others.
const IssuerID = "SIMBANK_01"

// Server is a simulator that listens on a loopback port.
type Server struct {
	Sim      *d1sim.Simulator
	IssuerID string
	Keys     *simkeys.Keys
	Material *simkeys.Material

	URL      string // https://127.0.0.1:port
	BaseURL  string // with /banking/v1
	TokenURL string
	AdminURL string // plain HTTP, with /admin

	Dir      string // see [simkeys.Material]
	CAFile   string // what signed both sides' certificates
	CertFile string // the issuer's client certificate
	KeyFile  string // its private key

	wire *wire
}

// Start starts a simulator with mutual TLS and HTTP/2 and stops it at the end
// of the test. change may alter its configuration first; the issuer's keys are
// in it already.
func Start(tb testing.TB, change func(*d1sim.Config)) *Server {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "d1")
	m, _, err := simkeys.OpenDir(dir, IssuerID, []string{"127.0.0.1", "localhost"})
	if err != nil {
		tb.Fatal(err)
	}
	c := d1sim.Config{Issuers: []d1sim.Issuer{m.Keys.Issuer()}, CheckClientName: true, Seed: 7}
	if change != nil {
		change(&c)
	}
	sim, err := d1sim.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	d := &Server{
		Sim: sim, IssuerID: IssuerID, Keys: m.Keys, Material: m, Dir: dir,
		CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "issuer.pem"), KeyFile: filepath.Join(dir, "issuer.key.pem"),
	}
	api := httptest.NewUnstartedServer(sim.Handler())
	d.wire = newWire(api.Listener)
	api.Listener = d.wire
	api.EnableHTTP2 = true
	api.TLS = sim.ServerTLS(m.CA.ServerTLS(m.Server, true))
	api.Config.ConnContext = sim.ConnContext
	api.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // a client that breaks off a handshake is nothing to tell
	api.StartTLS()
	admin := httptest.NewServer(sim.AdminHandler())
	sim.Start(context.Background())
	tb.Cleanup(func() {
		d.wire.end()
		api.Close()
		admin.Close()
		sim.Close()
	})
	d.URL = api.URL
	d.BaseURL, d.TokenURL, d.AdminURL = d.URL+"/banking/v1", d.URL+"/authz/v1/oauth2/token", admin.URL+"/admin"
	return d
}

// ClientTLS is what an issuer's client needs: D1's authority and the issuer's
// certificate. Each call returns one of its own.
func (d *Server) ClientTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.Material.CA.Pool(), Certificates: []tls.Certificate{d.Material.Client}}
}

// Client returns an HTTP client with the issuer's certificate, which speaks
// HTTP/2. Its connections are closed at the end of the test.
func (d *Server) Client(tb testing.TB) *http.Client {
	tb.Helper()
	t := &http.Transport{TLSClientConfig: d.ClientTLS(), ForceAttemptHTTP2: true}
	tb.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

// Connections is how many connections have been accepted so far.
func (d *Server) Connections() int { return d.wire.count() }

// Stall makes every connection silent, present and future, until Resume.
func (d *Server) Stall() { d.wire.stall() }

// Resume ends [Server.Stall]: what waited goes on.
func (d *Server) Resume() { d.wire.resume() }

// wire is a listener whose connections can be made silent.
type wire struct {
	net.Listener
	mu       sync.Mutex
	open     chan struct{} // closed while data may pass
	accepted int
}

func newWire(l net.Listener) *wire {
	w := &wire{Listener: l, open: make(chan struct{})}
	close(w.open)
	return w
}

// Accept implements [net.Listener].
func (w *wire) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // a listener's error is its own
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accepted++
	return &conn{Conn: c, wire: w, closed: make(chan struct{})}, nil
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accepted
}

func (w *wire) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
		w.open = make(chan struct{})
	default: // silent already
	}
}

func (w *wire) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
	default:
		close(w.open)
	}
}

// end lets the server close: nobody waits any more.
func (w *wire) end() { w.resume() }

func (w *wire) gate() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open
}

type conn struct {
	net.Conn
	wire   *wire
	once   sync.Once
	closed chan struct{}
}

func (c *conn) pass() error {
	select {
	case <-c.wire.gate():
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

// Read implements [net.Conn]. What arrives in silence stays unread until it ends.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if gate := c.pass(); gate != nil {
		return 0, gate
	}
	return n, err //nolint:wrapcheck // io.EOF must stay io.EOF
}

// Write implements [net.Conn].
func (c *conn) Write(p []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p) //nolint:wrapcheck // the server looks at the kind of error
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close() //nolint:wrapcheck // a connection's error is its own
}

// NetConn gives the connection beneath, for whoever wants to reset it.
func (c *conn) NetConn() net.Conn { return c.Conn }
