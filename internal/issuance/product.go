package issuance

import "strings"

// Product is what a card program fixes, so that rows need not say it. It comes
// from the configuration.
type Product struct {
	ID            string     // D1's cardProductId
	BINRanges     []BINRange // at least one unless every row brings a ready-made JWE
	ValidityYears int        // an expiry further ahead is implausible
	Transliterate bool       // names may be written in letters that can be embossed

	Priorities         []string // values of services.priority set at onboarding
	UrgentPriorities   []string // those of them that go first
	Deliveries         []string // values of services.delivery
	Carriers           []string // values of services.cardCarrier
	Packagings         []string // values of services.packaging
	Inserts            []string // values of packagingConfig.inserts
	Countries          []string // ISO 3166-1 alpha-2 codes cards may be sent to
	DefaultCarrier     string
	DefaultPackaging   string
	ChipConfig         string // paymentApplication.config
	ODAKeyIndex        string
	DerivationKeyIndex string
	CVKeyIndex         string // empty: not sent
	PVKeyIndex         string // empty: not sent
}

// BINRange is a range of PANs: those of the given length whose first digits
// lie between Low and High, both inclusive and equally long.
type BINRange struct {
	Low    string
	High   string
	Length int // digits of the PAN
}

// Contains reports whether a PAN, digits only, lies in the range.
func (r BINRange) Contains(pan string) bool {
	if len(pan) != r.Length || len(pan) < len(r.Low) {
		return false
	}
	prefix := pan[:len(r.Low)]
	return r.Low <= prefix && prefix <= r.High
}

// HasBIN reports whether a PAN, digits only, belongs to the product.
func (p *Product) HasBIN(pan string) bool {
	for _, r := range p.BINRanges {
		if r.Contains(pan) {
			return true
		}
	}
	return false
}

// Urgent reports whether a priority goes first.
func (p *Product) Urgent(priority string) bool {
	for _, u := range p.UrgentPriorities {
		if strings.EqualFold(u, priority) {
			return true
		}
	}
	return false
}
