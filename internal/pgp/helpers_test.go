package pgp

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"cardbatch/internal/issuance"
	"cardbatch/internal/secret"
)

// today is the tests' clock. Keys are made some time before it.
var today = time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)

func clock() time.Time { return today }

// newEntity makes a key that was created days before today and lives for some
// days, 0 for ever.
func newEntity(tb testing.TB, name string, ago, life int) *openpgp.Entity {
	tb.Helper()
	created := today.AddDate(0, 0, -ago)
	e, err := openpgp.NewEntity(name, "", name+"@bank.example", &packet.Config{
		Time: func() time.Time { return created }, Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: uint32(life * 86400),
		DefaultCipher: packet.CipherAES256,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func private(tb testing.TB, e *openpgp.Entity) Key {
	tb.Helper()
	var b bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&b, nil); err != nil {
		tb.Fatal(err)
	}
	keys, err := PrivateKeys(b.Bytes(), secret.Value{})
	if err != nil {
		tb.Fatal(err)
	}
	return keys[0]
}

func public(tb testing.TB, e *openpgp.Entity) Key {
	tb.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		tb.Fatal(err)
	}
	keys, err := PublicKeys(b.Bytes())
	if err != nil {
		tb.Fatal(err)
	}
	return keys[0]
}

// world has a bank that sends and us who receive.
type world struct {
	us, bank *openpgp.Entity
	opener   *Opener
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{us: newEntity(tb, "us", 100, 0), bank: newEntity(tb, "bank", 100, 0)}
	w.opener = newOpener(tb, OpenConfig{Decrypt: []Key{private(tb, w.us)}, Verify: []Key{public(tb, w.bank)}, SignatureRequired: true})
	return w
}

func newOpener(tb testing.TB, cfg OpenConfig) *Opener {
	tb.Helper()
	cfg.Now = clock
	o, err := NewOpener(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// letter is a message as the bank may make it.
type letter struct {
	to, signers []*openpgp.Entity
	signedAt    time.Time // zero: today
	compress    packet.CompressionAlgo
	hash        crypto.Hash
	armor       bool
}

func (l letter) seal(tb testing.TB, content string) []byte {
	tb.Helper()
	if l.signedAt.IsZero() {
		l.signedAt = today
	}
	at := today
	cfg := &packet.Config{Time: func() time.Time { return l.signedAt }, DefaultCompressionAlgo: l.compress, DefaultHash: l.hash, DefaultCipher: packet.CipherAES256}
	var b bytes.Buffer
	var out io.Writer = &b
	done := func() error { return nil }
	if l.armor {
		a, err := armor.Encode(&b, "PGP MESSAGE", map[string]string{"Comment": "made for a test"})
		if err != nil {
			tb.Fatal(err)
		}
		out, done = a, a.Close
	}
	w, err := openpgp.EncryptWithParams(out, l.to, nil, &openpgp.EncryptParams{Signers: l.signers, Config: cfg, EncryptionTime: &at})
	if err != nil {
		tb.Fatal(err)
	}
	_, err = io.Copy(w, strings.NewReader(content))
	if err = errors.Join(err, w.Close(), done()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func (w *world) letter() letter {
	return letter{to: []*openpgp.Entity{w.us}, signers: []*openpgp.Entity{w.bank}}
}

// open reads a message to its end.
func open(o *Opener, message []byte) (string, error) {
	r, err := o.Open(bytes.NewReader(message))
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(r)
	return string(content), err
}

func code(err error) issuance.Code {
	var file *issuance.FileError
	if errors.As(err, &file) {
		return file.Code
	}
	return ""
}

func wantCode(t *testing.T, err error, want issuance.Code, texts ...string) {
	t.Helper()
	if code(err) != want {
		t.Fatalf("error %v (%s), want %s", err, code(err), want)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not mention %q", err, text)
		}
	}
}

const orders = "order_id,card_id\nORD-1,card-1\nORD-2,card-2\n"
