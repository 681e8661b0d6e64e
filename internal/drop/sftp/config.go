package sftp

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"cardbatch/internal/secret"
)

// Config says where the drop is, who we are and whom we expect.
type Config struct {
	// Address is host:port; without a port, 22.
	Address string
	// User logs in with the PrivateKey (PEM, as ssh-keygen writes it, with
	// its Passphrase if it has one), with the Password, or with both where
	// the server wants both.
	User       string
	PrivateKey secret.Value
	Passphrase secret.Value
	Password   secret.Value
	// HostKeys are the fingerprints accepted, as ssh-keygen -l prints them:
	// "SHA256:" and 43 characters.
	HostKeys []string
	// KnownHosts is the path of a known_hosts file, instead of HostKeys. It
	// is read again for every connection.
	KnownHosts string
	// Root is the directory that names are relative to; default the one the
	// server puts us in.
	Root string

	// DialTimeout bounds connecting and logging in together. Default 30 s.
	DialTimeout time.Duration
	// IdleTimeout is how long the server may be silent while we wait for
	// it. Default 60 s.
	IdleTimeout time.Duration
	// KeepAlive is the time between signs of life, less than half of
	// IdleTimeout. Default a quarter of IdleTimeout.
	KeepAlive time.Duration
	// MaxConnections is how many operations, open files included, may run at
	// once; more of them wait. Default 4.
	MaxConnections int
}

// withDefaults fills in what is not set, and checks.
func (c Config) withDefaults() (Config, error) {
	c.DialTimeout = cmp.Or(c.DialTimeout, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 60*time.Second)
	c.KeepAlive = cmp.Or(c.KeepAlive, c.IdleTimeout/4)
	c.MaxConnections = cmp.Or(c.MaxConnections, 4)
	if c.Address == "" {
		return c, errors.New("address is missing")
	}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		c.Address = net.JoinHostPort(strings.Trim(c.Address, "[]"), "22")
	}
	switch {
	case c.User == "":
		return c, errors.New("user is missing")
	case c.PrivateKey.IsZero() && c.Password.IsZero():
		return c, errors.New("a private key or a password is needed")
	case len(c.HostKeys) == 0 && c.KnownHosts == "":
		return c, errors.New("host key fingerprints or a known_hosts file are needed")
	case len(c.HostKeys) > 0 && c.KnownHosts != "":
		return c, errors.New("host key fingerprints and a known_hosts file exclude each other")
	case c.DialTimeout < 0 || c.IdleTimeout < 0 || c.MaxConnections < 0:
		return c, errors.New("timeouts and limits cannot be negative")
	case c.KeepAlive < 0 || c.KeepAlive > c.IdleTimeout/2:
		return c, fmt.Errorf("keepalive %s is more than half of the idle timeout %s", c.KeepAlive, c.IdleTimeout)
	}
	return c, nil
}

// authMethods are tried by the client in the order the server allows.
func (c Config) authMethods() ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if !c.PrivateKey.IsZero() {
		signer, err := parseKey(c.PrivateKey, c.Passphrase)
		if err != nil {
			return nil, err
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if !c.Password.IsZero() {
		password := c.Password
		methods = append(methods,
			ssh.PasswordCallback(func() (string, error) { return password.Reveal(), nil }),
			ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
				return answers(password, questions, echos)
			}))
	}
	return methods, nil
}

// answers are those of servers that ask for the password in a dialogue.
// A question whose answer would be shown is not one for a password.
func answers(password secret.Value, questions []string, echos []bool) ([]string, error) {
	given := make([]string, len(questions))
	for i := range questions {
		if echos[i] {
			return nil, errors.New("the server asks for more than a password")
		}
		given[i] = password.Reveal()
	}
	return given, nil
}

func parseKey(key, passphrase secret.Value) (ssh.Signer, error) {
	// The errors of the parser say what is wrong with the form and repeat
	// nothing of the content.
	if passphrase.IsZero() {
		signer, err := ssh.ParsePrivateKey([]byte(key.Reveal()))
		if missing := new(ssh.PassphraseMissingError); errors.As(err, &missing) {
			return nil, errors.New("the private key is encrypted and needs its passphrase")
		}
		if err != nil {
			return nil, fmt.Errorf("parse private key: %w", err)
		}
		return signer, nil
	}
	signer, err := ssh.ParsePrivateKeyWithPassphrase([]byte(key.Reveal()), []byte(passphrase.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("decrypt private key: %w", err)
	}
	return signer, nil
}
