package config

import "time"

// The types of drops.
const (
	LocalDir = "localdir"
	SFTP     = "sftp"
)

// Drop is a place where files are exchanged.
type Drop struct {
	// Name is how sources and issuers refer to it. Required, unique.
	Name string `yaml:"name"`
	// Type is sftp, or localdir for a directory of this machine. Required.
	Type string `yaml:"type"`
	// Root is the directory below which all others lie. For localdir required;
	// for sftp a path on the server. Default: the login directory.
	Root string `yaml:"root"`

	// Host is the SFTP server. Required for sftp.
	Host string `yaml:"host"`
	// Port is its TCP port. Default: 22.
	Port int `yaml:"port"`
	// User is the login name. Required for sftp.
	User string `yaml:"user"`
	// PasswordFile holds the password. sftp needs it or PrivateKeyFile; with
	// both, the key is tried first.
	PasswordFile File `yaml:"password_file"`
	// PrivateKeyFile holds the login's private key in OpenSSH or PEM format.
	PrivateKeyFile File `yaml:"private_key_file"`
	// PassphraseFile holds the passphrase of the private key. Default: it has none.
	PassphraseFile File `yaml:"passphrase_file"`
	// HostKeys pins the server's keys by fingerprint, as ssh-keygen -lf shows
	// them: SHA256:... Several may be listed for a change of keys. sftp needs
	// this or KnownHostsFile, and not both.
	HostKeys []string `yaml:"host_keys"`
	// KnownHostsFile is a known_hosts file of OpenSSH that has the server's keys.
	KnownHostsFile File `yaml:"known_hosts_file"`
	// ConnectTimeout bounds connecting and logging in together. Default: 15s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// SilenceTimeout is how long the server may be silent while we wait for it
	// before the connection is given up. Default: 1m.
	SilenceTimeout time.Duration `yaml:"silence_timeout"`
	// Keepalive is the time between signs of life, less than half of
	// SilenceTimeout. Default: a quarter of it.
	Keepalive time.Duration `yaml:"keepalive"`
	// MaxConnections is how many operations may run at once. Default: 4.
	MaxConnections int `yaml:"max_connections"`
}

// The ways of accepting a file that has bad rows.
const (
	AcceptRows         = "rows"           // good rows are taken, bad ones reported
	AcceptAllOrNothing = "all_or_nothing" // one bad row refuses the file
)

// What a missing sequence number means for the next files of a source.
const (
	SequenceWarn   = "warn"   // they are taken
	SequenceStrict = "strict" // they are held
)

// What the files of a source are.
const (
	ContentOrders  = "orders"
	ContentChanges = "changes"
)

// Source is where the order files of an issuer come from.
type Source struct {
	// Name identifies it for ever: it is part of the history. Required, unique,
	// 1 to 32 letters, digits, dashes or underscores.
	Name string `yaml:"name"`
	// Issuer is the id of the issuer its files belong to. Required.
	Issuer string `yaml:"issuer"`
	// Drop is the name of the drop it reads from and writes to. Required.
	Drop string `yaml:"drop"`
	// Directories are relative to the drop's root.
	Directories Directories `yaml:"directories"`
	// Pattern is the shape of order file names, with *, ? and [a-z]. It is
	// matched against the name alone. Default: *.csv, compressed *.csv.gz or
	// *.csv.zip, and with pgp the same followed by .pgp.
	Pattern string `yaml:"pattern"`
	// Content is orders, or changes for files that cancel, accelerate or redirect
	// orders given before. Default: orders.
	Content string `yaml:"content"`
	// Format is how its files are written, where that differs from the
	// contract in schemas/.
	Format Format `yaml:"format"`
	// Completion says how we know that a file is complete. Default: control.
	Completion Completion `yaml:"completion"`
	// Observations is how many successive looks must find the same size and
	// time, with completion quiet. Default: 3.
	Observations int `yaml:"observations"`
	// GiveUpAfter is for how long a file that was taken and cannot be read is
	// tried again before it is refused. Default: 24h.
	GiveUpAfter time.Duration `yaml:"give_up_after"`
	// Accept is rows or all_or_nothing. Default: rows.
	Accept string `yaml:"accept"`
	// MaxRejects refuses a file with a larger share of bad rows, with accept
	// rows. Default: 100%, never.
	MaxRejects *Percent `yaml:"max_rejects"`
	// Sequence is warn or strict: whether a file after a missing one is taken
	// with a warning, or held until the missing one arrives or an operator
	// releases it with cardbatch release. Default: warn.
	Sequence string `yaml:"sequence"`
	// BusinessDate says which business dates a control file may have. Default: any.
	BusinessDate *BusinessDate `yaml:"business_date"`
	// MaxSize refuses larger files. Default: 4GiB.
	MaxSize Size `yaml:"max_size"`
	// MaxRows refuses files with more rows. Default and limit: 16777215.
	MaxRows int64 `yaml:"max_rows"`
	// PGP says how its files are encrypted. Default: they are not.
	PGP SourcePGP `yaml:"pgp"`
	// ReportPGP says how receipts and reconciliations are encrypted. Default:
	// they are not.
	ReportPGP ReportPGP `yaml:"report_pgp"`
}

// BusinessDate is the range of business dates, in calendar days from today in
// the issuer's time zone. Files with others are refused.
type BusinessDate struct {
	// DaysBack is how many days ago it may be. Required.
	DaysBack int `yaml:"days_back"`
	// DaysAhead is how many days ahead it may be. Required.
	DaysAhead int `yaml:"days_ahead"`
}

// Directories of a source, all different.
type Directories struct {
	// Drop is where core banking puts order files. Default: drop.
	Drop string `yaml:"drop"`
	// Archive is where originals go that were taken. Default: archive.
	Archive string `yaml:"archive"`
	// Quarantine is where originals go that were refused. Default: quarantine.
	Quarantine string `yaml:"quarantine"`
	// Reports is where receipts and reconciliations go. Default: reports.
	Reports string `yaml:"reports"`
}
