package d1sim

import "time"

// The outcome of an order is decided when it is accepted.
type outcome uint8

const (
	shipped outcome = iota
	onHold
	late
	dataException
	cancelled
	exception
	returned
	undecided // no outcome yet
)

func outcomeOf(status string) (outcome, bool) {
	switch status {
	case cardShipped:
		return shipped, true
	case cardOnHold:
		return onHold, true
	case dataExceptionStatus:
		return dataException, true
	case cardCanceled:
		return cancelled, true
	case cardException:
		return exception, true
	case cardReturned:
		return returned, true
	}
	return 0, false
}

// details.status as Thales spells it; CARD_PROD_ON_HOLD is assumed. Thales
// lists CARD_PROD_EXCEPTION and CARD_RETURNED for sister services only.
const (
	cardRequested       = "CARD_PROD_REQUESTED"
	dataPrepared        = "DATA_PREPARED"
	dataExceptionStatus = "DATA_EXCEPTION"
	cardReady           = "CARD_PROD_READY"
	cardOngoing         = "CARD_PROD_ONGOING"
	cardOnHold          = "CARD_PROD_ON_HOLD"
	cardDone            = "CARD_PROD_DONE"
	cardCanceled        = "CARD_PROD_CANCELED"
	cardException       = "CARD_PROD_EXCEPTION"
	cardShipped         = "CARD_SHIPPED"
	cardReturned        = "CARD_RETURNED"
)

// A step is one thing that happens to an order on the Shopfloor, and one
// notification.
type step struct {
	at     int64 // Shopfloor time, µs
	status string
	ship   int // CARD_SHIPPED: 0 the first, then the updates
	final  bool
	failed bool
}

const (
	hour = int64(time.Hour / time.Microsecond)
	day  = 24 * hour
)

// steps returns the life of an order: step k of it, and whether there is one.
// It is computed, not stored: a million plans would be most of the memory.
func (r *record) step(k int) (step, bool) {
	span := max(r.due-r.received, hour)
	span -= span * int64(r.jitter%16) / 100 // not all cards of a day at one moment
	at := func(percent int64) int64 { return r.received + span*percent/100 }
	switch {
	case k == 0:
		return step{at: r.received, status: cardRequested}, true
	case k == 1 && r.outcome == dataException:
		return step{at: at(5), status: dataExceptionStatus, final: true, failed: true}, true
	case k == 1:
		return step{at: at(5), status: dataPrepared}, true
	case k == 2:
		return step{at: at(15), status: cardReady}, r.outcome != dataException
	case r.outcome == dataException:
		return step{}, false
	case r.outcome == cancelled && k >= r.cancelStep():
		percent := [...]int64{30, 45, 88, 95} // after what has been already
		i := min(r.cancelStep()-firstCancel, len(percent)-1)
		return step{at: at(percent[i]), status: cardCanceled, final: true, failed: true}, k == r.cancelStep()
	case k == 3:
		return step{at: at(40), status: cardOngoing}, true
	}
	delay := int64(0)
	switch {
	case r.outcome == exception:
		return step{at: at(60), status: cardException, final: true, failed: true}, k == 4
	case r.outcome == onHold || r.held:
		if k == 4 {
			return step{at: at(60), status: cardOnHold}, true
		}
		k, delay = k-1, day
	case r.outcome == late:
		delay = 2 * day
	}
	return r.lastSteps(k, at(85)+delay, r.received+span+delay)
}

// lastSteps is the end of a card that is made: done, then shipped several times.
func (r *record) lastSteps(k int, done, ship int64) (step, bool) {
	if k == 4 {
		return step{at: done, status: cardDone, final: r.updates == neverShipped}, true
	}
	if r.updates == neverShipped {
		return step{}, false
	}
	n := k - 5
	if r.outcome == returned {
		switch n - int(r.updates) {
		case 0:
			return step{at: ship + int64(n)*day/2, status: cardShipped, ship: n}, true
		case 1:
			return step{at: ship + int64(n)*day, status: cardReturned, final: true}, true
		}
	}
	return step{at: ship + int64(n)*day/2, status: cardShipped, ship: n, final: n == int(r.updates)}, n <= int(r.updates)
}

// firstCancel is the earliest step that can be CARD_PROD_CANCELED.
const firstCancel = 3

func (r *record) cancelStep() int { return max(int(r.cancelAt), firstCancel) }

// neverShipped stands in record.updates for a NO_SHIPMENT card.
const neverShipped = 0xff

// shipmentStatus is the carrier's status in the n-th update of so many.
func shipmentStatus(n, updates int) string {
	switch {
	case n == 0:
		return "InfoReceived"
	case n == updates:
		return "Delivered"
	case n == updates-1 && n > 1:
		return "OutForDelivery"
	}
	return "InTransit"
}

func shipmentMessage(status string) string {
	switch status {
	case "InfoReceived":
		return "The carrier has the shipment data"
	case "Delivered":
		return "Delivered"
	case "OutForDelivery":
		return "Out for delivery"
	}
	return "On its way"
}

// calendar is the center's: its zone, its days off, its service levels.
type calendar struct {
	floor    *Floor
	holidays map[string]bool
}

func newCalendar(f *Floor) calendar {
	c := calendar{floor: f, holidays: make(map[string]bool, len(f.Holidays))}
	for _, d := range f.Holidays {
		c.holidays[d] = true
	}
	return c
}

func (c *calendar) working(day time.Time) bool {
	wd := day.Weekday()
	return wd != time.Saturday && wd != time.Sunday && !c.holidays[day.Format(time.DateOnly)]
}

// due says when a card requested at that time is planned to ship.
func (c *calendar) due(requested time.Time, issuance, priority string) time.Time {
	local := requested.In(c.floor.TimeZone)
	midnight := date(local, 0, 0)
	sla := c.sla(issuance, priority, local, midnight)
	if sla.Hours > 0 {
		return local.Add(time.Duration(sla.Hours) * time.Hour)
	}
	requestDay := midnight
	if local.After(date(local, 0, c.floor.CutOff)) {
		requestDay = date(local, 1, 0)
	}
	d := requestDay
	for n := 0; n < sla.Days; {
		if d = date(d, 1, 0); c.working(d) {
			n++
		}
	}
	return date(d, 0, c.floor.Pickup)
}

func (c *calendar) sla(issuance, priority string, local, midnight time.Time) SLA {
	for _, s := range c.floor.SLAs {
		if s.Issuance != "" && s.Issuance != issuance || s.Priority != "" && s.Priority != priority {
			continue
		}
		if s.Hours > 0 && s.Before > 0 && (!c.working(midnight) || !local.Before(date(local, 0, s.Before))) {
			continue
		}
		return s
	}
	return SLA{Days: 1}
}

// date is a wall-clock time on the day of t, or some days later.
func date(t time.Time, days int, clock time.Duration) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+days, 0, 0, 0, int(clock), t.Location())
}
