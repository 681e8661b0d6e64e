package d1sim

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// LedgerEntry is one order as D1 judged it: an accepted one is a card to make.
// Blind duplicates are entries of their own.
type LedgerEntry struct {
	IssuerID         string    `json:"issuerId"`
	IssuerRequestID  string    `json:"issuerRequestId"`
	CardID           string    `json:"cardId"`
	OperationID      string    `json:"operationId,omitempty"` // accepted orders
	ReceivedAt       time.Time `json:"receivedAt"`            // Shopfloor time
	BodySHA256       string    `json:"bodySha256"`
	TimesReceived    int       `json:"timesReceived"`
	OtherBodies      int       `json:"otherBodies"` // of those, with another body
	Answer           int       `json:"answer"`      // HTTP status given first
	ErrorCode        string    `json:"errorCode,omitempty"`
	Error            string    `json:"error,omitempty"`
	Produced         int       `json:"produced"` // cards D1 makes for the issuerRequestId in all
	Status           string    `json:"status,omitempty"`
	Final            bool      `json:"final"`
	DueAt            time.Time `json:"dueAt,omitzero"`
	TrackingNumber   string    `json:"trackingNumber,omitempty"`
	NotifiedOK       int       `json:"notificationsDelivered"`
	SamePANAsEarlier bool      `json:"samePanAsEarlier"` // another order of the card had this PAN

	Changes []LedgerChange `json:"changes,omitempty"` // in order of arrival
}

// LedgerChange is a change of an order as it was decided.
type LedgerChange struct {
	OperationID string `json:"operationId"`
	Type        string `json:"type"`
	Accepted    bool   `json:"accepted"`
	Met         string `json:"met"` // the production status then
	BodySHA256  string `json:"bodySha256"`
}

// Ledger returns every order in order of arrival. For large ledgers the admin
// endpoint, which pages, is kinder to memory.
func (s *Simulator) Ledger() []LedgerEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]LedgerEntry, 0, s.ledger.n)
	for i := range s.ledger.n {
		out = append(out, s.entryLocked(i))
	}
	return out
}

func (s *Simulator) entryLocked(i uint32) LedgerEntry {
	r := s.ledger.at(i)
	e := LedgerEntry{
		IssuerID: s.byNumber[r.issuer].ID, IssuerRequestID: r.requestID(), CardID: r.cardID(),
		ReceivedAt: time.UnixMicro(r.received).UTC(), BodySHA256: hex.EncodeToString(r.body[:]),
		TimesReceived: int(r.times), OtherBodies: int(r.differing), Answer: int(r.status),
		ErrorCode: s.ledger.names[r.code], Error: s.ledger.names[r.field], NotifiedOK: int(r.notified),
	}
	s.ledger.request(r.issuer, []byte(e.IssuerRequestID), func(_ uint32, o *record) bool {
		if o.produces() {
			e.Produced++
		}
		return true
	})
	if !r.produces() {
		return e
	}
	if e.IssuerRequestID == "" {
		e.Produced = 1
	}
	st, _ := r.step(int(r.stage) - 1)
	for _, n := range s.ledger.changesOf[i] {
		c := &s.ledger.changes[n]
		e.Changes = append(e.Changes, LedgerChange{s.changeID(n), c.kind, c.accepted, c.status, hex.EncodeToString(c.body[:])})
	}
	e.OperationID, e.Status, e.Final = s.ledger.operationID(i), st.status, st.final
	e.DueAt = time.UnixMicro(r.due).UTC()
	if st.status == cardShipped {
		e.TrackingNumber = trackingNumber(i)
	}
	s.ledger.card(r.issuer, []byte(e.CardID), func(n uint32, o *record) bool {
		e.SamePANAsEarlier = e.SamePANAsEarlier || n < i && r.pan != 0 && o.pan == r.pan
		return !e.SamePANAsEarlier
	})
	return e
}

// AdminHandler shows the ledger and changes settings. It answers loopback
// clients only.
//
//	GET   /admin/ledger          {"totals":{...},"orders":[...]}; ?after=N&limit=N page, ?issuerRequestId=, ?cardId= select
//	GET   /admin/ledger/summary  the totals alone
//	GET   /admin/settings        what is in force
//	PATCH /admin/settings        a part of them; unknown names are errors
//	GET   /admin/events          the newest requests and notifications: ?after=N, ?kind=, ?cardId=, ?issuerRequestId=, ?fault=, ?status=, ?answer=
//	GET   /admin/faults          how often each fault was made
//	POST  /admin/reset           forget every order, count and event; settings and tokens stay
//	POST  /admin/reset-counters  forget counts of requests and faults, and events; orders and cards stay
//	POST  /admin/revoke-tokens   make every access token invalid
//	GET   /admin/jwe-keys        D1's public keys for encryptedData, a JWK set
//	POST  /admin/jwe-keys        {"kid":"..."}: make one more; 201 with its public JWK
//	DELETE /admin/jwe-keys/{kid} withdraw one
//	GET   /admin/idle            waits (?timeout=30s) until nothing is pending; 200 or 503
func (s *Simulator) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/ledger", s.adminLedger)
	mux.HandleFunc("GET /admin/ledger/summary", func(w http.ResponseWriter, _ *http.Request) {
		writeValue(w, http.StatusOK, s.Summary())
	})
	mux.HandleFunc("GET /admin/settings", func(w http.ResponseWriter, _ *http.Request) { s.adminSettings(w) })
	mux.HandleFunc("PATCH /admin/settings", s.adminPatch)
	mux.HandleFunc("POST /admin/reset", func(w http.ResponseWriter, _ *http.Request) {
		s.Reset()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /admin/reset-counters", func(w http.ResponseWriter, _ *http.Request) {
		s.ResetCounters()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /admin/events", s.adminEvents)
	mux.HandleFunc("GET /admin/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeValue(w, http.StatusOK, s.FaultCounts())
	})
	mux.HandleFunc("GET /admin/jwe-keys", s.adminKeys)
	mux.HandleFunc("POST /admin/jwe-keys", s.adminAddKey)
	mux.HandleFunc("DELETE /admin/jwe-keys/{kid}", s.adminWithdrawKey)
	mux.HandleFunc("POST /admin/revoke-tokens", func(w http.ResponseWriter, _ *http.Request) {
		s.RevokeTokens()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /admin/idle", s.adminIdle)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			(&apiError{http.StatusForbidden, "", "loopback only"}).write(w)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// adminPage is how many orders are read under one hold of the lock.
const adminPage = 512

func (s *Simulator) adminLedger(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after, limit := 0, 1<<31
	for name, v := range map[string]*int{"after": &after, "limit": &limit} {
		if t := q.Get(name); t != "" {
			n, err := strconv.Atoi(t)
			if err != nil || n < 0 {
				(&apiError{http.StatusBadRequest, "", name + " is not a number"}).write(w)
				return
			}
			*v = n
		}
	}
	want := func(e *LedgerEntry) bool {
		return (!q.Has("issuerRequestId") || q.Get("issuerRequestId") == e.IssuerRequestID) &&
			(!q.Has("cardId") || q.Get("cardId") == e.CardID)
	}
	w.Header().Set("Content-Type", "application/json")
	totals, _ := json.Marshal(s.Summary()) // plain integers
	_, _ = io.WriteString(w, `{"totals":`+string(totals)+`,"orders":[`)
	enc, first := json.NewEncoder(w), true
	for at := after; limit > 0; at += adminPage {
		page, more := s.page(at)
		for i := range page {
			if limit == 0 || !want(&page[i]) {
				continue
			}
			if limit--; !first {
				_, _ = io.WriteString(w, ",")
			}
			first = false
			if enc.Encode(&page[i]) != nil {
				return // the reader has gone
			}
		}
		if !more {
			break
		}
	}
	_, _ = io.WriteString(w, "]}\n")
}

func (s *Simulator) page(at int) (page []LedgerEntry, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int(s.ledger.n)
	for i := at; i < min(n, at+adminPage); i++ {
		page = append(page, s.entryLocked(uint32(i)))
	}
	return page, at+adminPage < n
}

func (s *Simulator) adminSettings(w http.ResponseWriter) {
	writeJSON(w, http.StatusOK, s.Settings().json())
}

func (s *Simulator) adminPatch(w http.ResponseWriter, r *http.Request) {
	doc, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = s.replace(func(old Settings) (Settings, error) { return old.merge(doc) })
	}
	if err != nil {
		(&apiError{http.StatusBadRequest, "", err.Error()}).write(w)
		return
	}
	s.adminSettings(w)
}

func (s *Simulator) adminIdle(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if t := r.URL.Query().Get("timeout"); t != "" {
		d, err := time.ParseDuration(t)
		if err != nil {
			(&apiError{http.StatusBadRequest, "", "timeout is not a duration"}).write(w)
			return
		}
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	status := http.StatusOK
	if s.WaitIdle(ctx) != nil {
		status = http.StatusServiceUnavailable
	}
	writeValue(w, status, s.Summary())
}

func writeValue(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		(&apiError{http.StatusInternalServerError, "", err.Error()}).write(w)
		return
	}
	writeJSON(w, status, append(b, '\n'))
}
