package pgptest_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/pgp"
	"cardbatch/internal/pgp/pgptest"
)

// TestMistakes: a message with a mistake has just that one, and its content.
func TestMistakes(t *testing.T) {
	at := time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)
	us, err1 := pgptest.NewPair("us", at.AddDate(0, -1, 0), 0)
	bank, err2 := pgptest.NewPair("bank", at.AddDate(0, -1, 0), 0)
	must(t, errors.Join(err1, err2))
	opener, err := pgp.NewOpener(pgp.OpenConfig{Decrypt: []pgp.Key{us.Private}, Verify: []pgp.Key{bank.Public}, SignatureRequired: true,
		Now: func() time.Time { return at }})
	must(t, err)
	content := bytes.Repeat([]byte("ORD-1,card-1\n"), 20_000)
	forged, err1 := pgptest.Forge(content, us, bank, at)
	unprotected, err2 := pgptest.Unprotected(content, us, at)
	sealed, err3 := pgptest.Seal(content, us.Public, bank.Private, at)
	unsigned, err4 := pgptest.Seal(content, us.Public, pgp.Key{}, at)
	must(t, errors.Join(err1, err2, err3, err4))
	for want, message := range map[issuance.Code][]byte{
		"": sealed, issuance.PGPSignatureInvalid: forged, issuance.PGPWeak: unprotected, issuance.PGPSignatureMissing: unsigned,
	} {
		if got, err := pgptest.Reveal(message, bank, us); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes are revealed, %v", want, len(got), err)
		}
		clear, err := opener.Open(bytes.NewReader(message))
		if err == nil {
			_, err = io.Copy(io.Discard, clear)
		}
		var file *issuance.FileError
		if errors.As(err, &file); (want == "") != (err == nil) || err != nil && file.Code != want {
			t.Errorf("want %s, got %v", want, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
