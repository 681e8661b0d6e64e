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

	"github.com/rs/zerolog"

	"cardbatch/internal/app"
	"cardbatch/internal/config"
)

const (
	daemonCommand = "daemon" // hidden: the demo starts itself with it
	speed         = 60       // a minute of the job schedule passes in a second
)

// runDaemon is the daemon's process. It differs from `cardbatch serve` in one
// thing: the clock of its job schedule runs faster.
func runDaemon(ctx context.Context, path string, log io.Writer) int {
	cfg, err := config.Load(path)
	if err != nil {
		_, _ = fmt.Fprintln(log, err)
		return 4
	}
	logger := zerolog.New(log).With().Timestamp().Logger()
	a, err := app.New(ctx, app.Options{Config: cfg, Version: "demo", Logger: logger, ScheduleSpeed: speed})
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

// daemon is the running process as the demo sees it.
type daemon struct {
	config string
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
	return &daemon{config: config, log: log}, nil
}

func (d *daemon) start(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.cmd = exec.CommandContext(ctx, self, daemonCommand, d.config) //nolint:gosec // ourselves
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
	if err := d.cmd.Process.Kill(); err != nil {
		return err
	}
	<-d.exited
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
