package d1sim

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Event is one request the simulator answered, or one operation it notified.
// In a notification an operation is an event.
type Event struct {
	N               int64     `json:"n"`  // 1, 2, ... since the start or reset
	At              time.Time `json:"at"` // real time it began
	Kind            string    `json:"kind"`
	IssuerID        string    `json:"issuerId,omitempty"`
	CardID          string    `json:"cardId,omitempty"`
	IssuerRequestID string    `json:"issuerRequestId,omitempty"`
	BodySHA256      string    `json:"bodySha256,omitempty"` // of an order
	Cards           int       `json:"cards,omitempty"`      // of a batch order
	Status          string    `json:"status,omitempty"`     // production status of a notification
	Attempt         int       `json:"attempt,omitempty"`    // of a notification: 1, 2, ...
	Fault           string    `json:"fault,omitempty"`      // the switch that spoiled it
	Answer          int       `json:"answer,omitempty"`     // HTTP status; 0: none was given or came
}

// event is an Event as it is kept.
type event struct {
	at      int64
	kind    string
	issuer  string
	card    string
	request string
	status  string
	fault   fault
	body    [32]byte
	cards   int32
	attempt int32
	answer  int
}

// eventLog keeps the newest events.
type eventLog struct {
	mu   sync.Mutex
	max  int
	n    int64 // so many have been
	ring []event
}

func (l *eventLog) add(e *event) {
	if l.max <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) < l.max {
		l.ring = append(l.ring, *e)
	} else {
		l.ring[l.n%int64(l.max)] = *e
	}
	l.n++
}

func (l *eventLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring, l.n = nil, 0
}

// after returns the events behind number n that are still there.
func (l *eventLog) after(n int64) []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Event
	for i := max(n, l.n-int64(len(l.ring))); i < l.n; i++ {
		out = append(out, l.ring[i%int64(l.max)].export(i+1))
	}
	return out
}

func (e *event) export(n int64) Event {
	out := Event{
		N: n, At: time.UnixMicro(e.at).UTC(), Kind: e.kind, IssuerID: e.issuer, CardID: e.card, IssuerRequestID: e.request,
		Cards: int(e.cards), Status: e.status, Attempt: int(e.attempt), Fault: string(e.fault), Answer: e.answer,
	}
	if e.body != [32]byte{} {
		out.BodySHA256 = hex.EncodeToString(e.body[:])
	}
	return out
}

// Events returns the newest events, as many as Config.Events, that are behind
// number after.
func (s *Simulator) Events(after int64) []Event { return s.events.after(after) }

// FaultCounts says how often each fault was made, by the name of its switch.
func (s *Simulator) FaultCounts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for f, n := range s.faults {
		out[string(f)] = n
	}
	return out
}

// faulted counts a fault.
func (s *Simulator) faulted(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultedLocked(f)
}

func (s *Simulator) faultedLocked(f fault) {
	s.totals.faults++
	s.faults[f]++
}

// ResetCounters sets what counts requests and faults to zero and empties the
// event log. Orders, cards, notifications and what counts them stay.
func (s *Simulator) ResetCounters() {
	s.mu.Lock()
	s.totals.faults, s.totals.throttled, s.totals.statusRequests, s.totals.refusals = 0, 0, 0, 0
	clear(s.faults)
	s.requests.Store(0)
	s.signalLocked()
	s.mu.Unlock()
	s.tokens.mu.Lock()
	s.tokens.issued = 0
	s.tokens.mu.Unlock()
	s.tries.clear()
	s.events.clear()
}

// adminEvents shows the event log; the query selects.
func (s *Simulator) adminEvents(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, err := strconv.ParseInt("0"+q.Get("after"), 10, 64)
	if err != nil {
		(&apiError{http.StatusBadRequest, "", "after is not a number"}).write(w)
		return
	}
	all, picked := s.Events(after), []Event{}
	for i := range all {
		e := &all[i]
		fits := true
		for name, v := range map[string]string{"kind": e.Kind, "issuerRequestId": e.IssuerRequestID, "cardId": e.CardID,
			"fault": e.Fault, "status": e.Status, "answer": strconv.Itoa(e.Answer)} {
			fits = fits && (!q.Has(name) || q.Get(name) == v)
		}
		if fits {
			picked = append(picked, *e)
		}
	}
	writeValue(w, http.StatusOK, map[string]any{"events": picked})
}
