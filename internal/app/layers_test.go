package app_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/cardholder"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/pgp"
	"cardbatch/internal/pgp/pgptest"
)

// german is a source as a German core banking system fills it.
const german = "drop: bank,\n" + `  pgp: {decrypt_key_files: [us.asc], verify_key_files: [bank.asc]},
  format: {
    compression: gzip, charset: windows-1252, delimiter: ";",
    columns: {order_id: Auftrag, card_id: Karte, consumer_id: Kunde, card_product_id: Produkt, issuance: Art,
      pan: Kartennummer, expiry: Verfall, cardholder_name: Prägename, delivery_last_name: Name,
      delivery_line1: Straße, delivery_zip_code: PLZ, delivery_city: Ort},
    constants: {delivery: laposte-cip, delivery_country_code: DE},
    values: {issuance: {N: CREATION, V: RENEWAL}},
  }}]`

// germanFile is such a file of n orders, in Windows-1252.
func germanFile(n int) []byte {
	var b strings.Builder
	b.WriteString("Karte;Auftrag;Kunde;Produkt;Art;Kartennummer;Verfall;Prägename;Name;Straße;PLZ;Ort\r\n")
	for i := range n {
		pan := cardholder.NewPAN(cardholder.WithCheckDigit(fmt.Sprintf("411111003%06d", i)))
		fmt.Fprintf(&b, "karte-%06d;auftrag-%06d;kunde-%06d;VISA_DEBIT_STD;N;%s;3006;JÜRGEN TESTMANN;Testmann;Musterstraße %d;50667;Köln\r\n",
			i, i, i, pan.Reveal(), i)
	}
	var out []byte
	for _, r := range b.String() { // of Latin-1, which Windows-1252 has in the same places
		out = append(out, byte(r))
	}
	return out
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(content)
	must(t, errors.Join(err, z.Close()))
	return b.Bytes()
}

// german gives the world the source german, and names in German letters.
func (w *world) german(t *testing.T) post {
	t.Helper()
	p := w.exchangeKeys(t, german)
	w.cfg.Products[0].Transliterate = true
	return p
}

// seals are ways to make a message, by the code they lead to. That of all but
// the first is only known when the message was read to its end.
func (p post) seals(t *testing.T) map[issuance.Code]func([]byte) ([]byte, error) {
	t.Helper()
	stranger, err := pgptest.NewPair("stranger", time.Now().AddDate(0, -1, 0), 0)
	must(t, err)
	now := time.Now()
	return map[issuance.Code]func([]byte) ([]byte, error){
		"":                           func(b []byte) ([]byte, error) { return pgptest.Seal(b, p.us.Public, p.bank.Private, now) },
		issuance.PGPSignatureInvalid: func(b []byte) ([]byte, error) { return pgptest.Forge(b, p.us, p.bank, now) },
		issuance.PGPSignatureMissing: func(b []byte) ([]byte, error) { return pgptest.Seal(b, p.us.Public, pgp.Key{}, now) },
		issuance.PGPSignerUntrusted:  func(b []byte) ([]byte, error) { return pgptest.Seal(b, p.us.Public, stranger.Private, now) },
		issuance.PGPDamaged: func(b []byte) ([]byte, error) { // the integrity code
			m, err := pgptest.Seal(b, p.us.Public, p.bank.Private, now)
			if err == nil {
				m[len(m)-1] ^= 1
			}
			return m, err
		},
	}
}

// TestEveryLayerOfASource: rows in the bank's own format, in gzip, in PGP are
// taken; whatever is wrong with the outermost layer, be it at its very end,
// refuses the file with all of its rows, by the daemon and offline.
func TestEveryLayerOfASource(t *testing.T) {
	w := newWorld(t)
	p := w.german(t)
	a, stop := w.start(t)
	const rows = 40
	seals := p.seals(t)
	codes := slices.Sorted(maps.Keys(seals))
	for i, code := range codes {
		// Taken by name, the good one last: nothing of the others may be in its way.
		name := cmp.Or(string(code), "gut") + ".csv.gz.pgp"
		message, err := seals[code](zipped(t, germanFile(rows)))
		must(t, err)
		sum := sha256.Sum256(message)
		control, err := orderfile.EncodeControl(issuance.Control{File: name, Rows: rows, SHA256: hex.EncodeToString(sum[:]),
			IssuerID: issuerID, Environment: "TEST", Sequence: int64(i + 1), BusinessDate: "2026-12-01", CreatedAt: "2026-12-01T21:30:00Z"})
		must(t, err)
		w.write(t, "drop/drop/"+name, string(message))
		w.write(t, "drop/drop/"+name+".ctl", string(control))
		rules, err := app.RulesOf(w.cfg, "core", time.Now)
		must(t, err)
		v, err := app.CheckFile(t.Context(), filepath.Join(w.dir, "drop/drop", name), rules)
		must(t, err)
		if v.Code != code || v.Accepted != (code == "") || code == "" && v.Good != rows {
			t.Errorf("%s offline: %s %s, %d good: %v", name, v.Code, v.Reason, v.Good, v.Errors)
		}
	}
	if _, err := a.RunJob(t.Context(), "pickup", ""); exitcode.Of(err) != exitcode.Rejected {
		t.Errorf("pickup: %v\n%s", err, w.log)
	}
	stop()
	w.checkLayers(t, codes, rows)
	w.holdsNothingClear(t, "411111003", "TESTMANN", "Testmann", "Musterstra")
}

func (w *world) checkLayers(t *testing.T, want []issuance.Code, rows int64) {
	t.Helper()
	s, err := app.OpenStore(t.Context(), w.cfg, true, nil)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	must(t, s.Balance(t.Context()))
	batches, err := s.Batches(t.Context(), issuance.BatchFilter{})
	must(t, err)
	var got []issuance.Code
	for _, b := range batches {
		got = append(got, b.Code)
		state, ready := issuance.BatchRefused, int64(0)
		if b.Code == "" {
			state, ready = issuance.BatchAccepted, rows
		}
		totals, err := s.BatchTotals(t.Context(), b.No)
		must(t, err)
		if b.State != state || totals.State(issuance.Ready) != ready {
			t.Errorf("%s is %s %s with %d orders ready, want %s with %d", b.FileName, b.State, b.Code, totals.State(issuance.Ready), state, ready)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("files were decided with %q, want %q", got, want)
	}
}

// TestSignatureIsReadBehindTheGzip: gzip knows its own end, and there it must
// not stop, wherever that is within the buffers of whoever reads. Each length
// here would let some reader stop at the gzip's last byte, content with it.
func TestSignatureIsReadBehindTheGzip(t *testing.T) {
	w := newWorld(t)
	p := w.german(t)
	rules, err := app.RulesOf(w.cfg, "core", time.Now)
	must(t, err)
	noise := rand.New(rand.NewPCG(1, 2))
	seals := p.seals(t)
	for _, buffer := range []int{4 << 10, 32 << 10, 64 << 10, 128 << 10} {
		for _, off := range []int{-1, 0, 1} {
			content := zippedTo(t, noise, buffer+off)
			for code, seal := range seals {
				message, err := seal(content)
				must(t, err)
				clear, err := rules.Unwrap(bytes.NewReader(message))
				if err == nil {
					_, err = io.Copy(io.Discard, clear)
				}
				var file *issuance.FileError
				if errors.As(err, &file); (code == "") != (err == nil) || err != nil && (file == nil || file.Code != code) {
					t.Errorf("%d bytes of gzip: want %q, got %v", len(content), code, err)
				}
			}
		}
	}
}

// zippedTo makes a gzip file of exactly that many bytes: noise is stored as it is.
func zippedTo(t *testing.T, noise *rand.Rand, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(noise.Uint32())
	}
	for n := size - 18; n > 0; n-- { // 18: its head and its end
		if z := zipped(t, content[:n]); len(z) == size {
			return z
		} else if len(z) < size {
			break
		}
	}
	t.Fatalf("no content comes to %d bytes", size)
	return nil
}
