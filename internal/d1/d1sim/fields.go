package d1sim

import (
	"slices"
	"unicode/utf8"
)

// A rule says what one member of an object must look like. The rules of an
// object are in the documented order of its members, and a member's own
// members come right after it: that is the order in which "the first field in
// error" is found.
type rule struct {
	name     string
	path     string // set by withPaths
	required bool
	kind     kind
	format   func([]byte) bool // of a string, or of every string of an array
	values   []string          // enumeration; empty: any
	members  []rule            // of an object
}

// fieldError names the field and what is wrong with it.
type fieldError struct {
	code  string
	field string
}

// check walks the rules over an object and returns the first field in error.
func (d *document) check(object int, rules []rule) *fieldError {
	for i := range rules {
		r := &rules[i]
		at := d.member(object, r.name)
		if !d.present(at) {
			if r.required {
				return &fieldError{codeFormat, r.path}
			}
			continue
		}
		if d.nodes[at].kind != r.kind {
			return &fieldError{codeFormat, r.path}
		}
		if e := d.checkValue(at, r); e != nil {
			return e
		}
	}
	return nil
}

func (d *document) checkValue(at int, r *rule) *fieldError {
	switch r.kind {
	case kindObject:
		return d.check(at, r.members)
	case kindString:
		return d.checkString(at, r)
	case kindArray:
		var e *fieldError
		d.items(at, func(i int) bool {
			if d.nodes[i].kind != kindString {
				e = &fieldError{codeFormat, r.path}
			} else {
				e = d.checkString(i, r)
			}
			return e == nil
		})
		return e
	default:
		return nil
	}
}

func (d *document) checkString(at int, r *rule) *fieldError {
	v := d.text(at)
	if r.format != nil && !r.format(v) {
		return &fieldError{codeFormat, r.path}
	}
	if len(r.values) > 0 && !slices.ContainsFunc(r.values, func(s string) bool { return s == string(v) }) {
		return &fieldError{codeValue, r.path}
	}
	return nil
}

// orderRules are the members of an order in the order in which Thales lists
// them. A batch item also carries its cardId.
func orderRules(batch bool) []rule {
	return withPaths("", []rule{
		{name: "distributionChannel", required: true, kind: kindString, values: []string{"THALES", "INSTANT", "CENTRAL"}},
		{name: "cardId", required: batch, kind: kindString, format: ident(48)},
		{name: "consumerId", kind: kindString, format: ident(64)},
		{name: "cardProductId", required: true, kind: kindString, format: ident(48)},
		{name: "issuerRequestId", kind: kindString, format: ident(64)},
		{name: "name", kind: kindString, format: length(1, 128)},
		{name: "services", required: true, kind: kindObject, members: []rule{
			{name: "issuance", required: true, kind: kindString, values: []string{"CREATION", "RENEWAL", "REPLACEMENT"}},
			{name: "priority", kind: kindString, format: length(1, 48)},
			{name: "delivery", kind: kindString, format: length(1, 48)},
			{name: "cardCarrier", kind: kindString, format: length(1, 48)},
			{name: "packaging", kind: kindString, format: length(1, 48)},
			{name: "pinMailer", kind: kindBool},
			{name: "alphaCard", kind: kindBool},
		}},
		{name: "encryptedData", required: true, kind: kindString, format: compactJWE},
		{name: "paymentApplication", required: true, kind: kindObject, members: []rule{
			{name: "config", required: true, kind: kindString, format: length(1, 64)},
			{name: "odaKeyIndex", required: true, kind: kindString, format: length(1, 16)},
			{name: "derivationKeyIndex", required: true, kind: kindString, format: length(1, 16)},
			{name: "cvKeyIndex", kind: kindString, format: length(1, 16)},
			{name: "pvKeyIndex", kind: kindString, format: length(1, 16)},
		}},
		{name: "cardDesign", kind: kindObject, members: []rule{
			{name: "cardImage", kind: kindString, format: length(1, 128)},
			{name: "images", kind: kindArray},
			{name: "customLines", kind: kindArray, format: length(0, 128)},
			{name: "memberId", kind: kindString, format: length(1, 64)},
		}},
		{name: "cardCarrierConfig", kind: kindObject, members: []rule{
			{name: "language", kind: kindString, format: letters(2, 'a', 'z')},
			{name: "images", kind: kindArray},
			{name: "customLines", kind: kindArray, format: length(0, 256)},
		}},
		{name: "packagingConfig", kind: kindObject, members: []rule{
			{name: "inserts", kind: kindArray, format: length(1, 64)},
		}},
		{name: "shipment", required: true, kind: kindObject, members: []rule{
			{name: "type", kind: kindString, values: []string{"INDIVIDUAL", "BULK"}},
			{name: "deliveryAddress", required: true, kind: kindObject, members: addressRules()},
			{name: "individualAddress", kind: kindObject, members: addressRules()},
			{name: "groupId", kind: kindString, format: length(1, 64)},
			{name: "orderId", kind: kindString, format: length(1, 64)},
		}},
	})
}

// withPaths writes the full name of every field into its rule.
func withPaths(prefix string, rules []rule) []rule {
	for i := range rules {
		r := &rules[i]
		r.path = prefix + r.name
		withPaths(r.path+".", r.members)
	}
	return rules
}

func addressRules() []rule {
	name, line := length(1, 64), length(1, 128)
	return []rule{
		{name: "title", kind: kindString, format: name},
		{name: "firstName", kind: kindString, format: name},
		{name: "lastName", kind: kindString, format: name},
		{name: "companyName", kind: kindString, format: name},
		{name: "line1", required: true, kind: kindString, format: line},
		{name: "line2", kind: kindString, format: line},
		{name: "line3", kind: kindString, format: line},
		{name: "city", required: true, kind: kindString, format: name},
		{name: "state", kind: kindString, format: name},
		{name: "zipCode", required: true, kind: kindString, format: length(1, 16)},
		{name: "countryCode", required: true, kind: kindString, format: letters(2, 'A', 'Z')},
		{name: "mobilePhoneNumber", kind: kindString, format: phone},
	}
}

// length accepts any text of so many characters that is not all blanks.
func length(lo, hi int) func([]byte) bool {
	return func(b []byte) bool {
		n := utf8.RuneCount(b)
		if n < lo || n > hi {
			return false
		}
		return lo == 0 || slices.ContainsFunc(b, func(c byte) bool { return c > ' ' })
	}
}

// ident accepts [A-Za-z0-9_-]{1,hi}.
func ident(hi int) func([]byte) bool {
	return func(b []byte) bool {
		if len(b) < 1 || len(b) > hi {
			return false
		}
		for _, c := range b {
			if !base64url(c) {
				return false
			}
		}
		return true
	}
}

func base64url(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func letters(n int, from, to byte) func([]byte) bool {
	return func(b []byte) bool {
		return len(b) == n && !slices.ContainsFunc(b, func(c byte) bool { return c < from || c > to })
	}
}

// digits accepts lo to hi decimal digits.
func digits(lo, hi int) func([]byte) bool {
	return func(b []byte) bool {
		return len(b) >= lo && len(b) <= hi && !slices.ContainsFunc(b, func(c byte) bool { return c < '0' || c > '9' })
	}
}

func phone(b []byte) bool {
	if len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	return digits(6, 15)(b)
}

// compactJWE accepts five parts of base64url, the second of them empty because
// ECDH-ES wraps no key, and at most 8192 characters.
func compactJWE(b []byte) bool {
	if len(b) == 0 || len(b) > 8192 {
		return false
	}
	dots := 0
	for _, c := range b {
		if c == '.' {
			dots++
		} else if !base64url(c) {
			return false
		}
	}
	return dots == 4
}
