package sample

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/validate"
)

var update = flag.Bool("update", false, "rewrite samples/orders")

const samplesDir = "../../../samples/orders"

// samplesDay is when the samples were written. They stay valid for years.
func samplesDay() time.Time { return time.Date(2026, 12, 1, 21, 30, 0, 0, time.UTC) }

func txt(s string) cardholder.Text { return cardholder.NewText(s) }

// plain is the simplest order.
func plain(n int) *orderfile.Row {
	return &orderfile.Row{
		OrderID: fmt.Sprintf("sample-20261201-%06d", n), CardID: fmt.Sprintf("card-sample-%06d", n), ConsumerID: fmt.Sprintf("c-sample-%06d", n),
		CardProductID: ProductVisa, Issuance: issuance.Creation, Delivery: "laposte-cip",
		PAN:            cardholder.NewPAN(cardholder.WithCheckDigit(fmt.Sprintf("411111000%06d", n))),
		Expiry:         txt(fmt.Sprintf("30%02d", 6+n%7)),
		CardholderName: txt("ZOFIA TESTOWA " + letters(int64(n))), DeliveryFirstName: txt("Zofia"), DeliveryLastName: txt(fmt.Sprintf("Testowa %06d", n)),
		DeliveryLine1: txt(fmt.Sprintf("%d Rue du Specimen %06d", n, n)), DeliveryCity: txt("Besançon"), DeliveryZipCode: txt("25000"), DeliveryCountryCode: "FR",
	}
}

// goodVariants change a plain order; each is a row of good.csv.
func goodVariants() []func(r *orderfile.Row) {
	random := rand.New(rand.NewPCG(1, 2))
	jwe := func(r *orderfile.Row) {
		r.PAN, r.Expiry, r.CardholderName = cardholder.PAN{}, txt(""), txt("")
		r.EncryptedData = NoiseJWE(Kid, func() byte { return byte(random.Uint32()) })
	}
	bulk := func(r *orderfile.Row) { r.ShipmentType, r.GroupID = "BULK", "branch-042" }
	return []func(r *orderfile.Row){
		func(*orderfile.Row) {},
		func(r *orderfile.Row) {
			r.Issuance, r.CardProductID = issuance.Renewal, ProductMastercard
			r.PAN = cardholder.NewPAN(cardholder.WithCheckDigit("555555000000002"))
		},
		func(r *orderfile.Row) { r.Issuance, r.Priority = issuance.Replacement, "URGENT" },
		func(r *orderfile.Row) {
			r.Priority, r.CardCarrier, r.Packaging = "STANDARD", "std-carrier", "standard-envelope"
		},
		func(r *orderfile.Row) {
			r.PackagingInserts, r.PINMailer = "welcome-letter|terms-and-conditions-v3", "true"
		},
		func(r *orderfile.Row) { r.PackagingInserts, r.PINMailer = "welcome-letter", "false" },
		func(r *orderfile.Row) { r.Delivery = "NO_SHIPMENT" },
		bulk,
		func(r *orderfile.Row) { bulk(r); r.DispatchID = "dispatch-2026-12-01" },
		func(r *orderfile.Row) { bulk(r); r.GroupID, r.DispatchID = "branch-043", "dispatch-2026-12-01" },
		jwe,
		func(r *orderfile.Row) { jwe(r); r.Issuance, r.ShipmentType = issuance.Renewal, "INDIVIDUAL" },
		func(r *orderfile.Row) {
			r.IndividualFirstName, r.IndividualLastName = txt("Anselm"), txt("Musterfrau 000013")
			r.IndividualLine1, r.IndividualZipCode, r.IndividualCity = txt("13 Musterstraße 000013"), txt("50999"), txt("Köln")
			r.IndividualCountryCode = "DE"
		},
		func(r *orderfile.Row) {
			r.DeliveryCity, r.DeliveryZipCode, r.DeliveryCountryCode = txt("Liège"), txt("4999"), "BE"
		},
		func(r *orderfile.Row) {
			r.DeliveryFirstName, r.DeliveryLastName, r.DeliveryCompanyName = txt(""), txt(""), txt("Testowa & Fils 000015")
		},
		func(r *orderfile.Row) {
			r.Delivery, r.DeliveryState, r.DeliveryCity = "usps-imb", txt("NY"), txt("New York")
			r.DeliveryZipCode, r.DeliveryCountryCode, r.DeliveryPhone = txt("10099"), "US", txt("+12125550100")
		},
		func(r *orderfile.Row) { r.SecondName, r.EncodedName = txt("TESTOWA SARL"), txt("TESTOWA/ZOFIA") },
		func(r *orderfile.Row) {
			r.PANSequenceNumber, r.EffectiveDate = txt("01"), txt("261201")
			r.CVV1, r.CVV2, r.PVV = txt("123"), txt("456"), txt("7890")
		},
		func(r *orderfile.Row) {
			r.CardImage, r.MemberID, r.DesignLines = "img-000019", txt("MEMBER-000019"), txt("Credit|Depuis 2026")
			r.CarrierLanguage, r.CarrierLines = "fr", txt("Bienvenue chez nous|À bientôt")
		},
		func(r *orderfile.Row) {
			r.DeliveryTitle, r.DeliveryLine2 = txt("Mme"), txt(`Résidence "Les Tilleuls", bât. B`)
			r.DeliveryLine3 = txt("=2+3, an address that is no formula")
		},
	}
}

// badVariants change a plain order so that it has one fault each.
func badVariants() []struct {
	code   issuance.Code
	damage func(r *orderfile.Row)
} {
	type bad = struct {
		code   issuance.Code
		damage func(r *orderfile.Row)
	}
	return []bad{
		{issuance.RequiredMissing, func(r *orderfile.Row) { r.Delivery = "" }},
		{issuance.FormatInvalid, func(r *orderfile.Row) { r.CardID = "card sample" }},
		{issuance.ValueNotAllowed, func(r *orderfile.Row) { r.Delivery = "pigeon-post" }},
		{issuance.UnknownProduct, func(r *orderfile.Row) { r.CardProductID = "VISA_DEBIT_OLD" }},
		{issuance.LooksLikePAN, func(r *orderfile.Row) { r.ConsumerID = r.PAN.Reveal() }},
		{issuance.PANInvalid, func(r *orderfile.Row) { r.PAN = cardholder.NewPAN(wrongCheckDigit(r.PAN.Reveal())) }},
		{issuance.PANOutsideBIN, func(r *orderfile.Row) { r.CardProductID = ProductMastercard }},
		{issuance.ExpiryInvalid, func(r *orderfile.Row) { r.Expiry = txt("0630") }},
		{issuance.ExpiryImplausible, func(r *orderfile.Row) { r.Expiry = txt("2006") }},
		{issuance.NameNotEmbossable, func(r *orderfile.Row) { r.CardholderName = txt("ZOFIA TESTOWA №22") }},
		{issuance.CardDataMissing, func(r *orderfile.Row) { r.Expiry = txt("") }},
		{issuance.CardDataTwice, func(r *orderfile.Row) { r.EncryptedData = NoiseJWE(Kid, func() byte { return 7 }) }},
		{issuance.CountryNotAllowed, func(r *orderfile.Row) { r.DeliveryCountryCode = "CH" }},
		{issuance.AddressIncomplete, func(r *orderfile.Row) { r.DeliveryFirstName, r.DeliveryLastName = txt(""), txt("") }},
		{issuance.GroupRequired, func(r *orderfile.Row) { r.ShipmentType = "BULK" }},
	}
}

func goodSample(t *testing.T) ([]byte, File) {
	t.Helper()
	var rows []*orderfile.Row
	for i, vary := range goodVariants() {
		row := plain(i + 1)
		vary(row)
		rows = append(rows, row)
	}
	return sample(t, rows)
}

// badSample ends with two rows that are not even rows.
func badSample(t *testing.T) ([]byte, File, []issuance.Code) {
	t.Helper()
	rows := []*orderfile.Row{plain(101)}
	codes := []issuance.Code{""}
	for i, b := range badVariants() {
		row := plain(102 + i)
		b.damage(row)
		rows, codes = append(rows, row), append(codes, b.code)
	}
	file, f := sample(t, rows)
	n := 101 + len(rows)
	file = fmt.Appendf(file, "sample-20261201-%06d,card-sample-%06d,c-sample-%06d,VISA_DEBIT_STD,CREATION\n", n, n, n)
	file = fmt.Appendf(file, "sample-20261201-%06d,\"card-sample-%06d,c-sample-%06d,VISA_DEBIT_STD,CREATION\n", n+1, n+1, n+1)
	last, _ := sample(t, []*orderfile.Row{plain(n + 2)})
	_, row, _ := bytes.Cut(last, []byte("\n"))
	file = append(file, row...)
	sum := sha256.Sum256(file)
	f.Rows, f.Size, f.SHA256, f.Products = f.Rows+3, int64(len(file)), hex.EncodeToString(sum[:]), nil
	return file, f, append(codes, issuance.FieldCount, issuance.BadQuote, "")
}

func sample(t *testing.T, rows []*orderfile.Row) ([]byte, File) {
	t.Helper()
	var b bytes.Buffer
	e, err := orderfile.NewEncoder(&b)
	if err != nil {
		t.Fatal(err)
	}
	f := File{Products: map[string]int64{}}
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			t.Fatal(err)
		}
		f.Rows++
		f.Products[r.CardProductID]++
	}
	if err := e.Flush(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	f.Size, f.SHA256 = int64(b.Len()), hex.EncodeToString(sum[:])
	return b.Bytes(), f
}

// golden compares a file with the sample on disk, or rewrites that.
func golden(t *testing.T, name string, want []byte) {
	t.Helper()
	path := filepath.Join(samplesDir, name)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the test makes; run go test ./internal/orderfile/sample -update", name)
	}
}

func goldenPair(t *testing.T, name string, sequence int64, file []byte, f File) {
	t.Helper()
	control, err := orderfile.EncodeControl(f.Control(name, "DEMO_BANK1", sequence, "2026-12-01", samplesDay()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := orderfile.ParseControl(control); err != nil {
		t.Fatal(err)
	}
	golden(t, name, file)
	golden(t, name+orderfile.ControlSuffix, control)
}

// codesOf returns the codes of each row, joined, empty for a good one.
func codesOf(t *testing.T, file []byte, now time.Time, kids ...string) []string {
	t.Helper()
	v := validate.New(validate.Rules{Products: Products(), Now: now, JWEKids: kids})
	d, err := orderfile.NewDecoder(bytes.NewReader(file), orderfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for {
		rec, err := d.Next()
		if errors.Is(err, io.EOF) {
			return codes
		}
		if err != nil {
			t.Fatal(err)
		}
		_, errs := v.Check(rec)
		var row []string
		for _, e := range errs {
			row = append(row, string(e.Code))
		}
		codes = append(codes, strings.Join(row, " "))
	}
}

func TestGoodSample(t *testing.T) {
	file, f := goodSample(t)
	goldenPair(t, "good.csv", 1, file, f)
	// It must stay good for years: the command line takes the real clock.
	for _, day := range []time.Time{samplesDay(), samplesDay().AddDate(3, 6, 0)} {
		for i, codes := range codesOf(t, file, day, Kid) {
			if codes != "" {
				t.Errorf("row %d on %s: %s", i+1, day.Format(time.DateOnly), codes)
			}
		}
	}
}

func TestBadRowsSample(t *testing.T) {
	file, f, want := badSample(t)
	goldenPair(t, "bad-rows.csv", 2, file, f)
	var wanted []string
	for _, c := range want {
		wanted = append(wanted, string(c))
	}
	if diff := cmp.Diff(wanted, codesOf(t, file, samplesDay())); diff != "" {
		t.Error(diff)
	}
}
