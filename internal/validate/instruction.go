package validate

import (
	"cmp"

	"cardbatch/internal/cardholder"
	"cardbatch/internal/orderfile"
)

// instruction turns a row without errors into D1's terms, defaults filled in.
func (c *check) instruction() cardholder.Instruction {
	r := c.row
	in := cardholder.Instruction{
		OrderID: r.OrderID, CardID: r.CardID, ConsumerID: r.ConsumerID, ProductID: r.CardProductID,
		Issuance: r.Issuance, Priority: r.Priority, Delivery: r.Delivery,
		CardCarrier:     cmp.Or(r.CardCarrier, c.prod.DefaultCarrier),
		Packaging:       cmp.Or(r.Packaging, c.prod.DefaultPackaging),
		Inserts:         split(r.PackagingInserts),
		PINMailer:       r.PINMailer == "true",
		EncryptedData:   r.EncryptedData,
		CardImage:       r.CardImage,
		MemberID:        r.MemberID,
		DesignLines:     lines(r.DesignLines),
		CarrierLanguage: r.CarrierLanguage,
		CarrierLines:    lines(r.CarrierLines),
		ShipmentType:    cmp.Or(r.ShipmentType, individual),
		GroupID:         r.GroupID,
		DispatchID:      r.DispatchID,
		DeliveryAddress: deliveryAddress(r),
	}
	in.IndividualAddress = individualAddress(r)
	if in.IndividualAddress.IsZero() {
		in.IndividualAddress = in.DeliveryAddress
	}
	if r.EncryptedData == "" {
		in.Card = card(r)
	}
	return in
}

func card(r *orderfile.Row) *cardholder.Card {
	return &cardholder.Card{
		PAN: r.PAN, Expiry: r.Expiry, Name: r.CardholderName, SecondName: r.SecondName, EncodedName: r.EncodedName,
		PANSequenceNumber: r.PANSequenceNumber, EffectiveDate: r.EffectiveDate, CVV1: r.CVV1, CVV2: r.CVV2, PVV: r.PVV,
	}
}

func lines(cell cardholder.Text) []cardholder.Text {
	var texts []cardholder.Text
	for _, line := range split(cell.Reveal()) {
		texts = append(texts, cardholder.NewText(line))
	}
	return texts
}
