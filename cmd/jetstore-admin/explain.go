package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore/embedded"
)

// What goes wrong between an operator and the log, told apart: each has a message that
// names the cause, and a next step.

// Codes of the server's answers (server/errors.json of nats-server 2.15).
const (
	codeNotEnabled       = 10076 // JetStream is not enabled on the server
	codeNotEnabledForAcc = 10039 // JetStream is not enabled for the account
	codeStreamNotFound   = 10059
	codeSubjectsOverlap  = 10065
	codeRestoreNameInUse = 10130
)

// connectError says that no connection was made.
type connectError struct {
	where string
	err   error
}

func (e *connectError) Error() string { return fmt.Sprintf("connect to %s: %v", e.where, e.err) }
func (e *connectError) Unwrap() error { return e.err }

// credentialsError says that what the user gave to prove who asks is of no use.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if apiErr.ErrorCode == code {
			return true
		}
	}
	return false
}

// noJetStream reports whether an error says that there is no JetStream to be had.
func noJetStream(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || hasCode(err, codeNotEnabled, codeNotEnabledForAcc)
}

// badCredentials reports whether an error says that the server does not know the user, or
// that what the user gave cannot be read.
func badCredentials(err error) bool {
	for _, known := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired, nats.ErrNkeysNotSupported} {
		if errors.Is(err, known) {
			return true
		}
	}
	return unreadableCredentials(err)
}

// unreadableCredentials reports whether an error says that a file cannot be read which
// proves who asks, or by which the server is known.
func unreadableCredentials(err error) bool {
	if _, ok := errors.AsType[*credentialsError](err); ok {
		return true
	}
	_, connecting := errors.AsType[*connectError](err)
	return connecting && errors.Is(err, fs.ErrNotExist)
}

// explain returns the cause of an error in one line and, where one is known, the next
// step in further ones.
func (a *app) explain(err error) (cause, next string) {
	c := &a.connection
	// The server is to blame for the rest only once a connection was made.
	_, connecting := errors.AsType[*connectError](err)
	switch {
	case errors.Is(err, enact.ErrUnknownOutcome):
		// Whatever the reason: done again without a look, it may be stored twice.
		return err.Error(), "It may be stored: look at the execution before you append it again. With --key, doing it again is safe."
	case unreadableCredentials(err):
		return fmt.Sprintf("the credentials cannot be read: %v", err),
			"Check the files of --creds, --nkey, --tlscert, --tlskey and --tlsca, the variables of the same names, or the context."
	case badCredentials(err):
		return fmt.Sprintf("the server refuses the credentials: %v", err),
			"Check who asks: --creds, --nkey, --user and --password, the variables of the same names, or the context."
	case errors.Is(err, enact.ErrNotPermitted) || errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Sprintf("the user may not do this: %v", err),
			"Give the user the permissions that \"" + programName + " tenant permissions\" prints; users of a tenant need its --inbox-prefix, too."
	case connecting && strings.Contains(err.Error(), "unknown context"):
		return err.Error(), "See \"nats context ls\" for the contexts that there are."
	case connecting:
		return fmt.Sprintf("no server: %v", err),
			"Start one with \"" + programName + " server --store DIR\", or name another one with --server, " + serverVariable + " or --context."
	case noJetStream(err):
		return fmt.Sprintf("no JetStream at %s: %v", c.where(), err),
			"Enable it in the server's configuration and for the account of the user, or name its domain with --js-domain."
	case errors.Is(err, enact.ErrStreamNotFound) || hasCode(err, codeStreamNotFound):
		return fmt.Sprintf("no such stream: %v", err),
			"Make the log with \"" + programName + " stream create\", or name another one with --stream."
	case hasCode(err, codeRestoreNameInUse):
		return err.Error(), "A restore that failed may hold the name, even where there is no such stream: \"nats stream rm\" frees it."
	case hasCode(err, codeSubjectsOverlap):
		return err.Error(), "Another log has these subjects: name its stream with --stream, or give this one subjects of its own with --prefix."
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, nats.ErrTimeout):
		return fmt.Sprintf("not done within %s: %v", a.timeout, err),
			"Give it more time with --timeout; if that does not help, see whether the stream has a leader: \"" + programName + " stream info\"."
	case errors.Is(err, enact.ErrUnknownCodec) && c.keys == "":
		return err.Error(), "If it is encrypted, give the key file with --keys."
	case errors.Is(err, enact.ErrTenantRequired):
		return err.Error(), "Each tenant has a stream: give --tenant."
	case errors.Is(err, embedded.ErrDirectoryInUse):
		return err.Error(), "End the program that has it open, or, where that is \"" + programName + " server\", give its URL with --server."
	case errors.Is(err, enact.ErrEmptyBatch):
		return err.Error(), "Give events as EVENT or on standard input."
	case errors.Is(err, consumer.ErrNotFound):
		return err.Error(), "See \"" + programName + " consumer ls\" for the consumers that there are."
	}
	return err.Error(), ""
}
