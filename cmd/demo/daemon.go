package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/ops"
	"cardbatch/internal/rehearsal"
	"cardbatch/internal/schedule"
)

const (
	daemonCommand = "daemon" // hidden: the demo starts itself with it
	speed         = 60       // a minute of the job schedule passes in a second
)

// runDaemon is the daemon's process. It differs from `cardbatch serve` in one
// thing: the clock of its job schedule runs faster.
//
// Its arguments are the configuration and when the night began.
func runDaemon(ctx context.Context, args []string, log io.Writer) int {
	if len(args) != 2 {
		_, _ = fmt.Fprintln(log, "the daemon is started by the demo")
		return 2
	}
	began, err := time.Parse(time.RFC3339Nano, args[1])
	if err != nil {
		_, _ = fmt.Fprintln(log, err)
		return 2
	}
	cfg, err := config.Load(args[0])
	if err != nil {
		_, _ = fmt.Fprintln(log, err)
		return 4
	}
	logger := ops.NewLogger(log, cfg.Log.Level, cfg.Log.Format, func() time.Time { return time.Now().UTC() })
	a, err := app.New(ctx, app.Options{Config: cfg, Version: "demo", Logger: logger, Migrate: true, Listen: true,
		Schedule: schedule.Fast(began, speed)})
	if err != nil {
		_, _ = fmt.Fprintln(log, err)
		return 1
	}
	if err := errors.Join(a.Serve(ctx), a.Close()); err != nil {
		_, _ = fmt.Fprintln(log, err)
		return 1
	}
	return 0
}

// newDaemon prepares the process; its log is appended to a file in dir.
func newDaemon(dir, config string) (*rehearsal.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // our own directory
	if err != nil {
		return nil, err
	}
	return rehearsal.NewProcess(log, self, daemonCommand, config, time.Now().UTC().Format(time.RFC3339Nano)), nil
}
