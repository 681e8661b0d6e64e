package samples_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/app"
	"cardbatch/internal/cardholder"
	"cardbatch/internal/config"
	"cardbatch/internal/intake"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
	"cardbatch/internal/validate"
	"cardbatch/samples"
)

const changes = "changes"

// asked is a row of a change file for an order of orders/good.csv.
func asked(change issuance.ChangeType, order string) *orderfile.ChangeRow {
	r := &orderfile.ChangeRow{OrderID: "sample-20261201-0000" + order, Change: string(change)}
	if change.Redirects() {
		text := cardholder.NewText
		r.DeliveryTitle, r.DeliveryFirstName, r.DeliveryLastName = text("Mme"), text("Zofia"), text("Testowa")
		r.DeliveryLine1, r.DeliveryLine2 = text("7 Rue du Specimen"), text("Bâtiment B, escalier \"2\"")
		r.DeliveryCity, r.DeliveryZipCode, r.DeliveryCountryCode, r.DeliveryPhone = text("Besançon"), text("25000"), "FR", text("+33000000007")
	}
	return r
}

func goodChanges() []*orderfile.ChangeRow {
	short := asked(issuance.Redirect, "04")
	text := cardholder.NewText
	*short = orderfile.ChangeRow{OrderID: short.OrderID, Change: short.Change, DeliveryCompanyName: text("Musterbank AG, Filiale Test"),
		DeliveryLine1: text("Musterstraße 1"), DeliveryCity: text("Musterstadt"), DeliveryZipCode: text("10115"), DeliveryCountryCode: "DE"}
	return []*orderfile.ChangeRow{asked(issuance.Cancel, "01"), asked(issuance.Accelerate, "02"), asked(issuance.Redirect, "03"), short,
		asked(issuance.AccelerateAndRedirect, "05"), asked(issuance.Cancel, "03")}
}

// badChange is a row that shows a code. Those without change are spoilt as text.
type badChange struct {
	code   issuance.Code
	change issuance.ChangeType
	spoil  func(r *orderfile.ChangeRow)
	from   string // replaced in the file
	to     string
}

func badChanges() []badChange {
	text := cardholder.NewText
	return []badChange{
		{code: issuance.RequiredMissing, change: issuance.Cancel, spoil: func(r *orderfile.ChangeRow) { r.OrderID = "" }},
		{code: issuance.FormatInvalid, change: issuance.Cancel, spoil: func(r *orderfile.ChangeRow) { r.OrderID = "order 3" }},
		{code: issuance.ValueNotAllowed, change: "STOP"},
		{code: issuance.ValueNotAllowed, change: issuance.Cancel, spoil: func(r *orderfile.ChangeRow) { r.DeliveryCity = text("Besançon") }},
		{code: issuance.LooksLikePAN, change: issuance.Cancel, spoil: func(r *orderfile.ChangeRow) { r.OrderID = cardholder.WithCheckDigit("411111002000001") }},
		{code: issuance.AddressIncomplete, change: issuance.Redirect, spoil: func(r *orderfile.ChangeRow) { r.DeliveryLine1 = text("") }},
		{code: issuance.AddressIncomplete, change: issuance.AccelerateAndRedirect, spoil: func(r *orderfile.ChangeRow) {
			r.DeliveryFirstName, r.DeliveryLastName = text(""), text("")
		}},
		{code: issuance.PostalCodeInvalid, change: issuance.Redirect, spoil: func(r *orderfile.ChangeRow) { r.DeliveryZipCode = text("1000") }},
		{code: issuance.CountryNotAllowed, change: issuance.Redirect, spoil: func(r *orderfile.ChangeRow) {
			r.DeliveryCountryCode, r.DeliveryZipCode = "CH", text("3000")
		}},
		{code: issuance.FieldCount, change: issuance.Cancel, from: "-000010,CANCEL,", to: "-000010,CANCEL"},
		{code: issuance.BadQuote, change: issuance.Cancel, from: "-000011,CANCEL", to: "-000011,\"CANCEL"},
		{code: issuance.ChangeRepeated, change: issuance.Cancel, spoil: func(r *orderfile.ChangeRow) { r.OrderID = "sample-20261201-000000" }},
	}
}

// changeFile encodes rows and their control file.
func changeFile(t *testing.T, name string, sequence int64, rows []*orderfile.ChangeRow, spoilt ...badChange) map[string][]byte {
	t.Helper()
	layout, err := orderfile.NewLayout(orderfile.Format{Content: orderfile.Changes})
	must(t, err)
	var b bytes.Buffer
	e, err := orderfile.NewLayoutEncoder(&b, layout)
	must(t, err)
	for _, r := range rows {
		must(t, e.EncodeChange(r))
	}
	must(t, e.Flush())
	content := b.Bytes()
	for _, s := range spoilt {
		if s.from != "" && !bytes.Contains(content, []byte(s.from)) {
			t.Fatalf("nothing to spoil for %s", s.code)
		}
		content = bytes.Replace(content, []byte(s.from), []byte(s.to), 1)
	}
	sum := sha256.Sum256(content)
	ctl, err := orderfile.EncodeControl(issuance.Control{File: name, Rows: int64(len(rows)), SHA256: hex.EncodeToString(sum[:]), IssuerID: issuer,
		Environment: "TEST", Sequence: sequence, BusinessDate: "2026-12-01", CreatedAt: day().Format(time.RFC3339)})
	must(t, err)
	return map[string][]byte{name: content, name + ".ctl": ctl}
}

// badRowsOfChanges is a good row, a bad one for each way to be bad, and a good one.
func badRowsOfChanges(t *testing.T) (files map[string][]byte, codes []string) {
	t.Helper()
	rows, codes := []*orderfile.ChangeRow{asked(issuance.Cancel, "00")}, []string{""}
	bad := badChanges()
	for i, s := range bad {
		r := asked(s.change, []string{"01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12"}[i])
		if s.spoil != nil {
			s.spoil(r)
		}
		rows, codes = append(rows, r), append(codes, string(s.code))
	}
	return changeFile(t, "bad-rows.csv", 2, append(rows, asked(issuance.Redirect, "20")), bad...), append(codes, "")
}

func TestChangeSamples(t *testing.T) {
	want := changeFile(t, "good.csv", 1, goodChanges())
	bad, codes := badRowsOfChanges(t)
	for name, content := range bad {
		want[name] = content
	}
	for name, content := range want {
		path := filepath.Join(changes, name)
		if *update {
			must(t, os.WriteFile(path, content, 0o644))
		}
		got, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal(got, content) {
			t.Errorf("%s is not what the test makes; rewrite it with go test ./samples -update", name)
		}
	}
	readme, err := os.ReadFile(filepath.Join(changes, "README.md"))
	must(t, err)
	for _, code := range codes {
		if !strings.Contains(string(readme), code) {
			t.Errorf("README.md does not mention %s", code)
		}
	}
	d := newDesk(t)
	d.takeChanges(t)
	if got := d.dropChanges(t, "good.csv"); got.State != issuance.BatchAccepted {
		t.Fatalf("good.csv is %s: %s %s", got.State, got.Code, got.Reason)
	}
	b := d.dropChanges(t, "bad-rows.csv")
	if b.State != issuance.BatchAccepted {
		t.Fatalf("bad-rows.csv is %s: %s %s", b.State, b.Code, b.Reason)
	}
	var got []string
	for c, err := range d.store.ChangesOfBatch(t.Context(), b.No) {
		must(t, err)
		got = append(got, string(c.Code))
	}
	if diff := cmp.Diff(codes, got); diff != "" {
		t.Error(diff)
	}
	must(t, d.store.Balance(t.Context()))
}

// takeChanges makes the source one of change files.
func (d *desk) takeChanges(t *testing.T) {
	t.Helper()
	src, rules := &d.cfg.Sources[0], products(t)
	layout, err := orderfile.NewLayout(orderfile.Format{Content: orderfile.Changes})
	must(t, err)
	src.Layout, src.MaxRejects = layout, 1
	src.Changes = &intake.Changes{Encoder: plain{}, Rules: func(now time.Time) intake.ChangeChecker {
		return validate.NewChanges(validate.Rules{Products: rules, Now: now})
	}}
}

func (plain) EncodeChange(cardholder.ChangeInstruction) ([]byte, error) { return []byte("{}"), nil }

func (d *desk) dropChanges(t *testing.T, name string) issuance.Batch {
	t.Helper()
	for _, file := range []string{name, name + ".ctl"} {
		content, err := os.ReadFile(filepath.Join(changes, file))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(d.dir, "drop", file), content, 0o600))
	}
	stage, err := intake.New(d.cfg)
	must(t, err)
	_, err = stage.RunOnce(t.Context())
	must(t, err)
	all, err := d.store.Batches(t.Context(), issuance.BatchFilter{})
	must(t, err)
	return all[len(all)-1]
}

// Offline, the same comes out.
func TestChangeSamplesOffline(t *testing.T) {
	cfg, err := config.LoadFS(samples.Config, samples.ConfigPath)
	must(t, err)
	rules := app.Rules{Products: cfg.IssuanceProducts(), Now: day, Changes: true, JWEKids: []string{sample.Kid}}
	good, err := app.CheckFile(t.Context(), filepath.Join(changes, "good.csv"), rules)
	must(t, err)
	if !good.Clean() || good.Good != 6 {
		t.Errorf("%+v", good)
	}
	_, want := badRowsOfChanges(t)
	bad, err := app.CheckFile(t.Context(), filepath.Join(changes, "bad-rows.csv"), rules)
	must(t, err)
	if bad.Rejected != 11 || bad.Duplicate != 1 || bad.Good != 2 || int(bad.Rows) != len(want) {
		t.Errorf("%+v", bad)
	}
	for _, e := range bad.Errors {
		if code := want[e.Ref.Row()-1]; string(e.Code) != code && code != string(issuance.AddressIncomplete) {
			t.Errorf("row %d is %s, want %s", e.Ref.Row(), e.Code, code)
		}
		if strings.Contains(e.Text+e.Masked, "Testowa") || strings.Contains(e.Text+e.Masked, "Specimen") || strings.Contains(e.Masked, "4111110020000013") {
			t.Errorf("row %d: an error repeats a personal value", e.Ref.Row())
		}
	}
	orders, err := app.CheckFile(t.Context(), filepath.Join("orders", "good.csv"), rules)
	must(t, err)
	if orders.Accepted || orders.Code != issuance.HeaderInvalid {
		t.Errorf("an order file passes for one of changes: %+v", orders)
	}
}
