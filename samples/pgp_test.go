package samples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"cardbatch/internal/issuance"
	"cardbatch/internal/pgp"
	"cardbatch/internal/pgp/pgptest"
	"cardbatch/internal/secret"
	"cardbatch/schemas"
)

var updatePGP = flag.Bool("update-pgp", false, "make new keys and new files of samples/orders/encrypted")

const encrypted = "orders/encrypted"

// pgpDay is when the encrypted samples are made and taken.
func pgpDay() time.Time { return time.Date(2026, 12, 1, 21, 30, 0, 0, time.UTC) }

func pgpCodes(t *testing.T) []issuance.Code {
	t.Helper()
	content, err := schemas.FS.ReadFile("reject-codes.v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Codes []struct{ Code issuance.Code }
	}
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatal(err)
	}
	var codes []issuance.Code
	for _, c := range list.Codes {
		if strings.HasPrefix(string(c.Code), "PGP_") {
			codes = append(codes, c.Code)
		}
	}
	if len(codes) < 7 {
		t.Fatalf("codes: %v", codes)
	}
	return codes
}

// Every code of an envelope has a file that is refused by exactly it.
func TestEncryptedSamples(t *testing.T) {
	if *updatePGP {
		makeEncrypted(t)
	}
	file := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(encrypted, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	us, err1 := pgp.PrivateKeys(file("us-private.asc"), secret.Value{})
	bank, err2 := pgp.PublicKeys(file("bank-public.asc"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	o, err := pgp.NewOpener(pgp.OpenConfig{Decrypt: us, Verify: bank, SignatureRequired: true, Now: pgpDay})
	if err != nil {
		t.Fatal(err)
	}
	take := func(name string) (string, error) {
		r, err := o.Open(bytes.NewReader(file(name)))
		if err != nil {
			return "", err
		}
		content, err := io.ReadAll(r)
		return string(content), err
	}
	clear, err := os.ReadFile("orders/good.csv")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := take("good.csv.pgp"); got != string(clear) || err != nil {
		t.Errorf("good.csv.pgp is not orders/good.csv (rewrite with -update-pgp): %v", err)
	}
	for _, code := range pgpCodes(t) {
		_, err := take(string(code) + ".csv.pgp")
		var found *issuance.FileError
		if !errors.As(err, &found) || found.Code != code {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func makeEncrypted(t *testing.T) {
	t.Helper()
	pair := func(name string) *pgptest.Pair {
		p, err := pgptest.NewPair("sample-"+name, pgpDay().AddDate(0, -1, 0), 0)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	us, bank, stranger := pair("us"), pair("bank"), pair("stranger")
	content, err := os.ReadFile("orders/good.csv")
	if err != nil {
		t.Fatal(err)
	}
	seal := func(to, by pgp.Key, at time.Time) []byte {
		message, err := pgptest.Seal(content, to, by, at)
		if err != nil {
			t.Fatal(err)
		}
		return message
	}
	good := seal(us.Public, bank.Private, pgpDay())
	for name, content := range map[string][]byte{
		"us-private.asc": us.PrivateFile, "us-public.asc": us.PublicFile, "bank-private.asc": bank.PrivateFile, "bank-public.asc": bank.PublicFile,
		"good.csv.pgp": good,
		string(issuance.PGPNotEncrypted) + ".csv.pgp":     content[:bytes.IndexByte(content, '\n')+1],
		string(issuance.PGPNotForUs) + ".csv.pgp":         seal(stranger.Public, bank.Private, pgpDay()),
		string(issuance.PGPDamaged) + ".csv.pgp":          good[:len(good)/2],
		string(issuance.PGPWeak) + ".csv.pgp":             withoutMDC(t, us),
		string(issuance.PGPSignatureMissing) + ".csv.pgp": seal(us.Public, pgp.Key{}, pgpDay()),
		string(issuance.PGPSignerUntrusted) + ".csv.pgp":  seal(us.Public, stranger.Private, pgpDay()),
		string(issuance.PGPSignatureInvalid) + ".csv.pgp": seal(us.Public, bank.Private, pgpDay().AddDate(60, 0, 0)),
	} {
		if err := errors.Join(os.MkdirAll(encrypted, 0o755), os.WriteFile(filepath.Join(encrypted, name), content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutMDC makes a message of the oldest kind, without integrity protection.
// What it holds does not matter: it is refused before anything is decrypted.
func withoutMDC(t *testing.T, to *pgptest.Pair) []byte {
	t.Helper()
	keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(to.PublicFile))
	if err != nil {
		t.Fatal(err)
	}
	key, ok := keys[0].EncryptionKey(pgpDay(), nil)
	if !ok {
		t.Fatal("no key to encrypt to")
	}
	var b bytes.Buffer
	if err := packet.SerializeEncryptedKey(&b, key.PublicKey, packet.CipherAES256, make([]byte, 32), nil); err != nil {
		t.Fatal(err)
	}
	b.Write([]byte{0xc9, 100}) // tag 9, 100 bytes
	b.Write(make([]byte, 100))
	return b.Bytes()
}
