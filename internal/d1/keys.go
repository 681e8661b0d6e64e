package d1

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/go-jose/go-jose/v4"
)

var errNotP256 = errors.New("the key is not an elliptic curve key on P-256")

// LoadSigningKey reads the private key for D1's token from a PEM file, PKCS #8
// or SEC 1.
func LoadSigningKey(path string) (*ecdsa.PrivateKey, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, fmt.Errorf("load token key: %w", err)
	}
	defer clear(block.Bytes)
	var key any
	if block.Type == "EC PRIVATE KEY" {
		key, err = x509.ParseECPrivateKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("load token key: %w", err)
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return nil, fmt.Errorf("load token key: %w", errNotP256)
	}
	return private, nil
}

// LoadJWEKey reads a public key of D1's from a file, either a JWK or PEM. The
// id is the one given, else the JWK's own.
func LoadJWEKey(path, id string) (JWEKey, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the configuration
	if err != nil {
		return JWEKey{}, fmt.Errorf("load D1's key: %w", err)
	}
	var jwk jose.JSONWebKey
	if jwk.UnmarshalJSON(content) != nil {
		block, err := readPEM(path)
		if err != nil {
			return JWEKey{}, fmt.Errorf("load D1's key: neither a JWK nor PEM: %w", err)
		}
		if jwk.Key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return JWEKey{}, fmt.Errorf("load D1's key: %w", err)
		}
	}
	public, ok := jwk.Key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return JWEKey{}, fmt.Errorf("load D1's key: %w", errNotP256)
	}
	if id == "" {
		id = jwk.KeyID
	}
	return JWEKey{ID: id, Public: public}, nil
}

func readPEM(path string) (*pem.Block, error) {
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the file in the configuration
	if err != nil {
		return nil, err //nolint:wrapcheck // the callers say what they were reading
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("no PEM in %s", path)
	}
	return block, nil
}
