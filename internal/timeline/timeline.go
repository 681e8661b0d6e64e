package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"cardbatch/internal/issuance"
)

// Life is all that is on record about one row of an order file.
type Life struct {
	Order       issuance.Order
	Batch       issuance.Batch
	Events      []issuance.Event // of the order
	BatchEvents []issuance.Event
	Deliveries  []issuance.Delivery // of the batch, and the issuer's status files
	Changes     []Asked             // what the bank has asked to change, oldest first
}

// Story is a life in words.
type Story struct {
	Now     string // where the order stands
	Entries []Entry
}

// Entry is one thing that happened.
type Entry struct {
	At     time.Time // when we knew
	Said   time.Time // when D1 says it happened; zero when it is not D1's word, or as good as At
	Term   string    // the state, D1's status or the kind of report, as files and D1 spell it
	Text   string
	Source string // who says so: us, D1's notification, our question to D1, a person
}

// asGoodAs is how far D1's time may be from ours before both are worth telling.
const asGoodAs = time.Minute

// Tell puts a life into words.
func Tell(l Life) Story {
	s := Story{Now: l.now()}
	s.add(l.received())
	for _, e := range l.BatchEvents {
		s.add(l.decided(e))
	}
	for _, e := range l.Events {
		s.add(l.event(e))
	}
	for i := range l.Changes {
		l.Changes[i].tell(&s)
	}
	for _, d := range l.Deliveries {
		if !d.DeliveredAt.IsZero() && l.carriedBy(d) {
			s.add(Entry{At: d.DeliveredAt, Term: string(d.Kind), Text: "reported to the back office in " + d.Name, Source: Us})
		}
	}
	slices.SortStableFunc(s.Entries, func(a, b Entry) int { return a.At.Compare(b.At) })
	return s
}

func (s *Story) add(e Entry) {
	if e.Text == "" {
		return
	}
	if gap := e.At.Sub(e.Said).Abs(); gap <= asGoodAs {
		e.Said = time.Time{}
	}
	s.Entries = append(s.Entries, e)
}

// Us is the source of what we did ourselves.
const Us = "cardbatch"

func (l *Life) received() Entry {
	e := Entry{At: l.Batch.ReceivedAt, Term: "received", Source: Us,
		Text: fmt.Sprintf("received in %s, line %d", l.Batch.FileName, l.Order.Line)}
	switch l.Order.State { //nolint:exhaustive // the others were good rows
	case issuance.Rejected:
		e.Text += "; the row was rejected and nothing was ordered"
	case issuance.Duplicate:
		e.Text += "; it repeats an earlier order and nothing was ordered"
	}
	return e
}

// decided tells of the whole file what concerns an order in it.
func (l *Life) decided(e issuance.Event) Entry {
	if s := l.Order.State; s == issuance.Rejected || s == issuance.Duplicate {
		return Entry{}
	}
	entry := Entry{At: e.At, Term: e.To, Source: source(e)}
	switch issuance.BatchState(e.To) { //nolint:exhaustive // settling and closing concern nobody outside
	case issuance.BatchAccepted:
		if s := issuance.BatchState(e.From); s == issuance.BatchLoading || s == issuance.BatchHeld {
			entry.Text = "its file was checked and accepted"
		}
	case issuance.BatchHeld:
		entry.Text = "its file was put on hold" + because(e)
	case issuance.BatchRefused:
		entry.Text = "its file was refused" + because(e)
	}
	return entry
}

func (l *Life) event(e issuance.Event) Entry {
	entry := Entry{At: e.At, Said: e.Said, Term: e.To, Source: source(e)}
	switch {
	case e.Code == issuance.SecondOperation:
		entry.Text = "attention, the card may be made twice" + because(e)
	case e.Code == issuance.MissingAtD1:
		entry.Text = "D1 had accepted the order and, when asked, does not know it (" + string(e.Code) + ")"
	case e.Code == issuance.ProductionFailed:
		entry.Text = failure(issuance.ProductionStatus(e.To), e.Reason)
	case e.Kind == issuance.KindState:
		entry.Text = change(e) + because(e)
	case e.Kind == issuance.KindProduction:
		entry.Text = status(issuance.ProductionStatus(e.To)) + because(e)
	case e.Kind == issuance.KindShipment:
		if entry.Text = "the carrier says: " + e.To; e.From == e.To {
			entry.Text = strings.TrimSuffix("the carrier's data changed: "+e.To, ": ")
		}
	case e.Kind == issuance.KindLateNews:
		entry.Text = strings.TrimSuffix("older news came late and changed nothing: "+status(issuance.ProductionStatus(e.To)), ": ")
	default:
		entry.Text = fmt.Sprintf("%s: from %s to %s", e.Kind, e.From, e.To) + because(e)
	}
	return entry
}

// change words a change of an order's state.
func change(e issuance.Event) string {
	from, to := issuance.State(e.From), issuance.State(e.To)
	if from == to {
		return "changed as asked"
	}
	switch to { //nolint:exhaustive // rejected and duplicate are where a row starts
	case issuance.Submitting:
		if e.Attempt > 1 {
			return fmt.Sprintf("sent to D1 again, attempt %d", e.Attempt)
		}
		return "sent to D1"
	case issuance.Submitted:
		return "D1 has the order"
	case issuance.Refused:
		return "D1 refused the order"
	case issuance.Unknown:
		if from == issuance.Ready { // a person doubts that it was never sent
			return doubted
		}
		if from == issuance.Held {
			return "D1 will be asked about it"
		}
		return "no clear answer from D1, which will be asked"
	case issuance.Held:
		return "waits for a person's decision"
	case issuance.Cancelled:
		return "cancelled before it was sent"
	case issuance.Ready:
		switch from {
		case issuance.Submitting:
			return "not delivered, will be sent again"
		case issuance.Unknown:
			return "will be sent again"
		default:
			return "released to be sent"
		}
	}
	return fmt.Sprintf("changed from %s to %s", e.From, e.To)
}

const doubted = "D1 will be asked whether it has the order, before it is sent"

// failure words that production failed in a step, which is not what the step says.
func failure(s issuance.ProductionStatus, reason string) string {
	text := "production failed"
	if s != issuance.OperationFailed && s != "" {
		text += ", " + status(s)
	}
	if reason != "" {
		text += ": " + reason
	}
	return text
}

// statuses words D1's production statuses.
var statuses = map[issuance.ProductionStatus]string{
	issuance.CardProdRequested: "production was requested",
	issuance.DataPrepared:      "the card's data were prepared",
	issuance.CardProdReady:     "handed to the personalization center",
	issuance.CardProdOngoing:   "being personalized",
	issuance.CardProdOnHold:    "on hold at the personalization center",
	issuance.CardProdDone:      "personalized",
	issuance.DataException:     "rejected by D1, its data are in error",
	issuance.CardProdException: "personalization failed",
	issuance.CardProdCanceled:  "production was cancelled",
	issuance.CardShipped:       "handed to the carrier",
	issuance.CardReturned:      "came back to the sender",
}

func status(s issuance.ProductionStatus) string {
	if text, ok := statuses[s]; ok || s == "" {
		return text
	}
	return "D1 reports " + string(s)
}

func because(e issuance.Event) string {
	switch why := strings.TrimSpace(string(e.Code) + " " + e.Reason); {
	case why == "":
		return ""
	case e.Code != "" && e.Reason != "":
		return fmt.Sprintf(": %s (%s)", e.Reason, e.Code)
	default:
		return ": " + why
	}
}

// source says by which way we know.
func source(e issuance.Event) string {
	switch {
	case e.Operator != "":
		return e.Operator
	case e.Stage == "notification":
		return "D1's notification"
	case e.Stage == "track":
		return "D1, when asked"
	default:
		return Us
	}
}

// carriedBy reports whether a delivered file told of the order: the files about
// its batch do, a status file only if it covers news of it.
func (l *Life) carriedBy(d issuance.Delivery) bool {
	if d.Batch != 0 {
		return d.Batch == l.Order.Ref.Batch()
	}
	if d.Kind != issuance.DeliverStatus || d.IssuerID != l.Order.IssuerID {
		return false
	}
	return slices.ContainsFunc(l.Events, func(e issuance.Event) bool {
		return d.AfterEvent < e.ID && e.ID <= d.UpToEvent && (e.Kind == issuance.KindProduction || e.Kind == issuance.KindShipment)
	})
}

// now words where an order stands.
func (l *Life) now() string {
	o := &l.Order
	text := ""
	switch o.State {
	case issuance.Submitted:
		return produced(o)
	case issuance.Rejected:
		text = "rejected, nothing was ordered"
	case issuance.Duplicate:
		text = "a repeat of an earlier order, nothing was ordered for it"
	case issuance.Held:
		text = "waits for a person's decision"
	case issuance.Ready:
		switch l.Batch.State {
		case issuance.BatchLoading:
			text = "its file is being checked"
		case issuance.BatchHeld:
			text = "its file is on hold, and it waits with it"
		default:
			text = "waits to be sent to D1"
		}
	case issuance.Submitting:
		text = "is being sent to D1"
	case issuance.Unknown:
		if text = "was sent, and D1 will be asked whether it arrived"; o.Attempts == 0 {
			text = doubted
		}
	case issuance.Refused:
		text = "refused by D1"
	case issuance.Cancelled:
		text = "cancelled before it was sent"
	}
	return text + because(issuance.Event{Why: issuance.Why{Code: o.Code, Reason: o.Reason}})
}

// produced words where D1's production of the card stands.
func produced(o *issuance.Order) string {
	p := &o.Production
	text := cmp.Or(status(p.Status), "D1 has the order and has not reported on it yet")
	switch {
	case p.FailedInStep():
		text = failure(p.Status, p.Reason)
	case p.Reason != "":
		text += ": " + p.Reason
	case p.Phase() == issuance.Produced:
		text += " and, as ordered, not shipped"
	}
	if o.NotFound > 0 {
		text += "; when last asked, D1 did not know the order"
	}
	sh := p.Shipment
	if sh.Status != "" {
		text += "; " + sh.Status
	}
	if sh.Carrier != "" {
		text += " with " + sh.Carrier
	}
	if sh.TrackingNumber != "" {
		text += ", tracking number " + sh.TrackingNumber
	}
	if sh == (issuance.Shipment{}) && p.DueDate != "" && !o.Final() {
		text += "; to be shipped by " + p.DueDate
	}
	return text
}
