package config

import (
	"fmt"

	"cardbatch/internal/issuance"
)

// Product is what a card program fixes, and what its rows may choose from.
type Product struct {
	// ID is D1's cardProductId, 1 to 48 letters, digits, dashes or underscores.
	// Required, unique.
	ID string `yaml:"id"`
	// BINRanges are the PANs of the program. Rows with clear card data need them.
	BINRanges []BINRange `yaml:"bin_ranges"`
	// ValidityYears is the longest plausible time to a card's expiry. Default: 6.
	ValidityYears int `yaml:"validity_years"`
	// Transliterate writes names in letters that can be embossed, É as E, as
	// schemas/README.md lists them, instead of rejecting the row. Default: false.
	Transliterate bool `yaml:"transliterate"`
	// Priorities are the values of the column priority. Default: none may be given.
	Priorities []string `yaml:"priorities"`
	// UrgentPriorities are those of them that are sent before everything else.
	UrgentPriorities []string `yaml:"urgent_priorities"`
	// Deliveries are the values of the column delivery. Required.
	Deliveries []string `yaml:"deliveries"`
	// CardCarriers are the values of the column card_carrier.
	CardCarriers []string `yaml:"card_carriers"`
	// DefaultCardCarrier is used for rows that name none. Default: D1's own, NO_CARRIER.
	DefaultCardCarrier string `yaml:"default_card_carrier"`
	// Packagings are the values of the column packaging.
	Packagings []string `yaml:"packagings"`
	// DefaultPackaging is used for rows that name none. Default: D1's own, NO_PACK.
	DefaultPackaging string `yaml:"default_packaging"`
	// PackagingInserts are the values of the column packaging_inserts.
	PackagingInserts []string `yaml:"packaging_inserts"`
	// Countries are the ISO 3166-1 alpha-2 codes cards may be sent to. Required.
	Countries []string `yaml:"countries"`
	// ChipConfig is paymentApplication.config, set at onboarding. Required.
	ChipConfig string `yaml:"chip_config"`
	// ODAKeyIndex is paymentApplication.odaKeyIndex. Required.
	ODAKeyIndex string `yaml:"oda_key_index"`
	// DerivationKeyIndex is paymentApplication.derivationKeyIndex. Required.
	DerivationKeyIndex string `yaml:"derivation_key_index"`
	// CVKeyIndex is paymentApplication.cvKeyIndex. Default: empty, not sent.
	CVKeyIndex string `yaml:"cv_key_index"`
	// PVKeyIndex is paymentApplication.pvKeyIndex. Default: empty, not sent.
	PVKeyIndex string `yaml:"pv_key_index"`
	Ageing     Ageing `yaml:"ageing"`
}

// BINRange is a range of PANs by their first digits.
type BINRange struct {
	// Low is the first prefix of the range, 6 to 12 digits in quotes. Required.
	Low string `yaml:"low"`
	// High is the last prefix, as long as Low. Default: Low, one prefix only.
	High string `yaml:"high"`
	// Length is the number of digits of the PAN, 12 to 19. Default: 16.
	Length int `yaml:"length"`
}

// IssuanceProducts returns the products as the domain knows them, by id.
func (c *Config) IssuanceProducts() map[string]issuance.Product {
	products := make(map[string]issuance.Product, len(c.Products))
	for _, p := range c.Products {
		products[p.ID] = p.issuance()
	}
	return products
}

func (p Product) issuance() issuance.Product {
	ranges := make([]issuance.BINRange, len(p.BINRanges))
	for i, r := range p.BINRanges {
		ranges[i] = issuance.BINRange(r)
	}
	return issuance.Product{
		ID: p.ID, BINRanges: ranges, ValidityYears: p.ValidityYears, Transliterate: p.Transliterate,
		Priorities: p.Priorities, UrgentPriorities: p.UrgentPriorities, Deliveries: p.Deliveries,
		Carriers: p.CardCarriers, DefaultCarrier: p.DefaultCardCarrier,
		Packagings: p.Packagings, DefaultPackaging: p.DefaultPackaging,
		Inserts: p.PackagingInserts, Countries: p.Countries,
		ChipConfig: p.ChipConfig, ODAKeyIndex: p.ODAKeyIndex, DerivationKeyIndex: p.DerivationKeyIndex,
		CVKeyIndex: p.CVKeyIndex, PVKeyIndex: p.PVKeyIndex,
	}
}

// JWEKeyIDs returns the key ids that an issuer's ready-made JWEs may have.
func (i Issuer) JWEKeyIDs() []string {
	ids := make([]string, len(i.D1.JWEKeys))
	for n, k := range i.D1.JWEKeys {
		ids[n] = k.KeyID
	}
	return ids
}

func at(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
