// Command d1sim is a simulated Thales D1 with a personalization center, for
// trying cardbatch, or any other issuer's software, without Thales:
//
//	go run ./cmd/d1sim --notify http://127.0.0.1:8080
//
// It makes its own certificates and keys (--dir), prints where it listens, and
// shows every order and every card it made at the admin address. See
// internal/d1/d1sim for what it simulates and d1sim --help for how to run it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	cmd := command(os.Args[1:], os.Stdout)
	err := cmd.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "d1sim:", err)
	}
	os.Exit(exitCode(err))
}

// exitCode follows cardbatch's: 0 done, 1 failed, 2 usage, 4 configuration invalid.
func exitCode(err error) int {
	var usage usageError
	var config configError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return 2
	case errors.As(err, &config):
		return 4
	}
	return 1
}

type usageError struct{ error }

type configError struct{ error }

func (e configError) Unwrap() error { return e.error }
