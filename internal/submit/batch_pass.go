package submit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/sealed"
)

// sendGroups is the worker of the batch mode.
func (p *pass) sendGroups(going, calls context.Context) {
	for p.awaitWork() {
		p.sendGroup(going, calls)
	}
}

// permit waits until a request may be sent: for a lane and for the rate. In
// between it asks whether there is still something to send, as a slot of the
// rate is not given back. It reports false when there is not, or the run is over.
func (p *pass) permit(going context.Context, wanted func() bool) (done func(), ok bool) {
	if !p.lanes.enter(going) {
		return nil, false
	}
	if !wanted() {
		p.lanes.leave()
		return nil, false
	}
	release, err := p.Limiter.Acquire(going)
	if err != nil {
		p.stop(fmt.Errorf("wait for the rate limit: %w", err))
		p.lanes.leave()
		return nil, false
	}
	return func() { release(); p.lanes.leave() }, true
}

// sendGroup gathers a group and sees it through. A request that D1 refuses as
// a whole is sent again in halves, down to the order that is to blame; nothing
// of it was ordered, so nothing is ordered twice.
func (p *pass) sendGroup(going, calls context.Context) {
	done, ok := p.permit(going, p.someAside) // another worker may be faster
	if !ok {
		if going.Err() != nil {
			p.abandon()
		}
		return
	}
	group := p.gather() // only now, so that it is as full as it can be
	p.hintLow()
	pieces := p.open(group)
	for len(pieces) > 0 {
		piece := pieces[len(pieces)-1]
		pieces = pieces[:len(pieces)-1]
		if done == nil {
			if done, ok = p.permit(going, func() bool { return true }); !ok {
				p.giveBackAll(piece)
				continue
			}
		}
		if p.request(going, calls, piece) {
			half := len(piece) / 2
			pieces = append(pieces, piece[half:], piece[:half])
		}
		done()
		done = nil
	}
	if done != nil {
		done()
	}
}

// sending is an opened order.
type sending struct {
	waiting
	body []byte
}

// open opens the sealed requests of a group, which is then one piece, or none.
// What cannot be opened is held; when a key is missing the run is over and all
// of it is given back.
func (p *pass) open(group []waiting) (pieces [][]sending) {
	orders := make([]sending, 0, len(group))
	for i, w := range group {
		body, err := p.Opener.Open(w.Payload, []byte(p.IssuerID+"/"+w.OrderID))
		if missing := new(sealed.UnknownKeyError); errors.As(err, &missing) {
			p.stop(fmt.Errorf("%w: %w", ErrPayloads, err))
			p.giveBackAll(orders)
			for _, w := range group[i:] {
				p.giveBack(w.Ref)
			}
			return nil
		}
		if err != nil {
			p.learn(answer{kind: unopened})
			p.answers <- lost(w.Claim)
			continue
		}
		orders = append(orders, sending{w, body})
	}
	if len(orders) == 0 {
		return nil
	}
	return [][]sending{orders}
}

// request sends a piece of a group. It reports true when D1 took none of it
// and it should be sent in parts.
func (p *pass) request(going, calls context.Context, piece []sending) (split bool) {
	piece = p.stillMine(going, piece)
	if len(piece) == 0 {
		return false
	}
	if going.Err() != nil {
		p.giveBackAll(piece)
		return false
	}
	p.requests.Add(1)
	reply, err := p.callBatch(calls, piece)
	if err == nil && len(reply.Results) != len(piece) {
		err = errShortReply // whatever it is, it proves nothing
	}
	if e := retry.Of(err); err != nil && e.Class == retry.Refused && len(piece) > 1 {
		p.refusedWhole(piece, e)
		return true
	}
	p.sent.Add(int64(len(piece)))
	if err != nil {
		p.failedWhole(piece, err)
		return false
	}
	p.takeIn(piece, reply)
	return false
}

var errShortReply = errors.New("the reply does not fit the request")

// stillMine drops the claims that were overtaken while they waited.
func (p *pass) stillMine(going context.Context, piece []sending) []sending {
	return slices.DeleteFunc(slices.Clone(piece), func(s sending) bool {
		gone := going.Err() != nil || !p.stillClaimed(going, s.waiting)
		if gone {
			p.giveBack(s.Ref)
		}
		return gone
	})
}

// correlation is the id of a request: that of its first order and how many
// there are, which no other request of the same claims has. The orders of a
// request were mostly claimed together, so their own ids begin alike.
func correlation(piece []sending) string {
	return piece[0].CorrelationID + "-" + strconv.Itoa(len(piece))
}

// callBatch sends. For the recover see [pass.call].
func (p *pass) callBatch(ctx context.Context, piece []sending) (reply BatchReply, err error) {
	defer func() {
		if recover() != nil { // its value may hold data of the orders, the stack does not
			p.Log.Error().Str("stage", "submit").Str("issuer", p.IssuerID).Err(fmt.Errorf("%w:\n%s", errPanic, debug.Stack())).
				Msg("panic while sending a batch")
			reply, err = BatchReply{}, errPanic
		}
	}()
	batch := make([]Sending, len(piece))
	for i := range piece {
		batch[i] = Sending{piece[i].Claim, piece[i].body}
	}
	return p.SendBatch(ctx, correlation(piece), batch)
}

const tooLarge = 413

// refusedWhole learns from a request that is to be sent in parts.
func (p *pass) refusedWhole(piece []sending, e *retry.Error) {
	p.mu.Lock()
	p.groups.room.shrink(len(piece))
	if e.Status == tooLarge {
		size := 0
		for _, s := range piece {
			size += s.share()
		}
		p.maxBody = max(1, min(p.maxBody, size/2))
	}
	p.mu.Unlock()
	p.learn(answer{kind: divided})
	p.Log.Debug().Str("stage", "submit").Str("issuer", p.IssuerID).Str("code", e.Code).Int("count", len(piece)).
		Msg("batch refused, sent in parts")
}

// failedWhole records a request of which one thing is known: it failed.
func (p *pass) failedWhole(piece []sending, err error) {
	var told answer
	now := p.Now()
	outcomes := make([]issuance.Outcome, len(piece))
	for i, s := range piece {
		outcomes[i], told = p.judge(s.Claim, "", err, now)
	}
	if told.kind == unclear {
		p.mu.Lock()
		p.groups.room.shrink(len(piece))
		p.mu.Unlock()
	}
	p.learn(told)
	if told.kind == throttled {
		p.Limiter.Slow(retry.Of(err).After)
	}
	if told.kind == setUp {
		p.giveBackAll(piece) // nothing was ordered, and the orders are not to blame
		return
	}
	for _, out := range outcomes {
		p.answers <- out
	}
}

// takeIn records what was said order by order.
func (p *pass) takeIn(piece []sending, reply BatchReply) {
	now := p.Now()
	told := make([]answer, 0, len(piece))
	outcomes := make([]issuance.Outcome, 0, len(piece))
	taken := false
	for i, s := range piece {
		out, a := p.judge(s.Claim, reply.Results[i].OperationID, reply.Results[i].Err, now)
		taken = taken || out.To == issuance.Submitted
		outcomes = append(outcomes, out)
		if a.kind == accepted || a.kind == refused {
			told = append(told, a)
		}
	}
	p.mu.Lock()
	switch {
	case taken:
		p.groups.room.grow()
	case len(told) == 0:
		p.groups.room.shrink(len(piece))
	}
	p.mu.Unlock()
	if len(told) == 0 {
		told = append(told, answer{kind: unclear}) // an answer that proves nothing of any order
	}
	p.learn(told...)
	if reply.Strangers > 0 {
		p.Log.Warn().Str("stage", "submit").Str("issuer", p.IssuerID).Int("count", reply.Strangers).
			Msg("D1's answer to a batch speaks of cards that were not in it")
	}
	for _, out := range outcomes {
		p.answers <- out
	}
}

func (p *pass) giveBack(ref issuance.Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsent = append(p.unsent, ref)
}

func (p *pass) giveBackAll(piece []sending) {
	for _, s := range piece {
		p.giveBack(s.Ref)
	}
}

// worker is what sends: order by order, or group by group.
func (p *pass) worker() func(going, calls context.Context) {
	if p.SendBatch != nil {
		return p.sendGroups
	}
	return p.sendAll
}
