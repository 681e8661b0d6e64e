package issuance

import (
	"cmp"
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
// that arrives late.
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

// Known reports whether s has a place in the business order. A status that has
// none counts as in production and gives way to every known status.
func (s ProductionStatus) Known() bool {
	_, ok := steps[s]
	return ok
}

// Final reports whether production has ended. failed is D1's word on the
// operation, which ends it in any status.
func (s ProductionStatus) Final(failed bool) bool { return s.step(failed).final }

// Phase groups the production statuses into the terms of the control equation.
type Phase string

// The phases of a submitted order.
const (
	Awaiting     Phase = "awaiting"
	InProduction Phase = "in_production"
	OnHold       Phase = "on_hold"
	Failed       Phase = "failed"
	Canceled     Phase = "canceled"
	Shipped      Phase = "shipped"
)

// Phases lists every phase once, in the order of the control equation.
func Phases() []Phase { return []Phase{Awaiting, InProduction, OnHold, Failed, Canceled, Shipped} }

// Production is what D1 has said about making and shipping the card.
type Production struct {
	Status  ProductionStatus
	Failed  bool // D1's operation status is FAILED
	Reason  string
	At      time.Time // D1's time of the operation's end, else of its start
	DueDate string    // the latest estimated shipment date, as D1 writes it
	Site    string    // personalization center
	HeardAt time.Time // when we last heard of the order, by any way

	Shipment   Shipment
	ShipmentAt time.Time
}

// Phase returns the term of the control equation under which a submitted order counts.
func (p *Production) Phase() Phase { return p.Status.step(p.Failed).phase }

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

// Operation is one entry of a D1 notification or of an answer to
// productionStatus, reduced to what we use.
type Operation struct {
	OperationID     string
	Operation       string // PRODUCE, UPDATE_ORDER or one we do not know
	Status          string // PENDING, SUCCESSFUL, FAILED
	CardID          string
	IssuerRequestID string // from either of the two places D1 may put it
	StartTime       time.Time
	EndTime         time.Time
	ErrorCode       string
	Error           string

	Production ProductionStatus // details.status
	Reason     string
	DueDate    string
	Site       string
	Shipment   Shipment
}

func (op *Operation) at() time.Time {
	if op.EndTime.IsZero() {
		return op.StartTime
	}
	return op.EndTime
}

// Hear applies what D1 says of a PRODUCE operation and returns the events to
// append, none when it is a plain repeat. It is evidence that D1 has the order,
// so a live order becomes submitted; rejected and duplicate rows were never
// sent and must not be passed.
//
// The result does not depend on the order in which operations arrive, nor on
// how often.
func (o *Order) Hear(op Operation, why Why) ([]Event, error) {
	var events []Event
	if o.State != Submitted {
		e, err := o.Transition(Submitted, Why{At: why.At, Stage: why.Stage, Session: why.Session,
			Reason: "D1 reports on it", Attempt: o.Attempts})
		if err != nil {
			return nil, err
		}
		o.Reason = "" // what matters from now on is D1's own reason
		events = append(events, e)
	}
	if o.OperationID == "" {
		o.OperationID = op.OperationID
	}
	if o.Production.HeardAt.Before(why.At) {
		o.Production.HeardAt = why.At
	}
	return append(events, o.hearProduction(op, why)...), nil
}

func (o *Order) hearProduction(op Operation, why Why) []Event {
	var events []Event
	was, p := o.Production, &o.Production
	if op.Production == "" && op.Status == OperationFailed {
		op.Production = OperationFailed // it has no details, and is news all the same
	}
	op.Reason = cmp.Or(op.Reason, op.ErrorCode)
	why.Reason = op.Reason
	newer := p.compare(op)
	if newer > 0 {
		p.Status, p.Failed, p.At, p.Reason = op.Production, op.Status == OperationFailed, op.at(), op.Reason
	}
	p.DueDate = max(p.DueDate, op.DueDate)
	p.Site = cmp.Or(p.Site, op.Site)
	switch {
	case was.Status != p.Status, was.Failed != p.Failed:
		events = append(events, why.event(o.Ref, KindProduction, string(was.Status), string(p.Status)))
	case newer < 0 && op.Production != "" && op.Production != p.Status:
		events = append(events, why.event(o.Ref, KindLateNews, string(p.Status), string(op.Production)))
	}
	if p.hearShipment(op) {
		why.Reason = ""
		events = append(events, why.event(o.Ref, KindShipment, was.Shipment.Status, p.Shipment.Status))
	}
	return events
}

// hearShipment takes over the shipment data when it is the newest so far.
// Carriers go back and forth (exception, in transit again), so time decides
// here and the carrier's status only between two of the same time.
func (p *Production) hearShipment(op Operation) bool {
	if op.Shipment == (Shipment{}) {
		return false
	}
	if cmp.Or(op.at().Compare(p.ShipmentAt), op.Shipment.compare(p.Shipment)) <= 0 {
		return false
	}
	changed := op.Shipment != p.Shipment
	p.Shipment, p.ShipmentAt = op.Shipment, op.at()
	return changed
}

// compare says whether op brings a newer status than what is known: positive
// when it does, zero when it says the same, negative when it is older news.
func (p *Production) compare(op Operation) int {
	failed := op.Status == OperationFailed
	return cmp.Or(
		cmp.Compare(op.Production.step(failed).rank, p.Status.step(p.Failed).rank),
		cmp.Compare(op.Production, p.Status),
		op.at().Compare(p.At),
		cmp.Compare(op.Reason, p.Reason),
		compareBool(failed, p.Failed),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// shipmentRank orders the carrier's statuses (AfterShip's vocabulary, which
// D1's examples follow).
var shipmentRank = map[string]int{
	"Pending": 1, "InfoReceived": 2, "InTransit": 3, "OutForDelivery": 4,
	"AttemptFail": 5, "AvailableForPickup": 6, "Exception": 7, "Expired": 8, "Delivered": 9,
}

func (s Shipment) compare(t Shipment) int {
	return cmp.Or(
		cmp.Compare(shipmentRank[s.Status], shipmentRank[t.Status]),
		cmp.Compare(s.Status, t.Status),
		cmp.Compare(s.TrackingNumber, t.TrackingNumber),
		cmp.Compare(s.Carrier, t.Carrier),
		cmp.Compare(s.TrackingURL, t.TrackingURL),
		cmp.Compare(s.Message, t.Message),
	)
}
