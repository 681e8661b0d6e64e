package issuance

// Code is a stable, machine-readable reason. Ours are listed in
// schemas/reject-codes.v1.json with meaning and remedy; the list is append-only.
// A refused order carries D1's own errorCode instead.
type Code string

// Codes of a file that is refused or held as a whole.
const (
	ControlInvalid       Code = "CONTROL_INVALID"
	Truncated            Code = "TRUNCATED"
	ChecksumMismatch     Code = "CHECKSUM_MISMATCH"
	RowCountMismatch     Code = "ROW_COUNT_MISMATCH"
	ProductCountMismatch Code = "PRODUCT_COUNT_MISMATCH"
	SequenceRepeated     Code = "SEQUENCE_REPEATED"
	SequenceGap          Code = "SEQUENCE_GAP"
	DuplicateName        Code = "DUPLICATE_NAME"
	DuplicateContent     Code = "DUPLICATE_CONTENT"
	WrongEnvironment     Code = "WRONG_ENVIRONMENT"
	WrongIssuer          Code = "WRONG_ISSUER"
	HeaderInvalid        Code = "HEADER_INVALID"
	FileUnreadable       Code = "FILE_UNREADABLE" // not text, a line beyond all bounds, vanished
	TooLarge             Code = "TOO_LARGE"       // more rows or bytes than the source allows
	TooManyRejects       Code = "TOO_MANY_REJECTS"
	EmptyFile            Code = "EMPTY_FILE"                 // no rows and no control file that says so
	BusinessDateRange    Code = "BUSINESS_DATE_OUT_OF_RANGE" // too far back or ahead of our clock
)

// Codes of a file that is refused for what is around its rows: encryption,
// compression, character set.
const (
	PGPNotEncrypted     Code = "PGP_NOT_ENCRYPTED"     // the source takes encrypted files only
	PGPNotForUs         Code = "PGP_NOT_FOR_US"        // to other keys, or to one of ours that does not count any more
	PGPDamaged          Code = "PGP_DAMAGED"           // cut short, changed, or something follows it
	PGPWeak             Code = "PGP_WEAK"              // no integrity protection, an old cipher or hash
	PGPSignatureMissing Code = "PGP_SIGNATURE_MISSING" // the source asks for one
	PGPSignerUntrusted  Code = "PGP_SIGNER_UNTRUSTED"  // an unknown, expired or revoked key
	PGPSignatureInvalid Code = "PGP_SIGNATURE_INVALID" // by a key we know, but not over this content
	CharsetInvalid      Code = "CHARSET_INVALID"       // a byte order mark or UTF-16 that does not fit
	CompressionInvalid  Code = "COMPRESSION_INVALID"   // not compressed as agreed
)

// Codes of a row that is rejected.
const (
	FieldCount        Code = "FIELD_COUNT"
	BadQuote          Code = "BAD_QUOTE"
	RequiredMissing   Code = "REQUIRED_MISSING"
	FormatInvalid     Code = "FORMAT_INVALID"
	ValueNotAllowed   Code = "VALUE_NOT_ALLOWED"
	UnknownProduct    Code = "UNKNOWN_PRODUCT"
	LooksLikePAN      Code = "LOOKS_LIKE_PAN" // a PAN where an identifier belongs
	PANInvalid        Code = "PAN_INVALID"    // length, digits or check digit
	PANOutsideBIN     Code = "PAN_OUTSIDE_BIN"
	ExpiryInvalid     Code = "EXPIRY_INVALID"
	ExpiryImplausible Code = "EXPIRY_IMPLAUSIBLE" // past, or beyond the product's validity; MMYY?
	NameNotEmbossable Code = "NAME_NOT_EMBOSSABLE"
	CardDataMissing   Code = "CARD_DATA_MISSING"
	CardDataTwice     Code = "CARD_DATA_TWICE" // both clear card data and a ready-made JWE
	JWEMalformed      Code = "JWE_MALFORMED"
	CountryNotAllowed Code = "COUNTRY_NOT_ALLOWED"
	AddressIncomplete Code = "ADDRESS_INCOMPLETE"
	GroupRequired     Code = "GROUP_REQUIRED"      // BULK without group_id
	OrderConflict     Code = "ORDER_CONFLICT"      // order_id used before with other content
	OrderRepeated     Code = "ORDER_REPEATED"      // identical repeat; the row is a duplicate
	PostalCodeInvalid Code = "POSTAL_CODE_INVALID" // not the form of the country
	PANRepeated       Code = "PAN_REPEATED"        // an earlier row of the file has the same PAN
	CardHasOpenOrder  Code = "CARD_HAS_OPEN_ORDER" // another order for the card_id is not finished
)

// Codes of an order that is held.
const (
	OutcomeUnclear Code = "OUTCOME_UNCLEAR" // D1 could not say whether it has the order
	PayloadLost    Code = "PAYLOAD_LOST"    // the sealed payload cannot be opened
)

// Codes of an order that D1 has and a person must look at.
const (
	SecondOperation Code = "SECOND_OPERATION" // D1 produces it under two operations: perhaps two cards
	MissingAtD1     Code = "MISSING_AT_D1"    // D1 had accepted it, and does not know it when asked

	// ProductionFailed marks in the history that D1 ended production as FAILED in
	// a step that says nothing of it.
	ProductionFailed Code = "PRODUCTION_FAILED"
)

// Codes of a change that was asked of an order; a rejected row of a change file
// has a code of a row.
const (
	ChangeRepeated Code = "CHANGE_REPEATED"  // identical repeat; the row is a duplicate
	Withdrawn      Code = "CHANGE_WITHDRAWN" // an operator gave it up
	OrderNotFound  Code = "ORDER_NOT_FOUND"  // no order of this order_id has come in time
	TooLate        Code = "TOO_LATE"         // the order is finished, or too far in production
)

// RowError is one thing wrong with a row. Text explains it to a core-banking
// developer; Masked shows just enough of the value to find it.
type RowError struct {
	Ref    Ref
	Line   int64
	Column string // empty when it is about the row as a whole
	Code   Code
	Text   string
	Masked string
}

// FirstUse tells where an order_id was used first.
type FirstUse struct {
	FileName   string
	Line       int64
	ContentMAC []byte
}
