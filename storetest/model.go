package storetest

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/memstore"
)

// Numbers of operations of one check. The least is not 1 because rapid draws
// lengths near the least, and short histories show little; a failure still
// shrinks, to lists that do nothing around the operations that matter.
const (
	minSteps = 10
	maxSteps = 30
)

// RunModel drives random operations on the store and on a memstore.Store in
// step, and requires the same answers, the same classes of errors, and in the
// end the same histories and lists. It calls open once; all checks use tenants
// and executions of their own.
//
// The flag -rapid.checks sets the number of checks (default 100) of at most 30
// operations each. A failure is shrunk and prints the flags that repeat it.
func RunModel(t *testing.T, open func(t *testing.T) enact.EventStore) {
	store := open(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		m := &machine{
			t:     rt,
			ctx:   ctx,
			store: store,
			model: memstore.New(memstore.WithClock(func() time.Time { return modelTime })),
			began: time.Now(),
		}
		for i := range m.tenants {
			m.tenants[i] = newTenant()
		}
		for i := range m.executions {
			m.executions[i] = enact.NewExecutionID()
		}
		for i, o := range rapid.SliceOfN(operations(), minSteps, maxSteps).Draw(rt, "operations") {
			m.step, m.doing = i, o
			o.run(m)
		}
		m.compareEverything()
	})
}

// modelTime is the model's clock. It never agrees with the store's: an event of
// this time is one whose time the store chose.
var modelTime = time.Date(1234, 5, 6, 7, 8, 9, 10, time.UTC)

// machine is a store and its model, which have seen the same operations.
type machine struct {
	t          *rapid.T
	ctx        context.Context
	store      enact.EventStore
	model      *memstore.Store
	began      time.Time
	tenants    [2]enact.TenantID
	executions [3]enact.ExecutionID
	step       int
	doing      operation
}

// compareEverything requires equal histories, whoever asks, and equal lists.
func (m *machine) compareEverything() {
	for _, tenant := range m.tenants {
		m.step, m.doing = m.step+1, listing{limit: 0}
		m.compareLists(tenant, math.MaxInt, 0)
		m.compareQueries(enact.Query{Tenant: tenant})
	}
	for e, execution := range m.executions {
		m.step, m.doing = m.step+1, read{execution: e}
		m.compareReads(execution, 0)
		for _, tenant := range m.tenants {
			m.compareReads(execution, 0, enact.InTenant(tenant))
		}
	}
}

func (m *machine) compareLists(tenant enact.TenantID, limit, offset int) {
	want, wantErr := m.model.ListExecutions(m.ctx, tenant, limit, offset)
	got, err := m.store.ListExecutions(m.ctx, tenant, limit, offset)
	m.sameError(wantErr, err)
	m.equal(append([]enact.ExecutionID{}, want...), append([]enact.ExecutionID{}, got...), "list")
}

// compareQueries compares what the query finds, page by page: the pages of the two may
// end in different places.
func (m *machine) compareQueries(query enact.Query) {
	q, ok := m.store.(enact.Querier)
	if !ok {
		return
	}
	want, wantErr := found(m.ctx, m.model, query)
	got, err := found(m.ctx, q, query)
	m.sameError(wantErr, err)
	m.equal(idsOf(want), idsOf(got), "executions found")
	for i := range want {
		for _, at := range []struct{ want, got *time.Time }{{&want[i].Created, &got[i].Created}, {&want[i].Updated, &got[i].Updated}} {
			if at.want.Equal(modelTime) {
				require.WithinRange(m.t, *at.got, m.began.Add(-clockSkew), time.Now().Add(clockSkew))
				*at.want = *at.got
			}
		}
		m.equal(want[i], got[i], "execution found")
	}
}

func found(ctx context.Context, q enact.Querier, query enact.Query) (all []enact.ExecutionInfo, err error) {
	for x, err := range enact.AllExecutions(ctx, q, query) {
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

// compareReads compares every read of the execution.
func (m *machine) compareReads(execution enact.ExecutionID, after uint64, opts ...enact.ReadOption) {
	wantEvents, wantErr := m.model.LoadEventsAfter(m.ctx, execution, after, opts...)
	gotEvents, err := m.store.LoadEventsAfter(m.ctx, execution, after, opts...)
	m.sameError(wantErr, err)
	m.sameEvents(wantEvents, gotEvents)
	gotEvents, err = collect(m.store.Events(m.ctx, execution, after, opts...))
	m.sameError(wantErr, err)
	m.sameEvents(wantEvents, gotEvents)

	wantEvents, wantErr = m.model.LoadEvents(m.ctx, execution, opts...)
	gotEvents, err = m.store.LoadEvents(m.ctx, execution, opts...)
	m.sameError(wantErr, err)
	m.sameEvents(wantEvents, gotEvents)

	wantSeq, wantOK, wantErr := m.model.LatestSequence(m.ctx, execution, opts...)
	gotSeq, gotOK, err := m.store.LatestSequence(m.ctx, execution, opts...)
	m.sameError(wantErr, err)
	m.equal(wantSeq, gotSeq, "latest sequence")
	m.equal(wantOK, gotOK, "ok of the latest sequence")

	wantCount, wantErr := m.model.CountEvents(m.ctx, execution, opts...)
	gotCount, err := m.store.CountEvents(m.ctx, execution, opts...)
	m.sameError(wantErr, err)
	m.equal(wantCount, gotCount, "count")

	wantExists, wantErr := m.model.ExecutionExists(m.ctx, execution, opts...)
	gotExists, err := m.store.ExecutionExists(m.ctx, execution, opts...)
	m.sameError(wantErr, err)
	m.equal(wantExists, gotExists, "exists")
}

func (m *machine) equal(want, got any, what string) {
	require.Equal(m.t, want, got, "%s, step %d: %+v", what, m.step, m.doing)
}

// sameEvents compares all but positions, which belong to a store, and times that
// the store chose, which must be those of this check.
func (m *machine) sameEvents(want, got []enact.StoredEvent) {
	m.equal(sequences(want), sequences(got), "sequences")
	for i := range want {
		w, g := want[i], got[i]
		if w.Timestamp.Equal(modelTime) {
			require.WithinRange(m.t, g.Timestamp, m.began.Add(-clockSkew), time.Now().Add(clockSkew))
			w.Timestamp = g.Timestamp
		}
		w.Position, g.Position = 0, 0
		m.equal(encoded(m.t, []enact.StoredEvent{w}), encoded(m.t, []enact.StoredEvent{g}), "event")
	}
}

// sameError compares errors by the sentinel that they match.
func (m *machine) sameError(want, got error) {
	require.Equal(m.t, classOf(want), classOf(got), "step %d: %+v\nmodel: %v\nstore: %v", m.step, m.doing, want, got)
	var wantConflict, gotConflict *enact.ConflictError
	if errors.As(want, &wantConflict) && errors.As(got, &gotConflict) {
		m.equal(*wantConflict, *gotConflict, "conflict")
	}
}

// classOf returns the sentinel that err matches, or err itself.
func classOf(err error) error {
	sentinels := []error{
		enact.ErrUnknownOutcome, // first: it also matches its cause
		enact.ErrConflict, enact.ErrTenantMismatch, enact.ErrAmbiguousExecution, enact.ErrInvalidID, enact.ErrInvalidEvent,
		enact.ErrInvalidOption, enact.ErrInvalidCursor, enact.ErrEmptyBatch, enact.ErrKeyReused, enact.ErrTooLarge, enact.ErrCorrupt, enact.ErrStale, enact.ErrClosed,
	}
	if i := slices.IndexFunc(sentinels, func(s error) bool { return errors.Is(err, s) }); i >= 0 {
		return sentinels[i]
	}
	return err
}
