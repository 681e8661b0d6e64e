package pgp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"cardbatch/internal/secret"
)

// Key is an OpenPGP key with its subkeys, public or private. It cannot be
// printed by accident.
type Key struct{ entity *openpgp.Entity }

// Format implements [fmt.Formatter] and shows the key's id, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) {
	if k.entity == nil {
		_, _ = f.Write([]byte("[no key]"))
		return
	}
	_, _ = f.Write([]byte(keyID(k.entity.PrimaryKey.KeyId)))
}

// Info describes a key to a person.
type Info struct {
	ID          string    `json:"id"`               // of the primary key, as GnuPG shows it
	Fingerprint string    `json:"fingerprint"`      // of the primary key, hexadecimal
	Expires     time.Time `json:"expires,omitzero"` // zero: never; else the earliest of the primary key and what it is used for
	Problem     string    `json:"problem,omitempty"`
}

// PublicKeys reads the public keys of a file, armored or binary. There is at
// least one.
func PublicKeys(data []byte) ([]Key, error) {
	entities, err := readKeys(data)
	if err != nil {
		return nil, err
	}
	return wrap(entities), nil
}

// PrivateKeys reads the private keys of a file, armored or binary, and unlocks
// those that need the passphrase.
func PrivateKeys(data []byte, passphrase secret.Value) ([]Key, error) {
	entities, err := readKeys(data)
	if err != nil {
		return nil, err
	}
	for _, e := range entities {
		if !hasPrivate(e) {
			return nil, fmt.Errorf("read key %s: the file holds only its public half", keyID(e.PrimaryKey.KeyId))
		}
		if err := unlock(e, passphrase); err != nil {
			return nil, fmt.Errorf("read key %s: %w", keyID(e.PrimaryKey.KeyId), err)
		}
	}
	return wrap(entities), nil
}

func readKeys(data []byte) ([]*openpgp.Entity, error) {
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
		read = openpgp.ReadArmoredKeyRing
	}
	entities, err := read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read PGP keys: %w", err)
	}
	if len(entities) == 0 {
		return nil, errors.New("read PGP keys: there is none")
	}
	return entities, nil
}

func wrap(entities []*openpgp.Entity) []Key {
	keys := make([]Key, len(entities))
	for i, e := range entities {
		settle(e)
		keys[i] = Key{e}
	}
	return keys
}

func privates(e *openpgp.Entity) []*packet.PrivateKey {
	var keys []*packet.PrivateKey
	if e.PrivateKey != nil && !e.PrivateKey.Dummy() {
		keys = append(keys, e.PrivateKey)
	}
	for _, s := range e.Subkeys {
		if s.PrivateKey != nil && !s.PrivateKey.Dummy() {
			keys = append(keys, s.PrivateKey)
		}
	}
	return keys
}

func hasPrivate(e *openpgp.Entity) bool { return len(privates(e)) > 0 }

func unlock(e *openpgp.Entity, passphrase secret.Value) error {
	locked := func(k *packet.PrivateKey) bool { return k.Encrypted }
	if !slices.ContainsFunc(privates(e), locked) {
		return nil
	}
	if passphrase.IsZero() {
		return errors.New("it has a passphrase, and none is configured")
	}
	if err := e.DecryptPrivateKeys([]byte(passphrase.Reveal())); err != nil || slices.ContainsFunc(privates(e), locked) {
		return errors.New("the passphrase does not open it") // the library's text adds nothing
	}
	return nil
}

// settle verifies every self-signature now. The library does so when it first
// needs one and keeps the answer in the key, which would be a data race between
// two files.
func settle(e *openpgp.Entity) {
	cfg := library(time.Now)
	for _, identity := range e.Identities {
		for _, sig := range identity.SelfCertifications {
			_, _ = identity.LatestValidSelfCertification(sig.Packet.CreationTime, cfg)
		}
		identity.Revoked(nil, time.Time{}, cfg)
	}
	for _, sig := range e.DirectSignatures {
		_, _ = e.LatestValidDirectSignature(sig.Packet.CreationTime, cfg)
	}
	e.Revoked(time.Time{})
	for i := range e.Subkeys {
		sub := &e.Subkeys[i]
		for _, sig := range sub.Bindings {
			_, _ = sub.LatestValidBindingSignature(sig.Packet.CreationTime, cfg)
		}
		sub.Revoked(nil, time.Time{})
	}
}

// library returns the settings of the OpenPGP library. Its defaults refuse what
// the package comment says.
func library(now func() time.Time) *packet.Config {
	return &packet.Config{
		Time: now, DefaultCipher: packet.CipherAES256,
		// As GnuPG: keys of older software do not say what they are for.
		InsecureAllowAllKeyFlagsWhenMissing: true,
	}
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

func keyIDs(keys []Key) string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = keyID(k.entity.PrimaryKey.KeyId)
	}
	return strings.Join(ids, ", ")
}

// use is what a key is needed for.
type use int

const (
	toEncrypt use = iota
	toDecrypt
	toSign
	toVerify
)

// CheckEncrypt describes a key that reports are encrypted to. Problem says why
// it cannot be used for that at the time given.
func (k Key) CheckEncrypt(at time.Time) Info { return k.check(toEncrypt, at) }

// CheckDecrypt is like CheckEncrypt, for our key that files are encrypted to.
func (k Key) CheckDecrypt(at time.Time) Info { return k.check(toDecrypt, at) }

// CheckSign is like CheckEncrypt, for our key that signs reports.
func (k Key) CheckSign(at time.Time) Info { return k.check(toSign, at) }

// CheckVerify is like CheckEncrypt, for the bank's key that signs files.
func (k Key) CheckVerify(at time.Time) Info { return k.check(toVerify, at) }

func (k Key) check(u use, at time.Time) Info {
	e := k.entity
	info := Info{ID: keyID(e.PrimaryKey.KeyId), Fingerprint: strings.ToUpper(fmt.Sprintf("%x", e.PrimaryKey.Fingerprint))}
	cfg := library(func() time.Time { return at })
	if self, err := e.PrimarySelfSignature(time.Time{}, cfg); err == nil {
		info.Expires = expiry(e.PrimaryKey, self)
	}
	part, ok := part(e, u, at, cfg)
	switch {
	case !ok:
		info.Problem = unusable(e, u, at, cfg)
	case (u == toDecrypt || u == toSign) && (part.PrivateKey == nil || part.PrivateKey.Dummy()):
		info.Problem = "has no private half here"
	default:
		info.Expires = earlier(info.Expires, expiry(part.PublicKey, part.SelfSignature))
	}
	return info
}

// part returns the primary key or the subkey that a key is used by.
func part(e *openpgp.Entity, u use, at time.Time, cfg *packet.Config) (openpgp.Key, bool) {
	if u == toEncrypt || u == toDecrypt {
		return e.EncryptionKey(at, cfg)
	}
	return e.SigningKey(at, cfg)
}

// unusable says why no part of a key can be used.
func unusable(e *openpgp.Entity, u use, at time.Time, cfg *packet.Config) string {
	if text := problem(e, 0, at, cfg); text != "" {
		return text
	}
	for i := range e.Subkeys {
		if text := problem(e, e.Subkeys[i].PublicKey.KeyId, at, cfg); text != "" {
			return text
		}
	}
	if u == toEncrypt || u == toDecrypt {
		return "is not meant for encryption, or too weak"
	}
	return "is not meant for signing, or too weak"
}

// problem says why the primary key, or the subkey of the id given, does not
// count at a time; empty when it does.
func problem(e *openpgp.Entity, id uint64, at time.Time, cfg *packet.Config) string {
	self, err := e.VerifyPrimaryKey(at, cfg)
	if err != nil {
		if self == nil {
			self, _ = e.PrimarySelfSignature(time.Time{}, cfg)
		}
		return because(err, e.PrimaryKey, self, at)
	}
	for i := range e.Subkeys {
		sub := &e.Subkeys[i]
		if sub.PublicKey.KeyId != id {
			continue
		}
		if _, err := sub.Verify(at, cfg); err != nil {
			self, _ := sub.LatestValidBindingSignature(time.Time{}, cfg)
			return because(err, sub.PublicKey, self, at)
		}
	}
	return ""
}

func because(err error, k *packet.PublicKey, self *packet.Signature, at time.Time) string {
	switch {
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "was revoked"
	case at.Before(k.CreationTime):
		return "is dated " + day(k.CreationTime) + ", in the future"
	case self != nil && !expiry(k, self).IsZero() && at.After(expiry(k, self)):
		return "expired on " + day(expiry(k, self))
	default:
		return "has no valid self-signature"
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// expiry returns when a key expires, zero for never.
func expiry(k *packet.PublicKey, self *packet.Signature) time.Time {
	if self == nil || self.KeyLifetimeSecs == nil || *self.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return k.CreationTime.Add(time.Duration(*self.KeyLifetimeSecs) * time.Second).UTC()
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// armored reports whether a file begins as ASCII armor does, and of which kind.
func armored(start []byte) (kind string, ok bool) {
	start = bytes.TrimLeft(start, " \t\r\n")
	rest, ok := bytes.CutPrefix(start, []byte("-----BEGIN PGP "))
	if !ok {
		return "", false
	}
	name, _, _ := bytes.Cut(rest, []byte("-----"))
	return "PGP " + string(name), true
}
