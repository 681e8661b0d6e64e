package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"cardbatch/internal/drop"
)

// Drop is a file drop on an SFTP server; it implements [drop.Drop].
type Drop struct {
	cfg     Config
	auth    []ssh.AuthMethod
	keyType atomic.Value // string: the type of the host key that was right
	slots   chan struct{}
	closed  context.Context // ends with Close
	end     context.CancelCauseFunc
	wg      sync.WaitGroup

	mu   sync.Mutex
	idle []*conn
	all  map[*conn]struct{} // idle or in use
}

var (
	_ drop.Drop = (*Drop)(nil)

	errClosed = fmt.Errorf("%w: closed", drop.ErrUnavailable)
)

// New checks the configuration. It does not connect.
func New(cfg Config) (*Drop, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("sftp: %w", err)
	}
	if err := checkFingerprints(cfg.HostKeys); err != nil {
		return nil, fmt.Errorf("sftp %s: %w", cfg.Address, err)
	}
	auth, err := cfg.authMethods()
	if err != nil {
		return nil, fmt.Errorf("sftp %s: %w", cfg.Address, err)
	}
	d := &Drop{cfg: cfg, auth: auth, slots: make(chan struct{}, cfg.MaxConnections), all: map[*conn]struct{}{}}
	d.closed, d.end = context.WithCancelCause(context.Background())
	return d, nil
}

// Close implements [drop.Drop]. It waits until every connection has ended;
// files still open fail.
func (d *Drop) Close() error {
	d.end(errClosed)
	d.dropIdle()
	d.mu.Lock()
	for c := range d.all {
		c.kill(errClosed)
	}
	d.mu.Unlock()
	d.wg.Wait()
	return nil
}

// do runs one operation on a connection of its own. When a reused connection
// turns out to be dead before anything was sent that must not be repeated,
// the operation starts again on a fresh one.
func (d *Drop) do(ctx context.Context, operation func(*conn) error) error {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	for fresh := false; ; fresh = true {
		c, reused, err := d.acquire(ctx, fresh)
		if err != nil {
			return err
		}
		c.sent = false
		err = c.run(ctx, func() error { return operation(c) })
		again := reused && !c.sent && !c.alive() && ctx.Err() == nil
		d.release(c)
		if err == nil || !again {
			return d.explain(ctx, err)
		}
	}
}

// bounded is ctx, ended also by Close.
func (d *Drop) bounded(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.closed, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// acquire takes an idle connection, which it says, or makes one, when fresh is
// asked for or none is left.
func (d *Drop) acquire(ctx context.Context, fresh bool) (*conn, bool, error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	if fresh {
		d.dropIdle() // they are as old as the one that was dead
	}
	if c := d.takeIdle(); c != nil {
		return c, true, nil
	}
	c, err := d.dial(ctx)
	if err == nil {
		err = d.register(c)
	}
	if err != nil {
		<-d.slots
		return nil, false, err
	}
	return c, false, nil
}

// register starts what goes on in the background of a connection.
func (d *Drop) register(c *conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed.Err() != nil {
		c.close()
		return errClosed
	}
	d.all[c] = struct{}{}
	d.wg.Go(func() {
		_ = c.ssh.Wait()
		close(c.ended)
		d.mu.Lock()
		delete(d.all, c)
		d.mu.Unlock()
	})
	d.wg.Go(func() { c.keepAlive(d.cfg.KeepAlive) })
	return nil
}

// release gives a connection back.
func (d *Drop) release(c *conn) {
	d.mu.Lock()
	keep := c.alive() && d.closed.Err() == nil
	if keep {
		d.idle = append(d.idle, c)
	}
	d.mu.Unlock()
	if !keep {
		c.close()
	}
	<-d.slots
}

func (d *Drop) takeIdle() *conn {
	for {
		d.mu.Lock()
		last := len(d.idle) - 1
		if last < 0 {
			d.mu.Unlock()
			return nil
		}
		c := d.idle[last]
		d.idle = d.idle[:last]
		d.mu.Unlock()
		if c.alive() {
			return c
		}
		c.close()
	}
}

func (d *Drop) dropIdle() {
	d.mu.Lock()
	idle := d.idle
	d.idle = nil
	d.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// explain makes an error of a lost connection one that callers know.
func (d *Drop) explain(ctx context.Context, err error) error {
	switch {
	case err == nil || isAnswer(err) || errors.Is(err, drop.ErrUnavailable):
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: connection lost: %w", drop.ErrUnavailable, err)
}

// The codes of a status that says the connection is gone.
const (
	statusNoConnection   = 6
	statusConnectionLost = 7
)

// isAnswer tells what the server (or we) said about files from the failure of
// a connection. What is not known to be an answer is a failure.
func isAnswer(err error) bool {
	if status := new(pkgsftp.StatusError); errors.As(err, &status) {
		return status.Code != statusNoConnection && status.Code != statusConnectionLost
	}
	for _, answer := range []error{
		fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, drop.ErrUnverified, errNoDirectory, errDenied,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}
