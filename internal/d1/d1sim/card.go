package d1sim

import (
	"crypto/ecdsa"
	"errors"
	"regexp"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// cardCheck opens and checks what an order says of its card. It never keeps
// any of it: what remains is a keyed hash of the PAN.
type cardCheck struct {
	rules    []rule
	lifetime int // years an expiry may lie ahead
}

func newCardCheck(c *Config) (cardCheck, error) {
	name, err := regexp.Compile(c.NamePattern)
	if err != nil {
		return cardCheck{}, err
	}
	text := func(n int) func([]byte) bool { return length(1, n) }
	return cardCheck{lifetime: 20, rules: withPaths("", []rule{
		{name: "pan", required: true, kind: kindString, format: digits(12, 19)},
		{name: "exp", required: true, kind: kindString, format: digits(4, 4)},
		{name: "name", required: !c.NameOptional, kind: kindString, format: name.Match},
		{name: "secondName", kind: kindString, format: name.Match},
		{name: "encodedName", kind: kindString, format: text(26)},
		{name: "cvv1", kind: kindString, format: digits(3, 3)},
		{name: "cvv2", kind: kindString, format: digits(3, 4)},
		{name: "pvv", kind: kindString, format: digits(4, 5)},
		{name: "paymentAccountReference", kind: kindString, format: text(29)},
		{name: "panSequenceNumber", kind: kindString, format: digits(2, 2)},
		{name: "effectiveDate", kind: kindString, format: digits(4, 6)},
		{name: "trackData", kind: kindObject, members: []rule{
			{name: "track1", kind: kindString, format: text(79)},
			{name: "track2", kind: kindString, format: text(40)},
			{name: "track3", kind: kindString, format: text(107)},
		}},
	})}, nil
}

var errKeyID = errors.New("no such key")

// decrypt opens a compact JWE with the key its kid names.
func decrypt(jwe string, keys map[string]*ecdsa.PrivateKey) ([]byte, error) {
	enc, err := jose.ParseEncryptedCompact(jwe,
		[]jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, err
	}
	key, ok := keys[enc.Header.KeyID]
	if !ok {
		return nil, errKeyID
	}
	return enc.Decrypt(key)
}

// check looks at the clear card data and returns the PAN, which points into it.
func (cc *cardCheck) check(d *document, clear []byte, now time.Time) (pan []byte, e *apiError) {
	if err := d.parse(clear); err != nil || d.nodes[0].kind != kindObject {
		return nil, &apiError{400, codeParsing, "encryptedData"}
	}
	if fe := d.check(0, cc.rules); fe != nil {
		return nil, &apiError{400, fe.code, fe.field}
	}
	pan = d.text(d.member(0, "pan"))
	if !luhn(pan) {
		return nil, &apiError{400, codeValue, "pan"}
	}
	if !cc.plausibleExpiry(d.text(d.member(0, "exp")), now) {
		return nil, &apiError{400, codeValue, "exp"}
	}
	return pan, nil
}

func luhn(pan []byte) bool {
	sum := 0
	for i := range pan {
		n := int(pan[len(pan)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}

// plausibleExpiry reads YYMM: a real month, not over yet and not too far ahead.
// Many dates written the other way round (MMYY) fail here.
func (cc *cardCheck) plausibleExpiry(exp []byte, now time.Time) bool {
	year := 2000 + 10*int(exp[0]-'0') + int(exp[1]-'0')
	month := 10*int(exp[2]-'0') + int(exp[3]-'0')
	if month < 1 || month > 12 {
		return false
	}
	end := time.Date(year, time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC)
	return end.After(now) && end.Before(now.AddDate(cc.lifetime, 1, 0))
}
