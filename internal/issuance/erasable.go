package issuance

// Erasable is a kind of thing that is kept for a while and then erased. What
// became of every row, the events and the totals are not among them: they stay.
type Erasable string

// The kinds of things that are erased in the end.
const (
	// ErasePayloads: sealed requests of orders that D1 refused or that were
	// cancelled, counted from the day their batch settled. Those of submitted
	// orders go at once.
	ErasePayloads Erasable = "payloads"
	// EraseNotifications: sealed bodies of notifications. That they came, and
	// all that they changed, stays.
	EraseNotifications Erasable = "notification bodies"
	// EraseParked: operations that waited for their order and were applied to it.
	EraseParked Erasable = "parked operations"
	// EraseUnmatched: operations that have waited for an order that never came.
	// They hold D1's texts, as bodies do, and are on reports all the while.
	EraseUnmatched Erasable = "unmatched operations"
	// EraseIdleRuns: rows of the run ledger that found nothing to do.
	EraseIdleRuns Erasable = "idle runs"
	// EraseRuns: all other rows of the run ledger. The last one of every job
	// stays: it says what was not yet caught up.
	EraseRuns Erasable = "runs"
)

// Erasables lists every kind once.
func Erasables() []Erasable {
	return []Erasable{ErasePayloads, EraseNotifications, EraseParked, EraseUnmatched, EraseIdleRuns, EraseRuns}
}
