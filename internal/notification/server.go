package notification

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// ServerConfig says how to listen. Zero values mean the default.
type ServerConfig struct {
	Addr     string       // host:port; port 0 takes a free one; required without Listener
	Listener net.Listener // a socket that is bound already, as systemd hands over; it is closed with the server
	TLS      *tls.Config  // from LoadTLS; nil: plain HTTP, for loopback and behind a proxy
	Handler  http.Handler // required

	HandshakeTimeout time.Duration // for TLS; default 5 s
	HeaderTimeout    time.Duration // for the header of a request; default 5 s, not above ReadTimeout
	ReadTimeout      time.Duration // for a whole request, its body included; default 15 s
	WriteTimeout     time.Duration // from the end of the header to the end of the answer; default 45 s
	IdleTimeout      time.Duration // between two requests of a connection; default 2 min
	MaxAge           time.Duration // of a connection: its certificate is looked at again with the next one; default 1 h
	DrainLimit       time.Duration // for requests under way when the server is told to end; default 20 s
	MaxHeader        int           // bytes; default 16 KiB
	MaxConnections   int           // open at a time; more are closed at once; default 1024
	MaxPerAddress    int           // the same for one address; default 256
	MaxStreams       int           // requests at a time on one HTTP/2 connection; default 250

	Meter Meter // default: nothing is counted
	Log   zerolog.Logger
}

// Server is a listening server.
type Server struct {
	cfg      ServerConfig
	conns    *conns
	http     *http.Server
	refusals *refusals
	draining atomic.Bool
}

// Listen binds the address. Connections wait until Serve.
func Listen(ctx context.Context, cfg ServerConfig) (*Server, error) {
	if cfg.Handler == nil {
		return nil, errors.New("listen for notifications: no handler")
	}
	l := cfg.Listener
	if l == nil {
		var err error
		if l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Addr); err != nil {
			return nil, fmt.Errorf("listen for notifications: %w", err)
		}
	}
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.MinVersion = max(cfg.TLS.MinVersion, tls.VersionTLS12)
		if !slices.Contains(cfg.TLS.NextProtos, "h2") {
			cfg.TLS.NextProtos = append([]string{"h2", "http/1.1"}, cfg.TLS.NextProtos...)
		}
	}
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, 15*time.Second)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, time.Hour)
	cfg.DrainLimit = cmp.Or(cfg.DrainLimit, 20*time.Second)
	s := &Server{cfg: cfg, refusals: newRefusals(cfg.Meter, cfg.Log, time.Now)}
	s.conns = newConns(l, cfg.TLS, limits{
		connections: cmp.Or(cfg.MaxConnections, 1024), perAddress: cmp.Or(cfg.MaxPerAddress, 256),
		handshake: cmp.Or(cfg.HandshakeTimeout, 5*time.Second),
	}, s.refusals)
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: min(cmp.Or(cfg.HeaderTimeout, 5*time.Second), cfg.ReadTimeout),
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cmp.Or(cfg.WriteTimeout, 45*time.Second),
		IdleTimeout:       cmp.Or(cfg.IdleTimeout, 2*time.Minute),
		MaxHeaderBytes:    cmp.Or(cfg.MaxHeader, 16<<10),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: cmp.Or(cfg.MaxStreams, 250),
			// A connection whose other end is gone is noticed by its silence.
			SendPingTimeout: 30 * time.Second, PingTimeout: 10 * time.Second,
			WriteByteTimeout: 15 * time.Second, // one that takes no bytes, too
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, trackedOf(conn))
		},
		ConnState: s.state,
		// All requests pass our handler.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(zerolog.NewSlogHandler(cfg.Log), slog.LevelDebug),
	}
	return s, nil
}

type connKey struct{}

// serve is what every request passes first.
func (s *Server) serve(w http.ResponseWriter, req *http.Request) {
	old := false
	if t, _ := req.Context().Value(connKey{}).(*tracked); t != nil {
		t.begun.Store(false)
		t.served.Store(true)
		old = time.Since(t.opened) > s.cfg.MaxAge
	}
	if old || s.draining.Load() {
		w.Header().Set("Connection", "close") // HTTP/2 makes a GOAWAY of it
	}
	s.cfg.Handler.ServeHTTP(w, req)
}

// state notices clients that never came as far as a handler.
func (s *Server) state(conn net.Conn, state http.ConnState) {
	t := trackedOf(conn)
	if t == nil {
		return
	}
	switch state { //nolint:exhaustive // the others say nothing here
	case http.StateActive:
		t.begun.Store(true)
	case http.StateClosed:
		switch {
		case s.draining.Load():
		case t.begun.Load() && t.timedOut.Load() || !t.served.Load() && (t.timedOut.Load() || isHTTP2(conn)):
			s.refusals.count(SlowHeader, "", nil)
		case t.begun.Load():
			s.refusals.count(BadHeader, "", nil)
		}
	}
}

func isHTTP2(conn net.Conn) bool {
	t, ok := conn.(*tls.Conn)
	return ok && t.ConnectionState().NegotiatedProtocol == "h2"
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.conns.Addr() }

// Connections is how many are open now.
func (s *Server) Connections() int { return s.conns.count() }

// Serve answers requests until ctx ends, then lets those under way finish. It
// returns nil after such an end. It is called once.
//
// The end has three steps. No connection is accepted any more: with a socket of
// systemd's, new ones wait for the next process. Then, for a moment, requests
// on open connections are answered with the news that theirs closes, so that a
// busy client is not cut between two requests. Then what is idle is closed, and
// what is under way has until the limit.
func (s *Server) Serve(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(s.conns) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve notifications: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	_ = s.conns.stop() // an error would be that it was closed already
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainLimit)
	defer cancel()
	farewell := time.NewTimer(min(s.cfg.DrainLimit/2, 500*time.Millisecond))
	defer farewell.Stop()
	select {
	case <-s.conns.allClosed():
	case <-farewell.C:
	}
	err := s.http.Shutdown(drain)
	if err != nil {
		err = fmt.Errorf("end the notification server: %w", errors.Join(err, s.http.Close()))
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve notifications: %w", served))
	}
	return err
}

// Close ends a server that was never served, and is harmless otherwise.
func (s *Server) Close() error {
	if err := s.http.Close(); err != nil {
		return fmt.Errorf("close the notification server: %w", err)
	}
	if err := s.conns.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the notification server: %w", err)
	}
	return nil
}
