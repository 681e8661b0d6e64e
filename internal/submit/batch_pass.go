package submit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/sealed"
)

// groups is what the workers of a batch pass share.
type groups struct {
	mu    sync.Mutex // held while a slice is handed over or a group is taken
	aside []waiting  // taken from the work and in no group yet
	room  *room      // guarded by pass.mu
}

// sendGroups is the worker of the batch mode.
func (p *pass) sendGroups(going, calls context.Context) {
	for p.awaitWork() {
		if !p.lanes.enter(going) {
			p.abandon()
			continue
		}
		p.sendGroup(going, calls)
		p.lanes.leave()
	}
}

// awaitWork waits until there is an order to send, and puts it aside, so that
// whichever worker may send next takes it into its group: a worker that waits
// for its turn must not keep an order of its own. There are no more when it
// reports false: what is aside then, somebody comes back for who put it there.
func (p *pass) awaitWork() bool {
	g := &p.groups
	g.mu.Lock()
	waits := len(g.aside) > 0
	g.mu.Unlock()
	if waits {
		return true
	}
	w, more := <-p.work
	p.hintLow()
	if more {
		g.mu.Lock()
		g.aside = append(g.aside, w)
		g.mu.Unlock()
	}
	return more
}

func (p *pass) hintLow() {
	select {
	case p.low <- struct{}{}:
	default:
	}
}

// abandon gives back what is aside: the run is over.
func (p *pass) abandon() {
	p.groups.mu.Lock()
	defer p.groups.mu.Unlock()
	for _, w := range p.groups.aside {
		p.giveBack(w.Ref)
	}
	p.groups.aside = nil
}

func (p *pass) someAside() bool {
	p.groups.mu.Lock()
	defer p.groups.mu.Unlock()
	return len(p.groups.aside) > 0
}

// gather makes a group: as many orders as there is room for, and no two of the
// same card, because an answer may name the card alone. An order that is larger
// than a request may be goes alone.
func (p *pass) gather() []waiting {
	p.mu.Lock()
	most, left := p.groups.room.orders, p.maxBody
	p.mu.Unlock()
	g := &p.groups
	g.mu.Lock() // waits for a slice that is just being handed over
	defer g.mu.Unlock()
	group := make([]waiting, 0, most)
	cards := make(map[string]bool, most)
	add := func(w waiting) bool {
		if len(group) == most || len(group) > 0 && w.share() > left || cards[w.CardID] {
			return false
		}
		group = append(group, w)
		cards[w.CardID] = true
		left -= w.share()
		return true
	}
	g.aside = slices.DeleteFunc(g.aside, add)
	for len(group) < most && left > 0 {
		select {
		case w, more := <-p.work:
			if !more {
				return group
			}
			if add(w) {
				continue
			}
			g.aside = append(g.aside, w)
			if !cards[w.CardID] {
				return group // it is full
			}
		default:
			return group
		}
	}
	return group
}

// share is how much of a request's size an order takes at most.
func (w waiting) share() int { return len(w.Payload) + len(w.CardID) + perOrder }

// sendGroup gathers a group and sees it through. A request that D1 refuses as
// a whole is sent again in halves, down to the order that is to blame; nothing
// of it was ordered, so nothing is ordered twice.
func (p *pass) sendGroup(going, calls context.Context) {
	if !p.someAside() {
		return // another worker was faster
	}
	done, err := p.Limiter.Acquire(going)
	if err != nil {
		p.stop(fmt.Errorf("wait for the rate limit: %w", err))
		p.abandon()
		return
	}
	group := p.gather() // only now, so that it is as full as it can be
	p.hintLow()
	orders, err := p.open(group)
	if err != nil || len(orders) == 0 {
		done()
		return
	}
	pieces := [][]sending{orders}
	for len(pieces) > 0 {
		piece := pieces[len(pieces)-1]
		pieces = pieces[:len(pieces)-1]
		if done == nil {
			if done, err = p.Limiter.Acquire(going); err != nil {
				p.stop(fmt.Errorf("wait for the rate limit: %w", err))
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
}

// sending is an opened order.
type sending struct {
	waiting
	body []byte
}

// open opens the sealed requests of a group. What cannot be opened is held;
// when a key is missing the run is over and all of it is given back.
func (p *pass) open(group []waiting) ([]sending, error) {
	orders := make([]sending, 0, len(group))
	for i, w := range group {
		body, err := p.Opener.Open(w.Payload, []byte(p.IssuerID+"/"+w.OrderID))
		if missing := new(sealed.UnknownKeyError); errors.As(err, &missing) {
			p.stop(fmt.Errorf("%w: %w", ErrPayloads, err))
			p.giveBackAll(orders)
			for _, w := range group[i:] {
				p.giveBack(w.Ref)
			}
			return nil, err
		}
		if err != nil {
			p.learn(answer{kind: unopened})
			p.answers <- lost(w.Claim)
			continue
		}
		orders = append(orders, sending{w, body})
	}
	return orders, nil
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
// there are, which no other request of the same claims has.
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

// handOver puts a slice to work. In the batch mode it is whole before a worker
// gathers from it.
func (p *pass) handOver(claims []issuance.Claim, since time.Time) {
	p.groups.mu.Lock()
	defer p.groups.mu.Unlock()
	for _, c := range claims {
		p.work <- waiting{c, since}
	}
}

// worker is what sends: order by order, or group by group.
func (p *pass) worker() func(going, calls context.Context) {
	if p.SendBatch != nil {
		return p.sendGroups
	}
	return p.sendAll
}
