package memstore

import (
	"context"
	"fmt"
	"maps"

	"github.com/enactlog/enact"
)

// Append implements [enact.Appender].
func (s *Store) Append(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, event enact.Event, opts ...enact.AppendOption) (uint64, error) {
	return s.AppendBatch(ctx, execution, tenant, []enact.Event{event}, opts...)
}

// AppendBatch implements [enact.Appender].
func (s *Store) AppendBatch(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, events []enact.Event, opts ...enact.AppendOption) (uint64, error) {
	receipt, err := s.Commit(ctx, enact.Batch{
		TenantID: tenant, ExecutionID: execution, Events: events, Options: enact.NewAppendOptions(opts...),
	})
	return receipt.First, err
}

// Commit implements [enact.Committer]. Its errors, with nothing stored, are in
// the order in which they are looked for: ErrClosed, those of
// [enact.Batch.Validate], the context's, ErrTenantMismatch, ErrKeyReused,
// ErrConflict. An idempotency key is looked for in the execution's last
// [DefaultKeyWindow] appends (see [WithKeyWindow]) before the expectation is
// checked; "the same events" are events of the same JSON, but for space around it, in
// the same order, whatever their timestamps and metadata.
func (s *Store) Commit(ctx context.Context, batch enact.Batch) (enact.Receipt, error) {
	if err := s.admit(ctx, batch.Validate); err != nil {
		return enact.Receipt{}, err
	}
	encoded := make([][]byte, len(batch.Events))
	for i, e := range batch.Events {
		data, err := enact.AppendEvent(nil, e)
		if err != nil {
			return enact.Receipt{}, err
		}
		encoded[i] = data
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return enact.Receipt{}, enact.ErrClosed
	}
	h := s.histories[batch.ExecutionID]
	if h == nil {
		h = &history{tenant: batch.TenantID, execution: batch.ExecutionID}
	}
	if h.tenant != batch.TenantID {
		return enact.Receipt{}, fmt.Errorf("%w: %q", enact.ErrTenantMismatch, batch.ExecutionID)
	}
	if key := batch.Options.IdempotencyKey; key != "" {
		if rec := h.withKey(key, s.keyWindow); rec != nil {
			if !h.holds(rec, encoded) {
				return enact.Receipt{}, enact.ErrKeyReused
			}
			receipt := rec.receipt()
			receipt.Duplicate = true
			return receipt, nil
		}
	}
	if expect := batch.Options.Expect; !expect.Holds(h.latest()) {
		return enact.Receipt{}, &enact.ConflictError{
			TenantID: batch.TenantID, ExecutionID: batch.ExecutionID, Expected: expect, Actual: h.latest(),
		}
	}
	return s.store(h, batch, encoded).receipt(), nil
}

// store adds a record to the history, and the history to the store if the record
// is its first. The caller holds the lock and has refused what must be refused.
func (s *Store) store(h *history, batch enact.Batch, encoded [][]byte) *record {
	s.position++
	rec := &record{
		first:    h.latest() + 1,
		count:    len(encoded),
		position: s.position,
		key:      batch.Options.IdempotencyKey,
		trace:    batch.Options.Trace,
	}
	if len(batch.Options.Metadata) > 0 {
		rec.metadata = maps.Clone(batch.Options.Metadata)
	}
	// Without timestamps, one time for all events: the batch is one act.
	at := batch.Options.Timestamp
	if batch.Timestamps == nil && at.IsZero() {
		at = s.now()
	}
	// UTC also strips the monotonic clock, which no stored time has.
	events := make([]event, len(encoded))
	for i, data := range encoded {
		events[i] = event{json: data, at: at.UTC(), rec: rec}
		if batch.Timestamps != nil {
			events[i].at = batch.Timestamps[i].UTC()
		}
	}
	rec.chain = h.extend(h.head().Chain, rec, events)

	if rec.first == 1 {
		s.histories[h.execution] = h
		s.created[h.tenant] = append(s.created[h.tenant], h.execution)
	}
	h.events = append(h.events, events...)
	h.records = append(h.records, rec)
	return rec
}
