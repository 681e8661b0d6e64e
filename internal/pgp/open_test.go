package pgp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"

	"cardbatch/internal/issuance"
	"cardbatch/internal/secret"
)

func TestOpenWhatTheBankMakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := newEntity(t, "other", 100, 0)
	for name, change := range map[string]func(*letter){
		"binary":         func(*letter) {},
		"armored":        func(l *letter) { l.armor = true },
		"zip":            func(l *letter) { l.compress = packet.CompressionZIP },
		"zlib, armored":  func(l *letter) { l.compress, l.armor = packet.CompressionZLIB, true },
		"two recipients": func(l *letter) { l.to = append([]*openpgp.Entity{other}, l.to...) },
		"two signatures, one unknown": func(l *letter) {
			l.signers = append(l.signers, other)
		},
		"two signatures, the unknown first": func(l *letter) {
			l.signers = append([]*openpgp.Entity{other}, l.signers...)
		},
		"a clock that is five minutes ahead": func(l *letter) { l.signedAt = today.Add(5 * time.Minute) },
		"signed last week":                   func(l *letter) { l.signedAt = today.AddDate(0, 0, -7) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := w.letter()
			change(&l)
			for _, content := range []string{orders, "", strings.Repeat(orders, 10_000)} {
				message := l.seal(t, content)
				got, err := open(w.opener, message)
				if err != nil || got != content {
					t.Fatalf("%d bytes: got %d, %v", len(content), len(got), err)
				}
				if len(content) > 1000 {
					continue
				}
				r, err := w.opener.Open(iotest.OneByteReader(bytes.NewReader(message)))
				if err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(r, []byte(content)); err != nil {
					t.Fatalf("byte by byte: %v", err)
				}
			}
		})
	}
}

func TestOpenWithSeveralKeysOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	newUs, newBank := newEntity(t, "us-2", 3, 0), newEntity(t, "bank-2", 3, 0)
	o := newOpener(t, OpenConfig{Decrypt: []Key{private(t, newUs), private(t, w.us)},
		Verify: []Key{public(t, newBank), public(t, w.bank)}, SignatureRequired: true})
	for _, us := range []*openpgp.Entity{w.us, newUs} {
		for _, bank := range []*openpgp.Entity{w.bank, newBank} {
			message := letter{to: []*openpgp.Entity{us}, signers: []*openpgp.Entity{bank}}.seal(t, orders)
			if got, err := open(o, message); got != orders || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := newEntity(t, "stranger", 100, 0)
	plain := w.letter().seal(t, orders)
	for name, c := range map[string]struct {
		message []byte
		want    issuance.Code
		text    string
	}{
		"clear":                 {[]byte(orders), issuance.PGPNotEncrypted, "encrypted files only"},
		"clear with BOM":        {[]byte("\xef\xbb\xbf" + orders), issuance.PGPNotEncrypted, ""},
		"clear in UTF-16":       {[]byte("\xff\xfeo\x00r\x00"), issuance.PGPNotEncrypted, ""},
		"a public key":          {armoredBlock(t, openpgp.PublicKeyType, nil), issuance.PGPNotEncrypted, "PUBLIC KEY"},
		"empty":                 {nil, issuance.PGPDamaged, "empty"},
		"only signed":           {signedOnly(t, w.bank), issuance.PGPNotEncrypted, "not an encrypted one"},
		"to somebody else":      {letter{to: []*openpgp.Entity{stranger}, signers: []*openpgp.Entity{w.bank}}.seal(t, orders), issuance.PGPNotForUs, keyID(w.us.PrimaryKey.KeyId)},
		"to a hidden key":       {hidden(t, stranger, w.bank), issuance.PGPNotForUs, "a key that it hides"},
		"with a passphrase":     {withPassphrase(t), issuance.PGPNotForUs, "passphrase"},
		"not signed":            {letter{to: []*openpgp.Entity{w.us}}.seal(t, orders), issuance.PGPSignatureMissing, keyID(w.bank.PrimaryKey.KeyId)},
		"signed by a stranger":  {letter{to: []*openpgp.Entity{w.us}, signers: []*openpgp.Entity{stranger}}.seal(t, orders), issuance.PGPSignerUntrusted, keyID(stranger.PrimaryKey.KeyId)},
		"signed by ourselves":   {letter{to: []*openpgp.Entity{w.us}, signers: []*openpgp.Entity{w.us}}.seal(t, orders), issuance.PGPSignerUntrusted, "do not know"},
		"signed in the future":  {letter{to: []*openpgp.Entity{w.us}, signers: []*openpgp.Entity{w.bank}, signedAt: today.Add(time.Hour)}.seal(t, orders), issuance.PGPSignatureInvalid, "in the future"},
		"twice in a file":       {append(bytes.Clone(plain), plain...), issuance.PGPDamaged, ""},
		"text after it":         {append(bytes.Clone(plain), "\nORD-3"...), issuance.PGPDamaged, ""},
		"armored, text after":   {append(armoredLetter(t, w), "ORD-3,card-3\n"...), issuance.PGPDamaged, "follows"},
		"armored twice":         {append(armoredLetter(t, w), armoredLetter(t, w)...), issuance.PGPDamaged, "follows"},
		"blanks without end":    {append(armoredLetter(t, w), strings.Repeat("\n", 1000)...), issuance.PGPDamaged, "follows"},
		"armor without content": {armoredBlock(t, openpgp.MessageType, nil), issuance.PGPDamaged, ""},
		"only markers":          {bytes.Repeat([]byte("\xca\x03PGP"), maxStart), issuance.PGPDamaged, "does not come to its content"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := open(w.opener, c.message)
			wantCode(t, err, c.want, c.text)
			if strings.Contains(err.Error(), "ORD-") {
				t.Errorf("the text shows content: %q (%d bytes were read)", err, len(got))
			}
		})
	}
}

func TestSignatureOptional(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := newEntity(t, "stranger", 100, 0)
	unsigned := letter{to: []*openpgp.Entity{w.us}}.seal(t, orders)
	strange := letter{to: []*openpgp.Entity{w.us}, signers: []*openpgp.Entity{stranger}}.seal(t, orders)
	with := newOpener(t, OpenConfig{Decrypt: w.opener.Decrypt, Verify: w.opener.Verify})
	without := newOpener(t, OpenConfig{Decrypt: w.opener.Decrypt})
	for _, message := range [][]byte{unsigned, w.letter().seal(t, orders)} {
		if got, err := open(with, message); got != orders || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	_, err := open(with, strange)
	wantCode(t, err, issuance.PGPSignerUntrusted)
	for _, message := range [][]byte{unsigned, strange} {
		if got, err := open(without, message); got != orders || err != nil {
			t.Errorf("no keys to verify with: %q, %v", got, err)
		}
	}
}

func TestKeysThatExpiredOrWereRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := newEntity(t, "old", 100, 99) // expired yesterday
	soon := newEntity(t, "soon", 100, 101)
	revoked := newEntity(t, "revoked", 100, 0)
	yesterday := today.AddDate(0, 0, -2)
	both := []*openpgp.Entity{w.bank, old, soon, revoked}
	message := map[*openpgp.Entity][]byte{}
	ours := map[*openpgp.Entity][]byte{}
	for _, e := range both {
		message[e] = letter{to: []*openpgp.Entity{w.us}, signers: []*openpgp.Entity{e}, signedAt: yesterday}.seal(t, orders)
		ours[e] = sealAt(t, yesterday, e, w.bank)
	}
	if err := revoked.Revoke(packet.KeySuperseded, "", &packet.Config{Time: clock}); err != nil {
		t.Fatal(err)
	}
	var verify, decrypt []Key
	for _, e := range both {
		verify, decrypt = append(verify, public(t, e)), append(decrypt, private(t, e))
	}
	decrypt = append(decrypt, private(t, w.us))
	o := newOpener(t, OpenConfig{Decrypt: decrypt, Verify: verify, SignatureRequired: true})
	for _, e := range []*openpgp.Entity{w.bank, soon} {
		for _, m := range [][]byte{message[e], ours[e]} {
			if got, err := open(o, m); got != orders || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
	_, err := open(o, message[old])
	wantCode(t, err, issuance.PGPSignerUntrusted, "expired on 2026-02-28")
	_, err = open(o, message[revoked])
	wantCode(t, err, issuance.PGPSignerUntrusted, "revoked")
	_, err = open(o, ours[old])
	wantCode(t, err, issuance.PGPNotForUs, "our key "+keyID(old.PrimaryKey.KeyId), "expired on 2026-02-28")
	_, err = open(o, ours[revoked])
	wantCode(t, err, issuance.PGPNotForUs, "revoked")
}

// sealAt encrypts as it could be done at an earlier time.
func sealAt(t *testing.T, at time.Time, to, signer *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := openpgp.EncryptWithParams(&b, []*openpgp.Entity{to}, nil, &openpgp.EncryptParams{
		Signers: []*openpgp.Entity{signer}, Config: &packet.Config{Time: func() time.Time { return at }}})
	if err != nil {
		t.Fatal(err)
	}
	return finished(t, &b, w)
}

func finished(t *testing.T, b *bytes.Buffer, w io.WriteCloser) []byte {
	t.Helper()
	_, err := io.WriteString(w, orders)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func signedOnly(t *testing.T, by *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := openpgp.Sign(&b, []*openpgp.Entity{by}, nil, &packet.Config{Time: clock})
	if err != nil {
		t.Fatal(err)
	}
	return finished(t, &b, w)
}

func hidden(t *testing.T, to, by *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := openpgp.Encrypt(&b, nil, []*openpgp.Entity{to}, []*openpgp.Entity{by}, nil, &packet.Config{Time: clock})
	if err != nil {
		t.Fatal(err)
	}
	return finished(t, &b, w)
}

func withPassphrase(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := openpgp.SymmetricallyEncrypt(&b, []byte("test"), nil, &packet.Config{Time: clock})
	if err != nil {
		t.Fatal(err)
	}
	return finished(t, &b, w)
}

func armoredLetter(t *testing.T, w *world) []byte {
	t.Helper()
	l := w.letter()
	l.armor = true
	return append(l.seal(t, orders), '\n')
}

func armoredBlock(t *testing.T, kind string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A message that is cut anywhere never comes to a clean end.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, compress := range []packet.CompressionAlgo{packet.CompressionNone, packet.CompressionZLIB} {
		l := w.letter()
		l.compress = compress
		message := l.seal(t, strings.Repeat(orders, 5))
		for n := range message {
			_, err := open(w.opener, message[:n])
			if c := code(err); c != issuance.PGPDamaged {
				t.Fatalf("cut to %d of %d bytes: %v (%s)", n, len(message), err, c)
			}
		}
	}
}

// A bit that is changed anywhere is noticed before the end, whatever it is in:
// the heads of packets, encrypted keys, content, signature or integrity code.
func TestChangedAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	required := w.opener
	optional := newOpener(t, OpenConfig{Decrypt: w.opener.Decrypt}) // integrity alone must do
	for name, l := range map[string]letter{
		"MDC": w.letter(), "compressed": {to: []*openpgp.Entity{w.us}, signers: []*openpgp.Entity{w.bank}, compress: packet.CompressionZIP},
		"unsigned": {to: []*openpgp.Entity{w.us}},
	} {
		message := l.seal(t, strings.Repeat(orders, 5))
		for i := range message {
			for bit, o := range map[int]*Opener{i % 8: required, (i + 5) % 8: optional} {
				flip := byte(1) << bit
				changed := bytes.Clone(message)
				changed[i] ^= flip
				{
					got, err := open(o, changed)
					if err == nil && got != strings.Repeat(orders, 5) {
						t.Fatalf("%s: byte %d of %d changed by %#x: other content was taken", name, i, len(message), flip)
					}
					if err != nil && code(err) == "" {
						t.Fatalf("%s: byte %d of %d changed by %#x: %v has no code", name, i, len(message), flip, err)
					}
					// Some bits mean nothing: one of X25519's point, and a length that
					// is larger than what follows. The content is the same then.
					if head := 2 + int(message[1]) + 3; err == nil && i >= head {
						t.Fatalf("%s: byte %d of %d changed by %#x: nobody noticed", name, i, len(message), flip)
					}
				}
			}
		}
	}
}

// What the sender signed cannot be sent on to us by somebody else as if it were for us.
func TestSignatureForSomebodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := newEntity(t, "stranger", 100, 0)
	// The bank encrypts to a stranger, who encrypts the signed content to us.
	var first bytes.Buffer
	key := bytes.Repeat([]byte{7}, 32)
	in, err := openpgp.EncryptWithParams(&first, []*openpgp.Entity{stranger}, nil, &openpgp.EncryptParams{
		Signers: []*openpgp.Entity{w.bank}, SessionKey: bytes.Clone(key), Config: &packet.Config{Time: clock, DefaultCipher: packet.CipherAES256}})
	if err != nil {
		t.Fatal(err)
	}
	finished(t, &first, in)
	packets := packet.NewReader(&first)
	p, err := packets.Next()
	for ; err == nil; p, err = packets.Next() {
		if _, ok := p.(*packet.SymmetricallyEncrypted); ok {
			break
		}
	}
	var forwarded bytes.Buffer
	encryption, _ := w.us.EncryptionKey(today, nil)
	if err := packet.SerializeEncryptedKey(&forwarded, encryption.PublicKey, packet.CipherAES256, key, nil); err != nil {
		t.Fatal(err)
	}
	out, err := packet.SerializeSymmetricallyEncrypted(&forwarded, packet.CipherAES256, false, packet.CipherSuite{}, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	decrypted, err := p.(*packet.SymmetricallyEncrypted).Decrypt(packet.CipherAES256, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, decrypted); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = open(w.opener, forwarded.Bytes())
	wantCode(t, err, issuance.PGPSignatureInvalid)
}

func TestOldCiphersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	encryption, _ := w.us.EncryptionKey(today, nil)
	for name, cipher := range map[string]packet.CipherFunction{"3DES": packet.Cipher3DES, "CAST5": packet.CipherCAST5} {
		var b bytes.Buffer
		if err := packet.SerializeEncryptedKey(&b, encryption.PublicKey, cipher, bytes.Repeat([]byte{7}, cipher.KeySize()), nil); err != nil {
			t.Fatal(err)
		}
		// An integrity-protected packet with garbage: the cipher is refused or the content is, never taken.
		b.Write([]byte{0xd2, 0x2b, 0x01})
		b.Write(make([]byte, 42))
		_, err := open(w.opener, b.Bytes())
		if c := code(err); c != issuance.PGPWeak && c != issuance.PGPDamaged {
			t.Errorf("%s: %v", name, err)
		}
	}
	var b bytes.Buffer
	if err := packet.SerializeEncryptedKey(&b, encryption.PublicKey, packet.CipherAES256, make([]byte, 32), nil); err != nil {
		t.Fatal(err)
	}
	b.Write([]byte{0xc9, 40}) // tag 9: no integrity protection
	b.Write(make([]byte, 40))
	_, err := open(w.opener, b.Bytes())
	wantCode(t, err, issuance.PGPWeak, "MDC")
}

func TestMaxClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	content := strings.Repeat("0", 10<<20)
	l := w.letter()
	l.compress = packet.CompressionZLIB
	bomb := l.seal(t, content)
	for limit, want := range map[int64]issuance.Code{10<<20 - 1: issuance.TooLarge, 10 << 20: "", 1000: issuance.TooLarge} {
		o := newOpener(t, OpenConfig{Decrypt: w.opener.Decrypt, Verify: w.opener.Verify, SignatureRequired: true, MaxClear: limit})
		got, err := open(o, bomb)
		if code(err) != want || int64(len(got)) > limit {
			t.Errorf("limit %d: %d bytes, %v", limit, len(got), err)
		}
	}
}

// Reading that fails is not the message's fault, wherever it happens.
func TestReadErrorsArePassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	message := w.letter().seal(t, strings.Repeat(orders, 5000))
	lost := errors.New("connection lost")
	for n := 0; n <= len(message); n += 1 + len(message)/50 {
		r, err := w.opener.Open(io.MultiReader(bytes.NewReader(message[:n]), iotest.ErrReader(lost)))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, lost) {
			t.Fatalf("after %d of %d bytes: %v", n, len(message), err)
		}
	}
}

// The source is read to its end, so that whoever digests it sees all of it.
func TestSourceIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, message := range [][]byte{w.letter().seal(t, orders), armoredLetter(t, w)} {
		in := bytes.NewReader(message)
		r, err := w.opener.Open(iotest.OneByteReader(in))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err != nil || in.Len() != 0 {
			t.Errorf("%v, %d bytes left", err, in.Len())
		}
	}
}

func TestManyAtTheSameTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	messages := [][]byte{w.letter().seal(t, orders), letter{to: []*openpgp.Entity{w.us}}.seal(t, orders)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := open(w.opener, messages[i%2]); (err == nil) != (i%2 == 0) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.opener.Decrypt[0]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, key); got != keyID(w.us.PrimaryKey.KeyId) {
			t.Errorf("%s: %.100s", verb, got)
		}
	}
	if got := fmt.Sprint(Key{}); got != "[no key]" {
		t.Error(got)
	}
}

func TestReadKeys(t *testing.T) {
	t.Parallel()
	e := newEntity(t, "us", 100, 0)
	if err := e.EncryptPrivateKeys([]byte("correct horse"), &packet.Config{S2KConfig: &s2k.Config{S2KCount: 65536}}); err != nil {
		t.Fatal(err)
	}
	var locked, public bytes.Buffer
	if err := errors.Join(e.SerializePrivateWithoutSigning(&locked, nil), e.Serialize(&public)); err != nil {
		t.Fatal(err)
	}
	for _, file := range [][]byte{locked.Bytes(), armoredBlock(t, openpgp.PrivateKeyType, locked.Bytes())} {
		if keys, err := PrivateKeys(file, secret.New("correct horse")); err != nil || len(keys) != 1 {
			t.Errorf("%v, %v", keys, err)
		}
		_, err := PrivateKeys(file, secret.New("wrong"))
		if err == nil || !strings.Contains(err.Error(), "passphrase does not open") || strings.Contains(err.Error(), "wrong") {
			t.Errorf("wrong passphrase: %v", err)
		}
		if _, err = PrivateKeys(file, secret.Value{}); err == nil || !strings.Contains(err.Error(), "none is configured") {
			t.Errorf("no passphrase: %v", err)
		}
	}
	if _, err := PrivateKeys(public.Bytes(), secret.Value{}); err == nil || !strings.Contains(err.Error(), "public half") {
		t.Errorf("a public key for a private one: %v", err)
	}
	for _, file := range []string{"", "nothing", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"} {
		if _, err := PublicKeys([]byte(file)); err == nil {
			t.Errorf("%q was taken", file)
		}
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	k := private(t, newEntity(t, "us", 100, 200))
	for _, check := range []func(time.Time) Info{k.CheckEncrypt, k.CheckDecrypt, k.CheckSign, k.CheckVerify} {
		info := check(today)
		if info.Problem != "" || day(info.Expires) != "2026-06-09" || len(info.Fingerprint) != 40 || !strings.HasSuffix(info.Fingerprint, info.ID) {
			t.Errorf("%+v", info)
		}
		if info = check(today.AddDate(0, 0, 101)); info.Problem != "expired on 2026-06-09" {
			t.Errorf("%+v", info)
		}
		if info = check(today.AddDate(-1, 0, 0)); !strings.Contains(info.Problem, "in the future") {
			t.Errorf("%+v", info)
		}
	}
	half := public(t, newEntity(t, "us", 100, 200))
	if info := half.CheckSign(today); info.Problem != "has no private half here" {
		t.Errorf("%+v", info)
	}
}

// zeros is a file of n bytes that nobody holds in memory.
type noise struct {
	n   int64
	rng *rand.ChaCha8
}

func (z *noise) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.n))
	z.n -= int64(n)
	return z.rng.Read(p[:n])
}

// 100 MB go through in a few megabytes of memory, both ways.
func TestMemoryIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second or two")
	}
	w := newWorld(t)
	sealer, err := NewSealer(SealConfig{To: []Key{public(t, w.us)}, Sign: private(t, w.bank), Secret: make([]byte, 32), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	const size = 100 << 20
	r, pipe := io.Pipe()
	go func() {
		out, err := sealer.Wrap("large", pipe)
		if err == nil {
			_, err = io.CopyBuffer(struct{ io.Writer }{out}, &noise{size, rand.NewChaCha8([32]byte{1})}, make([]byte, 32<<10))
			err = errors.Join(err, out.Close())
		}
		pipe.CloseWithError(err)
	}()
	in, err := w.opener.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	var n int64
	for {
		read, err := io.CopyN(io.Discard, in, 10<<20)
		n += read
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n != size {
		t.Errorf("%d bytes, want %d", n, size)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}
