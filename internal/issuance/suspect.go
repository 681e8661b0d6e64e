package issuance

import "time"

// Suspect is an order that may need a person, with what its history knows of
// the time it has been so. Whether it does is for package ageing to say.
type Suspect struct {
	Order
	StateAt  time.Time // when it came into its state
	StatusAt time.Time // when we learnt of its production status, zero before the first
	DoubtAt  time.Time // when D1 first spoke of a second operation, or did not know the order; zero without
	NewsAt   time.Time // of the last line of its history

	ChangeFailed   string    // what was asked of it and not done, and why; for people
	ChangeFailedAt time.Time // zero without
}

// SuspectFilter bounds which orders are looked at. Orders that wait for a
// person are looked at always.
type SuspectFilter struct {
	IssuerID   string
	QuietSince time.Time // of those D1 works on: nothing new since then
	DueBefore  string    // or due before this date, YYYY-MM-DD
	EndedAfter time.Time // of those that have ended: in files that closed after then, or not yet
}
