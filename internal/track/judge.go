package track

import (
	"slices"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// verdict is what a reply means for its order.
type verdict struct {
	kind       kind
	hear       bool // tell the store what D1 said, or that it said nothing
	operations []issuance.Operation
	decide     bool // settle the unknown order
	outcome    issuance.Outcome
}

type kind int

const (
	unanswered kind = iota // as if it had not been asked
	found
	resend
	held
	later
	heard
	silent
	missing
)

// judge is the whole policy; it depends on nothing but its arguments.
func (r *Runner) judge(a reply, now time.Time) verdict {
	if a.err != nil && !answered(a.err) {
		return verdict{kind: unanswered}
	}
	ours, unclear := sift(&a.order, a.operations)
	if a.order.State != issuance.Unknown {
		return judgeSilent(a, ours, unclear)
	}
	switch {
	case len(ours) > 0:
		return verdict{kind: found, hear: true, operations: ours}
	case a.err != nil:
		return r.unclear(a.order, now, "D1 does not answer questions about it: "+a.err.Code)
	case unclear:
		return r.unclear(a.order, now, "D1 names productions of the card without saying for which order")
	default:
		return r.notFound(a.order, now)
	}
}

// answered reports whether an error is D1's answer, rather than no answer at
// all: out of reach, too busy, or not letting us in.
func answered(e *retry.Error) bool {
	return e.Class == retry.Refused || e.Class == retry.Unknown && e.Status != 0 && !e.Unavailable
}

// mayBeTheOrders reports whether an answer is a plain 500, which a D1 gives that
// is down as a whole, and also one that stumbles over one order.
func mayBeTheOrders(e *retry.Error) bool { return e.Status == 500 }

// plain500Free is how long plain 500 and nothing else may be all that D1 says
// until one of them counts. An order of its own that D1 stumbles over is thus
// held after a day, by the default of [Config.UnclearAsks]; a D1 that is down
// for a night has nobody held.
const plain500Free = 3 * time.Hour

// charge makes a plain 500 count as an answer about its order when D1 did answer
// about another meanwhile, or when it has said nothing else for long.
func (r *Runner) charge(replies []reply, now time.Time) {
	met := slices.ContainsFunc(replies, func(a reply) bool { return a.err == nil || answered(a.err) })
	for i, a := range replies {
		if a.err == nil || !mayBeTheOrders(a.err) || !met && now.Sub(r.dueAt(&a.order)) < plain500Free {
			continue
		}
		charged := *a.err
		charged.Unavailable = false
		replies[i].err = &charged
	}
}

// dueAt is since when we want to ask about an order, as far as it tells.
func (r *Runner) dueAt(o *issuance.Order) time.Time {
	if o.State == issuance.Unknown {
		return o.NextAttemptAt
	}
	last := o.SubmittedAt
	if o.Production.HeardAt.After(last) {
		last = o.Production.HeardAt
	}
	return last.Add(r.Silence)
}

// sift returns the operations that are the production of the order, and whether
// there are others that might be.
func sift(o *issuance.Order, operations []issuance.Operation) ([]issuance.Operation, bool) {
	var ours []issuance.Operation
	unclear := false
	for _, op := range operations {
		named := op.IssuerRequestID == o.OrderID
		nameless := op.IssuerRequestID == ""
		known := nameless && op.OperationID != "" && op.OperationID == o.OperationID
		here := op.CardID == "" || op.CardID == o.CardID
		produce := op.Operation == issuance.OperationProduce
		// What says nothing of its kind, or is of a kind we do not know but has a
		// production status, may be a production as well.
		perhaps := produce || op.Operation == "" || op.Production != ""
		switch {
		case produce && here && (named || known):
			ours = append(ours, op)
		case named, perhaps && nameless:
			unclear = true
		}
	}
	return ours, unclear
}

// judgeSilent says that D1 does not know an order only when nothing in its answer
// could be about it.
func judgeSilent(a reply, ours []issuance.Operation, unclear bool) verdict {
	v := verdict{hear: true, operations: a.operations} // those of other orders of the card are news as well
	switch {
	case len(ours) > 0:
		v.kind = heard
	case a.err == nil && !unclear:
		v.kind = missing
	default:
		v.kind = silent
	}
	return v
}

// notFound decides about an order that D1 says it does not have. It has to say
// so more than once in a row, because its record may lag behind what it
// accepted, and most of all when it was in trouble a moment ago.
func (r *Runner) notFound(o issuance.Order, now time.Time) verdict {
	switch {
	case o.NotFound+1 < r.NotFoundAsks:
		return decided(o, later, issuance.Outcome{To: issuance.Unknown, NotFound: o.NotFound + 1,
			Reason: "D1 does not have it yet", NextAttemptAt: now.Add(r.Settle)})
	case o.Attempts < r.MaxAttempts:
		return decided(o, resend, issuance.Outcome{To: issuance.Ready,
			Reason: "D1 does not have it", NextAttemptAt: now})
	default:
		return decided(o, held, issuance.Outcome{To: issuance.Held, Code: issuance.OutcomeUnclear,
			Reason: "D1 does not have it, and it was sent as often as allowed"})
	}
}

func (r *Runner) unclear(o issuance.Order, now time.Time, reason string) verdict {
	if o.Asks+1 >= r.UnclearAsks {
		return decided(o, held, issuance.Outcome{To: issuance.Held, Code: issuance.OutcomeUnclear, Reason: reason})
	}
	return decided(o, later, issuance.Outcome{To: issuance.Unknown, Reason: reason,
		NextAttemptAt: now.Add(r.Settle << min(o.Asks, 6))})
}

func decided(o issuance.Order, k kind, out issuance.Outcome) verdict {
	out.Ref, out.Attempt = o.Ref, o.Attempts
	return verdict{kind: k, decide: true, outcome: out}
}

func (s *Summary) count(v verdict) {
	switch v.kind {
	case unanswered:
	case found:
		s.Found++
	case resend:
		s.Resend++
	case held:
		s.Held++
	case later:
		s.Later++
	case heard:
		s.Heard++
	case silent:
		s.Silent++
	case missing:
		s.Silent++
		s.Missing++
	}
}
