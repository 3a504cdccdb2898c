package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

// Exit codes. Checks have more: see exitCode.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// exitCode is returned by a command that has written its result, checks above all: the
// process ends with this code and nothing is added.
type exitCode int

// usageExit is the annotation of a command whose command lines that make no sense have an
// exit code of their own.
const usageExit = "usage-exit"

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// outcome turns what a command returned into the exit code and a text for stderr,
// which may be empty.
func (a *app) outcome(cmd *cobra.Command, err error) (code int, text string) {
	result, ended := errors.AsType[exitCode](err)
	switch {
	case err == nil:
		return exitOK, ""
	case errors.Is(err, errReaderGone):
		return exitOK, ""
	case ended:
		return int(result), ""
	case !a.began || isUsage(err):
		code := exitUsage
		if own, err := strconv.Atoi(cmd.Annotations[usageExit]); err == nil {
			code = own
		}
		return code, fmt.Sprintf("%s: %v\nRun '%s --help' for usage.", programName, err, cmd.CommandPath())
	case a.interrupt.Err() != nil:
		return exitError, programName + ": interrupted"
	}
	cause, next := a.explain(err)
	if next != "" {
		next = "\n" + next
	}
	return exitError, programName + ": " + cause + next
}
