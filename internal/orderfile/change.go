package orderfile

import (
	"fmt"

	"cardbatch/internal/cardholder"
)

// ChangeRow is one row of a change file: every cell as text, in the order of
// schemas/change-file.v1.table.json, which says what each column means. A test
// keeps both alike.
type ChangeRow struct {
	OrderID             string          `csv:"order_id"`
	Change              string          `csv:"change"`
	DeliveryTitle       cardholder.Text `csv:"delivery_title"`
	DeliveryFirstName   cardholder.Text `csv:"delivery_first_name"`
	DeliveryLastName    cardholder.Text `csv:"delivery_last_name"`
	DeliveryCompanyName cardholder.Text `csv:"delivery_company_name"`
	DeliveryLine1       cardholder.Text `csv:"delivery_line1"`
	DeliveryLine2       cardholder.Text `csv:"delivery_line2"`
	DeliveryLine3       cardholder.Text `csv:"delivery_line3"`
	DeliveryCity        cardholder.Text `csv:"delivery_city"`
	DeliveryState       cardholder.Text `csv:"delivery_state"`
	DeliveryZipCode     cardholder.Text `csv:"delivery_zip_code"`
	DeliveryCountryCode string          `csv:"delivery_country_code"`
	DeliveryPhone       cardholder.Text `csv:"delivery_phone"`
}

// AppendValues appends the clear cells in column order to dst. It exists for
// the checks, the encoder and keyed digests; its result must not be printed.
func (r *ChangeRow) AppendValues(dst []string) []string {
	return append(dst,
		r.OrderID,
		r.Change,
		r.DeliveryTitle.Reveal(),
		r.DeliveryFirstName.Reveal(),
		r.DeliveryLastName.Reveal(),
		r.DeliveryCompanyName.Reveal(),
		r.DeliveryLine1.Reveal(),
		r.DeliveryLine2.Reveal(),
		r.DeliveryLine3.Reveal(),
		r.DeliveryCity.Reveal(),
		r.DeliveryState.Reveal(),
		r.DeliveryZipCode.Reveal(),
		r.DeliveryCountryCode,
		r.DeliveryPhone.Reveal(),
	)
}

func (r *ChangeRow) field(i int) field { return fieldOf(r, i) }

func (r *ChangeRow) setOrderID(id string) { r.OrderID = id }

// Format implements [fmt.Formatter] and shows nothing.
func (r ChangeRow) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[row]")) }

// MarshalJSON implements [encoding/json.Marshaler] and shows nothing.
func (r ChangeRow) MarshalJSON() ([]byte, error) { return []byte(`"[row]"`), nil }
