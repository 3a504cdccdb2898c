package enact

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"
)

// EventStore is an append-only log of executions. All methods may be called
// from any number of goroutines. Every method honours its context; where the
// context has no deadline, stores that wait for others end after 30 s.
//
// After Shutdown every method but Name, RequiresNetwork, SupportsAirGapped and
// Shutdown returns ErrClosed. Package storetest holds every sentence of this
// contract as a test.
//
// Stores on a server also return ErrStreamNotFound, where the log's stream is gone, and
// stores that keep each tenant's log apart ErrTenantRequired, for a call that names none.
type EventStore interface {
	Appender
	Reader
	Lister
	StorageBackend
}

// Appender appends events. An append is durable when it returns without error;
// all its events are stored with consecutive sequence numbers and adjacent to
// each other, or none is.
//
// Errors, with nothing stored: ErrInvalidID, ErrInvalidEvent, ErrInvalidOption,
// ErrEmptyBatch, ErrTooLarge, ErrConflict, ErrTenantMismatch, ErrKeyReused,
// ErrCorrupt (the history ends in a torn batch, or in no record), ErrUnsupportedVersion
// (in one of a newer release), ErrUnknownCodec and ErrPayload (the first append with the
// idempotency key cannot be read, or not just now), ErrNotPermitted, ErrClosed, or the
// context's error if nothing was sent. ErrUnknownOutcome means that the events may have
// been stored.
type Appender interface {
	// Append stores one event and returns its sequence number.
	Append(ctx context.Context, execution ExecutionID, tenant TenantID, event Event, opts ...AppendOption) (sequence uint64, err error)
	// AppendBatch stores the events atomically, in order, and returns the
	// sequence number of the first.
	AppendBatch(ctx context.Context, execution ExecutionID, tenant TenantID, events []Event, opts ...AppendOption) (firstSequence uint64, err error)
}

// Reader reads executions. A read sees every event whose append was
// acknowledged before the read began, unless AllowStale is given.
//
// Errors: ErrInvalidID, ErrInvalidOption, ErrAmbiguousExecution, ErrCorrupt,
// ErrUnsupportedVersion, ErrUnknownCodec, ErrPayload, ErrStale, ErrNotPermitted,
// ErrClosed, or the context's.
type Reader interface {
	// LoadEvents returns all events in ascending order. An unknown execution
	// gives an empty slice.
	LoadEvents(ctx context.Context, execution ExecutionID, opts ...ReadOption) ([]StoredEvent, error)
	// LoadEventsAfter returns the events with a sequence greater than afterSeq.
	LoadEventsAfter(ctx context.Context, execution ExecutionID, afterSeq uint64, opts ...ReadOption) ([]StoredEvent, error)
	// Events yields what LoadEventsAfter returns, in bounded memory. An error is
	// yielded once, last, beside a zero event. Breaking off frees everything.
	// Each range over the sequence reads anew.
	Events(ctx context.Context, execution ExecutionID, afterSeq uint64, opts ...ReadOption) iter.Seq2[StoredEvent, error]
	// LatestSequence returns the sequence of the last event; ok is false if the
	// execution has none.
	LatestSequence(ctx context.Context, execution ExecutionID, opts ...ReadOption) (sequence uint64, ok bool, err error)
	// ExecutionExists reports whether the execution has events.
	ExecutionExists(ctx context.Context, execution ExecutionID, opts ...ReadOption) (bool, error)
	// CountEvents returns the number of events, which is the latest sequence, or 0.
	CountEvents(ctx context.Context, execution ExecutionID, opts ...ReadOption) (uint64, error)
}

// Lister lists executions.
type Lister interface {
	// ListExecutions returns the tenant's executions that have events, newest
	// created first: offset are skipped, at most limit returned. As in the seed,
	// limit is a count, not a switch: 0 gives an empty list, math.MaxInt all.
	// Errors: ErrInvalidID, ErrInvalidOption (a negative limit or offset), ErrCorrupt
	// (the list itself), ErrStale, ErrNotPermitted, ErrClosed, or the context's.
	ListExecutions(ctx context.Context, tenant TenantID, limit, offset int) ([]ExecutionID, error)
}

// StorageBackend is what a store says of itself.
type StorageBackend interface {
	// Name returns a short name of the kind of store, as in "jetstream".
	Name() string
	// RequiresNetwork reports whether the store talks to another process.
	RequiresNetwork() bool
	// SupportsAirGapped reports whether the store works without a network.
	SupportsAirGapped() bool
	// HealthCheck returns nil if the store can serve, with a round trip to the
	// server where there is one.
	HealthCheck(ctx context.Context) error
	// Shutdown waits for the calls in flight, or for its context, and closes
	// what the store itself opened. It may be called more than once.
	Shutdown(ctx context.Context) error
}

// Committer is the general form under every append; a store may offer it.
type Committer interface {
	// Commit stores the batch as [Appender] does and says where.
	Commit(ctx context.Context, batch Batch) (Receipt, error)
}

// Batch is the general form of an append.
type Batch struct {
	TenantID    TenantID
	ExecutionID ExecutionID
	Events      []Event
	// Timestamps gives each event its own time: nil, or as long as Events, in
	// which case Options.Timestamp is not used. The times are taken as they are;
	// the zero time is the first instant of year 1.
	Timestamps []time.Time
	Options    AppendOptions
}

// Validate returns the first error that a store would return for the batch
// before sending anything: ErrInvalidID, ErrEmptyBatch, ErrInvalidEvent,
// ErrInvalidOption or ErrTooLarge (metadata).
func (b Batch) Validate() error {
	if err := b.checkIDs(); err != nil {
		return err
	}
	for i, e := range b.Events {
		err := checkVariant(e)
		if err == nil {
			err = e.Validate()
		}
		if err != nil {
			return atIndex(err, i)
		}
	}
	return b.checkOptions()
}

// Encode validates the batch as Validate does and returns the JSON of each event, as
// [AppendEvent] writes it. Stores use it: it looks at each event once.
func (b Batch) Encode() ([]json.RawMessage, error) {
	if err := b.checkIDs(); err != nil {
		return nil, err
	}
	scratch := encodeBuffers.Get().(*[]byte)
	defer func() {
		if cap(*scratch) <= maxEncodeBuffer {
			encodeBuffers.Put(scratch)
		}
	}()
	buf := (*scratch)[:0]
	texts := make([]json.RawMessage, len(b.Events))
	for i, e := range b.Events {
		start := len(buf)
		err := checkVariant(e)
		if err == nil {
			buf, err = e.appendJSON(buf, true)
		}
		if err != nil {
			return nil, atIndex(err, i)
		}
		texts[i] = buf[start:] // for its length: buf may move yet
	}
	*scratch = buf
	rest := slices.Clone(buf)
	for i, text := range texts {
		texts[i], rest = rest[:len(text):len(text)], rest[len(text):]
	}
	return texts, b.checkOptions()
}

// encodeBuffers are where batches are encoded before their length is known.
var encodeBuffers = sync.Pool{New: func() any { return new([]byte) }}

// maxEncodeBuffer bounds what a rare large batch leaves in the pool.
const maxEncodeBuffer = 1 << 20

func (b Batch) checkIDs() error {
	if err := b.ExecutionID.Validate(); err != nil {
		return err
	}
	if err := b.TenantID.Validate(); err != nil {
		return err
	}
	if len(b.Events) == 0 {
		return ErrEmptyBatch
	}
	return nil
}

func (b Batch) checkOptions() error {
	if b.Timestamps != nil && len(b.Timestamps) != len(b.Events) {
		return &OptionError{Option: "Timestamps", Reason: fmt.Sprintf("has %d times for %d events", len(b.Timestamps), len(b.Events))}
	}
	for _, t := range b.Timestamps {
		if err := validateTime("Timestamps", t); err != nil {
			return err
		}
	}
	return b.Options.Validate()
}

// validateTime refuses years that RFC 3339 has no text for.
func validateTime(option string, t time.Time) error {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return &OptionError{Option: option, Reason: fmt.Sprintf("year %d is not within 0 to 9999", y)}
	}
	return nil
}

func atIndex(err error, i int) error {
	if e, ok := err.(*EventError); ok {
		c := *e
		c.Index = i
		return &c
	}
	return &EventError{Index: i, Reason: err.Error()}
}

// Receipt proves an append.
type Receipt struct {
	First     uint64 // sequence of the append's first event
	Last      uint64 // sequence of its last event
	Position  uint64 // stream sequence of its last record
	Chain     Chain  // chain value of its last record
	Duplicate bool   // the idempotency key was known: this is the first append's receipt
}

// Head is the end of a history. Kept elsewhere, it later shows whether the end
// was rewritten or is missing.
type Head struct {
	TenantID    TenantID    `json:"tenant_id"`
	ExecutionID ExecutionID `json:"execution_id"`
	Sequence    uint64      `json:"sequence"` // of the last event; 0: the execution has none
	Position    uint64      `json:"position"` // stream sequence of the last record
	Chain       Chain       `json:"chain"`    // chain value of the last record
}

// Chain is a record's chain value: SHA-256 over the previous record's value and
// the record. Its text is unpadded base64url, 43 bytes.
type Chain [32]byte

// String returns the value's text.
func (c Chain) String() string { return base64.RawURLEncoding.EncodeToString(c[:]) }

// MarshalText implements encoding.TextMarshaler.
func (c Chain) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, c[:]), nil
}

// chainEncoding is strict: the unused bits of the last character must be zero.
var chainEncoding = base64.RawURLEncoding.Strict()

// UnmarshalText implements encoding.TextUnmarshaler. It refuses any text that
// MarshalText would not write.
func (c *Chain) UnmarshalText(text []byte) error {
	var v Chain
	n, err := chainEncoding.Decode(v[:], text[:min(len(text), 43)])
	if err != nil || n != len(v) || len(text) != 43 {
		return fmt.Errorf("enact: %q is not a chain value", clip(string(text)))
	}
	*c = v
	return nil
}
