package issuance

import (
	"errors"
	"slices"
	"time"
)

// ProductionStatus is D1's details.status, kept as D1 spells it. Values we do
// not know are legal: D1 may add some at any time.
type ProductionStatus string

// The production statuses known today (Thales D1, central issuance: track
// production). CardProdCanceled really has one L.
const (
	CardProdRequested ProductionStatus = "CARD_PROD_REQUESTED"
	DataPrepared      ProductionStatus = "DATA_PREPARED"
	DataException     ProductionStatus = "DATA_EXCEPTION"
	CardProdReady     ProductionStatus = "CARD_PROD_READY"
	CardProdOngoing   ProductionStatus = "CARD_PROD_ONGOING"
	CardProdOnHold    ProductionStatus = "CARD_PROD_ON_HOLD"
	CardProdDone      ProductionStatus = "CARD_PROD_DONE"
	CardProdException ProductionStatus = "CARD_PROD_EXCEPTION"
	CardProdCanceled  ProductionStatus = "CARD_PROD_CANCELED"
	CardShipped       ProductionStatus = "CARD_SHIPPED"
	CardReturned      ProductionStatus = "CARD_RETURNED"
)

type step struct {
	rank  int
	phase Phase
	final bool
}

// steps gives the business order of the statuses. An end of production without
// a card ranks above every step of making one, and a card that left the house
// above all of them: what has physically happened is never taken back by news
// that arrives late. On hold is no step but a pause between any two of them;
// its rank counts only where the times do not tell, see [Production.settle].
var steps = map[ProductionStatus]step{
	"":                {0, Awaiting, false},
	CardProdRequested: {10, InProduction, false},
	DataPrepared:      {20, InProduction, false},
	CardProdReady:     {30, InProduction, false},
	CardProdOngoing:   {40, InProduction, false},
	CardProdOnHold:    {45, OnHold, false},
	CardProdDone:      {50, InProduction, false},
	DataException:     {60, Failed, true},
	CardProdException: {61, Failed, true},
	CardProdCanceled:  {63, Canceled, true},
	CardShipped:       {70, Shipped, true},
	CardReturned:      {80, Shipped, true},
}

var (
	unknownStep = step{1, InProduction, false}
	failedStep  = step{62, Failed, true}
)

func (s ProductionStatus) step(failed bool) step {
	st, ok := steps[s]
	switch {
	case failed && !st.final:
		return failedStep
	case !ok:
		return unknownStep
	default:
		return st
	}
}

// ProductionStatuses lists the statuses that have a place in the business order,
// by name.
func ProductionStatuses() []ProductionStatus {
	return slices.Sorted(func(yield func(ProductionStatus) bool) {
		for s := range steps {
			if s != "" && !yield(s) {
				return
			}
		}
	})
}

// Known reports whether s has a place in the business order. A status that has
// none counts as in production and gives way to every known status.
func (s ProductionStatus) Known() bool {
	_, ok := steps[s]
	return ok
}

// Final reports whether production has ended. failed is D1's word on the
// operation, which ends it in any status.
func (s ProductionStatus) Final(failed bool) bool { return s.step(failed).final }

func (s ProductionStatus) pause(failed bool) bool { return s == CardProdOnHold && !failed }

// Phase groups the production statuses into the terms of the control equation.
type Phase string

// The phases of a submitted order.
const (
	Awaiting     Phase = "awaiting"
	InProduction Phase = "in_production"
	OnHold       Phase = "on_hold"
	Failed       Phase = "failed"
	Canceled     Phase = "canceled"
	Produced     Phase = "produced" // made and, as ordered, not shipped
	Shipped      Phase = "shipped"
)

// Phases lists every phase once, in the order of the control equation.
func Phases() []Phase {
	return []Phase{Awaiting, InProduction, OnHold, Failed, Canceled, Produced, Shipped}
}

// NoShipment is D1's services.delivery of a card that is made and not sent.
const NoShipment = "NO_SHIPMENT"

// Production is what D1 has said about making and shipping the card.
type Production struct {
	NoShipment bool // as ordered: the card is made and not sent, so that made is its end

	Status  ProductionStatus
	Failed  bool // D1's operation status is FAILED
	Reason  string
	At      time.Time // D1's time of the operation's end, else of its start
	DueDate string    // the latest estimated shipment date, as D1 writes it
	Site    string    // personalization center
	HeardAt time.Time // when we last heard of the order, by any way

	// Beneath is the step of production that a pause hides or, while Status is
	// a step, the last pause before it. It decides what later news means.
	Beneath Step

	Shipment   Shipment
	ShipmentAt time.Time // of its status and message
	ParcelAt   time.Time // of its carrier and tracking number, which later news may leave out
}

// Step is one production status with what belongs to it.
type Step struct {
	Status ProductionStatus `json:"status"`
	Failed bool             `json:"failed,omitempty"`
	Reason string           `json:"reason,omitempty"`
	At     time.Time        `json:"at,omitzero"`
	Over   bool             `json:"over,omitempty"` // of a pause: D1 has said since that production goes on
}

// Phase returns the term of the control equation under which a submitted order counts.
func (p *Production) Phase() Phase {
	if p.made() {
		return Produced
	}
	return p.Status.step(p.Failed).phase
}

// Final reports whether production has ended.
func (p *Production) Final() bool { return p.made() || p.Status.Final(p.Failed) }

// FailedInStep reports whether production has failed and its status, a step of
// making the card, does not say so.
func (p *Production) FailedInStep() bool { return p.Failed && !p.Status.step(false).final }

func (p *Production) made() bool { return p.NoShipment && p.Status == CardProdDone && !p.Failed }

// Shipment is D1's details.shipment, values as D1 or the carrier writes them.
type Shipment struct {
	Carrier        string `json:"carrier,omitempty"`
	TrackingNumber string `json:"trackingNumber,omitempty"`
	TrackingURL    string `json:"trackingUrl,omitempty"`
	Status         string `json:"status,omitempty"`
	Message        string `json:"message,omitempty"`
}

// D1's values of an operation's status.
const (
	OperationPending    = "PENDING"
	OperationSuccessful = "SUCCESSFUL"
	OperationFailed     = "FAILED"
)

// D1's names of the operations we know how to apply.
const (
	OperationProduce     = "PRODUCE"
	OperationUpdateOrder = "UPDATE_ORDER"
)

// ErrTooManyOperations says that a list of operations is longer than any that
// D1 has a reason to send.
var ErrTooManyOperations = errors.New("the list of operations is too long")

// Operation is one entry of a D1 notification or of an answer to
// productionStatus, reduced to what we use.
type Operation struct {
	OperationID     string
	Operation       string // PRODUCE, UPDATE_ORDER or one we do not know
	Status          string // PENDING, SUCCESSFUL, FAILED
	CardID          string
	IssuerRequestID string // from either of the two places D1 may put it
	InputFileName   string // likewise; of an order that D1 got in a file, and so not from us
	StartTime       time.Time
	EndTime         time.Time
	ErrorCode       string
	Error           string

	Production ProductionStatus // details.status
	Reason     string
	DueDate    string
	Site       string
	Shipment   Shipment

	// Current says that this is D1's answer to a question of ours, and so how
	// things stand; a notification says how they stood when it was written.
	Current bool `json:",omitempty"`
}

func (op *Operation) at() time.Time {
	if op.EndTime.IsZero() {
		return op.StartTime
	}
	return op.EndTime
}
