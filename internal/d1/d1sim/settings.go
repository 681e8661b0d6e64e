package d1sim

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"time"
)

// Settings are what can be switched while the simulator runs, by
// [Simulator.Adjust] or over the admin endpoint. A share is between 0 and 1.
type Settings struct {
	// Day is how long one day of the Shopfloor lasts in real time. Default 1 s.
	Day time.Duration `yaml:"day"`
	// Duplicates is DuplicatesReplay (default), DuplicatesReject or DuplicatesBlind.
	Duplicates string `yaml:"duplicates"`
	// OneOpenOrderPerCard refuses (403) a second order for a card whose first
	// is not finished. Default off.
	OneOpenOrderPerCard bool `yaml:"one_open_order_per_card"`
	// RateLimit of each issuer's order requests.
	RateLimit RateLimit `yaml:"rate_limit"`
	// BatchRateLimit of each issuer's batch orders.
	BatchRateLimit RateLimit `yaml:"batch_rate_limit"`
	// StatusRateLimit of each issuer's productionStatus requests.
	StatusRateLimit RateLimit `yaml:"status_rate_limit"`
	// BatchAnswer is BatchPerCard (default), BatchAll, BatchAccepted or BatchOff.
	BatchAnswer string `yaml:"batch_answer"`
	// ClientCertificate is CertificateOff, CertificateRequired or
	// CertificateNamed. Default off; named with Config.CheckClientName. The
	// server must take its TLS from [Simulator.ServerTLS].
	ClientCertificate string `yaml:"client_certificate"`
	// Latency of every order, change and status request.
	Latency Latency `yaml:"latency"`
	// SkipDecryption takes encryptedData as given, for measurements.
	SkipDecryption bool `yaml:"skip_decryption"`
	// StatusLag is how far productionStatus is behind, in real time. An order
	// younger than that is not known to it.
	StatusLag time.Duration `yaml:"status_lag"`

	// NotificationURL replaces Notifications.URL.
	NotificationURL string `yaml:"notification_url"`
	// PauseNotifications keeps notifications back until switched off.
	PauseNotifications bool `yaml:"pause_notifications"`
	// NotificationDelay holds each notification back for this real time.
	NotificationDelay time.Duration `yaml:"notification_delay"`
	// NotificationRetryPlan, when given, replaces Notifications.RetryPlan.
	NotificationRetryPlan []time.Duration `yaml:"notification_retry_plan"`

	// Share of orders, chosen by issuerRequestId and seed.
	Production Production `yaml:"production"`
	// Changes says until when the center takes a change.
	Changes Changes `yaml:"changes"`
	// Faults are made at random, share by share.
	Faults Faults `yaml:"faults"`
}

// RateLimit is a token bucket.
type RateLimit struct {
	// PerSecond is the steady rate. 0: no limit.
	PerSecond float64 `yaml:"per_second"`
	// Burst is the size of the bucket. Default 2 * PerSecond, at least 1.
	Burst int `yaml:"burst"`
	// RetryAfter is what the 429 says, in whole seconds. Default 1 s.
	RetryAfter time.Duration `yaml:"retry_after"`
	// RetryAfterForm is RetryAfterSeconds (default), RetryAfterDate or
	// RetryAfterNone.
	RetryAfterForm string `yaml:"retry_after_form"`
}

// The forms of Retry-After; HTTP allows the first two.
const (
	RetryAfterSeconds = "seconds"
	RetryAfterDate    = "date"
	RetryAfterNone    = "none"
)

// When a client must show a certificate.
const (
	CertificateOff      = "off"      // never; one that is shown must still be valid
	CertificateRequired = "required" // in the handshake
	CertificateNamed    = "named"    // and its common name is TLSMA-... with the issuer's id
)

// Latency is a distribution of waiting times: evenly spread from Min to Max
// or, with P50 and P99, log-normal: half of the answers within P50, 1 of 100
// later than P99. Min and Max (when not zero) then bound it.
type Latency struct {
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
	P50 time.Duration `yaml:"p50"`
	P99 time.Duration `yaml:"p99"`
}

// Changes is the center's rule for "pull & change", all of it assumed. The
// stages are CARD_PROD_REQUESTED, DATA_PREPARED, CARD_PROD_READY,
// CARD_PROD_ONGOING (and on hold) and CARD_PROD_DONE.
type Changes struct {
	CancelUntil string  `yaml:"cancel_until"` // last stage that takes CANCEL. Default CARD_PROD_READY
	OthersUntil string  `yaml:"others_until"` // and the others. Default CARD_PROD_ONGOING
	Refused     float64 `yaml:"refused"`      // share refused all the same
	// Unlisted keeps changes out of the answers to productionStatus, where
	// nobody has seen them yet.
	Unlisted bool `yaml:"unlisted"`
}

// Production says what becomes of the orders.
type Production struct {
	DataException float64 `yaml:"data_exception"` // share rejected by data preparation
	OnHold        float64 `yaml:"on_hold"`        // share kept a day longer on hold
	Late          float64 `yaml:"late"`           // share shipped two days after its due date
	Cancelled     float64 `yaml:"cancelled"`      // share cancelled before it is made
	Exception     float64 `yaml:"exception"`      // share spoilt in personalization, for good
	Returned      float64 `yaml:"returned"`       // share that comes back after the last shipment update
	// ShipmentUpdates is the number of CARD_SHIPPED repeats with newer
	// shipment data, the last of them Delivered. Default 2; -1: none.
	ShipmentUpdates int `yaml:"shipment_updates"`
	// Outcomes decides single orders: issuerRequestId to DATA_EXCEPTION,
	// CARD_PROD_ON_HOLD, CARD_PROD_CANCELED, CARD_PROD_EXCEPTION, CARD_RETURNED
	// or CARD_SHIPPED.
	Outcomes map[string]string `yaml:"outcomes"`
}

func (s Settings) withDefaults() Settings {
	def(&s.Day, time.Second)
	def(&s.Duplicates, DuplicatesReplay)
	for _, l := range []*RateLimit{&s.RateLimit, &s.BatchRateLimit, &s.StatusRateLimit} {
		def(&l.RetryAfter, time.Second)
		def(&l.RetryAfterForm, RetryAfterSeconds)
	}
	def(&s.ClientCertificate, CertificateOff)
	def(&s.BatchAnswer, BatchPerCard)
	s.Faults.defaults()
	def(&s.Production.ShipmentUpdates, 2)
	def(&s.Changes.CancelUntil, cardReady)
	def(&s.Changes.OthersUntil, cardOngoing)
	if l := &s.Latency; l.P50 == 0 {
		l.Max = max(l.Max, l.Min)
	} else {
		l.P99 = max(l.P99, l.P50)
	}
	return s
}

func (s *Settings) validate() error {
	for _, c := range []struct {
		what, is string
		of       []string
	}{
		{"duplicate mode", s.Duplicates, []string{DuplicatesReplay, DuplicatesReject, DuplicatesBlind}},
		{"batch answer", s.BatchAnswer, []string{BatchPerCard, BatchAll, BatchAccepted, BatchOff}},
		{"client certificate", s.ClientCertificate, []string{CertificateOff, CertificateRequired, CertificateNamed}},
	} {
		if !slices.Contains(c.of, c.is) {
			return fmt.Errorf("d1sim: unknown %s %q", c.what, c.is)
		}
	}
	for _, l := range []RateLimit{s.RateLimit, s.BatchRateLimit, s.StatusRateLimit} {
		if l.PerSecond < 0 || l.Burst < 0 || l.RetryAfter < 0 {
			return fmt.Errorf("d1sim: a rate limit is negative")
		}
		if !slices.Contains([]string{RetryAfterSeconds, RetryAfterDate, RetryAfterNone}, l.RetryAfterForm) {
			return fmt.Errorf("d1sim: unknown form of Retry-After %q", l.RetryAfterForm)
		}
	}
	f := &s.Faults
	for _, d := range append([]time.Duration{s.Day - 1, s.Latency.Min, s.Latency.Max, s.Latency.P50, s.Latency.P99, s.StatusLag,
		s.NotificationDelay, f.SlowFor, f.SlowBodyFor, f.TokenSlowFor, f.DelayedFor}, s.NotificationRetryPlan...) {
		if d < 0 {
			return fmt.Errorf("d1sim: a duration is negative, or a day takes no time")
		}
	}
	for _, st := range []int{f.ErrorStatus, f.TokenStatus} {
		if st < 400 || st > 599 {
			return fmt.Errorf("d1sim: error status %d is not an error", st)
		}
	}
	if f.GoawayEvery < 0 {
		return fmt.Errorf("d1sim: goaway_every is negative")
	}
	if u := s.NotificationURL; u != "" {
		if p, err := url.Parse(u); err != nil || p.Host == "" || (p.Scheme != "http" && p.Scheme != "https") {
			return fmt.Errorf("d1sim: notification URL %q is not an http(s) URL", u)
		}
	}
	return s.validateProduction()
}

func (s *Settings) validateProduction() error {
	if n := s.Production.ShipmentUpdates; n < -1 || n > 50 {
		return fmt.Errorf("d1sim: %d shipment updates, want -1 to 50", n)
	}
	for _, stage := range []string{s.Changes.CancelUntil, s.Changes.OthersUntil} {
		if changeStage(stage) < 0 || stage == cardOnHold {
			return fmt.Errorf("d1sim: changes until %q: not a stage", stage)
		}
	}
	for id, o := range s.Production.Outcomes {
		if _, ok := outcomeOf(o); !ok {
			return fmt.Errorf("d1sim: unknown outcome %q of order %q", o, id)
		}
	}
	return s.validateShares()
}

// validateShares looks at every number that is a share: all of them are.
func (s *Settings) validateShares() error {
	for _, part := range []reflect.Value{reflect.ValueOf(s.Production), reflect.ValueOf(s.Changes), reflect.ValueOf(s.Faults)} {
		for i := range part.NumField() {
			f := part.Field(i)
			if !f.CanFloat() {
				continue
			}
			if v := f.Float(); !(v >= 0 && v <= 1) { // NaN too
				return fmt.Errorf("d1sim: share %s is %v, want 0 to 1", part.Type().Field(i).Tag.Get("yaml"), v)
			}
		}
	}
	return nil
}

func (s Settings) checked() (Settings, error) {
	s = s.withDefaults()
	return s, s.validate()
}
