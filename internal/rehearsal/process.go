package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a cardbatch that runs apart from us, so that it can be killed. It
// may be started again after it has ended. Start, Stop and Kill must not be
// called at the same time, but for Kill, which any goroutine may call at any time.
type Process struct {
	name string
	args []string
	log  io.Writer

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone
	err  error         // how it ended, once done is closed
}

// NewProcess prepares a process that writes to log, nil for nowhere.
func NewProcess(log io.Writer, name string, args ...string) *Process {
	return &Process{name: name, args: args, log: log}
}

// Start starts it. It is killed when ctx ends.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := exec.CommandContext(ctx, p.name, p.args...) //nolint:gosec // our own program
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.err = cmd, done, nil
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}()
	return nil
}

// Kill ends the process as a power cut would, and returns when it is gone.
func (p *Process) Kill() error {
	p.mu.Lock()
	cmd, done := p.cmd, p.done
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	err := cmd.Process.Kill()
	<-done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// stopTime is what a process gets to drain; the configuration of a World gives
// it less.
const stopTime = 30 * time.Second

// Stop asks the process to drain and end, and insists on its doing so cleanly.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		if err := p.Err(); err != nil {
			return fmt.Errorf("the daemon ended badly: %w", err)
		}
		return nil
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("the daemon did not end within %s of SIGTERM", stopTime), p.Kill())
	}
}

// Done is closed when the process that was started last is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended, once Done is closed.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
