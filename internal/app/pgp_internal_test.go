package app

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/pgp"
	"cardbatch/internal/pgp/pgptest"
)

// Whatever comes after decryption may stop early, as gzip does at its own end:
// the envelope is still verified.
func TestEnvelopeIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	made := time.Now().AddDate(0, -1, 0)
	bank, err1 := pgptest.NewPair("bank", made, 0)
	us, err2 := pgptest.NewPair("us", made, 0)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	o, err := pgp.NewOpener(pgp.OpenConfig{Decrypt: []pgp.Key{us.Private}, Verify: []pgp.Key{bank.Public}, SignatureRequired: true})
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("0123456789", 10_000)
	message, err := pgptest.Seal([]byte(content), us.Public, bank.Private, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	first := decrypted(o, func(r io.Reader) (io.Reader, error) { return io.LimitReader(r, 10), nil })
	r, err := first(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != content[:10] || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	message[len(message)-1] ^= 1
	if r, err = first(bytes.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(r)
	var file *issuance.FileError
	if !errors.As(err, &file) || file.Code != issuance.PGPDamaged {
		t.Errorf("changed in its last byte: %v", err)
	}
	upper := func(r io.Reader) (io.Reader, error) { return r, nil }
	if decrypted(nil, nil) != nil || decrypted(nil, upper) == nil || decrypted(o, nil) == nil {
		t.Error("nothing to do is not nil, or the other way round")
	}
}
