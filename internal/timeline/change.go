package timeline

import (
	"fmt"

	"cardbatch/internal/issuance"
)

// Asked is a change of the order that the bank has asked for.
type Asked struct {
	issuance.Change
	Batch  issuance.Batch // it came with
	Events []issuance.Event
}

// tell adds what became of it to a story.
func (a *Asked) tell(s *Story) {
	s.add(Entry{At: a.Batch.ReceivedAt, Term: string(a.Type), Source: Us,
		Text: fmt.Sprintf("the bank asked to %s: %s, line %d", wish(a.Type), a.Batch.FileName, a.Line)})
	for _, e := range a.Events {
		s.add(Entry{At: e.At, Term: e.To, Source: source(e), Text: fmt.Sprintf("to %s: %s", wish(a.Type), answer(e)) + because(e)})
	}
}

func wish(t issuance.ChangeType) string {
	switch t {
	case issuance.Cancel:
		return "cancel it"
	case issuance.Accelerate:
		return "make it faster"
	case issuance.Redirect:
		return "send it to another address"
	case issuance.AccelerateAndRedirect:
		return "make it faster and send it to another address"
	default:
		return string(t)
	}
}

func answer(e issuance.Event) string {
	if e.From == string(issuance.ChangeHeld) && e.Operator != "" {
		switch issuance.ChangeState(e.To) { //nolint:exhaustive // the others are D1's to say
		case issuance.ChangeWaiting:
			return "released to be sent"
		case issuance.ChangeUnknown, issuance.ChangeSubmitted:
			return "released, D1 will be asked"
		}
	}
	switch issuance.ChangeState(e.To) { //nolint:exhaustive // where a row begins is no event
	case issuance.ChangeSubmitting:
		return "sent to D1"
	case issuance.ChangeSubmitted:
		return "D1 has asked the personalization center"
	case issuance.ChangeUnknown:
		return "no clear answer from D1, which will be asked"
	case issuance.ChangeWaiting:
		return "will be sent to D1 again"
	case issuance.ChangeHeld:
		return "waits for a person's decision"
	case issuance.ChangeApplied, issuance.ChangeDone:
		return "done"
	case issuance.ChangeTooLate:
		return "too late"
	case issuance.ChangeRefused:
		if e.Code == issuance.Withdrawn {
			return "withdrawn"
		}
		return "refused"
	case issuance.ChangeUnmatched:
		return "given up"
	}
	return "from " + e.From + " to " + e.To
}
