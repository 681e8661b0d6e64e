package submit

import (
	"slices"
	"sync"
	"time"

	"cardbatch/internal/issuance"
)

// groups is what the workers of a batch pass share.
type groups struct {
	mu    sync.Mutex // held while a slice is handed over or a group is taken
	aside []waiting  // taken from the work and in no group yet
	room  *room      // guarded by pass.mu
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

// handOver puts a slice to work. In the batch mode it is whole before a worker
// gathers from it.
func (p *pass) handOver(claims []issuance.Claim, since time.Time) {
	p.groups.mu.Lock()
	defer p.groups.mu.Unlock()
	for _, c := range claims {
		p.work <- waiting{c, since}
	}
}
