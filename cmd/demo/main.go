// Demo plays one whole night on one machine, with nothing installed but Go: an
// SFTP server, a simulated Thales D1 with its Shopfloor, and the cardbatch
// daemon as a process of its own, all on loopback. Order files are dropped,
// some of them damaged; the daemon is killed in the middle of submitting and
// started again; orders are cancelled and redirected by files, wherever they
// happen to be; days of production pass in seconds, and of what D1 reports of
// them much is lost, repeated or overtaken by what is newer, until the daemon
// asks. At the end everything the back office would read is on the SFTP server;
// the totals on every side are compared, and every order and every change with
// D1's own books.
//
// The exit code is 0 only if everything balances, all agree, and no card was
// made twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the demo's flags.
type options struct {
	orders int
	seed   uint64
	json   bool
	out    string
}

const usage = `usage: demo [--orders N] [--seed S] [--json] [--out DIR]

Plays one night from the drop to the report on loopback.

  --orders N   rows to drop, over all good files (default 1000)
  --seed S     makes the night repeatable (default 1)
  --json       print the summary as one JSON object
  --out DIR    where to leave everything (default a new temporary directory);
               must be empty or not exist
`

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { _, _ = io.WriteString(stderr, usage) }
	flags.IntVar(&o.orders, "orders", 1000, "")
	flags.Uint64Var(&o.seed, "seed", 1, "")
	flags.BoolVar(&o.json, "json", false, "")
	flags.StringVar(&o.out, "out", "", "")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.orders < minOrders || o.orders > 1_000_000 {
		return o, fmt.Errorf("--orders must lie between %d and 1000000", minOrders)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == daemonCommand {
		return runDaemon(ctx, args[1:], stderr)
	}
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "demo:", err)
		return 2
	}
	s, err := play(ctx, o, stderr)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "demo:", err)
		if s.Out != "" {
			_, _ = fmt.Fprintln(stderr, "what there is so far, with the daemon's log, is in", s.Out)
		}
		return 1
	}
	if o.json {
		err = s.writeJSON(stdout)
	} else {
		err = s.writeTable(stdout)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return s.exitCode()
}
