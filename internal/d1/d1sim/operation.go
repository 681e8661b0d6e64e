package d1sim

import (
	"net/http"
	"strconv"
	"time"
)

const timeLayout = "2006-01-02T15:04:05.000Z"

// appendOperation writes step k of record i as D1 tells it, in notifications
// and in answers to productionStatus.
func (s *Simulator) appendOperation(b []byte, i uint32, k uint8) []byte {
	r := s.ledger.at(i)
	st, _ := r.step(int(k))
	place := s.cfg.Notifications.IDPlace
	b = append(append(b, `{"operationId":"`...), s.ledger.operationID(i)...)
	b = append(append(b, `","operation":"PRODUCE","status":"`...), operationStatus(st)...)
	b = appendTime(append(b, `","startTime":"`...), r.received)
	if operationStatus(st) != "PENDING" {
		end := st.at
		if s.cfg.Notifications.FixedEndTime {
			end -= int64(st.ship) * day / 2
		}
		b = appendTime(append(b, `","endTime":"`...), end)
	}
	b = append(append(append(b, `","cardId":"`...), r.cardID()...), '"')
	if place != PlaceDetails {
		b = appendRequestID(b, r)
	}
	b = append(append(append(b, `,"details":{"status":"`...), st.status...), '"')
	if place != PlaceTop {
		b = appendRequestID(b, r)
	}
	return append(s.appendDetails(b, i, r, st), "}}"...)
}

func (s *Simulator) appendDetails(b []byte, i uint32, r *record, st step) []byte {
	if reason := reason(r, st); reason != "" {
		b = append(append(append(b, `,"reason":"`...), reason...), '"')
	}
	if st.status != cardRequested && st.status != dataExceptionStatus {
		local := time.UnixMicro(r.due).In(s.cfg.Floor.TimeZone)
		b = append(local.AppendFormat(append(b, `,"dueDate":"`...), s.cfg.Floor.DueDateLayout), '"')
		b = appendString(append(b, `,"productionSite":`...), s.ledger.names[r.site])
	}
	if st.status != cardShipped {
		return b
	}
	status := shipmentStatus(st.ship, int(r.updates))
	tracking := trackingNumber(i)
	b = appendString(append(b, `,"shipment":{"carrier":`...), s.ledger.names[r.carrier])
	b = append(append(append(b, `,"trackingNumber":"`...), tracking...), '"')
	b = append(append(append(b, `,"status":"`...), status...), '"')
	b = append(append(append(b, `,"message":"`...), shipmentMessage(status)...), '"')
	return append(append(append(b, `,"trackingUrl":"https://carrier.example/`...), tracking...), `"}`...)
}

// reason explains an exception; the values are assumed.
func reason(r *record, st step) string {
	reasons := [...]string{"INVALID_ADDRESS", "UNKNOWN_CARD_DESIGN", "KEY_NOT_FOUND", "INVALID_EMV_DATA"}
	switch st.status {
	case dataExceptionStatus:
		return reasons[int(r.jitter)%len(reasons)]
	case cardOnHold:
		return "STOCK_UNAVAILABLE"
	case cardException:
		return "CARD_DAMAGED"
	}
	return ""
}

func operationStatus(st step) string {
	switch {
	case st.failed:
		return "FAILED"
	case st.status == cardShipped, st.status == cardReturned:
		return "SUCCESSFUL"
	}
	return "PENDING"
}

func appendRequestID(b []byte, r *record) []byte {
	if r.idLen == 0 {
		return b
	}
	return append(append(append(b, `,"issuerRequestId":"`...), r.requestID()...), '"')
}

func appendTime(b []byte, micro int64) []byte {
	return time.UnixMicro(micro).UTC().AppendFormat(b, timeLayout)
}

// serveStatus is GET .../productionStatus: every operation of the card.
func (s *Simulator) serveStatus(w http.ResponseWriter, r *http.Request) {
	s.count(func(t *totals) { t.statusRequests++ })
	x := s.begin(w, r, kindStatus)
	defer x.end()
	if !x.delay() {
		return
	}
	if x.hit(statusError, x.set.Faults.StatusError) {
		x.refuse(&apiError{status: x.set.Faults.ErrorStatus})
		return
	}
	is, e := x.admit(&x.set.StatusRateLimit)
	cardID := []byte(x.ev.card)
	if e == nil && !ident(48)(cardID) {
		e = &apiError{http.StatusBadRequest, codeFormat, "cardId"}
	}
	if e != nil {
		x.refuse(e)
		return
	}
	body := s.status(is, x.set, cardID)
	if body == nil {
		e = &apiError{http.StatusNotFound, codeNoCard, ""}
		x.spoil(e.status, e.json())
		return
	}
	x.spoil(http.StatusOK, body)
}

// status returns nil for a card that is not known, or not yet.
func (s *Simulator) status(is *issuer, set *Settings, cardID []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	asOf := s.clock.at(time.Now().Add(-set.StatusLag)).UnixMicro()
	var b []byte
	s.ledger.card(is.number, cardID, func(i uint32, r *record) bool {
		k := int(r.stage) - 1
		for ; k >= 0; k-- {
			if st, _ := r.step(k); set.StatusLag == 0 || st.at <= asOf {
				break
			}
		}
		if !r.produces() || k < 0 {
			return true
		}
		if b == nil {
			b = []byte(`{"operations":[`)
		} else {
			b = append(b, ',')
		}
		b = s.appendOperation(b, i, uint8(k))
		if set.Changes.Unlisted {
			return true
		}
		for _, n := range s.ledger.changesOf[i] {
			if set.StatusLag == 0 || s.ledger.changes[n].at <= asOf {
				b = s.appendChange(append(b, ','), n)
			}
		}
		return true
	})
	if b == nil {
		return nil
	}
	return append(b, "]}"...)
}

func trackingNumber(i uint32) string { return "SIM" + strconv.FormatUint(uint64(i)+1_000_000_000, 10) }
