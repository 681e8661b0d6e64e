// Package d1 speaks to Thales D1: it builds the body of a card order with its
// encrypted card data ([Encoder]), orders a card and asks how its production
// stands ([Client]), and reads the operations that D1 reports
// ([ParseOperations]), in an answer as in a notification.
//
// # Never twice
//
// An order is written to the network at most once per call of [Client.Order],
// whatever net/http would like to repeat: the body can be read only once, there
// is no GetBody and no idempotency header, and redirects are not followed. The
// one exception is 401, which D1's gate gives before it looks at the order: the
// token is renewed and the order sent once more.
//
// Every error is a [retry.Error]. It is NotDone or Stop only where it is
// certain that nothing of the body was written and that nothing will be: the
// body of a failed call is sealed before anyone looks at the error. All that
// happens after the first byte is Unknown, unless D1 answered.
//
// # In batches
//
// [Batches] orders up to 1000 cards in a request. Thales publishes neither the
// path nor the answer, so both are settings; see [BatchAnswer] for the answers.
// An item of a list proves something of an order only when it names the order,
// by issuerRequestId or by a card that no other order of the request is for, and
// says one thing: an operation id and no error, or an error code that blames the
// order. Whoever is not named, or named twice with two results, or named by an
// answer that is cut off, is Unknown.
//
// # Never in clear
//
// Card data goes into a compact JWE, ECDH-ES with A256GCM, under a fresh
// ephemeral key per card. Errors hold D1's errorCode and, cut and filtered, its
// error text, which names a field; they never hold anything of a request.
// Tokens cannot be printed.
//
// # Connections
//
// HTTP/2 over TLS with a client certificate that is read again when its file
// changes, HTTP/1.1 over plain http, which is accepted for loopback addresses
// only. Idle HTTP/2 connections are probed, because a dead one is otherwise
// used for a quarter of an hour. Environment variables for proxies are ignored.
package d1
