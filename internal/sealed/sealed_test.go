package sealed

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func testKey(fill byte) []byte { return bytes.Repeat([]byte{fill}, KeySize) }

func mustRing(tb testing.TB, current string, keys map[string][]byte) *Keyring {
	tb.Helper()
	ring, err := NewKeyring(current, keys)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

func mustSeal(tb testing.TB, ring *Keyring, plain, aad []byte) []byte {
	tb.Helper()
	box, err := ring.Seal(plain, aad)
	if err != nil {
		tb.Fatal(err)
	}
	return box
}

func TestRoundTrip(t *testing.T) {
	ring := mustRing(t, "k1", map[string][]byte{"k1": testKey(1)})
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		aad := rapid.SliceOf(rapid.Byte()).Draw(t, "aad")
		box, err := ring.Seal(plain, aad)
		if err != nil {
			t.Fatal(err)
		}
		if len(plain) >= 8 && bytes.Contains(box, plain) {
			t.Fatal("the box shows the plaintext")
		}
		got, err := ring.Open(box, aad)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %d bytes of %d, %v", len(got), len(plain), err)
		}
	})
}

func TestEveryChangedByteIsNoticed(t *testing.T) {
	ring := mustRing(t, "k1", map[string][]byte{"k1": testKey(1)})
	box := mustSeal(t, ring, []byte("payload"), []byte("bank/order-1"))
	for i := range box {
		changed := bytes.Clone(box)
		changed[i] ^= 0x01
		_, err := ring.Open(changed, []byte("bank/order-1"))
		if unknown := new(UnknownKeyError); !errors.Is(err, ErrTampered) && !errors.As(err, &unknown) {
			t.Errorf("byte %d changed: error %v", i, err)
		}
	}
	for n := range box {
		if _, err := ring.Open(box[:n], []byte("bank/order-1")); !errors.Is(err, ErrTampered) {
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
	if _, err := ring.Open(append(bytes.Clone(box), 0), []byte("bank/order-1")); !errors.Is(err, ErrTampered) {
		t.Errorf("a byte more: error %v", err)
	}
}

func TestWrongPlace(t *testing.T) {
	ring := mustRing(t, "k1", map[string][]byte{"k1": testKey(1)})
	box := mustSeal(t, ring, []byte("payload"), []byte("bank/order-1"))
	for _, aad := range []string{"", "bank/order-2", "bank/order-1 ", "k1bank/order-1"} {
		if _, err := ring.Open(box, []byte(aad)); !errors.Is(err, ErrTampered) {
			t.Errorf("additional data %q: error %v", aad, err)
		}
	}
}

// TestHeaderIsBound: with the same key under two ids, moving bytes between the
// key id and the additional data must not give a box that opens.
func TestHeaderIsBound(t *testing.T) {
	ring := mustRing(t, "k", map[string][]byte{"k": testKey(1), "kk": testKey(1)})
	box := mustSeal(t, ring, []byte("payload"), []byte("k/1"))
	forged := append(header("kk"), box[len(header("k")):]...)
	for _, aad := range []string{"k/1", "/1"} {
		if _, err := ring.Open(forged, []byte(aad)); !errors.Is(err, ErrTampered) {
			t.Errorf("error %v", err)
		}
	}
}

func TestRotation(t *testing.T) {
	before := mustRing(t, "2025", map[string][]byte{"2025": testKey(1)})
	during := mustRing(t, "2026", map[string][]byte{"2025": testKey(1), "2026": testKey(2)})
	after := mustRing(t, "2026", map[string][]byte{"2026": testKey(2)})
	old := mustSeal(t, before, []byte("payload"), nil)
	if got, err := during.Open(old, nil); err != nil || string(got) != "payload" {
		t.Errorf("old box during the rotation: %q, %v", got, err)
	}
	fresh := mustSeal(t, during, []byte("payload"), nil)
	if id, err := KeyID(fresh); err != nil || id != "2026" || during.CurrentID() != "2026" {
		t.Errorf("sealed with key %q, %v", id, err)
	}
	if got, err := after.Open(fresh, nil); err != nil || string(got) != "payload" {
		t.Errorf("new box after the rotation: %q, %v", got, err)
	}
	unknown := new(UnknownKeyError)
	if _, err := after.Open(old, nil); !errors.As(err, &unknown) || unknown.KeyID != "2025" {
		t.Errorf("old box after the rotation: %v", err)
	}
	impostor := mustRing(t, "2025", map[string][]byte{"2025": testKey(9)})
	if _, err := impostor.Open(old, nil); !errors.Is(err, ErrTampered) {
		t.Errorf("another key of the same id: %v", err)
	}
}

func TestNoncesAreUnique(t *testing.T) {
	ring := mustRing(t, "k1", map[string][]byte{"k1": testKey(1)})
	const workers, each = 4, 5000
	nonces := make([][]string, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				box, err := ring.Seal(nil, nil)
				if err != nil {
					t.Error(err)
					return
				}
				nonces[w] = append(nonces[w], string(box[len(ring.header):][:12]))
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool, workers*each)
	for _, some := range nonces {
		for _, nonce := range some {
			seen[nonce] = true
		}
	}
	if len(seen) != workers*each {
		t.Errorf("%d different nonces in %d boxes", len(seen), workers*each)
	}
}

func TestNewKeyringRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		current string
		keys    map[string][]byte
		want    string
	}{
		"no current key":   {"b", map[string][]byte{"a": testKey(1)}, `"b"`},
		"nothing":          {"", nil, "not configured"},
		"short key":        {"a", map[string][]byte{"a": testKey(1)[:31]}, "31 bytes"},
		"long key":         {"a", map[string][]byte{"a": append(testKey(1), 1)}, "33 bytes"},
		"id with a space":  {"a b", map[string][]byte{"a b": testKey(1)}, "id"},
		"id of 33 letters": {"a", map[string][]byte{"a": testKey(1), strings.Repeat("x", 33): testKey(2)}, "id"},
	} {
		if _, err := NewKeyring(c.current, c.keys); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestKeyringCannotBePrinted(t *testing.T) {
	key := []byte("0123456789-not-a-real-key-987654")
	ring := mustRing(t, "k1", map[string][]byte{"k1": key})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{ring, struct{ ring *Keyring }{ring}, struct{ Ring *Keyring }{ring}} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, "not-a-real") || strings.Contains(got, hex.EncodeToString(key[:8])) || strings.Contains(got, "48, 49, 50") {
				t.Errorf("%s of %T shows the key", verb, v)
			}
		}
	}
}

func TestLoadKey(t *testing.T) {
	key := append([]byte{0xfb, 0xff, 0xfe}, testKey(7)[3:]...) // has - and _ in the URL alphabet
	for name, content := range map[string]string{
		"hex":             hex.EncodeToString(key),
		"hex, upper case": strings.ToUpper(hex.EncodeToString(key)),
		"hex, line end":   hex.EncodeToString(key) + "\r\n",
		"base64":          base64.StdEncoding.EncodeToString(key) + "\n",
		"base64, raw":     base64.RawStdEncoding.EncodeToString(key),
		"base64, URL":     base64.URLEncoding.EncodeToString(key),
		"base64, raw URL": base64.RawURLEncoding.EncodeToString(key),
	} {
		got, err := LoadKey(write(t, content))
		if err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, content := range map[string]string{
		"empty":          "",
		"short":          hex.EncodeToString(key[:31]),
		"long":           hex.EncodeToString(append(bytes.Clone(key), 1)),
		"not hex":        strings.Repeat("x", 64),
		"not base64":     strings.Repeat("*", 43),
		"raw bytes":      string(key),
		"base64 of 33":   base64.StdEncoding.EncodeToString(append(bytes.Clone(key), 1)),
		"two keys":       hex.EncodeToString(key) + "\n" + hex.EncodeToString(key),
		"loose base64":   base64.RawStdEncoding.EncodeToString(testKey(0))[:42] + "B",
		"named in clear": "key=" + hex.EncodeToString(key),
	} {
		got, err := LoadKey(write(t, content))
		if err == nil {
			t.Errorf("%s: accepted as %d bytes", name, len(got))
			continue
		}
		if content != "" && strings.Contains(err.Error(), content[:8]) {
			t.Errorf("%s: the error repeats the content", name)
		}
	}
	if _, err := LoadKey(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func FuzzOpen(f *testing.F) {
	ring := mustRing(f, "k1", map[string][]byte{"k1": testKey(1)})
	f.Add(mustSeal(f, ring, []byte("payload"), []byte("a")))
	f.Add([]byte{form, 255})
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, box []byte) {
		_, err := ring.Open(box, []byte("b"))
		if unknown := new(UnknownKeyError); !errors.Is(err, ErrTampered) && !errors.As(err, &unknown) {
			t.Errorf("opened something not sealed: %v", err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	ring := mustRing(b, "k1", map[string][]byte{"k1": testKey(1)})
	plain, aad := make([]byte, 1024), []byte("bank/order-1")
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if _, err := ring.Seal(plain, aad); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	ring := mustRing(b, "k1", map[string][]byte{"k1": testKey(1)})
	aad := []byte("bank/order-1")
	box := mustSeal(b, ring, make([]byte, 1024), aad)
	b.SetBytes(1024)
	for b.Loop() {
		if _, err := ring.Open(box, aad); err != nil {
			b.Fatal(err)
		}
	}
}
