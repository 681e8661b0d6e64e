package submit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
)

// judge says what an answer means for the order and what it tells about D1.
func (r *Runner) judge(c issuance.Claim, operationID string, err error, now time.Time) (issuance.Outcome, answer) {
	out := issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, CorrelationID: c.CorrelationID}
	if err == nil {
		r.reached(c.CardID)
		out.To, out.OperationID = issuance.Submitted, operationID
		return out, answer{kind: accepted}
	}
	e := retry.Of(err)
	out.Code, out.Reason = issuance.Code(e.Code), e.Reason
	if e.Class.Sent() && saysDuplicate(e) {
		// An earlier attempt got through after all. Only D1's own record tells
		// what became of it.
		out.To, out.NextAttemptAt = issuance.Unknown, now
		out.Reason = cmp.Or(out.Reason, "D1 says that it has the order already")
		if c.Attempt <= 1 { // there is no earlier attempt: something else is wrong
			return out, answer{kind: refused, reason: likeness(c, e)}
		}
		return out, answer{kind: accepted}
	}
	switch e.Class {
	case retry.Refused:
		out.To = issuance.Refused
		out.Code = cmp.Or(out.Code, issuance.Code(status(e)))
		return out, answer{kind: refused, reason: likeness(c, e)}
	case retry.NotDone:
		out.To = issuance.Ready
		out.Reason = cmp.Or(out.Reason, "not delivered: "+status(e))
		out.NextAttemptAt = now.Add(max(e.After, r.RetryWait))
	case retry.Stop:
		out.To = issuance.Ready
		out.Reason = cmp.Or(out.Reason, "the run stopped: "+status(e))
	default:
		out.To = issuance.Unknown
		out.Reason = cmp.Or(out.Reason, "outcome unknown: "+status(e))
		out.NextAttemptAt = now.Add(r.Settle)
	}
	told := tells(e)
	if told.kind == unclear {
		r.reached(c.CardID)
	}
	return out, told
}

// likeness is what refusals that are the same one have in common: D1's code, and
// of a field its name. Other texts, and parts of it, may speak of the one order.
func likeness(c issuance.Claim, e *retry.Error) string {
	code := cmp.Or(e.Code, status(e))
	if !strings.HasPrefix(code, "FIELD_") {
		return code
	}
	reason := e.Reason
	for _, own := range []string{c.OrderID, c.CardID} {
		if own != "" {
			reason = strings.ReplaceAll(reason, own, "...")
		}
	}
	return strings.TrimSpace(code + " " + reason)
}

// lost is the outcome of an order whose request cannot be opened.
func lost(c issuance.Claim) issuance.Outcome {
	return issuance.Outcome{Ref: c.Ref, Attempt: c.Attempt, CorrelationID: c.CorrelationID, To: issuance.Held,
		Code: issuance.PayloadLost, Reason: "the sealed request cannot be opened"}
}

// tells says what an error tells about D1, whatever it means for the order.
func tells(e *retry.Error) answer {
	switch {
	case e.Class == retry.Stop:
		return answer{kind: setUp, reason: strings.TrimSpace(status(e) + " " + e.Code)}
	case e.Status == 0 && errors.Is(e, context.Canceled):
		return answer{kind: givenUp}
	case e.Status == 0 && e.Class == retry.NotDone && !e.Unavailable: // a gateway that closes its connections in turn
		return answer{kind: givenUp}
	case e.Class == retry.NotDone && e.Unavailable:
		return answer{kind: unreachable}
	case e.Class == retry.NotDone:
		return answer{kind: throttled}
	default:
		return answer{kind: unclear, silent: e.Unavailable}
	}
}

const conflict = 409

// saysDuplicate reports whether D1 refuses because it has the order already.
// How it says so is not documented.
func saysDuplicate(e *retry.Error) bool {
	return e.Status == conflict || strings.Contains(strings.ToUpper(e.Code), "DUPLICATE")
}

func status(e *retry.Error) string {
	if e.Status == 0 {
		return "no answer"
	}
	return fmt.Sprintf("HTTP_%d", e.Status)
}
