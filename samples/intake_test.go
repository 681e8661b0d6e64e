package samples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"cardbatch/internal/app"
	"cardbatch/internal/cardholder"
	"cardbatch/internal/config"
	"cardbatch/internal/drop/localdir"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/store"
	"cardbatch/internal/validate"
	"cardbatch/samples"
)

// What the source of the mistakes has agreed; orders/README.md says the same.
const (
	issuer     = "DEMO_BANK1"
	maxRows    = 50
	maxRejects = 0.5
)

// plain neither encrypts nor seals: nothing is sent from here.
type plain struct{}

func (plain) Encode(cardholder.Instruction) ([]byte, error) { return []byte("{}"), nil }
func (plain) Seal(b, _ []byte) ([]byte, error)              { return b, nil }

// desk is a drop, a store and the real stage between them.
type desk struct {
	dir   string
	store *store.Store
	cfg   intake.Config
}

func products(t *testing.T) map[string]issuance.Product {
	t.Helper()
	cfg, err := config.LoadFS(samples.Config, samples.ConfigPath)
	must(t, err)
	return cfg.IssuanceProducts()
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{dir: t.TempDir()}
	for _, dir := range []string{"drop", "archive", "quarantine"} {
		must(t, os.Mkdir(filepath.Join(d.dir, dir), 0o700))
	}
	local, err := localdir.New(d.dir)
	must(t, err)
	t.Cleanup(func() { must(t, local.Close()) })
	storeConfig := store.Config{Path: filepath.Join(t.TempDir(), "cardbatch.db"), Now: day}
	_, err = store.Migrate(t.Context(), storeConfig)
	must(t, err)
	d.store, err = store.Open(t.Context(), storeConfig)
	must(t, err)
	t.Cleanup(func() { must(t, d.store.Close()) })
	session, err := d.store.StartSession(t.Context(), "test")
	must(t, err)
	rules := products(t)
	d.cfg = intake.Config{
		Store: d.store, Session: session, Sealer: plain{}, Fingerprint: cardholder.NewFingerprinter(make([]byte, 32)),
		Workers: 1, Now: day, Logger: zerolog.Nop(),
		Sources: []intake.Source{{
			Name: "core", IssuerID: issuer, Environment: "TEST", Location: time.UTC,
			Drop: local, Directory: "drop", Archive: "archive", Quarantine: "quarantine", Pattern: "*.csv",
			Completion: intake.Completion{Control: true}, Accept: intake.AcceptRows, MaxRejects: maxRejects,
			Sequence: intake.SequenceStrict, BusinessDates: &intake.DateRange{Back: 30, Ahead: 7},
			MaxBytes: 1 << 20, MaxRows: maxRows, Encoder: plain{},
			Rules: func(now time.Time) intake.Checker {
				return validate.New(validate.Rules{Products: rules, Now: now, JWEKids: []string{sample.Kid}})
			},
		}},
	}
	return d
}

// agree changes the source to one of the kind that a code is about.
func (d *desk) agree(t *testing.T, code issuance.Code) {
	t.Helper()
	if aboutPGP(code) {
		d.cfg.Sources[0].Pattern = "*.csv" + encrypted
		d.cfg.Sources[0].Unwrap = opener(t).Open
	}
}

// aboutPGP reports whether only a source of encrypted files can show a code.
func aboutPGP(code issuance.Code) bool {
	_, ok := badMessages(post{})[code]
	return ok
}

// one returns the path of the sample of a code, if it is one file.
func one(code issuance.Code) (path string, ok bool) {
	path = filepath.Join(mistakes, string(code)+".csv")
	if aboutPGP(code) {
		path += encrypted
	}
	_, err := os.Stat(path)
	return path, err == nil
}

// take drops the sample at path with its control file, if it has one, and lets
// intake take it.
func (d *desk) take(t *testing.T, path string) issuance.Batch {
	t.Helper()
	d.cfg.Sources[0].Completion = intake.Completion{}
	for _, name := range []string{path, path + ".ctl"} {
		content, err := os.ReadFile(name)
		if err != nil && name != path {
			continue
		}
		must(t, err)
		must(t, os.WriteFile(filepath.Join(d.dir, "drop", filepath.Base(name)), content, 0o600))
		if name != path {
			d.cfg.Sources[0].Completion = intake.Completion{Control: true}
		}
	}
	stage, err := intake.New(d.cfg)
	must(t, err)
	_, err = stage.RunOnce(t.Context())
	must(t, err)
	all, err := d.store.Batches(t.Context(), issuance.BatchFilter{})
	must(t, err)
	must(t, d.store.Balance(t.Context()))
	return all[len(all)-1]
}

// TestEveryMistakeHasItsCode drops every sample and looks for exactly the code
// it is named after.
func TestEveryMistakeHasItsCode(t *testing.T) {
	t.Parallel()
	for code, lvl := range codes(t) {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.agree(t, code)
			path, ok := one(code)
			if !ok {
				first, second := only(t, code, 1), only(t, code, 2)
				if b := d.take(t, first); b.State != issuance.BatchAccepted || b.Code != "" {
					t.Fatalf("%s is %s %s", first, b.State, b.Code)
				}
				path = second
			}
			check(t, d, d.take(t, path), code, lvl)
		})
	}
}

func only(t *testing.T, code issuance.Code, n int) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(mistakes, string(code), fmt.Sprint(n), "*.csv"))
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("%s has no file %d: %v", code, n, found)
	}
	return found[0]
}

func check(t *testing.T, d *desk, b issuance.Batch, code issuance.Code, lvl level) {
	t.Helper()
	var found []issuance.Code
	for e, err := range d.store.RowErrors(t.Context(), b.No) {
		must(t, err)
		found = append(found, e.Code)
	}
	if lvl == "file" {
		want := issuance.BatchRefused
		if code == issuance.SequenceGap {
			want = issuance.BatchHeld
		}
		if b.State != want || b.Code != code || b.Reason == "" {
			t.Errorf("the file is %s %s (%s), want %s %s", b.State, b.Code, b.Reason, want, code)
		}
		if code != issuance.TooManyRejects && code != issuance.HeaderInvalid && code != issuance.Truncated && len(found) > 0 {
			t.Errorf("its rows are rejected, too: %v", found)
		}
		return
	}
	if b.State != issuance.BatchAccepted || b.Code != "" {
		t.Errorf("the file is %s %s (%s), want accepted", b.State, b.Code, b.Reason)
	}
	if !slices.Equal(found, []issuance.Code{code}) {
		t.Errorf("the rows are rejected with %v, want one with %s", found, code)
	}
}

// TestHeaderNamesEveryMistake: each wrong, missing and repeated column.
func TestHeaderNamesEveryMistake(t *testing.T) {
	b := newDesk(t).take(t, filepath.Join(mistakes, "HEADER_INVALID.csv"))
	for _, part := range []string{"kard_id", "card_id", "consumer_id", "order_id"} {
		if !strings.Contains(b.Reason, part) {
			t.Errorf("the reason %q does not name %s", b.Reason, part)
		}
	}
}

// TestOfflineVerdictIsTheSame: what cardbatch validate says of a sample is what
// intake says.
func TestOfflineVerdictIsTheSame(t *testing.T) {
	rules := app.Rules{
		Products: products(t), JWEKids: []string{sample.Kid}, IssuerID: issuer, Environment: "TEST",
		Accept: config.AcceptRows, MaxRejects: maxRejects, MaxRows: maxRows,
		BusinessDates: &intake.DateRange{Back: 30, Ahead: 7}, Now: day,
	}
	for code, lvl := range codes(t) {
		path, ok := one(code)
		if !ok {
			continue // it needs a history, which is only known online
		}
		rules.Unwrap = nil
		if aboutPGP(code) {
			rules.Unwrap = opener(t).Open
		}
		v, err := app.CheckFile(t.Context(), path, rules)
		must(t, err)
		switch {
		case lvl == "file" && (v.Accepted || v.Code != code):
			t.Errorf("%s: accepted %v with %s", code, v.Accepted, v.Code)
		case lvl == "row" && (!v.Accepted || len(v.Errors) != 1 || v.Errors[0].Code != code):
			t.Errorf("%s: accepted %v with %s and %v", code, v.Accepted, v.Code, v.Errors)
		}
	}
}
