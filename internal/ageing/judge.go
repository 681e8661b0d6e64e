package ageing

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"cardbatch/internal/issuance"
)

// Limits are what a product's orders may take before a person is told. Days
// are working days, and zero is a limit like any other.
type Limits struct {
	SilentAfterDays  int           // whole days without news
	HoldDays         int           // whole days of a pause of production
	OverdueGraceDays int           // whole days beyond the due date
	UnresolvedAfter  time.Duration // since an order's outcome is unknown
}

// Rules are the limits of an issuer and where its days come from.
type Rules struct {
	Zone     *time.Location // of the personalization center
	Calendar Calendar       // its days off; nil means none
	Products map[string]Limits
	Default  Limits // of products that are not in Products (any more)
	// EndedFor is how long orders that have ended are listed, and words that
	// were not heard again.
	EndedFor time.Duration
	// UnmatchedAfter is how long news may wait for its order.
	UnmatchedAfter time.Duration
}

func (r *Rules) limits(product string) Limits {
	if l, ok := r.Products[product]; ok {
		return l
	}
	return r.Default
}

// Finding says why something needs a person, and since when.
type Finding struct {
	Kind  Kind
	Since time.Time // an instant; of an overdue order, the due date's begin at the center
	Age   int       // working days
	Code  issuance.Code
	Text  string // for people
	Times int64  // of a word: how often it was heard
}

// Judge judges as of one moment. It is not safe for concurrent use.
type Judge struct {
	rules *Rules
	now   time.Time
	days  *days
}

// At returns a judge for a moment.
func (r *Rules) At(now time.Time) *Judge {
	return &Judge{rules: r, now: now, days: newDays(r.Zone, r.Calendar, now)}
}

// Filter bounds which orders of an issuer can come to a finding at all.
func (j *Judge) Filter(issuerID string) issuance.SuspectFilter {
	quiet := j.rules.Default.SilentAfterDays
	for _, l := range j.rules.Products {
		quiet = min(quiet, l.SilentAfterDays)
	}
	return issuance.SuspectFilter{
		IssuerID: issuerID,
		// Working days are days, and no two clocks are more than a day apart.
		QuietSince: j.now.AddDate(0, 0, 1-quiet),
		DueBefore:  j.days.today.AddDate(0, 0, 2).Format(time.DateOnly),
		EndedAfter: j.now.Add(-j.rules.EndedFor),
	}
}

// Order returns the worst that there is to say of an order; false when it needs nobody.
func (j *Judge) Order(s *issuance.Suspect) (Finding, bool) {
	for _, look := range []func(*issuance.Suspect) (Finding, bool){j.doubted, j.stopped, j.late} {
		f, ok := look(s)
		if !ok {
			continue
		}
		f.Age = j.days.since(f.Since)
		if f.Kind == Overdue { // a date, which no zone may move
			due, _ := j.days.due(s.Production.DueDate)
			f.Age = j.days.after(due)
		}
		return f, true
	}
	return Finding{}, false
}

// doubted finds orders of which we cannot be sure how many cards they make.
func (j *Judge) doubted(s *issuance.Suspect) (Finding, bool) {
	at := first(s.DoubtAt, s.StateAt)
	switch {
	case len(s.OtherOperations) > 0 && (!s.Final() || j.recent(at)):
		return Finding{Kind: TakenTwice, Since: at, Code: issuance.SecondOperation,
			Text: "D1 produces it under the operations " + strings.Join(append([]string{s.OperationID}, s.OtherOperations...), ", ")}, true
	case s.State == issuance.Submitted && s.NotFound > 0 && !s.Final():
		return Finding{Kind: Missing, Since: at, Code: issuance.MissingAtD1,
			Text: fmt.Sprintf("D1 had accepted it and does not know it; asked in vain %d times", s.NotFound)}, true
	case s.State == issuance.Unknown && j.now.Sub(s.StateAt) > j.rules.limits(s.ProductID).UnresolvedAfter:
		return Finding{Kind: Unresolved, Since: s.StateAt, Code: s.Code,
			Text: fmt.Sprintf("%s; D1 was asked %d times", cmp.Or(s.Reason, "nobody knows whether it arrived"), s.Asks)}, true
	}
	return Finding{}, false
}

// stopped finds orders that nothing happens to unless somebody acts.
func (j *Judge) stopped(s *issuance.Suspect) (Finding, bool) {
	p := &s.Production
	switch {
	case s.State == issuance.Submitted && p.Phase() == issuance.Failed && j.recent(learnt(s)):
		return Finding{Kind: ProductionFailed, Since: began(s), Code: cmp.Or(s.Code, issuance.Code(p.Status)),
			Text: cmp.Or(p.Reason, noReason)}, true
	case s.State == issuance.Refused && j.recent(s.StateAt):
		return Finding{Kind: Refused, Since: s.StateAt, Code: s.Code, Text: cmp.Or(s.Reason, noReason)}, true
	case s.State == issuance.Held:
		return Finding{Kind: Held, Since: s.StateAt, Code: s.Code, Text: cmp.Or(s.Reason, "a person must decide")}, true
	case s.ChangeFailed != "" && j.recent(s.ChangeFailedAt):
		return Finding{Kind: ChangeFailed, Since: s.ChangeFailedAt, Code: s.Code, Text: s.ChangeFailed}, true
	}
	return Finding{}, false
}

const noReason = "D1 gives no reason"

// late finds orders that D1 works on and that take too long, and cards that came back.
func (j *Judge) late(s *issuance.Suspect) (Finding, bool) {
	if s.State != issuance.Submitted {
		return Finding{}, false
	}
	p, limits := &s.Production, j.rules.limits(s.ProductID)
	due, dated := j.days.due(p.DueDate)
	switch {
	case s.Final() && p.Status == issuance.CardReturned && p.Phase() == issuance.Shipped && j.recent(learnt(s)):
		return Finding{Kind: Returned, Since: began(s), Code: s.Code, Text: cmp.Or(p.Reason, "the card came back")}, true
	case s.Final():
		return Finding{}, false
	case dated && j.days.after(due) > limits.OverdueGraceDays:
		return Finding{Kind: Overdue, Since: j.days.begin(due), Code: s.Code, Text: "D1 estimated that it ships on " + p.DueDate}, true
	case p.Phase() == issuance.OnHold && j.days.since(began(s)) > limits.HoldDays:
		return Finding{Kind: OnHold, Since: began(s), Code: s.Code, Text: cmp.Or(p.Reason, noReason)}, true
	case p.Phase() != issuance.OnHold && j.days.since(lastNews(s)) > limits.SilentAfterDays: // a pause has its own limit
		text := "D1 has it and has said nothing of its production"
		if p.Status != "" {
			text = "the last news is " + string(p.Status)
		}
		return Finding{Kind: Silent, Since: lastNews(s), Code: s.Code, Text: text}, true
	}
	return Finding{}, false
}

// recent reports whether what ended then is still to be listed.
func (j *Judge) recent(at time.Time) bool { return j.now.Sub(at) <= j.rules.EndedFor }

// first returns the first of times that is not zero.
func first(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// learnt is when we heard of an order's production status.
func learnt(s *issuance.Suspect) time.Time {
	return first(s.StatusAt, s.Production.HeardAt, s.StateAt)
}

// began is when D1 says that it took that status, which cannot be after we heard it.
func began(s *issuance.Suspect) time.Time {
	at, heard := s.Production.At, learnt(s)
	if at.IsZero() || at.After(heard) {
		return heard
	}
	return at
}

func lastNews(s *issuance.Suspect) time.Time { return first(s.NewsAt, s.SubmittedAt, s.StateAt) }

// Batch says whether a file waits for a person.
func (j *Judge) Batch(b *issuance.Batch) (Finding, bool) {
	f := Finding{Kind: FileHeld, Code: b.Code, Text: b.Reason}
	switch {
	case b.State == issuance.BatchHeld:
		f.Since = first(b.DecidedAt, b.ReceivedAt)
	case b.State == issuance.BatchLoading && b.SetAside:
		f.Since = first(b.TroubledAt, b.ReceivedAt)
	default:
		return Finding{}, false
	}
	f.Age = j.days.since(f.Since)
	return f, true
}

// Parked says what is wrong with news that belongs to no order.
func (j *Judge) Parked(p *issuance.Parked) (Finding, bool) {
	if j.now.Sub(p.ParkedAt) <= j.rules.UnmatchedAfter {
		return Finding{}, false
	}
	return Finding{Kind: Unmatched, Since: p.ParkedAt, Age: j.days.since(p.ParkedAt),
		Text: "D1 reports on an order that we do not have"}, true
}

// Word says that D1 uses a word that has no meaning for us.
func (j *Judge) Word(w *issuance.StrangeWord) (Finding, bool) {
	if !j.recent(w.LastAt) {
		return Finding{}, false
	}
	return Finding{Kind: UnknownWord, Since: w.FirstAt, Age: j.days.since(w.FirstAt), Code: issuance.Code(w.Word), Times: w.Times,
		Text: fmt.Sprintf("D1 says it as %s, the last time on %s", w.Kind, w.LastAt.UTC().Format(time.RFC3339))}, true
}
