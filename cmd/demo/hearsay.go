package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/issuance"
	"cardbatch/internal/schedule"
)

// What D1 says in its own books.
type (
	entry  = d1sim.LedgerEntry
	change = d1sim.ChangeEntry
)

// setNews counts what became of D1's notifications, and what asking D1 made up
// for: orders of which nobody knew whether D1 has them, and others, and changes,
// of which it told us news that we had not heard.
func (n *night) setNews(ctx context.Context) error {
	d1, faults, s := n.world.D1.Summary(), n.world.D1.FaultCounts(), &n.sum
	s.Lost, s.Repeated, s.Reordered = int64(d1.NotificationsLost), int64(faults["duplicate_notifications"]), int64(faults["reordered_notifications"])
	s.Notifications = int64(d1.NotificationsDelivered) + s.Lost - s.Repeated
	var orders, changes []issuance.Ref
	err := n.eachOrder(ctx, func(o *issuance.Order) {
		if o.State == issuance.Submitted {
			orders = append(orders, o.Ref)
		}
	})
	if err != nil {
		return err
	}
	err = n.eachChange(ctx, func(c *issuance.Change) {
		if c.OperationID != "" {
			changes = append(changes, c.Ref)
		}
	})
	if err != nil {
		return err
	}
	for _, ref := range orders {
		life, err := n.store.Events(ctx, ref)
		if err != nil {
			return err
		}
		switch of := func(kind issuance.Kind) bool {
			return slices.ContainsFunc(life, func(e issuance.Event) bool { return asked(e) && e.Kind == kind && e.From != e.To })
		}; {
		case of(issuance.KindState):
			s.SettledByAsking++
		case of(issuance.KindProduction):
			s.FoundByAsking++
		}
	}
	for _, ref := range changes {
		life, err := n.store.ChangeEvents(ctx, ref)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(life, func(e issuance.Event) bool { return asked(e) && issuance.ChangeState(e.To).Final() }) {
			s.Changes.FoundByAsking++
		}
	}
	return nil
}

// asked reports whether we know of an event because we asked D1.
func asked(e issuance.Event) bool {
	return e.Stage == schedule.StageTrack || e.Stage == schedule.StageChange
}

// keepMetrics leaves what the daemon shows to those who watch it.
func (n *night) keepMetrics(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.world.Metrics+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("look at the daemon's metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("look at the daemon's metrics: %s, %w", resp.Status, err)
	}
	return os.WriteFile(n.world.Path("state/metrics.txt"), text, 0o600)
}
