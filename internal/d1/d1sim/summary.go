package d1sim

// Summary counts what the simulator has seen and done since its start or reset.
type Summary struct {
	// RequestsReceived counts order requests, whatever became of them.
	RequestsReceived int `json:"requests_received"`
	// OrdersReceived counts distinct orders judged: accepted or refused.
	OrdersReceived int `json:"orders_received"`
	// OrdersAccepted counts orders answered 202 at least once (distinct issuerRequestIds).
	OrdersAccepted int `json:"orders_accepted"`
	// OrdersRefused counts distinct orders that were only ever refused.
	OrdersRefused int `json:"orders_refused"`
	// CardsProduced counts PRODUCE operations: each is one card D1 has taken on,
	// whether the Shopfloor finishes it or not.
	CardsProduced int `json:"cards_produced"`
	// ProducedTwice counts issuerRequestIds with more than one PRODUCE
	// operation. It must stay zero.
	ProducedTwice int `json:"produced_twice"`
	// CardsOrderedTwice counts cardIds with PRODUCE operations under more than
	// one issuerRequestId.
	CardsOrderedTwice int `json:"cards_ordered_twice"`
	// Repeated counts requests for an order D1 had judged before, and
	// RepeatedDiffering those of them whose body was another.
	Repeated          int `json:"repeated"`
	RepeatedDiffering int `json:"repeated_differing"`
	// Refusals counts 4xx answers to orders that were read.
	Refusals int `json:"refusals"`
	// Throttled counts 429 answers.
	Throttled int `json:"throttled"`
	// FaultsMade counts requests that an injected fault hit.
	FaultsMade int `json:"faults_made"`
	// StatusRequests counts productionStatus requests, TokensIssued new tokens.
	StatusRequests int `json:"status_requests"`
	TokensIssued   int `json:"tokens_issued"`

	// Open counts cards that have not come to their end. CARD_SHIPPED is not
	// the end while shipment updates are to come.
	Open int `json:"open"`
	// CardsMade counts cards that left personalization (CARD_PROD_DONE).
	CardsMade     int `json:"cards_made"`
	Shipped       int `json:"shipped"`
	DataException int `json:"data_exception"`
	Cancelled     int `json:"cancelled"`
	OnHold        int `json:"on_hold"`     // ever put on hold
	Late          int `json:"late"`        // shipped after the due date
	NotShipped    int `json:"not_shipped"` // NO_SHIPMENT cards that are done
	Exception     int `json:"exception"`   // CARD_PROD_EXCEPTION
	Returned      int `json:"returned"`

	// The notifications count operations, not requests.
	NotificationsPending   int `json:"notifications_pending"`
	NotificationsDelivered int `json:"notifications_delivered"`
	NotificationsLost      int `json:"notifications_lost"`     // by LostNotifications
	NotificationsRefused   int `json:"notifications_refused"`  // 4xx: not retried
	NotificationsGivenUp   int `json:"notifications_given_up"` // after the last retry
	NotificationRequests   int `json:"notification_requests"`
	NotificationFailures   int `json:"notification_failures"` // requests that will be retried or given up
}

// totals are the counters behind a Summary, guarded by the simulator's lock.
type totals struct {
	throttled, faults, statusRequests                     int
	received, acceptedOrders, refusedOrders, cards        int
	twice, cardsTwice, repeated, differing, refusals      int
	open, made, shipped, exception, cancelled, hold, late int
	notShipped, spoilt, returned                          int
}

func (s *Simulator) count(f func(*totals)) {
	s.mu.Lock()
	f(&s.totals)
	s.mu.Unlock()
}

// accepted counts a new PRODUCE operation, before its record is added.
func (t *totals) accepted(s *Simulator, q *request) {
	t.cards++
	t.open++
	produced, judged := 0, 0
	s.ledger.request(q.issuer.number, q.requestID, func(_ uint32, r *record) bool {
		judged++
		if r.produces() {
			produced++
		}
		return true
	})
	if judged == 0 {
		t.received++
	} else if produced == 0 {
		t.refusedOrders-- // refused before, good now
	}
	switch produced {
	case 0:
		t.acceptedOrders++
	case 1:
		t.twice++
	}
	first, own, several := "", false, false
	s.ledger.card(q.issuer.number, q.cardID, func(_ uint32, r *record) bool {
		if id := r.requestID(); r.produces() {
			several = several || first != "" && id != first
			first, own = id, own || id == string(q.requestID)
		}
		return !several
	})
	if first != "" && !own && !several {
		t.cardsTwice++
	}
}

// refused counts a new refusal, before its record is added.
func (t *totals) refused(s *Simulator, q *request) {
	judged := false
	s.ledger.request(q.issuer.number, q.requestID, func(uint32, *record) bool {
		judged = true
		return false
	})
	if !judged {
		t.received++
		t.refusedOrders++
	}
}

// step counts what has happened to a card.
func (t *totals) step(r *record, st step) {
	switch st.status {
	case cardDone:
		t.made++
	case cardShipped:
		if st.ship == 0 {
			t.shipped++
			if st.at > r.due {
				t.late++
			}
		}
	case dataExceptionStatus:
		t.exception++
	case cardCanceled:
		t.cancelled++
	case cardOnHold:
		t.hold++
	case cardException:
		t.spoilt++
	case cardReturned:
		t.returned++
	}
	if st.final {
		t.open--
		if st.status == cardDone {
			t.notShipped++
		}
	}
}

// Summary returns the counters as they are now.
func (s *Simulator) Summary() Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.summaryLocked()
}

func (s *Simulator) summaryLocked() Summary {
	t := &s.totals
	sum := Summary{
		RequestsReceived: int(s.requests.Load()), OrdersReceived: t.received, OrdersAccepted: t.acceptedOrders,
		OrdersRefused: t.refusedOrders, CardsProduced: t.cards, ProducedTwice: t.twice,
		CardsOrderedTwice: t.cardsTwice, Repeated: t.repeated, RepeatedDiffering: t.differing,
		Refusals: t.refusals, Throttled: t.throttled, FaultsMade: t.faults,
		StatusRequests: t.statusRequests, TokensIssued: s.tokens.count(),
		Open: t.open, CardsMade: t.made, Shipped: t.shipped, DataException: t.exception,
		Cancelled: t.cancelled, OnHold: t.hold, Late: t.late, NotShipped: t.notShipped,
		Exception: t.spoilt, Returned: t.returned,
	}
	s.outbox.summarize(&sum)
	return sum
}
