package memstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/enactlog/enact"
)

// LoadEvents implements [enact.Reader].
func (s *Store) LoadEvents(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return s.LoadEventsAfter(ctx, execution, 0, opts...)
}

// LoadEventsAfter implements [enact.Reader].
func (s *Store) LoadEventsAfter(ctx context.Context, execution enact.ExecutionID, afterSeq uint64, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	events := []enact.StoredEvent{}
	for e, err := range s.Events(ctx, execution, afterSeq, opts...) {
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}

// Events implements [enact.Reader]. A range shows the history as it was when the
// range began; it ends with an error when the context ends or the store is shut
// down between two events.
func (s *Store) Events(ctx context.Context, execution enact.ExecutionID, afterSeq uint64, opts ...enact.ReadOption) iter.Seq2[enact.StoredEvent, error] {
	return func(yield func(enact.StoredEvent, error) bool) {
		o := enact.NewReadOptions(opts...)
		h, err := s.snapshot(ctx, execution, o)
		if err != nil {
			yield(enact.StoredEvent{}, err)
			return
		}
		from := int(min(afterSeq, h.latest()))
		n := len(h.events) - from
		if o.Limit > 0 {
			n = min(n, o.Limit)
		}
		for i := range n {
			index := from + i
			if o.Backwards {
				index = len(h.events) - 1 - i
			}
			err := s.admit(ctx)
			var e enact.StoredEvent
			if err == nil {
				e, err = h.load(index)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// LatestSequence implements [enact.Reader].
func (s *Store) LatestSequence(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (sequence uint64, ok bool, err error) {
	n, err := s.CountEvents(ctx, execution, opts...)
	return n, n > 0, err
}

// ExecutionExists implements [enact.Reader].
func (s *Store) ExecutionExists(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (bool, error) {
	n, err := s.CountEvents(ctx, execution, opts...)
	return n > 0, err
}

// CountEvents implements [enact.Reader].
func (s *Store) CountEvents(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (uint64, error) {
	h, err := s.snapshot(ctx, execution, enact.NewReadOptions(opts...))
	return h.latest(), err
}

// Head returns the end of an execution's history. That of an execution without
// events has Sequence 0, and no tenant unless [enact.InTenant] names it.
// Errors are those of [enact.Reader].
func (s *Store) Head(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (enact.Head, error) {
	h, err := s.snapshot(ctx, execution, enact.NewReadOptions(opts...))
	if err != nil {
		return enact.Head{}, err
	}
	return h.head(), nil
}

// snapshot returns the history that a read may see, an empty one if there is
// none. This store does not lag, so what AtLeast asks for and is not there now
// is ErrStale at once: waiting could only wait for another's append.
func (s *Store) snapshot(ctx context.Context, execution enact.ExecutionID, o enact.ReadOptions) (history, error) {
	if err := s.admit(ctx, execution.Validate, o.Validate); err != nil {
		return history{}, err
	}
	found := history{execution: execution}
	if o.TenantID != nil {
		found.tenant = *o.TenantID
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return history{}, enact.ErrClosed
	}
	if h := s.histories[execution]; h != nil && (o.TenantID == nil || *o.TenantID == h.tenant) {
		found = *h
	}
	if found.latest() < o.AtLeast {
		return history{}, fmt.Errorf("%w: execution %q ends at sequence %d, not at %d or later", enact.ErrStale, execution, found.latest(), o.AtLeast)
	}
	return found, nil
}
