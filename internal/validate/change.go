package validate

import (
	"slices"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

// ChangeValidator checks the rows of change files. It is safe for concurrent use.
type ChangeValidator struct{ v *Validator }

// NewChanges returns a validator of change files. Of the rules it uses the
// products: which of them an order is of is not known here, so a country must
// be one of any product's. The stage that makes the change asks again.
func NewChanges(rules Rules) *ChangeValidator {
	v := New(rules)
	v.schema = orderfile.ChangeSchema()
	return &ChangeValidator{v}
}

// Check returns what to tell D1, or every reason why not.
func (cv *ChangeValidator) Check(rec orderfile.Record) (cardholder.ChangeInstruction, []issuance.RowError) {
	if rec.Err != nil {
		return cardholder.ChangeInstruction{}, []issuance.RowError{*rec.Err}
	}
	r := rec.Change
	c := check{v: cv.v, line: rec.Line, cells: r.AppendValues(make([]string, 0, len(cv.v.schema.Fields)))}
	c.columns()
	address := newAddress(r)
	if !c.bad["change"] {
		if issuance.ChangeType(r.Change).Redirects() {
			c.newAddress(address)
		} else {
			c.noAddress(r.Change)
		}
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b issuance.RowError) int {
			return cv.v.schema.Index(a.Column) - cv.v.schema.Index(b.Column)
		})
		return cardholder.ChangeInstruction{}, c.errs
	}
	return cardholder.ChangeInstruction{OrderID: r.OrderID, Change: r.Change, Address: address}, nil
}

func (c *check) newAddress(a cardholder.Address) {
	for _, part := range []struct {
		name string
		text cardholder.Text
	}{{"line1", a.Line1}, {"city", a.City}, {"zip_code", a.ZipCode}, {"country_code", a.CountryCode}} {
		if part.text.IsZero() {
			c.fail("delivery_"+part.name, issuance.AddressIncomplete, "is empty, but required for a new address")
		}
	}
	c.address("delivery_", a)
	country := a.CountryCode.Reveal()
	if c.usable("delivery_country_code", country) && !c.v.sendsTo(country) {
		c.fail("delivery_country_code", issuance.CountryNotAllowed, "no product's cards may be sent there")
	}
}

func (v *Validator) sendsTo(country string) bool {
	for _, p := range v.products {
		if slices.Contains(p.Countries, country) {
			return true
		}
	}
	return len(v.products) == 0
}

// noAddress reports an address that would not be used: whoever has written it
// means that the card goes there.
func (c *check) noAddress(change string) {
	for i, cell := range c.cells {
		if name := c.v.schema.Fields[i].Name; cell != "" && name != "order_id" && name != "change" && !c.bad[name] {
			c.fail(name, issuance.ValueNotAllowed, "has a value, but %s has no new address; is REDIRECT meant?", change)
		}
	}
}

func newAddress(r *orderfile.ChangeRow) cardholder.Address {
	return cardholder.Address{
		Title: r.DeliveryTitle, FirstName: r.DeliveryFirstName, LastName: r.DeliveryLastName,
		CompanyName: r.DeliveryCompanyName, Line1: r.DeliveryLine1, Line2: r.DeliveryLine2, Line3: r.DeliveryLine3,
		City: r.DeliveryCity, State: r.DeliveryState, ZipCode: r.DeliveryZipCode,
		CountryCode: cardholder.NewText(r.DeliveryCountryCode), Phone: r.DeliveryPhone,
	}
}

// Summary returns what may be kept of a row whether or not it is a change: the
// order and what is asked, reduced to their shapes where they break their rule.
func (cv *ChangeValidator) Summary(rec orderfile.Record) issuance.Change {
	r := rec.Change
	if r == nil {
		return issuance.Change{Line: rec.Line}
	}
	return issuance.Change{Line: rec.Line, OrderID: cv.v.id("order_id", r.OrderID), Type: issuance.ChangeType(cv.v.id("change", r.Change))}
}
