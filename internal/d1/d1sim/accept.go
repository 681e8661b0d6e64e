package d1sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
)

// accept takes an order that is in order: new, or known already.
func (s *Simulator) accept(q *request, set *Settings) (string, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signalLocked()
	if known, i := s.knownLocked(q); known {
		r := s.ledger.at(i)
		s.repeatLocked(r, q)
		switch set.Duplicates {
		case DuplicatesReplay:
			return s.ledger.operationID(i), nil
		case DuplicatesReject:
			return "", &apiError{http.StatusConflict, codeDuplicate, "issuerRequestId"}
		}
	}
	if set.OneOpenOrderPerCard && s.openLocked(q) {
		return "", s.refuseLocked(q, &apiError{http.StatusForbidden, codeForbidden, "cardId"})
	}
	return s.ledger.operationID(s.produceLocked(q, set, undecided)), nil
}

// acceptFailing takes an order with a mistake, which data preparation will find.
func (s *Simulator) acceptFailing(q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signalLocked()
	if known, i := s.knownLocked(q); known {
		s.repeatLocked(s.ledger.at(i), q)
		return
	}
	s.produceLocked(q, s.settings.Load(), dataException)
}

// knownLocked finds the operation an issuerRequestId already has.
func (s *Simulator) knownLocked(q *request) (known bool, i uint32) {
	s.ledger.request(q.issuer.number, q.requestID, func(n uint32, r *record) bool {
		known, i = r.produces(), n
		return !known
	})
	return known, i
}

func (s *Simulator) openLocked(q *request) bool {
	open := false
	s.ledger.card(q.issuer.number, q.cardID, func(_ uint32, r *record) bool {
		if r.produces() {
			_, more := r.step(int(r.stage))
			open = open || more
		}
		return !open
	})
	return open
}

func (s *Simulator) repeatLocked(r *record, q *request) {
	r.times++
	s.totals.repeated++
	if r.body != q.body {
		r.differing++
		s.totals.differing++
	}
}

// produceLocked starts a card on its way, to a given end or to one by chance.
func (s *Simulator) produceLocked(q *request, set *Settings, end outcome) uint32 {
	now := s.clock.now()
	r := s.newRecordLocked(q)
	r.received = now.UnixMicro()
	r.due = s.calendar.due(now, q.issuance, q.priority).UnixMicro()
	r.status = http.StatusAccepted
	r.pan = q.pan
	carrier := s.cfg.Floor.Carriers[q.delivery]
	def(&carrier, "dhl")
	r.carrier = s.ledger.intern(carrier)
	site := s.cfg.Floor.Site
	if q.product != nil && q.product.Site != "" {
		site = q.product.Site
	}
	r.site = s.ledger.intern(site)
	r.updates = uint8(max(0, set.Production.ShipmentUpdates))
	if q.delivery == noShipment && !s.cfg.Floor.ShipUndelivered {
		r.updates = neverShipped
	}
	r.outcome, r.jitter = s.decide(q, &set.Production)
	if end != undecided {
		r.outcome = end
	}
	s.totals.accepted(s, q)
	i := s.ledger.add(r)
	s.advanceLocked(i, r.received)
	return i
}

// decide says what becomes of an order, from its id and the seed alone, so
// that the same night runs the same way.
func (s *Simulator) decide(q *request, p *Production) (outcome, uint8) {
	key := q.requestID
	if len(key) == 0 {
		key = q.cardID
	}
	if o, ok := outcomeOf(p.Outcomes[string(key)]); ok {
		return o, 0
	}
	roll := s.dice.of(key)
	u, jitter := unit(roll), uint8(roll)
	for _, c := range []struct {
		share float64
		o     outcome
	}{{p.DataException, dataException}, {p.Cancelled, cancelled}, {p.OnHold, onHold}, {p.Late, late},
		{p.Exception, exception}, {p.Returned, returned}} {
		if u < c.share {
			return c.o, jitter
		}
		u -= c.share
	}
	return shipped, jitter
}

func (s *Simulator) newRecordLocked(q *request) record {
	cardID := q.cardID
	if !ident(48)(cardID) {
		cardID = nil // an item of a batch that was refused for it
	}
	return record{
		ids: string(q.requestID) + string(cardID), idLen: uint8(len(q.requestID)),
		issuer: q.issuer.number, body: q.body, times: 1,
	}
}

// refuse remembers a refused order and returns the refusal.
func (s *Simulator) refuse(q *request, e *apiError) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signalLocked()
	return s.refuseLocked(q, e)
}

func (s *Simulator) refuseLocked(q *request, e *apiError) *apiError {
	s.totals.refusals++
	repeat := false
	s.ledger.request(q.issuer.number, q.requestID, func(_ uint32, r *record) bool {
		if repeat = int(r.status) == e.status && s.ledger.names[r.code] == e.code; repeat {
			s.repeatLocked(r, q)
		}
		return !repeat
	})
	if repeat {
		return e
	}
	r := s.newRecordLocked(q)
	r.received = s.clock.now().UnixMicro()
	r.status = uint16(e.status)
	r.code, r.field = s.ledger.intern(e.code), s.ledger.intern(e.text)
	s.totals.refused(s, q)
	s.ledger.add(r)
	return e
}

// panHash is a keyed hash that dies with the process: it tells whether two
// orders are for the same PAN and nothing else.
func (s *Simulator) panHash(pan []byte) uint64 {
	m := hmac.New(sha256.New, s.panKey[:])
	m.Write(pan)
	return binary.BigEndian.Uint64(m.Sum(nil)) | 1
}
