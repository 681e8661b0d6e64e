package sample

import (
	"encoding/base64"
	"fmt"
	"strings"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// The products that generated rows use.
const (
	ProductVisa       = "VISA_DEBIT_STD"
	ProductMastercard = "MC_CREDIT_GOLD"
)

// Kid is the key id in the made-up JWEs.
const Kid = "d1-test-key-1"

// Products returns the configuration that generated rows are right for: that
// of samples/config.
func Products() map[string]issuance.Product {
	product := func(id, bin, chip string) issuance.Product {
		return issuance.Product{
			ID: id, BINRanges: []issuance.BINRange{{Low: bin, High: bin, Length: 16}}, ValidityYears: 6,
			Priorities: []string{"STANDARD", "URGENT"}, UrgentPriorities: []string{"URGENT"},
			Deliveries: []string{"usps-imb", "laposte-cip", "NO_SHIPMENT"},
			Carriers:   []string{"std-carrier"}, DefaultCarrier: "std-carrier",
			Packagings: []string{"standard-envelope"}, DefaultPackaging: "standard-envelope",
			Inserts:    []string{"welcome-letter", "terms-and-conditions-v3"},
			Countries:  []string{"FR", "DE", "BE", "US"},
			ChipConfig: chip, ODAKeyIndex: "01", DerivationKeyIndex: "01",
		}
	}
	return map[string]issuance.Product{
		ProductVisa:       product(ProductVisa, "411111", "visa-di-01"),
		ProductMastercard: product(ProductMastercard, "555555", "mc-di-01"),
	}
}

// damage gives a good row one fault and returns the code it must be rejected with.
func (g *generator) damage(row *orderfile.Row) issuance.Code {
	text := cardholder.NewText
	faults := []func() issuance.Code{
		func() issuance.Code {
			row.PAN = cardholder.NewPAN(wrongCheckDigit(row.PAN.Reveal()))
			return issuance.PANInvalid
		},
		func() issuance.Code { row.Expiry = text("2001"); return issuance.ExpiryImplausible },
		func() issuance.Code { row.DeliveryCountryCode = "KP"; return issuance.CountryNotAllowed },
		func() issuance.Code {
			row.CardholderName = text(row.CardholderName.Reveal() + "!")
			return issuance.NameNotEmbossable
		},
		func() issuance.Code { row.Delivery = ""; return issuance.RequiredMissing },
		func() issuance.Code { row.CardProductID = "NO_SUCH_PRODUCT"; return issuance.UnknownProduct },
		func() issuance.Code { row.ConsumerID = row.PAN.Reveal(); return issuance.LooksLikePAN },
		func() issuance.Code { row.DeliveryCity = text(""); return issuance.RequiredMissing },
		func() issuance.Code { row.CardID += " "; return issuance.FormatInvalid },
		func() issuance.Code { row.Priority = "YESTERDAY"; return issuance.ValueNotAllowed },
	}
	if row.EncryptedData != "" { // it has no card data to damage
		faults = faults[4:6]
	}
	g.faults++
	return faults[g.faults%len(faults)]()
}

func wrongCheckDigit(pan string) string {
	last := len(pan) - 1
	return pan[:last] + string('0'+(pan[last]-'0'+1)%10)
}

// useJWE replaces the card data by a JWE that is well formed and made of noise.
func (g *generator) useJWE(row *orderfile.Row) {
	row.PAN, row.Expiry, row.CardholderName = cardholder.PAN{}, cardholder.Text{}, cardholder.Text{}
	row.EncryptedData = NoiseJWE(Kid, func() byte { return byte(g.rnd.Uint32()) })
}

// NoiseJWE returns a compact JWE with a proper header and random content.
func NoiseJWE(kid string, random func() byte) string {
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = random()
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	header := fmt.Sprintf(`{"alg":"ECDH-ES","enc":"A256GCM","kid":%q,"epk":{"kty":"EC","crv":"P-256","x":%q,"y":%q}}`,
		kid, noise(32), noise(32))
	return strings.Join([]string{
		base64.RawURLEncoding.EncodeToString([]byte(header)), "", noise(12), noise(96), noise(16),
	}, ".")
}
