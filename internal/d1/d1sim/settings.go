package d1sim

import (
	"fmt"
	"net/url"
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
	// BatchAnswer is BatchPerCard (default), BatchAll or BatchOff.
	BatchAnswer string `yaml:"batch_answer"`
	// Latency of every order and status request, evenly spread.
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

	// Share of orders, chosen by issuerRequestId and seed.
	Production Production `yaml:"production"`
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
}

// Latency is a range of waiting times.
type Latency struct {
	Min time.Duration `yaml:"min"`
	Max time.Duration `yaml:"max"`
}

// Production says what becomes of the orders.
type Production struct {
	DataException float64 `yaml:"data_exception"` // share rejected by data preparation
	OnHold        float64 `yaml:"on_hold"`        // share kept a day longer on hold
	Late          float64 `yaml:"late"`           // share shipped two days after its due date
	Cancelled     float64 `yaml:"cancelled"`      // share cancelled before it is made
	// ShipmentUpdates is the number of CARD_SHIPPED repeats with newer
	// shipment data, the last of them Delivered. Default 2; -1: none.
	ShipmentUpdates int `yaml:"shipment_updates"`
	// Outcomes decides single orders: issuerRequestId to DATA_EXCEPTION,
	// CARD_PROD_ON_HOLD, CARD_PROD_CANCELED or CARD_SHIPPED.
	Outcomes map[string]string `yaml:"outcomes"`
}

// Faults are shares of requests that go wrong.
type Faults struct {
	ErrorBefore float64 `yaml:"error_before"` // order answered ErrorStatus, not processed
	ErrorAfter  float64 `yaml:"error_after"`  // order processed, answered ErrorStatus
	ResetBefore float64 `yaml:"reset_before"` // connection reset, order not processed
	ResetAfter  float64 `yaml:"reset_after"`  // order processed, connection reset
	Slow        float64 `yaml:"slow"`         // order processed, answered SlowFor later
	// SlowFor is the delay of a slow answer. Default 60 s.
	SlowFor time.Duration `yaml:"slow_for"`
	// ErrorStatus of ErrorBefore, ErrorAfter and StatusError. Default 503.
	ErrorStatus int `yaml:"error_status"`
	// StatusError is the share of productionStatus requests answered ErrorStatus.
	StatusError float64 `yaml:"status_error"`
	// TokenDown answers every token request with 503.
	TokenDown bool `yaml:"token_down"`
	// RevokeTokens makes this share of order requests fail with 401.
	RevokeTokens float64 `yaml:"revoke_tokens"`

	LostNotifications      float64 `yaml:"lost_notifications"`       // never sent
	DuplicateNotifications float64 `yaml:"duplicate_notifications"`  // sent twice
	ReorderedNotifications float64 `yaml:"reordered_notifications"`  // sent after the order's next one
	UnreadNotificationAcks float64 `yaml:"unread_notification_acks"` // delivered, taken as failed and retried
}

func (s Settings) withDefaults() Settings {
	def(&s.Day, time.Second)
	def(&s.Duplicates, DuplicatesReplay)
	def(&s.RateLimit.RetryAfter, time.Second)
	def(&s.BatchRateLimit.RetryAfter, time.Second)
	def(&s.BatchAnswer, BatchPerCard)
	def(&s.Faults.ErrorStatus, 503)
	def(&s.Faults.SlowFor, time.Minute)
	def(&s.Production.ShipmentUpdates, 2)
	if s.Latency.Max < s.Latency.Min {
		s.Latency.Max = s.Latency.Min
	}
	return s
}

func (s *Settings) validate() error {
	if !slices.Contains([]string{DuplicatesReplay, DuplicatesReject, DuplicatesBlind}, s.Duplicates) {
		return fmt.Errorf("d1sim: unknown duplicate mode %q", s.Duplicates)
	}
	if !slices.Contains([]string{BatchPerCard, BatchAll, BatchOff}, s.BatchAnswer) {
		return fmt.Errorf("d1sim: unknown batch answer %q", s.BatchAnswer)
	}
	if s.Day <= 0 || s.RateLimit.PerSecond < 0 || s.RateLimit.Burst < 0 ||
		s.BatchRateLimit.PerSecond < 0 || s.BatchRateLimit.Burst < 0 || s.Latency.Min < 0 ||
		s.StatusLag < 0 || s.NotificationDelay < 0 || s.Faults.SlowFor < 0 {
		return fmt.Errorf("d1sim: a duration or rate is negative")
	}
	if st := s.Faults.ErrorStatus; st < 400 || st > 599 {
		return fmt.Errorf("d1sim: error status %d is not an error", st)
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
	for id, o := range s.Production.Outcomes {
		if _, ok := outcomeOf(o); !ok {
			return fmt.Errorf("d1sim: unknown outcome %q of order %q", o, id)
		}
	}
	return s.validateShares()
}

func (s *Settings) validateShares() error {
	p, f := &s.Production, &s.Faults
	for name, v := range map[string]float64{
		"data_exception": p.DataException, "on_hold": p.OnHold, "late": p.Late, "cancelled": p.Cancelled,
		"error_before": f.ErrorBefore, "error_after": f.ErrorAfter, "reset_before": f.ResetBefore,
		"reset_after": f.ResetAfter, "slow": f.Slow, "status_error": f.StatusError,
		"revoke_tokens": f.RevokeTokens, "lost_notifications": f.LostNotifications,
		"duplicate_notifications":  f.DuplicateNotifications,
		"reordered_notifications":  f.ReorderedNotifications,
		"unread_notification_acks": f.UnreadNotificationAcks,
	} {
		if !(v >= 0 && v <= 1) { // NaN too
			return fmt.Errorf("d1sim: share %s is %v, want 0 to 1", name, v)
		}
	}
	return nil
}

func (s Settings) checked() (Settings, error) {
	s = s.withDefaults()
	return s, s.validate()
}
