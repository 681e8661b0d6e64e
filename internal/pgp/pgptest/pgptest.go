// Package pgptest makes OpenPGP keys for tests and for samples.
package pgptest

import (
	"bytes"
	"fmt"
	"io"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"cardbatch/internal/pgp"
	"cardbatch/internal/secret"
)

// Pair is a key pair, as key files hold it and as package pgp reads it.
type Pair struct {
	PrivateFile, PublicFile []byte // armored; the private one without a passphrase
	Private, Public         pgp.Key
}

// NewPair makes a key that is valid from the time given for some days, 0 for
// ever.
func NewPair(name string, from time.Time, days int) (*Pair, error) {
	e, err := openpgp.NewEntity(name, "", name+"@bank.example", &packet.Config{
		Time: func() time.Time { return from }, Algorithm: packet.PubKeyAlgoEdDSA,
		DefaultCipher: packet.CipherAES256, KeyLifetimeSecs: uint32(days) * 86400,
	})
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	p := &Pair{}
	private := func(w io.Writer) error { return e.SerializePrivateWithoutSigning(w, nil) }
	if p.PrivateFile, err = file(openpgp.PrivateKeyType, private); err != nil {
		return nil, err
	}
	if p.PublicFile, err = file(openpgp.PublicKeyType, e.Serialize); err != nil {
		return nil, err
	}
	return ReadPair(p.PrivateFile, p.PublicFile)
}

// ReadPair reads a pair from its files, one key in each, armored and without a
// passphrase.
func ReadPair(private, public []byte) (*Pair, error) {
	privates, err := pgp.PrivateKeys(private, secret.Value{})
	if err != nil {
		return nil, err
	}
	publics, err := pgp.PublicKeys(public)
	if err != nil {
		return nil, err
	}
	return &Pair{private, public, privates[0], publics[0]}, nil
}

func file(kind string, write func(io.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err == nil {
		err = write(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// Seal makes a message of a content, encrypted to one key and signed by another
// at the time given; by the zero key, it is not signed.
func Seal(content []byte, to, by pgp.Key, at time.Time) ([]byte, error) {
	s, err := pgp.NewSealer(pgp.SealConfig{To: []pgp.Key{to}, Sign: by, Secret: make([]byte, 32), Now: func() time.Time { return at }})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w, err := s.Wrap("", &b)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
