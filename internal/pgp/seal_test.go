package pgp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"cardbatch/internal/issuance"
)

func newSealer(tb testing.TB, cfg SealConfig) *Sealer {
	tb.Helper()
	if cfg.Secret == nil {
		cfg.Secret = bytes.Repeat([]byte{1}, 32)
	}
	if cfg.Now == nil {
		cfg.Now = clock
	}
	s, err := NewSealer(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func sealed(tb testing.TB, s *Sealer, name, content string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := s.Wrap(name, &b)
	if err != nil {
		tb.Fatal(err)
	}
	_, err = io.WriteString(w, content)
	if err := errors.Join(err, w.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func reopened(s *Sealer, name string, file []byte) (string, error) {
	r, err := s.Unwrap(name, bytes.NewReader(file))
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(r)
	return string(content), err
}

func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	both := []Key{public(t, w.us), public(t, newEntity(t, "other", 10, 0))}
	small, err := openpgp.NewEntity("small", "", "", &packet.Config{Time: func() time.Time { return today.AddDate(0, 0, -1) },
		Algorithm: packet.PubKeyAlgoEdDSA, DefaultCipher: packet.CipherAES128})
	if err != nil {
		t.Fatal(err)
	}
	modern, err := openpgp.NewEntity("modern", "", "", &packet.Config{Time: func() time.Time { return today.AddDate(0, 0, -1) },
		Algorithm: packet.PubKeyAlgoEd25519, V6Keys: true, DefaultCipher: packet.CipherAES256, AEADConfig: &packet.AEADConfig{}})
	if err != nil {
		t.Fatal(err)
	}
	w.opener.Decrypt = append(w.opener.Decrypt, private(t, small), private(t, modern))
	for name, cfg := range map[string]SealConfig{
		"AES-128": {To: []Key{public(t, small)}, Sign: private(t, w.bank)}, "AEAD": {To: []Key{public(t, modern)}, Sign: private(t, w.bank)},
		"to new and old": {To: []Key{public(t, modern), both[0]}, Sign: private(t, w.bank)},
		"signed":         {To: both[:1], Sign: private(t, w.bank)}, "armored": {To: both[:1], Sign: private(t, w.bank), Armor: true},
		"to two": {To: both, Sign: private(t, w.bank)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSealer(t, cfg)
			for _, content := range []string{"", orders, strings.Repeat(orders, 50_000)} {
				file := sealed(t, s, "a.csv.pgp", content)
				if got, err := open(w.opener, file); got != content || err != nil {
					t.Fatalf("the reader gets %d of %d bytes, %v", len(got), len(content), err)
				}
				if got, err := reopened(s, "a.csv.pgp", file); got != content || err != nil {
					t.Fatalf("we read back %d of %d bytes, %v", len(got), len(content), err)
				}
			}
			if bytes.Equal(sealed(t, s, "a", orders), sealed(t, s, "a", orders)) {
				t.Error("two encryptions are the same bytes: what changed between them would show")
			}
		})
	}
	unsigned := sealed(t, newSealer(t, SealConfig{To: both[:1]}), "a", orders)
	_, err = open(w.opener, unsigned)
	wantCode(t, err, issuance.PGPSignatureMissing)
}

func TestReadBackOnlyOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSealer(t, SealConfig{To: []Key{public(t, w.us)}, Sign: private(t, w.bank)})
	file := sealed(t, s, "a", orders)
	if got, err := reopened(s, "b", file); err == nil {
		t.Errorf("another name opened it: %q", got)
	}
	other := newSealer(t, SealConfig{To: s.cfg.To, Secret: bytes.Repeat([]byte{2}, 32)})
	if got, err := reopened(other, "a", file); err == nil {
		t.Errorf("another secret opened it: %q", got)
	}
	for n := range file {
		if got, err := reopened(s, "a", file[:n]); err == nil {
			t.Fatalf("cut to %d bytes it is %q", n, got)
		}
		changed := bytes.Clone(file)
		changed[n] ^= 1
		if got, err := reopened(s, "a", changed); err == nil && got != orders {
			t.Fatalf("changed at %d it is %q", n, got)
		}
	}
	for _, foreign := range []string{"", "somebody else's", "\x80", "-----BEGIN PGP MESSAGE-----\n\nAAAA"} {
		if got, err := reopened(s, "a", []byte(foreign)); err == nil {
			t.Errorf("%q is %q", foreign, got)
		}
	}
}

func TestKeysThatCannotSeal(t *testing.T) {
	t.Parallel()
	old, good := newEntity(t, "old", 100, 99), newEntity(t, "good", 100, 0)
	for want, cfg := range map[string]SealConfig{
		"encrypt to key " + keyID(old.PrimaryKey.KeyId) + ": it expired on 2026-02-28": {To: []Key{public(t, good), public(t, old)}},
		"sign with key " + keyID(old.PrimaryKey.KeyId) + ": it expired on 2026-02-28":  {To: []Key{public(t, good)}, Sign: private(t, old)},
	} {
		if _, err := newSealer(t, cfg).Wrap("a", io.Discard); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, cfg := range []SealConfig{
		{Secret: make([]byte, 32)},
		{To: []Key{public(t, good)}, Secret: make([]byte, 31)},
		{To: []Key{public(t, good)}, Secret: make([]byte, 32), Sign: public(t, good)},
	} {
		if _, err := NewSealer(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	for _, cfg := range []OpenConfig{{}, {Decrypt: []Key{public(t, good)}}, {Decrypt: []Key{private(t, good)}, SignatureRequired: true}} {
		if _, err := NewOpener(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

func TestErrorsOfTheTargetAreSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := newSealer(t, SealConfig{To: []Key{public(t, w.us)}, Armor: true})
	full := errors.New("disk full")
	for _, limit := range []int{0, 10, 100_000, 200_000} {
		out, err := s.Wrap("a", &bounded{limit, full})
		if err == nil {
			_, err = io.WriteString(out, strings.Repeat(orders, 10_000))
			err = errors.Join(err, out.Close())
		}
		if !errors.Is(err, full) {
			t.Errorf("after %d bytes: %v", limit, err)
		}
	}
}

type bounded struct {
	left int
	err  error
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, b.err
	}
	return len(p), nil
}

func FuzzOpen(f *testing.F) {
	us, bank := newEntity(f, "us", 100, 0), newEntity(f, "bank", 100, 0)
	o := newOpener(f, OpenConfig{Decrypt: []Key{private(f, us)}, Verify: []Key{public(f, bank)}, SignatureRequired: true, MaxClear: 1 << 20})
	for _, l := range []letter{
		{to: []*openpgp.Entity{us}, signers: []*openpgp.Entity{bank}},
		{to: []*openpgp.Entity{us}, signers: []*openpgp.Entity{bank}, armor: true, compress: 2},
		{to: []*openpgp.Entity{us}},
	} {
		f.Add(l.seal(f, orders))
	}
	f.Add([]byte(orders))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := o.Open(bytes.NewReader(file))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		// Nobody but the bank can make a file that is taken, apart from the seeds.
		if err != nil && code(err) == "" {
			t.Errorf("%v has no code", err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	w := newWorld(b)
	for name, l := range map[string]letter{"binary": w.letter(), "armored": {to: w.letter().to, signers: w.letter().signers, armor: true},
		"zlib": {to: w.letter().to, signers: w.letter().signers, compress: 2}} {
		content := strings.Repeat(orders, 20<<20/len(orders))
		message := l.seal(b, content)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				r, err := w.opener.Open(bytes.NewReader(message))
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	w := newWorld(b)
	s := newSealer(b, SealConfig{To: []Key{public(b, w.us)}, Sign: private(b, w.bank), Now: func() time.Time { return today }})
	content := strings.Repeat(orders, 20<<20/len(orders))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		out, err := s.Wrap("a", io.Discard)
		if err == nil {
			_, err = io.WriteString(out, content)
			err = errors.Join(err, out.Close())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
