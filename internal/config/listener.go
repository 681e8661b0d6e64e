package config

import (
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ListenSystemd as [Notifications.Listen] takes the socket that systemd passes.
const ListenSystemd = "systemd"

// Notifications is the listener for D1's notifications. Without a listen
// address there is none, and progress is only known by asking D1.
type Notifications struct {
	// Listen is the address, host:port, or the word systemd for the socket that
	// cardbatch.socket passes, so that a restart refuses no call. Default: empty,
	// no listener.
	Listen string `yaml:"listen"`
	// CertFile and KeyFile are the listener's certificate chain and private key,
	// PEM, read again when they change. Without them it speaks plain HTTP, which
	// is allowed on a loopback address only, unless PlainHTTP says that a proxy ends TLS.
	CertFile File `yaml:"cert_file"`
	KeyFile  File `yaml:"key_file"`
	// ClientCAFile holds the PEM certificates of the authorities, one or more,
	// whose client certificates are accepted; it is read again when it changes.
	// Required with TLS on another address than loopback.
	ClientCAFile File `yaml:"client_ca_file"`
	// ClientNames are patterns, * for anything, one of which the common name or a
	// DNS name of a client certificate must match. Default: any name.
	ClientNames []string `yaml:"client_names"`
	// PlainHTTP allows plain HTTP on any address. Default: false.
	PlainHTTP bool `yaml:"plain_http"`
	// MaxBody bounds one notification. Default: 5MiB.
	MaxBody Size `yaml:"max_body"`
	// MaxInFlight bounds the notifications handled at the same time; more are
	// answered 503, and D1 sends them again. Default: 256.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxConnections bounds the open connections; more are closed at once. Default: 1024.
	MaxConnections int `yaml:"max_connections"`
	// MaxConnectionsPerAddress is the same for one remote address. Behind a
	// balancer all have one. Default: 256.
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address"`
	// RequestsPerSecond bounds the notifications of one client, an OAuth client or
	// else the name of its certificate or its address; more are answered 429, and
	// D1 sends them again. Default: 20000.
	RequestsPerSecond int `yaml:"requests_per_second"`
	// HeaderTimeout bounds a TLS handshake, and again the header of a request. Default: 5s.
	HeaderTimeout time.Duration `yaml:"header_timeout"`
	// Timeout bounds reading and answering one notification. Default: 15s.
	Timeout time.Duration `yaml:"timeout"`
	// IdleTimeout is how long a connection may rest between two notifications. Default: 2m.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// OAuth asks for a bearer token, too. Default: none, client certificates are enough.
	OAuth *OAuth `yaml:"oauth"`
}

// OAuth is the token endpoint from which D1 fetches the token that it shows
// with notifications.
type OAuth struct {
	// TokenPath is where the listener answers token requests. Default: /oauth2/token.
	TokenPath string `yaml:"token_path"`
	// Scope is what a token needs to be good for notifications. Default: notifications.
	Scope string `yaml:"scope"`
	// TokenLifetime is how long a token is good for. Default: 15m.
	TokenLifetime time.Duration `yaml:"token_lifetime"`
	// ExpiresIn is how expires_in is written: text, as D1's specification has it,
	// or number, as RFC 6749 does. Default: text.
	ExpiresIn string `yaml:"expires_in"`
	// KeyFile holds the key that signs tokens, 32 random bytes in base64 or
	// hexadecimal. Default: one derived from keys.fingerprint_file.
	KeyFile File `yaml:"key_file"`
	// Clients may ask for tokens. Several are one after the other's successor,
	// while D1 is moved from one to the other. Required.
	Clients []OAuthClient `yaml:"clients"`
}

// OAuthClient is who may ask for tokens.
type OAuthClient struct {
	// ID is 1 to 64 letters, digits, dots, dashes or underscores. Required.
	ID string `yaml:"id"`
	// SecretHashes are hashes that `cardbatch secret` has made; any of the secrets
	// is good, so that one can be changed. Required.
	SecretHashes []string `yaml:"secret_hashes"`
	// Scopes are what the client may ask for. Default: OAuth.Scope.
	Scopes []string `yaml:"scopes"`
}

// Metrics is the listener for those who watch the daemon: /metrics for
// Prometheus, /healthz and /readyz. It has neither TLS nor a login.
type Metrics struct {
	// Listen is its address, host:port. Default: empty, no listener.
	Listen string `yaml:"listen"`
	// AnyAddress allows another address than loopback, in a network that only
	// those reach who may see it. Default: false.
	AnyAddress bool `yaml:"any_address"`
}

var (
	scopeRE      = regexp.MustCompile(`^[A-Za-z0-9._:/-]{1,64}$`)
	clientRE     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	secretHashRE = regexp.MustCompile(`^pbkdf2-sha256\$[1-9][0-9]{4,7}\$[A-Za-z0-9_-]{11,}\$[A-Za-z0-9_-]{43}$`)
	tokenPathRE  = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
)

func (n *Notifications) check(c checker) {
	or(c, "notifications.max_body", &n.MaxBody, 5<<20)
	or(c, "notifications.max_in_flight", &n.MaxInFlight, 256)
	or(c, "notifications.max_connections", &n.MaxConnections, 1024)
	or(c, "notifications.max_connections_per_address", &n.MaxConnectionsPerAddress, min(256, n.MaxConnections))
	or(c, "notifications.requests_per_second", &n.RequestsPerSecond, 20000)
	or(c, "notifications.timeout", &n.Timeout, 15*time.Second)
	or(c, "notifications.header_timeout", &n.HeaderTimeout, min(5*time.Second, n.Timeout))
	or(c, "notifications.idle_timeout", &n.IdleTimeout, 2*time.Minute)
	c.pair("notifications", n.CertFile, n.KeyFile)
	if n.HeaderTimeout > n.Timeout {
		c.Problem("notifications.header_timeout", "is more than timeout, %s", n.Timeout)
	}
	if n.MaxConnectionsPerAddress > n.MaxConnections {
		c.Problem("notifications.max_connections_per_address", "is more than max_connections, %d", n.MaxConnections)
	}
	if n.ClientCAFile != "" && n.CertFile == "" {
		c.Problem("notifications.client_ca_file", "needs cert_file and key_file: client certificates exist in TLS only")
	}
	if len(n.ClientNames) > 0 && n.ClientCAFile == "" {
		c.Problem("notifications.client_names", "needs client_ca_file: a name that nobody vouches for says nothing")
	}
	if slices.Contains(n.ClientNames, "") {
		c.Problem("notifications.client_names", "one is empty")
	}
	if n.OAuth != nil {
		n.OAuth.check(c, "notifications.oauth")
	}
	if n.Listen != "" {
		n.checkListen(c)
	}
}

func (n *Notifications) checkListen(c checker) {
	host, _, err := net.SplitHostPort(n.Listen)
	local := loopback(host)
	if n.Listen == ListenSystemd {
		err = nil
	}
	switch {
	case err != nil:
		c.Problem("notifications.listen", "%q is not an address; write host:port, or systemd for the socket it passes", n.Listen)
	case n.CertFile == "" && !n.PlainHTTP && !local:
		c.Problem("notifications.listen", "needs cert_file and key_file: plain HTTP is for loopback addresses; say plain_http: true when a proxy ends TLS")
	case n.CertFile != "" && n.ClientCAFile == "" && !local:
		c.Problem("notifications.client_ca_file", "is required: D1 comes with a client certificate, and whoever has none is nobody we know")
	}
}

func (o *OAuth) check(c checker, key string) {
	orText(&o.TokenPath, "/oauth2/token")
	orText(&o.Scope, "notifications")
	orText(&o.ExpiresIn, "text")
	or(c, key+".token_lifetime", &o.TokenLifetime, 15*time.Minute)
	c.match(key+".token_path", o.TokenPath, tokenPathRE, "a path such as /oauth2/token")
	if strings.HasPrefix(o.TokenPath, "/notifications/") {
		c.Problem(key+".token_path", "is where notifications are taken")
	}
	c.match(key+".scope", o.Scope, scopeRE, "a word without spaces")
	c.oneOf(key+".expires_in", o.ExpiresIn, "text", "number")
	if o.TokenLifetime > 0 && o.TokenLifetime < time.Minute {
		c.Problem(key+".token_lifetime", "is less than 1m: D1 would do little else than fetch tokens")
	}
	c.atLeastOne(key+".clients", len(o.Clients))
	unique(c, key+".clients", "id", o.Clients, func(cl OAuthClient) string { return cl.ID })
	for i := range o.Clients {
		o.Clients[i].check(c, at(key+".clients", i), o.Scope)
	}
}

func (cl *OAuthClient) check(c checker, key, scope string) {
	c.match(key+".id", cl.ID, clientRE, "1 to 64 letters, digits, dots, dashes or underscores")
	c.atLeastOne(key+".secret_hashes", len(cl.SecretHashes))
	for i, hash := range cl.SecretHashes {
		if !secretHashRE.MatchString(hash) { // not quoted: it may be the secret itself
			c.Problem(at(key+".secret_hashes", i), "is not a hash that `cardbatch secret` has made")
		}
	}
	if len(cl.Scopes) == 0 {
		cl.Scopes = []string{scope}
	}
	for i, s := range cl.Scopes {
		c.match(at(key+".scopes", i), s, scopeRE, "a word without spaces")
	}
	if !slices.Contains(cl.Scopes, scope) {
		c.Problem(key+".scopes", "lack %s, without which the client's tokens are good for nothing", scope)
	}
}

func (m *Metrics) check(c checker, notifications string) {
	if m.Listen == "" {
		return
	}
	host, port, err := net.SplitHostPort(m.Listen)
	switch {
	case err != nil:
		c.Problem("metrics.listen", "%q is not an address; write host:port", m.Listen)
	case !loopback(host) && !m.AnyAddress:
		c.Problem("metrics.listen", "is not a loopback address: whoever reaches it sees everything; say any_address: true when only those can who may")
	case m.Listen == notifications && port != "0":
		c.Problem("metrics.listen", "is the address of notifications: D1 has no business there")
	}
}
