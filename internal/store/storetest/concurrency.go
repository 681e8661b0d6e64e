package storetest

import (
	"errors"
	"fmt"
	"sync"

	"cardbatch/internal/issuance"
	"cardbatch/internal/store"
)

func concurrencyTests() map[string]func(*world) {
	return map[string]func(*world){
		"two processes write at once":                 twoProcesses,
		"one bad write does not spoil its companions": badCompanion,
		"a closed store says so":                      closedStore,
	}
}

// twoProcesses: both claim, record and notify as fast as they can; no order is
// given out twice, and nobody hears of a lock.
func twoProcesses(w *world) {
	const orders, slice = 400, 7
	var keys []string
	for i := range orders {
		keys = append(keys, fmt.Sprint(i))
	}
	b := w.accepted(keys...)
	other, otherSession := w.open()
	var mu sync.Mutex
	claimed := map[string]int{}
	var all sync.WaitGroup
	work := func(s *store.Store, session string, id int) error {
		for n := 0; ; n++ {
			claims, err := s.ClaimReady(w.ctx(), bank, session, slice)
			if err != nil || len(claims) == 0 {
				return err
			}
			for i, c := range claims {
				mu.Lock()
				claimed[c.OrderID]++
				mu.Unlock()
				if err := s.RecordOutcomes(w.ctx(), session, []issuance.Outcome{outcome(c, issuance.Submitted)}); err != nil {
					return err
				}
				op := produce(c.OrderID[len("order-"):], issuance.DataPrepared, w.clock.now())
				if _, err := s.ApplyNotification(w.ctx(), issuance.Notification{IssuerID: bank, Digest: fmt.Append(nil, id, n, i),
					Operations: []issuance.Operation{op}}); err != nil {
					return err
				}
			}
			for _, err := range s.OrdersOfBatch(w.ctx(), b.No) {
				if err != nil {
					return err
				}
				break
			}
		}
	}
	for id := range 6 {
		s, session := w.s, w.session
		if id%2 == 1 {
			s, session = other, otherSession
		}
		all.Go(func() {
			if err := work(s, session, id); err != nil {
				w.Errorf("process %d: %v", id%2, err)
			}
		})
	}
	all.Wait()
	if len(claimed) != orders {
		w.Errorf("%d orders were claimed, want %d", len(claimed), orders)
	}
	for id, n := range claimed {
		if n != 1 {
			w.Errorf("%s was claimed %d times", id, n)
		}
	}
	w.balance()
}

// badCompanion: writes that are made durable together fail alone.
func badCompanion(w *world) {
	b := w.claimFile()
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			rows := []issuance.NewOrder{row(b.No, int64(i+1), fmt.Sprint(i))}
			if i%4 == 0 {
				rows = append(rows, row(b.No+1, 1, "stray"))
			}
			if err := w.s.AddOrders(w.ctx(), b.No, rows); (err != nil) != (i%4 == 0) {
				w.Errorf("write %d: %v", i, err)
			}
		})
	}
	all.Wait()
	w.decide(b, issuance.BatchAccepted, 30)
	w.balance()
}

func closedStore(w *world) {
	s, _ := w.open()
	w.must(s.Close())
	_, err := s.ClaimReady(w.ctx(), bank, "x", 1)
	w.wantErr(err, store.ErrClosed)
	if err := s.Balance(w.ctx()); err == nil || errors.Is(err, store.ErrUnbalanced) {
		w.Errorf("a closed store answers %v", err)
	}
}
