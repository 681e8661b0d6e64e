package ageing

// Kind says why something needs a person.
type Kind string

// The kinds; their values are reported.
const (
	TakenTwice       Kind = "taken_twice"
	Missing          Kind = "missing_at_d1"
	Unresolved       Kind = "unresolved"
	ProductionFailed Kind = "production_failed"
	Refused          Kind = "refused"
	Held             Kind = "held"
	FileHeld         Kind = "file_held"
	ChangeFailed     Kind = "change_failed"
	Overdue          Kind = "overdue"
	Returned         Kind = "returned"
	OnHold           Kind = "on_hold"
	Silent           Kind = "silent"
	Unmatched        Kind = "unmatched"
	UnknownWord      Kind = "unknown_word"
)

// Kinds lists every kind once, the worst first.
func Kinds() []Kind {
	return []Kind{
		TakenTwice, Missing, Unresolved, ProductionFailed, Refused, Held, FileHeld, ChangeFailed,
		Overdue, Returned, OnHold, Silent, Unmatched, UnknownWord,
	}
}

// rank is the place of a kind in [Kinds].
func (k Kind) rank() int {
	for i, known := range Kinds() {
		if k == known {
			return i
		}
	}
	return len(Kinds())
}

// Remedy says what a person can do about it.
func (k Kind) Remedy() string {
	switch k {
	case TakenTwice:
		return "ask Thales at once how many cards are made, and stop one; name both operations"
	case Missing:
		return "ask Thales what became of the operation; do not order again before they say that no card is made"
	case Unresolved:
		return "look whether D1 can be reached and the track job runs; else ask Thales whether they have the order"
	case ProductionFailed:
		return "correct what the reason names and order again, under a new order_id"
	case Refused:
		return "correct what the code names and order again, under a new order_id"
	case Held:
		return "see `cardbatch orders ORDER`; ask Thales whether they have the order, before it is ordered again"
	case FileHeld:
		return "see `cardbatch batches BATCH`; `cardbatch release BATCH` takes the file, or send what is missing before it"
	case ChangeFailed:
		return "the card goes as ordered before; what can still be stopped, the center must be asked"
	case Overdue:
		return "ask Thales for the new shipment date"
	case Returned:
		return "find out the cardholder's address, then order a replacement"
	case OnHold:
		return "ask the center what it waits for: stock, design, or an answer of ours"
	case Silent:
		return "look whether notifications arrive and the track job runs; else ask Thales where the card is"
	case Unmatched:
		return "is it a card of ours that was ordered by another way? If not, tell Thales"
	case UnknownWord:
		return "ask Thales what it means, and tell whoever maintains cardbatch"
	default:
		return ""
	}
}

// Buckets lists the spans of working days into which ages are put, youngest first.
func Buckets() []string { return []string{"0-1", "2-3", "4-7", "8-14", "over 14"} }

// Bucket returns the span of an age in working days.
func Bucket(age int) string {
	for i, upTo := range []int{1, 3, 7, 14} {
		if age <= upTo {
			return Buckets()[i]
		}
	}
	return "over 14"
}
