package main

import (
	"testing"

	"cardbatch/internal/config"
)

// Whoever doubts a night's orders is told that the day's budget of questions
// keeps them for days.
func TestDaysToAsk(t *testing.T) {
	track := config.Track{NotFoundAsks: 2, DailyBudget: 20_000}
	for orders, want := range map[int]int{0: 0, 1: 1, 10_000: 1, 10_001: 2, 200_000: 20} {
		if got := daysToAsk(orders, track); got != want {
			t.Errorf("%d orders: %d days, want %d", orders, got, want)
		}
	}
}
