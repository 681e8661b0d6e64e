// Package night proves the promise of cardbatch: never twice, never lost. It
// holds no program, only tests, and this is their manual.
//
// # What is proven
//
// A night is everything from the order files in the drop to the last report.
// Whatever fails in it, at any moment, in the end
//
//	D1's ledger   has every good row of every accepted file exactly once, and nothing else
//	the store     has every row in one state, and balances
//	the reports   parse, balance, and say of every row what the store and D1 say
//	the drop      has every file exactly once, in the archive or in the quarantine
//	              directory, unchanged
//	notifications answered with 204 are in the store, from that moment on
//
// D1 is simulated in its worst mode ("blind"): it makes a card for every request
// that reaches it. So the only way to get this right is never to send an order
// twice. The expectations come from the files that were dropped and from D1's
// own ledger, not from the program under test.
//
// # The three proofs
//
// TestNightKilled (kill_test.go) runs the real daemon as a process of its own,
// with files dropped all the time, and kills it (SIGKILL) again and again: when
// the n-th order reaches D1, was processed, or is being answered; when a
// notification is half way into the daemon, or just answered; when the n-th
// rename, write or read reaches the SFTP server; or after some time. Requests
// are reset, answered with errors, or late; notifications are lost, sent
// twice and out of order. After each kill the daemon starts again at once, and what it had
// answered 204 to is looked up. After every few kills all is left to settle and
// compared. TestNightKilledInBatches does the same with several orders in each
// request, TestNightKilledWhileChanging with files of changes (cancel, redirect,
// accelerate) dropped in waves: an order is cancelled here and never reaches D1, or
// D1 has accepted its cancel and makes no card; the last redirect that was made says
// where D1 sends the card; every change file balances. And TestNightKilledTogether while other processes,
// "cardbatch run", work on the same store: now one of them dies, now the
// daemon, now all but one.
//
// TestNightEveryCallFails (fault_test.go) plays a small night inside the test
// and lets each call to the store, the drop and D1 fail once, in turn: before it
// was done, and after it was done, so that only its answer is lost.
//
// TestNightHistories (history_test.go) makes up histories: files good, bad,
// repeated, sent again and corrected; runs of the stages; deaths at any call; faults of
// D1; notifications in any order, twice or never. A model of a few lines says
// what must come of them.
//
// # Running it long
//
//	CARDBATCH_NIGHT_KILLS=1000 go test -run Night ./...
//
// kills that many times, over a few worlds side by side, and says with -v what was
// hit; a quarter of it in batches, a quarter with several processes on one store, and a sixth more with changes. It also
// lets every single call fail where CI takes every twelfth. CI kills a few dozen
// times. On two quiet cores a kill costs about a third of a second; a night longer
// than go test's default of ten minutes needs its -timeout.
//
// The choices of a night follow from a seed, which every failure names;
// CARDBATCH_NIGHT_SEED repeats them. The moments at which processes do things do
// not, so a failure may need several tries. A night that fails leaves its
// directory behind, with the daemon's log, and says where.
package night
