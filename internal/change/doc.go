// Package change is the stage that makes the changes a bank asks of its orders:
// cancel, accelerate, redirect ("pull & change").
//
// # What is done with a change
//
//	the order is not there          it waits, for as long as [Config.Wait]
//	held, and perhaps at D1         it waits for a person to decide about the order
//	ready, or held and never sent   made in our copy: the order is cancelled, or its sealed request
//	                                is opened, amended and sealed again
//	on its way to D1, or unknown    it waits: nobody can say which of the two copies counts
//	refused by D1                   cancelled; anything else is too late
//	at D1                           sent to D1; the center's answer comes as an UPDATE_ORDER
//	finished                        too late
//
// The changes of one order are made strictly one after the other, in the order
// of the files and rows. So a redirect that is sent again can never overwrite a
// later one, and of an order at most one change is under way: news that does not
// name a change can be matched all the same.
//
// Who claims an order to send it, and who amends it, race: the store decides in
// one transaction, and the loser of the two sees what the other has done. Our
// amended copy takes effect only if D1 never had an earlier one: when D1 reports
// on an order after all that it had denied to have, the changes made here since
// wait again, and are sent.
//
// # Sending
//
// As orders are sent: the intent is committed before the first byte leaves, an
// outcome that nobody knows is asked for, and a request goes out again only when
// D1 has said, more than once, that it does not have it. Asking needs an answer
// to productionStatus that lists UPDATE_ORDER operations; of a D1 that does not
// list them the answer is "not there", and sending again is harmless, because
// the same change in the same place comes to the same.
//
// A change is a matter of time: a cancel or a new address that comes after the
// card was personalized has come for nothing, while an order that goes out some
// seconds later loses nothing. So a change does not give way to orders. It takes its
// turn among them, with few requests at a time ([Config.InFlight]), so that a
// large file of changes cannot keep orders from D1 either. The same goes for
// questions about changes: the next change of the order waits for the answer.
//
// A product without an urgent priority has none to give to an order here: then
// the order waits for D1 to have it, and is accelerated there.
//
// # What a run leaves
//
// Nothing in memory but outcomes that the store would not take; keep one
// [Runner] per issuer for the life of the process.
package change
