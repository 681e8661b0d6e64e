// Package sealed encrypts what is kept at rest, so that a copy of the
// database, of its backups or of its write-ahead log tells nothing.
//
//	key, err := sealed.LoadKey("/run/credentials/cardbatch/sealing-2026")
//	ring, err := sealed.NewKeyring("2026", map[string][]byte{"2026": key, "2025": older})
//	box, err := ring.Seal(payload, []byte("bank/order-1"))
//	payload, err = ring.Open(box, []byte("bank/order-1"))
//
// Sealing is AES-256-GCM with a random nonce. The additional data ties what is
// sealed to its place: a box moved to another row does not open there.
//
// # Rotation
//
// The id of the key is in the box, so boxes of several keys live side by side.
// To rotate, add the new key on every node, then make it the current one; the
// old one can go when no row holds a box of it ([KeyID] tells). Random nonces
// allow 2^32 boxes of one key, which is a million a night for eleven years.
//
// # Form of a box
//
//	1 byte    form, 0x01
//	1 byte    length of the key id
//	n bytes   key id
//	12 bytes  nonce
//	m bytes   ciphertext, as long as the plaintext
//	16 bytes  tag
//
// Form and key id are authenticated together with the additional data.
package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"regexp"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

const (
	form     = 0x01
	overhead = 12 + 16 // nonce and tag
)

// ErrTampered says that a box was changed, cut, moved to another place (other
// additional data), or sealed with another key of the same id.
var ErrTampered = errors.New("sealed data is damaged or not in its place")

// UnknownKeyError says that a box needs a key that the keyring does not have.
type UnknownKeyError struct {
	// KeyID is the id in the box. It is not authenticated.
	KeyID string
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("sealed with key %q, which is not configured", e.KeyID)
}

// Keyring seals with its current key and opens with any of its keys. It is
// safe for concurrent use and cannot be printed.
type Keyring struct {
	current string
	header  []byte
	keys    map[string]cipher.AEAD
}

var validID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

// NewKeyring makes a keyring of keys by their ids, [A-Za-z0-9._-]{1,32}; keys
// are KeySize bytes. currentID is the one to seal with.
func NewKeyring(currentID string, keys map[string][]byte) (*Keyring, error) {
	ring := &Keyring{current: currentID, header: header(currentID), keys: make(map[string]cipher.AEAD, len(keys))}
	for id, key := range keys {
		if !validID.MatchString(id) {
			return nil, fmt.Errorf("sealing key id %q is not 1 to 32 letters, digits, dots, dashes or underscores", id)
		}
		if len(key) != KeySize {
			return nil, fmt.Errorf("sealing key %q has %d bytes, not %d", id, len(key), KeySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("sealing key %q: %w", id, err)
		}
		if ring.keys[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("sealing key %q: %w", id, err)
		}
	}
	if ring.keys[currentID] == nil {
		return nil, fmt.Errorf("current sealing key: %w", &UnknownKeyError{currentID})
	}
	return ring, nil
}

// Seal encrypts plain with the current key and ties it to aad.
func (r *Keyring) Seal(plain, aad []byte) ([]byte, error) {
	box := make([]byte, len(r.header), len(r.header)+len(plain)+overhead)
	copy(box, r.header)
	return r.keys[r.current].Seal(box, nil, plain, bound(r.header, aad)), nil //nolint:gosec // no nonce is given: this AEAD draws its own
}

// Open decrypts what Seal made with the same aad. The errors are ErrTampered
// and *UnknownKeyError.
func (r *Keyring) Open(box, aad []byte) ([]byte, error) {
	id, err := KeyID(box)
	if err != nil {
		return nil, err
	}
	key := r.keys[id]
	if key == nil {
		return nil, &UnknownKeyError{id}
	}
	head := box[:2+len(id)]
	plain, err := key.Open(nil, nil, box[len(head):], bound(head, aad))
	if err != nil {
		return nil, ErrTampered // the cause has nothing to add, on purpose
	}
	return plain, nil
}

// CurrentID is the id of the key that Seal uses.
func (r *Keyring) CurrentID() string { return r.current }

// Format implements [fmt.Formatter] and shows the current key's id only.
func (r *Keyring) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[keyring, current key %s]", r.current)
}

// KeyID is the id of the key a box was sealed with. ErrTampered when it is no
// box.
func KeyID(box []byte) (string, error) {
	if len(box) < 2 || box[0] != form || box[1] == 0 || len(box) < 2+int(box[1])+overhead {
		return "", ErrTampered
	}
	return string(box[2 : 2+int(box[1])]), nil
}

func header(id string) []byte { return append([]byte{form, byte(len(id))}, id...) }

// bound is what is authenticated. The header knows its length, so no other
// header and additional data give the same bytes.
func bound(head, aad []byte) []byte {
	both := make([]byte, 0, len(head)+len(aad))
	return append(append(both, head...), aad...)
}
