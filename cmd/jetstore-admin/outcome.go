package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// usageError is a command line that makes no sense.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// outcome turns what a command returned into the exit code and a text for stderr,
// which may be empty.
func (a *app) outcome(cmd *cobra.Command, err error) (code int, text string) {
	switch {
	case err == nil:
		return exitOK, ""
	case errors.Is(err, errReaderGone):
		return exitOK, ""
	case !a.began || isUsage(err):
		return exitUsage, fmt.Sprintf("%s: %v\nRun '%s --help' for usage.", programName, err, cmd.CommandPath())
	case a.interrupt.Err() != nil:
		return exitError, programName + ": interrupted"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return exitError, fmt.Sprintf("%s: not done within %s (see --timeout): %v", programName, a.timeout, err)
	}
	return exitError, fmt.Sprintf("%s: %v", programName, err)
}

func isUsage(err error) bool {
	_, ok := errors.AsType[*usageError](err)
	return ok
}
