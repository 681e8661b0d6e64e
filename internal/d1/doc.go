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
// Every error is a [retry.Error]; package retry has the table of what means
// what. It is NotDone or Stop only where it is certain that D1 did not take the
// order: nothing of the body was written and nothing will be (the body of a
// failed call is sealed before anyone looks at the error), or the protocol says
// that what was written was not looked at. All else that happens after the first
// byte is Unknown, unless D1 answered. Every call has a deadline. What the system
// has not delivered of a call that was given up is thrown away with its connection,
// so that it cannot arrive when D1 was asked about the order already.
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
// HTTP/2 over TLS 1.2 or later with a client certificate, HTTP/1.1 over plain
// http, which is accepted for loopback addresses only. HTTP/2 connections are
// asked whether they live, so that a dead one is found within 20 s; it would
// otherwise be used for a quarter of an hour. Environment variables for proxies
// are ignored.
//
// # Files that change
//
// Certificate, key and CA ([TLSFiles]), the key that signs for tokens
// ([Token.KeyFile]) and D1's keys for card data ([JWEFile]) are looked at when
// they are needed, and read again when they have changed: for the next
// connection, the next token, the orders of two seconds later. What cannot be
// used, such as a file half written, leaves the old one in use and is told once
// to [Config.Warn]. When D1 changes its JWE key, both are configured for a
// while: the first encrypts, orders that come encrypted may use any.
//
// # Tokens
//
// One token serves all calls; it is fetched by one request at a time, and
// renewed while it still has a minute, so that an endpoint that is down for
// less than that is not noticed. 401 for a token that has worked fetches
// another; a D1 that takes none of its own tokens is asked for one every ten
// seconds and not for every order. When D1 turns an assertion away, its Date
// header shows whether our clock is wrong; if it is, by up to an hour, the
// assertions go by D1's clock from then on.
package d1
