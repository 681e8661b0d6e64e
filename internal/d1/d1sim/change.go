package d1sim

import (
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// What an issuer may ask of an order that has not shipped ("pull & change").
const (
	changeCancel     = "CANCEL"
	changeAccelerate = "ACCELERATE"
	changeRedirect   = "REDIRECT"
	changeBoth       = "ACCELERATE_AND_REDIRECT"
)

// A change is one such request, decided.
type change struct {
	order    uint32
	kind     string
	at       int64 // Shopfloor time, µs
	accepted bool
	status   string            // production status it met
	body     [sha256.Size]byte // digest
}

// ChangeEntry is one change that D1 was asked for, as the center decided it.
type ChangeEntry struct {
	IssuerID        string    `json:"issuerId"`
	IssuerRequestID string    `json:"issuerRequestId"` // of the order
	CardID          string    `json:"cardId"`
	OperationID     string    `json:"operationId"`
	Type            string    `json:"type"`
	DecidedAt       time.Time `json:"decidedAt"` // Shopfloor time
	Accepted        bool      `json:"accepted"`
	Status          string    `json:"status"` // of production, when it came
}

// Changes returns every change in order of arrival.
func (s *Simulator) Changes() []ChangeEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ChangeEntry, len(s.ledger.changes))
	for i, c := range s.ledger.changes {
		r := s.ledger.at(c.order)
		out[i] = ChangeEntry{
			IssuerID: s.byNumber[r.issuer].ID, IssuerRequestID: r.requestID(), CardID: r.cardID(), OperationID: s.changeID(uint32(i)),
			Type: c.kind, DecidedAt: time.UnixMicro(c.at).UTC(), Accepted: c.accepted, Status: c.status,
		}
	}
	return out
}

func changeRules() []rule {
	return withPaths("", []rule{
		{name: "type", required: true, kind: kindString, values: []string{changeCancel, changeAccelerate, changeRedirect, changeBoth}},
		{name: "newDeliveryAddress", kind: kindObject, members: addressRules()},
	})
}

// serveChange is POST .../physicalCards/{cardId}/operations:updateOrder. Path
// and stages are assumed; the outcome comes as a notification, UPDATE_ORDER.
func (s *Simulator) serveChange(w http.ResponseWriter, r *http.Request) {
	x := s.begin(w, r, kindChange)
	defer x.end()
	if !x.delay() || x.faultBefore() {
		return
	}
	is, e := x.admit(&x.set.RateLimit)
	cardID := []byte(x.ev.card)
	if e == nil && !ident(48)(cardID) {
		e = &apiError{http.StatusBadRequest, codeFormat, "cardId"}
	}
	if e != nil {
		x.refuse(e)
		return
	}
	buf := s.bufs.Get().(*[]byte)
	defer s.bufs.Put(buf)
	body, e := readBody(r, s.cfg.MaxBody, buf)
	var operationID string
	if e == nil {
		operationID, e = x.change(is, cardID, body)
	}
	if e != nil {
		x.finish(e.status, e.json())
		return
	}
	x.finish(http.StatusAccepted, []byte(`{"operationId":"`+operationID+`"}`))
}

func (x *exchange) change(is *issuer, cardID, body []byte) (string, *apiError) {
	s := x.s
	d := s.docs.Get().(*document)
	defer s.docs.Put(d)
	if err := d.parse(body); err != nil || d.nodes[0].kind != kindObject {
		return "", &apiError{status: http.StatusBadRequest}
	}
	if fe := d.check(0, s.changes); fe != nil {
		return "", s.fieldError(fe.code, fe.field)
	}
	kind := d.string(d.member(0, "type"))
	redirect := kind == changeRedirect || kind == changeBoth
	if addr := d.member(0, "newDeliveryAddress"); redirect && !d.present(addr) {
		return "", s.fieldError(codeFormat, "newDeliveryAddress")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signalLocked()
	found, order := false, uint32(0)
	s.ledger.card(is.number, cardID, func(i uint32, r *record) bool {
		found, order = r.produces(), i
		return !found
	})
	if !found {
		return "", &apiError{http.StatusNotFound, codeNoCard, ""}
	}
	n := s.decideChangeLocked(order, kind, x.set.Changes)
	s.ledger.changes[n].body = sha256.Sum256(body)
	s.outbox.addChange(is.number, n)
	return s.changeID(n), nil
}

// decideChangeLocked is the center's answer: it depends on how far the card is.
func (s *Simulator) decideChangeLocked(order uint32, kind string, rule Changes) uint32 {
	r := s.ledger.at(order)
	st, _ := r.step(int(r.stage) - 1)
	c := change{order: order, kind: kind, at: s.clock.now().UnixMicro(), status: st.status}
	until := rule.OthersUntil
	if kind == changeCancel {
		until = rule.CancelUntil
	}
	l := s.dice.luck(kindChange, r.ids, uint32(len(s.ledger.changes)))
	stage := changeStage(st.status)
	c.accepted = !st.final && stage >= 0 && stage <= changeStage(until) && !l.hit("refused", rule.Refused)
	if c.accepted {
		switch kind {
		case changeCancel:
			r.held = r.outcome == onHold && r.stage > 4
			r.outcome, r.cancelAt = cancelled, r.stage
		case changeAccelerate, changeBoth:
			r.due = min(r.due, c.at+4*hour)
		}
		if next, ok := r.step(int(r.stage)); ok {
			s.floor.push(entry{max(next.at, c.at), order}) // beside the older, later one
			s.wakeUp()
		}
	}
	n := uint32(len(s.ledger.changes))
	s.ledger.changes = append(s.ledger.changes, c)
	if s.ledger.changesOf == nil {
		s.ledger.changesOf = map[uint32][]uint32{}
	}
	s.ledger.changesOf[order] = append(s.ledger.changesOf[order], n)
	return n
}

// changeStage orders the stages in which a change may still come; -1: it is over.
func changeStage(status string) int {
	if status == cardOnHold {
		status = cardOngoing
	}
	return slices.Index([]string{cardRequested, dataPrepared, cardReady, cardOngoing, cardDone}, status)
}

func (s *Simulator) changeID(n uint32) string {
	return s.ledger.prefix + "u" + strconv.FormatUint(uint64(n)+1, 36)
}

// appendChange writes the outcome of a change as a notification tells it.
func (s *Simulator) appendChange(b []byte, n uint32) []byte {
	c := &s.ledger.changes[n]
	r := s.ledger.at(c.order)
	b = append(append(b, `{"operationId":"`...), s.changeID(n)...)
	b = append(b, `","operation":"UPDATE_ORDER","status":"`...)
	if c.accepted {
		b = append(b, `SUCCESSFUL"`...)
	} else {
		b = append(b, `FAILED","errorCode":"STAGE_TOO_LATE","error":"the card is too far in production"`...)
	}
	b = appendTime(append(b, `,"startTime":"`...), c.at)
	b = appendTime(append(b, `","endTime":"`...), c.at)
	b = append(append(append(b, `","cardId":"`...), r.cardID()...), '"')
	b = appendRequestID(b, r)
	b = append(append(b, `,"details":{"status":"`...), c.status...)
	return append(appendRequestID(append(b, '"'), r), "}}"...)
}
