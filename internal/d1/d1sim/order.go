package d1sim

import (
	"crypto/sha256"
	"io"
	"mime"
	"net/http"
	"slices"
)

// serveOrder is POST .../physicalCards/{cardId}/operations:production.
func (s *Simulator) serveOrder(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	x := s.begin(w, r, kindOrder)
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
	if e != nil {
		x.refuse(e)
		return
	}
	operationID, e := x.order(is, cardID, body)
	if e != nil {
		x.finish(e.status, e.json())
		return
	}
	x.finish(http.StatusAccepted, []byte(`{"operationId":"`+operationID+`"}`))
}

// admit lets a request in: its token, its rate, its headers.
func (x *exchange) admit(limit *RateLimit) (*issuer, *apiError) {
	is, e := x.authorize()
	if e != nil {
		return nil, e
	}
	if x.kind != kindStatus && x.hit(revokeTokens, x.set.Faults.RevokeTokens) {
		return nil, &apiError{http.StatusUnauthorized, codeUnauthorized, "Unauthorized"}
	}
	bucket := &is.bucket
	switch x.kind {
	case kindBatch:
		bucket = &is.batches
	case kindStatus:
		bucket = &is.reads
	}
	if now := x.s.cfg.Now(); !bucket.take(limit, now) {
		x.s.count(func(t *totals) { t.throttled++ })
		x.ev.fault = throttledFault
		limit.writeRetryAfter(x.w.Header(), now)
		return nil, &apiError{http.StatusTooManyRequests, codeTooMany, "Too Many Requests"}
	}
	if !correlationOK(x.r) {
		return nil, &apiError{http.StatusBadRequest, codeFormat, "x-correlation-id"}
	}
	return is, nil
}

// readBody returns the JSON body, in a buffer that is used again.
func readBody(r *http.Request, limit int64, buf *[]byte) ([]byte, *apiError) {
	if ct := r.Header.Get("Content-Type"); ct != "application/json" {
		if media, _, err := mime.ParseMediaType(ct); err != nil || media != "application/json" {
			return nil, &apiError{status: http.StatusUnsupportedMediaType}
		}
	}
	b := (*buf)[:0]
	for {
		if len(b) == cap(b) {
			b = slices.Grow(b, 4<<10)
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		*buf = b
		if int64(len(b)) > limit {
			return nil, &apiError{status: http.StatusRequestEntityTooLarge}
		}
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, &apiError{status: http.StatusBadRequest}
		}
	}
}

// A request is one order taken apart. Its slices point into the body.
type request struct {
	issuer    *issuer
	cardID    []byte
	requestID []byte
	body      [32]byte
	product   *Product
	issuance  string
	priority  string
	delivery  string
	pan       uint64 // keyed hash
	bin       []byte // leading digits of the PAN
}

// order judges a body and returns the operationId of the card to make.
func (x *exchange) order(is *issuer, cardID, body []byte) (string, *apiError) {
	s, set := x.s, x.set
	d := s.docs.Get().(*document)
	defer s.docs.Put(d)
	q := request{issuer: is, cardID: cardID, body: sha256.Sum256(body)}
	if err := d.parse(body); err != nil || d.nodes[0].kind != kindObject {
		return "", s.refuse(&q, &apiError{status: http.StatusBadRequest})
	}
	e := s.judge(&q, set, d, 0, s.rules)
	x.ev.request, x.ev.body = string(q.requestID), q.body
	if e != nil {
		return "", s.refuse(&q, e)
	}
	return s.accept(&q, set)
}

// judge looks at one order of a document and fills in what was understood.
func (s *Simulator) judge(q *request, set *Settings, d *document, at int, rules []rule) *apiError {
	if id := d.text(d.member(at, "issuerRequestId")); ident(64)(id) {
		q.requestID = id
	}
	if e := s.checkOrder(q, d, at, rules); e != nil {
		return e
	}
	if e := s.checkCard(q, set, d.string(d.member(at, "encryptedData"))); e != nil {
		return e
	}
	return s.checkProgram(q, d, at)
}

// checkOrder looks at what is written, field by field.
func (s *Simulator) checkOrder(q *request, d *document, at int, rules []rule) *apiError {
	if fe := d.check(at, rules); fe != nil {
		return s.fieldError(fe.code, fe.field)
	}
	if id := d.text(d.member(at, "cardId")); id != nil && string(id) != string(q.cardID) {
		return s.fieldError(codeValue, "cardId")
	}
	ship := d.member(at, "shipment")
	individual := string(d.text(d.member(ship, "type"))) != "BULK"
	for _, name := range []string{"deliveryAddress", "individualAddress"} {
		addr := d.member(ship, name)
		if !d.present(addr) {
			if individual && !s.cfg.IndividualAddressOptional {
				return s.fieldError(codeFormat, "shipment."+name)
			}
			continue
		}
		if !named(d, at, addr) {
			return s.fieldError(codeFormat, "shipment."+name+".lastName")
		}
	}
	return nil
}

// named reports whether an address, or the order, says for whom it is.
func named(d *document, order, address int) bool {
	return d.present(d.member(address, "lastName")) || d.present(d.member(address, "firstName")) ||
		d.present(d.member(address, "companyName")) || d.present(d.member(order, "name"))
}

func (s *Simulator) fieldError(code, field string) *apiError {
	if s.cfg.LeafFieldNames {
		for i := len(field) - 1; i >= 0; i-- {
			if field[i] == '.' {
				field = field[i+1:]
				break
			}
		}
	}
	return &apiError{http.StatusBadRequest, code, field}
}

// checkCard opens encryptedData and looks at the card.
func (s *Simulator) checkCard(q *request, set *Settings, jwe string) *apiError {
	if set.SkipDecryption {
		return nil
	}
	clear, err := decrypt(jwe, *q.issuer.jwe.Load())
	if err != nil {
		return &apiError{http.StatusBadRequest, codeCrypto, ""}
	}
	d := s.docs.Get().(*document)
	defer s.docs.Put(d)
	pan, e := s.card.check(d, clear, s.cfg.Now())
	if e != nil {
		return e
	}
	q.pan = s.panHash(pan)
	q.bin = append(q.bin[:0], pan[:min(len(pan), binDigits)]...)
	for i := range clear {
		clear[i] = 0
	}
	return nil
}

// checkProgram looks at what the card program allows. Forbidden things are
// 403, values that were never set up are 400.
func (s *Simulator) checkProgram(q *request, d *document, at int) *apiError {
	services := d.member(at, "services")
	q.issuance = d.string(d.member(services, "issuance"))
	q.priority = d.string(d.member(services, "priority"))
	q.delivery = d.string(d.member(services, "delivery"))
	def(&q.delivery, noShipment)
	if ch := d.text(d.member(at, "distributionChannel")); string(ch) != "THALES" {
		return &apiError{http.StatusForbidden, codeForbidden, "distributionChannel"}
	}
	if s.cfg.RequireRegisteredCard && !s.isRegistered(q) {
		return &apiError{http.StatusNotFound, codeNoCard, ""}
	}
	if len(q.issuer.products) == 0 {
		return nil
	}
	p := q.issuer.products[string(d.text(d.member(at, "cardProductId")))]
	if p == nil {
		return &apiError{http.StatusForbidden, codeForbidden, "cardProductId"}
	}
	q.product = p
	for _, name := range []string{"deliveryAddress", "individualAddress"} {
		country := d.text(d.at(at, "shipment", name, "countryCode"))
		if country != nil && !allowed(p.Countries, string(country)) {
			return &apiError{http.StatusForbidden, codeForbidden, "countryCode"}
		}
	}
	return s.checkValues(q, d, at)
}

func (s *Simulator) checkValues(q *request, d *document, at int) *apiError {
	p := q.product
	services := d.member(at, "services")
	for _, v := range []struct {
		values      []string
		at          int
		none, field string
	}{
		{p.Priorities, d.member(services, "priority"), "", "services.priority"},
		{p.Deliveries, d.member(services, "delivery"), noShipment, "services.delivery"},
		{p.Carriers, d.member(services, "cardCarrier"), "NO_CARRIER", "services.cardCarrier"},
		{p.Packagings, d.member(services, "packaging"), "NO_PACK", "services.packaging"},
		{p.Configs, d.at(at, "paymentApplication", "config"), "", "paymentApplication.config"},
	} {
		value := d.string(v.at)
		if value != "" && value != v.none && !allowed(v.values, value) {
			return s.fieldError(codeValue, v.field)
		}
	}
	var e *apiError
	d.items(d.at(at, "packagingConfig", "inserts"), func(i int) bool {
		if !allowed(p.Inserts, d.string(i)) {
			e = s.fieldError(codeValue, "packagingConfig.inserts")
		}
		return e == nil
	})
	if e == nil && len(q.bin) > 0 && !p.hasBIN(q.bin) {
		e = s.fieldError(codeValue, "pan")
	}
	return e
}

const noShipment = "NO_SHIPMENT"

// binDigits is how much of a PAN is looked at to find its program.
const binDigits = 8

func (p *Product) hasBIN(pan []byte) bool {
	return len(p.BINs) == 0 || slices.ContainsFunc(p.BINs, func(bin string) bool {
		return len(bin) <= len(pan) && string(pan[:len(bin)]) == bin
	})
}

func allowed(values []string, v string) bool { return len(values) == 0 || slices.Contains(values, v) }

func (s *Simulator) isRegistered(q *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.registered[q.issuer.ID+"/"+string(q.cardID)]
}
