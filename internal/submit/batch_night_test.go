package submit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"cardbatch/internal/d1"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/submit"
)

// batchDeps is the way of batches to the simulator, as package app makes it.
func (r *rig) batchDeps(answer d1.BatchAnswer) submit.Deps {
	r.tb.Helper()
	batches, err := d1.NewBatches(r.client, d1.BatchConfig{Answer: answer})
	r.must(err)
	return submit.Deps{SendBatch: func(ctx context.Context, id string, batch []submit.Sending) (submit.BatchReply, error) {
		orders := make([]d1.BatchOrder, len(batch))
		for i, s := range batch {
			orders[i] = d1.BatchOrder{OrderID: s.OrderID, CardID: s.CardID, Body: s.Body}
		}
		said, err := batches.Order(ctx, id, orders)
		reply := submit.BatchReply{Strangers: said.Strangers}
		for _, r := range said.Results {
			reply.Results = append(reply.Results, submit.BatchResult(r))
		}
		return reply, err
	}}
}

// badAnswers stands in front of the simulator and spoils a share of its answers
// to batches, and some requests.
type badAnswers struct {
	next http.Handler

	mu     sync.Mutex
	dice   *rand.Rand
	share  float64
	bad    func(orderID string) bool // orders that are spoiled on their way
	most   int                       // bytes; more is answered 413
	whole  bool                      // an acceptance says nothing of the cards
	spoilt int
}

func (f *badAnswers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/physicalCards/operations:production") {
		f.next.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if len(body) > f.most {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(f.spoilOrders(body)))
	got := httptest.NewRecorder() // cannot be hijacked: a reset becomes a panic, which goes through
	f.next.ServeHTTP(got, r)
	answer := f.spoil(got.Body.Bytes(), got.Code)
	maps.Copy(w.Header(), got.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(got.Code)
	_, _ = w.Write(answer)
}

// spoilOrders makes the bad orders ones that D1 refuses.
func (f *badAnswers) spoilOrders(body []byte) []byte {
	var batch struct {
		Cards []map[string]any `json:"cards"`
	}
	if json.Unmarshal(body, &batch) != nil {
		return body
	}
	for _, c := range batch.Cards {
		if id, _ := c["issuerRequestId"].(string); f.bad(id) {
			delete(c, "services")
		}
	}
	spoilt, err := json.Marshal(batch)
	if err != nil {
		return body
	}
	return spoilt
}

func (f *badAnswers) spoil(body []byte, status int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if status != http.StatusAccepted {
		return body
	}
	var said struct {
		Operations []map[string]any `json:"operations"`
	}
	if f.whole || json.Unmarshal(body, &said) != nil {
		body = []byte(`{}`)
	}
	if f.dice.Float64() >= f.share {
		return body
	}
	f.spoilt++
	items := said.Operations
	some := func() map[string]any { return items[f.dice.IntN(len(items))] }
	switch f.dice.IntN(7) {
	case 0:
		return body[:f.dice.IntN(len(body))]
	case 1:
		f.dice.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	case 2:
		items = items[:f.dice.IntN(len(items)+1)]
	case 3:
		items = append(items, maps.Clone(some()), map[string]any{"cardId": "stranger", "operationId": "x"})
	case 4:
		twice := maps.Clone(some())
		delete(twice, "operationId")
		twice["errorCode"] = "FIELD_INVALID_VALUE"
		items = append(items, twice)
	case 5:
		delete(some(), "operationId")
	case 6:
		some()["details"] = map[string]any{"more": []int{1}}
	}
	spoilt, err := json.Marshal(map[string]any{"operations": items, "page": 1})
	if err != nil || f.whole {
		return []byte(`<html>`)
	}
	return spoilt
}

// batchFaults is a night with everything that can go wrong between us and D1.
var batchFaults = d1sim.Faults{ResetBefore: 0.05, ResetAfter: 0.1, ErrorBefore: 0.05, ErrorAfter: 0.1, Slow: 0.05, SlowFor: time.Millisecond}

// TestBatchesAgainstABlindD1 runs a night against a D1 that forgets
// issuerRequestIds, over connections that break and with spoilt answers: each
// card is produced once all the same, none is lost, and only the orders that
// are bad are refused.
func TestBatchesAgainstABlindD1(t *testing.T) {
	t.Parallel()
	for _, answer := range []d1.BatchAnswer{d1.BatchPerCard, d1.BatchAllOrNothing, d1.BatchAsAWhole} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s %d", answer, seed), func(t *testing.T) {
				t.Parallel()
				batchNight(t, answer, seed)
			})
		}
	}
}

func batchNight(t *testing.T, answer d1.BatchAnswer, seed uint64) {
	t.Helper()
	const orders, bad = 400, 12
	settings := d1sim.Settings{Duplicates: d1sim.DuplicatesBlind, Faults: batchFaults}
	if answer != d1.BatchPerCard {
		settings.BatchAnswer = d1sim.BatchAll
	}
	front := &badAnswers{dice: rand.New(rand.NewPCG(seed, 1)), share: 0.3, most: 40 << 10, whole: answer == d1.BatchAsAWhole,
		bad: func(orderID string) bool {
			return strings.HasSuffix(orderID, "33") || strings.HasSuffix(orderID, "77") || strings.HasSuffix(orderID, "78")
		}}
	r := newRig(t, settings, func(next http.Handler) http.Handler { front.next = next; return front })
	n := r.startWith(t.Context(), submit.Config{InFlight: 3, ClaimSize: 20, Settle: time.Millisecond, RetryWait: time.Millisecond,
		UnknownStop: 1000, UnreachableStop: 1000, RefusalStop: 1000, Batch: submit.BatchConfig{MaxOrders: 50}}, r.batchDeps(answer))
	n.load(t.Context(), orders)
	states := n.finish(t, 300)
	if states[issuance.Submitted] != orders-bad || states[issuance.Refused] != bad {
		t.Errorf("states %v, want %d of %d refused", states, bad, orders)
	}
	if sum := r.sim.Summary(); sum.ProducedTwice != 0 || sum.CardsProduced != orders-bad || sum.FaultsMade == 0 {
		t.Errorf("%d cards produced for %d orders, %d orders twice, %d faults", sum.CardsProduced, orders-bad, sum.ProducedTwice, sum.FaultsMade)
	}
	if front.spoilt == 0 {
		t.Error("no answer was spoilt")
	}
}
