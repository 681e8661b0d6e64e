// Package config is the one way to get a valid configuration: [Load] reads the
// YAML file, refuses what it does not know, fills in defaults, checks what must
// fit together, and reports everything that is wrong at once, each problem with
// its line. There is no other way to make a usable [Config].
//
// The fields of the structs below are the reference: each says its unit, its
// default, and what special values mean. samples/config/cardbatch.yaml shows
// all of them in one file; a test keeps it complete.
//
//   - Durations are written with a unit (30s, 5m, 24h), sizes as 5MiB or in
//     bytes, shares as 5%, time zones by their IANA name.
//   - Relative paths are relative to the directory of the configuration file.
//   - Secrets never stand in the file. A key ending in _file names the file that
//     holds one, or a systemd credential as credential:NAME, which is looked up
//     in $CREDENTIALS_DIRECTORY (see [File]).
//
// Loading reads no file but the configuration itself, so that it can be checked
// on any machine; [Config.CheckFiles] says whether the files it names are there.
//
// The package knows no adapter: internal/app turns these structs into theirs.
package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"cardbatch/internal/strictyaml"
)

// DefaultPath is where the configuration is looked for when nobody says.
const DefaultPath = "/etc/cardbatch/cardbatch.yaml"

// Config is a valid configuration.
type Config struct {
	// Path is the file it was read from.
	Path string

	// Node names this machine in runs, sessions and history. Default: the host name.
	Node string `yaml:"node"`
	// StateDir is the directory of the store and of the sessions' lock files.
	// It must be on a local disk. Default: $STATE_DIRECTORY as systemd gives it,
	// else /var/lib/cardbatch.
	StateDir Dir `yaml:"state_dir"`
	// JobsDir holds job files of this installation: one of the same name as a
	// built-in job replaces it, others are added. Default: none, only the built-in jobs.
	JobsDir Dir `yaml:"jobs_dir"`
	// DrainTimeout is how long a stopping daemon lets running stages finish what
	// they have begun. Keep systemd's TimeoutStopSec above it. Default: 30s.
	DrainTimeout time.Duration `yaml:"drain_timeout"`

	Log           Log           `yaml:"log"`
	Keys          Keys          `yaml:"keys"`
	Drops         []Drop        `yaml:"drops"`
	Issuers       []Issuer      `yaml:"issuers"`
	Products      []Product     `yaml:"products"`
	Sources       []Source      `yaml:"sources"`
	Reports       Reports       `yaml:"reports"`
	Notifications Notifications `yaml:"notifications"`
	Metrics       Metrics       `yaml:"metrics"`
	Retention     Retention     `yaml:"retention"`
}

// Log says what is logged to standard error, and how.
type Log struct {
	// Level is the least important level shown: debug, info, warn or error. Default: info.
	Level string `yaml:"level"`
	// Format is json, one object a line, or console, for people. Default: json.
	Format string `yaml:"format"`
}

// Keys are our own keys, which protect what is kept at rest.
type Keys struct {
	Sealing Sealing `yaml:"sealing"`
	// FingerprintFile holds the key of the fingerprints by which PANs and rows
	// are compared: 32 random bytes in base64 or hexadecimal. It must never
	// change, or repeats of older orders are no longer recognised. Required.
	FingerprintFile File `yaml:"fingerprint_file"`
}

// Sealing lists the keys that encrypt payloads in the store.
type Sealing struct {
	// Current is the id of the key that seals from now on. Required.
	Current string `yaml:"current"`
	// Keys are all keys that may still be needed to open a payload. Required.
	Keys []SealingKey `yaml:"keys"`
}

// SealingKey is one key for AES-256-GCM.
type SealingKey struct {
	// ID is stored beside every payload: 1 to 16 letters, digits, dots, dashes or underscores.
	ID string `yaml:"id"`
	// File holds 32 random bytes in base64 or hexadecimal. Required.
	File File `yaml:"file"`
}

// Reports says how reports are kept up to date.
type Reports struct {
	// ReviseEvery is the shortest time between two editions of the same
	// reconciliation file, however many orders change meanwhile; the last one,
	// when the batch has closed, does not wait for it. The default leaves room
	// for one edition a day. Default: 20h.
	ReviseEvery time.Duration `yaml:"revise_every"`
	Exceptions  Exceptions    `yaml:"exceptions"`
}

// Retention says how many days what is no longer needed is kept before the
// retention job erases it. Orders, events, totals and what was delivered stay.
type Retention struct {
	// PayloadDays is how long the sealed requests of refused and cancelled
	// orders are kept after their batch has settled: until then they can be sent
	// again. Those of orders that D1 has go at once. Default: 30.
	PayloadDays int `yaml:"payload_days"`
	// NotificationDays is how long the sealed bodies of D1's notifications are
	// kept. What they said is applied and stays. Default: 90.
	NotificationDays int `yaml:"notification_days"`
	// UnmatchedDays is how long news is kept that belongs to no order of ours. It
	// is applied when its order comes, which may be in a file that is held. Default: 180.
	UnmatchedDays int `yaml:"unmatched_days"`
	// RunDays is how long the runs of jobs are kept in the ledger. Default: 400.
	RunDays int `yaml:"run_days"`
	// IdleRunDays is the same for runs that found nothing to do. Default: 7.
	IdleRunDays int `yaml:"idle_run_days"`
}

// Load reads, completes and checks the configuration file. The error is a
// [strictyaml.Problems] when the content is at fault.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find configuration: %w", err)
	}
	data, err := os.ReadFile(abs) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return load(path, abs, data)
}

// LoadFS is [Load] for a file inside a file system, such as the embedded
// sample. Its relative paths are as if the file lay in the working directory.
func LoadFS(fsys fs.FS, path string) (*Config, error) {
	data, err := fs.ReadFile(fsys, path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	abs, err := filepath.Abs(filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("find configuration: %w", err)
	}
	return load(path, abs, data)
}

func load(name, abs string, data []byte) (*Config, error) {
	c := &Config{Path: abs}
	doc := strictyaml.Parse(name, data)
	doc.Decode(c)
	if doc.Err() == nil {
		c.resolve(filepath.Dir(abs))
		c.check(checker{Document: doc})
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// StorePath returns the path of the store's database file.
func (c *Config) StorePath() string { return filepath.Join(string(c.StateDir), "cardbatch.db") }

// Drop returns the drop of the given name, which a valid configuration has
// for every name that it mentions.
func (c *Config) Drop(name string) Drop {
	return find(c.Drops, func(d Drop) string { return d.Name }, name)
}

// Issuer returns the issuer of the given id.
func (c *Config) Issuer(id string) Issuer {
	return find(c.Issuers, func(i Issuer) string { return i.ID }, id)
}

// Source returns the source of the given name.
func (c *Config) Source(name string) Source {
	return find(c.Sources, func(s Source) string { return s.Name }, name)
}

func find[T any](list []T, name func(T) string, want string) T {
	for _, item := range list {
		if name(item) == want {
			return item
		}
	}
	var none T
	return none
}
