package validate

import (
	"slices"
	"strings"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// addresses checks what a single column cannot know.
func (c *check) addresses() {
	delivery, own := deliveryAddress(c.row), individualAddress(c.row)
	c.address("delivery_", delivery)
	if own.IsZero() {
		return
	}
	c.address("individual_", own)
	for _, part := range []struct {
		name string
		text cardholder.Text
	}{{"line1", own.Line1}, {"city", own.City}, {"zip_code", own.ZipCode}, {"country_code", own.CountryCode}} {
		if part.text.IsZero() {
			c.fail("individual_"+part.name, issuance.AddressIncomplete,
				"is empty, but required as soon as any individual_ column is given")
		}
	}
}

func (c *check) address(prefix string, a cardholder.Address) {
	if a.FirstName.IsZero() && a.LastName.IsZero() && a.CompanyName.IsZero() {
		c.fail(prefix+"last_name", issuance.AddressIncomplete,
			"the address has no name: give %[1]sfirst_name, %[1]slast_name or %[1]scompany_name", prefix)
	}
	country := a.CountryCode.Reveal()
	switch {
	case !c.usable(prefix+"country_code", country):
	case !isCountry(country):
		c.fail(prefix+"country_code", issuance.FormatInvalid, "is not a country code of ISO 3166-1 alpha-2")
	case c.prod != nil && !slices.Contains(c.prod.Countries, country):
		c.fail(prefix+"country_code", issuance.CountryNotAllowed, "cards of product %s may not be sent there; allowed: %s",
			c.prod.ID, strings.Join(c.prod.Countries, ", "))
	}
	if c.usable(prefix+"country_code", country) {
		c.postal(prefix+"zip_code", country, a.ZipCode.Reveal())
	}
}

func deliveryAddress(r *orderfile.Row) cardholder.Address {
	return cardholder.Address{
		Title: r.DeliveryTitle, FirstName: r.DeliveryFirstName, LastName: r.DeliveryLastName,
		CompanyName: r.DeliveryCompanyName, Line1: r.DeliveryLine1, Line2: r.DeliveryLine2, Line3: r.DeliveryLine3,
		City: r.DeliveryCity, State: r.DeliveryState, ZipCode: r.DeliveryZipCode,
		CountryCode: cardholder.NewText(r.DeliveryCountryCode), Phone: r.DeliveryPhone,
	}
}

func individualAddress(r *orderfile.Row) cardholder.Address {
	return cardholder.Address{
		Title: r.IndividualTitle, FirstName: r.IndividualFirstName, LastName: r.IndividualLastName,
		CompanyName: r.IndividualCompanyName, Line1: r.IndividualLine1, Line2: r.IndividualLine2, Line3: r.IndividualLine3,
		City: r.IndividualCity, State: r.IndividualState, ZipCode: r.IndividualZipCode,
		CountryCode: cardholder.NewText(r.IndividualCountryCode), Phone: r.IndividualPhone,
	}
}

// countries are the codes officially assigned in ISO 3166-1 alpha-2.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"

// isCountry reports whether two upper-case letters are a country.
func isCountry(code string) bool {
	return len(code) == 2 && strings.Contains(countries, code) && strings.Index(countries, code)%3 == 0
}
