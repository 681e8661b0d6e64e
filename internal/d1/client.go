package d1

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// Config says how to reach D1 for one issuer.
type Config struct {
	IssuerID string // exactly as D1 gave it
	BaseURL  string // https://api.d1.thalescloud.io/banking/v1
	TokenURL string // https://api.d1.thalescloud.io/authz/v1/oauth2/token
	Token    Token
	// TLSFiles are read again when they change: each new connection uses what
	// they hold at that moment.
	TLSFiles TLSFiles
	// TLS is a fixed configuration instead. With neither, the system's roots are
	// trusted and no client certificate is shown.
	TLS *tls.Config

	// Timeout bounds one call, token included. It should be longer than D1's
	// own, so that D1 gives up first. Default 35 s.
	Timeout time.Duration
	// InFlight is the most calls that will be made at once; it bounds the
	// connections. Default 64.
	InFlight int
	// UpdatePath is where changes of orders are sent, below BaseURL, with
	// {issuerId} and {cardId}. Default [DefaultUpdatePath].
	UpdatePath string
	// Policy adapts the reading of D1's answers.
	Policy retry.Policy
	// UnknownCard lists the error codes with which D1 answers 404 when it has
	// never heard of a card. Default CARD_NOT_FOUND. Any other 404 proves
	// nothing: it may come from a gateway or a wrong base URL.
	UnknownCard []string
	// Now is the clock. Default [time.Now].
	Now func() time.Time
	// Warn is told, once each, of what somebody should see to although the work
	// goes on: a new certificate or key that cannot be used, a clock that is
	// wrong. It holds no secrets. It must not block; nil: nobody is told.
	Warn func(error)
	// Observe is told of every request: its endpoint, one of Endpoint…, the HTTP
	// status, 0 without an answer, and how long it took to come. It must not
	// block; nil: nobody is told.
	Observe func(endpoint string, status int, took time.Duration)

	timing *timing  // for tests
	dial   dialFunc // for tests
}

const (
	defaultTimeout  = 35 * time.Second
	defaultInFlight = 64
	maxErrorBody    = 64 << 10
	maxStatusBody   = 1 << 20
)

var (
	cardIDPattern      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,48}$`)
	correlationPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// Client calls D1 on behalf of one issuer. It is safe for concurrent use.
type Client struct {
	cfg       Config
	cards     string // URL prefix up to and with physicalCards/
	updates   string // URL of changes, with {cardId}
	transport *http.Transport
	identity  *identity // nil: fixed
	tokens    *tokens
}

// New checks the configuration and returns a client. It does not connect.
func New(cfg Config) (*Client, error) {
	if cfg.IssuerID == "" {
		return nil, fmt.Errorf("configure D1 client: no issuer id")
	}
	base, err := endpoint(cfg.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("configure D1 client: base URL: %w", err)
	}
	if _, err = endpoint(cfg.TokenURL); err != nil {
		return nil, fmt.Errorf("configure D1 client: token URL: %w", err)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.InFlight <= 0 {
		cfg.InFlight = defaultInFlight
	}
	if cfg.UnknownCard == nil {
		cfg.UnknownCard = []string{"CARD_NOT_FOUND"}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Client{
		cfg:     cfg,
		cards:   base + "/issuers/" + url.PathEscape(cfg.IssuerID) + "/physicalCards/",
		updates: base + strings.ReplaceAll(cmp.Or(cfg.UpdatePath, DefaultUpdatePath), "{issuerId}", url.PathEscape(cfg.IssuerID)),
	}
	if cfg.TLSFiles != (TLSFiles{}) {
		if c.identity, err = newIdentity(cfg.TLSFiles, cfg.Warn); err != nil {
			return nil, fmt.Errorf("configure D1 client: %w", err)
		}
	}
	c.transport = newTransport(cfg, clientTLS(cfg, c.identity))
	source, err := newGrant(cfg, c.transport)
	if err != nil {
		return nil, fmt.Errorf("configure D1 client: %w", err)
	}
	c.tokens = &tokens{source: source, now: cfg.Now}
	return c, nil
}

// Certificates returns the certificates in use of [Config.TLSFiles], our own
// first. It looks whether the files have changed, so that a bad new one is told
// to [Config.Warn] before a connection needs it. With the system's roots there
// is nothing to say of those.
func (c *Client) Certificates() []Certificate {
	if c.identity == nil {
		return nil
	}
	return c.identity.certificates()
}

// endpoint checks a configured URL and returns it without a final slash.
func endpoint(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("parse: %w", err)
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return "", fmt.Errorf("%q is not of the form https://host/path", u.Redacted())
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return "", fmt.Errorf("plain http is for loopback addresses only, not for %s", u.Hostname())
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("scheme %q is not https", u.Scheme)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Format implements [fmt.Formatter]. It shows whose client it is and nothing of
// what it holds.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "D1 client of %s", c.cfg.IssuerID)
}

// Close ends idle connections. Calls in flight go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Call is one order to send.
type Call struct {
	CardID        string
	CorrelationID string // x-correlation-id; left out when it breaks D1's pattern
	Body          []byte // from [Encoder.Encode]; not changed
}

// Order orders the production of one card. Without an error D1 has accepted
// the order; the operation id may still be empty, because D1 does not promise
// one. Every error is a [retry.Error].
func (c *Client) Order(ctx context.Context, call Call) (string, error) {
	if !cardIDPattern.MatchString(call.CardID) {
		return "", &retry.Error{Class: retry.Refused, Code: codeBadCardID, Reason: "not sent"}
	}
	a, err := c.call(ctx, message{
		endpoint:      EndpointOrder,
		method:        http.MethodPost,
		url:           c.cards + call.CardID + "/operations:production",
		correlationID: call.CorrelationID,
		body:          call.Body,
		limit:         maxErrorBody,
	})
	if err != nil {
		return "", err
	}
	return c.accepted(a)
}

// ProductionStatus asks how the production of a card stands. A card D1 has
// never heard of has no operations, and no error. On an error, which is a
// [retry.Error] but says nothing of any order, nothing was learnt.
func (c *Client) ProductionStatus(ctx context.Context, cardID, correlationID string) ([]issuance.Operation, error) {
	if !cardIDPattern.MatchString(cardID) {
		return nil, &retry.Error{Class: retry.Refused, Code: codeBadCardID, Reason: "not sent"}
	}
	a, err := c.call(ctx, message{
		endpoint:      EndpointStatus,
		method:        http.MethodGet,
		url:           c.cards + cardID + "/productionStatus",
		correlationID: correlationID,
		limit:         maxStatusBody,
	})
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		e := c.failure(a)
		if a.status == http.StatusNotFound && slices.Contains(c.cfg.UnknownCard, e.Code) {
			return nil, nil
		}
		return nil, e
	}
	operations, err := ParseOperations(a.body)
	if err != nil {
		return nil, &retry.Error{Class: retry.Unknown, Status: a.status, Code: codeUnclear, Err: err}
	}
	return operations, nil
}

// Authenticate makes sure that D1 gives us a token, fetching one if need be.
func (c *Client) Authenticate(ctx context.Context) error {
	_, err := c.tokens.get(ctx)
	return err
}

// Probe asks D1 for a new token, whatever token is in use, and reports whether
// D1 gave it. It sends no order and changes nothing, so it is what a circuit
// breaker tries before it lets orders through again. A request for a token
// that is on its way already serves as well; a failure of a moment ago does
// not, unlike in [Client.Authenticate]. The new token replaces the one in use.
// Every error is a [retry.Error]: Stop when D1 answers and does not want us.
func (c *Client) Probe(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	_, err := c.tokens.fresh(limited)
	if err != nil && ctx.Err() != nil {
		e := *retry.Of(err)
		e.Unavailable = false
		return &e
	}
	return err
}

// message is one request, as often as it has to be sent.
type message struct {
	endpoint                   string // for those who count; see Endpoints
	method, url, correlationID string
	body                       []byte
	limit                      int64 // most bytes of the answer to read
}

// call sends a message within the time allowed. When the caller's own context
// has ended, D1 is not to blame for a missing answer.
func (c *Client) call(ctx context.Context, m message) (answer, error) {
	limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	a, err := c.do(limited, m)
	if err != nil && ctx.Err() != nil {
		e := *retry.Of(err)
		e.Unavailable = false
		return answer{}, &e
	}
	return a, err
}

// do sends a message with a token, and again with a new one when D1's gate
// turns the first one away. That is no second order: 401 comes from the gate.
func (c *Client) do(ctx context.Context, m message) (answer, error) {
	for again := false; ; again = true {
		token, err := c.tokens.get(ctx)
		if err != nil {
			return answer{}, err
		}
		a, err := c.send(ctx, m, token)
		if err != nil {
			return answer{}, err
		}
		if a.status != http.StatusUnauthorized {
			token.worked.Store(true)
			return a, nil
		}
		if again || !c.tokens.reject(token) {
			return a, nil
		}
	}
}

// send writes the request and reads the answer. It goes to the transport
// itself: an http.Client would follow redirects.
func (c *Client) send(ctx context.Context, m message, token *bearer) (answer, error) {
	var path route
	req, err := http.NewRequestWithContext(path.trace(ctx), m.method, m.url, nil)
	if err != nil {
		return answer{}, retry.Transport(fmt.Errorf("build request: %w", err), false)
	}
	req.Header["Authorization"] = []string{token.header.Reveal()}
	req.Header["Accept"] = []string{"application/json"}
	req.Header["User-Agent"] = []string{"cardbatch"}
	if correlationPattern.MatchString(m.correlationID) {
		req.Header["X-Correlation-Id"] = []string{m.correlationID}
	}
	body := newOnceBody(m.body)
	if m.method != http.MethodGet {
		req.Header["Content-Type"] = []string{"application/json"}
		req.Body, req.ContentLength = body, int64(len(m.body))
	}
	started := time.Now()
	resp, err := c.transport.RoundTrip(req)
	c.cfg.observe(m.endpoint, resp, started)
	if err != nil {
		return answer{}, retry.Failed(path.event(err, body.seal()), fmt.Errorf("call D1: %w", err))
	}
	path.answered()
	return readAnswer(resp, m.limit), nil
}
