package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// How much a group takes in before it commits: what is durable together waits
// together.
const (
	groupSize   = 256
	groupWeight = 1024 // operations of its notifications, which are applied together
	groupTime   = 20 * time.Millisecond
)

// Bulk writes, the loading of files, take the writer for milliseconds each, and
// whoever loads has the next one ready at once, and the processors busy with the
// one after. While others write much, they get a share only: the rest between two
// bulk writes grows with the rate of the other writes.
const (
	bulkShare = 8     // at the full rate, a bulk write rests until its share of the time is one in so many
	fullRate  = 1_000 // other writes per second, a notification counting as many as it has operations
	// Beyond so many calls a second the processors are short, which whoever loads
	// takes as much of as of the writer: the share goes down with each more.
	busyRate   = 1_500
	mostRests  = 6  // times the rest at the full rate
	manyOthers = 16 // fewer since the last bulk write do not make it rest
	// Without another write for so long, nobody needs the rest. Not much less: those
	// who write may be waiting for a processor.
	idleAfter = 10 * time.Millisecond
)

// writer is the one connection that writes. It commits in groups: writes that
// arrive while others run share their transaction, each under a savepoint of
// its own, and one sync makes all of them durable. Many small writers then
// cost little more than one, and none is answered before its commit.
type writer struct {
	db    *sql.DB
	stmts *statements
	now   func() time.Time
	queue chan *write
	bulk  chan *write
	stop  chan struct{}
	done  chan struct{}

	// Of the bulk writes, for the loop alone.
	others    int       // writes since the last, with their weight
	calls     int       // the same, without
	lastBulk  time.Time // when it ended
	restUntil time.Time // unless nobody else writes
}

type write struct {
	ctx    context.Context
	name   string
	fn     func(*tx) error
	err    error
	panics any
	done   chan struct{}
	bulk   bool

	news   *news // of a notification: it can be applied together with others
	weight int
}

func newWriter(ctx context.Context, dsn string, now func() time.Time) (*writer, error) {
	db, err := openPool(dsn, 1)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(classify(err), db.Close())
	}
	w := &writer{db: db, now: now, stmts: newStatements(conn),
		queue: make(chan *write), bulk: make(chan *write), stop: make(chan struct{}), done: make(chan struct{})}
	go w.loop() //nolint:contextcheck // it outlives the opening
	return w, nil
}

func (w *writer) close() error {
	close(w.stop)
	<-w.done
	return errors.Join(w.stmts.close(), w.db.Close())
}

// write runs fn in a transaction and returns when it is committed or undone.
// A context that ends takes the write out of the queue; once fn has begun it
// runs to its end, so that the answer is always the truth.
func (s *Store) write(ctx context.Context, name string, fn func(*tx) error) error {
	return s.enqueue(&write{ctx: ctx, name: name, fn: fn})
}

// writeBulk is write for much at a time that can wait a moment.
func (s *Store) writeBulk(ctx context.Context, name string, fn func(*tx) error) error {
	return s.enqueue(&write{ctx: ctx, name: name, fn: fn, bulk: true})
}

func (s *Store) enqueue(r *write) error {
	ctx, name := r.ctx, r.name
	if s.writer == nil {
		return fmt.Errorf("%s: %w", name, ErrReadOnly)
	}
	r.done = make(chan struct{})
	queue := s.writer.queue
	if r.bulk {
		queue = s.writer.bulk
	}
	select {
	case queue <- r:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", name, ctx.Err())
	case <-s.writer.stop:
		return fmt.Errorf("%s: %w", name, ErrClosed)
	}
	<-r.done
	if r.panics != nil {
		panic(r.panics)
	}
	if r.err != nil {
		return fmt.Errorf("%s: %w", name, classify(r.err))
	}
	return nil
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		bulk, rested := w.bulk, (<-chan time.Time)(nil)
		if rest := time.Until(w.restUntil); rest > 0 {
			bulk, rested = nil, time.After(min(rest, idleAfter))
		}
		if w.others == 0 { // a bulk write was the last: those that wait are next
			select {
			case r := <-w.queue:
				w.group(r)
				continue
			default:
			}
		}
		select {
		case r := <-w.queue:
			w.group(r)
		case r := <-bulk:
			w.group(r)
		case <-rested: // or nobody needs it
			w.restUntil = time.Time{}
		case <-w.stop:
			return
		}
	}
}

// group runs first and what else is waiting in one transaction.
func (w *writer) group(first *write) {
	ctx := context.Background() // of no one member: whoever gives up must not spoil it for the others
	var members []*write
	err := begin(ctx, w.stmts)
	if err != nil {
		w.answer([]*write{first}, err)
		return
	}
	t := &tx{ctx: ctx, stmts: w.stmts, now: w.now()}
	started := time.Now()
	var together []*write
	weight := 0
	for r := first; r != nil && err == nil; r = w.next(len(members), weight, started) {
		members = append(members, r)
		weight += r.weight
		began := time.Now()
		if r.news != nil {
			together = append(together, r)
		} else {
			err = w.member(t, r)
		}
		w.count(r, time.Since(began))
	}
	if err == nil {
		err = w.together(t, together, len(together) == len(members))
	}
	if err == nil {
		err = w.stmts.run(ctx, "COMMIT")
	}
	if err != nil {
		err = errors.Join(err, w.stmts.run(ctx, "ROLLBACK"))
	}
	w.answer(members, err)
}

// next takes another write if one is waiting and the group may still grow.
func (w *writer) next(n, weight int, started time.Time) *write {
	if n >= groupSize || weight >= groupWeight || time.Since(started) > groupTime {
		return nil
	}
	select {
	case r := <-w.queue:
		return r
	default:
		return nil
	}
}

// count notes who had the writer for how long.
func (w *writer) count(r *write, took time.Duration) {
	if !r.bulk {
		w.others += max(1, r.weight)
		w.calls++
		return
	}
	now := time.Now()
	w.restUntil = now.Add(rest(took, w.others, w.calls, now.Sub(w.lastBulk)))
	w.others, w.calls, w.lastBulk = 0, 0, now
}

// rest is how long bulk writes rest after one that took so long, when there were
// so many others, in so many calls, in the time since the one before.
func rest(took time.Duration, others, calls int, since time.Duration) time.Duration {
	if others < manyOthers {
		return 0
	}
	span := max(since, took, time.Microsecond).Seconds()
	times := min(1, float64(others)/span/fullRate) * min(max(1, float64(calls)/span/busyRate), mostRests)
	return time.Duration(float64((bulkShare-1)*took) * times)
}

// together applies notifications at once, under one savepoint or, when nothing
// else is in the group, none: a savepoint costs a copy of each page that changes.
// Those that it does not suit, and all of them when it fails, are applied one by
// one: what one does wrong must not disturb the others.
func (w *writer) together(t *tx, members []*write, isGroup bool) error {
	var all []*news
	weight := 0
	for _, r := range members {
		r.news.alone = true
		if r.ctx.Err() == nil {
			all = append(all, r.news)
			weight += 1 + r.weight
		}
	}
	if weight > 2 {
		guarded := w.guarded
		if isGroup {
			guarded = w.begunAnew
		}
		failed, panics, err := guarded(t, func(t *tx) error { return t.applyTogether(all) })
		if err != nil {
			return err
		}
		for _, n := range all {
			n.alone = n.alone || failed != nil || panics != nil
		}
	}
	for _, r := range members {
		if !r.news.alone {
			continue
		}
		if err := w.member(t, r); err != nil {
			return err
		}
	}
	return nil
}

// member runs one write under its savepoint. The error it returns is one that
// spoils the whole group; the write's own error stays with the write.
func (w *writer) member(t *tx, r *write) error {
	select {
	case <-r.ctx.Done():
		r.err = r.ctx.Err()
		return nil
	default:
	}
	var err error
	r.err, r.panics, err = w.guarded(t, r.fn)
	return err
}

// guarded runs fn under a savepoint, which is undone when fn fails or panics.
// err is what spoils the whole group.
func (w *writer) guarded(t *tx, fn func(*tx) error) (failed error, panics any, err error) {
	if err := w.stmts.run(t.ctx, "SAVEPOINT member"); err != nil {
		return nil, nil, err
	}
	panics, failed = try(t, fn)
	if failed != nil || panics != nil {
		if err := w.stmts.run(t.ctx, "ROLLBACK TO member"); err != nil {
			// A full disk may have ended the whole transaction: that is the reason for everybody.
			return failed, panics, errors.Join(failed, err)
		}
		t.lastEvent = 0 // its events are gone
	}
	return failed, panics, w.stmts.run(t.ctx, "RELEASE member")
}

// begunAnew runs fn as the first of a transaction, which is begun again when fn
// fails or panics.
func (w *writer) begunAnew(t *tx, fn func(*tx) error) (failed error, panics any, err error) {
	if panics, failed = try(t, fn); failed == nil && panics == nil {
		return nil, nil, nil
	}
	t.lastEvent = 0
	if err := w.stmts.run(t.ctx, "ROLLBACK"); err != nil {
		return failed, panics, errors.Join(failed, err)
	}
	return failed, panics, begin(t.ctx, w.stmts)
}

func try(t *tx, fn func(*tx) error) (panics any, failed error) {
	defer func() { panics = recover() }()
	return nil, fn(t)
}

func (w *writer) answer(members []*write, err error) {
	for _, r := range members {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
}

// tx is the transaction a write runs in. It must not be kept.
type tx struct {
	ctx       context.Context
	stmts     *statements
	now       time.Time
	lastEvent int64 // the highest id given out, 0 until it is looked up
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	st, args, err := t.stmts.get(t.ctx, query, args) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (t *tx) query(query string, args ...any) (*sql.Rows, error) {
	st, args, err := t.stmts.get(t.ctx, query, args) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return nil, err
	}
	return st.QueryContext(t.ctx, args...)
}
