// Command cardbatch takes card-order files from a file drop, orders the cards
// from Thales D1, follows their production, and reports every row back.
//
//	cardbatch serve                 the daemon
//	cardbatch run JOB               one run of one job
//	cardbatch check                 configuration, keys and jobs; the next runs
//	cardbatch validate FILE...      order files offline, by the rules of intake
//	cardbatch sample                an order file with made-up orders
//	cardbatch release BATCH|ORDER   lets a held file pass, or a held order or change go on
//	cardbatch cancel ORDER          withdraws an order that was not sent, or a change
//	cardbatch batches|orders|runs   look
//	cardbatch report NAME           write a report now
//	cardbatch migrate | version
//
// What is asked for goes to standard output, as a table or as JSON (--output);
// everything else goes to standard error: logs, and errors as one line that
// begins with "cardbatch: ", without capital or full stop, and perhaps one that
// begins with "hint: ". Exit codes are described in package exitcode.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the machine may have no time zones

	"github.com/rs/zerolog"

	"cardbatch/internal/ops"
)

func main() { os.Exit(run()) }

func run() int {
	ops.TuneGC()
	zerolog.ErrorFieldName = "err" // one of the closed set of keys, see package ops
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the next one ends the process at once.
	context.AfterFunc(ctx, stop)
	return int(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
