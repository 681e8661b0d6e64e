package validate

import (
	"strings"
	"time"

	"cardbatch/internal/issuance"
)

const hintMMYY = "; it looks like MMYY"

// cardData checks that there is either clear card data or a JWE, and which.
func (c *check) cardData() {
	r := c.row
	clear := [...]struct {
		column string
		empty  bool
		need   bool
	}{
		{"pan", r.PAN.IsZero(), true},
		{"expiry", r.Expiry.IsZero(), true},
		{"cardholder_name", r.CardholderName.IsZero(), true},
		{"second_name", r.SecondName.IsZero(), false},
		{"encoded_name", r.EncodedName.IsZero(), false},
		{"pan_sequence_number", r.PANSequenceNumber.IsZero(), false},
		{"effective_date", r.EffectiveDate.IsZero(), false},
		{"cvv1", r.CVV1.IsZero(), false},
		{"cvv2", r.CVV2.IsZero(), false},
		{"pvv", r.PVV.IsZero(), false},
	}
	var given, missing []string
	for _, cell := range clear {
		if !cell.empty {
			given = append(given, cell.column)
		} else if cell.need {
			missing = append(missing, cell.column)
		}
	}
	switch {
	case r.EncryptedData != "" && len(given) > 0:
		c.fail("encrypted_data", issuance.CardDataTwice, "is given together with %s; send one of the two", strings.Join(given, ", "))
	case r.EncryptedData == "" && len(given) == 0:
		c.fail("pan", issuance.CardDataMissing, "the row has neither pan, expiry and cardholder_name nor encrypted_data")
	case r.EncryptedData == "":
		for _, column := range missing {
			c.fail(column, issuance.CardDataMissing, "is empty, but required when there is no encrypted_data")
		}
	}
	if c.usable("encrypted_data", r.EncryptedData) {
		if fault := checkJWE(r.EncryptedData, c.v.rules.JWEKids); fault != "" {
			c.fail("encrypted_data", issuance.JWEMalformed, "%s", fault)
		}
	}
	c.pan()
	c.expiry()
	if date := r.EffectiveDate.Reveal(); c.usable("effective_date", date) {
		if _, err := time.Parse("060102", date); err != nil {
			c.fail("effective_date", issuance.FormatInvalid, "is not a date (YYMMDD)")
		}
	}
}

func (c *check) pan() {
	digits := c.row.PAN.Reveal()
	switch {
	case !c.usable("pan", digits):
	case !c.row.PAN.Valid():
		c.fail("pan", issuance.PANInvalid, "the check digit (Luhn) is wrong")
	case c.prod != nil && !c.prod.HasBIN(digits):
		c.fail("pan", issuance.PANOutsideBIN, "is in none of the BIN ranges of product %s", c.prod.ID)
	}
}

// expiry checks that the card will be valid, and not for longer than the
// product's cards are. The last month counts in full.
func (c *check) expiry() {
	yymm := c.row.Expiry.Reveal()
	if !c.usable("expiry", yymm) {
		return
	}
	month, now := monthOf(yymm[:2], yymm[2:]), c.month()
	switch {
	case month < now:
		c.fail("expiry", issuance.ExpiryImplausible, "is in the past; YYMM is agreed")
	case c.beyondValidity(month):
		c.fail("expiry", issuance.ExpiryImplausible, "is further ahead than the %d years of product %s; YYMM is agreed",
			c.prod.ValidityYears, c.prod.ID)
	}
}

func (c *check) month() int {
	now := c.v.rules.Now.UTC()
	return now.Year()*12 + int(now.Month()) - 1
}

// beyondValidity says whether a card issued now would be valid for too long. A
// product without a validity allows anything.
func (c *check) beyondValidity(month int) bool {
	return c.prod != nil && c.prod.ValidityYears > 0 && month > c.month()+12*c.prod.ValidityYears
}

// plausibleMMYY reports whether four digits would be a good expiry the wrong
// way round. Years after 2012 are no months, so a good MMYY is never a good
// YYMM and always among the malformed.
func (c *check) plausibleMMYY(cell string) bool {
	if len(cell) != 4 || strings.Trim(cell, "0123456789") != "" {
		return false
	}
	if mm := cell[:2]; mm < "01" || mm > "12" {
		return false
	}
	month := monthOf(cell[2:], cell[:2])
	return month >= c.month() && !c.beyondValidity(month)
}

// monthOf counts months from the year 0. Both arguments are two digits.
func monthOf(yy, mm string) int {
	two := func(s string) int { return int(s[0]-'0')*10 + int(s[1]-'0') }
	return (2000+two(yy))*12 + two(mm) - 1
}
