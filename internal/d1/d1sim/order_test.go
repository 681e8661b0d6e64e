package d1sim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"cardbatch/internal/d1/d1sim"
)

// with returns the good body with one member set (or, with nil, removed).
func with(tb testing.TB, body, path string, value any) string {
	tb.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		tb.Fatal(err)
	}
	parts := strings.Split(path, ".")
	at := m
	for _, p := range parts[:len(parts)-1] {
		next, ok := at[p].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[p] = next
		}
		at = next
	}
	if last := parts[len(parts)-1]; value == nil {
		delete(at, last)
	} else {
		at[last] = value
	}
	b, err := json.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

const (
	badFormat = "FIELD_INVALID_FORMAT"
	badValue  = "FIELD_INVALID_VALUE"
	forbidden = "FORBIDDEN_OPERATION"
)

func TestOrderFields(t *testing.T) {
	r := newRig(t, nil)
	tests := []struct {
		path  string
		value any
		code  string // empty: accepted
		field string // empty: the path
	}{
		{"distributionChannel", nil, badFormat, ""},
		{"distributionChannel", "POST", badValue, ""},
		{"distributionChannel", "CENTRAL", forbidden, ""},
		{"consumerId", nil, "", ""},
		{"consumerId", "a b", badFormat, ""},
		{"consumerId", 5, badFormat, ""},
		{"cardProductId", nil, badFormat, ""},
		{"cardProductId", "UNKNOWN", forbidden, ""},
		{"CardProductId", "UNKNOWN", "", ""}, // another member: tolerated
		{"issuerRequestId", strings.Repeat("x", 65), badFormat, ""},
		{"cardId", "other", badValue, ""},
		{"services", nil, badFormat, ""},
		{"services", "CREATION", badFormat, ""},
		{"services.issuance", nil, badFormat, ""},
		{"services.issuance", "creation", badValue, ""},
		{"services.priority", "WARP", badValue, ""},
		{"services.delivery", "pigeon", badValue, ""},
		{"services.delivery", nil, "", ""},
		{"services.delivery", "NO_SHIPMENT", "", ""},
		{"services.cardCarrier", "other", badValue, ""},
		{"services.cardCarrier", "NO_CARRIER", "", ""},
		{"services.packaging", "other", badValue, ""},
		{"services.packaging", nil, "", ""},
		{"services.pinMailer", "false", badFormat, ""},
		{"encryptedData", nil, badFormat, ""},
		{"encryptedData", "a.b.c", badFormat, ""},
		{"encryptedData", strings.Repeat("a", 8192) + "..b.c.d", badFormat, ""},
		{"paymentApplication", nil, badFormat, ""},
		{"paymentApplication.config", nil, badFormat, ""},
		{"paymentApplication.config", "mc-di-01", badValue, ""},
		{"paymentApplication.odaKeyIndex", nil, badFormat, ""},
		{"paymentApplication.derivationKeyIndex", 1, badFormat, ""},
		{"cardDesign.memberId", 7, badFormat, ""},
		{"cardDesign.customLines", []any{"Credit", 5}, badFormat, ""},
		{"cardCarrierConfig.language", "english", badFormat, ""},
		{"packagingConfig.inserts", []string{"welcome-letter", "unknown"}, badValue, ""},
		{"shipment", nil, badFormat, ""},
		{"shipment.type", "PARCEL", badValue, ""},
		{"shipment.deliveryAddress", nil, badFormat, ""},
		{"shipment.individualAddress", nil, badFormat, ""},
		{"shipment.deliveryAddress.line1", nil, badFormat, ""},
		{"shipment.deliveryAddress.line1", "   ", badFormat, ""},
		{"shipment.deliveryAddress.zipCode", nil, badFormat, ""},
		{"shipment.deliveryAddress.city", "", badFormat, ""},
		{"shipment.deliveryAddress.countryCode", "us", badFormat, ""},
		{"shipment.deliveryAddress.countryCode", "DE", forbidden, "countryCode"},
		{"shipment.individualAddress.countryCode", "DE", forbidden, "countryCode"},
		{"shipment.deliveryAddress.mobilePhoneNumber", "call me", badFormat, ""},
		{"shipment.deliveryAddress.mobilePhoneNumber", "+33123456789", "", ""},
		{"shipment.deliveryAddress.line2", "Zoë’s Straße 5", "", ""},
		{"somethingNew", map[string]any{"deep": []int{1}}, "", ""},
	}
	for i, tc := range tests {
		t.Run(fmt.Sprint(tc.path, tc.value), func(t *testing.T) {
			id := fmt.Sprintf("ord-%d", i)
			a := r.must("POST", orderPath("card-1"), with(t, r.body(id), tc.path, tc.value), r.auth()...)
			status, field := 400, tc.field
			switch tc.code {
			case "":
				status = 202
			case forbidden:
				status = 403
			}
			if field == "" && tc.code != "" {
				field = tc.path
			}
			if a.status != status || a.code() != tc.code || a.text() != field {
				t.Errorf("%d %s, want %d %s %s", a.status, a.body, status, tc.code, field)
			}
		})
	}
}

func TestFirstFieldInErrorIsInDocumentedOrder(t *testing.T) {
	r := newRig(t, nil)
	body := with(t, r.body("ord-1"), "shipment.deliveryAddress.city", nil)
	body = with(t, body, "services.issuance", "X")
	body = with(t, body, "encryptedData", "x")
	if a := r.must("POST", orderPath("card-1"), body, r.auth()...); a.code() != badValue || a.text() != "services.issuance" {
		t.Errorf("%s, want services.issuance", a.body)
	}
}

func TestAddressNeedsAName(t *testing.T) {
	r := newRig(t, nil)
	body := with(t, r.body("ord-1"), "shipment.deliveryAddress.firstName", nil)
	body = with(t, body, "shipment.deliveryAddress.lastName", nil)
	if a := r.must("POST", orderPath("card-1"), body, r.auth()...); a.text() != "shipment.deliveryAddress.lastName" {
		t.Errorf("no name: %d %s", a.status, a.body)
	}
	if a := r.must("POST", orderPath("card-1"), with(t, body, "name", "Made Up"), r.auth()...); a.status != 202 {
		t.Errorf("name of the order: %d %s", a.status, a.body)
	}
	company := with(t, with(t, body, "shipment.deliveryAddress.companyName", "ACME"), "issuerRequestId", "ord-2")
	if a := r.must("POST", orderPath("card-1"), company, r.auth()...); a.status != 202 {
		t.Errorf("company: %d %s", a.status, a.body)
	}
}

func TestBulkNeedsNoIndividualAddress(t *testing.T) {
	r := newRig(t, nil)
	body := with(t, r.body("ord-1"), "shipment.type", "BULK")
	body = with(t, with(t, body, "shipment.individualAddress", nil), "shipment.groupId", "container-1")
	if a := r.must("POST", orderPath("card-1"), body, r.auth()...); a.status != 202 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestCardData(t *testing.T) {
	r := newRig(t, nil)
	good := func(path string, value any) string { return r.encrypt(with(t, clearCard, path, value)) }
	rsaLike := func() string { // another algorithm pair than the one agreed
		enc, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.ECDH_ES,
			Key: &r.keys.JWEKey.PublicKey, KeyID: r.keys.JWEKeyID}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jwe, err := enc.Encrypt([]byte(clearCard))
		if err != nil {
			t.Fatal(err)
		}
		s, err := jwe.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	jwe := r.encrypt(clearCard)
	broken := jwe[:len(jwe)-3] + "AAA"
	otherKID := func() string {
		k := *r.keys
		k.JWEKeyID = "other"
		s, err := k.Encrypt([]byte(clearCard))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}()
	tests := []struct{ name, jwe, code, field string }{
		{"good", jwe, "", ""},
		{"all members", good("encodedName", "UP/MADE"), "", ""},
		{"unknown member", good("pinBlock", "0123"), "", ""},
		{"tampered", broken, "CRYPTO_ERROR", ""},
		{"unknown kid", otherKID, "CRYPTO_ERROR", ""},
		{"A128GCM", rsaLike(), "CRYPTO_ERROR", ""},
		{"nonsense", "a..b.c.d", "CRYPTO_ERROR", ""},
		{"not JSON", r.encrypt("pan=4111"), "PARSING_ERROR", "encryptedData"},
		{"not an object", r.encrypt(`["4111111111111111"]`), "PARSING_ERROR", "encryptedData"},
		{"no pan", good("pan", nil), badFormat, "pan"},
		{"pan number", good("pan", 4111111111111111), badFormat, "pan"},
		{"pan blanks", good("pan", "4111 1111 1111 1111"), badFormat, "pan"},
		{"pan Luhn", good("pan", "4111111111111112"), badValue, "pan"},
		{"pan of another program", good("pan", "5555555555554444"), badValue, "pan"},
		{"no exp", good("exp", nil), badFormat, "exp"},
		{"exp MMYY", good("exp", "1229"), badValue, "exp"},
		{"exp MMYY, a past month", good("exp", "0629"), badValue, "exp"},
		{"exp past", good("exp", "2001"), badValue, "exp"},
		{"exp far", good("exp", "9912"), badValue, "exp"},
		{"exp long", good("exp", "202906"), badFormat, "exp"},
		{"no name", good("name", nil), badFormat, "name"},
		{"name long", good("name", strings.Repeat("A", 27)), badFormat, "name"},
		{"name accents", good("name", "ZOË UP"), badFormat, "name"},
		{"name apostrophe", good("name", "O'MADE/UP"), "", ""},
		{"cvv2", good("cvv2", "12"), badFormat, "cvv2"},
		{"sequence", good("panSequenceNumber", "0"), badFormat, "panSequenceNumber"},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			body := orderBody(fmt.Sprintf("ord-%d", i), tc.jwe)
			a := r.must("POST", orderPath("card-1"), body, r.auth()...)
			status := 400
			if tc.code == "" {
				status = 202
			}
			if a.status != status || a.code() != tc.code || a.text() != tc.field {
				t.Errorf("%d %s, want %d %s %s", a.status, a.body, status, tc.code, tc.field)
			}
		})
	}
}

func TestRequestFrame(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.MaxBody = 8 << 10 })
	auth := "Bearer " + r.login()
	good := r.body("ord-1")
	tests := []struct {
		name, path, media, correlation, body string
		status                               int
		code, field                          string
	}{
		{"correlation id", orderPath("c"), "application/json", "has blank", good, 400, badFormat, "x-correlation-id"},
		{"long correlation id", orderPath("c"), "application/json", strings.Repeat("x", 65), good, 400, badFormat, "x-correlation-id"},
		{"card id", orderPath("c.d"), "application/json", "", good, 400, badFormat, "cardId"},
		{"long card id", orderPath(strings.Repeat("c", 49)), "application/json", "", good, 400, badFormat, "cardId"},
		{"content type", orderPath("c"), "text/plain", "", good, 415, "", ""},
		{"no content type", orderPath("c"), "", "", good, 415, "", ""},
		{"too large", orderPath("c"), "application/json", "", good + strings.Repeat(" ", 8<<10), 413, "", ""},
		{"not JSON", orderPath("c"), "application/json", "", good[1:], 400, "", ""},
		{"two texts", orderPath("c"), "application/json", "", good + good, 400, "", ""},
		{"array", orderPath("c"), "application/json", "", "[" + good + "]", 400, "", ""},
		{"empty", orderPath("c"), "application/json", "", "", 400, "", ""},
		{"charset", orderPath("c"), "application/json; charset=utf-8", "abc_-9", good, 202, "", ""},
		{"how-to spelling", strings.Replace(orderPath("c"), "physicalCards", "physicalcards", 1), "application/json", "", good, 202, "", ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			header := []string{"Authorization", auth}
			if tc.media != "" {
				header = append(header, "Content-Type", tc.media)
			}
			if tc.correlation != "" {
				header = append(header, "x-correlation-id", tc.correlation)
			}
			a := r.must("POST", tc.path, tc.body, header...)
			if a.status != tc.status || a.code() != tc.code || a.text() != tc.field {
				t.Errorf("%d %s, want %d %s %s", a.status, a.body, tc.status, tc.code, tc.field)
			}
		})
	}
}

func TestDuplicates(t *testing.T) {
	for mode, want := range map[string]struct {
		status, cards, twice int
		code                 string
		same                 bool
	}{
		d1sim.DuplicatesReplay: {202, 1, 0, "", true},
		d1sim.DuplicatesReject: {409, 1, 0, "DUPLICATE_REQUEST", false},
		d1sim.DuplicatesBlind:  {202, 2, 1, "", false},
	} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, func(c *d1sim.Config) { c.Settings.Duplicates = mode })
			first := r.order("ord-1", "card-1")
			second := r.order("ord-1", "card-1") // another JWE: another body
			same := first.member("operationId") == second.member("operationId")
			if second.status != want.status || second.code() != want.code || same != want.same {
				t.Errorf("second: %d %s", second.status, second.body)
			}
			sum := r.sim.Summary()
			if sum.CardsProduced != want.cards || sum.ProducedTwice != want.twice || sum.OrdersAccepted != 1 ||
				sum.Repeated != 1 || sum.RepeatedDiffering != 1 || sum.CardsOrderedTwice != 0 {
				t.Errorf("summary %+v", sum)
			}
			l := r.sim.Ledger()
			if l[0].TimesReceived != 2 || l[0].Produced != want.cards || len(l) != want.cards {
				t.Errorf("ledger %+v", l)
			}
		})
	}
}

func TestOneCardUnderTwoIdsShows(t *testing.T) {
	r := newRig(t, nil)
	r.order("ord-1", "card-1")
	r.order("ord-2", "card-1")
	r.order("ord-3", "card-1")
	if n := r.sim.Summary().CardsOrderedTwice; n != 1 {
		t.Errorf("cards ordered twice: %d, want 1", n)
	}
	if l := r.sim.Ledger(); l[0].SamePANAsEarlier || !l[1].SamePANAsEarlier {
		t.Errorf("same PAN not seen")
	}
	if err := r.sim.Adjust(func(s *d1sim.Settings) { s.OneOpenOrderPerCard = true; s.Day = 1e12 }); err != nil {
		t.Fatal(err)
	}
	if a := r.order("ord-4", "card-4"); a.status != 202 {
		t.Errorf("first order: %d %s", a.status, a.body)
	}
	if a := r.order("ord-5", "card-4"); a.status != 403 || a.text() != "cardId" {
		t.Errorf("second open order: %d %s", a.status, a.body)
	}
}

func TestRegisteredCards(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.RequireRegisteredCard = true })
	if a := r.order("ord-1", "card-1"); a.status != 404 || a.code() != "CARD_NOT_FOUND" {
		t.Errorf("unregistered: %d %s", a.status, a.body)
	}
	r.sim.RegisterCard(issuerID, "card-1")
	if a := r.order("ord-1", "card-1"); a.status != 202 {
		t.Errorf("registered: %d %s", a.status, a.body)
	}
	sum := r.sim.Summary()
	if sum.OrdersReceived != 1 || sum.OrdersAccepted != 1 || sum.OrdersRefused != 0 || sum.Refusals != 1 {
		t.Errorf("refused, then good: %+v", sum)
	}
}

func TestRateLimit(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) {
		c.Settings.RateLimit = d1sim.RateLimit{PerSecond: 0.001, Burst: 3, RetryAfter: 2e9}
	})
	for i := range 3 {
		if a := r.order(fmt.Sprint("ord-", i), "card-1"); a.status != 202 {
			t.Errorf("order %d: %d", i, a.status)
		}
	}
	a := r.order("ord-3", "card-1")
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "2" || a.code() != "TOO_MANY_REQUESTS" {
		t.Errorf("over the limit: %d %s %v", a.status, a.body, a.header)
	}
	if sum := r.sim.Summary(); sum.Throttled != 1 || sum.OrdersReceived != 3 || sum.RequestsReceived != 4 {
		t.Errorf("summary %+v", sum)
	}
	if a := r.must("GET", statusPath("card-1"), "", r.auth()...); a.status != 200 {
		t.Errorf("status is limited too: %d", a.status)
	}
}

func TestLeafFieldNames(t *testing.T) {
	r := newRig(t, func(c *d1sim.Config) { c.LeafFieldNames = true })
	body := with(t, r.body("ord-1"), "shipment.deliveryAddress.zipCode", nil)
	if a := r.must("POST", orderPath("card-1"), body, r.auth()...); a.text() != "zipCode" {
		t.Errorf("%s", a.body)
	}
}

func TestOrderWithoutIssuerRequestID(t *testing.T) {
	r := newRig(t, nil)
	body := with(t, r.body("x"), "issuerRequestId", nil)
	for range 2 {
		if a := r.must("POST", orderPath("card-1"), body, r.auth()...); a.status != 202 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if sum := r.sim.Summary(); sum.CardsProduced != 2 || sum.OrdersAccepted != 2 {
		t.Errorf("nothing protects such an order: %+v", sum)
	}
}

func TestNoPANIsKept(t *testing.T) {
	r := newRig(t, nil)
	r.order("ord-1", "card-1")
	var w strings.Builder
	fmt.Fprintf(&w, "%+v", r.sim.Ledger())
	if strings.Contains(w.String(), "4111111111111111") {
		t.Error("the ledger holds a PAN")
	}
}
