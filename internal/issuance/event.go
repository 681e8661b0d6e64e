package issuance

import "time"

// Kind says what an event changed.
type Kind string

// The kinds of events.
const (
	KindState      Kind = "state"      // an order's state
	KindProduction Kind = "production" // an order's production status
	KindShipment   Kind = "shipment"   // an order's shipment data
	KindLateNews   Kind = "late"       // news that came after newer news; kept, changed nothing
	KindBatch      Kind = "batch"      // a batch's state
)

// Why is the answer to who changed something, when, and for what reason.
type Why struct {
	At       time.Time
	Stage    string // intake, submit, notification, track, operator, ...
	Session  string // the running process
	Operator string // the person, when a person did it
	Code     Code
	Reason   string // for people; never card or personal data
	Attempt  int
	Said     time.Time // D1's own time of what it reports; zero for what D1 did not report
}

// Event is one line of the append-only history.
type Event struct {
	ID    int64 // given by the store, rising
	Ref   Ref   // zero for an event of a batch
	Batch BatchNo
	Kind  Kind
	From  string
	To    string
	Why
}

func (w Why) event(ref Ref, kind Kind, from, to string) Event {
	return Event{Ref: ref, Batch: ref.Batch(), Kind: kind, From: from, To: to, Why: w}
}
