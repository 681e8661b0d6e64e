package validate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/tableschema"
)

// Rules are what a run's rows are checked against.
type Rules struct {
	Products map[string]issuance.Product // by cardProductId
	Now      time.Time
	JWEKids  []string // D1's key ids known to us; none: any is accepted
}

// Validator checks rows. It is safe for concurrent use.
type Validator struct {
	rules    Rules
	schema   *tableschema.Schema
	products map[string]*issuance.Product
}

// New returns a validator. What the rules refer to must not be changed afterwards.
func New(rules Rules) *Validator {
	v := &Validator{rules: rules, schema: orderfile.Schema(), products: map[string]*issuance.Product{}}
	for id, p := range rules.Products {
		v.products[id] = &p
	}
	return v
}

// Check returns what to tell D1, or every reason why not. A row that could not
// be taken apart has no other errors than that one. Ref is left to the caller.
func (v *Validator) Check(rec orderfile.Record) (cardholder.Instruction, []issuance.RowError) {
	if rec.Err != nil {
		return cardholder.Instruction{}, []issuance.RowError{*rec.Err}
	}
	c := check{v: v, row: rec.Row, line: rec.Line}
	c.cells = rec.Row.AppendValues(make([]string, 0, len(v.schema.Fields)))
	c.columns()
	c.product()
	c.cardData()
	c.shipment()
	c.addresses()
	if len(c.bad) >= slippedColumns {
		c.reduce()
	}
	if len(c.errs) > 0 {
		slices.SortStableFunc(c.errs, func(a, b issuance.RowError) int {
			return v.schema.Index(a.Column) - v.schema.Index(b.Column)
		})
		return cardholder.Instruction{}, c.errs
	}
	return c.instruction(), nil
}

// check is the state of checking one row.
type check struct {
	v     *Validator
	row   *orderfile.Row
	line  int64
	cells []string // by column
	prod  *issuance.Product
	bad   map[string]bool // columns that have an error; nil while there is none
	errs  []issuance.RowError
}

// fail records an error of a column.
func (c *check) fail(column string, code issuance.Code, format string, args ...any) {
	if c.bad == nil {
		c.bad = map[string]bool{}
	}
	c.bad[column] = true
	i := c.v.schema.Index(column)
	c.errs = append(c.errs, issuance.RowError{
		Line: c.line, Column: column, Code: code, Text: fmt.Sprintf(format, args...),
		Masked: show(&c.v.schema.Fields[i], c.cells[i]),
	})
}

// usable reports whether a column has a value without an error so far.
func (c *check) usable(column, value string) bool { return value != "" && !c.bad[column] }

// columns checks every cell by itself, as the schema says.
func (c *check) columns() {
	for i, cell := range c.cells {
		f := &c.v.schema.Fields[i]
		switch f.Check(cell) {
		case tableschema.None:
			if cell != "" && searchedForPAN(f) && c.v.holdsPAN(cell) {
				c.fail(f.Name, issuance.LooksLikePAN, "holds a card number; card numbers belong in pan and nowhere else")
			}
		case tableschema.Required:
			c.fail(f.Name, issuance.RequiredMissing, "is empty, but required: %s", f.Rule)
		case tableschema.Enum:
			c.fail(f.Name, issuance.ValueNotAllowed, "must be %s", f.Rule)
		default:
			c.malformed(f, cell)
		}
	}
}

func (c *check) malformed(f *tableschema.Field, cell string) {
	code := issuance.FormatInvalid
	if f.RejectCode != "" {
		code = issuance.Code(f.RejectCode)
	}
	hint := ""
	switch {
	case f.Name == "expiry" && c.plausibleMMYY(cell):
		hint = hintMMYY
	case strings.TrimSpace(cell) != cell:
		hint = "; it begins or ends with a space"
	}
	c.fail(f.Name, code, "must be %s%s", f.Rule, hint)
}

// product checks the values that the product restricts.
func (c *check) product() {
	r := c.row
	if !c.usable("card_product_id", r.CardProductID) {
		return
	}
	p, ok := c.v.products[r.CardProductID]
	if !ok {
		c.fail("card_product_id", issuance.UnknownProduct, "is not a product we know")
		return
	}
	c.prod = p
	c.allowed("priority", r.Priority, p.Priorities)
	c.allowed("delivery", r.Delivery, p.Deliveries)
	c.allowed("card_carrier", r.CardCarrier, p.Carriers)
	c.allowed("packaging", r.Packaging, p.Packagings)
	if c.usable("packaging_inserts", r.PackagingInserts) {
		for _, insert := range split(r.PackagingInserts) {
			if !slices.Contains(p.Inserts, insert) {
				c.allowed("packaging_inserts", insert, p.Inserts)
				break
			}
		}
	}
}

// allowed checks a value against those of the product.
func (c *check) allowed(column, value string, allowed []string) {
	if !c.usable(column, value) || slices.Contains(allowed, value) {
		return
	}
	if len(allowed) == 0 {
		c.fail(column, issuance.ValueNotAllowed, "product %s has no values for it: leave it empty", c.prod.ID)
		return
	}
	c.fail(column, issuance.ValueNotAllowed, "is not allowed for product %s; allowed: %s", c.prod.ID, strings.Join(allowed, ", "))
}

// shipment checks what belongs to the way of grouping.
func (c *check) shipment() {
	r := c.row
	if c.bad["shipment_type"] {
		return
	}
	if r.ShipmentType == bulk {
		if r.GroupID == "" {
			c.fail("group_id", issuance.GroupRequired, "is empty, but required with shipment_type BULK")
		}
		return
	}
	for _, cell := range []struct{ column, value string }{{"group_id", r.GroupID}, {"dispatch_id", r.DispatchID}} {
		if c.usable(cell.column, cell.value) {
			c.fail(cell.column, issuance.ValueNotAllowed, "is for shipment_type BULK only")
		}
	}
}

const (
	individual = "INDIVIDUAL"
	bulk       = "BULK"
)

// split takes apart a cell with several values.
func split(cell string) []string {
	if cell == "" {
		return nil
	}
	return strings.Split(cell, "|")
}
