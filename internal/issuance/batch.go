package issuance

import (
	"encoding/json"
	"fmt"
	"time"
)

// BatchNo identifies a batch inside the store.
type BatchNo int64

// BatchKind says what the rows of a batch are.
type BatchKind string

// The kinds of batches. Their values are stored.
const (
	BatchOrders  BatchKind = "orders"  // cards to produce
	BatchChanges BatchKind = "changes" // changes of orders given before
)

// BatchState says where an order file stands.
type BatchState string

// The states of a batch. Their values are stored and reported.
const (
	BatchLoading  BatchState = "loading"  // being read; none of its orders can be sent
	BatchAccepted BatchState = "accepted" // proven complete; its ready orders can be sent
	BatchHeld     BatchState = "held"     // complete, but a person must release it
	BatchRefused  BatchState = "refused"  // not taken; see its code
	BatchSettled  BatchState = "settled"  // no order is left to send or decide
	BatchClosed   BatchState = "closed"   // no further news is expected
)

var batchSuccessors = map[BatchState][]BatchState{
	BatchLoading:  {BatchAccepted, BatchHeld, BatchRefused},
	BatchHeld:     {BatchAccepted, BatchRefused},
	BatchAccepted: {BatchSettled},
	BatchSettled:  {BatchClosed, BatchAccepted},
	BatchClosed:   {BatchAccepted},
}

// Valid reports whether s is one of the states.
func (s BatchState) Valid() bool {
	_, goesOn := batchSuccessors[s]
	return goesOn || s == BatchRefused
}

// CanBecome reports whether a batch in state s may change to state to. A
// settled or closed batch opens again only when an operator resubmits one of
// its orders.
func (s BatchState) CanBecome(to BatchState) bool {
	for _, next := range batchSuccessors[s] {
		if next == to {
			return true
		}
	}
	return false
}

// Batch is the content of one order file, once taken.
type Batch struct {
	No  BatchNo
	ID  string // for people and file names: 20260301T221503-5f0c1a
	Why Why    // of its last change of state

	Kind     BatchKind
	Source   string
	IssuerID string
	FileName string // as dropped
	Session  string // that loads it

	Size     int64  // bytes, as read
	SHA256   string // hex, of the file as dropped
	Rows     int64  // as read
	Control  *Control
	State    BatchState
	Code     Code
	Reason   string
	Archived string // where the original ended up, empty while it has not

	Attempts   int       // how often its loading was begun
	TroubledAt time.Time // when loading it went wrong for the first time
	SetAside   bool      // loading, but others need not wait for it; Reason says why

	BusinessDate string    // YYYY-MM-DD
	ReceivedAt   time.Time // when it was seen complete
	DecidedAt    time.Time // accepted, held or refused
	SettledAt    time.Time
	ClosedAt     time.Time
}

// Transition changes the state of the batch and returns the event to append.
// It fails, changing nothing, when the change is not legal. Settling and closing
// are no verdicts: code and reason of the last one stay.
func (b *Batch) Transition(to BatchState, why Why) (Event, error) {
	if !b.State.CanBecome(to) {
		return Event{}, fmt.Errorf("batch %s cannot change from %s to %s", b.ID, b.State, to)
	}
	e := Event{Batch: b.No, Kind: KindBatch, From: string(b.State), To: string(to), Why: why}
	b.State, b.Why = to, why
	if to != BatchSettled && to != BatchClosed {
		b.Code, b.Reason = why.Code, why.Reason
	}
	switch to {
	case BatchLoading: // where every batch starts; nothing becomes loading
	case BatchAccepted, BatchHeld, BatchRefused:
		b.DecidedAt = why.At
	case BatchSettled:
		b.SettledAt = why.At
	case BatchClosed:
		b.ClosedAt = why.At
	}
	return e, nil
}

// Control is what the control file says of its order file. The contract is
// schemas/control-file.v1.schema.json.
type Control struct {
	File         string           `json:"file"`
	Rows         int64            `json:"rows"`
	SHA256       string           `json:"sha256"`
	IssuerID     string           `json:"issuer_id"`
	Environment  string           `json:"environment"`
	Sequence     int64            `json:"sequence"`
	BusinessDate string           `json:"business_date"`
	CreatedAt    string           `json:"created_at"`
	Products     map[string]int64 `json:"products,omitempty"`
	Echo         json.RawMessage  `json:"echo,omitempty"`
}
