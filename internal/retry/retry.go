// Package retry says what a failed call to D1 means for the order that was
// being sent, and when to try again.
//
// The question is never "can this be repeated?" but "does D1 have the order?",
// because a card must not be produced twice. There are four answers:
//
//	NotDone  surely not delivered; send again later
//	Refused  D1 took notice and said no; sending again changes nothing
//	Unknown  nobody can say; ask D1 before anything else
//	Stop     surely not delivered, and no other order will be: the set-up or
//	         the credentials are wrong; end the run
//
// [Policy.Status] is the one table over HTTP statuses. Where no status arrived,
// [Transport] decides by whether a byte of the order can have left. An error
// that nobody classified is Unknown, as is the zero [Class]: not knowing must
// never lead to a second card.
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
//
// A call that its own caller gave up (a cancelled context, not an expired
// deadline) says nothing about the other side, so it is not Unavailable.
func Transport(err error, sent bool) *Error {
	e := &Error{Class: NotDone, Code: CodeTransport, Err: err}
	e.Unavailable = !errors.Is(err, context.Canceled)
	if sent {
		e.Class = Unknown
	}
	return e
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
