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
	if json.Unmarshal(body, &said) != nil || len(body) == 0 || f.dice.Float64() >= f.share {
		return body
	}
	f.spoilt++
	items := said.Operations
	if len(items) == 0 {
		return body[:f.dice.IntN(len(body))]
	}
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
	if err != nil {
		return body
	}
	return spoilt
}

// batchFaults is a night with everything that can go wrong between us and D1.
var batchFaults = d1sim.Faults{ResetBefore: 0.05, ResetAfter: 0.1, ErrorBefore: 0.05, ErrorAfter: 0.1, Slow: 0.05, SlowFor: time.Millisecond,
	BatchPartly: 0.1, Truncated: 0.05, NotJSON: 0.05, NoOperationID: 0.05}

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
	const orders = 400
	settings := d1sim.Settings{Duplicates: d1sim.DuplicatesBlind, Faults: batchFaults, BatchAnswer: map[d1.BatchAnswer]string{
		d1.BatchPerCard: d1sim.BatchPerCard, d1.BatchAllOrNothing: d1sim.BatchAll, d1.BatchAsAWhole: d1sim.BatchAccepted}[answer]}
	bad := 12
	if answer == d1.BatchAsAWhole {
		bad = 0 // D1 takes these as well, and tells later what is wrong with them
	}
	front := &badAnswers{dice: rand.New(rand.NewPCG(seed, 1)), share: 0.3, most: 40 << 10,
		bad: func(orderID string) bool {
			return strings.HasSuffix(orderID, "33") || strings.HasSuffix(orderID, "77") || strings.HasSuffix(orderID, "78")
		}}
	r := newRig(t, settings, func(next http.Handler) http.Handler { front.next = next; return front })
	n := r.startWith(t.Context(), submit.Config{InFlight: 3, ClaimSize: 20, Settle: time.Millisecond, RetryWait: time.Millisecond,
		UnknownStop: 1000, UnreachableStop: 1000, RefusalStop: 1000, Batch: submit.BatchConfig{MaxOrders: 50}}, r.batchDeps(answer))
	n.load(t.Context(), orders)
	states := n.finish(t, 300)
	if states[issuance.Submitted] != int64(orders-bad) || states[issuance.Refused] != int64(bad) {
		t.Errorf("states %v, want %d of %d refused", states, bad, orders)
	}
	if sum := r.sim.Summary(); sum.ProducedTwice != 0 || sum.CardsProduced != orders-bad || sum.FaultsMade == 0 {
		t.Errorf("%d cards produced for %d orders, %d orders twice, %d faults", sum.CardsProduced, orders-bad, sum.ProducedTwice, sum.FaultsMade)
	}
	if front.spoilt == 0 {
		t.Error("no answer was spoilt")
	}
}

// A D1 that refuses what it has already: in a batch of all or nothing that
// refuses the others with it, which must be ordered all the same, and the one
// that D1 has is submitted and not refused.
func TestBatchesAgainstARejectingD1(t *testing.T) {
	t.Parallel()
	const orders = 60
	r := newRig(t, d1sim.Settings{Duplicates: d1sim.DuplicatesReject, BatchAnswer: d1sim.BatchAll,
		Faults: d1sim.Faults{ResetAfter: 0.3}, StatusLag: time.Hour})
	n := r.startWith(t.Context(), submit.Config{InFlight: 2, Settle: time.Millisecond, RetryWait: time.Millisecond,
		UnknownStop: 1000, UnreachableStop: 1000, Batch: submit.BatchConfig{MaxOrders: 8}}, r.batchDeps(d1.BatchAllOrNothing))
	n.load(t.Context(), orders)
	// productionStatus knows nothing yet, so that orders are sent again that D1 has.
	for i := 0; r.sim.Summary().RequestsReceived < 200; i++ {
		if n.finish(t, 1); i > 1000 {
			t.Fatal("too little was sent again")
		}
	}
	r.must(r.sim.Adjust(func(s *d1sim.Settings) { s.StatusLag, s.Faults.ResetAfter = 0, 0 }))
	if c := n.finish(t, 200); c[issuance.Submitted] != orders {
		t.Errorf("states: %v", c)
	}
	if sum := r.sim.Summary(); sum.CardsProduced != orders {
		t.Errorf("%d cards produced for %d orders", sum.CardsProduced, orders)
	}
}
