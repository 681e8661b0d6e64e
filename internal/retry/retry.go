// Package retry says what a failed call to D1 means for the order that was
// being sent, and when to try again.
//
// The question is never "can this be repeated?" but "does D1 have the order?",
// because a card must not be produced twice. There are five answers:
//
//	Done     D1 has the order
//	NotDone  surely not delivered; send again later
//	Refused  D1 took notice and said no; sending again changes nothing
//	Unknown  nobody can say; ask D1 before anything else
//	Stop     surely not delivered, and no other order will be: the set-up or
//	         the credentials are wrong; end the run
//
// # The table
//
// This is the whole policy, [Policy.Status] and [Failed] in words. The column
// "down" says whether it speaks against D1 as a whole, so that the next order
// will most likely fare the same ([Error.Unavailable]).
//
//	what happened                                   class    down  because
//	----------------------------------------------  -------  ----  ----------------------------------------
//	name not found, connection refused, no route,   NotDone  yes   not a byte of the order was written, and
//	TLS refused by either side, timeout or reset                   none will be (Unsent)
//	before the order is written, no token
//	client certificate refused after the handshake  NotDone  yes   TLS 1.3 lets us write before the server
//	of TLS 1.3, as the first word on a connection                  has judged; it hands nothing on until it
//	                                                               has (Unsent)
//	HTTP/2 REFUSED_STREAM, GOAWAY that leaves the   NotDone  no    defined as "not processed" (Declined)
//	order out
//	reset, closed, GOAWAY or timeout after the      Unknown  yes   it may have arrived (Unanswered)
//	first byte of the order; an answer that is not
//	HTTP or ends inside its header
//	202 with a JSON object, any 2xx with an         Done     -     the proof of acceptance; the operation id
//	operationId                                                    may be missing (Accepted)
//	any other 1xx or 2xx: empty, cut off, not JSON  Unknown  no    D1 may well have the order
//	301, 307, 308                                   Stop     no    the resource lives elsewhere: the base
//	                                                               URL is wrong, nothing was done here
//	other 3xx                                       Unknown  yes   303 answers a request that was processed
//	401, 407                                        Stop     no    given by the gate, about us and not about
//	                                                               the order
//	408                                             Unknown  no    the server waited for the rest and cannot
//	                                                               prove what it did with the part it had
//	421, 425, 429                                   NotDone  no    defined as "not acted upon"
//	other 4xx                                       Refused  no    D1's word about this order; but what says
//	                                                               "duplicate" is Unknown: D1 has one
//	501, 505                                        Unknown  no    about the request, most likely
//	other 5xx                                       Unknown  yes   may come from a gateway that gave up on a
//	                                                               D1 which did not
//	503 under [Policy.Busy503]                      NotDone  yes   this D1 says it before it looks
//	anything else, anything nobody classified       Unknown  no    not knowing must never lead to a second
//	                                                               card
//
// A plain 500 speaks against D1 as a whole, like 503: a D1 whose database is
// gone often says no more than that, for hours, and questions that it answers
// so must not use up what an order is allowed. Whether it is the one order
// instead is for the stages to find out, from what happens to others meanwhile.
//
// The tests of package d1 bring about every line, with real connections, and
// count how often the order arrives.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Class says what a failure means for the order that was being sent.
type Class int

// The classes. The zero value is the careful one.
const (
	Unknown Class = iota
	NotDone
	Refused
	Stop
	Done
)

// String returns the name of the class.
func (c Class) String() string {
	switch c {
	case NotDone:
		return "not done"
	case Refused:
		return "refused"
	case Stop:
		return "stop"
	case Done:
		return "done"
	default:
		return "unknown"
	}
}

// Sent reports whether D1 may have the order or has decided on it; when it is
// false, the order surely did not get through.
func (c Class) Sent() bool { return c != NotDone && c != Stop }

// Error is a failed call with its class. It holds nothing of the request and
// of the answer only what is safe to log.
type Error struct {
	Class  Class
	Status int    // HTTP status, 0 when no answer arrived
	Code   string // D1's errorCode, else one of ours: HTTP_503, TRANSPORT, TOKEN
	Reason string // short text, for FIELD_ codes the name of the first field in error

	// After is how long the other side asked us to wait; 0 when it did not.
	After time.Duration
	// Unavailable says that the other side is down or out of reach, so that the
	// next order will most likely fare the same.
	Unavailable bool
	// Err is the cause, if there is one.
	Err error
}

// Error says what happened without repeating the request.
func (e *Error) Error() string {
	text := e.Class.String() + ": " + e.Code
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", text, e.Err)
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the classified error in err's chain. Any other error counts as
// Unknown; it returns nil for nil only.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Class: Unknown, Code: "UNCLASSIFIED", Err: err}
}

// CodeTransport is the code of an error for which no answer arrived.
const CodeTransport = "TRANSPORT"

// Transport classifies an error for which no usable answer arrived. sent says
// whether any byte of the order can have been written; whoever passes false
// must be able to prove it, and that none will be written any more.
func Transport(err error, sent bool) *Error {
	if sent {
		return Failed(Unanswered, err)
	}
	return Failed(Unsent, err)
}

// Failed classifies an error for which no usable answer arrived. A call that
// its own caller gave up (a cancelled context, not an expired deadline) says
// nothing about the other side, so it is not Unavailable.
func Failed(event Event, err error) *Error {
	v := events[event]
	return &Error{
		Class: v.class, Code: CodeTransport, Err: err,
		Unavailable: v.down && !errors.Is(err, context.Canceled),
	}
}

// Backoff spaces attempts: each waits twice as long as the one before, with
// jitter, so that orders which failed together do not return together.
type Backoff struct {
	First time.Duration // wait after the first attempt; at least 1 ms
	Most  time.Duration // longest wait
}

// Wait returns how long to wait after the given attempt, counted from 1: half
// of it fixed and half at random, and never less than what the other side
// asked for.
func (b Backoff) Wait(attempt int, asked time.Duration) time.Duration {
	wait := max(b.First, time.Millisecond)
	most := max(b.Most, wait)
	for ; attempt > 1 && wait < most; attempt-- {
		wait *= 2
	}
	wait = min(wait, most)
	half := wait / 2
	return max(asked, half+rand.N(wait-half+1))
}
