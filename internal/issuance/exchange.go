package issuance

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// What the store answers when the work is somebody else's, or done. Callers
// test for them with errors.Is.
var (
	ErrNotFound   = errors.New("not found")
	ErrClaimed    = errors.New("another file of the issuer is being loaded")
	ErrRunExists  = errors.New("the job already has a run for this due time")
	ErrRunning    = errors.New("the job is already running")
	ErrNameTaken  = errors.New("the destination already has a file of this name")
	ErrOutOfState = errors.New("the state does not allow it")
)

// NewOrder is a row on its way into the store: an order that is ready or
// rejected, with the sealed request for D1 that goes with a ready one and
// everything that is wrong with a rejected one.
type NewOrder struct {
	Order
	Payload []byte // sealed; nil unless the order is ready
	Errors  []RowError
	// SamePAN is an earlier row of the file that seems to have the same PAN, 0
	// when there is none. The store compares the fingerprints before it believes it.
	SamePAN Ref
}

// Collide decides what becomes of a row whose order_id is in use already. An
// identical repeat is a duplicate and harmless; the same order_id with other
// content is a conflict, which is rejected because nobody but the sender can
// say which of the two is meant. Either way nothing will be sent for the row.
func (n *NewOrder) Collide(first FirstUse) {
	n.State, n.Code = Rejected, OrderConflict
	n.Reason = fmt.Sprintf("order_id was used before, with other content, in %s line %d", first.FileName, first.Line)
	if len(first.ContentMAC) > 0 && bytes.Equal(n.ContentMAC, first.ContentMAC) {
		n.State, n.Code = Duplicate, OrderRepeated
		n.Reason = fmt.Sprintf("identical repeat of %s line %d", first.FileName, first.Line)
	}
	n.Payload = nil
	n.Errors = append(n.Errors, RowError{Ref: n.Ref, Line: n.Line, Column: "order_id",
		Code: n.Code, Text: n.Reason, Masked: n.OrderID})
}

// RepeatPAN rejects a row whose PAN an earlier row of its file has, under
// another order_id: one of the two is a mistake, and only the sender knows which.
func (n *NewOrder) RepeatPAN(firstLine int64) {
	n.reject("pan", PANRepeated, fmt.Sprintf("has the same PAN as line %d of this file, under another order_id", firstLine), n.MaskedPAN)
}

// OpenOrder is an order that is not finished, and where it came from.
type OpenOrder struct {
	OrderID  string
	FileName string
	Line     int64
}

// CardBusy rejects a row for a card that has an unfinished order: two
// productions of one card cannot be told apart by what D1 reports on them.
func (n *NewOrder) CardBusy(open OpenOrder) {
	n.reject("card_id", CardHasOpenOrder, fmt.Sprintf("the card's order %s is not finished; it came in %s line %d",
		open.OrderID, open.FileName, open.Line), n.CardID)
}

func (n *NewOrder) reject(column string, code Code, text, masked string) {
	n.State, n.Code, n.Reason, n.Payload = Rejected, code, text, nil
	n.Errors = append(n.Errors, RowError{Ref: n.Ref, Line: n.Line, Column: column, Code: code, Text: text, Masked: masked})
}

// Claim is an order that a session may send now, once. The intent to send it
// is durable already.
type Claim struct {
	Ref           Ref
	OrderID       string
	CardID        string
	Attempt       int    // 1 for the first
	CorrelationID string // to send as x-correlation-id
	Payload       []byte // sealed request body; nil when it is lost
}

// Outcome is what came of a claim or of asking D1 about an unknown order.
type Outcome struct {
	Ref           Ref
	Attempt       int    // of the claim; an outcome of an older attempt is ignored
	CorrelationID string // of the claim, as is one of an older claim in the same attempt; empty: not known
	To            State
	OperationID   string // D1's, when To is Submitted
	Code          Code
	Reason        string    // for people; never card or personal data
	NextAttemptAt time.Time // Ready: not to be sent before; Unknown: not to be asked about before
	NotFound      int       // Unknown, after D1 was asked: as [Order] has it
}

// Notification is one request of D1's to us, as received and as understood.
type Notification struct {
	IssuerID   string
	Digest     []byte // of the body; the same body is kept once
	Body       []byte // sealed
	ReceivedAt time.Time
	Operations []Operation
}

// Applied counts what became of the operations of a notification.
type Applied struct {
	Repeated  bool // the very same body had been applied before; nothing was done
	Matched   int  // operations that belong to an order of ours
	Changed   int  // of those, the ones that brought news
	Unmatched int  // kept until their order appears
	Other     int  // operations of a kind that changes nothing
	Strange   int  // words of D1's that we do not know: kept, and counted by word
}

// Parked is an operation that belongs to no order of ours so far.
type Parked struct {
	IssuerID        string
	IssuerRequestID string // as D1 names it, perhaps empty
	OperationID     string
	CardID          string
	InputFileName   string // D1 got the order in a file: it is none of ours
	Status          ProductionStatus
	ParkedAt        time.Time
}

// Heard is what D1 answered when asked about an order. Without operations it
// says that D1 was asked and knew nothing new.
type Heard struct {
	Ref        Ref
	Operations []Operation
	Missing    bool // D1 does not know the order, though it had accepted it
}

// Observation is a file as seen in a listing of the drop.
type Observation struct {
	Name    string
	Size    int64
	ModTime time.Time
}

// Sighting is what the observations of a file come to, by our own clock.
type Sighting struct {
	Times      int       // observations in a row that saw this size and time
	Since      time.Time // the first of those
	FirstSeen  time.Time // when a file of this name appeared
	ReportedAt time.Time // when a person was last told of it
}

// PriorKey asks for an earlier file of a source by exactly one of its fields.
type PriorKey struct {
	Name     string
	SHA256   string
	Sequence int64
}

// BatchFilter selects batches; a zero field selects all.
type BatchFilter struct {
	IssuerID     string
	Source       string
	BusinessDate string
	States       []BatchState
	Limit        int // newest first when set, else all in order of arrival
}

// DeliveryKind says what a delivered file is.
type DeliveryKind string

// The kinds of files we deliver.
const (
	DeliverReceipt        DeliveryKind = "receipt"
	DeliverReconciliation DeliveryKind = "reconciliation"
	DeliverStatus         DeliveryKind = "status"
	DeliverExceptions     DeliveryKind = "exceptions"
)

// Delivery is a file we owe or have delivered. It is planned, with its name,
// before it is written, so that a repeat writes the same file and not another.
type Delivery struct {
	ID           int64
	Kind         DeliveryKind
	IssuerID     string
	Source       string
	Batch        BatchNo // zero for a file that is not about one batch
	BusinessDate string
	Revision     int
	Destination  string // directory on the drop
	Name         string // unique within the destination
	AfterEvent   int64  // covers events after this one
	UpToEvent    int64  // and up to this one
	PlannedAt    time.Time
	DeliveredAt  time.Time // zero while it is owed
	Rows         int64
	Size         int64
	SHA256       string
}

// DeliveryFilter selects deliveries; a zero field selects all.
type DeliveryFilter struct {
	Kind         DeliveryKind
	IssuerID     string
	Batch        BatchNo
	BusinessDate string
	Pending      bool // only those not yet delivered
}

// Trigger says why a run started.
type Trigger string

// The triggers of a run.
const (
	TriggerSchedule Trigger = "schedule" // its due time came
	TriggerAfter    Trigger = "after"    // a run of another job woke it
	TriggerManual   Trigger = "manual"   // a person started it
)

// RunOutcome says how a run ended.
type RunOutcome string

// The outcomes of a run.
const (
	RunDone    RunOutcome = "done"
	RunRejects RunOutcome = "rejects" // done, with rejected orders
	RunFailed  RunOutcome = "failed"
	RunSkipped RunOutcome = "skipped" // missed, and the job's policy is not to catch up
	RunLost    RunOutcome = "lost"    // its process died
)

// Run is one execution of a job, for one due time.
type Run struct {
	ID           int64
	Job          string
	Stage        string
	Due          time.Time
	DueWall      string // the due time on the wall clock of the job's zone; unique per job unless empty
	BusinessDate string
	Trigger      Trigger
	Session      string
	StartedAt    time.Time
	EndedAt      time.Time // zero while it runs
	Outcome      RunOutcome
	Summary      string // JSON
}

// RunFilter selects runs, newest first; a zero field selects all.
type RunFilter struct {
	Job          string
	BusinessDate string
	Open         bool // only those still running
	Limit        int
}
