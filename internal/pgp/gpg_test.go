package pgp

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/secret"
)

const gpgPassphrase = "correct horse"

// gnupg is a GnuPG of the bank, with a home of its own, and keys that GnuPG has
// made: the bank's, and ours, as an operator would make them.
type gnupg struct {
	t    *testing.T
	home string
	path string
}

// newGnuPG skips the test without GnuPG, unless CARDBATCH_REQUIRE contains gpg.
func newGnuPG(t *testing.T) *gnupg {
	t.Helper()
	path, err := exec.LookPath("gpg")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("CARDBATCH_REQUIRE"), ","), "gpg") {
			t.Fatalf("gpg is required: %v", err)
		}
		t.Skip("no gpg on this machine")
	}
	// The agent's socket wants a short path.
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		t.Fatal(err)
	}
	// The default derives the passphrase's key for a tenth of a second, each time.
	if err := os.WriteFile(filepath.Join(home, "gpg-agent.conf"), []byte("s2k-count 65536\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gnupg{t, home, path}
	t.Cleanup(func() {
		if conf, err := exec.LookPath("gpgconf"); err == nil {
			kill := exec.Command(conf, "--homedir", home, "--kill", "all")
			_ = kill.Run()
		}
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return g
}

// try runs gpg and returns its standard output and what it says.
func (g *gnupg) try(stdin []byte, args ...string) (out []byte, says string, err error) {
	g.t.Helper()
	common := []string{"--homedir", g.home, "--batch", "--yes", "--no-tty", "--pinentry-mode", "loopback",
		"--passphrase", gpgPassphrase, "--trust-model", "always"}
	cmd := exec.CommandContext(g.t.Context(), g.path, append(common, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GNUPGHOME="+g.home)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	err = cmd.Run()
	return stdout.Bytes(), stderr.String(), err
}

func (g *gnupg) run(stdin []byte, args ...string) []byte {
	g.t.Helper()
	out, says, err := g.try(stdin, args...)
	if err != nil {
		g.t.Fatalf("gpg %q: %v\n%s", args, err, says)
	}
	return out
}

func (g *gnupg) generate(name, algorithm, subkey, expire string) {
	g.t.Helper()
	g.run(nil, "--quick-generate-key", name, algorithm, "sign,cert", expire)
	fields := strings.Split(string(g.run(nil, "--with-colons", "--list-keys", name)), "\n")
	for _, line := range fields {
		if fpr, ok := strings.CutPrefix(line, "fpr:::::::::"); ok {
			g.run(nil, "--quick-add-key", strings.TrimSuffix(fpr, ":"), subkey, "encr", expire)
			return
		}
	}
	g.t.Fatal("no fingerprint")
}

func (g *gnupg) private(name string, armor bool) Key {
	g.t.Helper()
	args := []string{"--export-secret-keys", name}
	if armor {
		args = append([]string{"--armor"}, args...)
	}
	keys, err := PrivateKeys(g.run(nil, args...), secret.New(gpgPassphrase))
	if err != nil {
		g.t.Fatal(err)
	}
	return keys[0]
}

func (g *gnupg) public(name string) Key {
	g.t.Helper()
	keys, err := PublicKeys(g.run(nil, "--armor", "--export", name))
	if err != nil {
		g.t.Fatal(err)
	}
	return keys[0]
}

// What GnuPG makes, we take; what we make, GnuPG opens and verifies.
func TestGnuPG(t *testing.T) {
	t.Parallel()
	for name, algorithms := range map[string][2]string{"rsa": {"rsa2048", "rsa2048"}, "curve25519": {"ed25519", "cv25519"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGnuPG(t)
			g.generate("us", algorithms[0], algorithms[1], "0")
			g.generate("bank", algorithms[0], algorithms[1], "1y")
			us, bank := g.private("us", name != "rsa"), g.public("bank")
			all := name == "curve25519" // starting gpg takes its time
			t.Run("theirs", func(t *testing.T) { theirFiles(t, g, us, bank, all) })
			t.Run("ours", func(t *testing.T) { ourFiles(t, g, us, bank) })
			if all {
				t.Run("refused", func(t *testing.T) { refusedFiles(t, g, us, bank) })
			}
		})
	}
}

func theirFiles(t *testing.T, g *gnupg, us, bank Key, all bool) {
	t.Helper()
	o, err := NewOpener(OpenConfig{Decrypt: []Key{us}, Verify: []Key{bank}, SignatureRequired: true})
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat(orders, 5000)
	file := filepath.Join(g.home, "cards-1.csv")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"binary":         nil, // compressed, as is gpg's default
		"armored":        {"--armor"},
		"zlib":           {"--compress-algo", "zlib"},
		"bzip2":          {"--compress-algo", "bzip2", "--armor"},
		"not compressed": {"--compress-algo", "none"},
		"text mode":      {"--textmode"},
		"older":          {"--cipher-algo", "AES128", "--digest-algo", "SHA512"},
		"hidden":         {"--throw-keyids"},
		"to both":        {"-r", "bank"},
	} {
		if !all && name != "binary" && name != "armored" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for _, from := range [][]string{{file}, nil} { // by name, with a known length; from a pipe, without
				if from == nil && name != "binary" && name != "not compressed" {
					continue
				}
				want := content
				if name == "text mode" {
					want = strings.ReplaceAll(content, "\n", "\r\n") // which every CSV reader takes
				}
				message := g.run([]byte(content), slices.Concat([]string{"--output", "-", "--sign", "--encrypt", "-u", "bank", "-r", "us"}, args, from)...)
				got, err := open(o, message)
				if err != nil || got != want {
					t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
				}
			}
		})
	}
}

func ourFiles(t *testing.T, g *gnupg, us, bank Key) {
	t.Helper()
	for name, armor := range map[string]bool{"binary": false, "armored": true} {
		t.Run(name, func(t *testing.T) {
			s := newSealer(t, SealConfig{To: []Key{bank}, Sign: us, Armor: armor, Now: time.Now})
			for _, content := range []string{"", strings.Repeat(orders, 50_000)} {
				out, says, err := g.try(sealed(t, s, "a", content), "--status-fd", "2", "--decrypt")
				if err != nil || string(out) != content {
					t.Fatalf("%d bytes of %d, %v\n%s", len(out), len(content), err, says)
				}
				for _, want := range []string{"GOODMDC", "DECRYPTION_OKAY", "GOODSIG"} {
					if !strings.Contains(says, want) {
						t.Errorf("no %s:\n%s", want, says)
					}
				}
			}
			changed := sealed(t, s, "a", strings.Repeat(orders, 100))
			changed[len(changed)/2] ^= 4
			if _, says, err := g.try(changed, "--decrypt"); err == nil {
				t.Errorf("gpg takes a changed file:\n%s", says)
			}
		})
	}
}

func refusedFiles(t *testing.T, g *gnupg, us, bank Key) {
	t.Helper()
	now := time.Now()
	o, err := NewOpener(OpenConfig{Decrypt: []Key{us}, Verify: []Key{bank}, SignatureRequired: true, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	g.generate("stranger", "ed25519", "cv25519", "0")
	both := []string{"--sign", "--encrypt", "-u", "bank", "-r", "us"}
	for name, c := range map[string]struct {
		args []string
		want issuance.Code
	}{
		"only signed":         {[]string{"--sign", "-u", "bank"}, issuance.PGPNotEncrypted},
		"clear signed":        {[]string{"--clear-sign", "-u", "bank"}, issuance.PGPNotEncrypted},
		"only encrypted":      {[]string{"--encrypt", "-r", "us"}, issuance.PGPSignatureMissing},
		"to a stranger":       {[]string{"--sign", "--encrypt", "-u", "bank", "-r", "stranger"}, issuance.PGPNotForUs},
		"by a stranger":       {[]string{"--sign", "--encrypt", "-u", "stranger", "-r", "us"}, issuance.PGPSignerUntrusted},
		"with a passphrase":   {[]string{"--symmetric"}, issuance.PGPNotForUs},
		"3DES":                {append([]string{"--cipher-algo", "3DES"}, both...), issuance.PGPWeak},
		"CAST5":               {append([]string{"--cipher-algo", "CAST5"}, both...), issuance.PGPWeak},
		"Camellia":            {append([]string{"--cipher-algo", "CAMELLIA256"}, both...), issuance.PGPDamaged},
		"no MDC":              {append([]string{"--rfc2440", "--cipher-algo", "AES", "--digest-algo", "SHA256"}, both...), issuance.PGPWeak},
		"SHA-1":               {append([]string{"--digest-algo", "SHA1"}, both...), issuance.PGPWeak},
		"RIPEMD-160":          {append([]string{"--digest-algo", "RIPEMD160"}, both...), ""},
		"signed in one hour":  {append([]string{"--faked-system-time", now.Add(time.Hour).UTC().Format("20060102T150405")}, both...), issuance.PGPSignatureInvalid},
		"a signature that is": {append([]string{"--faked-system-time", now.UTC().Format("20060102T150405")}, both...), "none"},
	} {
		t.Run(name, func(t *testing.T) {
			message, says, err := g.try([]byte(orders), append([]string{"--output", "-"}, c.args...)...)
			if err != nil {
				t.Skipf("this gpg does not make it: %s", says)
			}
			got, err := open(o, message)
			switch {
			case c.want == "none" && (err != nil || got != orders):
				t.Errorf("%q, %v", got, err)
			case c.want == "" && err == nil:
				t.Error("it was taken")
			case c.want != "none" && c.want != "":
				wantCode(t, err, c.want)
			}
			if c.want != "none" {
				t.Log(err)
			}
		})
	}
	t.Run("in two years", func(t *testing.T) {
		message := g.run([]byte(orders), append([]string{"--output", "-"}, both...)...)
		later := newOpenerAt(t, o, now.AddDate(2, 0, 0))
		_, err := open(later, message)
		wantCode(t, err, issuance.PGPSignerUntrusted, "expired on "+day(now.AddDate(1, 0, 0)))
	})
}

func newOpenerAt(t *testing.T, like *Opener, at time.Time) *Opener {
	t.Helper()
	cfg := like.OpenConfig
	cfg.Now = func() time.Time { return at }
	o, err := NewOpener(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}
