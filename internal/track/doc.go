// Package track is the stage that asks D1 about orders: those of which nobody
// can say whether D1 has them, and those it has been silent about for too long.
//
// # An unknown order
//
// Nothing is sent again before D1 was asked, and D1 is not asked before the
// outcome has settled. What it answers decides:
//
//	it names our issuerRequestId       D1 has the order: submitted
//	it knows nothing of the order      asked again after the settling time, for
//	                                   D1's record may lag; when that was said
//	                                   [Config.NotFoundAsks] times in a row, it is
//	                                   ready to be sent again, or held when all
//	                                   its attempts are used up
//	it names productions of the card   asked again, ever later; after
//	without saying for which request,  [Config.UnclearAsks] times held with
//	or what may be one, or gives no    OUTCOME_UNCLEAR
//	usable answer
//
// Productions of the card that name another request belong to another order and
// count as nothing. A plain 500 may be about the order, or all that a D1 has to
// say that is down: it counts as no usable answer when D1 answered about another
// order in the same slice, or has said nothing else about this one for hours.
//
// # A silent order
//
// A submitted order of which nothing was heard is asked about, and the answer
// has the same effect as a notification. Lost notifications thus cost time only.
// An order that is final is not asked about any more: what its carrier says after
// the hand-over comes by notification or not at all. An order that D1 had
// accepted and does not know is counted as missing, kept as such in the store
// until it is heard of again, and named in the log the first time.
//
// # Manners
//
// Asking shares the rate limit with ordering. It stays behind by asking few at a
// time and at most [Config.Budget] times in a run; the rest waits for the next
// run. All runs of a day, of the issuer's zone, share [Config.DailyBudget], which
// the store keeps; its last fifth is for unknown orders. A question without an
// answer costs nothing of it. A D1 that is out of reach ends the run with [ErrUnavailable] and changes
// nothing: not being able to ask is no answer.
//
// The stage recovers nothing itself: package app makes the orders of dead
// sessions unknown when a process starts and before every run of this stage, as
// another process may have died meanwhile.
package track
