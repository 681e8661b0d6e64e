package issuance

import (
	"iter"
	"time"
)

// WordKind says where in an operation D1 used a word.
type WordKind string

// The places where D1 chooses from a list that it may extend at any time.
const (
	WordOperation       WordKind = "operation"
	WordOperationStatus WordKind = "operation_status"
	WordStatus          WordKind = "status" // details.status
	WordShipmentStatus  WordKind = "shipment_status"
	WordCarrier         WordKind = "carrier"
)

// StrangeWord is a word of D1's that has no meaning for us. It is kept as D1
// wrote it, changes nothing, and is counted so that somebody notices.
type StrangeWord struct {
	Kind    WordKind
	Word    string
	Times   int64
	FirstAt time.Time
	LastAt  time.Time
}

// Operations that D1 has for the cards of an issuer, and that are not ours.
var otherOperations = map[string]bool{
	"CREATE": true, "REGISTER": true, "ACTIVATE": true, "SUSPEND": true, "RESUME": true, "DELETE": true, "DIGITIZE": true,
	"RENEW": true, "REPLACE": true, "STANDALONE_TRACKING": true, "CLICK_TO_PAY_ENROLMENT": true,
}

// carriers are those that D1 lists.
var carriers = map[string]bool{
	"chronopost-france": true, "dhl": true, "dhl-global-mail": true, "deutsch-post": true, "estafeta": true, "fedex": true,
	"la-poste-colissimo": true, "nacex": true, "spanish-seur": true, "singapore-post": true, "spain-correos-es": true,
	"ups": true, "usps-iv-api": true,
}

// Strange yields the words of the operation that have no meaning for us. A kind
// of operation that is not ours is not looked into.
func (op *Operation) Strange() iter.Seq2[WordKind, string] {
	return func(yield func(WordKind, string) bool) {
		ours := op.Operation == OperationProduce || op.Operation == OperationUpdateOrder
		if !ours {
			if !otherOperations[op.Operation] {
				yield(WordOperation, op.Operation)
			}
			return
		}
		known := op.Status == OperationPending || op.Status == OperationSuccessful || op.Status == OperationFailed
		if !known && !yield(WordOperationStatus, op.Status) {
			return
		}
		if op.Operation == OperationProduce && op.Production != "" && !op.Production.Known() && !yield(WordStatus, string(op.Production)) {
			return
		}
		sh := &op.Shipment
		if sh.Status != "" && shipmentRank[sh.Status] == 0 && !yield(WordShipmentStatus, sh.Status) {
			return
		}
		if sh.Carrier != "" && !carriers[sh.Carrier] {
			yield(WordCarrier, sh.Carrier)
		}
	}
}
