package app_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/exitcode"
	"cardbatch/internal/issuance"
	"cardbatch/internal/pgp"
	"cardbatch/internal/pgp/pgptest"
)

// post is the bank's key pair and ours.
type post struct{ bank, us *pgptest.Pair }

// encrypt changes the world's configuration to one with PGP both ways.
func (w *world) encrypt(t *testing.T) post {
	t.Helper()
	return w.exchangeKeys(t, `drop: bank,
  pgp: {decrypt_key_files: [us.asc], verify_key_files: [bank.asc]},
  report_pgp: {encrypt_to_files: [bank.asc], sign_key_file: us.asc}}]`)
}

// exchangeKeys makes the keys us.asc and bank.asc, and a configuration whose
// source ends with the text given.
func (w *world) exchangeKeys(t *testing.T, source string) post {
	t.Helper()
	made := time.Now().AddDate(0, -1, 0)
	bank, err1 := pgptest.NewPair("bank", made, 60)
	us, err2 := pgptest.NewPair("us", made, 0)
	must(t, errors.Join(err1, err2))
	w.write(t, "us.asc", string(us.PrivateFile))
	w.write(t, "bank.asc", string(bank.PublicFile))
	text, err := os.ReadFile(w.cfg.Path)
	must(t, err)
	w.write(t, "cardbatch.yaml", strings.Replace(string(text), "drop: bank}]", source, 1))
	w.cfg, err = config.Load(filepath.Join(w.dir, "cardbatch.yaml"))
	must(t, err)
	return post{bank, us}
}

// send drops a sample as the bank would send it, encrypted and signed.
func (w *world) send(t *testing.T, p post, dir, sample, name string) {
	t.Helper()
	content, err := os.ReadFile("../../samples/orders/" + sample)
	must(t, err)
	message, err := pgptest.Seal(content, p.us.Public, p.bank.Private, time.Now())
	must(t, err)
	control, err := os.ReadFile("../../samples/orders/" + sample + ".ctl")
	must(t, err)
	var c map[string]any
	must(t, json.Unmarshal(control, &c))
	sum := sha256.Sum256(message)
	c["file"], c["sha256"] = name, hex.EncodeToString(sum[:])
	control, err = json.Marshal(c)
	must(t, err)
	w.write(t, dir+"/"+name, string(message))
	w.write(t, dir+"/"+name+".ctl", string(control))
}

func TestEncryptedNight(t *testing.T) {
	w := newWorld(t)
	p := w.encrypt(t)
	w.send(t, p, "drop/drop", "good.csv", "good.csv.pgp")
	stranger, err := pgptest.NewPair("stranger", time.Now().AddDate(0, -1, 0), 0)
	must(t, err)
	w.send(t, post{stranger, p.us}, "drop/drop", "bad-rows.csv", "strange.csv.pgp")
	w.write(t, "drop/drop/clear.csv", "in the clear, and not of the pattern")
	a, stop := w.start(t)
	if _, err := a.RunJob(t.Context(), "pickup", ""); exitcode.Of(err) != exitcode.Rejected { // two rows of the sample, here
		t.Fatalf("pickup: %v\n%s", err, w.log)
	}
	for _, job := range []string{"submit", "report", "status"} {
		if _, err := a.RunJob(t.Context(), job, "2026-12-01"); err != nil {
			t.Fatalf("%s: %v\n%s", job, err, w.log)
		}
	}
	stop()
	w.balances2(t)
	w.holdsNothingClear(t)

	reports := w.files(t, "drop/reports")
	for _, want := range []string{"good.receipt.csv.pgp", "status-DEMO_BANK1-2026-12-01-1.csv.pgp"} {
		if !slices.Contains(reports, want) || !slices.Contains(reports, want+".ctl") {
			t.Fatalf("%s is not complete among %q", want, reports)
		}
	}
	var control struct{ Verdict, Code string }
	text, err := os.ReadFile(filepath.Join(w.dir, "drop/quarantine/strange.receipt.csv.pgp.ctl"))
	must(t, err)
	must(t, json.Unmarshal(text, &control))
	if control.Verdict != "refused" || control.Code != string(issuance.PGPSignerUntrusted) {
		t.Errorf("the stranger's file: %+v", control)
	}
	if orders := w.sim.Summary().OrdersAccepted; orders != 18 {
		t.Errorf("D1 has %d orders, want those of the bank's file only", orders)
	}
	opener, err := pgp.NewOpener(pgp.OpenConfig{Decrypt: []pgp.Key{p.bank.Private}, Verify: []pgp.Key{p.us.Public}, SignatureRequired: true})
	must(t, err)
	for _, name := range reports {
		if !strings.HasSuffix(name, ".pgp") {
			continue
		}
		f, err := os.Open(filepath.Join(w.dir, "drop/reports", name))
		must(t, err)
		content, err := opener.Open(f)
		must(t, err)
		text, err := io.ReadAll(content)
		if must(t, errors.Join(err, f.Close())); !strings.Contains(string(text), ",") {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// balances2 is balances for a night in which nothing was waited for.
func (w *world) balances2(t *testing.T) {
	t.Helper()
	s, err := app.OpenStore(t.Context(), w.cfg, true, nil)
	must(t, err)
	must(t, errors.Join(s.Balance(t.Context()), s.Close()))
}

func TestValidateEncryptedFiles(t *testing.T) {
	w := newWorld(t)
	p := w.encrypt(t)
	must(t, os.Mkdir(filepath.Join(w.dir, "mine"), 0o700))
	w.send(t, p, "mine", "good.csv", "good.csv.pgp")
	good := filepath.Join(w.dir, "mine", "good.csv.pgp")
	rules, err := app.RulesOf(w.cfg, "core", time.Now)
	must(t, err)
	v, err := app.CheckFile(t.Context(), good, rules)
	if must(t, err); !v.Accepted || v.Rows != 20 || v.Good != 18 || !v.Control {
		t.Errorf("%+v", v)
	}
	message, err := os.ReadFile(good)
	must(t, err)
	for want, content := range map[issuance.Code]string{
		issuance.PGPDamaged: string(message[:len(message)-1]), issuance.PGPNotEncrypted: "order_id\n",
	} {
		w.write(t, "mine/bad.csv.pgp", content)
		v, err := app.CheckFile(t.Context(), filepath.Join(w.dir, "mine", "bad.csv.pgp"), rules)
		if must(t, err); v.Accepted || v.Code != want {
			t.Errorf("want %s: %+v", want, v)
		}
	}
	rules, err = app.RulesOf(w.cfg, "", time.Now)
	must(t, err)
	if _, err := app.CheckFile(t.Context(), good, rules); exitcode.Of(err) != exitcode.Usage {
		t.Errorf("without a source: %v", err)
	}
}

func TestPGPKeys(t *testing.T) {
	w := newWorld(t)
	p := w.encrypt(t)
	keys, err := app.PGPKeys(w.cfg, time.Now())
	must(t, err)
	var uses []string
	for _, k := range keys {
		uses = append(uses, k.Of+" "+k.Use)
		if k.Problem != "" || len(k.ID) != 16 {
			t.Errorf("%+v", k)
		}
	}
	want := []string{"source core decrypt", "source core verify", "source core encrypt reports", "source core sign reports",
		"issuer DEMO_BANK1 encrypt reports", "issuer DEMO_BANK1 sign reports"}
	if !slices.Equal(uses, want) {
		t.Errorf("%q", uses)
	}
	_, err = app.PGPKeys(w.cfg, time.Now().AddDate(1, 0, 0))
	for _, text := range []string{"source core: none of its keys to verify files", "source core: key " + p.bank.Public.CheckVerify(time.Now()).ID + " to encrypt reports: it expired on"} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %q", err, text)
		}
	}
	w.write(t, "us.asc", string(p.us.PublicFile))
	if err := app.CheckFiles(w.cfg); exitcode.Of(err) != exitcode.Config || !strings.Contains(err.Error(), "public half") {
		t.Errorf("%v", err)
	}
	if _, err := app.RulesOf(w.cfg, "core", time.Now); exitcode.Of(err) != exitcode.Config {
		t.Errorf("%v", err)
	}
}
