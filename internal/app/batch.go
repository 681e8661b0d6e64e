package app

import (
	"context"

	"cardbatch/internal/config"
	"cardbatch/internal/d1"
	"cardbatch/internal/ratelimit"
	"cardbatch/internal/submit"
)

// inBatches changes how a submit stage sends: in batches, at a rate of their
// own. Questions about orders keep to the issuer's other rate.
func (a *App) inBatches(c config.Issuer, client *d1.Client, cfg *submit.Config, deps *submit.Deps) error {
	b := c.Submit.Batch
	batches, err := d1.NewBatches(client, d1.BatchConfig{Path: b.Path, Answer: d1.BatchAnswer(b.Answer)})
	if err != nil {
		return err
	}
	limiter, err := ratelimit.New(a.store, "d1/"+c.ID+"/batch", ratelimit.Config{
		PerSecond: b.RequestsPerSecond, Burst: b.Burst, InFlight: b.InFlight, Now: a.now,
	})
	if err != nil {
		return err
	}
	cfg.InFlight = b.InFlight
	cfg.Batch = submit.BatchConfig{MaxOrders: b.MaxOrders, MaxBody: int(b.MaxBody)}
	deps.Limiter, deps.Send, deps.SendBatch = limiter, nil, sendBatch(batches)
	return nil
}

// sendBatch is the way of a batch to D1.
func sendBatch(b *d1.Batches) submit.SendBatchFunc {
	return func(ctx context.Context, correlationID string, batch []submit.Sending) (submit.BatchReply, error) {
		orders := make([]d1.BatchOrder, len(batch))
		for i, s := range batch {
			orders[i] = d1.BatchOrder{OrderID: s.OrderID, CardID: s.CardID, Body: s.Body}
		}
		said, err := b.Order(ctx, correlationID, orders)
		if err != nil {
			return submit.BatchReply{}, err
		}
		reply := submit.BatchReply{Results: make([]submit.BatchResult, len(said.Results)), Strangers: said.Strangers}
		for i, r := range said.Results {
			reply.Results[i] = submit.BatchResult(r)
		}
		return reply, nil
	}
}
