package d1sim

import (
	"context"
	"strconv"
	"sync"
	"time"
)

// outbox holds the notifications that are to be sent and sends them, in
// batches, by a few workers. Its lock is taken after the simulator's.
type outbox struct {
	sim    *Simulator
	sender sender
	wake   chan struct{}

	mu      sync.Mutex
	queues  []queue // by issuer
	retries heap[*batch]
	later   heap[item]      // delayed beyond the others
	held    map[uint32]item // kept back to overtake
	era     int             // raised by clear: what is in flight no longer counts
	n       notificationTotals
}

type notificationTotals struct {
	pending, delivered, lost, refused, givenUp, requests, failures int
}

// item is one notification: a step of an order, or the outcome of a change.
type item struct {
	at     int64  // real time it may leave, µs
	order  uint32 // or the number of the change
	issuer uint16
	stage  uint8
	change bool
}

// Before orders what is delayed.
func (i item) Before(k item) bool { return i.at < k.at }

// queue is a FIFO that gives its memory back.
type queue struct {
	items []item
	head  int
}

func (q *queue) len() int { return len(q.items) - q.head }

func (q *queue) take(n int) []item {
	out := append([]item(nil), q.items[q.head:q.head+n]...)
	q.head += n
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 1<<16 && q.head > len(q.items)/2 {
		q.items, q.head = append([]item(nil), q.items[q.head:]...), 0
	}
	return out
}

// batch is one request to an issuer.
type batch struct {
	issuer  int
	items   []item
	attempt int // sent so often
	at      time.Time
	era     int
}

// Before orders the retries.
func (b *batch) Before(c *batch) bool { return b.at.Before(c.at) }

// maxRetries is how many batches may wait for another try; beyond it new
// notifications stay in their queue, where they take far less memory.
const maxRetries = 4096

func newOutbox(s *Simulator) *outbox {
	return &outbox{
		sim: s, sender: newSender(&s.cfg.Notifications), queues: make([]queue, len(s.byNumber)),
		held: map[uint32]item{}, wake: make(chan struct{}, s.cfg.Notifications.Workers),
	}
}

func (o *outbox) start(ctx context.Context, running *sync.WaitGroup) {
	for range o.sim.cfg.Notifications.Workers {
		running.Go(func() { o.work(ctx) })
	}
}

func (o *outbox) close() { o.sender.client.CloseIdleConnections() }

// add takes a step for notification. The simulator's lock is held.
func (o *outbox) add(order uint32, stage uint8, last bool) {
	set := o.sim.settings.Load()
	if set.NotificationURL == "" {
		return
	}
	r, f := o.sim.ledger.at(order), &set.Faults
	it := item{at: time.Now().Add(set.NotificationDelay).UnixMicro(), order: order, stage: stage, issuer: r.issuer}
	q := &o.queues[r.issuer]
	l := o.sim.dice.luck(kindNotification, r.ids, uint32(stage))
	o.mu.Lock()
	defer o.mu.Unlock()
	old, full := o.held[order]
	switch {
	case o.hit(l, lostNotifications, f.LostNotifications):
		o.lose(it)
	case o.hit(l, delayedNotifications, f.DelayedNotifications):
		o.delay(it, f.DelayedFor)
	case !full && !last && o.hit(l, reorderedNotifications, f.ReorderedNotifications):
		o.held[order] = it
		o.n.pending++
		return
	default:
		o.put(q, it)
		if o.hit(l, duplicateNotifications, f.DuplicateNotifications) {
			o.put(q, it)
		}
		if full {
			q.items = append(q.items, old) // counted when it was held
			delete(o.held, order)
		}
	}
	if old, full := o.held[order]; full && last {
		q.items = append(q.items, old)
		delete(o.held, order)
	}
	o.poke()
}

func (o *outbox) lose(it item) {
	o.n.lost++
	e := o.event(it)
	e.fault = lostNotifications
	o.sim.events.add(&e)
}

func (o *outbox) delay(it item, d time.Duration) {
	it.at += d.Microseconds()
	o.later.push(it)
	o.n.pending++
}

// hit decides whether a fault meets a notification. The simulator's lock is held.
func (o *outbox) hit(l luck, f fault, share float64) bool {
	if !l.hit(f, share) {
		return false
	}
	o.sim.faultedLocked(f)
	return true
}

// event is one notified operation for the event log. The simulator's lock is held.
func (o *outbox) event(it item) event {
	s, i := o.sim, it.order
	e := event{kind: kindNotification, at: time.Now().UnixMicro(), issuer: s.byNumber[it.issuer].ID, status: "UPDATE_ORDER"}
	if it.change {
		i = s.ledger.changes[it.order].order
	}
	r := s.ledger.at(i)
	e.card, e.request = r.cardID(), r.requestID()
	if !it.change {
		st, _ := r.step(int(it.stage))
		e.status = st.status
	}
	return e
}

// addChange takes the outcome of a change. The simulator's lock is held.
func (o *outbox) addChange(issuer uint16, n uint32) {
	set := o.sim.settings.Load()
	if set.NotificationURL == "" {
		return
	}
	f, q := &set.Faults, &o.queues[issuer]
	it := item{at: time.Now().Add(set.NotificationDelay).UnixMicro(), order: n, change: true, issuer: issuer}
	l := o.sim.dice.luck(kindChange+kindNotification, o.sim.ledger.at(o.sim.ledger.changes[n].order).ids, n)
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.hit(l, lostNotifications, f.LostNotifications):
		o.lose(it)
	case o.hit(l, delayedNotifications, f.DelayedNotifications):
		o.delay(it, f.DelayedFor)
	default:
		o.put(q, it)
		if o.hit(l, duplicateNotifications, f.DuplicateNotifications) {
			o.put(q, it)
		}
	}
	o.poke()
}

func (o *outbox) put(q *queue, it item) {
	q.items = append(q.items, it)
	o.n.pending++
}

// poke wakes one worker; it wakes the next when it leaves work behind.
func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) wakeUp() {
	for range cap(o.wake) {
		o.poke()
	}
}

func (o *outbox) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.queues {
		o.queues[i] = queue{}
	}
	o.retries, o.later, o.held, o.n = nil, nil, map[uint32]item{}, notificationTotals{}
	o.era++
}

// work sends batch after batch.
func (o *outbox) work(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		b, wait := o.next(time.Now())
		if b != nil {
			o.deliver(ctx, b)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-o.wake:
		}
	}
}

// next takes the batch that is due, or says how long to wait.
func (o *outbox) next(now time.Time) (*batch, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	wait := time.Hour
	if o.sim.settings.Load().PauseNotifications {
		return nil, wait
	}
	if len(o.retries) > 0 {
		if d := o.retries[0].at.Sub(now); d > 0 {
			wait = min(wait, d)
		} else {
			o.poke()
			return o.retries.pop(), 0
		}
	}
	if len(o.retries) >= maxRetries {
		return nil, wait
	}
	wait = min(wait, o.release(now))
	for i := range o.queues {
		q := &o.queues[i]
		n := 0
		for n < min(q.len(), o.sim.cfg.Notifications.BatchSize) {
			if d := time.UnixMicro(q.items[q.head+n].at).Sub(now); d > 0 {
				wait = min(wait, d)
				break
			}
			n++
		}
		if n > 0 {
			b := &batch{issuer: i, items: q.take(n), era: o.era}
			o.poke()
			return b, 0
		}
	}
	return nil, wait
}

// release puts what was delayed long enough into its queue and says how long
// to wait for the next.
func (o *outbox) release(now time.Time) time.Duration {
	for len(o.later) > 0 {
		if d := time.UnixMicro(o.later[0].at).Sub(now); d > 0 {
			return d
		}
		it := o.later.pop()
		q := &o.queues[it.issuer]
		q.items = append(q.items, it) // counted when it was delayed
	}
	return time.Hour
}

// deliver sends a batch once and settles what comes of it.
func (o *outbox) deliver(ctx context.Context, b *batch) {
	s := o.sim
	body, url, ok := o.render(b)
	if !ok {
		return
	}
	res, answer := o.sender.send(ctx, url, body)
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if b.era != o.era {
		return
	}
	first, unread := b.items[0], fault("")
	l := s.dice.luck("acknowledgement", strconv.FormatUint(uint64(first.order), 36), uint32(first.stage)<<16|uint32(b.attempt))
	if res == delivered && o.hit(l, unreadNotificationAcks, s.settings.Load().Faults.UnreadNotificationAcks) {
		res, unread = failed, unreadNotificationAcks
	}
	for _, it := range b.items {
		e := o.event(it)
		e.attempt, e.answer, e.fault = int32(b.attempt+1), answer, unread
		s.events.add(&e)
	}
	o.settle(b, res)
	s.signalLocked()
}

func (o *outbox) settle(b *batch, res result) {
	n, plan := len(b.items), o.sim.cfg.Notifications.RetryPlan
	if p := o.sim.settings.Load().NotificationRetryPlan; len(p) > 0 {
		plan = p
	}
	o.n.requests++
	if res == failed {
		o.n.failures++
		if b.attempt < len(plan) {
			b.at = time.Now().Add(plan[b.attempt])
			b.attempt++
			o.retries.push(b)
			return
		}
	}
	o.n.pending -= n
	switch res {
	case delivered:
		o.n.delivered += n
		for _, it := range b.items {
			if it.change {
				continue
			}
			o.sim.ledger.at(it.order).notified++
		}
	case refused:
		o.n.refused += n
	default:
		o.n.givenUp += n
	}
}

// render writes the body of a batch; false when it was reset meanwhile.
func (o *outbox) render(b *batch) (body []byte, url string, ok bool) {
	s := o.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	o.mu.Lock()
	current := b.era == o.era
	o.mu.Unlock()
	if !current {
		return nil, "", false
	}
	body = append(make([]byte, 0, 64+512*len(b.items)), `{"operations":[`...)
	for i, it := range b.items {
		if i > 0 {
			body = append(body, ',')
		}
		if it.change {
			body = s.appendChange(body, it.order)
		} else {
			body = s.appendOperation(body, it.order, it.stage)
		}
	}
	return append(body, "]}"...), s.settings.Load().NotificationURL +
		"/notifications/d1/v2/issuers/" + s.byNumber[b.issuer].ID + "/cards", true
}

func (o *outbox) summarize(sum *Summary) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum.NotificationsPending, sum.NotificationsDelivered = o.n.pending, o.n.delivered
	sum.NotificationsLost, sum.NotificationsRefused = o.n.lost, o.n.refused
	sum.NotificationsGivenUp, sum.NotificationRequests = o.n.givenUp, o.n.requests
	sum.NotificationFailures = o.n.failures
}
