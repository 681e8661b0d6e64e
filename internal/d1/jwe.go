package d1

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// JWEKey is a public key of D1's, to which card data is encrypted.
type JWEKey struct {
	ID     string // kid
	Public *ecdsa.PublicKey
}

// JWEFile names the file of such a key, see [LoadJWEKey].
type JWEFile struct {
	ID   string // kid; empty: the one in the file, if that is a JWK
	Path string
}

// sealer makes compact JWEs (RFC 7516) for one recipient: ECDH-ES by direct
// agreement (RFC 7518, section 4.6) and A256GCM.
//
// It is written out here because a night is made of these: go-jose, against
// which the tests hold it, computes the agreement over big integers and builds
// its headers by reflection, and needs a third more time and four times the
// memory (BenchmarkJWE).
type sealer struct {
	public *ecdh.PublicKey
	prefix []byte // the header up to the ephemeral key's x
	suffix []byte // and after its y
}

const (
	headerXY  = `","y":"`
	tagSize   = 16
	nonceSize = 12
	pointSize = 1 + 2*coordSize
	coordSize = 32
)

func newSealer(key JWEKey) (*sealer, error) {
	if key.ID == "" || key.Public == nil {
		return nil, errors.New("a JWE key needs an id and a public key")
	}
	public, err := key.Public.ECDH()
	if err != nil {
		return nil, fmt.Errorf("use JWE key %s: %w", key.ID, err)
	}
	if public.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("use JWE key %s: %w", key.ID, errNotP256)
	}
	id, err := json.Marshal(key.ID)
	if err != nil {
		return nil, fmt.Errorf("use JWE key: %w", err)
	}
	return &sealer{
		public: public,
		prefix: []byte(`{"alg":"ECDH-ES","enc":"A256GCM","epk":{"crv":"P-256","kty":"EC","x":"`),
		suffix: fmt.Appendf(nil, `"},"kid":%s}`, id),
	}, nil
}

// appendJWE appends the JWE of clear to dst.
func (s *sealer) appendJWE(dst, clear []byte) ([]byte, error) {
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make ephemeral key: %w", err)
	}
	shared, err := ephemeral.ECDH(s.public)
	if err != nil {
		return nil, fmt.Errorf("agree on key: %w", err)
	}
	key := deriveKey(shared)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}

	b64 := base64.RawURLEncoding
	var header [512]byte
	start := len(dst)
	dst = b64.AppendEncode(dst, s.header(header[:0], ephemeral.PublicKey().Bytes()))
	protected := dst[start:len(dst):len(dst)]

	sealed := make([]byte, nonceSize, nonceSize+len(clear)+tagSize)
	if _, err = rand.Read(sealed); err != nil {
		return nil, fmt.Errorf("make nonce: %w", err)
	}
	sealed = gcm.Seal(sealed, sealed[:nonceSize], clear, protected)
	tag := len(sealed) - tagSize

	dst = append(dst, '.', '.') // direct agreement: no encrypted key in between
	dst = b64.AppendEncode(dst, sealed[:nonceSize])
	dst = append(dst, '.')
	dst = b64.AppendEncode(dst, sealed[nonceSize:tag])
	dst = append(dst, '.')
	return b64.AppendEncode(dst, sealed[tag:]), nil
}

// header appends the protected header for an ephemeral key, given as an
// uncompressed point.
func (s *sealer) header(dst, point []byte) []byte {
	b64 := base64.RawURLEncoding
	x, y := point[1:1+coordSize], point[1+coordSize:pointSize]
	dst = append(dst, s.prefix...)
	dst = b64.AppendEncode(dst, x)
	dst = append(dst, headerXY...)
	dst = b64.AppendEncode(dst, y)
	return append(dst, s.suffix...)
}

// deriveKey is the Concat KDF of RFC 7518, section 4.6.2, for A256GCM with no
// party information: one round, since the key is as long as the hash.
func deriveKey(shared []byte) [sha256.Size]byte {
	const otherInfo = "\x00\x00\x00\x07A256GCM" + // algorithm
		"\x00\x00\x00\x00" + "\x00\x00\x00\x00" + // apu, apv
		"\x00\x00\x01\x00" // bits of the key
	input := make([]byte, 0, 4+coordSize+len(otherInfo))
	input = append(input, 0, 0, 0, 1) // round
	input = append(input, shared...)
	input = append(input, otherInfo...)
	return sha256.Sum256(input)
}
