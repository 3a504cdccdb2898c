package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/scratch"
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

// orGone returns the code of a check, once its result was printed with err. A reader that
// had enough of the result does not change it.
func (c exitCode) orGone(err error) error {
	if c == exitOK || err != nil && !errors.Is(err, errReaderGone) {
		return err
	}
	return c
}

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
		text := programName + ": interrupted"
		for _, more := range worthTelling(err) {
			cause, next := a.explain(more)
			text += "\n" + strings.TrimSuffix(programName+": "+cause+"\n"+next, "\n")
		}
		return exitError, text
	}
	cause, next := a.explain(err)
	if next != "" {
		next = "\n" + next
	}
	return exitError, programName + ": " + cause + next
}

// worthTelling returns what an interrupt does not account for among the errors that err is
// made of: streams that were left behind, and appends that may have been stored.
func worthTelling(err error) (found []error) {
	switch e := err.(type) {
	case *scratch.LeftError, *leftError, *enact.UnknownOutcomeError:
		return []error{err}
	case interface{ Unwrap() error }:
		return worthTelling(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			found = append(found, worthTelling(part)...)
		}
	}
	return found
}

// leftError says that a command could not take back what it had made.
type leftError struct{ err error }

func (e *leftError) Error() string { return e.err.Error() }
func (e *leftError) Unwrap() error { return e.err }
