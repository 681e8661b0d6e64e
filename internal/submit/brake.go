package submit

import "fmt"

// answer is what a sent order tells about D1 and our set-up, apart from what it
// means for the order.
type answer struct {
	kind   answerKind
	reason string // of a refusal: two with the same one are the same refusal
	silent bool   // unclear because D1 is down, out of reach or does not answer
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
	divided                       // D1 works and refuses a batch, of which it is sent the parts
)

// streak is the same refusal in a row. It goes on from one run to the next: a
// run that stopped for it is followed by one that sends a single order to see
// whether it is over, and not by one that lets as many orders be refused again.
type streak struct {
	reason string
	n      int
	before bool // all of it was before this run
}

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

	met         bool // D1 has given a usable answer in this run
	proven      bool // the set-up works: an order was accepted, or refused for a reason of its own
	refusals    streak
	unreachable int  // in a row
	unclear     int  // in a row
	silent      int  // of them, the ones in a row without any answer of D1's own
	alone       bool // D1 was dead before: the first order decides
	unopened    int  // in a row
}

func (r *Runner) newBrake() *brake {
	b := &brake{wide: r.InFlight, refusalStop: r.RefusalStop,
		unreachableStop: r.UnreachableStop, unknownStop: r.UnknownStop, refusals: r.refusals}
	b.refusals.before = true
	b.alone = r.outage()
	return b
}

// see takes an answer in and returns how many lanes are open from now on. An
// error stops the run.
func (b *brake) see(a answer) (int, error) {
	if a.kind != unopened {
		b.unopened = 0
	}
	b.met = b.met || a.kind == accepted || a.kind == refused || a.kind == throttled || a.kind == divided
	if a.kind != unclear && a.kind != givenUp && a.kind != unreachable || a.kind == unclear && !a.silent {
		b.silent = 0
	}
	switch a.kind {
	case accepted:
		b.proven, b.refusals = true, streak{}
		b.unreachable, b.unclear = 0, 0
	case refused:
		b.unreachable, b.unclear = 0, 0
		b.seeRefusal(a.reason)
	case throttled, divided:
		b.unreachable, b.unclear = 0, 0
	case unreachable:
		b.unreachable++
	case unclear:
		b.unclear++
		if a.silent {
			b.silent++
		}
	case unopened:
		b.unopened++
	case givenUp:
	case setUp:
		return 1, fmt.Errorf("%w: %s", ErrSetUp, a.reason)
	}
	return b.width(), b.stop()
}

func (b *brake) seeRefusal(reason string) {
	last := b.refusals
	if last.reason != reason {
		b.proven = b.proven || last.n > 0 && !last.before
		last.n = 0
	}
	b.refusals = streak{reason: reason, n: last.n + 1}
}

func (b *brake) stop() error {
	switch {
	case b.refusals.n >= b.refusalStop && !b.refusals.before:
		return fmt.Errorf("%w, %d times in a row: %s", ErrRefusals, b.refusals.n, b.refusals.reason)
	case b.unreachable >= b.unreachableStop:
		return fmt.Errorf("%w: not reached %d times in a row", ErrUnavailable, b.unreachable)
	case b.alone && !b.met && b.unclear > 0:
		return fmt.Errorf("%w: still no usable answer", ErrUnavailable)
	case b.silent >= b.silentStop():
		return fmt.Errorf("%w: it did not answer %d times in a row", ErrUnavailable, b.silent)
	case b.unclear >= b.unknownStop:
		return fmt.Errorf("%w: no usable answer %d times in a row", ErrUnavailable, b.unclear)
	case b.unopened >= b.refusalStop:
		return fmt.Errorf("%w, %d in a row", ErrPayloads, b.unopened)
	}
	return nil
}

// silentStop is how many orders in a row are given to a D1 that does not
// answer: each of them must be asked about.
func (b *brake) silentStop() int {
	if b.met {
		return max(1, b.unknownStop/2)
	}
	return b.unreachableStop
}

// end is what there is to say of a run that no rule has stopped. One of too few
// orders for the rules may have found nobody all the same.
func (b *brake) end() error {
	if n := b.unreachable + b.unclear; n > 0 && !b.met {
		return fmt.Errorf("%w: no usable answer to any of %d orders", ErrUnavailable, n)
	}
	return nil
}

func (b *brake) width() int {
	if !b.proven || max(b.refusals.n, b.unclear, b.unopened) >= narrowAfter || b.unreachable > 0 {
		return 1
	}
	return b.wide
}
