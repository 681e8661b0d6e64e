package d1

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// timing is what finds a dead connection. It differs in tests only.
type timing struct {
	dial        time.Duration // to connect, and again for the TLS handshake
	idle        time.Duration // a connection is closed when unused for so long
	pingAfter   time.Duration // nothing came for so long: ask whether the other side is there
	pingTimeout time.Duration // and wait so long for the answer
}

// realTiming finds a dead HTTP/2 connection within 20 s, before the deadline of
// the calls that wait on it. An order written into a connection that the other
// side is about to close is Unknown, so we close ours before the 60 s after
// which gateways commonly do.
var realTiming = timing{dial: 10 * time.Second, idle: 50 * time.Second, pingAfter: 15 * time.Second, pingTimeout: 5 * time.Second}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// newTransport returns a transport of our own. One connection more than calls
// leaves room for the token. Each new connection gets its TLS configuration
// from tlsConfig.
func newTransport(cfg Config, tlsConfig func() *tls.Config) *http.Transport {
	t := realTiming
	if cfg.timing != nil {
		t = *cfg.timing
	}
	dial := tracked((&net.Dialer{Timeout: t.dial, KeepAlive: t.pingAfter}).DialContext)
	if cfg.dial != nil {
		dial = tracked(cfg.dial)
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dial,
		DialTLSContext:         dialTLS(dial, tlsConfig, t.dial),
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        cfg.InFlight + 1,
		MaxIdleConnsPerHost:    cfg.InFlight + 1,
		IdleConnTimeout:        t.idle,
		MaxResponseHeaderBytes: maxErrorBody,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  t.pingAfter,
			PingTimeout:      t.pingTimeout,
			WriteByteTimeout: t.pingAfter,
		},
	}
}

// dialTLS connects and shakes hands. It is our own because net/http takes one
// set of trusted certificates for the life of a transport.
func dialTLS(dial dialFunc, tlsConfig func() *tls.Config, timeout time.Duration) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		cfg := tlsConfig()
		if cfg.ServerName == "" {
			if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
				_ = raw.Close()
				return nil, fmt.Errorf("shake hands: %w", err)
			}
		}
		cfg.NextProtos = []string{"h2", "http/1.1"}
		conn := tls.Client(raw, cfg)
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err = conn.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("shake hands: %w", err)
		}
		return conn, nil
	}
}
