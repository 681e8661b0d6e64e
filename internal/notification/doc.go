// Package notification receives what D1 reports about production and shipment:
//
//	POST /notifications/d1/v2/issuers/{issuerId}/cards
//
// D1 delivers at least once, in any order, and tries again after some answers
// but not after others. So a notification is acknowledged only when it is
// durable together with all it changes, and the answer is chosen by what D1
// does with it: nothing that might be right tomorrow gets an answer after which
// D1 gives up.
//
//	204  stored and applied, now or before
//	400  not JSON; D1 need not try again
//	401  no bearer token, or one that is wrong or has expired; with OAuth only
//	403  a bearer token that was asked for with a scope that does not reach here
//	404  not one of our issuers, or another path. An issuer is configured here
//	     before D1 is given our address for it
//	405  not POST
//	408  the body did not arrive in time or to its end; try again
//	413  larger than [Config.MaxBody], or of more operations than D1 has a reason to send
//	429  more than [Config.PerSecond]; try again after Retry-After
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
//
// # Who may connect
//
// [LoadTLS] asks for a client certificate of a configured authority, of which
// there may be several; certificates are never pinned, as D1 renews its own.
// A handshake that fails gets a TLS alert, which D1 takes for a broken
// connection and tries again: a certificate we reject by mistake loses nothing.
// Certificate, key and authorities are read again when their files change, and
// no connection lives on for longer than [ServerConfig.MaxAge] by what was
// good when it began.
//
// With [OAuth], D1 also shows a bearer token, which it asks for at our own token
// endpoint by client credentials (RFC 6749, section 4.4), HTTP Basic or form.
// Secrets are kept as PBKDF2 hashes; tokens are signed and kept nowhere, so that
// they outlive a restart. Guesses are slow, one at a time, and few.
//
// # What one client can do to the others
//
// [Listen] bounds connections in all and for each address, the time of a
// handshake, a header, a body, an answer and of idleness; when no place is free,
// the oldest handshake loses its own, so that who has no certificate cannot keep
// D1 out by connecting; [New] bounds the
// length of a body, the memory of all bodies, the notifications of one client
// (an OAuth client, else the name of its certificate, else its address), and
// those in the store at a time. A body is read before it gets a place in front
// of the store: a client that sends slowly holds nothing but its connection.
//
// Everything that is not taken is counted by its [Reason]; the log has the first
// of each kind and then one a minute, so that nobody fills a disk from outside.
package notification
