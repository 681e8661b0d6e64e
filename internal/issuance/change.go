package issuance

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// ChangeType is what a bank asks of an order it has given, in D1's own words.
type ChangeType string

// The changes D1 knows ("pull & change").
const (
	Cancel                ChangeType = "CANCEL"
	Accelerate            ChangeType = "ACCELERATE"
	Redirect              ChangeType = "REDIRECT"
	AccelerateAndRedirect ChangeType = "ACCELERATE_AND_REDIRECT"
)

// Accelerates reports whether the card is to be made as soon as possible.
func (t ChangeType) Accelerates() bool { return t == Accelerate || t == AccelerateAndRedirect }

// Redirects reports whether the card is to be sent to another address.
func (t ChangeType) Redirects() bool { return t == Redirect || t == AccelerateAndRedirect }

// ChangeState says where a change stands with us.
type ChangeState string

// The states of a change. Their values are stored and reported.
const (
	ChangeRejected   ChangeState = "rejected"   // the row breaks a rule; see its errors
	ChangeDuplicate  ChangeState = "duplicate"  // an identical repeat of the last change of its order
	ChangeWaiting    ChangeState = "waiting"    // for its order, for an earlier change, or for its turn
	ChangeSubmitting ChangeState = "submitting" // being sent by a live session
	ChangeUnknown    ChangeState = "unknown"    // sent, outcome not known: D1 is asked before anything else
	ChangeHeld       ChangeState = "held"       // a person must decide
	ChangeSubmitted  ChangeState = "submitted"  // D1 has it, the center has not answered
	ChangeApplied    ChangeState = "applied"    // made by us, before D1 had the order
	ChangeDone       ChangeState = "done"       // made by the center
	ChangeTooLate    ChangeState = "too_late"   // production was too far, or the order was at its end
	ChangeRefused    ChangeState = "refused"    // D1, the center or an operator said no for another reason
	ChangeUnmatched  ChangeState = "unmatched"  // its order did not come
)

// ChangeStates lists every state once, in the order of the control equation.
func ChangeStates() []ChangeState {
	return []ChangeState{ChangeRejected, ChangeDuplicate, ChangeWaiting, ChangeSubmitting, ChangeUnknown, ChangeHeld,
		ChangeSubmitted, ChangeApplied, ChangeDone, ChangeTooLate, ChangeRefused, ChangeUnmatched}
}

var changeSuccessors = map[ChangeState][]ChangeState{
	ChangeWaiting:    {ChangeSubmitting, ChangeApplied, ChangeTooLate, ChangeRefused, ChangeUnmatched, ChangeHeld, ChangeSubmitted, ChangeDone},
	ChangeSubmitting: {ChangeSubmitted, ChangeRefused, ChangeUnknown, ChangeWaiting, ChangeHeld, ChangeDone, ChangeTooLate},
	ChangeUnknown:    {ChangeSubmitted, ChangeWaiting, ChangeHeld, ChangeDone, ChangeTooLate, ChangeRefused},
	ChangeHeld:       {ChangeWaiting, ChangeUnknown, ChangeSubmitted, ChangeDone, ChangeTooLate, ChangeRefused},
	ChangeSubmitted:  {ChangeDone, ChangeTooLate, ChangeRefused, ChangeHeld},
	ChangeApplied:    {ChangeWaiting, ChangeHeld},
	ChangeTooLate:    {ChangeDone},
	ChangeRefused:    {ChangeDone},
}

// CanBecome reports whether a change in state s may get into state to.
func (s ChangeState) CanBecome(to ChangeState) bool {
	for _, next := range changeSuccessors[s] {
		if next == to {
			return true
		}
	}
	return false
}

// Open reports whether a change in state s keeps its batch from settling.
func (s ChangeState) Open() bool {
	return s == ChangeWaiting || s == ChangeSubmitting || s == ChangeUnknown || s == ChangeHeld
}

// Final reports whether no further news of a change in state s is expected.
func (s ChangeState) Final() bool { return !s.Open() && s != ChangeSubmitted }

// Taken reports whether the row is one that counts: neither rejected nor a repeat.
func (s ChangeState) Taken() bool { return s != ChangeRejected && s != ChangeDuplicate }

// Change is one row of a change file. It holds no address.
type Change struct {
	Ref  Ref   // of the row, in the same numbering as orders
	Line int64 // physical line of the change file on which the row starts

	IssuerID string
	OrderID  string     // masked or empty on a rejected row that had no usable one
	Type     ChangeType // on a rejected row whatever may be shown of it

	ContentMAC []byte // keyed digest of the whole row, tells a repeat

	State  ChangeState
	Code   Code
	Reason string

	Order         Ref // the order it is about, 0 while that is not known
	CardID        string
	Attempts      int
	Asks          int       // how often D1 was asked since the outcome became unknown, or since D1 has it
	NotFound      int       // how often in a row, up to the last time, D1 answered that it has no such change
	NextAttemptAt time.Time // not to be sent, or not to be asked about, before
	CorrelationID string
	OperationID   string    // D1's, once known
	SubmittedAt   time.Time // when we first knew that D1 has it
	FinishedAt    time.Time // when its outcome was known
}

// AAD binds the sealed request of a change to its order. No order_id has a
// slash, so that it cannot be opened as an order's.
func (c *Change) AAD() []byte { return []byte(c.IssuerID + "/" + c.OrderID + "/change") }

// Transition changes the state and returns the event to append to the history.
// It fails, changing nothing, when the change is not legal.
func (c *Change) Transition(to ChangeState, why Why) (Event, error) {
	if !c.State.CanBecome(to) {
		return Event{}, fmt.Errorf("change of order %s cannot go from %s to %s", c.OrderID, c.State, to)
	}
	e := why.event(c.Ref, KindState, string(c.State), string(to))
	c.State, c.Code, c.Reason = to, why.Code, why.Reason
	switch {
	case to == ChangeSubmitted && c.SubmittedAt.IsZero():
		c.SubmittedAt = why.At
	case to.Final():
		c.FinishedAt = why.At
	default:
		c.FinishedAt = time.Time{}
	}
	return e, nil
}

// ChangeStep says what is to be done about a change that waits.
type ChangeStep string

// The steps.
const (
	StepWait  ChangeStep = "wait"  // something else must happen first
	StepApply ChangeStep = "apply" // to the order that we still have
	StepSend  ChangeStep = "send"  // to D1, which has the order
	StepEnd   ChangeStep = "end"   // it cannot be made any more
)

// Release is where a change goes that a person lets go on: D1 is asked once more
// about one that was sent, unless the person wants it sent again. It
// fails when the change is not held, or cannot be sent again because its
// request is not kept any more.
func (c *Change) Release(again, kept bool) (ChangeState, error) {
	switch {
	case c.State != ChangeHeld:
		return c.State, fmt.Errorf("the change of order %s is %s, not held", c.OrderID, c.State)
	case c.Attempts > 0 && !again && !c.SubmittedAt.IsZero():
		return ChangeSubmitted, nil
	case c.Attempts > 0 && !again:
		return ChangeUnknown, nil
	case !kept:
		return c.State, fmt.Errorf("the request for the change of order %s is not kept any more: D1 had taken it", c.OrderID)
	default:
		return ChangeWaiting, nil
	}
}

// Next decides about a waiting change of an order, which is nil while there is
// none. canceled tells that the center has cancelled it already, which production
// may not have reported yet. Who may not be sure whether D1 has the order waits: to change our copy
// then would be lost on D1's, and D1 knows nothing of an order it does not have.
func (c *Change) Next(o *Order, canceled bool) (step ChangeStep, code Code, reason string) {
	if o == nil {
		return StepWait, OrderNotFound, "there is no order of this order_id yet"
	}
	switch o.State {
	case Held:
		if o.Attempts > 0 {
			return StepWait, "", "the order was sent and is held, because D1 may have it; a person must decide first"
		}
		return StepApply, "", ""
	case Ready:
		return StepApply, "", ""
	case Submitting, Unknown:
		return StepWait, "", "the order is on its way to D1; its outcome must be known first"
	case Refused:
		if c.Type == Cancel {
			return StepApply, "", ""
		}
		return StepEnd, TooLate, "D1 refused the order"
	case Submitted:
		if canceled {
			return StepEnd, TooLate, "the order was cancelled by an earlier change"
		}
		if o.Final() {
			return StepEnd, TooLate, "the order is finished: " + string(cmp.Or(o.Production.Status, CardProdException))
		}
		return StepSend, "", ""
	default:
		return StepEnd, TooLate, "the order is " + string(o.State)
	}
}

// changeRank orders what may be said of a change: what has been done stays done,
// and an answer outweighs that one is awaited.
func changeRank(s ChangeState) int {
	switch s {
	case ChangeDone:
		return 3
	case ChangeTooLate, ChangeRefused:
		return 2
	case ChangeSubmitted:
		return 1
	default:
		return 0
	}
}

// Hear applies what D1 says of an UPDATE_ORDER operation and returns the events
// to append, none when it is no news. The result does not depend on the order
// in which operations arrive, nor on how often.
func (c *Change) Hear(op Operation, why Why) ([]Event, error) {
	to := ChangeSubmitted
	switch op.Status {
	case OperationSuccessful:
		to = ChangeDone
	case OperationFailed:
		to = failedChange(op)
		why.Code = cmp.Or(Code(op.ErrorCode), TooLate)
		if to == ChangeRefused {
			why.Code = Code(op.ErrorCode)
		}
		why.Reason = cmp.Or(op.Reason, op.Error)
	}
	if c.OperationID == "" || to == ChangeDone {
		c.OperationID = cmp.Or(op.OperationID, c.OperationID)
	}
	if changeRank(to) <= changeRank(c.State) {
		return nil, nil
	}
	if c.SubmittedAt.IsZero() {
		c.SubmittedAt = why.At
	}
	e, err := c.Transition(to, why)
	if err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

// failedChange tells "too late" from other refusals of the center. How D1 says
// it is not documented: its code may speak of it, or the status of production
// that the change met does.
func failedChange(op Operation) ChangeState {
	code := strings.ToUpper(op.ErrorCode)
	met := steps[op.Production].rank >= steps[CardProdOngoing].rank
	if code == "" || met || strings.Contains(code, "LATE") || strings.Contains(code, "STAGE") {
		return ChangeTooLate
	}
	return ChangeRefused
}

// NewChange is a row of a change file on its way into the store.
type NewChange struct {
	Change
	Payload []byte // sealed request for D1; nil unless the change waits
	Errors  []RowError
}

// Repeat makes the row a duplicate of the last change of its order.
func (n *NewChange) Repeat(fileName string, line int64) {
	n.State, n.Code, n.Payload = ChangeDuplicate, ChangeRepeated, nil
	n.Reason = fmt.Sprintf("identical repeat of %s line %d", fileName, line)
	n.Errors = append(n.Errors, RowError{Ref: n.Ref, Line: n.Line, Column: "order_id", Code: n.Code, Text: n.Reason, Masked: n.OrderID})
}

// RepeatsLast reports whether a row with the given digest repeats the last
// change of its order. A change that came to nothing may be asked for again.
func (c *Change) RepeatsLast(mac []byte) bool {
	switch c.State {
	case ChangeTooLate, ChangeRefused, ChangeUnmatched:
		return false
	default:
		return len(mac) > 0 && string(mac) == string(c.ContentMAC)
	}
}

// ChangeClaim is a change that may be worked now. When it is to be sent, the
// intent is durable already; when it is to be applied, the store decides again
// when it is told the result.
type ChangeClaim struct {
	Change
	Step         ChangeStep // StepApply or StepSend
	ProductID    string     // of the order
	Payload      []byte     // sealed request for D1; nil when it is lost
	OrderPayload []byte     // StepApply: the order's sealed request, nil when it is lost
}

// LocalChange is a change made to an order that D1 does not have.
type LocalChange struct {
	Ref     Ref
	Payload []byte // sealed request of the order as changed; nil leaves it as it is
	// Priority is the order's from now on, when it is accelerated.
	Priority string
}

// ChangeOutcome is what came of sending a change, or of asking D1 about it.
type ChangeOutcome struct {
	Ref           Ref
	Attempt       int // of the claim; an outcome of an older attempt is ignored
	To            ChangeState
	OperationID   string
	Code          Code
	Reason        string
	NextAttemptAt time.Time // waiting: not to be sent before; unknown, submitted: not to be asked about before
	NotFound      int
}

// ChangeTotals counts the rows of a change file by state.
type ChangeTotals struct {
	Rows   int64
	states map[ChangeState]int64
}

// Add counts n rows in a state.
func (t *ChangeTotals) Add(s ChangeState, n int64) {
	if t.states == nil {
		t.states = map[ChangeState]int64{}
	}
	t.states[s] += n
}

// State returns how many rows are in a state.
func (t *ChangeTotals) State(s ChangeState) int64 { return t.states[s] }

// Open returns how many changes keep the batch from settling.
func (t *ChangeTotals) Open() (n int64) {
	for s, count := range t.states {
		if s.Open() {
			n += count
		}
	}
	return n
}

// Terms returns the whole equation: the rows and each state.
func (t *ChangeTotals) Terms() []Term {
	terms := []Term{{"rows", t.Rows}}
	for _, s := range ChangeStates() {
		terms = append(terms, Term{string(s), t.State(s)})
	}
	return terms
}

// Breaks returns what does not balance. Rows in a state that the equation does
// not have show up as a difference.
func (t *ChangeTotals) Breaks() []Break {
	var sum int64
	for _, s := range ChangeStates() {
		sum += t.State(s)
	}
	if sum != t.Rows {
		return []Break{{"rows = sum of the states", t.Rows, sum}}
	}
	return nil
}

// Balanced reports whether the control equation holds.
func (t *ChangeTotals) Balanced() bool { return len(t.Breaks()) == 0 }
