package d1sim

import (
	"crypto/sha256"
	"net/http"
)

// How D1 answers a batch order. Thales publishes neither path nor answer: all
// of it is assumed.
const (
	BatchPerCard  = "cards"          // 202 with an operationId or an error for each card
	BatchAll      = "all_or_nothing" // 202 for all, or 4xx with the first error and no card
	BatchAccepted = "accepted"       // 202 with one operationId for the whole; what is wrong with a card comes as DATA_EXCEPTION
	BatchOff      = "off"            // 404
)

// maxBatch is documented.
const maxBatch = 1000

// serveBatch is the batch order: {"cards":[...]} of 1 to 1000 orders.
func (s *Simulator) serveBatch(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	x := s.begin(w, r, kindBatch)
	defer x.end()
	if !x.delay() || x.faultBefore() {
		return
	}
	if x.set.BatchAnswer == BatchOff {
		x.refuse(&apiError{status: http.StatusNotFound})
		return
	}
	is, e := x.admit(&x.set.BatchRateLimit)
	if e != nil {
		x.refuse(e)
		return
	}
	buf := s.bufs.Get().(*[]byte)
	defer s.bufs.Put(buf)
	body, e := readBody(r, s.cfg.MaxBatchBody, buf)
	var answer []byte
	if e == nil {
		answer, e = x.batch(is, body)
	}
	switch {
	case x.ev.fault == batchPartly:
		x.reset()
	case e != nil:
		x.finish(e.status, e.json())
	default:
		x.finish(http.StatusAccepted, answer)
	}
}

// batch judges every card and answers as configured.
func (x *exchange) batch(is *issuer, body []byte) ([]byte, *apiError) {
	s, set := x.s, x.set
	d := s.docs.Get().(*document)
	defer s.docs.Put(d)
	if err := d.parse(body); err != nil || d.nodes[0].kind != kindObject {
		return nil, &apiError{status: http.StatusBadRequest}
	}
	cards, e := s.batchCards(d)
	if e != nil {
		return nil, e
	}
	x.ev.cards = int32(len(cards))
	if x.hit(batchPartly, set.Faults.BatchPartly) {
		cards = cards[:(len(cards)+1)/2]
	}
	orders := make([]batchOrder, len(cards))
	for i, at := range cards {
		n := &d.nodes[at]
		q := &orders[i].request
		q.issuer, q.cardID, q.body = is, d.text(d.member(at, "cardId")), sha256.Sum256(body[n.start:n.end])
		if orders[i].err = s.judge(q, set, d, at, s.items); orders[i].err != nil && set.BatchAnswer == BatchAll {
			return nil, s.refuse(q, orders[i].err)
		}
	}
	if set.BatchAnswer == BatchAll && set.Duplicates == DuplicatesReject && s.anyKnown(orders) {
		return nil, &apiError{http.StatusConflict, codeDuplicate, "issuerRequestId"}
	}
	if set.BatchAnswer == BatchAccepted {
		return s.acceptWhole(orders, set), nil
	}
	return s.batchAnswer(orders, set), nil
}

// acceptWhole takes every card and tells of none: a card with a mistake fails
// in data preparation, one that is known already is what it was (or, blind,
// another card).
func (s *Simulator) acceptWhole(orders []batchOrder, set *Settings) []byte {
	for i := range orders {
		o := &orders[i]
		if o.err == nil {
			_, _ = s.accept(&o.request, set) // a refusal is in the ledger
			continue
		}
		s.acceptFailing(&o.request)
	}
	id := operationPrefix(s.dice.next())
	return []byte(`{"operationId":"` + id + `batch"}`)
}

type batchOrder struct {
	request
	err *apiError
}

// batchCards returns where the cards stand in the document.
func (s *Simulator) batchCards(d *document) (cards []int, e *apiError) {
	d.members(0, func(name string, _ int) bool {
		if name != "cards" { // the one place where D1 tolerates nothing else
			e = s.fieldError(codeFormat, name)
		}
		return e == nil
	})
	if e != nil {
		return nil, e
	}
	object := true
	d.items(d.member(0, "cards"), func(i int) bool {
		cards = append(cards, i)
		object = object && d.nodes[i].kind == kindObject
		return true
	})
	if len(cards) == 0 || len(cards) > maxBatch || !object {
		return nil, s.fieldError(codeFormat, "cards")
	}
	return cards, nil
}

func (s *Simulator) anyKnown(orders []batchOrder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range orders {
		if known, _ := s.knownLocked(&orders[i].request); known {
			return true
		}
	}
	return false
}

func (s *Simulator) batchAnswer(orders []batchOrder, set *Settings) []byte {
	b := []byte(`{"operations":[`)
	for i := range orders {
		o := &orders[i]
		var operationID string
		e := o.err
		if e != nil {
			e = s.refuse(&o.request, e)
		} else {
			operationID, e = s.accept(&o.request, set)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"cardId":`...), string(o.cardID))
		if e != nil {
			b = appendString(append(b, `,"errorCode":`...), e.code)
			b = appendString(append(b, `,"error":`...), e.text)
		} else {
			b = appendString(append(b, `,"operationId":`...), operationID)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}
