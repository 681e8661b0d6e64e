package validate

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/orderfile/sample"
)

func checked(tb testing.TB, r *orderfile.Row) cardholder.Instruction {
	tb.Helper()
	in, errs := validator().Check(orderfile.Record{Row: r, RowNo: 1, Line: 2})
	if len(errs) > 0 {
		tb.Fatalf("rejected: %v", errs)
	}
	return in
}

// TestInstruction: every column arrives where it belongs.
func TestInstruction(t *testing.T) {
	r := goodRow()
	want := cardholder.Instruction{
		OrderID: "ord-1", CardID: "card-1", ConsumerID: "c-1", ProductID: "VISA_DEBIT_STD",
		Issuance: "CREATION", Priority: "URGENT", Delivery: "laposte-cip",
		CardCarrier: "std-carrier", Packaging: "standard-envelope",
		Inserts: []string{"welcome-letter", "terms-and-conditions-v3"}, PINMailer: true,
		Card: &cardholder.Card{
			PAN: cardholder.NewPAN("4111110000000187"), Expiry: text("3306"), Name: text("ZOFIA TESTOWA"), SecondName: text("TESTOWA SARL"),
			EncodedName: text("TESTOWA/ZOFIA"), PANSequenceNumber: text("01"), EffectiveDate: text("300301"),
			CVV1: text("123"), CVV2: text("456"), PVV: text("7890"),
		},
		CardImage: "img-1", MemberID: text("M-1"),
		DesignLines: []cardholder.Text{text("Credit"), text("Since 2030")}, CarrierLanguage: "fr", CarrierLines: []cardholder.Text{text("Bonjour")},
		ShipmentType: "BULK", GroupID: "container-001", DispatchID: "dispatch-2030-03-01",
		DeliveryAddress: cardholder.Address{
			Title: text("Mme"), FirstName: text("Zofia"), LastName: text("Testowa 000123"), CompanyName: text("Testowa SARL"),
			Line1: text("17 Rue du Specimen"), Line2: text("Bât. B"), Line3: text("c/o Specimen"), City: text("Besançon"), State: text("Doubs"),
			ZipCode: text("25000"), CountryCode: text("FR"), Phone: text("+33100000000"),
		},
		IndividualAddress: cardholder.Address{
			Title: text("M."), FirstName: text("Anselm"), LastName: text("Musterfrau"), CompanyName: text("Muster GmbH"),
			Line1: text("1 Musterstraße"), Line2: text("Hof"), Line3: text("c/o Muster"), City: text("Köln"), State: text("NRW"),
			ZipCode: text("50999"), CountryCode: text("DE"), Phone: text("+4922100000"),
		},
	}
	if diff := cmp.Diff(want, checked(t, r)); diff != "" {
		t.Error(diff)
	}
}

func TestInstructionDefaults(t *testing.T) {
	r := goodRow()
	noIndividual(r)
	r.CardCarrier, r.Packaging, r.PackagingInserts, r.PINMailer = "", "", "", ""
	r.ShipmentType, r.GroupID, r.DispatchID = "", "", ""
	r.DesignLines, r.CarrierLines = text(""), text("")
	in := checked(t, r)
	switch {
	case in.CardCarrier != "std-carrier" || in.Packaging != "standard-envelope":
		t.Error("carrier and packaging are not the product's")
	case in.ShipmentType != "INDIVIDUAL":
		t.Error("shipment type is not INDIVIDUAL")
	case in.PINMailer || in.Inserts != nil || in.DesignLines != nil || in.CarrierLines != nil:
		t.Error("empty columns are not empty")
	case !cmp.Equal(in.IndividualAddress, in.DeliveryAddress):
		t.Error("the individual address is not the delivery address")
	}
}

func TestInstructionOfJWE(t *testing.T) {
	r := goodRow()
	noClear(r)
	r.EncryptedData = sampleJWE()
	if in := checked(t, r); in.Card != nil || in.EncryptedData != r.EncryptedData {
		t.Error("the JWE is not passed on as it is")
	}
}

func TestCheckJWE(t *testing.T) {
	good := sampleJWE()
	parts := strings.Split(good, ".")
	headerBytes, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	with := func(i int, part string) string {
		p := strings.Split(good, ".")
		p[i] = part
		return strings.Join(p, ".")
	}
	header := func(from, to string) string {
		h := strings.Replace(string(headerBytes), from, to, 1)
		if h == string(headerBytes) {
			t.Fatalf("%q is not in the header", from)
		}
		return with(0, base64.RawURLEncoding.EncodeToString([]byte(h)))
	}
	tests := []struct{ name, jwe, want string }{
		{"good", good, ""},
		{"four parts", strings.Join(parts[:4], "."), "five parts"},
		{"not base64url", with(0, "ab+c"), "base64url"},
		{"not JSON", with(0, base64.RawURLEncoding.EncodeToString([]byte("x"))), "JSON"},
		{"alg", header("ECDH-ES", "RSA-OAEP"), "alg"},
		{"key wrapping", header("ECDH-ES", "ECDH-ES+A256KW"), "alg"},
		{"enc", header("A256GCM", "A128GCM"), "enc"},
		{"zip", header(`"enc"`, `"zip":"DEF","enc"`), "compressed"},
		{"no kid", header(`"kid"`, `"kit"`), "no kid"},
		{"unknown kid", header(sample.Kid, "other"), "kid"},
		{"no epk", header(`"epk"`, `"key"`), "epk"},
		{"other curve", header("P-256", "P-384"), "epk"},
		{"short coordinate", header(`"x":"Bw`, `"x":"B`), "epk"},
		{"encrypted key", with(1, "AAAA"), "encrypted key"},
		{"short vector", with(2, "AAAA"), "initialization vector"},
		{"short tag", with(4, "AAAA"), "tag"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := checkJWE(tt.jwe, []string{"a", sample.Kid})
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("checkJWE says %q, want %q", got, tt.want)
			}
		})
	}
	if got := checkJWE(header(sample.Kid, "other"), nil); got != "" {
		t.Errorf("without known kids: %s", got)
	}
}

func TestCountries(t *testing.T) {
	if n := len(strings.Fields(countries)); n != 249 {
		t.Errorf("%d countries, ISO 3166-1 has 249", n)
	}
	for code, want := range map[string]bool{"FR": true, "AD": true, "ZW": true, "UK": false, "EU": false, "XK": false, "D ": false, " A": false, "": false, "FRA": false} {
		if isCountry(code) != want {
			t.Errorf("isCountry(%q) = %v", code, !want)
		}
	}
}

func TestSummary(t *testing.T) {
	v := validator()
	r := goodRow()
	want := issuance.Order{
		Line: 2, OrderID: "ord-1", CardID: "card-1", ConsumerID: "c-1", ProductID: "VISA_DEBIT_STD",
		Issuance: "CREATION", Priority: "URGENT", Urgency: issuance.Urgent, MaskedPAN: "411111******0187",
	}
	if diff := cmp.Diff(want, v.Summary(orderfile.Record{Row: r, Line: 2})); diff != "" {
		t.Errorf("a good row:\n%s", diff)
	}
	tests := []struct{ orderID, want string }{
		{"", ""},
		{"ord-1", "ord-1"},
		{"4111110000000187", "411111******0187"},
		{"x-4111110000000187", "a-9999999999999999"},
		{"Zofia Testowa", "Aaaaa Aaaaaaa"},
		{"4012888888881881", "4012888888881881"}, // no BIN of ours: an id like any other
		{strings.Repeat("Z", 100), strings.Repeat("A", 32) + "..."},
	}
	for _, tt := range tests {
		if got := v.Summary(orderfile.Record{Row: &orderfile.Row{OrderID: tt.orderID}}).OrderID; got != tt.want {
			t.Errorf("order_id %q becomes %q, want %q", tt.orderID, got, tt.want)
		}
	}
	r.PAN = cardholder.NewPAN("not a number")
	r.Issuance = "RENEWAL"
	r.Priority = ""
	if o := v.Summary(orderfile.Record{Row: r}); o.MaskedPAN != "" || o.Urgency != issuance.Relaxed {
		t.Errorf("masked PAN %q, urgency %d", o.MaskedPAN, o.Urgency)
	}
	if o := v.Summary(orderfile.Record{Line: 9}); o.Line != 9 {
		t.Error("a record without a row has no line")
	}
}

// BenchmarkCheck checks a row with every column filled, and one as most are.
func BenchmarkCheck(b *testing.B) {
	usual := goodRow()
	noIndividual(usual)
	usual.SecondName, usual.EncodedName, usual.DesignLines, usual.MemberID, usual.PackagingInserts = text(""), text(""), text(""), text(""), ""
	jwe := goodRow()
	noClear(jwe)
	jwe.EncryptedData = sampleJWE()
	for name, row := range map[string]*orderfile.Row{"full": goodRow(), "usual": usual, "jwe": jwe} {
		b.Run(name, func(b *testing.B) {
			v := validator()
			b.ReportAllocs()
			for b.Loop() {
				if _, errs := v.Check(orderfile.Record{Row: row}); errs != nil {
					b.Fatal("rejected")
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
