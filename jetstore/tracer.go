package jetstore

import (
	"context"
	"fmt"
)

// Occurrence is something that happens inside a store and that its callers do not see,
// because the store puts it right.
type Occurrence int

// Occurrences.
const (
	// StaleAnswer: an answer was older than what was known already, from a replica that
	// lags or a leader that has lost its office; another was asked for.
	StaleAnswer Occurrence = iota
	// Retry: a copy of an append was sent again.
	Retry
	// Overtaken: an append found another one in its place. It is made again, or ends in
	// an [*enact.ConflictError].
	Overtaken
	// Resolution: an append without an acknowledgement was proven to be stored.
	Resolution
	// Duplicate: an append was found by its idempotency key, and nothing stored.
	Duplicate
)

func (o Occurrence) String() string {
	switch o {
	case StaleAnswer:
		return "stale answer"
	case Retry:
		return "retry"
	case Overtaken:
		return "overtaken"
	case Resolution:
		return "resolution"
	case Duplicate:
		return "duplicate"
	}
	return fmt.Sprintf("Occurrence(%d)", int(o))
}

// Tracer is told what happens inside a store. Its methods are called on the way of
// appends and reads, from any number of goroutines: they must return at once.
type Tracer interface {
	// Happened is told of one occurrence; ctx is that of the call of the store.
	Happened(ctx context.Context, what Occurrence)
}

// WithTracer tells t what happens inside the store. Default (and nil): nobody.
func WithTracer(t Tracer) Option {
	return func(c *config) error {
		c.tracer = t
		return nil
	}
}

func (s *Store) happened(ctx context.Context, what Occurrence) {
	if s.cfg.tracer != nil {
		s.cfg.tracer.Happened(ctx, what)
	}
}
