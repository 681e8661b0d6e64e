package submit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/track"
)

// What can happen to a batch besides the fates of a single order.
const (
	fateGarbled   fate = "D1 had it, and the answer names only some"
	fateUnclear   fate = "D1 had it, and the answer says nothing"
	fateTooLarge  fate = "too large"
	fateThrottled fate = "too many requests"
)

// batchD1 is a blindD1 that takes batches and never takes the bad orders.
type batchD1 struct {
	*blindD1
	perCard bool // else all or nothing
	most    int  // orders in a request
	bad     map[string]bool
}

// take produces what it is sent, and answers as if nothing went wrong.
func (d *batchD1) take(batch []Sending) (BatchReply, error) {
	refused := func(s Sending) bool { return d.bad[s.OrderID] }
	if !d.perCard && slices.ContainsFunc(batch, refused) {
		return BatchReply{}, &retry.Error{Class: retry.Refused, Status: 400, Code: "FIELD_INVALID_VALUE"}
	}
	reply := BatchReply{Results: make([]BatchResult, len(batch))}
	for i, s := range batch {
		if refused(s) {
			reply.Results[i].Err = &retry.Error{Class: retry.Refused, Status: 202, Code: "FIELD_INVALID_VALUE"}
			continue
		}
		d.produced[s.OrderID]++
		reply.Results[i].OperationID = "op-" + s.OrderID
	}
	return reply, nil
}

// sendBatch plays the next fate.
func (l *living) sendBatch(d *batchD1) SendBatchFunc {
	return func(_ context.Context, _ string, batch []Sending) (BatchReply, error) {
		d.mu.Lock()
		if l.dead() {
			d.mu.Unlock()
			<-d.end
			return BatchReply{}, errors.New("dead")
		}
		f := fateAccepted
		if len(d.plan) > 0 {
			f, d.plan = d.plan[0], d.plan[1:]
		}
		if len(batch) > d.most {
			f = fateTooLarge
		}
		var reply BatchReply
		var err error
		switch f {
		case fateNotSent, fateLostBefore, fateCrashBefore, fateTooLarge, fateThrottled:
		default:
			reply, err = d.take(batch)
		}
		switch f {
		case fateCrashBefore, fateCrashAfter:
			l.once.Do(func() { close(l.died) })
		case fateStoreDown:
			l.store.failNext(2)
		case fateNotified:
			for _, s := range batch {
				if d.produced[s.OrderID] > 0 {
					_ = l.store.notify(production(s.OrderID))
				}
			}
		case fateCutOff:
			l.cancel()
		}
		d.mu.Unlock()
		return batchAnswer(f, d, reply, err)
	}
}

// batchAnswer is what we hear.
func batchAnswer(f fate, d *batchD1, reply BatchReply, err error) (BatchReply, error) {
	unproven := &retry.Error{Class: retry.Unknown, Status: 202, Code: "NOT_IN_ANSWER"}
	switch f {
	case fateNotSent:
		return BatchReply{}, retry.Transport(errors.New("connection refused"), false)
	case fateTooLarge:
		return BatchReply{}, &retry.Error{Class: retry.Refused, Status: 413, Code: "HTTP_413"}
	case fateThrottled:
		return BatchReply{}, &retry.Error{Class: retry.NotDone, Status: 429, Code: "HTTP_429"}
	case fateLostBefore, fateLostAfter, fateNotified:
		return BatchReply{}, retry.Transport(errors.New("connection reset"), true)
	case fateUnclear:
		return BatchReply{}, unproven
	case fateCrashBefore, fateCrashAfter:
		<-d.end
		return BatchReply{}, errors.New("dead")
	case fateGarbled:
		for i := range reply.Results {
			if i%2 == 0 {
				reply.Results[i] = BatchResult{Err: unproven}
			}
		}
	}
	return reply, err
}

// TestBatchesNeverTwiceNeverLost is TestNeverTwiceNeverLost for batches:
// whatever D1's way to answer, whatever becomes of the requests, of the store
// and of us, and however often batches are halved, D1 gets each order at most
// once, and in the end each is submitted, or refused because it was bad.
func TestBatchesNeverTwiceNeverLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fates := []fate{fateAccepted, fateAccepted, fateAccepted, fateNotSent, fateLostBefore, fateLostAfter, fateCrashBefore,
			fateCrashAfter, fateStoreDown, fateNotified, fateCutOff, fateGarbled, fateUnclear, fateThrottled}
		orders := rapid.IntRange(1, 60).Draw(t, "orders")
		end := make(chan struct{})
		defer close(end)
		d1 := &batchD1{
			blindD1: &blindD1{plan: rapid.SliceOfN(rapid.SampledFrom(fates), 0, 40).Draw(t, "fates"), produced: map[string]int{}, end: end},
			perCard: rapid.Bool().Draw(t, "answers card by card"),
			most:    rapid.IntRange(1, 30).Draw(t, "most orders that D1 takes"),
			bad:     map[string]bool{},
		}
		store := newFakeStore(orders)
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, orders-1), 0, min(orders, 8), rapid.ID).Draw(t, "bad") {
			d1.bad[store.orders[i].OrderID] = true
		}
		cfg := Config{IssuerID: issuer, Session: "s", Settle: 1, RetryWait: 1, FlushEvery: time.Millisecond, RefusalStop: 5,
			InFlight:  rapid.IntRange(1, 3).Draw(t, "in flight"),
			ClaimSize: rapid.IntRange(1, 8).Draw(t, "claim size"),
			FlushSize: rapid.IntRange(1, 4).Draw(t, "flush size"),
			Batch: BatchConfig{MaxOrders: rapid.IntRange(1, 40).Draw(t, "orders in a batch"),
				MaxBody: rapid.IntRange(50, 5000).Draw(t, "size of a batch")}}
		p := newBatchProcess(t, d1, store, cfg)
		for range 300 {
			p = p.liveOnce(t, func() *living { return newBatchProcess(t, d1, store, cfg) })
			checkProduced(t, d1.blindD1, store, false)
			if c := store.count(); c[issuance.Ready]+c[issuance.Submitting]+c[issuance.Unknown] == 0 {
				checkProduced(t, d1.blindD1, store, true)
				checkRefused(t, d1, store)
				return
			}
		}
		t.Fatalf("never came to an end: %v", store.count())
	})
}

func checkRefused(t *rapid.T, d1 *batchD1, store *fakeStore) {
	for _, o := range store.orders {
		if (o.State == issuance.Refused) != d1.bad[o.OrderID] {
			t.Fatalf("order %s is %s, bad: %t", o.OrderID, o.State, d1.bad[o.OrderID])
		}
	}
}

func newBatchProcess(t *rapid.T, d1 *batchD1, store *fakeStore, cfg Config) *living {
	l := &living{process: &process{d1: d1.blindD1, died: make(chan struct{})}}
	l.store = &mortalStore{fakeStore: store, process: l.process}
	now := func() time.Time { return time.Now().UTC() }
	limiter := &fakeLimiter{}
	var err error
	l.submit, err = New(cfg, Deps{Store: l.store, SendBatch: l.sendBatch(d1), Limiter: limiter, Opener: fakeOpener{}, Now: now, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	l.track, err = track.New(track.Config{IssuerID: issuer, Settle: 1, MaxAttempts: 1000},
		track.Deps{Store: store, Issuer: d1, Limiter: limiter, Now: now, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
