package issuance

import (
	"cmp"
	"slices"
	"time"
)

// Hear applies what D1 says of a PRODUCE operation and returns the events to
// append, none when it is a plain repeat. It is evidence that D1 has the order,
// so a live order becomes submitted; rejected and duplicate rows were never
// sent and must not be passed.
//
// The result does not depend on the order in which operations arrive, nor on
// how often, as long as nothing but the same operations is heard. That holds
// because each part of [Production] only ever rises in an order of its own:
//
//   - the step of production, in the business order of the statuses;
//   - the pause (CARD_PROD_ON_HOLD), in the order of D1's times;
//   - what the carrier says (status and message), in the order of D1's times,
//     and of two of the same time in the order in which a parcel travels;
//   - the parcel (carrier and tracking number), in the order of D1's times: an
//     update that leaves the tracking number out does not take it away.
//
// News without a time counts as older than any with one. Times are D1's alone,
// so that our clock has no say.
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
	events = append(events, o.HearOperationID(op.OperationID, why)...)
	if o.Production.HeardAt.Before(why.At) {
		o.Production.HeardAt = why.At
	}
	return append(events, o.hearProduction(op, why)...), nil
}

// maxOperations bounds how many operation ids are kept of one order.
const maxOperations = 8

// HearOperationID learns under which operation D1 produces the order. A second
// one is evidence that D1 took the order twice, and so may make two cards: it is
// kept, and its event says so.
func (o *Order) HearOperationID(id string, why Why) []Event {
	switch {
	case id == "" || id == o.OperationID || slices.Contains(o.OtherOperations, id):
		return nil
	case o.OperationID == "":
		o.OperationID = id
		return nil
	case len(o.OtherOperations) >= maxOperations:
		return nil
	}
	o.OtherOperations = append(slices.Clip(o.OtherOperations), id)
	status := string(o.Production.Status)
	why.Code, why.Reason = SecondOperation, "D1 reports a second operation for the same order, "+id+" beside "+o.OperationID
	return []Event{why.event(o.Ref, KindProduction, status, status)}
}

func (o *Order) hearProduction(op Operation, why Why) []Event {
	var events []Event
	was, p := o.Production, &o.Production
	if op.Production == "" && op.Status == OperationFailed {
		op.Production = OperationFailed // it has no details, and is news all the same
	}
	op.Reason = cmp.Or(op.Reason, op.ErrorCode)
	why.Reason, why.Said = op.Reason, op.at()
	if op.Production != "" {
		p.hearStep(Step{Status: op.Production, Failed: op.Status == OperationFailed, Reason: op.Reason, At: op.at()}, op.Current)
	}
	p.DueDate = laterDate(p.DueDate, op.DueDate)
	p.Site = max(p.Site, op.Site) // of two, neither is known to be newer
	switch {
	case was.Status != p.Status, was.Failed != p.Failed:
		if p.FailedInStep() {
			why.Code = ProductionFailed // the status alone would read as if all were well
		}
		events = append(events, why.event(o.Ref, KindProduction, string(was.Status), string(p.Status)))
	case op.Production != "" && op.Production != p.Status:
		events = append(events, why.event(o.Ref, KindLateNews, string(p.Status), string(op.Production)))
	}
	why.Code, why.Reason = "", ""
	switch changed, late := p.hearShipment(op); {
	case changed:
		events = append(events, why.event(o.Ref, KindShipment, was.Shipment.Status, p.Shipment.Status))
	case late:
		events = append(events, why.event(o.Ref, KindLateNews, p.Shipment.Status, op.Shipment.Status))
	}
	return events
}

// laterDate returns the later of two dates of D1's, which are text: what begins
// like one goes before all that does not.
func laterDate(a, b string) string {
	if order := cmp.Or(compareBool(isDate(a), isDate(b)), cmp.Compare(a, b)); order < 0 {
		return b
	}
	return a
}

func isDate(s string) bool {
	if len(s) < len(time.DateOnly) {
		return false
	}
	_, err := time.Parse(time.DateOnly, s[:len(time.DateOnly)])
	return err == nil
}

// hearStep takes a status in and settles anew which one counts.
func (p *Production) hearStep(s Step, current bool) {
	step, pause := Step{Status: p.Status, Failed: p.Failed, Reason: p.Reason, At: p.At}, p.Beneath
	if step.pause() {
		step, pause = pause, step
	}
	switch {
	case s.pause():
		pause = pause.pausedAgain(s, current)
	case s.compare(step) > 0:
		step = s
	}
	if current && !s.pause() && s.rank() == step.rank() {
		pause = pause.over(s)
	}
	p.settle(step, pause)
}

// pausedAgain returns the later of two pauses. That one is over holds for the
// notifications of its time as well, but not for D1's present word.
func (s Step) pausedAgain(again Step, current bool) Step {
	later := again.At.Compare(s.At)
	if later == 0 && !s.Over {
		later = cmp.Compare(again.Reason, s.Reason)
	}
	if s.Status == "" || later > 0 || current && !again.At.Before(s.At) {
		return again
	}
	return s
}

// over ends a pause by D1's present word, which the times of its operations may
// not tell: all until the end of an operation may have the same. An answer that
// is older than the pause is behind what we know and ends nothing.
func (s Step) over(current Step) Step {
	if s.Status != "" && s.At.After(current.At) {
		return s
	}
	return Step{Status: CardProdOnHold, At: current.At, Over: true}
}

// settle decides between the furthest step and the last pause. The later one
// counts. Where D1 gives them the same time or none, as it may for everything
// before the end of an operation, a pause is taken to be over when the card is made.
// Nothing pauses what has ended.
func (p *Production) settle(step, pause Step) {
	p.Status, p.Failed, p.Reason, p.At = step.Status, step.Failed, step.Reason, step.At
	p.Beneath = pause
	if pause.Status == "" || pause.Over || p.Final() {
		return
	}
	order := cmp.Compare(pause.rank(), step.rank())
	if !pause.At.IsZero() && !step.At.IsZero() {
		order = cmp.Or(pause.At.Compare(step.At), order)
	}
	if order > 0 {
		p.Status, p.Failed, p.Reason, p.At = pause.Status, pause.Failed, pause.Reason, pause.At
		p.Beneath = step
	}
}

func (s Step) rank() int   { return s.Status.step(s.Failed).rank }
func (s Step) pause() bool { return s.Status.pause(s.Failed) }

// compare orders steps: positive when s is further than t, and of the same rank
// newer.
func (s Step) compare(t Step) int {
	return cmp.Or(
		cmp.Compare(s.rank(), t.rank()),
		cmp.Compare(s.Status, t.Status),
		s.At.Compare(t.At),
		cmp.Compare(s.Reason, t.Reason),
		compareBool(s.Failed, t.Failed),
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

// hearShipment takes over what is the newest so far. Carriers go back and forth
// (exception, in transit again), so time decides here. late tells of news that
// other news had overtaken.
func (p *Production) hearShipment(op Operation) (changed, late bool) {
	if op.Shipment == (Shipment{}) {
		return false, false
	}
	was, at := p.Shipment, op.at()
	said, parcel := op.Shipment, op.Shipment
	parcel.Status, parcel.Message = "", ""
	said.Carrier, said.TrackingNumber, said.TrackingURL = "", "", ""
	if said != (Shipment{}) {
		if cmp.Or(at.Compare(p.ShipmentAt), said.compareNews(was)) >= 0 {
			p.Shipment.Status, p.Shipment.Message, p.ShipmentAt = said.Status, said.Message, at
		} else {
			late = true
		}
	}
	if parcel != (Shipment{}) && parcel.compareParcel(was, at, p.ParcelAt) > 0 {
		p.Shipment.Carrier, p.Shipment.TrackingNumber, p.Shipment.TrackingURL = parcel.Carrier, parcel.TrackingNumber, parcel.TrackingURL
		p.ParcelAt = at
	}
	return p.Shipment != was, late && op.Shipment != p.Shipment
}

// shipmentRank orders the carrier's statuses (AfterShip's vocabulary, which
// D1's examples follow).
var shipmentRank = map[string]int{
	"Pending": 1, "InfoReceived": 2, "InTransit": 3, "OutForDelivery": 4,
	"AttemptFail": 5, "AvailableForPickup": 6, "Exception": 7, "Expired": 8, "Delivered": 9,
}

func (s Shipment) compareNews(t Shipment) int {
	return cmp.Or(
		cmp.Compare(shipmentRank[s.Status], shipmentRank[t.Status]),
		cmp.Compare(s.Status, t.Status),
		cmp.Compare(s.Message, t.Message),
	)
}

// compareParcel prefers a parcel that can be tracked to one that cannot.
func (s Shipment) compareParcel(t Shipment, at, tAt time.Time) int {
	return cmp.Or(
		compareBool(s.TrackingNumber != "", t.TrackingNumber != ""),
		at.Compare(tAt),
		cmp.Compare(s.TrackingNumber, t.TrackingNumber),
		cmp.Compare(s.Carrier, t.Carrier),
		cmp.Compare(s.TrackingURL, t.TrackingURL),
	)
}
