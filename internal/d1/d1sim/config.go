package d1sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"
)

// How D1 treats an order whose issuerRequestId it already knows. Thales does
// not publish it; a client must be safe with all three.
const (
	DuplicatesReplay = "replay" // 202 with the operationId of the first, nothing new
	DuplicatesReject = "reject" // 409 DUPLICATE_REQUEST
	DuplicatesBlind  = "blind"  // taken as a new order: the card is produced twice
)

// Where a notification carries issuerRequestId. Thales' pages name both places.
const (
	PlaceBoth    = "both"
	PlaceTop     = "top"
	PlaceDetails = "details"
)

// Config is what is fixed while a Simulator lives. The zero value of every
// field but Issuers is usable; the comment on each says what it then means.
// "Assumed" marks what Thales does not publish.
type Config struct {
	// Issuers are the banks D1 knows. At least one.
	Issuers []Issuer
	// Settings are the values at the start; they can be changed while running.
	Settings Settings
	// Notifications says where and how D1 notifies.
	Notifications Notifications
	// Floor describes the personalization center.
	Floor Floor

	// TokenPath is the path of the token endpoint. Default /authz/v1/oauth2/token.
	TokenPath string
	// BankingPath is the base path of the order API. Default /banking/v1.
	BankingPath string
	// TokenLifetime is how long an access token lasts. Default 900 s.
	TokenLifetime time.Duration
	// ReuseTokens answers a token request with the issuer's running token and
	// its remaining seconds. Default: a new token every time.
	ReuseTokens bool
	// ClockSkew is tolerated in the times of an assertion. Default 5 s, assumed.
	ClockSkew time.Duration
	// MaxBody is the largest order request in bytes. Default 64 KiB, assumed.
	MaxBody int64
	// MaxBatchBody is the largest batch order in bytes. Default 5 MiB, assumed.
	MaxBatchBody int64
	// BatchPath follows {BankingPath}/issuers/{issuerId}.
	// Default /physicalCards/operations:production, assumed.
	BatchPath string
	// ChangePath follows {BankingPath}/issuers/{issuerId}/physicalCards/{cardId}.
	// Default /operations:updateOrder, assumed.
	ChangePath string
	// NamePattern is what may be embossed. Default ^[a-zA-Z. '/-]{0,26}$: what
	// Thales documents for its sister API, and apostrophe and slash (assumed).
	NamePattern string
	// NameOptional accepts card data without a name.
	NameOptional bool
	// IndividualAddressOptional accepts an INDIVIDUAL shipment without
	// individualAddress. Thales' text requires it, Thales' example omits it.
	IndividualAddressOptional bool
	// LeafFieldNames names a field in error by its last part only ("zipCode").
	// Default: by its path ("shipment.deliveryAddress.zipCode"). Assumed.
	LeafFieldNames bool
	// RequireRegisteredCard answers 404 CARD_NOT_FOUND for a card that
	// RegisterCard was not told of. Default off, assumed.
	RequireRegisteredCard bool
	// CheckClientName demands a TLS client certificate whose common name
	// starts with TLSMA- and holds the issuer's id, unless
	// Settings.ClientCertificate says otherwise.
	CheckClientName bool
	// Events is how many of the newest events are kept, see [Event]. Default
	// 10000; -1: none.
	Events int
	// Seed makes every random choice repeatable. Zero: a random seed.
	Seed uint64
	// Now tells the time (tokens, start of the Shopfloor's clock). It must run
	// as fast as real time. Default time.Now.
	Now func() time.Time
}

// Issuer is a bank as D1 was told about it at onboarding.
type Issuer struct {
	// ID is exactly 10 characters.
	ID string
	// Audience, when given, is what aud of an assertion must hold.
	Audience string
	// JWTKeys are the issuer's public keys (P-256) by key id.
	JWTKeys map[string]*ecdsa.PublicKey
	// JWEKeys are D1's own private keys (P-256) for this issuer by key id;
	// two of them during a change-over.
	JWEKeys map[string]*ecdsa.PrivateKey
	// Products are the card products. None: every cardProductId is accepted.
	Products []Product
}

// Product is what a card program allows. An empty list allows everything.
type Product struct {
	ID         string   `yaml:"id"`
	BINs       []string `yaml:"bins"`       // leading digits of the PAN
	Priorities []string `yaml:"priorities"` // services.priority
	Deliveries []string `yaml:"deliveries"` // services.delivery
	Carriers   []string `yaml:"carriers"`   // services.cardCarrier
	Packagings []string `yaml:"packagings"` // services.packaging
	Inserts    []string `yaml:"inserts"`    // packagingConfig.inserts
	Countries  []string `yaml:"countries"`  // ISO 3166-1 alpha-2; others are blocked
	Configs    []string `yaml:"configs"`    // paymentApplication.config
	Site       string   `yaml:"site"`       // details.productionSite; default Floor.Site
}

// Notifications says where and how D1 notifies the issuer.
type Notifications struct {
	// URL is the issuer's base URL; the path
	// /notifications/d1/v2/issuers/{issuerId}/cards is appended. Empty: none
	// are sent until Settings.NotificationURL is set.
	URL string `yaml:"url"`
	// BatchSize is the most operations in one request. Default 1, assumed.
	BatchSize int `yaml:"batch_size"`
	// Workers is the number of requests in flight. Default 4, assumed.
	Workers int `yaml:"workers"`
	// Timeout of one request. Default 10 s, assumed.
	Timeout time.Duration `yaml:"timeout"`
	// RetryPlan is how long to wait before each retry of a request that was
	// answered 408, 429 or 5xx or not at all, in real time; after the last one
	// D1 gives up. Default 30 s, 1, 2, 5, 15, 30 min, then hourly up to a day,
	// assumed. An empty, non-nil plan means no retries.
	RetryPlan []time.Duration `yaml:"retry_plan"`
	// IDPlace says where issuerRequestId stands: PlaceBoth (default), PlaceTop
	// or PlaceDetails.
	IDPlace string `yaml:"id_place"`
	// FixedEndTime keeps endTime at the first CARD_SHIPPED. Default: it is the
	// time of the newest shipment data.
	FixedEndTime bool `yaml:"fixed_end_time"`
	// TLS is used towards the issuer: its CA, D1's client certificate.
	TLS *tls.Config `yaml:"-"`
	// OAuth, when TokenURL is set, fetches a token from the issuer first.
	OAuth OAuth `yaml:"oauth"`
}

// OAuth is a client-credentials grant at the issuer.
type OAuth struct {
	TokenURL     string `yaml:"token_url"`
	ClientID     string `yaml:"client_id"`
	ClientSecret string `yaml:"-"`
	Scope        string `yaml:"scope"`
}

// Floor describes the personalization center, all of it configured per
// customer in reality.
type Floor struct {
	// TimeZone of the center. Default UTC.
	TimeZone *time.Location `yaml:"-"`
	// CutOff is the local time of day after which a request counts as the next
	// calendar day's. Default 17 h.
	CutOff time.Duration `yaml:"cut_off"`
	// Pickup is the local time of day the carrier comes. Default 17 h.
	Pickup time.Duration `yaml:"pickup"`
	// Holidays are the center's days off besides Saturday and Sunday (2006-01-02).
	Holidays []string `yaml:"holidays"`
	// SLAs are tried in turn; the first that fits decides. Default: URGENT 4
	// hours when received before 12:00 local, RENEWAL D+10, everything else D+1.
	SLAs []SLA `yaml:"slas"`
	// Site is details.productionSite. Default CENTER-1.
	Site string `yaml:"site"`
	// Carriers maps services.delivery to a carrier code. Default: usps-imb to
	// usps-iv-api, laposte-cip to la-poste-colissimo, anything else to dhl.
	Carriers map[string]string `yaml:"carriers"`
	// DueDateLayout formats details.dueDate. Default 2006-01-02, assumed.
	DueDateLayout string `yaml:"due_date_layout"`
	// Epoch is the Shopfloor's time at the start. Default: now.
	Epoch time.Time `yaml:"epoch"`
	// ShipUndelivered also gives NO_SHIPMENT cards a CARD_SHIPPED. Default:
	// they end, for ever, with CARD_PROD_DONE.
	ShipUndelivered bool `yaml:"ship_undelivered"`
}

// SLA is one rule for the time production may take.
type SLA struct {
	Issuance string        `yaml:"issuance"` // empty: any
	Priority string        `yaml:"priority"` // empty: any
	Days     int           `yaml:"days"`     // working days after the request date
	Hours    int           `yaml:"hours"`    // instead of Days: hours after the request
	Before   time.Duration `yaml:"before"`   // Hours holds only when received before this local time of day
}

var (
	correlationPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	datePattern        = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
)

func (c Config) withDefaults() Config {
	def(&c.TokenPath, "/authz/v1/oauth2/token")
	def(&c.BankingPath, "/banking/v1")
	def(&c.BatchPath, "/physicalCards/operations:production")
	def(&c.ChangePath, "/operations:updateOrder")
	def(&c.TokenLifetime, 900*time.Second)
	def(&c.ClockSkew, 5*time.Second)
	def(&c.MaxBody, 64<<10)
	def(&c.MaxBatchBody, 5<<20)
	def(&c.NamePattern, `^[a-zA-Z. '/-]{0,26}$`)
	if c.Seed == 0 {
		c.Seed = rand.Uint64() | 1
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Settings.NotificationURL == "" {
		c.Settings.NotificationURL = c.Notifications.URL
	}
	if c.CheckClientName {
		def(&c.Settings.ClientCertificate, CertificateNamed)
	}
	def(&c.Events, 10_000)
	c.Settings = c.Settings.withDefaults()
	c.Notifications = c.Notifications.withDefaults()
	c.Floor = c.Floor.withDefaults(c.Now())
	return c
}

func (n Notifications) withDefaults() Notifications {
	def(&n.BatchSize, 1)
	def(&n.Workers, 4)
	def(&n.Timeout, 10*time.Second)
	def(&n.IDPlace, PlaceBoth)
	if n.RetryPlan == nil {
		n.RetryPlan = []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute,
			5 * time.Minute, 15 * time.Minute, 30 * time.Minute}
		for range 23 {
			n.RetryPlan = append(n.RetryPlan, time.Hour)
		}
	}
	return n
}

func (f Floor) withDefaults(now time.Time) Floor {
	if f.TimeZone == nil {
		f.TimeZone = time.UTC
	}
	def(&f.CutOff, 17*time.Hour)
	def(&f.Pickup, 17*time.Hour)
	def(&f.Site, "CENTER-1")
	def(&f.DueDateLayout, time.DateOnly)
	if f.Epoch.IsZero() {
		f.Epoch = now
	}
	if f.SLAs == nil {
		f.SLAs = []SLA{
			{Priority: "URGENT", Hours: 4, Before: 12 * time.Hour},
			{Issuance: "RENEWAL", Days: 10},
			{Days: 1},
		}
	}
	if f.Carriers == nil {
		f.Carriers = map[string]string{"usps-imb": "usps-iv-api", "laposte-cip": "la-poste-colissimo"}
	}
	return f
}

func (c *Config) validate() error {
	if len(c.Issuers) == 0 {
		return errors.New("d1sim: no issuer configured")
	}
	seen := map[string]bool{}
	for i := range c.Issuers {
		is := &c.Issuers[i]
		if seen[is.ID] {
			return fmt.Errorf("d1sim: issuer %q is configured twice", is.ID)
		}
		seen[is.ID] = true
		if err := is.validate(); err != nil {
			return fmt.Errorf("d1sim: issuer %q: %w", is.ID, err)
		}
	}
	if _, err := regexp.Compile(c.NamePattern); err != nil {
		return fmt.Errorf("d1sim: name pattern: %w", err)
	}
	switch c.Notifications.IDPlace {
	case PlaceBoth, PlaceTop, PlaceDetails:
	default:
		return fmt.Errorf("d1sim: unknown place of issuerRequestId %q", c.Notifications.IDPlace)
	}
	for _, d := range c.Floor.Holidays {
		if !datePattern.MatchString(d) {
			return fmt.Errorf("d1sim: holiday %q is not YYYY-MM-DD", d)
		}
	}
	return c.Settings.validate()
}

func (is *Issuer) validate() error {
	if len(is.ID) != 10 {
		return fmt.Errorf("the id has %d characters, not 10", len(is.ID))
	}
	if len(is.JWTKeys) == 0 || len(is.JWEKeys) == 0 {
		return errors.New("at least one JWT key and one JWE key are needed")
	}
	for kid, k := range is.JWTKeys {
		if k == nil || k.Curve != elliptic.P256() {
			return fmt.Errorf("JWT key %q is not a P-256 key", kid)
		}
	}
	for kid, k := range is.JWEKeys {
		if k == nil || k.Curve != elliptic.P256() {
			return fmt.Errorf("JWE key %q is not a P-256 key", kid)
		}
	}
	return nil
}

// def sets *v to d when it is the zero value.
func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
