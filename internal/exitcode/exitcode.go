// Package exitcode is the promise of what cardbatch's exit codes mean. The list
// is append-only: scripts and service units rely on it. Whoever meets a code
// that is not in it must take it for a failure.
//
//	0    done
//	1    failed
//	2    wrong usage of the command line
//	3    done, but rows or orders were rejected, or a file was refused
//	4    the configuration, a job file or a key is invalid
//	5    out of balance: the control equation does not hold
//	6    something outside is down: the file drop, D1
//	7    another process is doing it
//	130  interrupted
//
// An error gets its code with [Mark], where its meaning is known; [Of] is the
// only way back from an error to a number.
package exitcode

import (
	"context"
	"errors"

	"cardbatch/internal/strictyaml"
)

// Code is an exit code.
type Code int

// The exit codes.
const (
	Done        Code = 0
	Failed      Code = 1
	Usage       Code = 2
	Rejected    Code = 3
	Config      Code = 4
	Unbalanced  Code = 5
	Unavailable Code = 6
	Elsewhere   Code = 7
	Interrupted Code = 130
)

// Codes lists every code once.
func Codes() []Code {
	return []Code{Done, Failed, Usage, Rejected, Config, Unbalanced, Unavailable, Elsewhere, Interrupted}
}

type marked struct {
	error
	code Code
	hint string
}

func (m *marked) Unwrap() error { return m.error }

// Mark gives an error its exit code and, unless empty, a hint: one line that
// tells the operator what to do. A nil error stays nil.
func Mark(err error, code Code, hint string) error {
	if err == nil {
		return nil
	}
	return &marked{err, code, hint}
}

// Hint returns the hint that an error was marked with, if any.
func Hint(err error) string {
	var m *marked
	if errors.As(err, &m) {
		return m.hint
	}
	return ""
}

// Of returns the exit code of an error.
func Of(err error) Code {
	var m *marked
	var problems strictyaml.Problems
	switch {
	case err == nil:
		return Done
	case errors.As(err, &m):
		return m.code
	case errors.As(err, &problems):
		return Config
	case errors.Is(err, context.Canceled):
		return Interrupted
	default:
		return Failed
	}
}
