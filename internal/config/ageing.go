package config

import "time"

// Ageing says when an order of a product needs a person. Days are working days
// of the personalization center, and whole: 0 lists on the first working day after.
type Ageing struct {
	// SilentAfterDays is how long an order at D1 may be without news. It should be
	// longer than the longest pause between two steps of production, where
	// renewals may wait for ten days. Default: 5.
	SilentAfterDays int `yaml:"silent_after_days"`
	// HoldDays is how long production may pause. Default: 2.
	HoldDays int `yaml:"hold_days"`
	// OverdueGraceDays is how long an order may be beyond the date that D1
	// estimated. Default: 0.
	OverdueGraceDays int `yaml:"overdue_grace_days"`
	// UnresolvedAfter is how long the outcome of sending an order may be
	// unknown. Default: 4h.
	UnresolvedAfter time.Duration `yaml:"unresolved_after"`
}

// Exceptions says what is in the exceptions file beside the orders that take
// too long.
type Exceptions struct {
	// EndedForDays is how many calendar days an order is listed that has ended
	// badly: refused, failed, returned. Default: 30.
	EndedForDays int `yaml:"ended_for_days"`
	// UnmatchedAfter is how long news of D1's may wait for its order. Default: 24h.
	UnmatchedAfter time.Duration `yaml:"unmatched_after"`
}

// The defaults of [Ageing].
const (
	silentAfterDays = 5
	holdDays        = 2
	unresolvedAfter = 4 * time.Hour
	maxAgeDays      = 365
)

func (a *Ageing) check(c checker, key string) {
	c.ageDays(key+".silent_after_days", &a.SilentAfterDays, silentAfterDays)
	c.ageDays(key+".hold_days", &a.HoldDays, holdDays)
	c.ageDays(key+".overdue_grace_days", &a.OverdueGraceDays, 0)
	or(c, key+".unresolved_after", &a.UnresolvedAfter, unresolvedAfter)
}

func (e *Exceptions) check(c checker, key string) {
	or(c, key+".ended_for_days", &e.EndedForDays, 30)
	or(c, key+".unmatched_after", &e.UnmatchedAfter, 24*time.Hour)
}

// ageDays takes zero for what it says.
func (c checker) ageDays(key string, v *int, def int) {
	switch {
	case !c.Has(key):
		*v = def
	case *v < 0 || *v > maxAgeDays:
		c.Problem(key, "must be 0 to %d days", maxAgeDays)
	}
}

// DefaultAgeing is that of a product that says nothing of it, or is not in the
// configuration any more.
func DefaultAgeing() Ageing {
	return Ageing{SilentAfterDays: silentAfterDays, HoldDays: holdDays, UnresolvedAfter: unresolvedAfter}
}
