package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/config"
	"cardbatch/internal/d1"
	"cardbatch/internal/notification"
	"cardbatch/internal/ops"
	"cardbatch/internal/sealed"

	"github.com/rs/zerolog"
)

// notificationSocket is the name of the socket in cardbatch.socket.
const notificationSocket = "notifications"

// listen binds the address for notifications, or takes the socket that systemd
// has bound; Serve answers there.
func (a *App) listen(ctx context.Context, ring *sealed.Keyring, fingerprinter *cardholder.Fingerprinter) (*notification.Server, error) {
	c := a.cfg.Notifications
	ids := make([]string, len(a.cfg.Issuers))
	for n, i := range a.cfg.Issuers {
		ids[n] = i.ID
	}
	oauth, err := newOAuth(c.OAuth, fingerprinter)
	if err != nil {
		return nil, invalid(err)
	}
	receiver, err := notification.New(
		notification.Config{Issuers: ids, MaxBody: int64(c.MaxBody), MaxInFlight: c.MaxInFlight, Timeout: c.Timeout / 2,
			PerSecond: float64(c.RequestsPerSecond), OAuth: oauth},
		notification.Deps{Store: a.store, Parse: d1.ParseOperations, Sealer: ring, Digest: fingerprinter.Content, Now: a.now,
			Meter: a.metrics, Log: a.log})
	if err != nil {
		return nil, invalid(err)
	}
	tlsConfig, err := serverTLS(c, a.log)
	if err != nil {
		return nil, invalid(fmt.Errorf("set up TLS for notifications: %w", err))
	}
	var socket net.Listener
	if c.Listen == config.ListenSystemd {
		if socket, err = ops.Socket(notificationSocket); err != nil {
			return nil, fmt.Errorf("listen for notifications: %w", err)
		}
	}
	server, err := notification.Listen(ctx, notification.ServerConfig{
		Addr: c.Listen, Listener: socket, TLS: tlsConfig, Handler: receiver,
		HandshakeTimeout: c.HeaderTimeout, HeaderTimeout: c.HeaderTimeout,
		ReadTimeout: c.Timeout, WriteTimeout: 2 * c.Timeout, IdleTimeout: c.IdleTimeout,
		MaxConnections: c.MaxConnections, MaxPerAddress: c.MaxConnectionsPerAddress,
		DrainLimit: min(listenerDrain, a.cfg.DrainTimeout), Meter: a.metrics, Log: a.log,
	})
	if err != nil {
		return nil, fmt.Errorf("listen for notifications: %w", err)
	}
	return server, nil
}

// newOAuth makes the token endpoint's settings. Without a key of its own, its
// tokens are signed with one that is derived from the fingerprints' key, which
// never changes: they outlive every restart.
func newOAuth(c *config.OAuth, fingerprinter *cardholder.Fingerprinter) (*notification.OAuth, error) {
	if c == nil {
		return nil, nil //nolint:nilnil // none
	}
	o := &notification.OAuth{Path: c.TokenPath, Scope: c.Scope, Lifetime: c.TokenLifetime, NumericExpiry: c.ExpiresIn == "number"}
	for _, cl := range c.Clients {
		o.Clients = append(o.Clients, notification.OAuthClient{ID: cl.ID, SecretHashes: cl.SecretHashes, Scopes: cl.Scopes})
	}
	if c.KeyFile == "" {
		o.Key = append(fingerprinter.Content("notification token key", "1"), fingerprinter.Content("notification token key", "2")...)
		return o, nil
	}
	var err error
	if o.Key, err = readKey(c.KeyFile); err != nil {
		return nil, fmt.Errorf("read the key of notification tokens: %w", err)
	}
	return o, nil
}

func serverTLS(c config.Notifications, log zerolog.Logger) (*tls.Config, error) {
	if c.CertFile == "" {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	cert, err1 := c.CertFile.Path()
	key, err2 := c.KeyFile.Path()
	ca, err3 := c.ClientCAFile.Path()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return notification.LoadTLS(notification.TLSFiles{Cert: cert, Key: key, ClientCA: ca, ClientNames: c.ClientNames}, log)
}
