package enact

import (
	"encoding/json"
	"math"
	"time"
)

// ParentLink says what started an execution.
//
// Keys that this release does not know, and the spelling that a link was read
// with (snake_case or camelCase), are kept: an unchanged value is written back
// as it was read.
type ParentLink struct {
	ParentID   string
	ParentType ParentType
	Extra      map[string]json.RawMessage // keys not known here; nil: none

	source json.RawMessage
}

// ParentType is the kind of a parent: an open string, any non-empty value is kept.
type ParentType string

// Known parent types.
const (
	ParentUserMessage   ParentType = "UserMessage"
	ParentStepExecution ParentType = "StepExecution"
	ParentExecution     ParentType = "Execution"
	ParentSystem        ParentType = "System"
)

// ExecutionError is why a step or an execution failed. [NewExecutionError] fills
// what must not be empty.
//
// Keys that this release does not know, and the shape that an error was read in
// (snake_case or camelCase keys, null or absent optionals, durations as objects
// or as milliseconds), are kept: an unchanged value is written back as it was read.
type ExecutionError struct {
	Category    ErrorCategory
	Message     string
	RetryPolicy RetryPolicy
	Code        *string // nil: none
	Attempt     uint32  // from 1
	StepID      *StepID // nil: none
	Provider    *string // nil: none
	HTTPStatus  *uint16 // nil: none
	Details     json.RawMessage
	OccurredAt  int64                      // Unix milliseconds
	Extra       map[string]json.RawMessage // keys not known here; nil: none

	source json.RawMessage
}

// NewExecutionError returns the error of a first attempt that happened now and
// is not retried.
func NewExecutionError(category ErrorCategory, message string) ExecutionError {
	return ExecutionError{
		Category:    category,
		Message:     message,
		RetryPolicy: RetryPolicy{BackoffStrategy: BackoffNone},
		Attempt:     1,
		OccurredAt:  time.Now().UnixMilli(),
	}
}

// ErrorCategory is the kind of an error: an open string, any non-empty value is kept.
type ErrorCategory string

// Known categories.
const (
	CategoryLLMError        ErrorCategory = "LlmError"
	CategoryToolError       ErrorCategory = "ToolError"
	CategoryPolicyViolation ErrorCategory = "PolicyViolation"
	CategoryTimeout         ErrorCategory = "Timeout"
	CategoryQuotaExceeded   ErrorCategory = "QuotaExceeded"
	CategoryKernelInternal  ErrorCategory = "KernelInternal"
	CategoryValidationError ErrorCategory = "ValidationError"
	CategoryNetworkError    ErrorCategory = "NetworkError"
)

// Fatal reports whether errors of a known category end an execution.
func (c ErrorCategory) Fatal() bool {
	switch c {
	case CategoryPolicyViolation, CategoryQuotaExceeded, CategoryKernelInternal, CategoryValidationError:
		return true
	}
	return false
}

// RetryPolicy says whether and how a failed step is tried again.
type RetryPolicy struct {
	Retryable              bool
	MaxRetries             uint32
	BackoffStrategy        BackoffStrategy
	BaseDelay              Duration
	MaxDelay               Duration
	RequiresIdempotencyKey bool
	Extra                  map[string]json.RawMessage // keys not known here; nil: none

	source json.RawMessage
}

// BackoffStrategy is how delays grow: an open string, any non-empty value is kept.
type BackoffStrategy string

// Known strategies.
const (
	BackoffNone        BackoffStrategy = "None"
	BackoffFixed       BackoffStrategy = "Fixed"
	BackoffExponential BackoffStrategy = "Exponential"
)

// Duration is a span of time as Rust writes it: whole seconds and nanoseconds,
// never negative, to 2^64 seconds. It is read from {"secs":n,"nanos":n} or from
// a whole number of milliseconds.
type Duration struct {
	Secs  uint64 `json:"secs"`
	Nanos uint32 `json:"nanos"` // below 1_000_000_000
}

// DurationOf converts d; a negative d is 0.
func DurationOf(d time.Duration) Duration {
	d = max(d, 0)
	return Duration{Secs: uint64(d / time.Second), Nanos: uint32(d % time.Second)}
}

// Std converts to a time.Duration; a value beyond its range (292 years) is the
// greatest time.Duration.
func (d Duration) Std() time.Duration {
	if d.Secs > math.MaxInt64/nanosPerSecond {
		return math.MaxInt64
	}
	return time.Duration(min(d.Secs*nanosPerSecond+uint64(d.Nanos), math.MaxInt64))
}

func (l *ParentLink) fields(f []field) []field {
	return append(f, required("parent_id", &l.ParentID), required("parent_type", &l.ParentType))
}

func (e *ExecutionError) fields(f []field) []field {
	return append(f, required("category", &e.Category), required("message", &e.Message),
		required("retry_policy", &e.RetryPolicy), optional("code", &e.Code), required("attempt", &e.Attempt),
		optional("step_id", &e.StepID), optional("provider", &e.Provider), optional("http_status", &e.HTTPStatus),
		optional("details", &e.Details), required("occurred_at", &e.OccurredAt))
}

func (p *RetryPolicy) fields(f []field) []field {
	return append(f, required("retryable", &p.Retryable), required("max_retries", &p.MaxRetries),
		required("backoff_strategy", &p.BackoffStrategy), required("base_delay", &p.BaseDelay),
		required("max_delay", &p.MaxDelay), required("requires_idempotency_key", &p.RequiresIdempotencyKey))
}

func (d *Duration) fields(f []field) []field {
	return append(f, required("secs", &d.Secs), required("nanos", &d.Nanos))
}

// MarshalJSON writes the link as an event holds it.
func (l ParentLink) MarshalJSON() ([]byte, error) { return appendObject(nil, &l) }

// MarshalJSON writes the error as an event holds it.
func (e ExecutionError) MarshalJSON() ([]byte, error) { return appendObject(nil, &e) }

// MarshalJSON writes the policy as an event holds it.
func (p RetryPolicy) MarshalJSON() ([]byte, error) { return appendObject(nil, &p) }

// UnmarshalJSON reads the link as [ParseEvent] does.
func (l *ParentLink) UnmarshalJSON(data []byte) error { return unmarshalObject(data, l) }

// UnmarshalJSON reads the error as [ParseEvent] does.
func (e *ExecutionError) UnmarshalJSON(data []byte) error { return unmarshalObject(data, e) }

// UnmarshalJSON reads the policy as [ParseEvent] does.
func (p *RetryPolicy) UnmarshalJSON(data []byte) error { return unmarshalObject(data, p) }

func (l *ParentLink) shape() shape     { return shape{&l.Extra, &l.source} }
func (e *ExecutionError) shape() shape { return shape{&e.Extra, &e.source} }
func (p *RetryPolicy) shape() shape    { return shape{&p.Extra, &p.source} }
