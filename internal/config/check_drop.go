package config

import (
	"path"
	"strings"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

func (d *Drop) check(c checker, key string) {
	c.match(key+".name", d.Name, nameRE, "1 to 32 letters, digits, dashes or underscores")
	switch d.Type {
	case LocalDir:
		need(c, key+".root", d.Root)
		for _, only := range []string{"host", "port", "user", "password_file", "private_key_file", "passphrase_file",
			"host_keys", "known_hosts_file", "connect_timeout", "silence_timeout", "keepalive", "max_connections"} {
			if c.Has(key + "." + only) {
				c.Problem(key+"."+only, "is for type sftp only")
			}
		}
	case SFTP:
		d.checkSFTP(c, key)
	case "":
		need(c, key+".type", d.Type)
	default:
		c.oneOf(key+".type", d.Type, LocalDir, SFTP)
	}
}

func (d *Drop) checkSFTP(c checker, key string) {
	need(c, key+".host", d.Host)
	need(c, key+".user", d.User)
	or(c, key+".port", &d.Port, 22)
	if d.Port > 65535 {
		c.Problem(key+".port", "%d is not a TCP port", d.Port)
	}
	or(c, key+".connect_timeout", &d.ConnectTimeout, 15*time.Second)
	or(c, key+".silence_timeout", &d.SilenceTimeout, time.Minute)
	or(c, key+".keepalive", &d.Keepalive, d.SilenceTimeout/4)
	or(c, key+".max_connections", &d.MaxConnections, 4)
	if d.Keepalive*2 >= d.SilenceTimeout {
		c.Problem(key+".keepalive", "%s must be less than half of silence_timeout, %s", d.Keepalive, d.SilenceTimeout)
	}
	if d.PasswordFile == "" && d.PrivateKeyFile == "" {
		c.Problem(key, "needs password_file or private_key_file to log in")
	}
	if d.PassphraseFile != "" && d.PrivateKeyFile == "" {
		c.Problem(key+".passphrase_file", "needs private_key_file")
	}
	if len(d.HostKeys) == 0 && d.KnownHostsFile == "" {
		c.Problem(key, "needs host_keys or known_hosts_file: a server whose key is not known is never trusted")
	}
	if len(d.HostKeys) > 0 && d.KnownHostsFile != "" {
		c.Problem(key+".known_hosts_file", "is instead of host_keys, not with it")
	}
	for i, pin := range d.HostKeys {
		if !hostKeyRE.MatchString(pin) {
			c.Problem(at(key+".host_keys", i), "%q is not a fingerprint as ssh-keygen -lf shows it, SHA256: and 43 characters", pin)
		}
	}
}

func (s *Source) check(c checker, key string, cfg *Config) {
	c.match(key+".name", s.Name, nameRE, "1 to 32 letters, digits, dashes or underscores")
	if need(c, key+".issuer", s.Issuer) && cfg.Issuer(s.Issuer).ID == "" {
		c.Problem(key+".issuer", "%q is not an issuer of this configuration", s.Issuer)
	}
	if need(c, key+".drop", s.Drop) && cfg.Drop(s.Drop).Name == "" {
		c.Problem(key+".drop", "%q is not a drop of this configuration", s.Drop)
	}
	s.PGP.check(c, key+".pgp")
	s.ReportPGP.check(c, key+".report_pgp")
	orText(&s.Content, ContentOrders)
	c.oneOf(key+".content", s.Content, ContentOrders, ContentChanges)
	s.Format.content = orderfile.Content(s.Content)
	s.Format.check(c, key+".format")
	s.Format.checkProducts(c, key+".format", cfg)
	orText(&s.Pattern, "*"+s.extension())
	if _, err := path.Match(s.Pattern, "x"); err != nil || strings.Contains(s.Pattern, "/") {
		c.Problem(key+".pattern", "%q is not a file name pattern", s.Pattern)
	}
	s.checkAccept(c, key)
	if s.BusinessDate != nil {
		c.days(key+".business_date.days_back", s.BusinessDate.DaysBack)
		c.days(key+".business_date.days_ahead", s.BusinessDate.DaysAhead)
	}
	or(c, key+".max_size", &s.MaxSize, 4<<30)
	or(c, key+".max_rows", &s.MaxRows, issuance.MaxRows)
	if s.MaxRows > issuance.MaxRows {
		c.Problem(key+".max_rows", "must be at most %d", issuance.MaxRows)
	}
	s.checkCompletion(c, key)
	s.checkPattern(c, key+".pattern")
	orText(&s.Sequence, SequenceWarn)
	c.oneOf(key+".sequence", s.Sequence, SequenceWarn, SequenceStrict)
	if s.Sequence == SequenceStrict && !s.Completion.Control {
		c.Problem(key+".sequence", "strict needs control files: the sequence stands in the control file")
	}
	s.Directories.check(c, key+".directories")
}

func (s *Source) checkAccept(c checker, key string) {
	orText(&s.Accept, AcceptRows)
	c.oneOf(key+".accept", s.Accept, AcceptRows, AcceptAllOrNothing)
	if s.Accept == AcceptAllOrNothing && s.MaxRejects != nil {
		c.Problem(key+".max_rejects", "is for accept rows only")
	}
}

// days checks a number of days. Zero is today, so it must be said.
func (c checker) days(key string, v int) {
	switch {
	case !c.Has(key):
		c.Problem(key, "is required")
	case v < 0:
		c.Problem(key, "must not be below zero")
	}
}

func (d *Directories) check(c checker, key string) {
	all := []struct {
		name string
		dir  *string
	}{{"drop", &d.Drop}, {"archive", &d.Archive}, {"quarantine", &d.Quarantine}, {"reports", &d.Reports}}
	seen := map[string]string{}
	for _, item := range all {
		orText(item.dir, item.name)
		k := key + "." + item.name
		c.relative(k, *item.dir)
		*item.dir = path.Clean(*item.dir)
		if other, ok := seen[*item.dir]; ok {
			c.Problem(k, "%q is also the directory %s", *item.dir, other)
		}
		seen[*item.dir] = item.name
	}
}

func (c checker) relative(key, dir string) {
	if path.IsAbs(dir) || dir == ".." || strings.HasPrefix(path.Clean(dir), "../") {
		c.Problem(key, "%q must be a path below the drop's root", dir)
	}
}

// checkSharedDirectories refuses two sources that would take each other's files.
func (cfg *Config) checkSharedDirectories(c checker) {
	for i, s := range cfg.Sources {
		for j, first := range cfg.Sources[:i] {
			if s.Drop != first.Drop || s.Directories.Drop != first.Directories.Drop {
				continue
			}
			if s.Pattern == first.Pattern {
				c.Problem(at("sources", i), "takes the same files as %s: same drop, directory and pattern", at("sources", j))
				break
			}
			if overlap(s.Pattern, first.Pattern) {
				c.Problem(at("sources", i), "could take files of %s: same drop and directory, and a name can match both patterns, %q and %q",
					at("sources", j), first.Pattern, s.Pattern)
				break
			}
		}
	}
}

// checkCrossedDirectories refuses to put archives and reports where a source
// would take them for order files.
func (cfg *Config) checkCrossedDirectories(c checker) {
	takes := map[[2]string]int{}
	for i, s := range cfg.Sources {
		takes[[2]string{s.Drop, s.Directories.Drop}] = i
	}
	check := func(key, drop, dir string, own int) {
		if source, ok := takes[[2]string{drop, dir}]; ok && source != own {
			c.Problem(key, "%q is where %s takes its files from", dir, at("sources", source))
		}
	}
	for i, s := range cfg.Sources {
		key, d := at("sources", i)+".directories.", s.Directories
		check(key+"archive", s.Drop, d.Archive, i)
		check(key+"quarantine", s.Drop, d.Quarantine, i)
		check(key+"reports", s.Drop, d.Reports, i)
	}
	for i, issuer := range cfg.Issuers {
		check(at("issuers", i)+".report.directory", issuer.Report.Drop, issuer.Report.Directory, -1)
	}
}
