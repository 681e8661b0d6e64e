package orderfile

import (
	"fmt"
	"reflect"

	"cardbatch/internal/cardholder"
)

// columns is the number of fields of a Row.
const columns = 54

// Row is one row of an order file: every cell as text, in the order of
// schemas/order-file.v1.table.json, which says what each column means. A test
// keeps both alike.
type Row struct {
	OrderID               string          `csv:"order_id"`
	CardID                string          `csv:"card_id"`
	ConsumerID            string          `csv:"consumer_id"`
	CardProductID         string          `csv:"card_product_id"`
	Issuance              string          `csv:"issuance"`
	Priority              string          `csv:"priority"`
	Delivery              string          `csv:"delivery"`
	CardCarrier           string          `csv:"card_carrier"`
	Packaging             string          `csv:"packaging"`
	PackagingInserts      string          `csv:"packaging_inserts"`
	PINMailer             string          `csv:"pin_mailer"`
	PAN                   cardholder.PAN  `csv:"pan"`
	Expiry                cardholder.Text `csv:"expiry"`
	CardholderName        cardholder.Text `csv:"cardholder_name"`
	SecondName            cardholder.Text `csv:"second_name"`
	EncodedName           cardholder.Text `csv:"encoded_name"`
	PANSequenceNumber     cardholder.Text `csv:"pan_sequence_number"`
	EffectiveDate         cardholder.Text `csv:"effective_date"`
	CVV1                  cardholder.Text `csv:"cvv1"`
	CVV2                  cardholder.Text `csv:"cvv2"`
	PVV                   cardholder.Text `csv:"pvv"`
	EncryptedData         string          `csv:"encrypted_data"`
	CardImage             string          `csv:"card_image"`
	MemberID              cardholder.Text `csv:"member_id"`
	DesignLines           cardholder.Text `csv:"design_lines"`
	CarrierLanguage       string          `csv:"carrier_language"`
	CarrierLines          cardholder.Text `csv:"carrier_lines"`
	ShipmentType          string          `csv:"shipment_type"`
	GroupID               string          `csv:"group_id"`
	DispatchID            string          `csv:"dispatch_id"`
	DeliveryTitle         cardholder.Text `csv:"delivery_title"`
	DeliveryFirstName     cardholder.Text `csv:"delivery_first_name"`
	DeliveryLastName      cardholder.Text `csv:"delivery_last_name"`
	DeliveryCompanyName   cardholder.Text `csv:"delivery_company_name"`
	DeliveryLine1         cardholder.Text `csv:"delivery_line1"`
	DeliveryLine2         cardholder.Text `csv:"delivery_line2"`
	DeliveryLine3         cardholder.Text `csv:"delivery_line3"`
	DeliveryCity          cardholder.Text `csv:"delivery_city"`
	DeliveryState         cardholder.Text `csv:"delivery_state"`
	DeliveryZipCode       cardholder.Text `csv:"delivery_zip_code"`
	DeliveryCountryCode   string          `csv:"delivery_country_code"`
	DeliveryPhone         cardholder.Text `csv:"delivery_phone"`
	IndividualTitle       cardholder.Text `csv:"individual_title"`
	IndividualFirstName   cardholder.Text `csv:"individual_first_name"`
	IndividualLastName    cardholder.Text `csv:"individual_last_name"`
	IndividualCompanyName cardholder.Text `csv:"individual_company_name"`
	IndividualLine1       cardholder.Text `csv:"individual_line1"`
	IndividualLine2       cardholder.Text `csv:"individual_line2"`
	IndividualLine3       cardholder.Text `csv:"individual_line3"`
	IndividualCity        cardholder.Text `csv:"individual_city"`
	IndividualState       cardholder.Text `csv:"individual_state"`
	IndividualZipCode     cardholder.Text `csv:"individual_zip_code"`
	IndividualCountryCode string          `csv:"individual_country_code"`
	IndividualPhone       cardholder.Text `csv:"individual_phone"`
}

// AppendValues appends the clear cells in column order to dst. It exists for
// the checks, the encoder and keyed digests; its result must not be printed.
func (r *Row) AppendValues(dst []string) []string {
	return append(dst,
		r.OrderID,
		r.CardID,
		r.ConsumerID,
		r.CardProductID,
		r.Issuance,
		r.Priority,
		r.Delivery,
		r.CardCarrier,
		r.Packaging,
		r.PackagingInserts,
		r.PINMailer,
		r.PAN.Reveal(),
		r.Expiry.Reveal(),
		r.CardholderName.Reveal(),
		r.SecondName.Reveal(),
		r.EncodedName.Reveal(),
		r.PANSequenceNumber.Reveal(),
		r.EffectiveDate.Reveal(),
		r.CVV1.Reveal(),
		r.CVV2.Reveal(),
		r.PVV.Reveal(),
		r.EncryptedData,
		r.CardImage,
		r.MemberID.Reveal(),
		r.DesignLines.Reveal(),
		r.CarrierLanguage,
		r.CarrierLines.Reveal(),
		r.ShipmentType,
		r.GroupID,
		r.DispatchID,
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
		r.IndividualTitle.Reveal(),
		r.IndividualFirstName.Reveal(),
		r.IndividualLastName.Reveal(),
		r.IndividualCompanyName.Reveal(),
		r.IndividualLine1.Reveal(),
		r.IndividualLine2.Reveal(),
		r.IndividualLine3.Reveal(),
		r.IndividualCity.Reveal(),
		r.IndividualState.Reveal(),
		r.IndividualZipCode.Reveal(),
		r.IndividualCountryCode,
		r.IndividualPhone.Reveal(),
	)
}

// field returns a field by its position in the schema.
func (r *Row) field(i int) field { return fieldOf(r, i) }

func (r *Row) setOrderID(id string) { r.OrderID = id }

// cells is a row of any content: a struct of fields in the order of its schema.
type cells interface {
	AppendValues(dst []string) []string
	field(i int) field
	setOrderID(id string)
}

func fieldOf(row any, i int) field {
	return field{reflect.ValueOf(row).Elem().Field(i).Addr().Interface()}
}

// Format implements [fmt.Formatter] and shows nothing: which of the columns
// hold personal data is not worth getting wrong in a log line.
func (r Row) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[row]")) }

// MarshalJSON implements [encoding/json.Marshaler] and shows nothing.
func (r Row) MarshalJSON() ([]byte, error) { return []byte(`"[row]"`), nil }
