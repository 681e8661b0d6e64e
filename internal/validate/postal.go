package validate

import (
	"strings"

	"cardbatch/internal/issuance"
)

// postalForms are the forms of postal codes as the Universal Postal Union
// publishes them: on each line the countries, then the forms. In a form, 9 is a
// digit, A a letter, X either, _ a space that may be left out, and everything
// else stands for itself. Countries without postal codes, and those not
// listed, take anything.
const postalForms = `
FR MC GP MQ GF RE YT PM BL MF DE ES IT SM VA FI AX HR EE RS BA ME TR UA MX MA DZ TH MY ID KR: 99999
BE CH LI AT NO DK HU SI BG CY MK GE TN AU NZ ZA: 9999
LU: 9999 L-9999
NL: 9999_AA
PT: 9999-999
PL: 99-999
CZ SK SE GR: 999_99
IN: 999_999
RO SG CN: 999999
LT: 99999 LT-99999
LV: 9999 LV-9999
IS: 999
MT: AAA_9999
IE: A99_XXXX A9A_XXXX
GB GG JE IM: A9_9AA A99_9AA AA9_9AA AA99_9AA A9A_9AA AA9A_9AA
US PR GU VI AS MP: 99999 99999-9999
CA: A9A_9A9
BR: 99999-999
JP: 999-9999
`

// newPostalForms returns the forms by country.
func newPostalForms() map[string][]string {
	byCountry := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(postalForms)) {
		countries, forms, _ := strings.Cut(line, ":")
		for _, country := range strings.Fields(countries) {
			byCountry[country] = strings.Fields(forms)
		}
	}
	return byCountry
}

// postal checks the form of a postal code where the country has one.
func (c *check) postal(column, country, code string) {
	forms := c.v.postal[country]
	if len(forms) == 0 || !c.usable(column, code) {
		return
	}
	for _, form := range forms {
		if hasForm(code, form) {
			return
		}
	}
	c.fail(column, issuance.PostalCodeInvalid, "is not a postal code of %s, which look like %s (9: a digit, A: a letter, X: either)",
		country, strings.ReplaceAll(strings.Join(forms, " or "), "_", " "))
}

// hasForm compares without regard to case.
func hasForm(code, form string) bool {
	i := 0
	for j := range len(form) {
		var c byte
		if i < len(code) {
			c = code[i]
		}
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		digit := c >= '0' && c <= '9'
		switch f := form[j]; {
		case f == '_' && c != ' ':
			continue
		case f == '9' && !digit, f == 'A' && !letter, f == 'X' && !letter && !digit,
			strings.IndexByte("9AX_", f) < 0 && c != f:
			// The letters of L-, LT- and LV- are not placeholders: A and X stand in none of them.
			return false
		}
		i++
	}
	return i == len(code)
}
