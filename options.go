package enact

import (
	"fmt"
	"maps"
	"time"
	"unicode/utf8"
)

// Limits of metadata and of idempotency keys, in bytes before encoding unless said
// otherwise.
const (
	MaxMetadataKey    = 64      // of one key
	MaxMetadata       = 8 << 10 // of all keys and values together
	MaxMetadataPairs  = 128     // keys
	MaxIdempotencyKey = 256
)

// AppendOption is an option of one append.
type AppendOption func(*AppendOptions)

// AppendOptions is what the options of an append come to. The zero value is
// ready for use.
type AppendOptions struct {
	Expect            Expectation       // what must hold of the execution; zero: anything
	IdempotencyKey    string            // "": none
	Metadata          map[string]string // stored with every event of the append; nil: none
	Timestamp         time.Time         // of the events; zero: the time of the call
	Trace             TraceContext      // stored with every event of the append; zero: none of the caller's
	OneEventPerRecord bool              // stage a batch with one event a message
}

// NewAppendOptions applies opts in order.
func NewAppendOptions(opts ...AppendOption) AppendOptions {
	var o AppendOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

// Validate returns an [*OptionError] for an option out of range and a
// [*TooLargeError] for metadata over its limit.
func (o AppendOptions) Validate() error {
	if o.Expect.Kind > MustExist {
		return &OptionError{Option: "Expect", Reason: fmt.Sprintf("unknown kind %d", o.Expect.Kind)}
	}
	if len(o.IdempotencyKey) > MaxIdempotencyKey {
		return &TooLargeError{What: "idempotency key", Size: len(o.IdempotencyKey), Limit: MaxIdempotencyKey, Unit: "bytes"}
	}
	if !utf8.ValidString(o.IdempotencyKey) {
		return &OptionError{Option: "IdempotencyKey", Reason: "is not valid UTF-8"}
	}
	if err := validateTime("Timestamp", o.Timestamp); err != nil {
		return err
	}
	if err := o.Trace.Validate(); err != nil {
		return err
	}
	if n := len(o.Metadata); n > MaxMetadataPairs {
		return &TooLargeError{What: "metadata", Size: n, Limit: MaxMetadataPairs, Unit: "keys"}
	}
	size := 0
	for k, v := range o.Metadata {
		switch {
		case k == "":
			return &OptionError{Option: "Metadata", Reason: "a key is empty"}
		case !utf8.ValidString(k) || !utf8.ValidString(v):
			return &OptionError{Option: "Metadata", Reason: fmt.Sprintf("%q is not valid UTF-8", clip(k))}
		case len(k) > MaxMetadataKey:
			return &TooLargeError{What: "metadata key", Size: len(k), Limit: MaxMetadataKey, Unit: "bytes"}
		}
		size += len(k) + len(v)
	}
	if size > MaxMetadata {
		return &TooLargeError{What: "metadata", Size: size, Limit: MaxMetadata, Unit: "bytes"}
	}
	return nil
}

// Expectation is what must hold of an execution for an append to it to succeed.
type Expectation struct {
	Kind     ExpectationKind
	Sequence uint64 // for ExactSequence
}

// ExpectationKind tells expectations apart.
type ExpectationKind uint8

// Kinds of expectations.
const (
	AnySequence   ExpectationKind = iota // whatever the execution's state
	ExactSequence                        // its latest sequence is Sequence; 0: it does not exist
	MustExist                            // it has events
)

// Holds reports whether the expectation holds of an execution whose latest
// sequence is latest (0: it does not exist).
func (e Expectation) Holds(latest uint64) bool {
	switch e.Kind {
	case ExactSequence:
		return e.Sequence == latest
	case MustExist:
		return latest > 0
	}
	return true
}

// String describes the expectation for people, as in "sequence 7".
func (e Expectation) String() string {
	switch e.Kind {
	case ExactSequence:
		if e.Sequence == 0 {
			return "no events"
		}
		return fmt.Sprintf("sequence %d", e.Sequence)
	case MustExist:
		return "an existing execution"
	}
	return "any sequence"
}

// ExpectSequence makes the append succeed only if the execution's latest
// sequence is n; 0 means that it must not exist yet. Otherwise the append
// returns a [*ConflictError] with the actual sequence.
func ExpectSequence(n uint64) AppendOption {
	return func(o *AppendOptions) { o.Expect = Expectation{Kind: ExactSequence, Sequence: n} }
}

// ExpectExists makes the append succeed only if the execution has events.
func ExpectExists() AppendOption {
	return func(o *AppendOptions) { o.Expect = Expectation{Kind: MustExist} }
}

// WithIdempotencyKey makes the append happen once: an append with the same key
// and the same events returns the first one's sequence and stores nothing, one
// with other events returns ErrKeyReused. Keys belong to an execution; a store
// says how far back it looks for them. At most [MaxIdempotencyKey] bytes of
// UTF-8; "" means none.
func WithIdempotencyKey(key string) AppendOption {
	return func(o *AppendOptions) { o.IdempotencyKey = key }
}

// WithMetadata stores string pairs with every event of the append: correlation
// and causation ids, anything. At most [MaxMetadataPairs] keys of 1 to
// [MaxMetadataKey] bytes, at most [MaxMetadata] bytes in all, any valid UTF-8, kept exactly. Given twice, the
// maps are merged, the later value winning.
func WithMetadata(m map[string]string) AppendOption {
	return func(o *AppendOptions) {
		merged := make(map[string]string, len(o.Metadata)+len(m))
		maps.Copy(merged, o.Metadata)
		maps.Copy(merged, m)
		o.Metadata = merged
	}
}

// WithTimestamp sets the time of the append's events, to the nanosecond, years 0
// to 9999. The zero time means the time of the call.
func WithTimestamp(t time.Time) AppendOption {
	return func(o *AppendOptions) { o.Timestamp = t }
}

// WithOneEventPerRecord stages a batch with one event a message, for consumers
// that read the stream in other languages. Stores without records ignore it.
func WithOneEventPerRecord() AppendOption {
	return func(o *AppendOptions) { o.OneEventPerRecord = true }
}

// ReadOption is an option of one read.
type ReadOption func(*ReadOptions)

// ReadOptions is what the options of a read come to. The zero value is ready for use.
type ReadOptions struct {
	TenantID   *TenantID // nil: looked up
	AtLeast    uint64    // sequence that the answer must reach; 0: none
	AllowStale bool      // a replica's answer will do
	Limit      int       // greatest number of events; 0: all
	Backwards  bool      // newest first
}

// NewReadOptions applies opts in order.
func NewReadOptions(opts ...ReadOption) ReadOptions {
	var o ReadOptions
	for _, opt := range opts {
		if opt != nil {
			opt(&o)
		}
	}
	return o
}

// Validate returns an [*IDError] for an invalid tenant and an [*OptionError] for
// a negative limit.
func (o ReadOptions) Validate() error {
	if o.TenantID != nil {
		if err := o.TenantID.Validate(); err != nil {
			return err
		}
	}
	if o.Limit < 0 {
		return &OptionError{Option: "Limit", Reason: fmt.Sprintf("%d is below 0", o.Limit)}
	}
	return nil
}

// InTenant names the execution's tenant, which saves looking it up. An execution
// of another tenant is not seen.
func InTenant(tenant TenantID) ReadOption {
	return func(o *ReadOptions) { o.TenantID = &tenant }
}

// AtLeast asks for an answer that reaches sequence n, for instance one that
// another process was told; without one before the context ends, the read
// returns ErrStale.
func AtLeast(n uint64) ReadOption { return func(o *ReadOptions) { o.AtLeast = n } }

// AllowStale lets any replica answer: the read may miss the latest events, but
// never shows a hole.
func AllowStale() ReadOption { return func(o *ReadOptions) { o.AllowStale = true } }

// Limit ends the read after n events; 0 means no limit.
func Limit(n int) ReadOption { return func(o *ReadOptions) { o.Limit = n } }

// Backwards yields the newest event first. With [Limit] it is the cheap way to
// the last events of a long history.
func Backwards() ReadOption { return func(o *ReadOptions) { o.Backwards = true } }

// ValidatePage returns an [*OptionError] for a negative limit or offset of a list.
func ValidatePage(limit, offset int) error {
	if limit < 0 {
		return &OptionError{Option: "limit", Reason: fmt.Sprintf("%d is below 0", limit)}
	}
	if offset < 0 {
		return &OptionError{Option: "offset", Reason: fmt.Sprintf("%d is below 0", offset)}
	}
	return nil
}
