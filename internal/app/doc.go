// Package app is cardbatch without a command line: [New] builds every part from
// the configuration and connects them, [App.Serve] is the daemon, and
// [App.RunJob] does one run of one job. Tests start it in their own process.
//
// # Wiring
//
// New is one long, straight function on purpose: it is the one place where the
// data flow of the whole program can be read from top to bottom. Every part
// that must be closed is pushed on a stack the moment it exists; Close, and a
// New that fails half-way, unwind it.
//
// # Life of a daemon
//
// Before it is ready it migrates the store, takes a session, turns the orders
// that dead sessions were sending into unknown ones, and listens for
// notifications. When it is told to stop, nothing new begins, stages come to
// their next safe point, and after the configured drain timeout it goes anyway:
// what it leaves behind is what a crash would leave, and recovered the same way.
//
// # Stages
//
// The scheduler knows stages by name. The functions here call the stages' own
// RunOnce for what a job selects, add up their summaries, and mark errors with
// their exit codes.
package app
