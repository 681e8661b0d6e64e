package main

import (
	"context"
	"time"

	"cardbatch/internal/d1/d1sim"
	"cardbatch/internal/rehearsal"
)

const day = 400 * time.Millisecond // of the Shopfloor

// newWorld builds the world around the daemon, with D1 in its worst mode: it
// makes a card for every request that reaches it, repeated or not.
func newWorld(ctx context.Context, dir string, rate int, seed uint64) (*rehearsal.World, error) {
	return rehearsal.New(ctx, rehearsal.Config{
		Dir: dir, Seed: seed,
		D1: d1sim.Settings{
			Day:        day,
			Duplicates: d1sim.DuplicatesBlind,
			Production: d1sim.Production{DataException: 0.01, OnHold: 0.01},
		},
		Notifications: d1sim.Notifications{
			BatchSize: 50, Timeout: 5 * time.Second,
			RetryPlan: []time.Duration{
				500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second,
			},
		},
		Floor: d1sim.Floor{ShipUndelivered: true},
		// A night of minutes is too short for these.
		Jobs: map[string]rehearsal.Job{"track": {Schedule: "*/3 * * * *"}, "status": {Schedule: "*/3 * * * *"}},
		Pace: rehearsal.Pace{Rate: rate},
	})
}
