package d1

import (
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	idleTimeout = 50 * time.Second // below the 60 s after which gateways commonly close: an order written into a closing connection is Unknown
	pingAfter   = 15 * time.Second
	pingTimeout = 5 * time.Second
)

// newTransport returns a transport of our own. One connection more than calls
// leaves room for the token.
func newTransport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: pingAfter}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        clientTLS(cfg.TLS),
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        cfg.InFlight + 1,
		MaxIdleConnsPerHost:    cfg.InFlight + 1,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxErrorBody,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:  pingAfter,
			PingTimeout:      pingTimeout,
			WriteByteTimeout: pingAfter,
		},
	}
}
