package submit

import (
	"context"
	"errors"

	"cardbatch/internal/issuance"
)

// SendBatchFunc sends the request bodies of several claims to D1 in one
// request. Its error is about the request as a whole, see package retry;
// Refused then says that none of the orders was taken because of one of them or
// of the request, so that parts of it may be sent. Without an error the reply
// has a result for each claim. When ctx ends it returns soon.
type SendBatchFunc func(ctx context.Context, correlationID string, batch []Sending) (BatchReply, error)

// Sending is one order of a batch.
type Sending struct {
	issuance.Claim
	Body []byte
}

// BatchReply is what D1 said to a batch.
type BatchReply struct {
	Results   []BatchResult // one for each order, in their order
	Strangers int           // things said of cards that were not asked for
}

// BatchResult is what became of one order of a batch: its operation id, which
// may be empty, or an error that tells what is known of it.
type BatchResult struct {
	OperationID string
	Err         error
}

// BatchConfig bounds one request of the batch mode. Zero values mean the default.
type BatchConfig struct {
	MaxOrders int // default 500
	MaxBody   int // bytes; default 4 MiB
}

const (
	defaultBatchOrders = 500
	defaultBatchBody   = 4 << 20
	// perOrder is more than an order adds to a batch besides body and card id.
	perOrder = 32
)

// batched fills in what the batch mode needs: slices with enough orders in
// them to fill every request.
func (c Config) batched() (Config, error) {
	if c.Batch.MaxOrders == 0 {
		c.Batch.MaxOrders = defaultBatchOrders
	}
	if c.Batch.MaxBody == 0 {
		c.Batch.MaxBody = defaultBatchBody
	}
	if c.Batch.MaxOrders < 1 || c.Batch.MaxBody < 1 {
		return c, errors.New("submit needs batches of at least one order and one byte")
	}
	c.ClaimSize = max(c.ClaimSize, c.InFlight*c.Batch.MaxOrders)
	c.FlushSize = max(c.FlushSize, c.Batch.MaxOrders)
	return c, nil
}

// leastSlice is the fewest orders that are claimed at a time.
func (r *Runner) leastSlice() int {
	if r.SendBatch != nil {
		return min(r.Batch.MaxOrders, r.ClaimSize)
	}
	return min(r.InFlight, r.ClaimSize)
}

// room is how many orders go into one request. A run begins with one order
// alone; once D1 has accepted it requests are as large as they may be. One that
// D1 refuses as a whole, or gives no clear answer to, halves the next ones: what
// made trouble costs less the next time. Success doubles them again.
//
// The most bytes are halved for good by a request that was too large.
type room struct {
	most   int
	orders int
	opened bool
}

func newRoom(most int) *room { return &room{most: most, orders: 1} }

func (r *room) grow() {
	if !r.opened {
		r.opened, r.orders = true, r.most
		return
	}
	r.orders = min(2*r.orders, r.most)
}

func (r *room) shrink(from int) { r.orders = max(1, min(r.orders, from/2)) }
