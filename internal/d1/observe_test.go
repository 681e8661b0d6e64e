package d1_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"cardbatch/internal/d1"
)

// Who counts is told of every request, answered or not.
func TestObserve(t *testing.T) {
	t.Parallel()
	type seen struct {
		endpoint string
		status   int
	}
	var mu sync.Mutex
	var got []seen
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			panic(http.ErrAbortHandler) // no answer
		}
		w.WriteHeader(http.StatusTooManyRequests)
	})
	c := f.client(t, func(cfg *d1.Config) {
		cfg.Observe = func(endpoint string, status int, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if took < 0 {
				t.Errorf("%s took %s", endpoint, took)
			}
			got = append(got, seen{endpoint, status})
		}
	})
	if _, err := c.Order(t.Context(), d1.Call{CardID: "card-1", CorrelationID: "c-1", Body: []byte("{}")}); err == nil {
		t.Error("the order was taken")
	}
	if _, err := c.ProductionStatus(t.Context(), "card-1", "c-2"); err == nil {
		t.Error("the question was answered")
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []seen{{d1.EndpointToken, 200}, {d1.EndpointOrder, 429}, {d1.EndpointStatus, 0}} {
		if !slices.Contains(got, want) {
			t.Errorf("%v is not among %v", want, got)
		}
	}
}
