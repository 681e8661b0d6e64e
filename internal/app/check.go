package app

import (
	"errors"
	"fmt"
	"time"

	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"

	"github.com/rs/zerolog"
)

// CheckFiles looks whether the files that a configuration names are there and
// hold what they should: keys, certificates, secrets. It returns everything
// that is wrong. It connects to nothing.
func CheckFiles(cfg *config.Config) error {
	errs := []error{cfg.CheckFiles()}
	if errs[0] == nil {
		errs = append(errs, checkParts(cfg)...)
	}
	return invalid(errors.Join(errs...))
}

// checkParts makes the parts that are made of files.
func checkParts(cfg *config.Config) []error {
	var errs []error
	_, fingerprinter, err := openKeys(cfg.Keys)
	if err == nil {
		_, err = newOAuth(cfg.Notifications.OAuth, fingerprinter)
	}
	if err != nil {
		errs = append(errs, err)
	}
	for _, c := range cfg.Drops {
		d, err := openDrop(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("drop %s: %w", c.Name, err))
			continue
		}
		errs = append(errs, d.Close())
	}
	for _, c := range cfg.Issuers {
		if _, err := newEncoder(c.D1, cfg.IssuanceProducts(), nil); err != nil {
			errs = append(errs, fmt.Errorf("issuer %s: %w", c.ID, err))
		}
		client, err := newClient(c, time.Now, nil, nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("issuer %s: %w", c.ID, err))
			continue
		}
		client.Close()
	}
	if _, err := PGPKeys(cfg, time.Now()); err != nil {
		errs = append(errs, err)
	}
	if _, err := serverTLS(cfg.Notifications, zerolog.Nop()); err != nil {
		errs = append(errs, fmt.Errorf("notifications: %w", err))
	}
	return errs
}

// RulesOf returns the rules of a source of the configuration, or those that all
// sources share when source is empty.
func RulesOf(cfg *config.Config, source string, now func() time.Time) (Rules, error) {
	rules := Rules{Products: cfg.IssuanceProducts(), Now: now}
	if source == "" {
		for _, i := range cfg.Issuers {
			rules.JWEKids = append(rules.JWEKids, i.JWEKeyIDs()...)
		}
		return rules, nil
	}
	s := cfg.Source(source)
	if s.Name == "" {
		return Rules{}, exitcode.Mark(fmt.Errorf("find source %s: the configuration has none of that name", source), exitcode.Usage, "")
	}
	i := cfg.Issuer(s.Issuer)
	rules.IssuerID, rules.Environment, rules.JWEKids = i.ID, i.Environment, i.JWEKeyIDs()
	opener, err := openOpener(s, now)
	if err != nil {
		return Rules{}, err
	}
	rules.Accept, rules.MaxRejects, rules.NoControl = s.Accept, 1, !s.Completion.Control
	rules.MaxBytes, rules.MaxRows = int64(s.MaxSize), s.MaxRows
	rules.BusinessDates, rules.Location = businessDates(s), i.TimeZone.Location
	if s.MaxRejects != nil {
		rules.MaxRejects = float64(*s.MaxRejects) / 100
	}
	rules.Changes = s.Content == config.ContentChanges
	layout, unwrap, err := sourceFormat(s)
	rules.Layout, rules.Unwrap = layout, decrypted(opener, unwrap)
	return rules, err
}
