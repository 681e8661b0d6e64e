package sample

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// fit makes a row order a given product, with values that it allows.
func (g *generator) fit(row *orderfile.Row, n int64, p *issuance.Product) {
	one := func(choices []string) string {
		if len(choices) == 0 {
			return ""
		}
		return g.pick(choices...)
	}
	row.CardProductID, row.PackagingInserts = p.ID, ""
	row.Delivery = one(p.Deliveries)
	row.Priority = one(append([]string{""}, p.Priorities...))
	row.PAN = cardholder.NewPAN(panOf(p.BINRanges[0], n))
	if p.ValidityYears > 0 && p.ValidityYears < 5 {
		row.Expiry = cardholder.NewText(g.o.Now.AddDate(p.ValidityYears, -g.rnd.IntN(6), 0).Format("0601"))
	}
	g.move(row, p.Countries)
}

// panOf returns the n-th PAN of a range.
func panOf(r issuance.BINRange, n int64) string {
	digits := r.Length - 1 - len(r.Low)
	number := fmt.Sprintf("%0*d", digits, n)
	return cardholder.WithCheckDigit(r.Low + number[len(number)-digits:])
}

// move lets the people of a row live where cards may be sent.
func (g *generator) move(row *orderfile.Row, countries []string) {
	allowed := slices.DeleteFunc(places(), func(home place) bool { return !slices.Contains(countries, home.country) })
	if len(allowed) == 0 {
		home, _ := placeIn(countries)
		allowed = []place{home}
	}
	text := cardholder.NewText
	home := allowed[g.rnd.IntN(len(allowed))]
	row.DeliveryLine1 = text(fmt.Sprintf("%d %s %06d", 1+g.rnd.IntN(99), home.line1, g.number))
	row.DeliveryCity, row.DeliveryZipCode, row.DeliveryCountryCode = text(home.city), text(home.zip), home.country
	if !row.IndividualLine1.IsZero() {
		row.IndividualLine1 = text("Counter, " + row.DeliveryLine1.Reveal())
		row.IndividualCity, row.IndividualZipCode, row.IndividualCountryCode = row.DeliveryCity, row.DeliveryZipCode, home.country
	}
}

// placeIn returns a made-up place in one of the countries, if we know a good
// postal code of one.
func placeIn(countries []string) (place, bool) {
	zips := map[string]string{
		"AT": "1010", "BE": "4999", "CA": "K1A 0B1", "CH": "8001", "CZ": "110 00", "DE": "50999", "DK": "1050", "ES": "28001", "FI": "00100",
		"FR": "25000", "GB": "M1 1AE", "GR": "104 31", "IE": "D02 X285", "IT": "00118", "LU": "1234", "NL": "1012 AB", "NO": "0150",
		"PL": "00-950", "PT": "1000-001", "SE": "114 55", "US": "10099",
	}
	for _, country := range countries {
		if zip, ok := zips[country]; ok {
			return place{"Sample Street", zip, "Sampleton", country}, true
		}
	}
	if len(countries) == 0 {
		return place{}, false
	}
	return place{"Sample Street", strings.Repeat("9", 5), "Sampleton", countries[0]}, false
}

// Fits says why no rows can be made for a product, nil when they can.
func Fits(p *issuance.Product) error {
	if len(p.BINRanges) == 0 {
		return errors.New("it has no BIN ranges: its rows bring ready-made JWEs")
	}
	if len(p.BINRanges[0].Low) > p.BINRanges[0].Length-2 || p.BINRanges[0].Length > 19 {
		return errors.New("its first BIN range leaves no room for card numbers")
	}
	return nil
}
