package config

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/strictyaml"
)

var (
	nameRE    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	keyIDRE   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,16}$`)
	issuerRE  = regexp.MustCompile(`^[A-Za-z0-9_-]{10}$`)
	productRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,48}$`)
	countryRE = regexp.MustCompile(`^[A-Z]{2}$`)
	digitsRE  = regexp.MustCompile(`^[0-9]{6,12}$`)
	hostKeyRE = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}$`)
)

// checker fills in defaults and reports problems at the keys they are about.
type checker struct{ *strictyaml.Document }

// or gives a value its default. Zero written in the file is a mistake: it
// would otherwise silently mean the default.
func or[T int | int64 | float64 | Size | time.Duration](c checker, key string, v *T, def T) {
	switch {
	case *v < 0, *v == 0 && c.Has(key):
		c.Problem(key, "must be above zero")
	case *v == 0:
		*v = def
	}
}

func orText(v *string, def string) {
	if *v == "" {
		*v = def
	}
}

func need[T ~string](c checker, key string, v T) bool {
	if v == "" {
		c.Problem(key, "is required")
	}
	return v != ""
}

func (c checker) match(key, v string, re *regexp.Regexp, rule string) {
	if need(c, key, v) && !re.MatchString(v) {
		c.Problem(key, "%q must be %s", v, rule)
	}
}

func (c checker) oneOf(key, v string, allowed ...string) {
	if !slices.Contains(allowed, v) {
		c.Problem(key, "%q is not one of %s", v, strings.Join(allowed, ", "))
	}
}

func (c checker) atLeastOne(key string, n int) {
	if n == 0 {
		c.Problem(key, "at least one is required")
	}
}

// unique reports values that stand twice in a list, each at its second place.
func unique[T any](c checker, list, field string, items []T, value func(T) string) {
	seen := map[string]int{}
	for i, item := range items {
		v := value(item)
		if first, ok := seen[v]; ok && v != "" {
			c.Problem(at(list, i)+"."+field, "%q is already used by %s", v, at(list, first))
			continue
		}
		seen[v] = i
	}
}

func (cfg *Config) check(c checker) {
	if cfg.Node == "" {
		cfg.Node, _ = os.Hostname()
		orText(&cfg.Node, "localhost")
	}
	if cfg.StateDir == "" {
		cfg.StateDir = "/var/lib/cardbatch"
		if dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); dir != "" {
			cfg.StateDir = Dir(dir)
		}
	}
	or(c, "drain_timeout", &cfg.DrainTimeout, 30*time.Second)
	orText(&cfg.Log.Level, "info")
	c.oneOf("log.level", cfg.Log.Level, "debug", "info", "warn", "error")
	orText(&cfg.Log.Format, "json")
	c.oneOf("log.format", cfg.Log.Format, "json", "console")
	or(c, "reports.revise_every", &cfg.Reports.ReviseEvery, 20*time.Hour)
	cfg.Reports.Exceptions.check(c, "reports.exceptions")
	cfg.Retention.check(c)
	cfg.Keys.check(c)
	cfg.Notifications.check(c)
	cfg.Metrics.check(c, cfg.Notifications.Listen)
	cfg.checkLists(c)
}

func (cfg *Config) checkLists(c checker) {
	c.atLeastOne("drops", len(cfg.Drops))
	c.atLeastOne("issuers", len(cfg.Issuers))
	c.atLeastOne("products", len(cfg.Products))
	c.atLeastOne("sources", len(cfg.Sources))
	unique(c, "drops", "name", cfg.Drops, func(d Drop) string { return d.Name })
	unique(c, "issuers", "id", cfg.Issuers, func(i Issuer) string { return i.ID })
	unique(c, "products", "id", cfg.Products, func(p Product) string { return p.ID })
	unique(c, "sources", "name", cfg.Sources, func(s Source) string { return s.Name })
	for i := range cfg.Drops {
		cfg.Drops[i].check(c, at("drops", i))
	}
	for i := range cfg.Products {
		cfg.Products[i].check(c, at("products", i))
	}
	for i := range cfg.Sources {
		cfg.Sources[i].check(c, at("sources", i), cfg)
	}
	cfg.checkSharedDirectories(c)
	for i := range cfg.Issuers {
		cfg.Issuers[i].check(c, at("issuers", i), cfg)
	}
	cfg.checkCrossedDirectories(c)
}

func (r *Retention) check(c checker) {
	or(c, "retention.payload_days", &r.PayloadDays, 30)
	or(c, "retention.notification_days", &r.NotificationDays, 90)
	or(c, "retention.unmatched_days", &r.UnmatchedDays, 180)
	or(c, "retention.run_days", &r.RunDays, 400)
	or(c, "retention.idle_run_days", &r.IdleRunDays, 7)
}

func (k *Keys) check(c checker) {
	need(c, "keys.fingerprint_file", k.FingerprintFile)
	c.atLeastOne("keys.sealing.keys", len(k.Sealing.Keys))
	unique(c, "keys.sealing.keys", "id", k.Sealing.Keys, func(k SealingKey) string { return k.ID })
	for i, key := range k.Sealing.Keys {
		c.match(at("keys.sealing.keys", i)+".id", key.ID, keyIDRE, "1 to 16 letters, digits, dots, dashes or underscores")
		need(c, at("keys.sealing.keys", i)+".file", key.File)
	}
	isCurrent := func(key SealingKey) bool { return key.ID == k.Sealing.Current }
	if need(c, "keys.sealing.current", k.Sealing.Current) && !slices.ContainsFunc(k.Sealing.Keys, isCurrent) {
		c.Problem("keys.sealing.current", "%q is not among keys.sealing.keys", k.Sealing.Current)
	}
}

// pair reports a certificate without its key, or a key without its certificate.
func (c checker) pair(key string, cert, private File) {
	switch {
	case cert != "" && private == "":
		c.Problem(key+".key_file", "is required with cert_file")
	case cert == "" && private != "":
		c.Problem(key+".cert_file", "is required with key_file")
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
