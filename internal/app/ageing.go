package app

import (
	"time"

	"cardbatch/internal/ageing"
	"cardbatch/internal/config"
)

// AgeingRules returns when an order of an issuer needs a person.
func AgeingRules(cfg *config.Config, i *config.Issuer) *ageing.Rules {
	rules := &ageing.Rules{
		Zone: i.Center.TimeZone.Location, Calendar: i.Center.Calendar(), Default: limits(config.DefaultAgeing()),
		Products: make(map[string]ageing.Limits, len(cfg.Products)),
		EndedFor: time.Duration(cfg.Reports.Exceptions.EndedForDays) * 24 * time.Hour, UnmatchedAfter: cfg.Reports.Exceptions.UnmatchedAfter,
	}
	for _, p := range cfg.Products {
		rules.Products[p.ID] = limits(p.Ageing)
	}
	return rules
}

func limits(a config.Ageing) ageing.Limits { return ageing.Limits(a) }
