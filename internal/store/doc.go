// Package store is the store of record: every batch, every order and its
// state, every event, and what the stages must remember between runs. It is
// the only package that knows SQL.
package store
