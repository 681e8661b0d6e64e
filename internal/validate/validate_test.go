package validate

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

func now() time.Time { return time.Date(2030, 3, 1, 22, 0, 0, 0, time.UTC) }

func validator() *Validator {
	return New(Rules{Products: sample.Products(), Now: now(), JWEKids: []string{sample.Kid}})
}

func text(s string) cardholder.Text { return cardholder.NewText(s) }

// goodRow has every column filled but those that exclude each other.
func goodRow() *orderfile.Row {
	return &orderfile.Row{
		OrderID: "ord-1", CardID: "card-1", ConsumerID: "c-1", CardProductID: sample.ProductVisa,
		Issuance: "CREATION", Priority: "URGENT", Delivery: "laposte-cip",
		CardCarrier: "std-carrier", Packaging: "standard-envelope", PackagingInserts: "welcome-letter|terms-and-conditions-v3", PINMailer: "true",
		PAN: cardholder.NewPAN("4111110000000187"), Expiry: text("3306"), CardholderName: text("ZOFIA TESTOWA"),
		SecondName: text("TESTOWA SARL"), EncodedName: text("TESTOWA/ZOFIA"), PANSequenceNumber: text("01"),
		EffectiveDate: text("300301"), CVV1: text("123"), CVV2: text("456"), PVV: text("7890"),
		CardImage: "img-1", MemberID: text("M-1"), DesignLines: text("Credit|Since 2030"), CarrierLanguage: "fr", CarrierLines: text("Bonjour"),
		ShipmentType: "BULK", GroupID: "container-001", DispatchID: "dispatch-2030-03-01",
		DeliveryTitle: text("Mme"), DeliveryFirstName: text("Zofia"), DeliveryLastName: text("Testowa 000123"),
		DeliveryCompanyName: text("Testowa SARL"), DeliveryLine1: text("17 Rue du Specimen"), DeliveryLine2: text("Bât. B"), DeliveryLine3: text("c/o Specimen"),
		DeliveryCity: text("Besançon"), DeliveryState: text("Doubs"), DeliveryZipCode: text("25000"), DeliveryCountryCode: "FR", DeliveryPhone: text("+33100000000"),
		IndividualTitle: text("M."), IndividualFirstName: text("Anselm"), IndividualLastName: text("Musterfrau"),
		IndividualCompanyName: text("Muster GmbH"), IndividualLine1: text("1 Musterstraße"), IndividualLine2: text("Hof"), IndividualLine3: text("c/o Muster"),
		IndividualCity: text("Köln"), IndividualState: text("NRW"), IndividualZipCode: text("50999"), IndividualCountryCode: "DE", IndividualPhone: text("+4922100000"),
	}
}

func sampleJWE() string {
	return sample.NoiseJWE(sample.Kid, func() byte { return 7 })
}

// noClear empties the card data columns.
func noClear(r *orderfile.Row) {
	r.PAN = cardholder.PAN{}
	for _, t := range []*cardholder.Text{&r.Expiry, &r.CardholderName, &r.SecondName, &r.EncodedName, &r.PANSequenceNumber,
		&r.EffectiveDate, &r.CVV1, &r.CVV2, &r.PVV} {
		*t = cardholder.Text{}
	}
}

func noIndividual(r *orderfile.Row) {
	for _, t := range []*cardholder.Text{&r.IndividualTitle, &r.IndividualFirstName, &r.IndividualLastName, &r.IndividualCompanyName,
		&r.IndividualLine1, &r.IndividualLine2, &r.IndividualLine3, &r.IndividualCity, &r.IndividualState, &r.IndividualZipCode, &r.IndividualPhone} {
		*t = cardholder.Text{}
	}
	r.IndividualCountryCode = ""
}

// outcome runs a row and returns "column CODE masked" for each error.
func outcome(v *Validator, r *orderfile.Row) []string {
	_, errs := v.Check(orderfile.Record{Row: r, RowNo: 1, Line: 2})
	var got []string
	for _, e := range errs {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Column, e.Code, e.Masked)))
	}
	return got
}

func TestGoodRows(t *testing.T) {
	tests := map[string]func(r *orderfile.Row){
		"everything":         func(*orderfile.Row) {},
		"JWE":                func(r *orderfile.Row) { noClear(r); r.EncryptedData = sampleJWE() },
		"no individual":      noIndividual,
		"individual":         func(r *orderfile.Row) { r.ShipmentType, r.GroupID, r.DispatchID = "INDIVIDUAL", "", "" },
		"bulk, no dispatch":  func(r *orderfile.Row) { r.DispatchID = "" },
		"no shipment":        func(r *orderfile.Row) { r.Delivery = "NO_SHIPMENT" },
		"this month":         func(r *orderfile.Row) { r.Expiry = text("3003") },
		"the last month":     func(r *orderfile.Row) { r.Expiry = text("3603") },
		"company only":       func(r *orderfile.Row) { r.DeliveryFirstName, r.DeliveryLastName = text(""), text("") },
		"long embossed name": func(r *orderfile.Row) { r.CardholderName = text("D'ARC-O/BRIEN JR. TESTOWAB") },
		"leap day":           func(r *orderfile.Row) { r.EffectiveDate = text("280229") },
		"a number as id":     func(r *orderfile.Row) { r.OrderID = "4012888888881881" }, // Luhn is right, but no BIN of ours
		"mastercard": func(r *orderfile.Row) {
			r.CardProductID, r.PAN = sample.ProductMastercard, cardholder.NewPAN(cardholder.WithCheckDigit("555555000000018"))
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			r := goodRow()
			change(r)
			if got := outcome(validator(), r); got != nil {
				t.Errorf("rejected: %q", got)
			}
		})
	}
}

func TestBadRows(t *testing.T) {
	long := strings.Repeat("x", 65)
	tests := []struct {
		name   string
		change func(r *orderfile.Row)
		want   []string
	}{
		{"order_id missing", func(r *orderfile.Row) { r.OrderID = "" }, []string{"order_id REQUIRED_MISSING"}},
		{"order_id with a space", func(r *orderfile.Row) { r.OrderID = "ord 1" }, []string{"order_id FORMAT_INVALID aaa 9"}},
		{"order_id too long", func(r *orderfile.Row) { r.OrderID = long }, []string{"order_id FORMAT_INVALID " + strings.Repeat("a", 32) + "..."}},
		{"order_id is a PAN", func(r *orderfile.Row) { r.OrderID = "4111110000000187" }, []string{"order_id LOOKS_LIKE_PAN 411111******0187"}},
		{"card_id has a PAN", func(r *orderfile.Row) { r.CardID = "card-4111110000000187" }, []string{"card_id LOOKS_LIKE_PAN aaaa-9999999999999999"}},
		{"a PAN in a printed line", func(r *orderfile.Row) { r.CarrierLines = text("Card|4111 1100 0000 0187") }, []string{"carrier_lines LOOKS_LIKE_PAN"}},
		{"a PAN in an address", func(r *orderfile.Row) { r.DeliveryLine2 = text("4111-1100-0000-0187") }, []string{"delivery_line2 LOOKS_LIKE_PAN"}},
		{"unknown product", func(r *orderfile.Row) { r.CardProductID = "NO_SUCH" }, []string{"card_product_id UNKNOWN_PRODUCT NO_SUCH"}},
		{"issuance", func(r *orderfile.Row) { r.Issuance = "creation" }, []string{"issuance VALUE_NOT_ALLOWED creation"}},
		{"priority", func(r *orderfile.Row) { r.Priority = "ASAP" }, []string{"priority VALUE_NOT_ALLOWED ASAP"}},
		{"a name where a code belongs", func(r *orderfile.Row) { r.Priority = "Zofia Testowa" }, []string{"priority FORMAT_INVALID Aaaaa Aaaaaaa"}},
		{"delivery missing", func(r *orderfile.Row) { r.Delivery = "" }, []string{"delivery REQUIRED_MISSING"}},
		{"delivery", func(r *orderfile.Row) { r.Delivery = "pigeon" }, []string{"delivery VALUE_NOT_ALLOWED pigeon"}},
		{"carrier", func(r *orderfile.Row) { r.CardCarrier = "x" }, []string{"card_carrier VALUE_NOT_ALLOWED x"}},
		{"packaging", func(r *orderfile.Row) { r.Packaging = "x" }, []string{"packaging VALUE_NOT_ALLOWED x"}},
		{"insert", func(r *orderfile.Row) { r.PackagingInserts = "x|welcome-letter|y" }, []string{"packaging_inserts VALUE_NOT_ALLOWED x|welcome-letter|y"}},
		{"empty insert", func(r *orderfile.Row) { r.PackagingInserts = "welcome-letter||x" }, []string{"packaging_inserts FORMAT_INVALID welcome-letter||x"}},
		{"pin_mailer", func(r *orderfile.Row) { r.PINMailer = "1" }, []string{"pin_mailer VALUE_NOT_ALLOWED 1"}},
		{"PAN check digit", func(r *orderfile.Row) { r.PAN = cardholder.NewPAN("4111110000000188") }, []string{"pan PAN_INVALID 411111******0188"}},
		{"short PAN", func(r *orderfile.Row) { r.PAN = cardholder.NewPAN("41111100000") }, []string{"pan PAN_INVALID"}},
		{"PAN of twelve digits", func(r *orderfile.Row) { r.PAN = cardholder.NewPAN("411111000001") }, []string{"pan PAN_INVALID"}},
		{"PAN with spaces", func(r *orderfile.Row) { r.PAN = cardholder.NewPAN("4111 1100 0000 0187") }, []string{"pan PAN_INVALID"}},
		{"PAN of another product", func(r *orderfile.Row) { r.CardProductID = sample.ProductMastercard }, []string{"pan PAN_OUTSIDE_BIN 411111******0187"}},
		{"expiry is not a month", func(r *orderfile.Row) { r.Expiry = text("3313") }, []string{"expiry EXPIRY_INVALID"}},
		{"expiry past", func(r *orderfile.Row) { r.Expiry = text("3002") }, []string{"expiry EXPIRY_IMPLAUSIBLE"}},
		{"expiry too far", func(r *orderfile.Row) { r.Expiry = text("3604") }, []string{"expiry EXPIRY_IMPLAUSIBLE"}},
		{"expiry is MMYY", func(r *orderfile.Row) { r.Expiry = text("0633") }, []string{"expiry EXPIRY_INVALID"}},
		{"name with an umlaut", func(r *orderfile.Row) { r.CardholderName = text("JÜRGEN TESTOWA") }, []string{"cardholder_name NAME_NOT_EMBOSSABLE"}},
		{"name too long", func(r *orderfile.Row) { r.CardholderName = text(strings.Repeat("A", 27)) }, []string{"cardholder_name NAME_NOT_EMBOSSABLE"}},
		{"second name with digits", func(r *orderfile.Row) { r.SecondName = text("TESTOWA 2") }, []string{"second_name NAME_NOT_EMBOSSABLE"}},
		{"encoded name", func(r *orderfile.Row) { r.EncodedName = text("TESTOWA^ZOFIA") }, []string{"encoded_name FORMAT_INVALID"}},
		{"no such day", func(r *orderfile.Row) { r.EffectiveDate = text("300230") }, []string{"effective_date FORMAT_INVALID"}},
		{"security codes", func(r *orderfile.Row) { r.CVV1, r.CVV2, r.PVV = text("12"), text("abc"), text("12345") },
			[]string{"cvv1 FORMAT_INVALID", "cvv2 FORMAT_INVALID", "pvv FORMAT_INVALID"}},
		{"no card data", noClear, []string{"pan CARD_DATA_MISSING"}},
		{"part of the card data", func(r *orderfile.Row) { noClear(r); r.CVV2 = text("123") },
			[]string{"pan CARD_DATA_MISSING", "expiry CARD_DATA_MISSING", "cardholder_name CARD_DATA_MISSING"}},
		{"both kinds of card data", func(r *orderfile.Row) { r.EncryptedData = sampleJWE() }, []string{"encrypted_data CARD_DATA_TWICE"}},
		{"JWE and a security code", func(r *orderfile.Row) { noClear(r); r.CVV2, r.EncryptedData = text("123"), sampleJWE() }, []string{"encrypted_data CARD_DATA_TWICE"}},
		{"no JWE", func(r *orderfile.Row) { noClear(r); r.EncryptedData = "abc" }, []string{"encrypted_data JWE_MALFORMED"}},
		{"JWE too long", func(r *orderfile.Row) { noClear(r); r.EncryptedData = sampleJWE() + strings.Repeat("A", 8192) }, []string{"encrypted_data JWE_MALFORMED"}},
		{"country not allowed", func(r *orderfile.Row) { r.DeliveryCountryCode = "CH" }, []string{"delivery_country_code COUNTRY_NOT_ALLOWED CH"}},
		{"no country", func(r *orderfile.Row) { r.DeliveryCountryCode = "XX" }, []string{"delivery_country_code FORMAT_INVALID XX"}},
		{"country in lower case", func(r *orderfile.Row) { r.DeliveryCountryCode = "fr" }, []string{"delivery_country_code FORMAT_INVALID fr"}},
		{"no name", func(r *orderfile.Row) {
			r.DeliveryFirstName, r.DeliveryLastName, r.DeliveryCompanyName = text(""), text(""), text("")
		}, []string{"delivery_last_name ADDRESS_INCOMPLETE"}},
		{"no city and no line", func(r *orderfile.Row) { r.DeliveryCity, r.DeliveryLine1 = text(""), text("") },
			[]string{"delivery_line1 REQUIRED_MISSING", "delivery_city REQUIRED_MISSING"}},
		{"individual address incomplete", func(r *orderfile.Row) { noIndividual(r); r.IndividualTitle = text("Mme") },
			[]string{"individual_last_name ADDRESS_INCOMPLETE", "individual_line1 ADDRESS_INCOMPLETE", "individual_city ADDRESS_INCOMPLETE",
				"individual_zip_code ADDRESS_INCOMPLETE", "individual_country_code ADDRESS_INCOMPLETE"}},
		{"postal code without its zero", func(r *orderfile.Row) { r.DeliveryZipCode = text("1000") }, []string{"delivery_zip_code POSTAL_CODE_INVALID"}},
		{"postal code of another country", func(r *orderfile.Row) { r.IndividualZipCode = text("4999") }, []string{"individual_zip_code POSTAL_CODE_INVALID"}},
		{"line break in an address", func(r *orderfile.Row) { r.DeliveryLine1 = text("17 Rue\nPiège") }, []string{"delivery_line1 FORMAT_INVALID"}},
		{"damaged text", func(r *orderfile.Row) { r.DeliveryCity = text("Besan\uFFFDon") }, []string{"delivery_city FORMAT_INVALID"}},
		{"telephone", func(r *orderfile.Row) { r.DeliveryPhone = text("01 02 03") }, []string{"delivery_phone FORMAT_INVALID"}},
		{"BULK without group", func(r *orderfile.Row) { r.GroupID = "" }, []string{"group_id GROUP_REQUIRED"}},
		{"group without BULK", func(r *orderfile.Row) { r.ShipmentType = "" },
			[]string{"group_id VALUE_NOT_ALLOWED container-001", "dispatch_id VALUE_NOT_ALLOWED dispatch-2030-03-01"}},
		{"language", func(r *orderfile.Row) { r.CarrierLanguage = "FRA" }, []string{"carrier_language FORMAT_INVALID FRA"}},
		{"many at once, in column order", func(r *orderfile.Row) {
			r.DeliveryCountryCode, r.Expiry, r.Delivery, r.OrderID = "CH", text("2001"), "pigeon", ""
			r.IndividualZipCode = text("")
		}, []string{"order_id REQUIRED_MISSING", "delivery VALUE_NOT_ALLOWED pigeon", "expiry EXPIRY_IMPLAUSIBLE",
			"delivery_country_code COUNTRY_NOT_ALLOWED CH", "individual_zip_code ADDRESS_INCOMPLETE"}},
	}
	v := validator()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := goodRow()
			tt.change(r)
			if diff := cmp.Diff(tt.want, outcome(v, r)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestErrorsSayWhatToDo checks the texts a person depends on.
func TestErrorsSayWhatToDo(t *testing.T) {
	tests := []struct {
		change func(r *orderfile.Row)
		want   string
	}{
		{func(r *orderfile.Row) { r.Expiry = text("0633") }, "looks like MMYY"},
		{func(r *orderfile.Row) { r.Expiry = text("1233") }, "YYMM"},
		{func(r *orderfile.Row) { r.Expiry = text("1112") }, "in the past"},
		{func(r *orderfile.Row) { r.Expiry = text("3701") }, "the 6 years of product VISA_DEBIT_STD"},
		{func(r *orderfile.Row) { r.Delivery = "pigeon" }, "allowed: usps-imb, laposte-cip, NO_SHIPMENT"},
		{func(r *orderfile.Row) { r.DeliveryCountryCode = "CH" }, "allowed: FR, DE, BE, US"},
		{func(r *orderfile.Row) { r.CardID = "card-1 " }, "begins or ends with a space"},
		{func(r *orderfile.Row) { r.EncryptedData = sampleJWE() }, "together with pan, expiry, cardholder_name"},
	}
	for _, tt := range tests {
		r := goodRow()
		tt.change(r)
		_, errs := validator().Check(orderfile.Record{Row: r, Line: 7})
		if len(errs) != 1 || !strings.Contains(errs[0].Text, tt.want) || errs[0].Line != 7 {
			t.Errorf("errors %+v, want one that says %q on line 7", errs, tt.want)
		}
	}
}

// TestProductWithoutValues: a product that lists no values allows none, and one
// without a validity any expiry ahead.
func TestProductWithoutValues(t *testing.T) {
	products := sample.Products()
	p := products[sample.ProductVisa]
	p.Priorities, p.Inserts, p.ValidityYears = nil, nil, 0
	products[p.ID] = p
	r := goodRow()
	r.Expiry = text("9912")
	_, errs := New(Rules{Products: products, Now: now()}).Check(orderfile.Record{Row: r})
	if len(errs) != 2 || errs[0].Column != "priority" || errs[1].Column != "packaging_inserts" || !strings.Contains(errs[0].Text, "leave it empty") {
		t.Errorf("errors %+v", errs)
	}
}

func TestStructuralErrorIsTheOnlyOne(t *testing.T) {
	e := issuance.RowError{Line: 3, Code: issuance.FieldCount, Text: "x"}
	_, errs := validator().Check(orderfile.Record{Row: &orderfile.Row{}, Line: 3, Err: &e})
	if diff := cmp.Diff([]issuance.RowError{e}, errs); diff != "" {
		t.Error(diff)
	}
}

// TestNothingSensitiveInErrors damages every sensitive column in several ways
// and looks for its value in everything an error says.
func TestNothingSensitiveInErrors(t *testing.T) {
	d := encodedRow(t, goodRow())
	v := validator()
	for i, f := range orderfile.Schema().Fields {
		for _, value := range []string{"XYZZY 987654321!\x01", "4111110000000187", "9876543210987654321", strings.Repeat("XYZZY", 2000)} {
			cells := slices.Clone(d)
			cells[i] = value
			_, errs := v.Check(orderfile.Record{Row: rowOf(t, cells), Line: 2})
			if len(errs) == 0 {
				continue
			}
			said := fmt.Sprintf("%+v", errs)
			for _, secret := range []string{"XYZZY 98", "XYZZYXYZZY", "4111110000000187", "9876543210987654321"} {
				if strings.Contains(said, secret) {
					t.Errorf("%s: an error repeats its value", f.Name)
				}
			}
			for j, other := range cells {
				if j != i && orderfile.Schema().Fields[j].Sensitive != "" && len(other) > 4 && strings.Contains(said, other) {
					t.Errorf("%s: an error repeats the value of %s", f.Name, orderfile.Schema().Fields[j].Name)
				}
			}
		}
	}
}

// TestASlippedRowShowsNoNames moves all cells of a row to other columns, as an
// export with a column too many and one too few does: names and places then
// stand where codes belong, and read like codes.
func TestASlippedRowShowsNoNames(t *testing.T) {
	v := validator()
	cells := encodedRow(t, goodRow())
	for i := range cells {
		slipped := slices.Concat(cells[i:], cells[:i])
		rec := orderfile.Record{Row: rowOf(t, slipped), Line: 2}
		_, errs := v.Check(rec)
		if i == 0 {
			if len(errs) > 0 {
				t.Fatalf("the good row: %+v", errs)
			}
			continue
		}
		shown, kept := fmt.Sprintf("%+v", errs), fmt.Sprintf("%+v", v.Summary(rec))
		for j, f := range orderfile.Schema().Fields {
			if f.Sensitive == "" || len(cells[j]) <= 4 {
				continue
			}
			if strings.Contains(shown, cells[j]) {
				t.Errorf("slipped by %d, an error shows the value of %s", i, f.Name)
			}
			if !strings.ContainsAny(cells[j], "0123456789") && strings.Contains(kept, cells[j]) {
				t.Errorf("slipped by %d, the value of %s is kept", i, f.Name)
			}
		}
	}
}

// TestEveryRowCodeIsReached: no code of a row is dead, apart from those that
// belong to the decoder and to the store.
func TestEveryRowCodeIsReached(t *testing.T) {
	elsewhere := map[issuance.Code]bool{issuance.FieldCount: true, issuance.BadQuote: true, issuance.OrderConflict: true, issuance.OrderRepeated: true,
		issuance.PANRepeated: true, issuance.CardHasOpenOrder: true}
	reached := map[issuance.Code]bool{}
	d := encodedRow(t, goodRow())
	for i := range d {
		for _, value := range []string{"", "!", "4111110000000187", cardholder.WithCheckDigit("555555000000018"), "2001", "BULK", "XX", "KP", "ASAP", sampleJWE()} {
			cells := slices.Clone(d)
			cells[i] = value
			_, errs := validator().Check(orderfile.Record{Row: rowOf(t, cells)})
			for _, e := range errs {
				reached[e.Code] = true
			}
		}
	}
	none := goodRow()
	noClear(none)
	noIndividual(none)
	none.IndividualTitle = text("Mme")
	_, errs := validator().Check(orderfile.Record{Row: none})
	for _, e := range errs {
		reached[e.Code] = true
	}
	for _, code := range rowCodes(t) {
		if !reached[code] && !elsewhere[code] {
			t.Errorf("no row was rejected with %s", code)
		}
	}
	if len(reached) < 15 {
		t.Errorf("only %v", slices.Sorted(maps.Keys(reached)))
	}
}
