package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/drop"
	"cardbatch/internal/issuance"
	"cardbatch/internal/pgp"
	"cardbatch/internal/pgp/pgptest"
)

// post is the bank's key, ours, and what both do with them.
type post struct {
	bank, us *pgptest.Pair
	sealer   *pgp.Sealer
}

func newPost(t *testing.T) *post {
	t.Helper()
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	bank, err1 := pgptest.NewPair("bank", made, 0)
	us, err2 := pgptest.NewPair("us", made, 0)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return &post{bank, us, seal(t, pgp.SealConfig{To: []pgp.Key{bank.Public}, Sign: us.Private})}
}

func seal(t *testing.T, cfg pgp.SealConfig) *pgp.Sealer {
	t.Helper()
	cfg.Secret = bytes.Repeat([]byte{3}, 32)
	cfg.Now = func() time.Time { return time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) }
	s, err := pgp.NewSealer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read is what the bank makes of a file.
func (p *post) read(t *testing.T, file string) string {
	t.Helper()
	o, err := pgp.NewOpener(pgp.OpenConfig{Decrypt: []pgp.Key{p.bank.Private}, Verify: []pgp.Key{p.us.Public}, SignatureRequired: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.Open(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// encrypt has all reports of the night encrypted.
func (n *night) encrypt(p *post) {
	n.post = p
	for i := range n.cfg.Sources {
		n.cfg.Sources[i].Reports.Envelope = p.sealer
		n.cfg.Sources[i].Quarantine.Envelope = p.sealer
	}
	for i := range n.cfg.Issuers {
		n.cfg.Issuers[i].Reports.Envelope = p.sealer
	}
}

// opened returns all files as the bank sees them, envelopes opened. What differs
// by nature between two encryptions, it checks against the files and leaves out.
func (n *night) opened() map[string]string {
	n.t.Helper()
	all := n.contents()
	if n.post == nil {
		return all
	}
	for name, content := range all {
		switch {
		case strings.HasSuffix(name, ".csv.pgp"):
			all[name] = n.post.read(n.t, content)
		case strings.HasSuffix(name, ".csv.pgp.ctl"):
			c, sum := n.control(strings.TrimSuffix(name, ".ctl")), sha256.Sum256([]byte(n.read(strings.TrimSuffix(name, ".ctl"))))
			if c.SHA256 != hex.EncodeToString(sum[:]) || !strings.HasSuffix(c.File, ".csv.pgp") {
				n.t.Errorf("%s: %+v is not about the file beside it", name, c)
			}
			c.SHA256, c.Size = "", 0
			encoded, err := c.encode()
			if err != nil {
				n.t.Fatal(err)
			}
			all[name] = string(encoded)
		default:
			n.t.Errorf("%s is not encrypted", name)
		}
	}
	return all
}

// The envelope changes the names and nothing that is inside.
func TestEncryptedReports(t *testing.T) {
	t.Parallel()
	clear, encrypted := busyNight(t), busyNight(t)
	encrypted.encrypt(newPost(t))
	clear.run()
	encrypted.run()
	inside := encrypted.opened()
	for name, content := range clear.contents() {
		if strings.HasSuffix(name, ".csv") && inside[name+".pgp"] != content {
			t.Errorf("%s: %.200q", name, inside[name+".pgp"])
		}
	}
	if len(inside) != 12 {
		t.Errorf("files: %v", encrypted.files("reports"))
	}
	for name, content := range encrypted.contents() {
		if strings.HasSuffix(name, ".pgp") && strings.Contains(content, "ORD-1") {
			t.Errorf("%s is in the clear", name)
		}
	}
	encrypted.checkLedger("after the run")
}

// An order file that came encrypted has reports of the same stem.
func TestReportsOnAnEncryptedFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"cards-1.csv.pgp", "CARDS-1.CSV.PGP"} {
		n := newNight(t)
		n.take(name, issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted))
		n.run(receiptKind)
		if want := name[:7] + ".receipt.csv"; n.files("reports")[0] != want {
			t.Errorf("%v, want %s", n.files("reports"), want)
		}
	}
}

// A plan outlives a change of the configuration. Its name then says what is in it.
func TestEncryptionIsSwitchedWhileAReportIsOwed(t *testing.T) {
	t.Parallel()
	mail := newPost(t)
	for _, encryptFirst := range []bool{true, false} {
		n := busyNight(t)
		plain := n.cfg
		plain.Sources, plain.Issuers = append([]Source(nil), n.cfg.Sources...), append([]Issuer(nil), n.cfg.Issuers...)
		if encryptFirst {
			n.encrypt(mail)
		}
		n.drop.fault = func(string) error { return drop.ErrUnavailable }
		if _, err := n.stage().RunOnce(t.Context(), Options{BusinessDate: firstDay}); err == nil {
			t.Fatal("nothing failed")
		}
		n.drop.fault = func(string) error { return nil }
		if encryptFirst {
			n.cfg, n.post = plain, nil
		} else {
			n.encrypt(mail)
		}
		n.runAgain()
		for name := range n.opened() {
			if encryptFirst == strings.Contains(name, ".pgp") {
				t.Errorf("encrypted first %v: %s", encryptFirst, name)
			}
		}
		if len(n.opened()) != 12 {
			t.Errorf("encrypted first %v: files %v", encryptFirst, n.files("reports"))
		}
		n.checkLedger("after the change")
	}
}

// A file of the same name that others have encrypted is not ours.
func TestForeignEnvelopeIsLeftAlone(t *testing.T) {
	t.Parallel()
	mail := newPost(t)
	n := newNight(t)
	n.encrypt(mail)
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted))
	foreign, err := pgptest.Seal([]byte("x"), mail.bank.Public, mail.us.Private, n.now)
	if err != nil {
		t.Fatal(err)
	}
	n.write("reports/cards-1.receipt.csv.pgp", string(foreign))
	n.write("reports/cards-1.receipt.r2.csv.pgp", "not even encrypted")
	n.run(receiptKind)
	if n.read("reports/cards-1.receipt.csv.pgp") != string(foreign) {
		t.Error("a foreign file was changed")
	}
	if c := n.control("reports/cards-1.receipt.r3.csv.pgp"); c.Revision != 3 {
		t.Errorf("%+v", c)
	}
}

// A key that has expired keeps reports from leaving, and they are not lost.
func TestExpiredKeyKeepsReportsOwed(t *testing.T) {
	t.Parallel()
	mail := newPost(t)
	old, err := pgptest.NewPair("old", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 10)
	if err != nil {
		t.Fatal(err)
	}
	n := newNight(t)
	n.take("cards-1.csv", issuance.BatchAccepted, issuance.Why{}, ordered("ORD-1", issuance.Submitted))
	n.encrypt(&post{mail.bank, mail.us, seal(t, pgp.SealConfig{To: []pgp.Key{old.Public}, Sign: mail.us.Private})})
	sum, err := n.stage().RunOnce(t.Context(), Options{Kinds: []string{receiptKind}})
	if err == nil || !strings.Contains(err.Error(), "expired on 2026-01-11") || sum.Pending != 1 || len(n.files("reports")) != 0 {
		t.Fatalf("%+v, %v, files %v", sum, err, n.files("reports"))
	}
	n.encrypt(mail)
	n.run(receiptKind)
	if len(n.opened()) != 2 {
		t.Errorf("files %v", n.files("reports"))
	}
}
