package ageing

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

// The tests are made on Wednesday, 4 March 2026, early in the morning.
const morning = "2026-03-04T06:10:00Z"

func testRules() *Rules {
	return &Rules{
		Zone: time.UTC, Calendar: easter(), EndedFor: 10 * 24 * time.Hour, UnmatchedAfter: 24 * time.Hour,
		Default: Limits{SilentAfterDays: 3, HoldDays: 1, OverdueGraceDays: 0, UnresolvedAfter: 4 * time.Hour},
		Products: map[string]Limits{"SLOW": {SilentAfterDays: 10, HoldDays: 5, OverdueGraceDays: 2, UnresolvedAfter: 24 * time.Hour},
			"PATIENT": {SilentAfterDays: 1, HoldDays: 30}},
	}
}

// before returns the moment some days and hours before the morning.
func before(tb testing.TB, days int, hours ...int) time.Time {
	tb.Helper()
	at := moment(tb, morning).AddDate(0, 0, -days)
	for _, h := range hours {
		at = at.Add(-time.Duration(h) * time.Hour)
	}
	return at
}

// in makes an order that came into a state some days ago and was not heard of since.
func in(tb testing.TB, state issuance.State, days int) *issuance.Suspect {
	tb.Helper()
	s := &issuance.Suspect{Order: issuance.Order{OrderID: "ORD-1", ProductID: "FAST", State: state, OperationID: "op-1"}}
	s.StateAt = before(tb, days)
	s.NewsAt = s.StateAt
	return s
}

// at makes an order of which D1 said some days ago where production stands.
func at(tb testing.TB, status issuance.ProductionStatus, days int) *issuance.Suspect {
	tb.Helper()
	s := in(tb, issuance.Submitted, days+1)
	s.SubmittedAt = s.StateAt
	s.Production = issuance.Production{Status: status, At: before(tb, days, 1), HeardAt: before(tb, days)}
	s.StatusAt, s.NewsAt = s.Production.HeardAt, s.Production.HeardAt
	return s
}

func with(s *issuance.Suspect, change func(*issuance.Suspect)) *issuance.Suspect {
	change(s)
	return s
}

func due(text string) func(*issuance.Suspect) {
	return func(s *issuance.Suspect) { s.Production.DueDate = text }
}

func slow(s *issuance.Suspect) { s.ProductID = "SLOW" }

func TestOrders(t *testing.T) {
	t.Parallel()
	type suspect = issuance.Suspect
	for name, c := range map[string]struct {
		order *suspect
		kind  Kind // empty: needs nobody
		age   int
	}{
		"ready":     {in(t, issuance.Ready, 9), "", 0},
		"rejected":  {in(t, issuance.Rejected, 9), "", 0},
		"cancelled": {in(t, issuance.Cancelled, 9), "", 0},
		"sending":   {in(t, issuance.Submitting, 0), "", 0},

		"held a moment ago":  {in(t, issuance.Held, 0), Held, 0},
		"held since Friday":  {in(t, issuance.Held, 5), Held, 3},
		"held for ever":      {in(t, issuance.Held, 400), Held, 286},
		"refused":            {in(t, issuance.Refused, 1), Refused, 1},
		"refused, at last":   {in(t, issuance.Refused, 10), Refused, 8},
		"refused, too old":   {with(in(t, issuance.Refused, 10), func(s *suspect) { s.StateAt = s.StateAt.Add(-time.Second) }), "", 0},
		"unknown for 4 h":    {with(in(t, issuance.Unknown, 0), func(s *suspect) { s.StateAt = before(t, 0, 4) }), "", 0},
		"unknown for longer": {with(in(t, issuance.Unknown, 0), func(s *suspect) { s.StateAt = before(t, 0, 4).Add(-time.Second) }), Unresolved, 0},
		"unknown for a day":  {in(t, issuance.Unknown, 1), Unresolved, 1},
		"unknown, slow":      {with(in(t, issuance.Unknown, 1), slow), "", 0},

		"said nothing for 3 days":  {in(t, issuance.Submitted, 5), "", 0}, // Friday: Monday, Tuesday and Wednesday
		"said nothing for 4 days":  {in(t, issuance.Submitted, 6), Silent, 4},
		"quiet for 3 days":         {at(t, issuance.CardProdReady, 5), "", 0},
		"quiet over a weekend":     {at(t, issuance.CardProdReady, 6), Silent, 4},
		"quiet, slow":              {with(at(t, issuance.CardProdReady, 6), slow), "", 0},
		"asked, and nothing new":   {with(at(t, issuance.CardProdReady, 6), func(s *suspect) { s.Production.HeardAt = before(t, 0) }), Silent, 4},
		"quiet, in a word unknown": {at(t, "CARD_PROD_POLISHED", 6), Silent, 4},

		"due today":                  {with(at(t, issuance.CardProdOngoing, 1), due("2026-03-04")), "", 0},
		"due yesterday":              {with(at(t, issuance.CardProdOngoing, 1), due("2026-03-03")), Overdue, 1},
		"due yesterday, with a time": {with(at(t, issuance.CardProdOngoing, 1), due("2026-03-03T23:59:59.999Z")), Overdue, 1},
		"due today, in UTC":          {with(at(t, issuance.CardProdOngoing, 1), due("2026-03-04T00:30:00+01:00")), Overdue, 1},
		"due on Sunday":              {with(at(t, issuance.CardProdOngoing, 1), due("2026-03-01")), Overdue, 2}, // so on Monday
		"within the grace":           {with(with(at(t, issuance.CardProdOngoing, 1), due("2026-03-02")), slow), "", 0},
		"beyond the grace":           {with(with(at(t, issuance.CardProdOngoing, 1), due("2026-02-27")), slow), Overdue, 3},
		"due, we cannot say when":    {with(at(t, issuance.CardProdOngoing, 1), due("soon")), "", 0},
		"due, and has left":          {with(at(t, issuance.CardShipped, 1), due("2026-03-02")), "", 0},
		"due, made and not shipped":  {with(at(t, issuance.CardProdDone, 1), due("2026-03-02")), Overdue, 2},
		"due, and that is all":       {with(at(t, issuance.CardProdDone, 9), func(s *suspect) { s.Production.NoShipment, s.Production.DueDate = true, "2026-03-02" }), "", 0},
		"due later, but silent":      {with(at(t, issuance.CardProdReady, 6), due("2026-03-20")), Silent, 4},

		"on hold since yesterday":   {at(t, issuance.CardProdOnHold, 1), "", 0},
		"on hold for longer":        {at(t, issuance.CardProdOnHold, 2), OnHold, 2},
		"on hold, silent for less":  {with(at(t, issuance.CardProdOnHold, 8), func(s *suspect) { s.ProductID = "PATIENT" }), "", 0},
		"on hold, slow":             {with(at(t, issuance.CardProdOnHold, 2), slow), "", 0},
		"on hold, by our clock":     {with(at(t, issuance.CardProdOnHold, 2), func(s *suspect) { s.Production.At = time.Time{} }), OnHold, 2},
		"on hold, D1 from tomorrow": {with(at(t, issuance.CardProdOnHold, 2), func(s *suspect) { s.Production.At = before(t, -1) }), OnHold, 2},
		"on hold and overdue":       {with(at(t, issuance.CardProdOnHold, 2), due("2026-03-02")), Overdue, 2},

		"data exception":                 {at(t, issuance.DataException, 1), ProductionFailed, 1},
		"exception of a card":            {at(t, issuance.CardProdException, 1), ProductionFailed, 1},
		"failed in whatever step":        {with(at(t, issuance.CardProdReady, 1), func(s *suspect) { s.Production.Failed = true }), ProductionFailed, 1},
		"failed long ago":                {at(t, issuance.DataException, 11), "", 0},
		"failed long ago, heard of late": {with(at(t, issuance.DataException, 2), func(s *suspect) { s.Production.At = before(t, 30) }), ProductionFailed, 22},
		"canceled":                       {at(t, issuance.CardProdCanceled, 1), "", 0},
		"returned":                       {at(t, issuance.CardReturned, 2), Returned, 2},
		"returned long ago":              {at(t, issuance.CardReturned, 11), "", 0},

		"taken twice": {with(at(t, issuance.CardProdReady, 1), func(s *suspect) {
			s.OtherOperations, s.DoubtAt = []string{"op-2"}, before(t, 1)
		}), TakenTwice, 1},
		"taken twice and failed": {with(at(t, issuance.DataException, 1), func(s *suspect) {
			s.OtherOperations, s.DoubtAt = []string{"op-2"}, before(t, 1)
		}), TakenTwice, 1},
		"taken twice, long shipped": {with(at(t, issuance.CardShipped, 20), func(s *suspect) {
			s.OtherOperations, s.DoubtAt = []string{"op-2"}, before(t, 20)
		}), "", 0},
		"missing": {with(at(t, issuance.CardProdReady, 1), func(s *suspect) { s.NotFound, s.DoubtAt = 2, before(t, 1) }), Missing, 1},
		"missing, and has left": {with(at(t, issuance.CardShipped, 1), func(s *suspect) {
			s.NotFound, s.DoubtAt = 2, before(t, 1)
		}), "", 0},
		"not found, not sent yet": {with(in(t, issuance.Unknown, 0), func(s *suspect) { s.NotFound = 2 }), "", 0},
		"a change failed": {with(at(t, issuance.CardProdReady, 0), func(s *suspect) {
			s.ChangeFailed, s.ChangeFailedAt = "CANCEL came too late", before(t, 1)
		}), ChangeFailed, 1},
		"a change failed, overdue": {with(with(at(t, issuance.CardProdReady, 0), due("2026-03-02")), func(s *suspect) {
			s.ChangeFailed, s.ChangeFailedAt = "CANCEL came too late", before(t, 1)
		}), ChangeFailed, 1},
		"a change failed long ago": {with(at(t, issuance.CardShipped, 20), func(s *suspect) {
			s.ChangeFailed, s.ChangeFailedAt = "CANCEL came too late", before(t, 11)
		}), "", 0},
	} {
		f, found := testRules().At(moment(t, morning)).Order(c.order)
		if found != (c.kind != "") || f.Kind != c.kind || f.Age != c.age {
			t.Errorf("%s: %q of %d days (%+v), want %q of %d", name, f.Kind, f.Age, f, c.kind, c.age)
		}
		if found && (f.Text == "" || f.Kind.Remedy() == "" || f.Since.IsZero()) {
			t.Errorf("%s does not say what is the matter: %+v", name, f)
		}
	}
}

func TestBatchesParkedAndWords(t *testing.T) {
	t.Parallel()
	j := testRules().At(moment(t, morning))
	for state, want := range map[issuance.BatchState]bool{issuance.BatchHeld: true, issuance.BatchLoading: false, issuance.BatchAccepted: false, issuance.BatchRefused: false} {
		if f, ok := j.Batch(&issuance.Batch{State: state, DecidedAt: before(t, 2)}); ok != want || ok && (f.Kind != FileHeld || f.Age != 2) {
			t.Errorf("%s file: %+v %v", state, f, ok)
		}
	}
	if f, ok := j.Batch(&issuance.Batch{State: issuance.BatchLoading, SetAside: true, TroubledAt: before(t, 1)}); !ok || f.Age != 1 {
		t.Errorf("file set aside: %+v %v", f, ok)
	}
	if _, ok := j.Parked(&issuance.Parked{ParkedAt: before(t, 1)}); ok {
		t.Error("news of exactly a day is listed")
	}
	if f, ok := j.Parked(&issuance.Parked{ParkedAt: before(t, 1, 1)}); !ok || f.Kind != Unmatched || f.Age != 1 {
		t.Errorf("news of longer ago: %+v %v", f, ok)
	}
	word := issuance.StrangeWord{Kind: issuance.WordStatus, Word: "POLISHED", Times: 3, FirstAt: before(t, 40), LastAt: before(t, 10)}
	if f, ok := j.Word(&word); !ok || f.Kind != UnknownWord || f.Code != "POLISHED" || f.Times != 3 {
		t.Errorf("word: %+v %v", f, ok)
	}
	word.LastAt = before(t, 10, 1)
	if _, ok := j.Word(&word); ok {
		t.Error("a word not heard for long is listed")
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for i, k := range Kinds() {
		if k.Remedy() == "" || k.rank() != i || slices.Index(Kinds(), k) != i {
			t.Errorf("%s: rank %d, remedy %q", k, k.rank(), k.Remedy())
		}
	}
	if Kind("new").rank() != len(Kinds()) || Kind("new").Remedy() != "" {
		t.Error("a kind that is none")
	}
}

// model says of each kind on its own whether it fits; the worst that fits is it.
func model(r *Rules, s *issuance.Suspect, now time.Time) Kind {
	days := func(at time.Time) int {
		n := 0
		for d := bare(at.In(r.Zone)).AddDate(0, 0, 1); !d.After(bare(now.In(r.Zone))); d = d.AddDate(0, 0, 1) {
			if !r.Calendar.Off(d) {
				n++
			}
		}
		return n
	}
	submitted := s.State == issuance.Submitted
	final := s.Final()
	running := submitted && !final
	l := r.limits(s.ProductID)
	young := func(at time.Time) bool { return !at.Add(r.EndedFor).Before(now) }
	dueDay, dueErr := time.Parse(time.DateOnly, s.Production.DueDate)
	for dueErr == nil && r.Calendar.Off(dueDay) {
		dueDay = dueDay.AddDate(0, 0, 1)
	}
	fits := map[Kind]bool{
		TakenTwice:       len(s.OtherOperations) > 0 && (!final || young(s.DoubtAt)),
		Missing:          running && s.NotFound > 0,
		Unresolved:       s.State == issuance.Unknown && now.After(s.StateAt.Add(l.UnresolvedAfter)),
		ProductionFailed: submitted && s.Disposition() == "failed" && young(s.StatusAt),
		Refused:          s.State == issuance.Refused && young(s.StateAt),
		Held:             s.State == issuance.Held,
		ChangeFailed:     s.ChangeFailed != "" && young(s.ChangeFailedAt),
		Overdue:          running && dueErr == nil && days(dueDay) > l.OverdueGraceDays,
		Returned:         s.Disposition() == "shipped" && s.Production.Status == issuance.CardReturned && young(s.StatusAt),
		OnHold:           s.Disposition() == "on_hold" && days(s.Production.At) > l.HoldDays,
		Silent:           running && s.Disposition() != "on_hold" && days(s.NewsAt) > l.SilentAfterDays,
	}
	for _, k := range Kinds() {
		if fits[k] {
			return k
		}
	}
	return ""
}

// anyOrder draws an order with a history that could be.
func anyOrder(rt *rapid.T, now time.Time) *issuance.Suspect {
	ago := func(name string, most time.Duration) time.Time {
		return now.Add(-time.Duration(rapid.Int64Range(0, int64(most)).Draw(rt, name))).Truncate(time.Microsecond) // as the store keeps times
	}
	const month = 30 * 24 * time.Hour
	s := &issuance.Suspect{Order: issuance.Order{
		OrderID: "ORD", ProductID: rapid.SampledFrom([]string{"FAST", "SLOW"}).Draw(rt, "product"),
		State: rapid.SampledFrom(issuance.States()).Draw(rt, "state"), OperationID: "op-1",
	}}
	s.StateAt = ago("state at", month)
	s.NewsAt = s.StateAt
	if rapid.Bool().Draw(rt, "change") {
		s.ChangeFailed, s.ChangeFailedAt = "too late", ago("change at", month)
	}
	if s.State != issuance.Submitted {
		return s
	}
	p := &s.Production
	p.Status = rapid.SampledFrom(append(issuance.ProductionStatuses(), "", "NEW")).Draw(rt, "status")
	p.NoShipment = rapid.Bool().Draw(rt, "no shipment")
	p.Failed = p.Status != "" && rapid.IntRange(0, 5).Draw(rt, "failed") == 0
	if p.Status != "" {
		s.StatusAt = ago("status at", now.Sub(s.StateAt)+1)
		s.NewsAt, p.At, p.HeardAt = s.StatusAt, s.StatusAt, s.StatusAt
	}
	if rapid.Bool().Draw(rt, "due") {
		p.DueDate = now.AddDate(0, 0, rapid.IntRange(-12, 4).Draw(rt, "due in")).Format(time.DateOnly)
	}
	if rapid.IntRange(0, 3).Draw(rt, "doubt") == 0 {
		s.DoubtAt = ago("doubt at", month)
		if s.NotFound = rapid.IntRange(0, 1).Draw(rt, "not found"); s.NotFound == 0 {
			s.OtherOperations = []string{"op-2"}
		}
	}
	return s
}

// Every order is in at most one kind, the one a simple model finds; and no order
// that has one is outside the filter by which the store looks for suspects.
func TestOrdersAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := testRules()
		now := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, int64(14*24*time.Hour)).Draw(rt, "now")))
		j := r.At(now)
		s := anyOrder(rt, now)
		f, found := j.Order(s)
		want := model(r, s, now)
		if f.Kind != want || found != (want != "") {
			rt.Fatalf("%s is %q, by the model %q\n%+v", s.Disposition(), f.Kind, want, s)
		}
		if again, _ := j.Order(s); again != f {
			rt.Fatalf("judged again: %+v, was %+v", again, f)
		}
		filter := j.Filter("bank")
		switch {
		case f.Kind == Silent && s.NewsAt.After(filter.QuietSince):
			rt.Fatalf("silent since %v, the filter ends at %v", s.NewsAt, filter.QuietSince)
		case f.Kind == Overdue && s.Production.DueDate >= filter.DueBefore:
			rt.Fatalf("due on %s, the filter ends at %s", s.Production.DueDate, filter.DueBefore)
		case (f.Kind == Refused || f.Kind == ProductionFailed || f.Kind == Returned) && first(s.StatusAt, s.StateAt).Before(filter.EndedAfter):
			rt.Fatalf("%s is listed though it ended before %v", f.Kind, filter.EndedAfter)
		}
	})
}
