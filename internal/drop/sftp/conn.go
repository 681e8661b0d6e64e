package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// conn is one ssh connection with one SFTP session. One operation uses it at
// a time.
type conn struct {
	net      *rollingConn
	ssh      *ssh.Client
	sftp     *pkgsftp.Client
	watchdog watchdog
	ended    chan struct{} // closed when the connection is gone
	closing  sync.Once

	// sent says that the running operation has sent a request that must not
	// be repeated.
	sent bool
}

// errSilent is why the watchdog closed a connection.
var errSilent = errors.New("the server does not answer")

// run lets go of a call to the library when ctx ends or the server falls
// silent, by closing the connection, and says why it did.
func (c *conn) run(ctx context.Context, call func() error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { c.kill(context.Cause(ctx)) })
	defer stop()
	c.watchdog.arm()
	defer c.watchdog.disarm()
	err := call()
	if err != nil && !isAnswer(err) {
		c.kill(err) // a connection in doubt is not used again
		if why := c.net.why(); why != nil {
			return why
		}
	}
	return err
}

// kill closes the connection without waiting for anybody; the first reason
// is kept.
func (c *conn) kill(why error) { c.net.closeFor(why) }

// close ends the connection and its goroutines.
func (c *conn) close() {
	c.closing.Do(func() {
		c.kill(net.ErrClosed)
		_ = c.ssh.Close()
		if c.sftp != nil {
			_ = c.sftp.Close()
		}
	})
}

func (c *conn) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return c.net.why() == nil
	}
}

// keepAlive asks for a sign of life again and again: any answer moves the
// deadline of the connection. It returns when the connection has ended.
func (c *conn) keepAlive(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-c.ended:
			return
		case <-ticker.C:
			if _, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
		}
	}
}

// rollingConn is a network connection whose deadlines move with every byte.
type rollingConn struct {
	net.Conn
	idle    time.Duration
	rolling atomic.Bool // false while logging in, which has one deadline

	mu     sync.Mutex
	reason error // why it was closed
}

// startRolling replaces the deadline of the login, also for a read that is
// waiting already.
func (c *rollingConn) startRolling() error {
	c.rolling.Store(true)
	if err := c.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	return c.SetReadDeadline(time.Now().Add(c.idle))
}

func (c *rollingConn) Read(p []byte) (int, error) {
	if c.rolling.Load() {
		if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	return n, c.seen(err)
}

func (c *rollingConn) Write(p []byte) (int, error) {
	if c.rolling.Load() {
		if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Write(p)
	return n, c.seen(err)
}

// seen remembers a timeout: the layers above make other errors of it.
func (c *rollingConn) seen(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.closeFor(fmt.Errorf("%w: no sign of life for %s: %w", errSilent, c.idle, os.ErrDeadlineExceeded))
	}
	return err
}

func (c *rollingConn) closeFor(why error) {
	c.mu.Lock()
	if c.reason == nil {
		c.reason = why
	}
	c.mu.Unlock()
	_ = c.Close()
}

func (c *rollingConn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

func (c *rollingConn) timedOut() bool { return errors.Is(c.why(), os.ErrDeadlineExceeded) }

// watchdog bites when nothing of the file service is heard for too long while
// it is armed, that is, while somebody waits for an answer.
type watchdog struct {
	mu    sync.Mutex
	limit time.Duration
	timer *time.Timer
	armed bool
}

func (w *watchdog) init(limit time.Duration, bite func(error)) {
	w.limit = limit
	w.timer = time.AfterFunc(limit, func() {
		w.mu.Lock()
		armed := w.armed
		w.mu.Unlock()
		if armed {
			bite(fmt.Errorf("%w: no answer to a request for %s", errSilent, limit))
		}
	})
	w.timer.Stop()
}

func (w *watchdog) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = true
	w.timer.Reset(w.limit)
}

func (w *watchdog) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	w.timer.Stop()
}

func (w *watchdog) heard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.armed {
		w.timer.Reset(w.limit)
	}
}

// watchedReader tells the watchdog about what the file service sends.
type watchedReader struct {
	from io.Reader
	dog  *watchdog
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.dog.heard()
	return n, err
}
