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
	"time"

	"github.com/rs/zerolog"
)

// ServerConfig says how to listen. Zero values mean the default.
type ServerConfig struct {
	Addr    string       // host:port; port 0 takes a free one; required
	TLS     *tls.Config  // nil: plain HTTP, for loopback and behind a proxy; client certificates are its business too
	Handler http.Handler // required

	ReadTimeout  time.Duration // for a whole request, its body included; default 15 s
	WriteTimeout time.Duration // from the end of the header to the end of the answer; default 45 s
	IdleTimeout  time.Duration // between two requests of a connection; default 2 min
	DrainLimit   time.Duration // for requests under way when the server is told to end; default 20 s
	MaxHeader    int           // bytes; default 16 KiB
	Log          zerolog.Logger
}

// Server is a listening server.
type Server struct {
	cfg      ServerConfig
	listener net.Listener
	http     *http.Server
}

// Listen binds the address. Connections wait until Serve.
func Listen(ctx context.Context, cfg ServerConfig) (*Server, error) {
	if cfg.Handler == nil {
		return nil, errors.New("listen for notifications: no handler")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for notifications: %w", err)
	}
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.MinVersion = max(cfg.TLS.MinVersion, tls.VersionTLS12)
	}
	s := &Server{cfg: cfg, listener: l}
	s.cfg.DrainLimit = cmp.Or(cfg.DrainLimit, 20*time.Second)
	s.http = &http.Server{
		Handler:           cfg.Handler,
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: cmp.Or(cfg.ReadTimeout, 15*time.Second),
		ReadTimeout:       cmp.Or(cfg.ReadTimeout, 15*time.Second),
		WriteTimeout:      cmp.Or(cfg.WriteTimeout, 45*time.Second),
		IdleTimeout:       cmp.Or(cfg.IdleTimeout, 2*time.Minute),
		MaxHeaderBytes:    cmp.Or(cfg.MaxHeader, 16<<10),
		ErrorLog:          slog.NewLogLogger(zerolog.NewSlogHandler(cfg.Log), slog.LevelDebug),
	}
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until ctx ends, then lets those under way finish. It
// returns nil after such an end. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() {
		if s.cfg.TLS != nil {
			ended <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		ended <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve notifications: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainLimit)
	defer cancel()
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
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the notification server: %w", err)
	}
	return nil
}
