package sftptest

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// faults decides what goes wrong.
type faults struct {
	mu    sync.Mutex
	hook  Hook
	delay time.Duration
}

func (f *faults) setHook(hook Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *faults) setDelay(delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = delay
}

// apply is called before an operation. It returns Lie, an error to report, or
// nil to go on.
func (f *faults) apply(ctx context.Context, conn net.Conn, op, path string) error {
	f.mu.Lock()
	hook, delay := f.hook, f.delay
	f.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if hook == nil {
		return nil
	}
	err := hook(op, path)
	switch {
	case errors.Is(err, Hang):
		<-ctx.Done()
		return ctx.Err()
	case errors.Is(err, Cut):
		_ = conn.Close()
		return err
	}
	return err
}
