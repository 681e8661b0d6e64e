package submit

import (
	"context"
	"sync"
)

// lanes bounds how many orders are between the decision to send and the
// answer. Its width changes while it is in use.
type lanes struct {
	mu      sync.Mutex
	width   int
	blocked bool // nobody enters, whatever the width
	used    int
	waiting int
	changed chan struct{} // closed when it is worth looking again
}

func newLanes(width int) *lanes { return &lanes{width: width, changed: make(chan struct{})} }

// enter waits for a free lane. It reports false when ctx ended first.
func (l *lanes) enter(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ctx.Err() == nil {
		if !l.blocked && l.used < l.width {
			l.used++
			return true
		}
		changed := l.changed
		l.waiting++
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		l.mu.Lock()
		l.waiting--
	}
	return false
}

func (l *lanes) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used--
	l.wake()
}

func (l *lanes) widen(to int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.width != to {
		l.width = to
		l.wake()
	}
}

func (l *lanes) block(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.blocked = on
	l.wake()
}

func (l *lanes) wake() {
	if l.waiting > 0 {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}
