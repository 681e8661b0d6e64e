package night_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cardbatch/internal/issuance"
)

// blind is D1 in its worst mode, small enough to be sure of: it makes a card
// for every request. Nothing happens in it by itself.
type blind struct {
	mu    sync.Mutex
	now   func() time.Time
	cards []*blindCard
	news  []issuance.Operation // not delivered yet
	fates []fate               // of the next requests
}

// fate is what happens to a request on its way.
type fate string

// The fates.
const (
	arrives    fate = "arrives"
	lostBefore fate = "lost before D1 has it"
	lostAfter  fate = "its answer is lost"
	notSent    fate = "surely not sent"
)

// nextFate takes the fate of the next request.
func (d *blind) nextFate() fate {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.fates) == 0 {
		return arrives
	}
	f := d.fates[0]
	d.fates = d.fates[1:]
	return f
}

type blindCard struct {
	card
	cardID string
	step   int
	last   issuance.Operation
}

// life is how a card is made; one in seven ends early.
func life() []issuance.ProductionStatus {
	return []issuance.ProductionStatus{issuance.CardProdRequested, issuance.CardProdReady, issuance.CardProdOngoing,
		issuance.CardProdDone, issuance.CardShipped}
}

var errBody = errors.New("the request is not of the order it was sent for")

// order makes a card, whatever was made before.
func (d *blind) order(claim issuance.Claim, body []byte) (operationID string, err error) {
	var request struct {
		IssuerRequestID string `json:"issuerRequestId"`
	}
	if err := json.Unmarshal(body, &request); err != nil || request.IssuerRequestID != claim.OrderID {
		return "", errBody
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &blindCard{cardID: claim.CardID, card: card{orderID: claim.OrderID, operationID: fmt.Sprintf("op-%d", len(d.cards)+1)}}
	d.cards = append(d.cards, c)
	d.advance(c, len(d.cards))
	return c.operationID, nil
}

// advance makes the next step of a card and the news of it.
func (d *blind) advance(c *blindCard, number int) {
	steps := life()
	if c.step == len(steps) || c.status == string(issuance.DataException) {
		return
	}
	status, outcome := steps[c.step], issuance.OperationPending
	if c.step == 1 && number%7 == 0 {
		status, outcome = issuance.DataException, issuance.OperationFailed
	}
	op := issuance.Operation{OperationID: c.operationID, Operation: issuance.OperationProduce, Status: outcome, CardID: c.cardID,
		IssuerRequestID: c.orderID, StartTime: d.now(), Production: status, DueDate: "2026-03-09", Site: "CENTER-1"}
	if status == issuance.CardShipped {
		op.Status, op.EndTime = issuance.OperationSuccessful, d.now()
		op.Shipment = issuance.Shipment{Carrier: "dhl", TrackingNumber: "T" + c.operationID, Status: "InTransit"}
	}
	c.step, c.status, c.last = c.step+1, string(status), op
	d.news = append(d.news, op)
}

// work lets every card make a step.
func (d *blind) work() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, c := range d.cards {
		d.advance(c, i+1)
	}
}

// productionStatus is what D1 answers about a card: its operations as they are.
func (d *blind) productionStatus(cardID string) []issuance.Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ops []issuance.Operation
	for _, c := range d.cards {
		if c.cardID == cardID {
			ops = append(ops, c.last)
		}
	}
	return ops
}

// takeNews takes what is to be delivered.
func (d *blind) takeNews() []issuance.Operation {
	d.mu.Lock()
	defer d.mu.Unlock()
	news := d.news
	d.news = nil
	return news
}

// again puts news back that was not answered 204.
func (d *blind) again(ops ...issuance.Operation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.news = append(d.news, ops...)
}

// idle reports whether no card will make another step.
func (d *blind) idle() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.news) == 0 && !slices.ContainsFunc(d.cards, func(c *blindCard) bool {
		return c.step < len(life()) && c.status != string(issuance.DataException)
	})
}

// ledger returns every card made.
func (d *blind) ledger() []card {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []card
	for _, c := range d.cards {
		all = append(all, c.card)
	}
	return all
}

// notice is the body of a notification.
func notice(ops ...issuance.Operation) []byte {
	type details struct {
		Status          string             `json:"status"`
		DueDate         string             `json:"dueDate,omitempty"`
		ProductionSite  string             `json:"productionSite,omitempty"`
		IssuerRequestID string             `json:"issuerRequestId"`
		Shipment        *issuance.Shipment `json:"shipment,omitempty"`
	}
	type operation struct {
		OperationID string    `json:"operationId"`
		Operation   string    `json:"operation"`
		Status      string    `json:"status"`
		CardID      string    `json:"cardId"`
		StartTime   time.Time `json:"startTime"`
		EndTime     time.Time `json:"endTime,omitzero"`
		Details     details   `json:"details"`
	}
	list := make([]operation, len(ops))
	for i, op := range ops {
		list[i] = operation{op.OperationID, op.Operation, op.Status, op.CardID, op.StartTime, op.EndTime,
			details{string(op.Production), op.DueDate, op.Site, op.IssuerRequestID, nil}}
		if op.Shipment != (issuance.Shipment{}) {
			list[i].Details.Shipment = &op.Shipment
		}
	}
	b, err := json.Marshal(map[string]any{"operations": list})
	if err != nil {
		panic(err) // it is made of texts
	}
	return b
}
