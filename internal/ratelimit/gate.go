package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// class is whose call it is.
type class int

const (
	foreground class = iota // ordering
	background              // everything that can wait
)

const (
	// yields is how many calls of the foreground may pass one of the background
	// that waits.
	yields = 9
	// active is how long after its last call the foreground still counts as
	// being at work.
	active = time.Second
)

// gate decides who is next: who may look for a slot, and who is in flight.
type gate struct {
	most  int  // in flight; 0: no limit
	rated bool // whoever enters also holds the turn, until pass

	mu      sync.Mutex
	flying  [2]int
	turn    bool // somebody holds it
	passed  int  // calls that have passed the first waiting one of the background
	lastOne time.Time
	waiting [2][]chan struct{} // first come, first served within a class
}

// enter waits for a place in flight and, where there is a rate, for the turn.
func (g *gate) enter(ctx context.Context, c class) error {
	g.mu.Lock()
	if c == foreground {
		g.lastOne = time.Now()
	}
	entered := make(chan struct{})
	g.waiting[c] = append(g.waiting[c], entered)
	g.admit()
	g.mu.Unlock()
	select {
	case <-entered:
		return nil
	default:
	}
	select {
	case <-entered:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.waiting[c] {
		if other == entered {
			g.waiting[c] = append(g.waiting[c][:i], g.waiting[c][i+1:]...)
			return fmt.Errorf("wait for the rate limit: %w", ctx.Err())
		}
	}
	return nil // it was let in at the same moment
}

// pass gives the turn to the next one.
func (g *gate) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.turn = false
	g.admit()
}

// leave gives a place in flight back.
func (g *gate) leave(c class) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying[c]--
	g.admit()
}

// admit lets in whom it can.
func (g *gate) admit() {
	for !g.rated || !g.turn {
		c, ok := g.choose()
		if !ok {
			return
		}
		if c == foreground && len(g.waiting[background]) > 0 {
			g.passed++
		}
		if c == background {
			g.passed = 0
		}
		first := g.waiting[c][0]
		g.waiting[c] = g.waiting[c][1:]
		g.flying[c]++
		g.turn = g.rated
		close(first)
	}
}

func (g *gate) choose() (class, bool) {
	if g.most > 0 && g.flying[foreground]+g.flying[background] >= g.most {
		return 0, false
	}
	behind := len(g.waiting[background]) > 0 && g.flying[background] < g.share()
	switch {
	case len(g.waiting[foreground]) > 0 && (!behind || g.passed < yields):
		return foreground, true
	case behind:
		return background, true
	}
	return 0, false
}

// share is how many calls of the background may be in flight: a quarter, as
// long as the foreground is at work.
func (g *gate) share() int {
	busy := g.flying[foreground] > 0 || len(g.waiting[foreground]) > 0 || time.Since(g.lastOne) < active
	switch {
	case g.most == 0:
		return int(^uint(0) >> 1)
	case busy:
		return max(1, g.most/4)
	}
	return g.most
}
