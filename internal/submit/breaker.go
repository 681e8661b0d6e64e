package submit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cardbatch/internal/retry"

	"github.com/rs/zerolog"
)

// BreakerState says whether orders go to D1.
type BreakerState string

// The states of the circuit breaker.
const (
	Closed   BreakerState = "closed"    // all is well
	HalfOpen BreakerState = "half_open" // D1 gave a token; the next order goes alone
	Open     BreakerState = "open"      // D1 is unavailable; no order goes before it gave a token again
)

// Breaker is what the circuit breaker shows.
type Breaker struct {
	State BreakerState
	Since time.Time
	Why   string // of [Open]
}

// breaker keeps orders from a dead D1. Its state outlives the run: a run that
// found D1 dead leaves it open, and the next one begins with a probe, which
// costs no order anything. It is safe for concurrent use.
type breaker struct {
	mu     sync.Mutex
	shown  Breaker
	alive  time.Time // when D1 last answered; zero: not in this process
	outage bool      // D1 was found dead, and has not answered an order since
	card   string    // of the last order that may have reached D1

	trials int       // runs in this outage that were let through by an answer that may mean either
	tryAt  time.Time // before which no other is
}

// Breaker returns the state of the circuit breaker. A new Runner's is half open.
func (r *Runner) Breaker() Breaker {
	r.breaker.mu.Lock()
	defer r.breaker.mu.Unlock()
	return r.breaker.shown
}

// turn changes the state and tells of it.
func (r *Runner) turn(to BreakerState, why error) {
	b := &r.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outage = to == Open || b.outage && to != Closed
	if to == Closed {
		b.trials, b.tryAt = 0, time.Time{}
	}
	if b.shown.State == to {
		return
	}
	from := b.shown
	b.shown = Breaker{State: to, Since: r.Now()}
	level, text := zerolog.InfoLevel, "circuit breaker: D1 answers"
	switch to {
	case Open:
		b.shown.Why = why.Error()
		level, text = zerolog.WarnLevel, "circuit breaker: D1 is unavailable, no orders are sent until it answers"
	case HalfOpen:
		text = "circuit breaker: D1 gives tokens again, one order goes first"
	case Closed:
		if from.Since.IsZero() {
			return // the first order of a process is no news
		}
	}
	r.Log.WithLevel(level).Err(why).Str("stage", "submit").Str("issuer", r.IssuerID).Str("code", string(to)).Msg(text)
}

// reached remembers the last order that may have reached D1: a question about it
// is what tells, without risk, whether D1 answers.
func (r *Runner) reached(cardID string) {
	r.breaker.mu.Lock()
	defer r.breaker.mu.Unlock()
	r.breaker.card = cardID
}

// answered remembers that D1 has just answered.
func (r *Runner) answered() {
	r.breaker.mu.Lock()
	defer r.breaker.mu.Unlock()
	r.breaker.alive = r.Now()
}

// aliveFor is how long a sign of life holds between runs.
const aliveFor = 5 * time.Minute

// admit asks D1 for a sign of life, before an order is claimed, when there was
// none for a while or the breaker is open. Its error stops the run.
func (r *Runner) admit(ctx context.Context) error {
	b := &r.breaker
	b.mu.Lock()
	open, first, card := b.shown.State == Open, b.alive.IsZero(), b.card
	silent := r.Now().Sub(b.alive)
	b.mu.Unlock()
	if !open && !first && silent >= 0 && silent < aliveFor {
		return nil
	}
	err := r.probe(ctx, card)
	switch e := retry.Of(err); {
	case err == nil:
		r.answered()
		if open || first {
			r.turn(HalfOpen, nil)
		}
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("probe D1: %w", ctx.Err())
	case e.Class == retry.Stop:
		return fmt.Errorf("%w: %s", ErrSetUp, status(e)+" "+e.Code)
	default:
		err = fmt.Errorf("%w: probe: %w", ErrUnavailable, err)
		r.turn(Open, err)
		return err
	}
}

// probe asks for a token, and then about an order whose outcome is unclear: the
// token may come from another machine than the one that is dead.
func (r *Runner) probe(ctx context.Context, card string) error {
	if r.Probe != nil {
		if err := r.Probe(ctx); err != nil {
			return err
		}
	}
	if r.Ask == nil || card == "" {
		return nil
	}
	err := r.Ask(ctx, card)
	switch e := retry.Of(err); {
	case err == nil, e.Class == retry.Refused, e.Class != retry.Stop && e.Status == 0 && !e.Unavailable:
		return nil // any answer of D1's own will do, and what was not asked says nothing
	case e.Class == retry.NotDone && !e.Unavailable:
		return nil
	case e.Class == retry.Unknown && mayBeTheCards(e) && r.dare():
		return nil
	}
	return err
}

// mayBeTheCards reports whether an answer may be all that D1 has to say to
// anybody, or its trouble with one card: it is then no sign of life, and must not
// keep the others from being sent for ever.
func mayBeTheCards(e *retry.Error) bool { return !e.Unavailable || e.Status == 500 }

// The longest and the shortest time between two orders that are risked on such an
// answer.
const (
	leastTrial = time.Minute
	mostTrial  = time.Hour
)

// dare reports whether it is time to risk one order, ever more rarely in an outage.
func (r *Runner) dare() bool {
	b := &r.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	now := r.Now()
	if wait := b.tryAt.Sub(now); wait > 0 && wait <= mostTrial { // longer: the clock was set back
		return false
	}
	b.tryAt = now.Add(min(leastTrial<<min(b.trials, 10), mostTrial))
	b.trials++
	return true
}

// outage reports whether D1 was found dead and has not answered an order since.
func (r *Runner) outage() bool {
	r.breaker.mu.Lock()
	defer r.breaker.mu.Unlock()
	return r.breaker.outage
}
