// Package simkeys makes key material for a simulated D1 and one issuer: the
// issuer's JWT key, D1's JWE key, and a small certificate authority for mutual
// TLS. All of it is for tests; nothing here is fit for production.
//
//	keys, err := simkeys.New("SIMBANK_01")
//	sim, err := d1sim.New(d1sim.Config{Issuers: []d1sim.Issuer{keys.Issuer()}})
//	client := ... keys.JWTKey, keys.JWTKeyID, keys.JWEPublicKey() ...
package simkeys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cardbatch/internal/d1/d1sim"
)

// Keys of one issuer and of D1 towards it.
type Keys struct {
	IssuerID string
	JWTKeyID string            // kid of assertions
	JWTKey   *ecdsa.PrivateKey // the issuer's: signs assertions
	JWEKeyID string            // kid of encryptedData
	JWEKey   *ecdsa.PrivateKey // D1's: opens encryptedData
}

// New makes fresh keys. The issuer id has exactly 10 characters.
func New(issuerID string) (*Keys, error) {
	jwtKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate JWT key: %w", err)
	}
	jweKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate JWE key: %w", err)
	}
	return &Keys{
		IssuerID: issuerID,
		JWTKeyID: "sim-jwt-1", JWTKey: jwtKey,
		JWEKeyID: "sim-jwe-1", JWEKey: jweKey,
	}, nil
}

// Issuer is what the simulator must know of the keys.
func (k *Keys) Issuer(products ...d1sim.Product) d1sim.Issuer {
	return d1sim.Issuer{
		ID:       k.IssuerID,
		JWTKeys:  map[string]*ecdsa.PublicKey{k.JWTKeyID: &k.JWTKey.PublicKey},
		JWEKeys:  map[string]*ecdsa.PrivateKey{k.JWEKeyID: k.JWEKey},
		Products: products,
	}
}

// JWEPublicKey is D1's public key as the issuer gets it.
func (k *Keys) JWEPublicKey() jose.JSONWebKey {
	return jose.JSONWebKey{Key: &k.JWEKey.PublicKey, KeyID: k.JWEKeyID, Algorithm: string(jose.ECDH_ES), Use: "enc"}
}

// Assertion signs what a token request needs, valid for ten minutes.
func (k *Keys) Assertion(now time.Time) (string, error) {
	return k.Sign(jwt.Claims{
		Issuer: k.IssuerID, Subject: k.IssuerID,
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute)),
	})
}

// Sign signs any claims as the issuer.
func (k *Keys) Sign(claims any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.JWTKey, KeyID: k.JWTKeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("make signer: %w", err)
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// Encrypt makes encryptedData of clear card data.
func (k *Keys) Encrypt(clear []byte) (string, error) {
	enc, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{
		Algorithm: jose.ECDH_ES, Key: &k.JWEKey.PublicKey, KeyID: k.JWEKeyID}, nil)
	if err != nil {
		return "", fmt.Errorf("make encrypter: %w", err)
	}
	jwe, err := enc.Encrypt(clear)
	if err != nil {
		return "", fmt.Errorf("encrypt: %w", err)
	}
	return jwe.CompactSerialize()
}
