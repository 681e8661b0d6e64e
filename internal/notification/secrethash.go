package notification

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// hashIterations makes one guess cost a tenth of a second.
const hashIterations = 600_000

const hashScheme = "pbkdf2-sha256"

// NewSecret makes a client secret that nobody can guess, of characters that
// need no encoding anywhere. 64 of them: Thales wants 48 or more for its own.
func NewSecret() string {
	b := make([]byte, 48)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// HashSecret returns what the configuration keeps of a client secret: scheme,
// iterations, salt and hash. Two hashes of a secret differ.
func HashSecret(secret string) (string, error) { return hashSecret(secret, hashIterations) }

func hashSecret(secret string, iterations int) (string, error) {
	h := secretHash{iterations: iterations, salt: make([]byte, 16)}
	_, _ = rand.Read(h.salt)
	var err error
	if h.sum, err = h.of(secret); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s$%d$%s$%s", hashScheme, h.iterations, encode(h.salt), encode(h.sum)), nil
}

type secretHash struct {
	iterations int
	salt, sum  []byte
}

func (h secretHash) of(secret string) ([]byte, error) {
	sum, err := pbkdf2.Key(sha256.New, secret, h.salt, h.iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("hash a client secret: %w", err)
	}
	return sum, nil
}

// matches reports whether it is the hash of that secret. It takes the same time
// for every secret.
func (h secretHash) matches(secret string) bool {
	sum, err := h.of(secret)
	return err == nil && subtle.ConstantTimeCompare(sum, h.sum) == 1
}

func parseSecretHash(text string) (secretHash, error) {
	malformed := errors.New("a secret hash is not one that `cardbatch secret` has made")
	parts := strings.Split(text, "$")
	if len(parts) != 4 || parts[0] != hashScheme {
		return secretHash{}, malformed
	}
	iterations, err1 := strconv.Atoi(parts[1])
	salt, err2 := decode(parts[2])
	sum, err3 := decode(parts[3])
	if errors.Join(err1, err2, err3) != nil || iterations < 1 || len(salt) < 8 || len(sum) != sha256.Size {
		return secretHash{}, malformed
	}
	return secretHash{iterations, salt, sum}, nil
}

func encode(b []byte) string             { return base64.RawURLEncoding.EncodeToString(b) }
func decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }
