package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
	"cardbatch/internal/ops"
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
		Schedule: schedule.Clock{Now: fastClock(began), Speed: speed}})
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

// fastClock shows the real time when the night began and runs faster from
// there, in every process of the night alike.
func fastClock(began time.Time) func() time.Time {
	return func() time.Time { return began.Add(speed * time.Since(began)) }
}

// daemon is the running process as the demo sees it.
type daemon struct {
	config string
	began  time.Time
	log    *os.File
	cmd    *exec.Cmd
	exited chan error
}

// newDaemon prepares the process; its log is appended to a file in dir.
func newDaemon(dir, config string) (*daemon, error) {
	log, err := os.OpenFile(filepath.Join(dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // our own directory
	if err != nil {
		return nil, err
	}
	return &daemon{config: config, began: time.Now().UTC(), log: log}, nil
}

func (d *daemon) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.cmd = exec.CommandContext(ctx, self, daemonCommand, d.config, d.began.Format(time.RFC3339Nano)) //nolint:gosec // ourselves
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	d.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(d.cmd, d.exited)
	return nil
}

// kill ends the process as a power cut would.
func (d *daemon) kill() error {
	if err := d.cmd.Process.Kill(); errors.Is(err, os.ErrProcessDone) {
		return nil
	} else if err != nil {
		return err
	}
	<-d.exited //nolint:errcheck // how it ended is what we did to it
	return nil
}

// stop asks the process to drain and end, and insists on its doing so cleanly.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-d.exited:
		if err != nil {
			return fmt.Errorf("the daemon ended badly: %w", err)
		}
		return nil
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the daemon did not end within 30 s of SIGTERM"), d.kill())
	}
}

// died returns the exit of a daemon that should be running.
func (d *daemon) died() <-chan error { return d.exited }
