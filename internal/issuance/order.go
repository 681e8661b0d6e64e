package issuance

import (
	"fmt"
	"time"
)

// Ref identifies an order inside the store: the number of its batch and the
// number of its row, counted from 1. It is an implementation's key; people and
// D1 know the order by its order_id.
type Ref int64

const rowBits = 24

// MaxRows is the most rows one order file may have.
const MaxRows = 1<<rowBits - 1

// NewRef returns the key of a row of a batch.
func NewRef(batch BatchNo, row int64) Ref { return Ref(int64(batch)<<rowBits | row) }

// Batch returns the number of the order's batch.
func (r Ref) Batch() BatchNo { return BatchNo(r >> rowBits) }

// Row returns the order's place in its file, counted from 1 and without the header.
func (r Ref) Row() int64 { return int64(r) & MaxRows }

// State says where an order stands with us.
type State string

// The states of an order. Their values are stored and reported.
const (
	Rejected   State = "rejected"   // the row breaks a rule; see its errors
	Duplicate  State = "duplicate"  // an identical repeat of an order we already have
	Held       State = "held"       // a person must decide
	Ready      State = "ready"      // waits to be sent
	Submitting State = "submitting" // being sent by a live session
	Submitted  State = "submitted"  // D1 has it
	Refused    State = "refused"    // D1 said no
	Unknown    State = "unknown"    // sent, outcome not known: D1 is asked before anything else
	Cancelled  State = "cancelled"  // withdrawn before it was sent
)

// States lists every state once, in the order of the control equation.
func States() []State {
	return []State{Rejected, Duplicate, Cancelled, Held, Ready, Submitting, Unknown, Refused, Submitted}
}

var successors = map[State][]State{
	Held:       {Ready, Cancelled, Submitted, Unknown},            // unknown: a person wants D1 to be asked once more
	Ready:      {Submitting, Held, Cancelled, Submitted, Unknown}, // unknown: a person doubts that it was never sent
	Submitting: {Submitted, Refused, Unknown, Ready},
	Unknown:    {Submitted, Ready, Held},
	Refused:    {Ready, Cancelled, Submitted},
	Cancelled:  {Submitted},
}

// CanBecome reports whether an order in state s may change to state to.
func (s State) CanBecome(to State) bool {
	for _, next := range successors[s] {
		if next == to {
			return true
		}
	}
	return false
}

// Valid reports whether s is one of [States].
func (s State) Valid() bool {
	for _, known := range States() {
		if s == known {
			return true
		}
	}
	return false
}

// Open reports whether an order in state s keeps its batch from settling.
func (s State) Open() bool {
	return s == Held || s == Ready || s == Submitting || s == Unknown
}

// Order is one row of an order file: one physical card to produce. It holds no
// card data and no personal data beyond the masked PAN.
type Order struct {
	Ref  Ref
	Line int64 // physical line of the order file on which the row starts, header = 1

	IssuerID   string
	OrderID    string // D1's issuerRequestId; masked or empty on a rejected row that had no usable one
	CardID     string
	ConsumerID string
	ProductID  string // D1's cardProductId
	Issuance   string // CREATION, RENEWAL, REPLACEMENT
	Priority   string
	Urgency    Urgency

	MaskedPAN      string // first six and last four digits at most
	PANFingerprint []byte // keyed; never a plain hash
	ContentMAC     []byte // keyed digest of the whole row, tells a repeat from a conflict

	State  State
	Code   Code   // why it is rejected, duplicate, refused or held
	Reason string // the same for a person

	Attempts      int
	Asks          int       // how often D1 was asked since the outcome became unknown
	NotFound      int       // how often in a row, up to the last time, D1 answered that it does not have the order, unknown or submitted
	NextAttemptAt time.Time // not to be sent, or not to be asked about, before
	CorrelationID string    // x-correlation-id of the last attempt
	OperationID   string    // D1's, once known
	// OtherOperations are further operations under which D1 says that it
	// produces the order. D1 took it more than once: a person must see to it.
	OtherOperations []string
	SubmittedAt     time.Time // when we first knew that D1 has it

	Production Production
}

// Transition changes the state of the order and returns the event to append to
// its history. It fails, changing nothing, when the change is not legal.
func (o *Order) Transition(to State, why Why) (Event, error) {
	if !o.State.CanBecome(to) {
		return Event{}, fmt.Errorf("order %s cannot change from %s to %s", o.OrderID, o.State, to)
	}
	e := why.event(o.Ref, KindState, string(o.State), string(to))
	o.State, o.Code, o.Reason = to, why.Code, why.Reason
	if to == Submitted && o.SubmittedAt.IsZero() {
		o.SubmittedAt = why.At
	}
	return e, nil
}

// Final reports whether no further news of the order is expected.
func (o *Order) Final() bool {
	if o.State == Submitted {
		return o.Production.Final()
	}
	return !o.State.Open()
}

// Release is where an order goes that a person lets go on. One that may have
// reached D1 is asked about first, unless the person knows (sure) that D1 does
// not have it. It fails when the order is not held.
func (o *Order) Release(sure bool) (State, error) {
	switch {
	case o.State != Held:
		return o.State, fmt.Errorf("order %s is %s, not held", o.OrderID, o.State)
	case o.Attempts > 0 && !sure:
		return Unknown, nil
	default:
		return Ready, nil
	}
}

// Withdraw tells whether a person may cancel an order: one that waits to be
// sent or to be decided and, unless the person knows (sure) that D1 does not
// have it, surely never reached D1.
func (o *Order) Withdraw(sure bool) error {
	switch {
	case o.State != Held && o.State != Ready:
		return fmt.Errorf("order %s is %s, neither held nor ready", o.OrderID, o.State)
	case o.State == Held && o.Attempts > 0 && !sure:
		return fmt.Errorf("order %s was sent, and D1 may have it", o.OrderID)
	default:
		return nil
	}
}

// Revise notes that an order was changed in a way that leaves its state: its
// priority, or the request that is to be sent.
func (o *Order) Revise(why Why) Event {
	return why.event(o.Ref, KindState, string(o.State), string(o.State))
}

// Disposition is what became of an order, as the back office reads it: its
// state or, once D1 has it, where production stands. The values are exactly
// the terms of the control equation.
func (o *Order) Disposition() string {
	if o.State == Submitted {
		return string(o.Production.Phase())
	}
	return string(o.State)
}

// Urgency orders the submission: lower goes first.
type Urgency int

// The urgencies. A renewal has ten working days where a new card has one, and
// an urgent one hours.
const (
	Urgent  Urgency = 0
	Normal  Urgency = 1
	Relaxed Urgency = 2
)

// Urgencies lists every urgency, most urgent first.
func Urgencies() []Urgency { return []Urgency{Urgent, Normal, Relaxed} }

// Waiting counts ready orders of one batch and urgency.
type Waiting struct {
	BatchNo BatchNo
	Urgency Urgency
	Orders  int64
	Due     int64 // of those, the ones that may be sent now
}

// UrgencyOf ranks an order by what it asks for. urgentPriority tells whether
// the row's priority is one the product treats as urgent.
func UrgencyOf(issuance string, urgentPriority bool) Urgency {
	switch {
	case urgentPriority:
		return Urgent
	case issuance == Renewal:
		return Relaxed
	default:
		return Normal
	}
}

// D1's values of services.issuance.
const (
	Creation    = "CREATION"
	Renewal     = "RENEWAL"
	Replacement = "REPLACEMENT"
)
