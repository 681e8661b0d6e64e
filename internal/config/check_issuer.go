package config

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/calendar"
)

func (p *Product) check(c checker, key string) {
	c.match(key+".id", p.ID, productRE, "1 to 48 letters, digits, dashes or underscores")
	or(c, key+".validity_years", &p.ValidityYears, 6)
	if len(p.Deliveries) == 0 {
		c.Problem(key+".deliveries", "at least one is required; NO_SHIPMENT must be said")
	}
	c.atLeastOne(key+".countries", len(p.Countries))
	for i, country := range p.Countries {
		c.match(at(key+".countries", i), country, countryRE, "two capital letters of ISO 3166-1")
	}
	for i, u := range p.UrgentPriorities {
		if !slices.Contains(p.Priorities, u) {
			c.Problem(at(key+".urgent_priorities", i), "%q is not among priorities", u)
		}
	}
	if p.DefaultCardCarrier != "" && !slices.Contains(p.CardCarriers, p.DefaultCardCarrier) {
		c.Problem(key+".default_card_carrier", "%q is not among card_carriers", p.DefaultCardCarrier)
	}
	if p.DefaultPackaging != "" && !slices.Contains(p.Packagings, p.DefaultPackaging) {
		c.Problem(key+".default_packaging", "%q is not among packagings", p.DefaultPackaging)
	}
	need(c, key+".chip_config", p.ChipConfig)
	need(c, key+".oda_key_index", p.ODAKeyIndex)
	need(c, key+".derivation_key_index", p.DerivationKeyIndex)
	p.Ageing.check(c, key+".ageing")
	for i := range p.BINRanges {
		p.BINRanges[i].check(c, at(key+".bin_ranges", i))
	}
}

func (r *BINRange) check(c checker, key string) {
	orText(&r.High, r.Low)
	c.match(key+".low", r.Low, digitsRE, "6 to 12 digits")
	if r.High != r.Low {
		c.match(key+".high", r.High, digitsRE, "6 to 12 digits")
	}
	if len(r.High) != len(r.Low) {
		c.Problem(key+".high", "must have as many digits as low")
	} else if r.High < r.Low {
		c.Problem(key+".high", "must not be below low")
	}
	or(c, key+".length", &r.Length, 16)
	if r.Length < 12 || r.Length > 19 {
		c.Problem(key+".length", "must be 12 to 19")
	}
}

const (
	maxSettle    = 30 * time.Minute
	maxRetryWait = time.Hour
)

func (i *Issuer) check(c checker, key string, cfg *Config) {
	c.match(key+".id", i.ID, issuerRE, "exactly 10 letters, digits, dashes or underscores")
	if need(c, key+".environment", i.Environment) {
		c.oneOf(key+".environment", i.Environment, Test, Production)
	}
	if i.TimeZone.Location == nil {
		c.Problem(key+".time_zone", "is required")
	}
	i.D1.check(c, key+".d1", i.ID)
	or(c, key+".rate.requests_per_second", &i.Rate.RequestsPerSecond, 20)
	or(c, key+".rate.burst", &i.Rate.Burst, max(1, int(i.Rate.RequestsPerSecond/20)))
	or(c, key+".rate.in_flight", &i.Rate.InFlight, 8)
	i.Submit.checkMode(c, key+".submit")
	or(c, key+".submit.claim_size", &i.Submit.ClaimSize, 500)
	or(c, key+".submit.max_attempts", &i.Submit.MaxAttempts, 5)
	or(c, key+".submit.retry_wait", &i.Submit.RetryWait, 30*time.Second)
	or(c, key+".submit.same_refusals", &i.Submit.SameRefusals, 20)
	or(c, key+".submit.settle", &i.Submit.Settle, 2*time.Minute)
	if i.Submit.Settle <= i.D1.RequestTimeout {
		c.Problem(key+".submit.settle", "%s must be longer than d1.request_timeout, %s: D1 may still be working on the order",
			i.Submit.Settle, i.D1.RequestTimeout)
	}
	// The store takes what lies further ahead for the work of a clock that was
	// set back, and does it at once.
	if i.Submit.Settle > maxSettle {
		c.Problem(key+".submit.settle", "%s must be at most %s: questions about an order come ever more rarely from there", i.Submit.Settle, maxSettle)
	}
	if i.Submit.RetryWait > maxRetryWait {
		c.Problem(key+".submit.retry_wait", "%s must be at most %s", i.Submit.RetryWait, maxRetryWait)
	}
	i.checkHours(c, key)
	or(c, key+".track.not_found_asks", &i.Track.NotFoundAsks, 2)
	or(c, key+".track.unclear_asks", &i.Track.UnclearAsks, 8)
	or(c, key+".track.silent_after", &i.Track.SilentAfter, 24*time.Hour)
	or(c, key+".track.budget", &i.Track.Budget, 2000)
	or(c, key+".change.wait_for_order", &i.Change.WaitForOrder, 24*time.Hour)
	or(c, key+".change.silent_after", &i.Change.SilentAfter, time.Hour)
	or(c, key+".track.daily_budget", &i.Track.DailyBudget, 20_000)
	i.Report.check(c, key+".report", i.ID, cfg)
}

func (i *Issuer) checkHours(c checker, key string) {
	complete := i.TimeZone.Location != nil
	for n, w := range i.Submit.Windows {
		if w.From == nil || w.To == nil {
			c.Problem(at(key+".submit.windows", n), "needs from and to")
			complete = false
		}
	}
	center := &i.Center
	if center.TimeZone.Location == nil {
		center.TimeZone = i.TimeZone
	}
	if !c.Has(key + ".center.days_off") {
		center.DaysOff = []calendar.Weekday{calendar.Weekday(time.Saturday), calendar.Weekday(time.Sunday)}
	}
	orText(&center.AfterCutOff, Go)
	orText(&center.UrgentAfterCutOff, Go)
	c.oneOf(key+".center.after_cut_off", center.AfterCutOff, Go, Wait)
	c.oneOf(key+".center.urgent_after_cut_off", center.UrgentAfterCutOff, Go, Wait)
	if center.CutOff == nil && (center.AfterCutOff == Wait || center.UrgentAfterCutOff == Wait) {
		c.Problem(key+".center", "lets orders wait after the cut-off, but has no cut_off")
	}
	if err := calendar.CheckCountry(center.Country); err != nil {
		c.Problem(key+".center.country", "%v", err)
		complete = false
	}
	if !complete {
		return
	}
	// Any day will do: what comes at all comes within a month.
	if err := i.Hours().Check(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		c.Problem(key+".submit.windows", "%v", err)
	}
}

func (s *Submit) checkMode(c checker, key string) {
	orText(&s.Mode, SubmitSingle)
	c.oneOf(key+".mode", s.Mode, SubmitSingle, SubmitBatch)
	b, key := &s.Batch, key+".batch"
	orText(&b.Path, "/physicalCards/operations:production")
	if u, err := url.Parse(b.Path); err != nil || !strings.HasPrefix(b.Path, "/") || u.Path != b.Path {
		c.Problem(key+".path", "must be a plain path that begins with a slash")
	}
	orText(&b.Answer, "per_card")
	c.oneOf(key+".answer", b.Answer, "per_card", "all_or_nothing", "as_a_whole")
	or(c, key+".max_orders", &b.MaxOrders, 500)
	if b.MaxOrders > maxBatchOrders {
		c.Problem(key+".max_orders", "must be at most %d: D1 takes no more", maxBatchOrders)
	}
	or(c, key+".max_body", &b.MaxBody, 4<<20)
	if b.MaxBody > 0 && b.MaxBody < minBatchBody {
		c.Problem(key+".max_body", "must be at least 64KiB: one order takes up to that")
	}
	or(c, key+".requests_per_second", &b.RequestsPerSecond, 2)
	or(c, key+".burst", &b.Burst, 1)
	or(c, key+".in_flight", &b.InFlight, 2)
}

const (
	maxBatchOrders = 1000
	minBatchBody   = 64 << 10
)

func (d *D1) check(c checker, key, issuerID string) {
	or(c, key+".request_timeout", &d.RequestTimeout, 35*time.Second)
	local := c.endpoint(key+".base_url", d.BaseURL)
	c.endpoint(key+".token_url", d.TokenURL)
	c.updatePath(key+".update_path", &d.UpdatePath)
	need(c, key+".token.key_id", d.Token.KeyID)
	need(c, key+".token.key_file", d.Token.KeyFile)
	orText(&d.Token.Subject, issuerID)
	or(c, key+".token.lifetime", &d.Token.Lifetime, 5*time.Minute)
	if d.Token.Lifetime > 15*time.Minute {
		c.Problem(key+".token.lifetime", "must be at most 15m")
	}
	c.pair(key+".tls", d.TLS.CertFile, d.TLS.KeyFile)
	if !local && d.TLS.CertFile == "" && d.TLS.KeyFile == "" {
		c.Problem(key+".tls", "needs cert_file and key_file: D1 asks for a client certificate")
	}
	c.atLeastOne(key+".jwe_keys", len(d.JWEKeys))
	unique(c, key+".jwe_keys", "kid", d.JWEKeys, func(k JWEKey) string { return k.KeyID })
	for i, k := range d.JWEKeys {
		need(c, at(key+".jwe_keys", i)+".kid", k.KeyID)
		need(c, at(key+".jwe_keys", i)+".file", k.File)
	}
}

// updatePath checks where changes are sent. Without the card D1 could not tell
// what is meant.
func (c checker) updatePath(key string, path *string) {
	orText(path, "/issuers/{issuerId}/physicalCards/{cardId}/operations:updateOrder")
	switch bare := strings.NewReplacer("{issuerId}", "", "{cardId}", "").Replace(*path); {
	case !strings.HasPrefix(*path, "/"), strings.ContainsAny(bare, "{}?# "):
		c.Problem(key, "%q must be a path that begins with / and has {issuerId} and {cardId} where these belong", *path)
	case !strings.Contains(*path, "{cardId}"):
		c.Problem(key, "must have {cardId} in it")
	}
}

// endpoint checks a URL and reports whether it is on this machine.
func (c checker) endpoint(key, raw string) (local bool) {
	if !need(c, key, raw) {
		return true
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http", u.User != nil, u.RawQuery != "", u.Fragment != "":
		c.Problem(key, "must be a plain https URL")
		return true
	case u.Scheme == "http" && !loopback(u.Hostname()):
		c.Problem(key, "must be https: plain http is for loopback addresses only")
	}
	return loopback(u.Hostname())
}

func (r *IssuerReport) check(c checker, key, issuerID string, cfg *Config) {
	r.PGP.check(c, key+".pgp")
	for _, s := range cfg.Sources {
		if s.Issuer == issuerID {
			orText(&r.Drop, s.Drop)
			orText(&r.Directory, s.Directories.Reports)
			if !c.Has(key + ".pgp") {
				r.PGP = s.ReportPGP
			}
			break
		}
	}
	if r.Drop == "" || r.Directory == "" {
		c.Problem(key, "needs drop and directory: the issuer has no source to take them from")
		return
	}
	if cfg.Drop(r.Drop).Name == "" {
		c.Problem(key+".drop", "%q is not a drop of this configuration", r.Drop)
	}
	c.relative(key+".directory", r.Directory)
	r.Directory = path.Clean(r.Directory)
}
