package consumer

import (
	"context"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// observed returns the handler, of which the store's tracers are told where it has any.
func observed(store *jetstore.Store, group string, h Handler) Handler {
	if !store.Watched() {
		return h
	}
	return func(ctx context.Context, ev enact.StoredEvent) (err error) {
		op := operation(store, jetstore.Handling, &ev)
		op.Group, op.Attempt = group, Attempt(ctx)
		ctx, seen := store.Observe(ctx, op)
		returned := false
		defer func() {
			if !returned {
				err = ErrHandlerPanic // for the tracers: the panic goes on
			}
			seen.End(jetstore.Outcome{Err: err})
		}()
		err = h(ctx, ev)
		returned = true
		return err
	}
}

// delivered tells the store's tracers that an event is handed to a tail's reader.
func delivered(ctx context.Context, store *jetstore.Store, ev *enact.StoredEvent) {
	if store.Watched() {
		_, seen := store.Observe(ctx, operation(store, jetstore.Delivering, ev))
		seen.End(jetstore.Outcome{})
	}
}

func operation(store *jetstore.Store, kind jetstore.OperationKind, ev *enact.StoredEvent) jetstore.Operation {
	return jetstore.Operation{
		Kind: kind, Stream: store.StreamName(), Tenant: ev.TenantID, Execution: ev.ExecutionID,
		Events: 1, Sequence: ev.Sequence, Origin: ev.Trace,
	}
}
