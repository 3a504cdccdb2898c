package jetstore

import (
	"context"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/cursor"
)

// ListExecutions implements enact.Lister.
//
// The tenant's entries in the index stream are gone through from the newest. An entry
// counts if its commit id is the origin of the execution's records: those of creations
// that crashed or lost a race do not, and of copies the oldest does. The order is that
// in which the entries that count were stored, each while its creation was under way.
//
// With an offset all entries before it are gone through; [Store.Executions] has cursors.
func (s *Store) ListExecutions(ctx context.Context, tenant enact.TenantID, limit, offset int) (executions []enact.ExecutionID, err error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := tenant.Validate(); err != nil {
		return nil, err
	}
	if err := enact.ValidatePage(limit, offset); err != nil {
		return nil, err
	}
	if s, err = s.of(ctx, tenant); err != nil {
		return nil, err
	}
	ctx, seen := s.Observe(ctx, Operation{Kind: Listing, Stream: s.cfg.index(), Tenant: tenant})
	if seen.Watched() {
		defer func() { seen.End(Outcome{Err: err, Events: len(executions)}) }()
	}
	executions = []enact.ExecutionID{}
	if limit == 0 {
		return executions, nil
	}
	l, err := s.openListing(ctx, tenant, "", min(limit, tailEntries))
	if err != nil {
		return nil, err
	}
	for len(executions) < limit {
		entries, err := l.next(ctx, min(limit-len(executions), indexBatch-offset)+offset)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			break
		}
		counted, err := s.counted(ctx, entries)
		if err != nil {
			return nil, err
		}
		skipped := min(offset, len(counted))
		offset -= skipped
		counted = counted[skipped:]
		for _, e := range counted[:min(len(counted), limit-len(executions))] {
			executions = append(executions, e.key.id)
		}
	}
	return executions, nil
}

// listing goes through a tenant's index entries, newest first, without copies.
type listing struct {
	s      *Store
	tenant enact.TenantID
	list   cursor.List
	ready  []creation // read and not yet handed out, in the stream's order
	older  *older     // nil: the list begins with the first of ready
}

// openListing begins at a cursor, or at the newest entry. want is how many entries are
// going to be asked for.
func (s *Store) openListing(ctx context.Context, tenant enact.TenantID, from string, want int) (*listing, error) {
	at, err := s.indexFence(ctx, tenant)
	if err != nil {
		return nil, err
	}
	l := &listing{s: s, tenant: tenant, list: cursor.List{Incarnation: at.incarnation, Tenant: tenant}}
	if from != "" {
		place, err := l.list.Decode(from)
		if err != nil {
			return nil, err
		}
		if place > at.lastEntry {
			return nil, &enact.CursorError{Reason: "it is a place behind the end of the list"}
		}
		l.begin(at, place)
		return l, nil
	}
	t, err := s.newest(ctx, tenant, at, want)
	if err != nil {
		return nil, err
	}
	if t != nil {
		l.ready = t.entries
		if !t.whole {
			l.older = s.olderThan(tenant, at, t.low, len(t.entries))
		}
	}
	return l, nil
}

// begin makes the listing one of the entries before a position, at which or behind which
// an entry stands.
func (l *listing) begin(at indexFence, position uint64) {
	t := l.s.tails.get(l.tenant)
	if t == nil || t.incarnation != at.incarnation || position <= t.low || position > t.through {
		l.older = l.s.olderThan(l.tenant, at, position, -1)
		return
	}
	n, _ := slices.BinarySearchFunc(t.entries, position, byPosition)
	l.ready = t.entries[:n]
	if !t.whole {
		l.older = l.s.olderThan(l.tenant, at, t.low, len(t.entries))
	}
}

// more reports whether next may return anything.
func (l *listing) more() bool { return len(l.ready) > 0 || l.older != nil && !l.older.done() }

// next returns up to n entries, newest first; none at the end of the list.
func (l *listing) next(ctx context.Context, n int) ([]creation, error) {
	for len(l.ready) == 0 {
		if !l.more() {
			return nil, nil
		}
		var err error
		if l.ready, err = l.older.next(ctx, n); err != nil {
			return nil, err
		}
		if l.ready, err = l.s.withoutCopies(ctx, l.tenant, l.ready); err != nil {
			return nil, err
		}
	}
	n = min(n, len(l.ready))
	entries := slices.Clone(l.ready[len(l.ready)-n:])
	slices.Reverse(entries)
	l.ready = l.ready[:len(l.ready)-n]
	return entries, nil
}
