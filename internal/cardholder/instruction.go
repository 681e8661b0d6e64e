package cardholder

// Card is the clear card data of one order. It becomes D1's encryptedData and
// exists nowhere else.
type Card struct {
	PAN               PAN
	Expiry            Text // YYMM
	Name              Text // as embossed
	SecondName        Text // second embossed line
	EncodedName       Text // as encoded in track 1, ISO/IEC 7813
	PANSequenceNumber Text
	EffectiveDate     Text
	CVV1              Text
	CVV2              Text
	PVV               Text
}

// Address is where a card or its carrier goes, in D1's terms.
type Address struct {
	Title       Text
	FirstName   Text
	LastName    Text
	CompanyName Text
	Line1       Text
	Line2       Text
	Line3       Text
	City        Text
	State       Text
	ZipCode     Text
	CountryCode Text // ISO 3166-1 alpha-2
	Phone       Text
}

// IsZero reports whether nothing of the address is given.
func (a Address) IsZero() bool {
	for _, t := range [...]Text{a.Title, a.FirstName, a.LastName, a.CompanyName, a.Line1, a.Line2, a.Line3,
		a.City, a.State, a.ZipCode, a.CountryCode, a.Phone} {
		if !t.IsZero() {
			return false
		}
	}
	return true
}

// Instruction is one validated row of an order file: all that D1 must be told
// about one card. What the program fixes (chip configuration, key indexes) is
// not in it. Defaults are filled in, so that an empty field means "not sent".
type Instruction struct {
	OrderID    string // D1's issuerRequestId
	CardID     string
	ConsumerID string
	ProductID  string // D1's cardProductId
	Issuance   string // CREATION, RENEWAL, REPLACEMENT
	Priority   string
	Delivery   string // shipment method; never defaulted

	CardCarrier string
	Packaging   string
	Inserts     []string
	PINMailer   bool

	Card          *Card  // nil when EncryptedData is given
	EncryptedData string // a ready-made compact JWE, passed on as it is

	CardImage       string
	MemberID        Text
	DesignLines     []Text
	CarrierLanguage string // ISO 639-1, two lower-case letters
	CarrierLines    []Text

	ShipmentType string // INDIVIDUAL, BULK
	GroupID      string // BULK only
	DispatchID   string // BULK only

	DeliveryAddress   Address
	IndividualAddress Address // printed on the carrier
}

// ChangeInstruction is one validated row of a change file: all that D1 must be
// told to change an order.
type ChangeInstruction struct {
	OrderID string
	Change  string  // CANCEL, ACCELERATE, REDIRECT, ACCELERATE_AND_REDIRECT
	Address Address // where the card goes from now on; zero unless it is redirected
}
