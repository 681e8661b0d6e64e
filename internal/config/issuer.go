package config

import (
	"time"

	"cardbatch/internal/calendar"
	"cardbatch/internal/strictyaml"
)

// The environments of D1, as the control files name them.
const (
	Test       = "TEST"
	Production = "PRODUCTION"
)

// Issuer is one issuer at D1.
type Issuer struct {
	// ID is D1's issuerId, exactly 10 characters. Required, unique.
	ID string `yaml:"id"`
	// Environment is TEST or PRODUCTION. Files that say otherwise are refused. Required.
	Environment string `yaml:"environment"`
	// TimeZone is the zone of its banking days. Required.
	TimeZone strictyaml.Zone `yaml:"time_zone"`

	D1     D1           `yaml:"d1"`
	Rate   Rate         `yaml:"rate"`
	Submit Submit       `yaml:"submit"`
	Center Center       `yaml:"center"`
	Track  Track        `yaml:"track"`
	Change Change       `yaml:"change"`
	Report IssuerReport `yaml:"report"`
}

// D1 says how to reach D1 for an issuer.
type D1 struct {
	// BaseURL is the banking API, such as https://api.d1.thalescloud.io/banking/v1.
	// Plain http is allowed to a loopback address only. Required.
	BaseURL string `yaml:"base_url"`
	// TokenURL is the token endpoint. Required.
	TokenURL string   `yaml:"token_url"`
	Token    Token    `yaml:"token"`
	TLS      TLS      `yaml:"tls"`
	JWEKeys  []JWEKey `yaml:"jwe_keys"`
	// RequestTimeout bounds one request. It must be longer than D1's own limit,
	// or answers are missed that D1 was about to give. Default: 35s.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// UpdatePath is where changes of orders are sent, below BaseURL, with
	// {issuerId} and {cardId} where these belong. D1 does not publish it.
	// Default: /issuers/{issuerId}/physicalCards/{cardId}/operations:updateOrder.
	UpdatePath string `yaml:"update_path"`
}

// Token says how an access token is asked for.
type Token struct {
	// KeyID is the kid under which D1 knows our signing key. Required.
	KeyID string `yaml:"key_id"`
	// KeyFile holds the P-256 private key, PEM. Required.
	KeyFile File `yaml:"key_file"`
	// Audience is the claim aud. Default: empty, not sent.
	Audience string `yaml:"audience"`
	// Subject is the claims iss and sub. Default: the issuer's id; an
	// aggregator writes its own.
	Subject string `yaml:"subject"`
	// Lifetime of one assertion, at most 15m. Default: 5m.
	Lifetime time.Duration `yaml:"lifetime"`
}

// TLS says how we and D1 prove who we are.
type TLS struct {
	// CertFile and KeyFile are our client certificate chain and private key,
	// PEM. Required unless D1 is on a loopback address.
	CertFile File `yaml:"cert_file"`
	KeyFile  File `yaml:"key_file"`
	// CAFile holds the PEM certificates that D1's must come from. Default: those of the system.
	CAFile File `yaml:"ca_file"`
}

// JWEKey is a public key of D1 for card data. The first of the list encrypts;
// the others are accepted in ready-made encrypted_data during a change of keys.
type JWEKey struct {
	// KeyID is D1's kid. Required, unique.
	KeyID string `yaml:"kid"`
	// File holds the P-256 public key, as JWK or PEM. Required.
	File File `yaml:"file"`
}

// Rate limits what is sent to D1, for the issuer over all stages and nodes.
type Rate struct {
	// RequestsPerSecond, as agreed with Thales. Default: 20.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// Burst is how many requests may go at once after a pause. Default: a
	// twentieth of a second's, at least 1.
	Burst int `yaml:"burst"`
	// InFlight is how many requests may wait for their answers. Default: 8.
	InFlight int `yaml:"in_flight"`
}

// The ways to send orders.
const (
	SubmitSingle = "single"
	SubmitBatch  = "batch"
)

// Batch is how orders are sent many in a request. Thales publishes neither the
// path of the batch API nor what it answers.
type Batch struct {
	// Path follows base_url/issuers/{issuerId}. Default:
	// /physicalCards/operations:production.
	Path string `yaml:"path"`
	// Answer says what D1 answers: per_card, all_or_nothing or as_a_whole.
	// Default: per_card.
	Answer string `yaml:"answer"`
	// MaxOrders in one request, at most 1000. Default: 500.
	MaxOrders int `yaml:"max_orders"`
	// MaxBody is the largest request. Default: 4MiB.
	MaxBody Size `yaml:"max_body"`
	// RequestsPerSecond, as agreed with Thales for batches. Default: 2.
	RequestsPerSecond float64 `yaml:"requests_per_second"`
	// Burst is how many requests may go at once after a pause. Default: 1.
	Burst int `yaml:"burst"`
	// InFlight is how many requests may wait for their answers. Default: 2.
	InFlight int `yaml:"in_flight"`
}

// Submit says how orders are sent.
type Submit struct {
	// Mode is single, one order in a request, or batch. Default: single.
	Mode string `yaml:"mode"`
	// Batch is used in mode batch. Questions about orders keep to rate all the same.
	Batch Batch `yaml:"batch"`
	// ClaimSize is the most orders claimed in one step. Default: 500.
	ClaimSize int `yaml:"claim_size"`
	// MaxAttempts is how often an order is sent at most, each time after D1 said
	// that it does not have it. After that a person must look at it. Default: 5.
	MaxAttempts int `yaml:"max_attempts"`
	// RetryWait is how long an order rests that was surely not delivered, at
	// most an hour. Default: 30s.
	RetryWait time.Duration `yaml:"retry_wait"`
	// SameRefusals in a row stop the run, leaving the rest of the orders ready:
	// that many the same are a mistake of set-up. Default: 20.
	SameRefusals int `yaml:"same_refusals"`
	// Settle is how long an order of unknown outcome rests before D1 is asked
	// about it. It must be longer than d1.request_timeout, and is at most 30m. Default: 2m.
	Settle time.Duration `yaml:"settle"`
	// Windows are when orders may be sent, on the clock of the issuer's zone.
	// Default: always.
	Windows []Window `yaml:"windows"`
}

// Window is when orders may be sent.
type Window struct {
	// From and To are times of day, "20:00"; To before From is on the next day.
	// Required.
	From *calendar.TimeOfDay `yaml:"from"`
	To   *calendar.TimeOfDay `yaml:"to"`
	// Days of the week on which the window begins. Default: every day.
	Days []calendar.Weekday `yaml:"days"`
}

// What becomes of orders after the cut-off.
const (
	Go   = "go"
	Wait = "wait"
)

// Center is the personalization center, as far as it decides when to send.
type Center struct {
	// TimeZone of the center. Default: the issuer's.
	TimeZone strictyaml.Zone `yaml:"time_zone"`
	// CutOff is the time of day until which orders count for the same day of
	// production. Default: none.
	CutOff *calendar.TimeOfDay `yaml:"cut_off"`
	// AfterCutOff says whether orders that come later, or on a day off, go at
	// once or wait for the next day of production. Default: go.
	AfterCutOff string `yaml:"after_cut_off"`
	// UrgentAfterCutOff is the same for urgent orders. Default: go.
	UrgentAfterCutOff string `yaml:"urgent_after_cut_off"`
	// Country whose public holidays are days off. Default: none.
	Country string `yaml:"country"`
	// DaysOff are the weekdays on which nothing is produced. Default: Saturday
	// and Sunday.
	DaysOff []calendar.Weekday `yaml:"days_off"`
	// DatesOff are other days off.
	DatesOff []calendar.Date `yaml:"dates_off"`
}

// Calendar returns the center's days off.
func (c *Center) Calendar() *calendar.Days {
	return &calendar.Days{Country: c.Country, DaysOff: c.DaysOff, DatesOff: c.DatesOff}
}

// Hours returns when orders of the issuer may be sent.
func (i *Issuer) Hours() *calendar.Hours {
	h := &calendar.Hours{Zone: i.TimeZone.Location}
	for _, w := range i.Submit.Windows {
		h.Windows = append(h.Windows, calendar.Window{From: *w.From, To: *w.To, Days: w.Days})
	}
	if i.Center.CutOff != nil {
		h.CutOff = &calendar.CutOff{At: *i.Center.CutOff, Zone: i.Center.TimeZone.Location, Days: *i.Center.Calendar(),
			Wait: i.Center.AfterCutOff == Wait, UrgentWait: i.Center.UrgentAfterCutOff == Wait}
	}
	return h
}

// Track says how D1 is asked about orders.
type Track struct {
	// NotFoundAsks is how often D1 must say that it does not know an order of
	// unknown outcome before it is sent again. Default: 2.
	NotFoundAsks int `yaml:"not_found_asks"`
	// UnclearAsks is after how many unclear answers such an order is held for a
	// person. Default: 8.
	UnclearAsks int `yaml:"unclear_asks"`
	// SilentAfter is how long a submitted order may go without news before D1
	// is asked. Default: 24h.
	SilentAfter time.Duration `yaml:"silent_after"`
	// Budget is the most questions asked in one run; they share D1's rate with
	// ordering. Default: 2000.
	Budget int `yaml:"budget"`
	// DailyBudget is the most questions answered on one day of the issuer's
	// time zone, over all runs; a restart does not renew it. A fifth of it is kept
	// for orders of unknown outcome. Default: 20000.
	DailyBudget int `yaml:"daily_budget"`
}

// Change says how changes of orders are made.
type Change struct {
	// WaitForOrder is how long a change waits for an order that has not come
	// before it is given up. Default: 24h.
	WaitForOrder time.Duration `yaml:"wait_for_order"`
	// SilentAfter is how long D1 may be silent about a change that it has taken
	// before it is asked. Default: 1h.
	SilentAfter time.Duration `yaml:"silent_after"`
}

// IssuerReport says where the files about an issuer as a whole go, such as the
// morning's status.
type IssuerReport struct {
	// Drop is the name of the drop. Default: that of the issuer's first source.
	Drop string `yaml:"drop"`
	// Directory is relative to the drop's root. Default: the reports directory
	// of the issuer's first source.
	Directory string `yaml:"directory"`
	// PGP says how these files are encrypted. Default: as the reports of the
	// issuer's first source.
	PGP ReportPGP `yaml:"pgp"`
}
