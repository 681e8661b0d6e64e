package d1

import (
	"context"
	"net"
	"time"
)

// NewSealerForTest gives the benchmark the bare encryption.
func NewSealerForTest(key JWEKey) (func([]byte) ([]byte, error), error) {
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	return func(clearText []byte) ([]byte, error) { return s.appendJWE(make([]byte, 0, 1024), clearText) }, nil
}

// SetTiming shortens what finds a dead connection.
func SetTiming(cfg *Config, pingAfter, pingTimeout time.Duration) {
	t := realTiming
	t.pingAfter, t.pingTimeout = pingAfter, pingTimeout
	cfg.timing = &t
}

// SetDial replaces the network.
func SetDial(cfg *Config, dial func(ctx context.Context, network, addr string) (net.Conn, error)) {
	cfg.dial = dial
}

// Fetching reports whether a token is on its way.
func Fetching(c *Client) bool {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	return c.tokens.flight != nil
}
