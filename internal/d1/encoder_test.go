package d1_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/d1"
	"cardbatch/internal/issuance"
)

const testPAN = "4111111111111111"

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// p384 returns a key on a curve that D1 does not use.
func p384(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func product() issuance.Product {
	return issuance.Product{
		ID: "VISA_DEBIT_STD", ChipConfig: "visa-di-01", ODAKeyIndex: "01", DerivationKeyIndex: "02",
		DefaultCarrier: "std-carrier", DefaultPackaging: "standard-envelope",
	}
}

func newEncoder(tb testing.TB, products ...issuance.Product) (*d1.Encoder, *ecdsa.PrivateKey) {
	tb.Helper()
	key := newKey(tb)
	cfg := d1.EncoderConfig{JWEKeys: []d1.JWEKey{{ID: "d1-key-1", Public: &key.PublicKey}}, Products: map[string]issuance.Product{}}
	for _, p := range append(products, product()) {
		cfg.Products[p.ID] = p
	}
	e, err := d1.NewEncoder(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return e, key
}

func text(s string) cardholder.Text { return cardholder.NewText(s) }

func texts(lines ...string) []cardholder.Text {
	out := make([]cardholder.Text, len(lines))
	for i, line := range lines {
		out[i] = text(line)
	}
	return out
}

func address(name string) cardholder.Address {
	return cardholder.Address{
		FirstName: text("Test"), LastName: text(name), Line1: text("1 Example Street"),
		City: text("Sampletown"), ZipCode: text("00001"), CountryCode: text("FR"),
	}
}

// plainInstruction is a row that says only what it must.
func plainInstruction() cardholder.Instruction {
	return cardholder.Instruction{
		OrderID: "ord-1", CardID: "card-1", ConsumerID: "c-1", ProductID: "VISA_DEBIT_STD",
		Issuance: issuance.Creation, Delivery: "usps-imb",
		Card: &cardholder.Card{
			PAN: cardholder.NewPAN(testPAN), Expiry: text("3112"), Name: text("TEST HOLDER"),
		},
		ShipmentType:    "INDIVIDUAL",
		DeliveryAddress: address("Holder"), IndividualAddress: address("Printed"),
	}
}

// fullInstruction is a row that says everything.
func fullInstruction() cardholder.Instruction {
	in := plainInstruction()
	in.Priority, in.CardCarrier, in.Packaging, in.PINMailer = "URGENT", "gold-carrier", "box", true
	in.Inserts = []string{"welcome-letter", "terms"}
	in.Card = &cardholder.Card{
		PAN: cardholder.NewPAN(testPAN), Expiry: text("3112"), Name: text("TEST HOLDER"),
		SecondName: text("SECOND LINE"), EncodedName: text("HOLDER/TEST"), PANSequenceNumber: text("01"),
		EffectiveDate: text("2601"), CVV1: text("001"), CVV2: text("002"), PVV: text("0003"),
	}
	in.CardImage, in.MemberID, in.DesignLines = "img-1", text("member-1"), texts("CREDIT", "SINCE 2026")
	in.CarrierLanguage, in.CarrierLines = "fr", texts("Hello <you> & \"them\"")
	in.ShipmentType, in.GroupID, in.DispatchID = "BULK", "container-001", "dispatch-1"
	in.DeliveryAddress = cardholder.Address{
		Title: text("Dr"), FirstName: text("Test"), LastName: text("Hôlder"), CompanyName: text("Example"),
		Line1: text("1 Example Street"), Line2: text("Floor 2"), Line3: text("Door 3"), City: text("Sampletown"),
		State: text("XX"), ZipCode: text("00001"), CountryCode: text("US"), Phone: text("+10000000000"),
	}
	return in
}

// decode returns the body and the card data inside it, both as D1 sees them.
func decode(tb testing.TB, body []byte, key *ecdsa.PrivateKey) (map[string]any, map[string]any) {
	tb.Helper()
	var order, card map[string]any
	if err := json.Unmarshal(body, &order); err != nil {
		tb.Fatal("the body is not JSON")
	}
	compact, _ := order["encryptedData"].(string)
	if err := json.Unmarshal(open(tb, compact, key), &card); err != nil {
		tb.Fatal("the card data is not JSON")
	}
	order["encryptedData"] = ""
	return order, card
}

// open decrypts a compact JWE with go-jose, as strictly as D1 has to.
func open(tb testing.TB, compact string, key *ecdsa.PrivateKey) []byte {
	tb.Helper()
	jwe, err := jose.ParseEncryptedCompact(compact, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		tb.Fatal("the JWE cannot be parsed")
	}
	if jwe.Header.KeyID != "d1-key-1" {
		tb.Fatalf("kid is %q", jwe.Header.KeyID)
	}
	plain, err := jwe.Decrypt(key)
	if err != nil {
		tb.Fatal("the JWE cannot be decrypted")
	}
	return plain
}

func parse(tb testing.TB, text string) map[string]any {
	tb.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestEncodePlain(t *testing.T) {
	t.Parallel()
	e, key := newEncoder(t)
	body, err := e.Encode(plainInstruction())
	if err != nil {
		t.Fatal(err)
	}
	order, card := decode(t, body, key)
	wantOrder := parse(t, `{
		"distributionChannel": "THALES", "consumerId": "c-1", "cardProductId": "VISA_DEBIT_STD", "issuerRequestId": "ord-1",
		"services": {"issuance": "CREATION", "delivery": "usps-imb", "cardCarrier": "std-carrier",
			"packaging": "standard-envelope", "pinMailer": false},
		"encryptedData": "",
		"paymentApplication": {"config": "visa-di-01", "odaKeyIndex": "01", "derivationKeyIndex": "02"},
		"shipment": {"type": "INDIVIDUAL",
			"deliveryAddress": {"firstName": "Test", "lastName": "Holder", "line1": "1 Example Street",
				"city": "Sampletown", "zipCode": "00001", "countryCode": "FR"},
			"individualAddress": {"firstName": "Test", "lastName": "Printed", "line1": "1 Example Street",
				"city": "Sampletown", "zipCode": "00001", "countryCode": "FR"}}}`)
	if diff := cmp.Diff(wantOrder, order); diff != "" {
		t.Error(diff)
	}
	wantCard := map[string]any{"pan": testPAN, "exp": "3112", "name": "TEST HOLDER"}
	if diff := cmp.Diff(wantCard, card); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeFull(t *testing.T) {
	t.Parallel()
	withKeys := product()
	withKeys.ID, withKeys.CVKeyIndex, withKeys.PVKeyIndex = "MC_CREDIT_GOLD", "03", "04"
	e, key := newEncoder(t, withKeys)
	in := fullInstruction()
	in.ProductID = withKeys.ID
	body, err := e.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	order, card := decode(t, body, key)
	wantOrder := parse(t, `{
		"distributionChannel": "THALES", "consumerId": "c-1", "cardProductId": "MC_CREDIT_GOLD", "issuerRequestId": "ord-1",
		"services": {"issuance": "CREATION", "priority": "URGENT", "delivery": "usps-imb", "cardCarrier": "gold-carrier",
			"packaging": "box", "pinMailer": true},
		"encryptedData": "",
		"paymentApplication": {"config": "visa-di-01", "odaKeyIndex": "01", "derivationKeyIndex": "02", "cvKeyIndex": "03", "pvKeyIndex": "04"},
		"cardDesign": {"cardImage": "img-1", "customLines": ["CREDIT", "SINCE 2026"], "memberId": "member-1"},
		"cardCarrierConfig": {"language": "fr", "customLines": ["Hello <you> & \"them\""]},
		"packagingConfig": {"inserts": ["welcome-letter", "terms"]},
		"shipment": {"type": "BULK", "groupId": "container-001", "orderId": "dispatch-1",
			"deliveryAddress": {"title": "Dr", "firstName": "Test", "lastName": "Hôlder", "companyName": "Example",
				"line1": "1 Example Street", "line2": "Floor 2", "line3": "Door 3", "city": "Sampletown", "state": "XX",
				"zipCode": "00001", "countryCode": "US", "mobilePhoneNumber": "+10000000000"},
			"individualAddress": {"firstName": "Test", "lastName": "Printed", "line1": "1 Example Street",
				"city": "Sampletown", "zipCode": "00001", "countryCode": "FR"}}}`)
	if diff := cmp.Diff(wantOrder, order); diff != "" {
		t.Error(diff)
	}
	wantCard := map[string]any{
		"pan": testPAN, "exp": "3112", "name": "TEST HOLDER", "secondName": "SECOND LINE", "encodedName": "HOLDER/TEST",
		"panSequenceNumber": "01", "effectiveDate": "2601", "cvv1": "001", "cvv2": "002", "pvv": "0003",
	}
	if diff := cmp.Diff(wantCard, card); diff != "" {
		t.Error(diff)
	}
}

func TestEncodeAlwaysSendsTheIndividualAddress(t *testing.T) {
	t.Parallel()
	e, key := newEncoder(t)
	in := plainInstruction()
	in.IndividualAddress, in.ShipmentType = cardholder.Address{}, ""
	body, err := e.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	order, _ := decode(t, body, key)
	shipment, _ := order["shipment"].(map[string]any)
	if diff := cmp.Diff(shipment["deliveryAddress"], shipment["individualAddress"]); diff != "" {
		t.Error(diff)
	}
	if shipment["type"] != "INDIVIDUAL" {
		t.Errorf("type is %v", shipment["type"])
	}
}

func TestEncodePassesAReadyMadeJWEOn(t *testing.T) {
	t.Parallel()
	e, _ := newEncoder(t)
	in := plainInstruction()
	in.Card, in.EncryptedData = nil, "a.b.c.d.e"
	body, err := e.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), `"encryptedData":"a.b.c.d.e"`) {
		t.Error("the JWE of the row is not in the body")
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	e, _ := newEncoder(t)
	for name, spoil := range map[string]func(*cardholder.Instruction){
		"unknown product": func(in *cardholder.Instruction) { in.ProductID = "NONE" },
		"no card data":    func(in *cardholder.Instruction) { in.Card = nil },
		"a JWE too long": func(in *cardholder.Instruction) {
			in.Card, in.EncryptedData = nil, strings.Repeat("x", 8193)
		},
	} {
		in := plainInstruction()
		spoil(&in)
		_, err := e.Encode(in)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, private := range []string{testPAN, "Holder", "HOLDER", "Example Street"} {
			if strings.Contains(err.Error(), private) {
				t.Errorf("%s: the error holds private data", name)
			}
		}
	}
}

// TestEncodeHidesCardData looks for the card data outside the JWE.
func TestEncodeHidesCardData(t *testing.T) {
	t.Parallel()
	e, _ := newEncoder(t)
	body, err := e.Encode(fullInstruction())
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{testPAN, "3112", "TEST HOLDER", "HOLDER/TEST", "0003"} {
		if strings.Contains(string(body), private) {
			t.Error("card data is in clear in the body")
		}
	}
}

// TestJWEIsWhatGoJoseReads holds our JWE against go-jose for all sorts of
// content, and checks that no two share a key.
func TestJWEIsWhatGoJoseReads(t *testing.T) {
	t.Parallel()
	e, key := newEncoder(t)
	seen := map[string]bool{}
	rapid.Check(t, func(rt *rapid.T) {
		in := plainInstruction()
		name := rapid.String().Draw(rt, "name")
		in.Card.Name = text(name)
		body, err := e.Encode(in)
		if err != nil {
			rt.Fatal(err)
		}
		var order struct{ EncryptedData string }
		if err := json.Unmarshal(body, &order); err != nil {
			rt.Fatal(err)
		}
		header, _, _ := strings.Cut(order.EncryptedData, ".")
		if seen[header] {
			rt.Fatal("an ephemeral key was used twice")
		}
		seen[header] = true
		var card struct{ PAN, Name string }
		if err := json.Unmarshal(open(t, order.EncryptedData, key), &card); err != nil {
			rt.Fatal("not JSON")
		}
		if card.PAN != testPAN || card.Name != strings.ToValidUTF8(name, "\ufffd") {
			rt.Fatal("the card data changed on its way")
		}
	})
}

func TestNewEncoderRefuses(t *testing.T) {
	t.Parallel()
	good := newKey(t)
	for name, keys := range map[string][]d1.JWEKey{
		"no key":           nil,
		"no id":            {{Public: &good.PublicKey}},
		"no public key":    {{ID: "k"}},
		"another curve":    {{ID: "k", Public: &p384(t).PublicKey}},
		"a bad second key": {{ID: "k", Public: &good.PublicKey}, {ID: "l"}},
	} {
		if _, err := d1.NewEncoder(d1.EncoderConfig{JWEKeys: keys}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e, _ := newEncoder(b)
	in := plainInstruction()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := e.Encode(in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}

// BenchmarkJWE compares the bare encryption with what go-jose needs for it.
func BenchmarkJWE(b *testing.B) {
	key := newKey(b)
	clearText := fmt.Appendf(nil, `{"pan":%q,"exp":"3112","name":"TEST HOLDER"}`, testPAN)
	b.Run("ours", func(b *testing.B) {
		seal, err := d1.NewSealerForTest(d1.JWEKey{ID: "d1-key-1", Public: &key.PublicKey})
		if err != nil {
			b.Fatal(err)
		}
		benchmarkSeal(b, func() error { _, err := seal(clearText); return err })
	})
	b.Run("go-jose", func(b *testing.B) {
		benchmarkSeal(b, func() error {
			encrypter, err := jose.NewEncrypter(jose.A256GCM,
				jose.Recipient{Algorithm: jose.ECDH_ES, Key: &key.PublicKey, KeyID: "d1-key-1"}, nil)
			if err != nil {
				return err
			}
			jwe, err := encrypter.Encrypt(clearText)
			if err != nil {
				return err
			}
			_, err = jwe.CompactSerialize()
			return err
		})
	})
}

func benchmarkSeal(b *testing.B, seal func() error) {
	b.Helper()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := seal(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "JWE/s")
}
