// Package schedule decides when jobs run, and runs them. A job file (see
// jobs/README.md) names a stage and a schedule; [LoadJobs] reads them, and
// [Scheduler] runs what is due until it is stopped.
//
// # Due times
//
// Five cron fields are counted on a bare wall clock, by robfig/cron on UTC, and
// the wall times are then placed in the job's zone:
//
//   - a time that does not exist in a spring night becomes the moment of the
//     change, which is the next time that does exist;
//   - a time that exists twice in an autumn night counts the first time. Only
//     jobs of every hour (hour field *) also run the second time: a job of every
//     minute must not rest for an hour because the clock was put back.
//
// # The run ledger
//
// A run is recorded before it starts, under its job and due time, unique. So a
// second firing is harmless, on this node or another, and a missed one is seen:
// at the start and whenever the scheduler looks, due times since the last one
// in the ledger that have not run are either caught up by one run or recorded
// as skipped. Two runs of a job never overlap.
//
// Nothing is slept on for long: the clock is read again every 30 seconds, so a
// clock that is changed or a machine that was suspended costs no more than
// that. A panic in a stage fails its run and nothing else.
//
// The ledger, the stages and the clock are given to [New]; this package imports
// neither store nor stages.
package schedule
