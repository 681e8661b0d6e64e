package ageing

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"cardbatch/internal/issuance"
)

// Source is where everything that may need a person is found.
type Source interface {
	// Suspects streams the orders that may need a person: all that do, others
	// as well, and some of them more than once.
	Suspects(ctx context.Context, f issuance.SuspectFilter) iter.Seq2[issuance.Suspect, error]
	// SuspectsByRef returns orders, in the order in which they are asked for.
	SuspectsByRef(ctx context.Context, refs []issuance.Ref) ([]issuance.Suspect, error)
	// Batches returns batches in order of arrival.
	Batches(ctx context.Context, f issuance.BatchFilter) ([]issuance.Batch, error)
	// ParkedOperations streams news that has waited for its order since before
	// a time, the oldest first.
	ParkedOperations(ctx context.Context, issuerID string, before time.Time) iter.Seq2[issuance.Parked, error]
	// StrangeWords returns the words of D1's that have no meaning for us.
	StrangeWords(ctx context.Context, issuerID string) ([]issuance.StrangeWord, error)
}

// Item is one thing that needs a person. Of Order, Batch and Parked at most one
// is set, valid until the next item; none of a word.
type Item struct {
	Finding
	Order  *issuance.Suspect
	Batch  *issuance.Batch
	Parked *issuance.Parked
}

// List streams everything of an issuer that needs a person, the worst kind
// first, within a kind the oldest. Each order comes once. One that changes
// while the list is read is told as it is then, or left out when it is well
// again; tomorrow's list has the rest.
func List(ctx context.Context, from Source, rules *Rules, issuerID string, now time.Time) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		l := list{from: from, judge: rules.At(now), issuer: issuerID}
		if err := l.collect(ctx); err != nil {
			yield(Item{}, err)
			return
		}
		for _, kind := range Kinds() {
			for item, err := range l.of(ctx, kind) {
				if !yield(item, err) || err != nil {
					return
				}
			}
		}
	}
}

// Counts returns how many things of each kind need a person, every kind with a count.
func Counts(ctx context.Context, from Source, rules *Rules, issuerID string, now time.Time) (map[Kind]int64, error) {
	l := list{from: from, judge: rules.At(now), issuer: issuerID}
	counts := map[Kind]int64{}
	for _, kind := range Kinds() {
		counts[kind] = 0
	}
	if err := l.collect(ctx); err != nil {
		return nil, err
	}
	for _, k := range l.keys {
		counts[Kinds()[k.rank]]++
	}
	for _, kind := range []Kind{FileHeld, Unmatched, UnknownWord} {
		for _, err := range l.of(ctx, kind) {
			if err != nil {
				return nil, err
			}
			counts[kind]++
		}
	}
	return counts, nil
}

// key is all that is kept of an order that needs a person until it is told.
type key struct {
	since int64
	ref   issuance.Ref
	rank  uint8
}

type list struct {
	from   Source
	judge  *Judge
	issuer string
	keys   []key // of orders, sorted
}

func (l *list) collect(ctx context.Context) error {
	for s, err := range l.from.Suspects(ctx, l.judge.Filter(l.issuer)) {
		if err != nil {
			return fmt.Errorf("look for orders that need a person: %w", err)
		}
		if f, ok := l.judge.Order(&s); ok {
			l.keys = append(l.keys, key{f.Since.UnixMicro(), s.Ref, uint8(f.Kind.rank())})
		}
	}
	// One that changed while we read may be there twice, in two kinds.
	slices.SortFunc(l.keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.ref, b.ref), cmp.Compare(a.rank, b.rank)) })
	l.keys = slices.CompactFunc(l.keys, func(a, b key) bool { return a.ref == b.ref })
	slices.SortFunc(l.keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.since, b.since), cmp.Compare(a.ref, b.ref))
	})
	return nil
}

func (l *list) of(ctx context.Context, kind Kind) iter.Seq2[Item, error] {
	switch kind {
	case FileHeld:
		return l.files(ctx)
	case Unmatched:
		return l.parked(ctx)
	case UnknownWord:
		return l.words(ctx)
	default:
		return l.orders(ctx, kind)
	}
}

// slice is how many orders are read at a time.
const slice = 500

func (l *list) orders(ctx context.Context, kind Kind) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		of := uint8(kind.rank())
		from, _ := slices.BinarySearchFunc(l.keys, of, func(k key, rank uint8) int { return cmp.Compare(k.rank, rank) })
		to, _ := slices.BinarySearchFunc(l.keys, of+1, func(k key, rank uint8) int { return cmp.Compare(k.rank, rank) })
		for keys := range slices.Chunk(l.keys[from:to], slice) {
			refs := make([]issuance.Ref, len(keys))
			for i, k := range keys {
				refs[i] = k.ref
			}
			found, err := l.from.SuspectsByRef(ctx, refs)
			if err != nil {
				yield(Item{}, fmt.Errorf("read orders that need a person: %w", err))
				return
			}
			for i := range found {
				if f, ok := l.judge.Order(&found[i]); ok && !yield(Item{Finding: f, Order: &found[i]}, nil) {
					return
				}
			}
		}
	}
}

func (l *list) files(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		waiting, err := l.from.Batches(ctx, issuance.BatchFilter{IssuerID: l.issuer,
			States: []issuance.BatchState{issuance.BatchHeld, issuance.BatchLoading}})
		if err != nil {
			yield(Item{}, fmt.Errorf("look for files that wait: %w", err))
			return
		}
		var items []Item
		for i := range waiting {
			if f, ok := l.judge.Batch(&waiting[i]); ok {
				items = append(items, Item{Finding: f, Batch: &waiting[i]})
			}
		}
		tell(items, yield)
	}
}

// tell yields a few items, the oldest first.
func tell(items []Item, yield func(Item, error) bool) {
	slices.SortStableFunc(items, func(a, b Item) int { return a.Since.Compare(b.Since) })
	for _, item := range items {
		if !yield(item, nil) {
			return
		}
	}
}

func (l *list) parked(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for p, err := range l.from.ParkedOperations(ctx, l.issuer, l.judge.now.Add(-l.judge.rules.UnmatchedAfter)) {
			if err != nil {
				yield(Item{}, err)
				return
			}
			if f, ok := l.judge.Parked(&p); ok && !yield(Item{Finding: f, Parked: &p}, nil) {
				return
			}
		}
	}
}

func (l *list) words(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		words, err := l.from.StrangeWords(ctx, l.issuer)
		if err != nil {
			yield(Item{}, err)
			return
		}
		var items []Item
		for i := range words {
			if f, ok := l.judge.Word(&words[i]); ok {
				items = append(items, Item{Finding: f})
			}
		}
		tell(items, yield)
	}
}
