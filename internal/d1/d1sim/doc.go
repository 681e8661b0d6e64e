// Package d1sim is the other side: a simulated Thales D1 and the
// personalization center ("Shopfloor") behind it. It is written from Thales'
// public pages and shares no code with our client, so that a mistake there
// shows here.
//
//	sim, err := d1sim.New(d1sim.Config{Issuers: []d1sim.Issuer{...}})
//	sim.Start(ctx)              // cards move, notifications leave
//	defer sim.Close()
//	http.Serve(l, sim.Handler())         // what the issuer sees
//	http.Serve(l2, sim.AdminHandler())   // what the test sees, loopback only
//
// # What it answers
//
//	POST /authz/v1/oauth2/token        JWT bearer grant (ES256) -> access token
//	and under /banking/v1/issuers/{issuerId}
//	POST /physicalCards/{cardId}/operations:production   order -> 202 {"operationId"}
//	GET  /physicalCards/{cardId}/productionStatus        every operation of the card
//	POST /physicalCards/{cardId}/operations:updateOrder  cancel, accelerate, redirect ("pull & change")
//	POST /physicalCards/operations:production            batch order {"cards":[1..1000]}
//
// Those with a card also in the other spelling Thales uses (physicalcards,
// productionstatus). Path and answer of the batch order are assumed: see
// Config.BatchPath and Settings.BatchAnswer; so is the path of updateOrder,
// which accepts CANCEL before CARD_PROD_ONGOING and the rest before
// CARD_PROD_DONE (Settings.Changes) and tells the outcome by a notification
// UPDATE_ORDER.
//
// An order is judged in this order, and the first finding is the answer:
//
//  1. injected faults that come before processing
//  2. token missing, unknown or expired: 401 AUTHORIZER_UNAUTHORIZED; unknown
//     issuer, another issuer's token or certificate: 403 AUTHORIZER_FORBIDDEN
//  3. rate limit: 429 TOO_MANY_REQUESTS with Retry-After
//  4. x-correlation-id, cardId in the path: 400 FIELD_INVALID_FORMAT
//  5. content type: 415; size: 413; not a JSON object: 400 with {}
//  6. the fields, depth first in the order of Thales' tables (distributionChannel,
//     cardId, consumerId, cardProductId, issuerRequestId, name, services,
//     encryptedData, paymentApplication, cardDesign, cardCarrierConfig,
//     packagingConfig, shipment): missing, of the wrong type or malformed is
//     FIELD_INVALID_FORMAT, not one of the enumerated values FIELD_INVALID_VALUE
//  7. encryptedData: CRYPTO_ERROR, then PARSING_ERROR, then pan, exp, name and
//     the rest of the card as fields
//  8. the card program: channel, product or country forbidden is 403
//     FORBIDDEN_OPERATION, a value that was not set up FIELD_INVALID_VALUE
//  9. an issuerRequestId that D1 has: see Settings.Duplicates
//
// Unknown members are tolerated; names are matched exactly, case included.
// Only a refusal after step 5 enters the ledger.
//
// # Life of a card
//
//	CARD_PROD_REQUESTED -> DATA_PREPARED -> CARD_PROD_READY -> CARD_PROD_ONGOING -> CARD_PROD_DONE -> CARD_SHIPPED ...
//	  -> DATA_EXCEPTION      CARD_PROD_CANCELED <-'    |  -> CARD_PROD_ON_HOLD ->'      -> CARD_RETURNED
//	                                                   '-> CARD_PROD_EXCEPTION
//
// CARD_SHIPPED comes several times with newer shipment data. The Shopfloor has
// its own clock: one of its days takes Settings.Day of real time. All times in
// notifications are the Shopfloor's. A NO_SHIPMENT card (also: delivery not
// given) ends with CARD_PROD_DONE unless Floor.ShipUndelivered is set.
//
// # What goes wrong
//
// [Settings] switch every fault while the simulator runs, and [Faults] lists
// them. What a request meets is decided by the seed, what it asks (the card)
// and how often that was asked before, so that the same night meets the same
// faults whatever runs at the same time. They come in this order:
//
//	latency          uniform, or log-normal with a long tail (p50, p99)
//	before           reset_before, error_before: nothing was processed
//	at the gate      revoke_tokens (401), rate_limit (429 with Retry-After)
//	processed, then  reset_after, error_after, slow, batch_partly
//	the answer       slow_body, truncated, not_json, no_operation_id
//	the connection   goaway_every; reset_connection makes a reset cut every
//	                 stream of an HTTP/2 connection
//	tokens           token_down, token_error, token_garbage, token_slow
//	productionStatus status_lag, status_error
//	notifications    lost, delayed, duplicated, reordered, acknowledgement unread
//
// [Simulator.ServerTLS] lets Settings.ClientCertificate switch mutual TLS;
// simkeys makes the authority and the certificates, simtest a whole server.
// D1's keys for encryptedData are changed by [Simulator.AddJWEKey] and
// [Simulator.WithdrawJWEKey]. The admin endpoint can do all of it.
//
// # What it remembers
//
// The ledger keeps one compact record per order (about 200 bytes with its ids);
// of the card only a hash of the PAN under a key that dies with the process.
// See [Summary] for the totals, [LedgerEntry] for an order. [Simulator.Events]
// are the newest requests and notifications with what was answered and which
// fault was made, [Simulator.FaultCounts] how often.
//
// Tests never sleep: [Simulator.Wait], [Simulator.WaitIdle], [Simulator.WaitFinal].
package d1sim
