package ageing

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
)

// shelf is a source in memory.
type shelf struct {
	orders  map[issuance.Ref]issuance.Suspect
	twice   bool // streams every order twice
	batches []issuance.Batch
	parked  []issuance.Parked
	words   []issuance.StrangeWord
	between func() // called before the orders are read again
	fail    string
}

var errShelf = errors.New("the shelf is gone")

func (s *shelf) failure(op string) error {
	if s.fail == op {
		return errShelf
	}
	return nil
}

func (s *shelf) Suspects(context.Context, issuance.SuspectFilter) iter.Seq2[issuance.Suspect, error] {
	return func(yield func(issuance.Suspect, error) bool) {
		if err := s.failure("Suspects"); err != nil {
			yield(issuance.Suspect{}, err)
			return
		}
		for _, o := range s.orders {
			if !yield(o, nil) || s.twice && !yield(o, nil) {
				return
			}
		}
	}
}

func (s *shelf) SuspectsByRef(_ context.Context, refs []issuance.Ref) (found []issuance.Suspect, err error) {
	if s.between != nil {
		s.between()
		s.between = nil
	}
	if len(refs) > slice {
		return nil, fmt.Errorf("%d at a time", len(refs))
	}
	for _, ref := range refs {
		found = append(found, s.orders[ref])
	}
	return found, s.failure("SuspectsByRef")
}

func (s *shelf) Batches(_ context.Context, f issuance.BatchFilter) ([]issuance.Batch, error) {
	return slices.DeleteFunc(slices.Clone(s.batches), func(b issuance.Batch) bool { return !slices.Contains(f.States, b.State) }), s.failure("Batches")
}

func (s *shelf) ParkedOperations(_ context.Context, _ string, before time.Time) iter.Seq2[issuance.Parked, error] {
	return func(yield func(issuance.Parked, error) bool) {
		for _, p := range s.parked {
			if p.ParkedAt.Before(before) && !yield(p, nil) {
				return
			}
		}
		if err := s.failure("ParkedOperations"); err != nil {
			yield(issuance.Parked{}, err)
		}
	}
}

func (s *shelf) StrangeWords(context.Context, string) ([]issuance.StrangeWord, error) {
	return s.words, s.failure("StrangeWords")
}

func (s *shelf) put(orders ...*issuance.Suspect) {
	for _, o := range orders {
		o.Ref = issuance.NewRef(1, int64(len(s.orders)+1))
		o.OrderID = fmt.Sprint(o.Ref.Row())
		s.orders[o.Ref] = *o
	}
}

// told writes a list as kind:order.
func told(tb testing.TB, s *shelf) []string {
	tb.Helper()
	var lines []string
	for item, err := range List(tb.Context(), s, testRules(), "bank", moment(tb, morning)) {
		if err != nil {
			tb.Fatal(err)
		}
		id := string(item.Code)
		switch {
		case item.Order != nil:
			id = item.Order.OrderID
		case item.Batch != nil:
			id = item.Batch.ID
		case item.Parked != nil:
			id = item.Parked.OperationID
		}
		lines = append(lines, string(item.Kind)+":"+id)
	}
	return lines
}

func fullShelf(tb testing.TB) *shelf {
	tb.Helper()
	s := &shelf{orders: map[issuance.Ref]issuance.Suspect{}, twice: true}
	s.put(in(tb, issuance.Refused, 1), in(tb, issuance.Ready, 9), in(tb, issuance.Refused, 3), at(tb, issuance.CardProdOnHold, 5),
		with(at(tb, issuance.CardProdReady, 0), func(o *issuance.Suspect) { o.OtherOperations, o.DoubtAt = []string{"op-2"}, before(tb, 0) }),
		in(tb, issuance.Refused, 1), at(tb, issuance.CardProdReady, 1))
	s.batches = []issuance.Batch{{ID: "young", State: issuance.BatchHeld, DecidedAt: before(tb, 1)}, {ID: "old", State: issuance.BatchHeld, DecidedAt: before(tb, 2)},
		{ID: "good", State: issuance.BatchAccepted}}
	s.parked = []issuance.Parked{{OperationID: "lost", ParkedAt: before(tb, 2)}, {OperationID: "fresh", ParkedAt: before(tb, 0, 1)}}
	s.words = []issuance.StrangeWord{{Kind: issuance.WordStatus, Word: "NEW", Times: 1, FirstAt: before(tb, 1), LastAt: before(tb, 1)},
		{Kind: issuance.WordCarrier, Word: "mule", Times: 2, FirstAt: before(tb, 2), LastAt: before(tb, 1)}}
	return s
}

func TestListIsSorted(t *testing.T) {
	t.Parallel()
	want := "taken_twice:5 refused:3 refused:1 refused:6 file_held:old file_held:young on_hold:4 unmatched:lost unknown_word:mule unknown_word:NEW"
	if got := strings.Join(told(t, fullShelf(t)), " "); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	if got := told(t, &shelf{}); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}

func TestListOfOrdersThatChangeMeanwhile(t *testing.T) {
	t.Parallel()
	s := fullShelf(t)
	s.between = func() {
		for ref, o := range s.orders {
			switch o.OrderID {
			case "1": // resubmitted
				o.State = issuance.Ready
			case "4": // and held on our side, by a miracle
				o.State = issuance.Held
			}
			s.orders[ref] = o
		}
	}
	want := "taken_twice:5 refused:3 refused:6 file_held:old file_held:young held:4 unmatched:lost unknown_word:mule unknown_word:NEW"
	if got := strings.Join(told(t, s), " "); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

func TestListStops(t *testing.T) {
	t.Parallel()
	for n := range 10 {
		got := 0
		for _, err := range List(t.Context(), fullShelf(t), testRules(), "bank", moment(t, morning)) {
			if got++; err != nil || got > n {
				break
			}
		}
		if got != n+1 {
			t.Errorf("%d items, want %d", got, n+1)
		}
	}
}

func TestListFails(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"Suspects", "SuspectsByRef", "Batches", "ParkedOperations", "StrangeWords"} {
		s := fullShelf(t)
		s.fail = op
		var last error
		for _, err := range List(t.Context(), s, testRules(), "bank", moment(t, morning)) {
			if last != nil {
				t.Errorf("%s: it went on after an error", op)
			}
			last = err
		}
		if !errors.Is(last, errShelf) {
			t.Errorf("%s: error %v", op, last)
		}
		if _, err := Counts(t.Context(), s, testRules(), "bank", moment(t, morning)); op != "SuspectsByRef" && !errors.Is(err, errShelf) {
			t.Errorf("%s, counted: error %v", op, err)
		}
	}
}

// Whatever there is, the list has every order once, under the kind it is judged
// to be, sorted, and the counts are those of the list.
func TestListOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := &shelf{orders: map[issuance.Ref]issuance.Suspect{}, twice: rapid.Bool().Draw(rt, "twice")}
		now := moment(t, morning)
		for range rapid.IntRange(0, 30).Draw(rt, "orders") {
			s.put(anyOrder(rt, now))
		}
		j := testRules().At(now)
		want := map[Kind]int64{}
		for _, o := range s.orders {
			if f, ok := j.Order(&o); ok {
				want[f.Kind]++
			}
		}
		got, seen := map[Kind]int64{}, map[string]bool{}
		var last Item
		for item, err := range List(t.Context(), s, testRules(), "bank", now) {
			if err != nil {
				rt.Fatal(err)
			}
			if seen[item.Order.OrderID] {
				rt.Fatalf("order %s is there twice", item.Order.OrderID)
			}
			seen[item.Order.OrderID] = true
			if last.Order != nil && (last.Kind.rank() > item.Kind.rank() || last.Kind == item.Kind && last.Since.After(item.Since)) {
				rt.Fatalf("%s of %v comes after %s of %v", item.Kind, item.Since, last.Kind, last.Since)
			}
			last = item
			got[item.Kind]++
		}
		counts, err := Counts(t.Context(), s, testRules(), "bank", now)
		if err != nil {
			rt.Fatal(err)
		}
		for _, k := range Kinds() {
			if got[k] != want[k] || counts[k] != want[k] {
				rt.Fatalf("%s: %d listed, %d counted, want %d", k, got[k], counts[k], want[k])
			}
		}
	})
}
