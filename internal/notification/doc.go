// Package notification receives what D1 reports about production and shipment:
//
//	POST /notifications/d1/v2/issuers/{issuerId}/cards
//
// D1 delivers at least once, in any order, and tries again after some answers
// but not after others. So a notification is acknowledged only when it is
// durable together with all it changes, and the answer is chosen by what D1
// does with it:
//
//	204  stored and applied, now or before
//	400  not JSON; D1 need not try again
//	404  not one of our issuers
//	405  not POST
//	408  the body did not arrive in time or to its end; try again
//	413  larger than [Config.MaxBody]
//	503  cannot be stored now; try again after Retry-After
//
// Unknown operations, statuses and members are taken as they are: D1 may add
// some at any time. JSON without a list of operations is kept, unread, and the
// log says so. That a repeated or late notification changes nothing is the
// work of package issuance and of the store.
//
// The body is kept as received, sealed, and known by a keyed digest: it can hold
// personal data, and a plain hash of something guessable is the thing itself.
// Nothing of a body is ever logged.
package notification
