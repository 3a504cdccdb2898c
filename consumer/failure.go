package consumer

import (
	"errors"
	"log/slog"
	"time"
)

// Failure is a failed attempt of a group's handler, as [OnFailure] is told of it.
type Failure struct {
	Group string
	// Err is a [*HandlerError], or says why a record cannot be read: enact.ErrCorrupt,
	// enact.ErrUnsupportedVersion, enact.ErrUnknownCodec.
	Err error
	// Again is the wait before the next attempt; 0: there is none in this member.
	Again time.Duration
	// DeadLetter says that the event has become a dead letter.
	DeadLetter bool
}

func logFailure(f Failure) {
	args := []any{"group", f.Group, "error", f.Err, "again", f.Again, "dead_letter", f.DeadLetter}
	if e, ok := errors.AsType[*HandlerError](f.Err); ok && len(e.Stack) > 0 {
		args = append(args, "stack", string(e.Stack))
	}
	slog.Error("consumer: handler failed", args...)
}

// Stop marks an error of a group's handler as one that the event is not to blame for, as
// when the member cannot reach a database: the member gives the event back, for another
// one to handle, and [Group.Run] returns with the error. For a nil error it returns nil.
func Stop(err error) error {
	if err == nil {
		return nil
	}
	return &stopError{err}
}

type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

func stops(err error) bool {
	_, ok := errors.AsType[*stopError](err)
	return ok
}
