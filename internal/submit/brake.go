package submit

import "fmt"

// answer is what a sent order tells about D1 and our set-up, apart from what it
// means for the order.
type answer struct {
	kind   answerKind
	reason string // of a refusal: two with the same one are the same refusal
}

type answerKind int

const (
	accepted    answerKind = iota // all is well
	refused                       // D1 works and does not like this order
	unreachable                   // nothing was delivered
	unclear                       // no usable answer
	throttled                     // D1 works and wants us slower
	setUp                         // D1 does not know us
	unopened                      // the sealed request cannot be opened
	givenUp                       // we gave up; tells nothing
)

// narrowAfter is how many bad answers in a row make a run careful.
const narrowAfter = 3

// brake decides, answer by answer, how wide a run may go and when it stops. It
// is what keeps a wrong configuration or a dead D1 from burning a night. It is
// not safe for concurrent use.
type brake struct {
	wide            int // lanes when all is well
	refusalStop     int
	unreachableStop int
	unknownStop     int

	proven      bool // the set-up works: an order was accepted, or refused for a reason of its own
	lastRefusal string
	refusals    int // the same, in a row
	unreachable int // in a row
	unclear     int // in a row
	unopened    int // in a row
}

func (r *Runner) newBrake() *brake {
	return &brake{wide: r.InFlight, refusalStop: r.RefusalStop,
		unreachableStop: r.UnreachableStop, unknownStop: r.UnknownStop}
}

// see takes an answer in and returns how many lanes are open from now on. An
// error stops the run.
func (b *brake) see(a answer) (int, error) {
	if a.kind != unopened {
		b.unopened = 0
	}
	switch a.kind {
	case accepted:
		b.proven, b.refusals, b.lastRefusal = true, 0, ""
		b.unreachable, b.unclear = 0, 0
	case refused:
		b.unreachable, b.unclear = 0, 0
		b.seeRefusal(a.reason)
	case throttled:
		b.unreachable, b.unclear = 0, 0
	case unreachable:
		b.unreachable++
	case unclear:
		b.unclear++
	case unopened:
		b.unopened++
	case givenUp:
	case setUp:
		return 1, fmt.Errorf("%w: %s", ErrSetUp, a.reason)
	}
	return b.width(), b.stop()
}

func (b *brake) seeRefusal(reason string) {
	if b.refusals > 0 && reason != b.lastRefusal {
		b.proven, b.refusals = true, 0
	}
	b.lastRefusal = reason
	b.refusals++
}

func (b *brake) stop() error {
	switch {
	case b.refusals >= b.refusalStop:
		return fmt.Errorf("%w, %d times in a row: %s", ErrRefusals, b.refusals, b.lastRefusal)
	case b.unreachable >= b.unreachableStop:
		return fmt.Errorf("%w: not reached %d times in a row", ErrUnavailable, b.unreachable)
	case b.unclear >= b.unknownStop:
		return fmt.Errorf("%w: no usable answer %d times in a row", ErrUnavailable, b.unclear)
	case b.unopened >= b.refusalStop:
		return fmt.Errorf("%w, %d in a row", ErrPayloads, b.unopened)
	}
	return nil
}

func (b *brake) width() int {
	if !b.proven || max(b.refusals, b.unclear, b.unopened) >= narrowAfter || b.unreachable > 0 {
		return 1
	}
	return b.wide
}
