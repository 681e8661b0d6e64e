// Package ageing says which orders need a person, why, and for how long they
// have. It is what the exceptions report, the command line and the metrics ask.
//
// # Kinds
//
// An order is in at most one [Kind], the worst that fits, [Kinds] in the order
// of how bad they are:
//
//	taken_twice        D1 produces it under a second operation: perhaps two cards
//	missing_at_d1      D1 had accepted it and does not know it
//	unresolved         sent, and for too long nobody knows whether it arrived
//	production_failed  D1 took it and will make no card (DATA_EXCEPTION, ...)
//	refused            D1 said no
//	held               waits for a person
//	change_failed      a change asked of it was not made
//	overdue            the date D1 promised is over, and it has not left
//	returned           the card came back
//	on_hold            production pauses for too long
//	silent             D1 has it, and nothing new was heard for too long
//
// What is no order, or none of ours, is listed with them: file_held, a whole
// file that waits for a person; unmatched, news of D1's that belongs to no order
// for too long; unknown_word, a word of D1's that has no meaning for us.
//
// What has ended is listed for a time and then no more ([Rules.EndedFor]):
// refused, failed and returned orders stay what they are for ever, and a list
// that only grows is read by nobody. What has not ended is listed until it has.
//
// # Days
//
// Age is counted in working days of the personalization center: those after the
// day on which it began, up to and including today, both as the center's
// clock has them. So the age of what began today, or on Friday and it is Sunday,
// is 0; and an age above n says that n whole working days have passed. That is
// what the limits of a product mean ([Limits]): silent_after_days: 3 lists on
// Friday what was last heard of on Monday.
//
// An order is overdue when its due date is over: on the first working day after
// it, more with a grace. D1 writes a date or a time; a time with a zone is taken
// to the center's, one without is the center's. A due date on which nobody
// works moves to the next working day. A due date that cannot be read is no due date.
//
// Silence is the absence of news, not of words: that D1, when asked, says the same
// as yesterday does not end it. A pause that D1 has told of is no silence.
//
// # Use
//
// [Rules.At] makes a [Judge] for a moment, which is pure. [List] puts everything
// of an issuer that needs a person into one list, the worst and oldest first. It reads
// the suspects twice, first to sort (24 bytes each), then to tell; so a hundred
// thousand exceptions do not weigh more than a few megabytes.
package ageing
