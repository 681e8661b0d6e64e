package d1sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// AddJWEKey lets D1 open encryptedData under one more key, beside those it
// has: the first half of a change of keys. A known kid is replaced.
func (s *Simulator) AddJWEKey(issuerID, kid string, key *ecdsa.PrivateKey) error {
	if kid == "" || key == nil || key.Curve != elliptic.P256() {
		return errors.New("d1sim: a JWE key needs a kid and the curve P-256")
	}
	return s.changeKeys(issuerID, func(keys map[string]*ecdsa.PrivateKey) error {
		keys[kid] = key
		return nil
	})
}

// WithdrawJWEKey ends a key: what is encrypted under it is a CRYPTO_ERROR.
func (s *Simulator) WithdrawJWEKey(issuerID, kid string) error {
	return s.changeKeys(issuerID, func(keys map[string]*ecdsa.PrivateKey) error {
		if keys[kid] == nil {
			return fmt.Errorf("d1sim: issuer %s has no JWE key %q", issuerID, kid)
		}
		delete(keys, kid)
		return nil
	})
}

func (s *Simulator) changeKeys(issuerID string, change func(map[string]*ecdsa.PrivateKey) error) error {
	is := s.issuers[issuerID]
	if is == nil {
		return fmt.Errorf("d1sim: no issuer %q", issuerID)
	}
	s.mu.Lock() // one change at a time
	defer s.mu.Unlock()
	keys := maps.Clone(*is.jwe.Load())
	if err := change(keys); err != nil {
		return err
	}
	is.jwe.Store(&keys)
	return nil
}

func publicJWK(kid string, key *ecdsa.PrivateKey) jose.JSONWebKey {
	return jose.JSONWebKey{Key: &key.PublicKey, KeyID: kid, Algorithm: string(jose.ECDH_ES), Use: "enc"}
}

// adminKeys lists D1's public keys as a JWK set.
func (s *Simulator) adminKeys(w http.ResponseWriter, r *http.Request) {
	is, e := s.keyIssuer(r.URL.Query().Get("issuerId"))
	if e != nil {
		e.write(w)
		return
	}
	keys := *is.jwe.Load()
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		set.Keys = append(set.Keys, publicJWK(kid, keys[kid]))
	}
	writeValue(w, http.StatusOK, set)
}

// adminAddKey makes a key and answers its public half.
func (s *Simulator) adminAddKey(w http.ResponseWriter, r *http.Request) {
	var in struct {
		IssuerID string `json:"issuerId"`
		KID      string `json:"kid"`
	}
	doc, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err == nil {
		err = json.Unmarshal(doc, &in)
	}
	if err != nil || in.KID == "" {
		(&apiError{http.StatusBadRequest, "", `want {"kid":"..."}`}).write(w)
		return
	}
	is, e := s.keyIssuer(in.IssuerID)
	if e != nil {
		e.write(w)
		return
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err == nil {
		err = s.AddJWEKey(is.ID, in.KID, key)
	}
	if err != nil {
		(&apiError{http.StatusInternalServerError, "", err.Error()}).write(w)
		return
	}
	writeValue(w, http.StatusCreated, publicJWK(in.KID, key))
}

func (s *Simulator) adminWithdrawKey(w http.ResponseWriter, r *http.Request) {
	is, e := s.keyIssuer(r.URL.Query().Get("issuerId"))
	if e == nil && s.WithdrawJWEKey(is.ID, r.PathValue("kid")) != nil {
		e = &apiError{http.StatusNotFound, "", "no such key"}
	}
	if e != nil {
		e.write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// keyIssuer is the issuer that is named, or the only one.
func (s *Simulator) keyIssuer(id string) (*issuer, *apiError) {
	if id == "" && len(s.byNumber) == 1 {
		return s.byNumber[0], nil
	}
	if is := s.issuers[id]; is != nil {
		return is, nil
	}
	return nil, &apiError{http.StatusNotFound, "", "issuerId names no issuer"}
}
