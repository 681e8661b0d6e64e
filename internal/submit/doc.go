// Package submit is the stage that orders cards from D1: it takes orders that
// are ready and sends each of them exactly once.
//
// # How an order is sent
//
//	claim    a slice of orders becomes submitting, with an attempt number and
//	         a correlation id, in one transaction: the intent is durable
//	         before the first byte leaves
//	send     workers open the sealed request, wait for the rate limit and call
//	         D1; the next slice is claimed while the former is in flight. A
//	         claim that may have been overtaken while it waited, because it is
//	         not the first attempt or waited long, is looked at once more
//	record   outcomes are committed in groups, a fraction of a second late
//
// A process that dies anywhere in between leaves orders submitting under a
// session that no longer lives. The store turns them into unknown, and the
// track stage asks D1 before anything is sent again.
//
// # What an answer means
//
//	done      submitted, with D1's operation id
//	refused   refused, with D1's error code; unless D1 says that it has the
//	          order already, which is unknown: track will find it
//	unknown   unknown, to be asked about after the settling time
//	not done  ready again after a while; nothing was sent, so it costs no attempt
//	stop      ready again; token or set-up is wrong and the run stops
//
// A request that cannot be opened is held with PAYLOAD_LOST.
//
// # In batches
//
// With [Deps.SendBatch] many orders go in one request; all else is as above. A
// request takes one slot of the rate, and holds as many orders as are claimed
// and as there is room for, never two of the same card. What became of it is
// told order by order, or for all at once: one that is lost makes all its orders
// unknown, each to be asked about. Its correlation id is that of its first order
// and how many there are.
//
// A request that D1 refuses as a whole has ordered nothing. It is halved and its
// parts are sent, and so on down to the order that is to blame, which alone is
// refused. That holds for one that is too large as well, and makes all later
// ones smaller. The first request of a run is one order alone. After it they are
// full; trouble halves the next ones, success doubles them again, so that a file
// full of mistakes and a D1 whose answers get lost cost little.
//
// A set-up that is wrong for some orders only may refuse a full request's worth
// of them before it is noticed.
//
// # When a run stops early
//
// A run begins with one order alone, and goes wide when D1 has accepted one:
// what is wrong with the token, the certificate or the network shows before
// hundreds of orders are on their way. It narrows again when answers go bad,
// and stops when they stay bad (see [Config]): the same refusal again and again
// ([ErrRefusals]), D1 unreachable or without a usable answer
// ([ErrUnavailable]), a token that is not accepted ([ErrSetUp]). Whatever was
// claimed and not sent becomes ready again and the attempt is not counted. The
// refusals that led to the stop stay refused: D1 did say no. The next run stops
// at the first order that is refused for the same reason.
//
// # When D1 is dead
//
// A run that found D1 dead leaves the circuit breaker open, see [Breaker]. The
// next run begins with a request for a token and, where this process has sent an
// order, with a question about the last one. Only when both are answered it
// claims, and its first order goes alone: if that one gets no usable answer, the
// run ends there. So an outage costs a few orders of unknown outcome when it
// begins, and none while it lasts. A process begins like that before its first
// claim, and so does a run that finds orders after D1 was silent for some minutes.
//
// A plain 500, or an answer that is not D1's, may be all that D1 has to say, or
// about that one card. Then an order goes alone now and then, more and more rarely.
//
// # Hours
//
// [Config.Hours] may close altogether or to orders that are not urgent. A run
// whose hours end claims nothing more, drains, and ends without an error; what
// it had claimed is ready again. Runs outside the hours are idle, with the time
// they open again in [Summary.OpensAt]. A [Forecast] at the beginning of a run
// and every ten minutes tells in time what will not be finished.
//
// # Draining
//
// When the context ends, nothing new is claimed or sent. Requests in flight have
// [Config.DrainLimit] to finish; one that does not is unknown. Outcomes are
// recorded after that, still. While the store does not take outcomes nothing
// more is sent; what it never took stays in the [Runner], which records it
// first thing in the next run. Keep one Runner per issuer for the life of the
// process.
package submit
