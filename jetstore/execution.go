package jetstore

import (
	"context"
	"iter"

	"github.com/enactlog/enact"
)

// Execution is a handle bound to one execution: no look-ups, no ids to swap. It is
// a value, costs nothing and needs no closing. Its methods return the errors of the
// store's.
type Execution struct {
	store  *Store
	tenant enact.TenantID
	id     enact.ExecutionID
}

// Execution returns the handle of an execution, which need not exist yet. Invalid
// ids are reported by its methods.
func (s *Store) Execution(tenant enact.TenantID, id enact.ExecutionID) Execution {
	return Execution{store: s, tenant: tenant, id: id}
}

// ID returns the execution's id.
func (e Execution) ID() enact.ExecutionID { return e.id }

// Tenant returns the execution's tenant.
func (e Execution) Tenant() enact.TenantID { return e.tenant }

// StreamName returns the name of the stream that holds the execution's records.
func (e Execution) StreamName() string { return e.store.StreamOf(e.tenant) }

// Store returns the store that the handle belongs to.
func (e Execution) Store() *Store { return e.store }

// Append stores one event.
func (e Execution) Append(ctx context.Context, event enact.Event, opts ...enact.AppendOption) (enact.Receipt, error) {
	return e.AppendBatch(ctx, []enact.Event{event}, opts...)
}

// AppendBatch stores the events atomically, in order.
func (e Execution) AppendBatch(ctx context.Context, events []enact.Event, opts ...enact.AppendOption) (enact.Receipt, error) {
	return e.store.Commit(ctx, enact.Batch{
		TenantID: e.tenant, ExecutionID: e.id, Events: events, Options: enact.NewAppendOptions(opts...),
	})
}

// LoadEvents returns all events in ascending order.
func (e Execution) LoadEvents(ctx context.Context, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return e.store.LoadEvents(ctx, e.id, e.in(opts)...)
}

// LoadEventsAfter returns the events with a sequence greater than afterSeq.
func (e Execution) LoadEventsAfter(ctx context.Context, afterSeq uint64, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return e.store.LoadEventsAfter(ctx, e.id, afterSeq, e.in(opts)...)
}

// Events yields the events with a sequence greater than afterSeq in bounded memory,
// as enact.Reader says.
func (e Execution) Events(ctx context.Context, afterSeq uint64, opts ...enact.ReadOption) iter.Seq2[enact.StoredEvent, error] {
	return e.store.Events(ctx, e.id, afterSeq, e.in(opts)...)
}

// Head returns the end of the history; keep it elsewhere to prove the history later.
func (e Execution) Head(ctx context.Context, opts ...enact.ReadOption) (enact.Head, error) {
	return e.store.Head(ctx, e.id, e.in(opts)...)
}

// in adds the handle's tenant, which wins over one in opts.
func (e Execution) in(opts []enact.ReadOption) []enact.ReadOption {
	return append(opts[:len(opts):len(opts)], enact.InTenant(e.tenant))
}
