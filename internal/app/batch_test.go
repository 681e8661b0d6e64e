package app_test

import (
	"testing"

	"cardbatch/internal/config"
	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/exitcode"
)

// The same orders in batches, by each way in which D1 may answer them: really
// decrypted, ordered once, and in few requests.
func TestOrdersInBatches(t *testing.T) {
	for answer, simulated := range map[string]string{
		"per_card": d1sim.BatchPerCard, "all_or_nothing": d1sim.BatchAll, "as_a_whole": d1sim.BatchAccepted,
	} {
		t.Run(answer, func(t *testing.T) {
			w := newWorld(t)
			s := &w.cfg.Issuers[0].Submit
			s.Mode, s.Batch.Answer, s.Batch.RequestsPerSecond = config.SubmitBatch, answer, 1000
			must(t, w.sim.Adjust(func(set *d1sim.Settings) { set.BatchAnswer = simulated }))
			a, _ := w.start(t)
			w.dropSample(t, "good.csv")
			if _, err := a.RunJob(t.Context(), "pickup", ""); exitcode.Of(err) != exitcode.Rejected { // rows for another key of D1
				t.Fatalf("pickup: %v\n%s", err, w.log)
			}
			if _, err := a.RunJob(t.Context(), "submit", ""); err != nil {
				t.Fatalf("submit: %v\n%s", err, w.log)
			}
			sum := w.sim.Summary()
			if sum.CardsProduced == 0 || sum.CardsProduced != sum.OrdersAccepted || sum.OrdersRefused != 0 || sum.RequestsReceived != 2 {
				t.Errorf("D1's ledger: %+v", sum)
			}
		})
	}
}
