package enact

import (
	"errors"
	"fmt"
	"strings"
)

// Sentinels. Test for them with errors.Is; where a typed error exists, errors.As
// gives its fields.
var (
	// ErrConflict is matched by [*ConflictError]: an expectation did not hold.
	ErrConflict = errors.New("enact: conflict")
	// ErrTenantMismatch is returned when an execution is created under an id that lives in another tenant.
	ErrTenantMismatch = errors.New("enact: execution belongs to another tenant")
	// ErrAmbiguousExecution is returned by a call without a tenant when the id lives in more than one tenant.
	ErrAmbiguousExecution = errors.New("enact: execution id exists in more than one tenant")
	// ErrInvalidID is matched by [*IDError].
	ErrInvalidID = errors.New("enact: invalid id")
	// ErrInvalidEvent is matched by [*EventError]: an event that cannot be stored, or text that is no event.
	ErrInvalidEvent = errors.New("enact: invalid event")
	// ErrInvalidOption is matched by [*OptionError]: an option, limit or offset outside its range.
	ErrInvalidOption = errors.New("enact: invalid option")
	// ErrInvalidCursor is matched by [*CursorError].
	ErrInvalidCursor = errors.New("enact: invalid cursor")
	// ErrTenantRequired is returned by a call without a tenant on a store that keeps each tenant's log apart.
	ErrTenantRequired = errors.New("enact: the call must name a tenant")
	// ErrEmptyBatch is returned when a batch has no events.
	ErrEmptyBatch = errors.New("enact: empty batch")
	// ErrKeyReused is returned when an idempotency key was used before with other events.
	ErrKeyReused = errors.New("enact: idempotency key was used with other events")
	// ErrTooLarge is matched by [*TooLargeError].
	ErrTooLarge = errors.New("enact: too large")
	// ErrUnknownOutcome is matched by [*UnknownOutcomeError].
	ErrUnknownOutcome = errors.New("enact: outcome unknown")
	// ErrCorrupt is matched by [*CorruptError].
	ErrCorrupt = errors.New("enact: corrupt history")
	// ErrUnsupportedVersion is matched by [*UnsupportedVersionError].
	ErrUnsupportedVersion = errors.New("enact: unsupported record version")
	// ErrUnknownCodec is matched by [*UnknownCodecError].
	ErrUnknownCodec = errors.New("enact: unknown codec")
	// ErrPayload is matched by [*PayloadError].
	ErrPayload = errors.New("enact: payload cannot be decoded now")
	// ErrStale is returned when no answer as recent as asked for (AtLeast, or what the store has already seen) was had before the context ended.
	ErrStale = errors.New("enact: answer is older than required")
	// ErrStreamNotFound is returned when the stream of the log does not exist.
	ErrStreamNotFound = errors.New("enact: stream not found")
	// ErrStreamConfig is matched by [*StreamConfigError].
	ErrStreamConfig = errors.New("enact: stream configuration breaks a guarantee")
	// ErrServerTooOld is returned when the server lacks what the log needs.
	ErrServerTooOld = errors.New("enact: server too old")
	// ErrNotPermitted is returned when the connection may not do what the call needs.
	ErrNotPermitted = errors.New("enact: not permitted")
	// ErrClosed is returned by every call on a store after Shutdown.
	ErrClosed = errors.New("enact: store is closed")
)

// IDError says which id is invalid and why. errors.Is(err, ErrInvalidID).
type IDError struct {
	Kind   string // "execution id", "tenant id" or "step id"
	ID     string // as given
	Reason string
}

func (e *IDError) Error() string { return fmt.Sprintf("enact: %s %q %s", e.Kind, clip(e.ID), e.Reason) }
func (e *IDError) Unwrap() error { return ErrInvalidID }

// EventError says what is wrong with an event. errors.Is(err, ErrInvalidEvent).
type EventError struct {
	Index  int    // place in the batch, from 0
	Type   string // the event's type; empty where it is not known
	Field  string // dotted path, as in "error.retry_policy.base_delay"; empty: the event as a whole
	Reason string
}

func (e *EventError) Error() string {
	var b strings.Builder
	b.WriteString("enact: invalid event")
	if e.Index > 0 {
		fmt.Fprintf(&b, " %d of the batch", e.Index)
	}
	if e.Type != "" {
		fmt.Fprintf(&b, " %s", clip(e.Type))
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ": %s", clip(e.Field))
	}
	return b.String() + ": " + e.Reason
}
func (e *EventError) Unwrap() error { return ErrInvalidEvent }

// OptionError says which option is out of range. errors.Is(err, ErrInvalidOption).
type OptionError struct {
	Option string
	Reason string
}

func (e *OptionError) Error() string { return "enact: " + e.Option + ": " + e.Reason }
func (e *OptionError) Unwrap() error { return ErrInvalidOption }

// CursorError says why a cursor is no place in the list that was asked for.
// errors.Is(err, ErrInvalidCursor).
type CursorError struct {
	Reason string
}

func (e *CursorError) Error() string { return "enact: invalid cursor: " + e.Reason }
func (e *CursorError) Unwrap() error { return ErrInvalidCursor }

// ConflictError is returned by an append whose expectation did not hold.
// errors.Is(err, ErrConflict). Nothing was stored.
type ConflictError struct {
	TenantID    TenantID
	ExecutionID ExecutionID
	Expected    Expectation
	Actual      uint64 // sequence of the execution's last event; 0: it does not exist
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("enact: conflict on execution %q of tenant %q: expected %s, actual sequence is %d",
		clip(string(e.ExecutionID)), clip(string(e.TenantID)), e.Expected, e.Actual)
}
func (e *ConflictError) Unwrap() error { return ErrConflict }

// TooLargeError is returned for an append that no record or batch can hold.
// errors.Is(err, ErrTooLarge). Nothing was stored.
type TooLargeError struct {
	What  string // what is too large: "event", "headers", "metadata", "batch", …
	Size  int    // in Unit
	Limit int    // 0: the server refused it without saying its limit
	Unit  string // "bytes", "keys" or "records"
}

func (e *TooLargeError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("enact: %s too large: %d %s", e.What, e.Size, e.Unit)
	}
	return fmt.Sprintf("enact: %s too large: %d %s, the limit is %d", e.What, e.Size, e.Unit, e.Limit)
}
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }

// CorruptError is returned when stored data breaks a rule of the wire format or
// a history breaks a guarantee: a foreign message, a hole, a repeat, a broken
// chain, an undecodable payload, a torn batch. errors.Is(err, ErrCorrupt).
type CorruptError struct {
	TenantID    TenantID
	ExecutionID ExecutionID
	Position    uint64 // stream sequence of the offending record, or of the one after the hole; 0: not known
	Sequence    uint64 // sequence of the offending event, 0: not known
	Reason      string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("enact: corrupt history of execution %q of tenant %q at position %d, sequence %d: %s",
		clip(string(e.ExecutionID)), clip(string(e.TenantID)), e.Position, e.Sequence, e.Reason)
}
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// UnsupportedVersionError is returned for a record of a wire format that this
// release cannot read. errors.Is(err, ErrUnsupportedVersion).
type UnsupportedVersionError struct {
	Position uint64 // stream sequence of the record
	Version  string // as in the record's header
}

func (e *UnsupportedVersionError) Error() string {
	return fmt.Sprintf("enact: record at position %d has unsupported version %q", e.Position, clip(e.Version))
}
func (e *UnsupportedVersionError) Unwrap() error { return ErrUnsupportedVersion }

// UnknownCodecError is returned for a record whose codec the store was not given.
// errors.Is(err, ErrUnknownCodec).
type UnknownCodecError struct {
	Position uint64 // stream sequence of the record
	Sequence uint64 // sequence of its first event
	Codec    string // as in the record's header
}

func (e *UnknownCodecError) Error() string {
	return fmt.Sprintf("enact: record at position %d has unknown codec %q", e.Position, clip(e.Codec))
}
func (e *UnknownCodecError) Unwrap() error { return ErrUnknownCodec }

// PayloadError is returned by a read for a record that is sound, as far as can be
// told, but whose payload could not be decoded here and now: the key ring did not
// answer or does not know the key, or the payload decodes to more than its codec was
// told to allow. Reading again may succeed. errors.Is(err, ErrPayload); it also matches
// the reason.
type PayloadError struct {
	TenantID    TenantID
	ExecutionID ExecutionID
	Position    uint64 // stream sequence of the record
	Sequence    uint64 // sequence of its first event
	Codec       string // as in the record's header
	Err         error
}

func (e *PayloadError) Error() string {
	return fmt.Sprintf("enact: payload of execution %q of tenant %q at position %d, sequence %d, codec %q: %v",
		clip(string(e.ExecutionID)), clip(string(e.TenantID)), e.Position, e.Sequence, clip(e.Codec), e.Err)
}

func (e *PayloadError) Unwrap() []error { return []error{ErrPayload, e.Err} }

// UnknownOutcomeError is returned by an append that was sent and neither
// acknowledged nor proven absent before its context ended. The events may be
// stored, or be stored later; a store's Resolve settles it, in this process or,
// since the error can be written as JSON, in another. errors.Is(err,
// ErrUnknownOutcome); it also matches the reason, as in errors.Is(err,
// context.DeadlineExceeded).
type UnknownOutcomeError struct {
	TenantID       TenantID    `json:"tenant_id"`
	ExecutionID    ExecutionID `json:"execution_id"`
	CommitID       string      `json:"commit_id"`                 // UUID under which the events were sent
	Predecessor    uint64      `json:"predecessor"`               // position of the record that they were to follow; 0: they were to be the first
	Stream         string      `json:"stream,omitempty"`          // that they were sent to; "": not known
	Incarnation    string      `json:"incarnation"`               // of that stream
	First          uint64      `json:"first"`                     // sequence that the first event gets if they are stored
	Events         int         `json:"events"`                    // number of events
	IdempotencyKey string      `json:"idempotency_key,omitempty"` // as given
	// Records are the messages as they were sent. Resolve sends them again where
	// nothing else can prove an outcome.
	Records []PendingRecord `json:"records"`
	Cause   error           `json:"-"` // the last thing that went wrong
}

// PendingRecord is a message of an append whose outcome is unknown.
type PendingRecord struct {
	Header map[string][]string `json:"header"`
	Data   []byte              `json:"data"`
}

func (e *UnknownOutcomeError) Error() string {
	text := fmt.Sprintf("enact: outcome of an append of %d events to execution %q of tenant %q is unknown (commit %s after position %d)",
		e.Events, clip(string(e.ExecutionID)), clip(string(e.TenantID)), e.CommitID, e.Predecessor)
	if e.Cause == nil {
		// Read from JSON, which does not carry it.
		return text
	}
	return text + ": " + e.Cause.Error()
}

func (e *UnknownOutcomeError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrUnknownOutcome}
	}
	return []error{ErrUnknownOutcome, e.Cause}
}

// StreamConfigError names every setting of a stream that breaks a guarantee of
// the log. errors.Is(err, ErrStreamConfig).
type StreamConfigError struct {
	Stream   string
	Problems []StreamProblem // at least one, in the order of the stream's settings
}

// StreamProblem is one setting that breaks a guarantee.
type StreamProblem struct {
	Setting string // name in the stream's JSON configuration, as in "deny_delete"
	Have    string
	Want    string
	Why     string // the guarantee that it breaks
}

func (e *StreamConfigError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "enact: stream %q breaks the log's guarantees:", e.Stream)
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " %s is %s, must be %s (%s)", p.Setting, p.Have, p.Want, p.Why)
	}
	return b.String()
}
func (e *StreamConfigError) Unwrap() error { return ErrStreamConfig }

// clip keeps hostile or huge input out of error texts.
func clip(s string) string {
	const limit = 160
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
