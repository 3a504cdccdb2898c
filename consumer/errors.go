package consumer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/enactlog/enact"
)

// Sentinels. Test for them with errors.Is; where a typed error exists, errors.As
// gives its fields.
var (
	// ErrInvalidToken is matched by [*TokenError]: text that is no token, or a token that does not fit the log.
	ErrInvalidToken = errors.New("consumer: invalid token")
	// ErrStreamChanged is matched by [*StreamChangedError]: the stream was deleted and made anew, or a token is of another stream.
	ErrStreamChanged = errors.New("consumer: another stream")
	// ErrUnknownTenant is matched by [*UnknownTenantError].
	ErrUnknownTenant = errors.New("consumer: unknown tenant")
	// ErrHandler is matched by [*HandlerError]: a handler returned an error or panicked.
	ErrHandler = errors.New("consumer: handler failed")
	// ErrHandlerPanic is matched by a [*HandlerError] for a panic.
	ErrHandlerPanic = errors.New("consumer: handler panicked")
	// ErrPanic is matched by [*PanicError].
	ErrPanic = errors.New("consumer: panic")
	// ErrGroupConfig is matched by [*GroupConfigError].
	ErrGroupConfig = errors.New("consumer: group has other settings")
	// ErrNotFound is returned for a consumer or group that does not exist.
	ErrNotFound = errors.New("consumer: not found")
	// ErrNotGroup is returned where a group is needed and the consumer is none.
	ErrNotGroup = errors.New("consumer: not a group")
	// ErrCheckpointConflict is returned by a [KVCheckpoint] when another handler has saved the same event meanwhile.
	ErrCheckpointConflict = errors.New("consumer: checkpoint was saved by another handler")
)

// TokenError says what is wrong with a token. errors.Is(err, ErrInvalidToken).
type TokenError struct {
	Token  string // as given
	Reason string
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("consumer: token %.100q %s", e.Token, e.Reason)
}
func (e *TokenError) Unwrap() error { return ErrInvalidToken }

// StreamChangedError is returned when positions of one stream meet another: a token of
// another log, or a stream that was deleted and made anew, also under a running
// subscriber. errors.Is(err, ErrStreamChanged). Nothing of the other stream was passed on.
type StreamChangedError struct {
	Stream string // name
	Want   string // incarnation that the positions are of
	Have   string // incarnation of the stream
}

func (e *StreamChangedError) Error() string {
	return fmt.Sprintf("consumer: stream %s is of incarnation %s, the position is of %s", e.Stream, e.Have, e.Want)
}
func (e *StreamChangedError) Unwrap() error { return ErrStreamChanged }

// UnknownTenantError is returned for a filter that names a tenant without executions.
// errors.Is(err, ErrUnknownTenant). [AllowNewTenants] accepts such tenants.
type UnknownTenantError struct{ TenantID enact.TenantID }

func (e *UnknownTenantError) Error() string {
	return fmt.Sprintf("consumer: tenant %q has no executions", string(e.TenantID))
}
func (e *UnknownTenantError) Unwrap() error { return ErrUnknownTenant }

// HandlerError is an attempt of a handler that failed. errors.Is(err, ErrHandler), and
// errors.Is with what the handler returned; for a panic errors.Is(err, ErrHandlerPanic).
type HandlerError struct {
	Event   enact.StoredEvent
	Attempt int    // from 1; in a group deliveries that ended without an answer count
	Err     error  // what the handler returned; nil for a panic
	Panic   any    // what the handler panicked with; nil for an error
	Stack   []byte // of the panic
}

func (e *HandlerError) Error() string {
	what := fmt.Sprintf("panic: %v", e.Panic)
	if e.Err != nil {
		what = e.Err.Error()
	}
	return fmt.Sprintf("consumer: handler failed on event %d of execution %q of tenant %q, attempt %d: %s",
		e.Event.Sequence, string(e.Event.ExecutionID), string(e.Event.TenantID), e.Attempt, what)
}

// Unwrap implements errors.Unwrap.
func (e *HandlerError) Unwrap() []error {
	if e.Err != nil {
		return []error{ErrHandler, e.Err}
	}
	return []error{ErrHandler, ErrHandlerPanic}
}

// PanicError is a panic of something else than a handler or a [Checkpoint] that a
// subscriber was given: of [OnCaughtUp], [OnLive], [OnProgress], [SkipCorrupt] or
// [OnFailure], or of a codec. It ends the subscriber. errors.Is(err, ErrPanic).
//
// A [Tail] decodes in its caller's goroutine, and a codec's panic goes through there as in a
// read.
type PanicError struct {
	Panic any    // what it panicked with
	Stack []byte // of the panic
}

func (e *PanicError) Error() string { return fmt.Sprintf("consumer: panic: %v", e.Panic) }
func (e *PanicError) Unwrap() error { return ErrPanic }

// GroupConfigError names every setting in which a group on the server differs from what
// was asked for. errors.Is(err, ErrGroupConfig).
type GroupConfigError struct {
	Group    string
	Problems []GroupProblem // at least one
}

// GroupProblem is one setting that differs.
type GroupProblem struct {
	Setting string // name in the consumer's JSON configuration, as in "ack_wait"
	Have    string
	Want    string
}

func (e *GroupConfigError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "consumer: group %q has other settings:", e.Group)
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " %s is %s, not %s", p.Setting, p.Have, p.Want)
	}
	return b.String()
}
func (e *GroupConfigError) Unwrap() error { return ErrGroupConfig }
