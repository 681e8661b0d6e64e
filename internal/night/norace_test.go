//go:build !race

package night_test

const underRace = false
