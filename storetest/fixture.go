package storetest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// patience is how long one sentence may take: seconds on a healthy store, and much longer on a
// busy machine with a slow disk.
const patience = 5 * time.Minute

// fixture is what the test of one sentence works with: a store, and a tenant
// and an execution that nobody has used yet.
type fixture struct {
	t         *testing.T
	ctx       context.Context // ends when the sentence has taken too long
	store     enact.EventStore
	tenant    enact.TenantID
	execution enact.ExecutionID
	open      func(t *testing.T) enact.EventStore
}

func newFixture(t *testing.T, store enact.EventStore, open func(t *testing.T) enact.EventStore) *fixture {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &fixture{t: t, ctx: ctx, store: store, tenant: newTenant(), execution: enact.NewExecutionID(), open: open}
}

func newTenant() enact.TenantID { return enact.TenantID("tenant-" + uuid.NewString()) }

// on returns the fixture for another execution of the same tenant.
func (f *fixture) on(execution enact.ExecutionID) *fixture {
	g := *f
	g.execution = execution
	return &g
}

// in returns the fixture for a fresh execution of another tenant.
func (f *fixture) in(tenant enact.TenantID) *fixture {
	g := *f
	g.tenant, g.execution = tenant, enact.NewExecutionID()
	return &g
}

// openOther returns the fixture with a store of its own.
func (f *fixture) openOther() *fixture {
	g := *f
	g.store = f.open(f.t)
	return &g
}

// sub runs a subtest with a fixture of its own.
func (f *fixture) sub(name string, test func(f *fixture)) {
	f.t.Run(name, func(t *testing.T) { test(newFixture(t, f.store, f.open)) })
}

func (f *fixture) append(event enact.Event, opts ...enact.AppendOption) uint64 {
	f.t.Helper()
	seq, err := f.store.Append(f.ctx, f.execution, f.tenant, event, opts...)
	require.NoError(f.t, err)
	return seq
}

func (f *fixture) appendBatch(events []enact.Event, opts ...enact.AppendOption) uint64 {
	f.t.Helper()
	first, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, events, opts...)
	require.NoError(f.t, err)
	return first
}

func (f *fixture) load(opts ...enact.ReadOption) []enact.StoredEvent {
	f.t.Helper()
	events, err := f.store.LoadEvents(f.ctx, f.execution, opts...)
	require.NoError(f.t, err)
	return events
}

// loadN loads the execution and requires n events. Unlike require.Len it does
// not print them.
func (f *fixture) loadN(n int, opts ...enact.ReadOption) []enact.StoredEvent {
	f.t.Helper()
	loaded := f.load(opts...)
	require.Equal(f.t, n, len(loaded), "number of events loaded")
	return loaded
}

// at returns the event that was acknowledged as seq of a whole history.
func (f *fixture) at(loaded []enact.StoredEvent, seq uint64) enact.Event {
	f.t.Helper()
	require.NotZero(f.t, seq, "acknowledged sequence")
	require.LessOrEqual(f.t, seq, uint64(len(loaded)), "acknowledged sequence")
	return loaded[seq-1].Event
}

func (f *fixture) latest() uint64 {
	f.t.Helper()
	seq, ok, err := f.store.LatestSequence(f.ctx, f.execution)
	require.NoError(f.t, err)
	require.Equal(f.t, seq > 0, ok, "ok of LatestSequence beside sequence %d", seq)
	return seq
}

func (f *fixture) list(limit, offset int) []enact.ExecutionID {
	f.t.Helper()
	page, err := f.store.ListExecutions(f.ctx, f.tenant, limit, offset)
	require.NoError(f.t, err)
	return page
}

func (f *fixture) listAll() []enact.ExecutionID {
	f.t.Helper()
	return f.list(math.MaxInt, 0)
}

// holds requires the execution's history to be exactly these events.
func (f *fixture) holds(want ...enact.Event) {
	f.t.Helper()
	f.areNumbered(f.load(), want)
	require.Equal(f.t, uint64(len(want)), f.latest())
}

// areNumbered requires the loaded events to be want, numbered from 1, under the
// fixture's ids.
func (f *fixture) areNumbered(loaded []enact.StoredEvent, want []enact.Event) {
	f.t.Helper()
	require.Equal(f.t, len(want), len(loaded), "number of events")
	for i, e := range loaded {
		require.Equal(f.t, uint64(i)+1, e.Sequence, "sequence of event %d", i)
		require.Equal(f.t, f.execution, e.ExecutionID)
		require.Equal(f.t, f.tenant, e.TenantID)
		sameEvent(f.t, want[i], e.Event)
	}
}

// holdsNothing requires the execution to be unknown, and unlisted.
func (f *fixture) holdsNothing() {
	f.t.Helper()
	require.Empty(f.t, f.load())
	require.Zero(f.t, f.latest())
	require.NotContains(f.t, f.listAll(), f.execution)
}

// sameEvent requires two events to be equal as values and as JSON.
func sameEvent(t require.TestingT, want, got enact.Event) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	wantJSON, err := enact.AppendEvent(nil, want)
	require.NoError(t, err)
	gotJSON, err := enact.AppendEvent(nil, got)
	require.NoError(t, err)
	require.Equal(t, string(wantJSON), string(gotJSON))
	require.IsType(t, want, got)
}

// as returns the event as the variant that it must be.
func as[E enact.Event](t require.TestingT, e enact.Event) E {
	v, ok := e.(E)
	require.True(t, ok, "want a %T, got a %T", v, e)
	return v
}

// note returns an event that is told apart by its number.
func note(n int) enact.Event {
	return enact.Custom{EventType: "note", Data: enact.JSON(n)}
}

// notes returns the events from to to, both included.
func notes(from, to int) []enact.Event {
	events := make([]enact.Event, 0, to-from+1)
	for n := from; n <= to; n++ {
		events = append(events, note(n))
	}
	return events
}

// sequences returns the events' sequence numbers, never nil.
func sequences(events []enact.StoredEvent) []uint64 {
	seqs := make([]uint64, 0, len(events))
	for _, e := range events {
		seqs = append(seqs, e.Sequence)
	}
	return seqs
}

// collect ranges over events until the end or the first error.
func collect(events func(func(enact.StoredEvent, error) bool)) ([]enact.StoredEvent, error) {
	all := []enact.StoredEvent{}
	for e, err := range events {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}
