package submit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"cardbatch/internal/issuance"
	"cardbatch/internal/retry"
	"cardbatch/internal/sealed"
)

// pass is one run: a claimer, workers that send, and a collector that records.
// Three contexts are about. going ends when nothing new may be claimed or sent,
// calls when requests in flight must give up, and keep does not end: what has
// happened must be recorded.
type pass struct {
	*Runner
	sum Summary

	stop    context.CancelCauseFunc // ends going
	brake   *brake
	lanes   *lanes
	work    chan waiting
	low     chan struct{} // a hint that work runs low
	sent    atomic.Int64
	answers chan issuance.Outcome

	requests atomic.Int64 // of the batch mode
	groups   groups       // of the batch mode

	leave leave // what the hours allow in this run

	storeLost bool // outcomes cannot be recorded; only touched by the collector, and after it

	mu     sync.Mutex // guards brake and unsent
	unsent []issuance.Ref
}

// waiting is a claim that waits to be sent.
type waiting struct {
	issuance.Claim
	since time.Time
}

func newPass(r *Runner) *pass {
	return &pass{Runner: r, brake: r.newBrake(), lanes: newLanes(1), groups: groups{room: newRoom(r.Batch.MaxOrders)},
		// Room for two slices: the claimer never waits for room, it waits for low water.
		work: make(chan waiting, 2*r.ClaimSize), low: make(chan struct{}, 1),
		answers: make(chan issuance.Outcome, r.FlushSize)}
}

func (p *pass) run(ctx context.Context) error {
	going, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	p.stop = stop
	keep := context.WithoutCancel(ctx)
	calls, cut := context.WithCancel(keep)
	defer cut()
	limit := context.AfterFunc(going, func() {
		select {
		case <-time.After(p.DrainLimit):
			cut()
		case <-calls.Done():
		}
	})
	defer limit()

	defer p.closeIn()()
	defer p.foretellNowAndThen(going)()
	var workers, collector sync.WaitGroup
	for range p.InFlight {
		workers.Go(func() { p.worker()(going, calls) })
	}
	collector.Go(func() { p.collect(keep) })
	p.claimAll(going)
	workers.Wait()
	close(p.answers)
	collector.Wait()

	p.sum.Released, p.sum.Requests = len(p.unsent), int(p.requests.Load())
	p.left.unsent = append(p.left.unsent, p.unsent...)
	p.settle(keep)
	if err := context.Cause(going); err != nil && !errors.Is(err, errHours) {
		return err
	}
	return p.brake.end()
}

// claimAll claims slice after slice until none are left, each while the one
// before it is being sent.
func (p *pass) claimAll(going context.Context) {
	defer close(p.work)
	size := newSizer(p.leastSlice(), p.ClaimSize, p.Now())
	for going.Err() == nil {
		// A claim is not given up half way: it might be durable already.
		since := time.Now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(going), p.DrainLimit)
		claims, err := p.claim(ctx, size.next(p.sent.Load(), p.Now()))
		cancel()
		if err != nil {
			p.stop(fmt.Errorf("claim orders: %w", err))
			return
		}
		if len(claims) == 0 {
			return
		}
		p.sum.Claimed += len(claims)
		p.handOver(claims, since)
		p.awaitLow(going, len(claims))
	}
}

func (p *pass) awaitLow(going context.Context, water int) {
	for len(p.work) > water {
		select {
		case <-p.low:
		case <-going.Done():
			return
		}
	}
}

func (p *pass) sendAll(going, calls context.Context) {
	for c := range p.work {
		select {
		case p.low <- struct{}{}:
		default:
		}
		if !p.send(going, calls, c) {
			p.mu.Lock()
			p.unsent = append(p.unsent, c.Ref)
			p.mu.Unlock()
		}
	}
}

// send sees one order through, from the decision to send to its outcome. It
// reports false when nothing was sent.
func (p *pass) send(going, calls context.Context, w waiting) bool {
	c := w.Claim
	if !p.lanes.enter(going) {
		return false
	}
	defer p.lanes.leave()
	body, err := p.Opener.Open(c.Payload, []byte(p.IssuerID+"/"+c.OrderID))
	if missing := new(sealed.UnknownKeyError); errors.As(err, &missing) {
		p.stop(fmt.Errorf("%w: %w", ErrPayloads, err)) // the key may come back, the order is not to blame
		return false
	}
	if err != nil {
		p.learn(answer{kind: unopened})
		p.answers <- lost(c)
		return true
	}
	done, err := p.Limiter.Acquire(going)
	if err != nil {
		p.stop(fmt.Errorf("wait for the rate limit: %w", err))
		return false
	}
	if going.Err() != nil || !p.stillClaimed(going, w) {
		done()
		return false
	}
	p.sent.Add(1)
	operationID, err := p.call(calls, c, body)
	done()
	out, told := p.judge(c, operationID, err, p.Now())
	p.learn(told)
	if told.kind == throttled {
		p.Limiter.Slow(retry.Of(err).After)
	}
	if told.kind == setUp {
		return false // nothing was ordered, and the order is not to blame
	}
	p.answers <- out
	return true
}

// stillClaimed looks once more at a claim that may have been overtaken while it
// waited: by news of an earlier attempt, after all, or by a process that took
// this one for dead.
func (p *pass) stillClaimed(going context.Context, w waiting) bool {
	if w.Attempt == 1 && time.Since(w.since) < p.Settle {
		return true
	}
	still, err := p.Store.StillClaimed(going, p.Session, w.Ref, w.Attempt)
	if err != nil {
		p.stop(fmt.Errorf("look at a claim again: %w", err))
	}
	return err == nil && still
}

var errPanic = errors.New("sending panicked")

// call sends. The recover is here because workers are goroutines of their own:
// one order that brings out a bug would end the daemon, and again when it is
// sent again.
func (p *pass) call(ctx context.Context, c issuance.Claim, body []byte) (operationID string, err error) {
	defer func() {
		if recover() != nil { // its value may hold data of the order, the stack does not
			p.Log.Error().Str("stage", "submit").Str("issuer", p.IssuerID).Err(fmt.Errorf("%w:\n%s", errPanic, debug.Stack())).
				Msg("panic while sending an order")
			operationID, err = "", errPanic
		}
	}()
	return p.Send(ctx, c, body)
}

// learn opens or closes lanes after answers, or stops the run.
func (p *pass) learn(news ...answer) {
	p.mu.Lock() // the lanes follow the newest answer
	defer p.mu.Unlock()
	var width int
	var err error
	for _, a := range news {
		width, err = p.brake.see(a)
	}
	p.lanes.widen(width)
	if p.brake.met {
		p.turn(Closed, nil)
	}
	if err != nil {
		p.stop(err)
	}
}

// collect records outcomes in groups until no more come.
func (p *pass) collect(keep context.Context) {
	flush := time.NewTimer(p.FlushEvery)
	flush.Stop()
	for {
		select {
		case out, more := <-p.answers:
			if !more {
				p.settle(keep)
				return
			}
			p.count(out.To)
			if p.left.outcomes == nil {
				p.left.outcomes = make([]issuance.Outcome, 0, p.FlushSize)
			}
			p.left.outcomes = append(p.left.outcomes, out)
			switch len(p.left.outcomes) {
			case p.FlushSize:
				flush.Stop()
				p.settle(keep)
			case 1:
				flush.Reset(p.FlushEvery)
			}
		case <-flush.C:
			p.settle(keep)
		}
	}
}

// settle writes what is left to the store. While that does not work nothing is
// sent, and when it does not work at all the run is over: what is left then
// waits for the next one.
func (p *pass) settle(keep context.Context) {
	if p.storeLost {
		return
	}
	err := p.record(keep, &p.left, func() { p.lanes.block(true) })
	if err != nil {
		p.storeLost = true
		p.stop(err)
		return
	}
	p.lanes.block(false)
}

func (p *pass) count(to issuance.State) {
	switch to { //nolint:exhaustive // judge gives no others
	case issuance.Submitted:
		p.sum.Submitted++
	case issuance.Refused:
		p.sum.Refused++
	case issuance.Unknown:
		p.sum.Unknown++
	case issuance.Ready:
		p.sum.NotDone++
	case issuance.Held:
		p.sum.Held++
	}
}
