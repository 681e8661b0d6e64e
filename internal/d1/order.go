package d1

// The types in this file are the body of an order as D1 reads it, and the card
// data inside its JWE. They hold clear data for the moment of being encoded and
// are never kept, returned or formatted.

type wireOrder struct {
	DistributionChannel string             `json:"distributionChannel"`
	ConsumerID          string             `json:"consumerId"`
	CardProductID       string             `json:"cardProductId"`
	IssuerRequestID     string             `json:"issuerRequestId"`
	Services            wireServices       `json:"services"`
	EncryptedData       string             `json:"encryptedData"`
	PaymentApplication  wireApplication    `json:"paymentApplication"`
	CardDesign          *wireDesign        `json:"cardDesign,omitempty"`
	CardCarrierConfig   *wireCarrierConfig `json:"cardCarrierConfig,omitempty"`
	PackagingConfig     *wirePackaging     `json:"packagingConfig,omitempty"`
	Shipment            wireOrderShipment  `json:"shipment"`
}

// wireServices always says delivery and pinMailer, so that D1's defaults
// decide neither whether a card is shipped nor whether a PIN is.
type wireServices struct {
	Issuance    string `json:"issuance"`
	Priority    string `json:"priority,omitempty"`
	Delivery    string `json:"delivery"`
	CardCarrier string `json:"cardCarrier,omitempty"`
	Packaging   string `json:"packaging,omitempty"`
	PINMailer   bool   `json:"pinMailer"`
}

type wireApplication struct {
	Config             string `json:"config"`
	ODAKeyIndex        string `json:"odaKeyIndex"`
	DerivationKeyIndex string `json:"derivationKeyIndex"`
	CVKeyIndex         string `json:"cvKeyIndex,omitempty"`
	PVKeyIndex         string `json:"pvKeyIndex,omitempty"`
}

type wireDesign struct {
	CardImage   string   `json:"cardImage,omitempty"`
	CustomLines []string `json:"customLines,omitempty"`
	MemberID    string   `json:"memberId,omitempty"`
}

type wireCarrierConfig struct {
	Language    string   `json:"language,omitempty"`
	CustomLines []string `json:"customLines,omitempty"`
}

type wirePackaging struct {
	Inserts []string `json:"inserts"`
}

// wireOrderShipment always has both addresses: D1's texts and examples differ
// on whether the second may be left out.
type wireOrderShipment struct {
	Type              string      `json:"type"`
	DeliveryAddress   wireAddress `json:"deliveryAddress"`
	IndividualAddress wireAddress `json:"individualAddress"`
	GroupID           string      `json:"groupId,omitempty"`
	OrderID           string      `json:"orderId,omitempty"`
}

type wireAddress struct {
	Title             string `json:"title,omitempty"`
	FirstName         string `json:"firstName,omitempty"`
	LastName          string `json:"lastName,omitempty"`
	CompanyName       string `json:"companyName,omitempty"`
	Line1             string `json:"line1"`
	Line2             string `json:"line2,omitempty"`
	Line3             string `json:"line3,omitempty"`
	City              string `json:"city"`
	State             string `json:"state,omitempty"`
	ZipCode           string `json:"zipCode"`
	CountryCode       string `json:"countryCode"`
	MobilePhoneNumber string `json:"mobilePhoneNumber,omitempty"`
}

// wireCard is the clear JSON inside encryptedData.
type wireCard struct {
	PAN               string `json:"pan"`
	Expiry            string `json:"exp"` // YYMM in central issuance
	Name              string `json:"name"`
	SecondName        string `json:"secondName,omitempty"`
	EncodedName       string `json:"encodedName,omitempty"`
	CVV1              string `json:"cvv1,omitempty"`
	CVV2              string `json:"cvv2,omitempty"`
	PVV               string `json:"pvv,omitempty"`
	PANSequenceNumber string `json:"panSequenceNumber,omitempty"`
	EffectiveDate     string `json:"effectiveDate,omitempty"`
}
