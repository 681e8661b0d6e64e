//go:build race

package night_test

// underRace says that the race detector watches us: the store is an order of
// magnitude slower then, and the daemon, which is built without it, is not watched.
const underRace = true
