package validate

import (
	"slices"
	"strings"
	"testing"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/issuance"
	"cardbatch/internal/orderfile"
)

func moved() *orderfile.ChangeRow {
	text := cardholder.NewText
	return &orderfile.ChangeRow{OrderID: "ord-1", Change: "REDIRECT", DeliveryLastName: text("Umgezogen"), DeliveryLine1: text("7 Chemin du Nouveau"),
		DeliveryCity: text("Oyonnax"), DeliveryZipCode: text("01100"), DeliveryCountryCode: "FR"}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	text := cardholder.NewText
	v := NewChanges(Rules{Products: map[string]issuance.Product{"P": {ID: "P", Countries: []string{"FR", "DE"},
		BINRanges: []issuance.BINRange{{Low: "411111", High: "411111", Length: 16}}}}})
	for name, tc := range map[string]struct {
		spoil func(r *orderfile.ChangeRow)
		want  string // column and code of each error
	}{
		"good":                  {func(*orderfile.ChangeRow) {}, ""},
		"both":                  {func(r *orderfile.ChangeRow) { r.Change = "ACCELERATE_AND_REDIRECT" }, ""},
		"cancel":                {func(r *orderfile.ChangeRow) { *r = orderfile.ChangeRow{OrderID: "o", Change: "CANCEL"} }, ""},
		"no order":              {func(r *orderfile.ChangeRow) { r.OrderID = "" }, "order_id REQUIRED_MISSING"},
		"no change":             {func(r *orderfile.ChangeRow) { r.Change = "" }, "change REQUIRED_MISSING"},
		"small letters":         {func(r *orderfile.ChangeRow) { r.Change = "redirect" }, "change VALUE_NOT_ALLOWED"},
		"a PAN":                 {func(r *orderfile.ChangeRow) { r.OrderID = "4111110000000013" }, "order_id LOOKS_LIKE_PAN"},
		"a PAN in the address":  {func(r *orderfile.ChangeRow) { r.DeliveryLine2 = text("4111 1100 0000 0013") }, "delivery_line2 LOOKS_LIKE_PAN"},
		"no name":               {func(r *orderfile.ChangeRow) { r.DeliveryLastName = text("") }, "delivery_last_name ADDRESS_INCOMPLETE"},
		"company":               {func(r *orderfile.ChangeRow) { r.DeliveryLastName, r.DeliveryCompanyName = text(""), text("AG") }, ""},
		"country of no product": {func(r *orderfile.ChangeRow) { r.DeliveryCountryCode, r.DeliveryZipCode = "BE", text("1000") }, "delivery_country_code COUNTRY_NOT_ALLOWED"},
		"no country":            {func(r *orderfile.ChangeRow) { r.DeliveryCountryCode = "XX" }, "delivery_country_code FORMAT_INVALID"},
		"postal code":           {func(r *orderfile.ChangeRow) { r.DeliveryZipCode = text("1100") }, "delivery_zip_code POSTAL_CODE_INVALID"},
		"telephone":             {func(r *orderfile.ChangeRow) { r.DeliveryPhone = text("call me") }, "delivery_phone FORMAT_INVALID"},
		"address of a cancel": {func(r *orderfile.ChangeRow) {
			*r = orderfile.ChangeRow{OrderID: "o", Change: "CANCEL", DeliveryCity: text("X")}
		}, "delivery_city VALUE_NOT_ALLOWED"},
		"nothing of an address": {func(r *orderfile.ChangeRow) { *r = orderfile.ChangeRow{OrderID: "o", Change: "REDIRECT"} },
			"delivery_last_name ADDRESS_INCOMPLETE delivery_line1 ADDRESS_INCOMPLETE delivery_city ADDRESS_INCOMPLETE " +
				"delivery_zip_code ADDRESS_INCOMPLETE delivery_country_code ADDRESS_INCOMPLETE"},
	} {
		r := moved()
		tc.spoil(r)
		in, errs := v.Check(orderfile.Record{Change: r, Line: 5})
		var got []string
		for _, e := range errs {
			got = append(got, e.Column, string(e.Code))
			for _, secret := range []string{"Umgezogen", "Nouveau", "Oyonnax", "01100", "4111110000000013"} {
				if e.Line != 5 || strings.Contains(e.Text, secret) || strings.Contains(e.Masked, secret) {
					t.Errorf("%s: line %d: an error repeats a value", name, e.Line)
				}
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		if len(errs) == 0 && (in.OrderID != r.OrderID || in.Change != r.Change || in.Address.IsZero() != (r.Change == "CANCEL")) {
			t.Errorf("%s: %s %s", name, in.OrderID, in.Change)
		}
	}
	fault := issuance.RowError{Code: issuance.FieldCount}
	if _, errs := v.Check(orderfile.Record{Change: moved(), Err: &fault}); !slices.Equal(errs, []issuance.RowError{fault}) {
		t.Error("a row that cannot be taken apart")
	}
}

func TestSummaryOfAChange(t *testing.T) {
	t.Parallel()
	v := NewChanges(Rules{Products: map[string]issuance.Product{"P": {BINRanges: []issuance.BINRange{{Low: "411111", High: "411111", Length: 16}}}}})
	r := moved()
	if s := v.Summary(orderfile.Record{Change: r, Line: 3}); s.OrderID != "ord-1" || s.Type != issuance.Redirect || s.Line != 3 {
		t.Errorf("%+v", s)
	}
	r.OrderID, r.Change = "4111110000000013", "Zofia Testowa"
	if s := v.Summary(orderfile.Record{Change: r}); strings.Contains(s.OrderID, "0000000") || strings.Contains(string(s.Type), "Zofia") {
		t.Errorf("%+v", s)
	}
	if s := v.Summary(orderfile.Record{Line: 9}); s.Line != 9 {
		t.Errorf("%+v", s)
	}
}
