package orderfile

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"cardbatch/internal/cardholder"
)

// fullRow has every column filled that a row with clear card data may have.
func fullRow() *Row {
	text := cardholder.NewText
	return &Row{
		OrderID: "ord-20300301-000001", CardID: "card-20300301-000001", ConsumerID: "c-000001",
		CardProductID: "VISA_DEBIT_STD", Issuance: "CREATION", Priority: "STANDARD", Delivery: "laposte-cip",
		CardCarrier: "std-carrier", Packaging: "standard-envelope",
		PackagingInserts: "welcome-letter|terms-and-conditions-v3", PINMailer: "true",
		PAN: cardholder.NewPAN("4111110000000187"), Expiry: text("3006"),
		CardholderName: text("ZOFIA TESTOWA"), SecondName: text("TESTOWA SARL"), EncodedName: text("TESTOWA/ZOFIA"),
		PANSequenceNumber: text("01"), EffectiveDate: text("260301"), CVV1: text("123"), CVV2: text("456"), PVV: text("7890"),
		CardImage: "img-000001", MemberID: text("M-000001"), DesignLines: text("Credit|Since 2026"),
		CarrierLanguage: "fr", CarrierLines: text("Bonjour|Bienvenue"),
		ShipmentType: "BULK", GroupID: "container-001", DispatchID: "dispatch-2030-03-01",
		DeliveryTitle: text("Mme"), DeliveryFirstName: text("Zofia"), DeliveryLastName: text("Testowa 000123"),
		DeliveryCompanyName: text("Testowa SARL"), DeliveryLine1: text("17 Rue du Specimen 000123"), DeliveryLine2: text("Bât. B"),
		DeliveryLine3: text("c/o Specimen"), DeliveryCity: text("Besançon"), DeliveryState: text("Doubs"), DeliveryZipCode: text("25000"),
		DeliveryCountryCode: "FR", DeliveryPhone: text("+33100000000"),
		IndividualTitle: text("Mme"), IndividualFirstName: text("Zofia"), IndividualLastName: text("Testowa 000123"),
		IndividualCompanyName: text("Testowa SARL"), IndividualLine1: text("17 Rue du Specimen 000123"), IndividualLine2: text("Bât. B"),
		IndividualLine3: text("c/o Specimen"), IndividualCity: text("Besançon"), IndividualState: text("Doubs"), IndividualZipCode: text("25000"),
		IndividualCountryCode: "FR", IndividualPhone: text("+33100000000"),
	}
}

func encoded(tb testing.TB, rows ...*Row) []byte {
	tb.Helper()
	var b bytes.Buffer
	e, err := NewEncoder(&b)
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			tb.Fatal(err)
		}
	}
	if err := e.Flush(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func BenchmarkDecode(b *testing.B) {
	rows := make([]*Row, 1000)
	for i := range rows {
		rows[i] = fullRow()
	}
	file := encoded(b, rows...)
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	n := 0
	for b.Loop() {
		d, err := NewDecoder(bytes.NewReader(file), Options{})
		if err != nil {
			b.Fatal(err)
		}
		for {
			rec, err := d.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || rec.Err != nil {
				b.Fatal("unreadable")
			}
			n++
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkDecodeFormat reads the same rows in a bank's own format.
func BenchmarkDecodeFormat(b *testing.B) {
	named := map[string]string{}
	for _, name := range Schema().Names() {
		named[name] = "F_" + name
	}
	for name, f := range map[string]Format{
		"charset": {Charset: Windows1252}, "utf-16": {Charset: UTF16},
		"columns and values": {Delimiter: ";", Columns: named, Values: map[string]map[string]string{"issuance": {"N": "CREATION", "R": "RENEWAL"}}},
	} {
		b.Run(name, func(b *testing.B) {
			l := layoutOf(b, f)
			rows := make([]*Row, 1000)
			for i := range rows {
				rows[i] = fullRow()
			}
			file := encodedAs(b, l, rows...)
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				d, err := NewDecoder(bytes.NewReader(file), Options{Layout: l})
				for err == nil {
					var rec Record
					if rec, err = d.Next(); rec.Err != nil {
						b.Fatal("unreadable")
					}
					n++
				}
				if !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
