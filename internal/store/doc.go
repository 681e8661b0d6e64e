// Package store is the store of record: every batch, every order and its
// state, every event, and what the stages must remember between runs. It is
// the only package that knows SQL.
//
// # Use
//
//	store.Migrate(ctx, cfg)            // creates or upgrades; Open never does
//	s, err := store.Open(ctx, cfg)
//	id, err := s.StartSession(ctx, node)
//	s.RecoverSessions(ctx, settle)     // before any stage runs
//
// The engine is SQLite in one file, with its log and the lock files of the
// sessions beside it. Any number of processes may open the file: the daemon, a
// command that runs one job, a command that only looks.
//
// # Writing
//
// One connection writes. Its goroutine takes all writes that are waiting into
// one transaction, each under a savepoint of its own, and answers them after
// one commit, which is durable (WAL, synchronous=FULL). So a method that
// returned nil is on disk, a write that fails leaves no trace and does not
// disturb the others, and a hundred callers at once cost little more than one.
// Transactions begin as writers (BEGIN IMMEDIATE): one that begins as a reader
// and then writes is refused as busy at once, whatever the timeout.
//
// Readers have connections of their own, which cannot write.
//
// # Order rows
//
// The key of an order is its batch and row, so that rows of a file lie together
// and are read in the order of the file. Acceptance is the state of the batch:
// a million orders are released by changing one row. An order row holds what
// changes and is looked for; sealed payloads have a table of their own and go
// as soon as D1 has the order.
//
// There are few indexes, and the partial ones hold only what is under way: the
// queue of open orders, and the submitted ones of which news is expected.
// Neither start nor recovery reads orders that are done. An order_id is owned
// by one order of its issuer for ever (live = 1, decided when the row is added
// and never changed); its repeats and conflicts are rows with live = 0.
//
// # News
//
// What D1 says of an order is applied in the transaction that keeps it, by the
// rules of [issuance.Order.Hear]. News that belongs to no order is parked, with
// its age ([Store.ParkedOperations]), and applied when its order is accepted, in
// that very transaction, or by [Store.ApplyParked]. An order that D1 has taken
// twice ([Store.OrdersTakenTwice]) or does not know any more
// ([Store.MissingOrders]) is kept in sight by an index of its own, and words that
// mean nothing to us are counted ([Store.StrangeWords]).
//
// News goes before the loading of files, which is done in large writes one after
// another: while many others write, loading gets an eighth of the writer's time.
//
// # Change rows
//
// The rows of files of changes have a table of their own, with keys of the same
// numbering, so that row errors, events and their chains serve both. Their
// sealed requests have one, too. A change that is made in our copy of an order
// is decided in the transaction that writes it (ApplyChanges): it and a claim of
// the order (ClaimReady) cannot both win.
//
// # History
//
// The event table only grows: triggers refuse to change or delete. Ids rise in
// the order of commits, so "all events after n" misses nothing. The events of
// one order are a chain, each naming the one before and the order naming the
// last, which costs no index.
//
// A state changes only by [issuance.Order.Transition] and
// [issuance.Order.Hear], or for many orders at once by a statement whose pair
// of states [issuance.State.CanBecome] has allowed; the event is written in the
// same transaction. The schema's checks restate the states, and
// [Store.Balance] looks for everything they cannot see.
//
// # Who may do what
//
// A session is a process: a row, and a file that it holds locked, which the
// kernel unlocks when it dies. Claims, batches being loaded and open runs
// belong to a session. RecoverSessions ends those whose file is free. An
// outcome counts for the attempt and session that claimed the order, or, when
// it says that D1 has the order, always: evidence beats opinion.
//
// # Values
//
// Times are microseconds since 1970, UTC. Nothing here opens a payload or the
// body of a notification; both are sealed by the caller. Errors name what was
// being done and never a value.
package store
