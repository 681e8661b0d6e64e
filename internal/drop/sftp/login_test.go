package sftp_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"cardbatch/internal/drop"
	"cardbatch/internal/drop/sftp"
	"cardbatch/internal/drop/sftp/sftptest"
	"cardbatch/internal/secret"
)

func signer(t *testing.T, key any, err error) ssh.Signer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRSA(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return signer(t, key, err)
}

func newECDSA(t *testing.T) ssh.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return signer(t, key, err)
}

func newEd25519(t *testing.T) ssh.Signer {
	t.Helper()
	s, err := sftptest.NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fingerprint(s ssh.Signer) string { return ssh.FingerprintSHA256(s.PublicKey()) }

func hostKeys(keys ...ssh.Signer) func(*sftptest.Config) {
	return func(c *sftptest.Config) { c.HostKeys = keys }
}

func tryList(t *testing.T, cfg sftp.Config) error {
	t.Helper()
	_, err := connect(t, cfg).List(t.Context(), ".")
	return err
}

// TestPinOfAnyType: a server with keys of several types shows the one that the
// client asks for first, which need not be the one pinned.
func TestPinOfAnyType(t *testing.T) {
	keys := []ssh.Signer{newRSA(t), newECDSA(t), newEd25519(t)}
	server, cfg := serve(t, hostKeys(keys...))
	for _, key := range keys {
		cfg.HostKeys = []string{fingerprint(newEd25519(t)), fingerprint(key)} // the next key, announced, is pinned, too
		d := connect(t, cfg)
		if _, err := d.List(t.Context(), "."); err != nil {
			t.Errorf("pinned %s: %v", key.PublicKey().Type(), err)
			continue
		}
		// The type that was right is remembered.
		before := server.Connections()
		server.KillConnections()
		if _, err := d.List(t.Context(), "."); err != nil || server.Connections() != before+1 {
			t.Errorf("pinned %s, again: %v, %d connections", key.PublicKey().Type(), err, server.Connections()-before)
		}
	}
}

func TestStrangeHost(t *testing.T) {
	rsaKey, edKey := newRSA(t), newEd25519(t)
	server, cfg := serve(t, hostKeys(rsaKey, edKey))
	expected := fingerprint(newEd25519(t))
	cfg.HostKeys = []string{expected}
	err := tryList(t, cfg)
	wantError(t, err, drop.ErrUnavailable)
	hostKey := new(sftp.HostKeyError)
	if !errors.As(err, &hostKey) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{server.Addr(), fingerprint(rsaKey), "ssh-rsa", fingerprint(edKey), expected} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	if server.Logins() != 0 {
		t.Error("credentials were sent to a host that was not recognised")
	}
}

func TestKnownHosts(t *testing.T) {
	rsaKey, edKey := newRSA(t), newEd25519(t)
	server, cfg := serve(t, hostKeys(rsaKey, edKey))
	cfg.HostKeys, cfg.KnownHosts = nil, filepath.Join(t.TempDir(), "known_hosts")
	both := strings.Split(strings.TrimSpace(server.KnownHosts()), "\n")
	other, _ := serve(t)
	otherKey := strings.Fields(other.KnownHosts())
	thisHost := strings.Fields(both[0])[0]
	for name, c := range map[string]struct {
		lines string
		want  string // in the error; none when empty
	}{
		"all keys":         {server.KnownHosts(), ""},
		"only RSA":         {both[0] + "\n", ""},
		"only Ed25519":     {both[1] + "\n", ""},
		"with a comment":   {"# the bank\n\n" + both[0] + " bank\n", ""},
		"another host":     {other.KnownHosts(), "has no line for"},
		"empty":            {"", "has no line for"},
		"another key":      {thisHost + " " + otherKey[1] + " " + otherKey[2] + "\n", fingerprint(edKey)},
		"revoked":          {"@revoked " + both[0] + "\n@revoked " + both[1] + "\n", ""},
		"not a known_host": {"what is this\n", "known_hosts"},
	} {
		if err := os.WriteFile(cfg.KnownHosts, []byte(c.lines), 0o600); err != nil {
			t.Fatal(err)
		}
		err := tryList(t, cfg)
		switch {
		case name == "revoked":
			wantError(t, err, drop.ErrUnavailable)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, drop.ErrUnavailable) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v", name, err)
		}
	}
	cfg.KnownHosts += ".missing"
	wantError(t, tryList(t, cfg), drop.ErrUnavailable)
}

func TestWrongLogin(t *testing.T) {
	server, cfg := serve(t)
	for name, change := range map[string]func(*sftp.Config){
		"password": func(c *sftp.Config) { c.Password = secret.New("wrong-and-secret") },
		"user":     func(c *sftp.Config) { c.User = "nobody" },
	} {
		cfg := cfg
		change(&cfg)
		err := tryList(t, cfg)
		wantError(t, err, drop.ErrUnavailable)
		if err == nil {
			continue
		}
		for _, want := range []string{server.Addr(), "user " + cfg.User + " is refused"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("wrong %s: error %q does not say %q", name, err, want)
			}
		}
		if strings.Contains(err.Error(), cfg.Password.Reveal()) {
			t.Errorf("wrong %s: the error shows the password", name)
		}
	}
}

func pemOf(t *testing.T, block *pem.Block, err error) secret.Value {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(strings.TrimSpace(string(pem.EncodeToMemory(block)))) // without a line end, as a secret is read
}

func TestPrivateKeys(t *testing.T) {
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, cfg := serve(t, func(c *sftptest.Config) {
		c.Users[0].Keys = []ssh.PublicKey{signer(t, edKey, nil).PublicKey(), signer(t, rsaKey, nil).PublicKey()}
	})
	cfg.Password = secret.Value{}
	plain := func(key any) secret.Value {
		block, err := ssh.MarshalPrivateKey(key, "")
		return pemOf(t, block, err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(edKey, "", []byte("fake-passphrase"))
	encrypted := pemOf(t, block, err)

	for name, c := range map[string]struct {
		key, passphrase secret.Value
		wantNew, wantDo string // in the error
	}{
		"Ed25519":             {key: plain(edKey)},
		"RSA":                 {key: plain(rsaKey)},
		"encrypted":           {key: encrypted, passphrase: secret.New("fake-passphrase")},
		"stranger":            {key: plain(stranger), wantDo: "is refused"},
		"passphrase missing":  {key: encrypted, wantNew: "needs its passphrase"},
		"passphrase is wrong": {key: encrypted, passphrase: secret.New("wrong-passphrase"), wantNew: "decrypt private key"},
		"not a key":           {key: secret.New("secret-but-not-a-key"), wantNew: "parse private key"},
	} {
		cfg.PrivateKey, cfg.Passphrase = c.key, c.passphrase
		d, err := sftp.New(cfg)
		if err == nil {
			_, err = d.List(t.Context(), ".")
			_ = d.Close()
		}
		want := c.wantNew + c.wantDo
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "passphrase-") || strings.Contains(err.Error(), "secret-but")) {
			t.Errorf("%s: the error shows a secret", name)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	good := sftp.Config{
		Address: "sftp.bank.example", User: "u", Password: secret.New("fake"),
		HostKeys: []string{fingerprint(newEd25519(t))},
	}
	for name, c := range map[string]struct {
		change func(*sftp.Config)
		want   string
	}{
		"good":                {func(*sftp.Config) {}, ""},
		"no address":          {func(c *sftp.Config) { c.Address = "" }, "address"},
		"no user":             {func(c *sftp.Config) { c.User = "" }, "user"},
		"no credentials":      {func(c *sftp.Config) { c.Password = secret.Value{} }, "private key or a password"},
		"any host":            {func(c *sftp.Config) { c.HostKeys = nil }, "fingerprints"},
		"two ways":            {func(c *sftp.Config) { c.KnownHosts = "x" }, "exclude"},
		"MD5 fingerprint":     {func(c *sftp.Config) { c.HostKeys = []string{"MD5:00:11"} }, "SHA256"},
		"cut fingerprint":     {func(c *sftp.Config) { c.HostKeys[0] = c.HostKeys[0][:40] }, "SHA256"},
		"rare keepalive":      {func(c *sftp.Config) { c.KeepAlive = c.IdleTimeout + 1e9*40 }, "keepalive"},
		"negative timeout":    {func(c *sftp.Config) { c.DialTimeout = -1 }, "negative"},
		"negative keepalive":  {func(c *sftp.Config) { c.KeepAlive = -1 }, "keepalive"},
		"negative limit":      {func(c *sftp.Config) { c.MaxConnections = -1 }, "negative"},
		"padded fingerprint":  {func(c *sftp.Config) { c.HostKeys[0] += "=" }, "SHA256"},
		"fingerprint missing": {func(c *sftp.Config) { c.HostKeys = []string{""} }, "SHA256"},
	} {
		cfg := good
		cfg.HostKeys = []string{good.HostKeys[0]}
		c.change(&cfg)
		d, err := sftp.New(cfg)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		if err == nil {
			_ = d.Close()
		}
	}
}
