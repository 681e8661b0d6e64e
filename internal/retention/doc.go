// Package retention is the stage that erases what is no longer needed: sealed
// requests, bodies of notifications, rows of the run ledger (see
// [issuance.Erasables]), each kind after a time of its own.
//
// What is erased is what could still hold card or personal data, sealed as it
// is, and what only fills the disk. Nothing that is needed to account for a row
// goes: orders, events, totals and what was delivered stay, and a repeat of an
// order or of a notification is recognised for ever.
//
// A run erases in slices, each a transaction of its own, so that it holds up
// nobody and can be stopped and repeated anywhere. How much it erased stands in
// its summary, in the run ledger.
package retention
