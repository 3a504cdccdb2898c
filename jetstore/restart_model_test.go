package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/memstore"
)

// allKeys is a key window that nothing leaves: a store in memory counts it in appends,
// a store in a stream in records.
const allKeys = 1024

// restarts is a server on one directory and two stores on it, which are restarted in
// between operations, and the model, which is not.
type restarts struct {
	dir    string
	srv    *embedded.Server
	stores [2]*jetstore.Store
	model  *memstore.Store
	check  int // makes ids that no other check has
	served int // starts of the server
}

func (r *restarts) startServer(t require.TestingT) {
	var err error
	r.srv, err = embedded.Start(context.Background(), r.dir)
	require.NoError(t, err)
	r.served++
}

// open opens a store with a cache for so many executions.
func (r *restarts) open(t require.TestingT, store, cache int) {
	var err error
	r.stores[store], err = jetstore.Connect(context.Background(), "",
		jetstore.WithNATS(r.srv.InProcess()), jetstore.WithLocalServer(nil),
		jetstore.WithCacheSize(cache), jetstore.WithKeyWindow(allKeys))
	require.NoError(t, err)
}

func (r *restarts) close(t require.TestingT, store int) {
	require.NoError(t, r.stores[store].Shutdown(context.Background()))
}

// step is one operation of the model test.
type step struct {
	kind      string // "append", "read", "reopen" or "restart"
	store     int
	execution int
	events    int
	set       int    // which events; those of a key are one of few sets
	expect    string // "", "none", "latest", "before", "exists" or "beyond"
	key       string
	staged    bool
	cache     int
}

func steps() *rapid.Generator[step] {
	return rapid.Custom(func(t *rapid.T) step {
		s := step{store: rapid.IntRange(0, 1).Draw(t, "store"), execution: rapid.IntRange(0, 2).Draw(t, "execution")}
		switch dice := rapid.IntRange(0, 199).Draw(t, "kind"); {
		case dice < 30:
			s.kind = "read"
			return s
		case dice < 45:
			s.kind, s.cache = "reopen", rapid.IntRange(1, 3).Draw(t, "cache")
			return s
		case dice >= 194: // few: one costs as much as a hundred appends
			s.kind, s.cache = "restart", rapid.IntRange(1, 3).Draw(t, "cache")
			return s
		}
		s.kind = "append"
		s.events = rapid.IntRange(1, 5).Draw(t, "events")
		s.set = rapid.IntRange(0, 5).Draw(t, "set") / 5 // mostly the first, so that keys are used again
		s.expect = rapid.SampledFrom([]string{"", "", "", "none", "latest", "latest", "before", "exists", "beyond"}).Draw(t, "expect")
		s.key = rapid.SampledFrom([]string{"", "", "k1", "k2", "K 3"}).Draw(t, "key")
		if s.key != "" {
			s.events = len(s.key) + s.set
		}
		s.staged = rapid.IntRange(0, 3).Draw(t, "staged") == 0
		return s
	})
}

// Whatever is restarted between operations, a store gives the answers of one that
// never was: what it keeps in memory is only what it could ask for again.
func TestRestartsModel(t *testing.T) {
	ctx := t.Context()
	r := &restarts{dir: t.TempDir(), model: memstore.New(memstore.WithKeyWindow(allKeys))}
	store, err := embedded.Open(ctx, r.dir) // makes the streams
	require.NoError(t, err)
	require.NoError(t, store.Shutdown(ctx))
	r.startServer(t)
	for n := range r.stores {
		r.open(t, n, 1+n)
	}
	t.Cleanup(func() {
		for n := range r.stores {
			r.close(t, n)
		}
		require.NoError(t, r.srv.Shutdown(context.Background()))
	})
	rapid.Check(t, func(rt *rapid.T) {
		r.check++
		for n, s := range rapid.SliceOfN(steps(), 10, 40).Draw(rt, "steps") {
			r.run(rt, n, s)
		}
		if r.check == 1 { // whatever is drawn, one restart there is
			r.restart(rt, 1)
		}
		for store := range r.stores {
			for execution := range 3 {
				r.compare(rt, store, execution)
			}
		}
	})
	t.Logf("the server was started %d times", r.served)
}

// restart restarts the server and both stores, each with a cache for so many executions.
func (r *restarts) restart(t require.TestingT, cache int) {
	for store := range r.stores {
		r.close(t, store)
	}
	require.NoError(t, r.srv.Shutdown(context.Background()))
	r.startServer(t)
	for store := range r.stores {
		r.open(t, store, cache)
	}
}

func (r *restarts) run(t *rapid.T, n int, s step) {
	switch s.kind {
	case "read":
		r.compare(t, s.store, s.execution)
	case "reopen":
		r.close(t, s.store)
		r.open(t, s.store, s.cache)
	case "restart":
		r.restart(t, s.cache)
	case "append":
		b := r.batch(t, n, s)
		want, wantErr := r.model.Commit(context.Background(), b)
		got, err := r.stores[s.store].Commit(context.Background(), b)
		sameClass(t, wantErr, err)
		require.Equal(t, [2]uint64{want.First, want.Last}, [2]uint64{got.First, got.Last}, "step %d: %+v", n, s)
		require.Equal(t, want.Duplicate, got.Duplicate, "step %d: %+v", n, s)
	}
}

// names returns the tenant and the id of an execution of this check.
func (r *restarts) names(execution int) (enact.TenantID, enact.ExecutionID) {
	return enact.TenantID(fmt.Sprintf("tenant-%d", r.check)), enact.ExecutionID(fmt.Sprintf("check-%d-%d", r.check, execution))
}

func (r *restarts) batch(t *rapid.T, n int, s step) enact.Batch {
	tenant, id := r.names(s.execution)
	b := enact.Batch{TenantID: tenant, ExecutionID: id, Options: enact.AppendOptions{
		IdempotencyKey: s.key, OneEventPerRecord: s.staged,
		Metadata: map[string]string{"step": fmt.Sprint(n)}, Timestamp: time.Unix(int64(n), 1),
	}}
	for i := range s.events {
		name := fmt.Sprintf("step %d", n)
		if s.key != "" {
			name = fmt.Sprintf("%s, set %d", s.key, s.set)
		}
		b.Events = append(b.Events, noteOf(fmt.Sprintf("%s, event %d", name, i)))
	}
	latest, _, err := r.model.LatestSequence(context.Background(), id, enact.InTenant(tenant))
	require.NoError(t, err)
	exactly := func(n uint64) enact.Expectation {
		return enact.Expectation{Kind: enact.ExactSequence, Sequence: n}
	}
	b.Options.Expect = map[string]enact.Expectation{
		"none": exactly(0), "latest": exactly(latest), "before": exactly(max(latest, 1) - 1), "beyond": exactly(latest + 1),
		"exists": {Kind: enact.MustExist},
	}[s.expect]
	return b
}

// compare requires the model's history from a store.
func (r *restarts) compare(t *rapid.T, store, execution int) {
	tenant, id := r.names(execution)
	want, err := r.model.LoadEvents(context.Background(), id, enact.InTenant(tenant))
	require.NoError(t, err)
	got, err := r.stores[store].LoadEvents(context.Background(), id)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range want {
		want[i].Position, got[i].Position = 0, 0 // each store's own
		require.Equal(t, want[i], got[i])
	}
	latest, _, err := r.stores[store].LatestSequence(context.Background(), id)
	require.NoError(t, err)
	require.Equal(t, uint64(len(want)), latest)
}

// sameClass requires errors that match the same sentinel, and equal conflicts.
func sameClass(t *rapid.T, want, got error) {
	for _, sentinel := range []error{enact.ErrConflict, enact.ErrKeyReused} {
		require.Equal(t, errors.Is(want, sentinel), errors.Is(got, sentinel), "model: %v, store: %v", want, got)
	}
	require.Equal(t, want == nil, got == nil, "model: %v, store: %v", want, got)
	wanted, _ := errors.AsType[*enact.ConflictError](want)
	conflict, _ := errors.AsType[*enact.ConflictError](got)
	require.Equal(t, wanted, conflict)
}
