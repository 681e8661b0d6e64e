package validate

import (
	"strings"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
	"cardbatch/internal/tableschema"
)

// maxShown is the longest value that is shown, in bytes.
const maxShown = 64

// The lengths of numbers that are taken for PANs.
const (
	shortestPAN = 13
	longestPAN  = 19
)

// show returns as much of a cell as anybody may see: of a PAN the first six and
// last four digits, of other sensitive columns nothing. Of the rest, values
// that read like a code are shown, and others reduced to their shape, because
// a row whose columns are shifted has names anywhere.
func show(f *tableschema.Field, cell string) string {
	switch f.Sensitive {
	case tableschema.PAN:
		return showPAN(cell)
	case tableschema.Public:
		return showCode(cell)
	default:
		return ""
	}
}

// showPAN masks what has enough digits for first six and last four to hide
// something, and shows nothing of anything else.
func showPAN(cell string) string {
	if len(cell) < shortestPAN || len(cell) > longestPAN || strings.Trim(cell, "0123456789") != "" {
		return ""
	}
	return cardholder.NewPAN(cell).Masked()
}

func showCode(cell string) string {
	if masked := showPAN(cell); masked != "" {
		return masked
	}
	for i := range len(cell) {
		if !isCode(cell[i]) {
			return shape(cell)
		}
	}
	if longestNumber(cell) >= shortestPAN || len(cell) > maxShown {
		return shape(cell)
	}
	return cell
}

func isCode(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-.|", c) >= 0
}

// shape replaces letters by a or A and digits by 9, so that the value can be
// recognized by those who have it and by nobody else.
func shape(cell string) string {
	var b strings.Builder
	for i, r := range cell {
		if i >= maxShown/2 {
			b.WriteString("...")
			break
		}
		switch {
		case r >= 'a' && r <= 'z':
			r = 'a'
		case r >= 'A' && r <= 'Z':
			r = 'A'
		case r >= '0' && r <= '9':
			r = '9'
		case r < ' ' || r > '~':
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// longestNumber returns the length of the longest run of digits; single spaces
// and hyphens between digits do not end a run.
func longestNumber(cell string) int {
	longest := 0
	eachNumber(cell, func(digits []byte) bool {
		longest = max(longest, len(digits))
		return true
	})
	return longest
}

// searchedForPAN reports whether a column is searched for PANs that do not
// belong there. Telephone numbers are as long and as random as PANs.
func searchedForPAN(f *tableschema.Field) bool {
	return f.Sensitive != tableschema.PAN && f.Name != "encrypted_data" && !strings.HasSuffix(f.Name, "_phone")
}

// holdsPAN reports whether a text has a number in it that is a PAN of one of
// our products, also when its digits are grouped.
func (v *Validator) holdsPAN(text string) bool {
	if digitsIn(text) < shortestPAN { // nearly always
		return false
	}
	found := false
	eachNumber(text, func(digits []byte) bool {
		if len(digits) >= shortestPAN && len(digits) <= longestPAN {
			found = v.isOurPAN(string(digits))
		}
		return !found
	})
	return found
}

func digitsIn(text string) int {
	n := 0
	for i := range len(text) {
		if text[i] >= '0' && text[i] <= '9' {
			n++
		}
	}
	return n
}

func (v *Validator) isOurPAN(digits string) bool {
	if !cardholder.LooksLikePAN(digits) {
		return false
	}
	for _, p := range v.products {
		if p.HasBIN(digits) {
			return true
		}
	}
	return false
}

// eachNumber calls yield with every run of digits, until it returns false.
func eachNumber(text string, yield func(digits []byte) bool) {
	var room [32]byte
	digits := room[:0]
	isDigit := func(i int) bool { return i < len(text) && text[i] >= '0' && text[i] <= '9' }
	for i := 0; i <= len(text); i++ {
		switch {
		case isDigit(i):
			digits = append(digits, text[i])
		case len(digits) == 0:
		case i < len(text) && (text[i] == ' ' || text[i] == '-') && isDigit(i+1):
		default:
			if !yield(digits) {
				return
			}
			digits = digits[:0]
		}
	}
}

// slippedColumns is in how many columns a value must be wrong before the row is
// taken for one whose cells stand in other columns than theirs.
const slippedColumns = 6

// slipped reports whether the cells of a row seem to stand in other columns
// than theirs, so that what reads like a code may be a name. It is asked about
// rows of no known product only, so it may take its time.
func (v *Validator) slipped(r *orderfile.Row) bool {
	wrong := 0
	for i, cell := range r.AppendValues(nil) {
		if v.schema.Fields[i].Check(cell) != tableschema.None {
			wrong++
		}
	}
	return wrong >= slippedColumns
}

// reduce leaves of the values shown for a slipped row nothing but their shapes;
// masked PANs stay.
func (c *check) reduce() {
	for i := range c.errs {
		cell := c.cells[c.v.schema.Index(c.errs[i].Column)]
		if c.errs[i].Masked == cell {
			c.errs[i].Masked = shape(cell)
		}
	}
}

// Summary returns what may be kept of a row whether or not it is an order: its
// ids, its product and the masked PAN. What breaks its column's rule is reduced
// to its shape, and a PAN of ours in the place of an id is masked; so are, in a
// slipped row, words without a digit, which may be names. Ref, issuer and the
// keyed digests are left to the caller.
func (v *Validator) Summary(rec orderfile.Record) issuance.Order {
	r := rec.Row
	if r == nil {
		return issuance.Order{Line: rec.Line}
	}
	p, known := v.products[r.CardProductID]
	id := v.id
	if !known && v.slipped(r) {
		id = func(column, value string) string {
			if !strings.ContainsAny(value, "0123456789") {
				return shape(value)
			}
			return v.id(column, value)
		}
	}
	o := issuance.Order{
		Line:       rec.Line,
		OrderID:    id("order_id", r.OrderID),
		CardID:     id("card_id", r.CardID),
		ConsumerID: id("consumer_id", r.ConsumerID),
		ProductID:  id("card_product_id", r.CardProductID),
		Issuance:   id("issuance", r.Issuance),
		Priority:   id("priority", r.Priority),
		MaskedPAN:  showPAN(r.PAN.Reveal()),
	}
	o.Urgency = issuance.UrgencyOf(o.Issuance, known && p.Urgent(o.Priority))
	o.Production.NoShipment = r.Delivery == issuance.NoShipment
	return o
}

func (v *Validator) id(column, value string) string {
	f := &v.schema.Fields[v.schema.Index(column)]
	switch {
	case value == "":
		return ""
	case v.holdsPAN(value):
		if masked := showPAN(value); masked != "" {
			return masked
		}
		return shape(value)
	case f.Check(value) != tableschema.None:
		return shape(value)
	default:
		return value
	}
}
