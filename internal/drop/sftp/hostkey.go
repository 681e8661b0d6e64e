package sftp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKeyError says that the host is not the one expected.
type HostKeyError struct {
	// Address is that of the host.
	Address string
	// Presented are the fingerprints of the keys it showed, each with the
	// type of its key.
	Presented []string
	// Expected says what would have been accepted.
	Expected string
}

func (e *HostKeyError) Error() string {
	return fmt.Sprintf("%s is not the host expected: it presented %s, expected %s; "+
		"if its owner has announced a new host key, configure its fingerprint, otherwise find out who answers there",
		e.Address, strings.Join(e.Presented, " and "), e.Expected)
}

// keyFamilies are the types of host keys accepted, best first, each with the
// algorithms it signs with. SHA-1 and DSA are not among them.
var keyFamilies = []struct {
	types      []string
	algorithms []string
}{
	{[]string{ssh.KeyAlgoED25519}, []string{ssh.KeyAlgoED25519}},
	{[]string{ssh.KeyAlgoECDSA256}, []string{ssh.KeyAlgoECDSA256}},
	{[]string{ssh.KeyAlgoECDSA384}, []string{ssh.KeyAlgoECDSA384}},
	{[]string{ssh.KeyAlgoECDSA521}, []string{ssh.KeyAlgoECDSA521}},
	{[]string{ssh.KeyAlgoRSA}, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}},
}

// algorithmsFor lists the algorithms of the key types that want says yes to.
func algorithmsFor(want func(keyType string) bool) []string {
	var algorithms []string
	for _, family := range keyFamilies {
		if slices.ContainsFunc(family.types, want) {
			algorithms = append(algorithms, family.algorithms...)
		}
	}
	return algorithms
}

// checkFingerprints refuses what ssh would never present.
func checkFingerprints(pins []string) error {
	for _, pin := range pins {
		digest, ok := strings.CutPrefix(pin, "SHA256:")
		sum, err := base64.RawStdEncoding.DecodeString(digest)
		if !ok || err != nil || len(sum) != 32 {
			return fmt.Errorf("host key fingerprint %q is not SHA256: and 43 characters, as ssh-keygen -l prints it", pin)
		}
	}
	return nil
}

// checker checks one host's key once.
type checker struct {
	algorithms []string
	callback   ssh.HostKeyCallback
}

// pinned accepts keys by their fingerprint. The error it returns is always a
// *HostKeyError.
func pinned(pins []string, presented *[]ssh.PublicKey) ssh.HostKeyCallback {
	return func(address string, _ net.Addr, key ssh.PublicKey) error {
		*presented = append(*presented, key)
		if slices.Contains(pins, ssh.FingerprintSHA256(key)) {
			return nil
		}
		return &HostKeyError{
			Address: address, Presented: describe(*presented), Expected: strings.Join(pins, " or "),
		}
	}
}

func describe(keys []ssh.PublicKey) []string {
	shown := make([]string, len(keys))
	for i, key := range keys {
		shown[i] = ssh.FingerprintSHA256(key) + " (" + key.Type() + ")"
	}
	return shown
}

// fromKnownHosts makes a checker of a known_hosts file for one address.
func fromKnownHosts(file, address string) (checker, error) {
	check, err := knownhosts.New(file)
	if err != nil {
		return checker{}, fmt.Errorf("read known_hosts: %w", err)
	}
	types, err := knownTypes(check, address)
	if err != nil {
		return checker{}, err
	}
	if len(types) == 0 {
		return checker{}, fmt.Errorf("%s has no line for %s: add its host key", file, knownhosts.Normalize(address))
	}
	algorithms := algorithmsFor(func(keyType string) bool { return slices.Contains(types, keyType) })
	if len(algorithms) == 0 {
		return checker{}, fmt.Errorf("%s has only host keys of types %s for %s, which are not accepted",
			file, strings.Join(types, ", "), address)
	}
	callback := func(address string, remote net.Addr, key ssh.PublicKey) error {
		if err := check(address, remote, key); err != nil {
			return &HostKeyError{Address: address, Presented: describe([]ssh.PublicKey{key}), Expected: "what " + file + " says"}
		}
		return nil
	}
	return checker{algorithms: algorithms, callback: callback}, nil
}

// knownTypes asks for a key that no file can hold: the refusal lists what the
// file has for the host.
func knownTypes(check ssh.HostKeyCallback, address string) ([]string, error) {
	err := check(address, &net.TCPAddr{IP: net.IPv4zero}, noKey{})
	refusal := new(knownhosts.KeyError)
	if !errors.As(err, &refusal) {
		return nil, fmt.Errorf("look up %s in known_hosts: %w", address, err)
	}
	var types []string
	for _, known := range refusal.Want {
		types = append(types, known.Key.Type())
	}
	return types, nil
}

type noKey struct{}

// Type implements [ssh.PublicKey].
func (noKey) Type() string { return "none" }

// Marshal implements [ssh.PublicKey].
func (noKey) Marshal() []byte { return []byte("none") }

// Verify implements [ssh.PublicKey].
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }
