package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// loseIndex deletes the index stream and makes it anew.
func (l *madeLog) loseIndex(t *testing.T) {
	t.Helper()
	require.NoError(t, natstest.JetStream(t, l.nc).DeleteStream(t.Context(), "ENACT_INDEX"))
	l.makeStreams(t)
}

// entriesOf counts the entries of the index by message id.
func (l *madeLog) entriesOf(t *testing.T) map[string]int {
	t.Helper()
	stream, err := natstest.JetStream(t, l.nc).Stream(t.Context(), "ENACT_INDEX")
	require.NoError(t, err)
	state := stream.CachedInfo().State
	counts := make(map[string]int)
	for p := state.FirstSeq; p <= state.LastSeq; p++ {
		m, err := stream.GetMsg(t.Context(), p)
		require.NoError(t, err)
		counts[m.Header.Get(nats.MsgIdHdr)]++
	}
	return counts
}

func listAll(t *testing.T, s *jetstore.Store, tenant enact.TenantID) []enact.ExecutionID {
	t.Helper()
	// A list of 25 000 takes seconds, on a slow machine more than a call has by itself.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	all, err := s.ListExecutions(ctx, tenant, math.MaxInt, 0)
	require.NoError(t, err)
	return all
}

// An index that was lost is made again from the log: every list is what it was, entries
// of creations that crashed apart, and a second rebuild finds nothing to do.
func TestRebuildOfALostIndex(t *testing.T) {
	l := newMadeLog(t, 0)
	ctx := t.Context()
	many := map[enact.TenantID]int{"a": 1203, "b": 1, "c": 70, "x.y*": 2}
	events := 0
	for tenant, n := range many {
		var messages []*nats.Msg
		for i := range n {
			c := l.creation(tenant)
			messages = append(messages, c.Entry(), l.record(c))
			if i%10 == 0 {
				messages = append(messages, l.creation(tenant).Entry()) // it crashed
			}
		}
		l.send(messages...)
		events += n
	}
	for i := range 3 { // creations of several records, and records that are not first
		run := l.store.Execution("b", enact.ExecutionID(fmt.Sprint("staged", i)))
		_, err := run.AppendBatch(ctx, notes(5), enact.WithOneEventPerRecord(), enact.WithTimestamp(time.Date(2020, 1, 1+i, 0, 0, 0, 0, time.UTC)))
		require.NoError(t, err)
		_, err = run.Append(ctx, note(6))
		require.NoError(t, err)
	}
	many["b"] += 3
	query := func(s *jetstore.Store) map[enact.TenantID][]enact.ExecutionInfo {
		infos := make(map[enact.TenantID][]enact.ExecutionInfo)
		for tenant, n := range many {
			for x, err := range enact.AllExecutions(ctx, s, enact.Query{Tenant: tenant, Limit: 500}) {
				require.NoError(t, err)
				infos[tenant] = append(infos[tenant], x)
			}
			require.Len(t, infos[tenant], n)
		}
		return infos
	}
	before := query(l.store)

	l.loseIndex(t)
	for tenant := range many {
		require.Empty(t, listAll(t, l.store, tenant))
	}
	var steps []jetstore.RebuildProgress
	report, err := l.store.RebuildIndex(ctx, func(p jetstore.RebuildProgress) { steps = append(steps, p) })
	require.NoError(t, err)
	require.Equal(t, jetstore.RebuildReport{Messages: uint64(events + 3*6), Executions: uint64(events + 3), Added: uint64(events + 3)}, report)
	require.NotEmpty(t, steps)
	last := steps[len(steps)-1]
	require.Equal(t, last.End, last.Position)
	require.Equal(t, report.Executions, last.Executions)
	require.Equal(t, before, query(l.store), "in the store that did it")
	require.Equal(t, before, query(l.open(t)), "in others")
	tenants, err := l.store.ListTenants(ctx)
	require.NoError(t, err)
	require.Equal(t, []enact.TenantInfo{{TenantID: "a", Executions: 1203}, {TenantID: "b", Executions: 4}, {TenantID: "c", Executions: 70}, {TenantID: "x.y*", Executions: 2}}, tenants)

	again, err := l.store.RebuildIndex(ctx, nil)
	require.NoError(t, err)
	report.Added = 0
	require.Equal(t, report, again)
	require.Equal(t, before, query(l.store))
}

// Only what is missing is added, and behind what is there.
func TestRebuildAddsWhatIsMissing(t *testing.T) {
	l := newMadeLog(t, 0)
	want := []enact.ExecutionID{}
	var added []enact.ExecutionID
	for i := range 30 {
		c := l.creation("t")
		l.send(l.record(c))
		if i%3 == 0 {
			added = slices.Insert(added, 0, c.Execution)
			continue
		}
		l.send(c.Entry())
		want = slices.Insert(want, 0, c.Execution)
	}
	require.Equal(t, want, listAll(t, l.store, "t"))
	report, err := l.store.RebuildIndex(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, jetstore.RebuildReport{Messages: 30, Executions: 30, Added: 10}, report)
	require.Equal(t, append(added, want...), listAll(t, l.store, "t"))
}

// An entry that a rebuild has written is no copy, however long ago its commit was made,
// and no copies are looked for.
func TestRebuiltEntriesAreNoCopies(t *testing.T) {
	l := newMadeLog(t, shortWindow)
	for range 5 {
		c := l.creation("t")
		l.send(c.Entry(), l.record(c))
	}
	want := listAll(t, l.store, "t")
	l.loseIndex(t)
	l.forget(t)
	_, err := l.store.RebuildIndex(t.Context(), nil)
	require.NoError(t, err)
	raw := natstest.Connect(t, l.nc.ConnectedUrl())
	s := l.open(t)
	asked := questions(t, raw, l.nc, func() { require.Equal(t, want, listAll(t, s, "t")) })
	require.Equal(t, 1, asked["DIRECT.GET.ENACT_INDEX"])
}

// Rebuilds beside each other and beside writers add each entry once.
func TestRebuildsBesideWriters(t *testing.T) {
	l := newMadeLog(t, shortWindow)
	const writers, each, rebuilds = 4, 60, 3
	ctx := t.Context()
	var messages []*nats.Msg
	for range 2000 {
		messages = append(messages, l.record(l.creation("t")))
	}
	l.send(messages...)
	var all sync.WaitGroup
	errs := make([]error, writers+rebuilds)
	reports := make([]jetstore.RebuildReport, rebuilds)
	for w := range writers {
		s := l.open(t)
		all.Go(func() {
			for i := range each {
				if _, err := s.Append(ctx, enact.ExecutionID(fmt.Sprintf("w%d-%d", w, i)), "t", note(i)); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	for r := range rebuilds {
		s := l.open(t)
		all.Go(func() { reports[r], errs[writers+r] = s.RebuildIndex(ctx, nil) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	for _, n := range l.entriesOf(t) {
		require.Equal(t, 1, n)
	}
	listed := listAll(t, l.store, "t")
	require.Len(t, listed, 2000+writers*each)
	slices.Sort(listed)
	require.Len(t, slices.Compact(listed), 2000+writers*each)
	added := uint64(0)
	for _, r := range reports {
		added += r.Added
	}
	require.GreaterOrEqual(t, added, uint64(2000))
}

// A rebuild that is broken off is finished by the next, and says how far it came.
func TestRebuildBrokenOff(t *testing.T) {
	l := newMadeLog(t, 0)
	var messages []*nats.Msg
	const n = 25_000
	for range n {
		messages = append(messages, l.record(l.creation("t")))
	}
	l.send(messages...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, err := l.store.RebuildIndex(ctx, func(jetstore.RebuildProgress) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, uint64(10_000), first.Messages)
	require.Positive(t, first.Added)
	require.Less(t, first.Added, uint64(n))
	second, err := l.store.RebuildIndex(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, n-first.Added, second.Added)
	require.Len(t, listAll(t, l.store, "t"), n)

	closed, err := jetstore.Open(t.Context(), l.nc, jetstore.WithMemoryStorage())
	require.NoError(t, err)
	shutDown(t, closed)
	_, err = closed.RebuildIndex(t.Context(), nil)
	require.ErrorIs(t, err, enact.ErrClosed)
}

// What does not belong to the log, or to the index, does not end a rebuild.
func TestRebuildReportsFaults(t *testing.T) {
	l := newMadeLog(t, 0)
	c := l.creation("t")
	l.send(l.record(c), &nats.Msg{Subject: "enact.t.foreign"}, &nats.Msg{Subject: "enact.t.newer", Header: nats.Header{"Enact-Version": {"9"}}})
	report, err := l.store.RebuildIndex(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, uint64(1), report.Added)
	require.Equal(t, uint64(2), report.Faults)
	require.Len(t, report.FaultDetails, 2)
	require.ErrorIs(t, report.FaultDetails[0], enact.ErrCorrupt)
	require.ErrorIs(t, report.FaultDetails[1], enact.ErrUnsupportedVersion)
	require.Equal(t, []enact.ExecutionID{c.Execution}, listAll(t, l.store, "t"))

	l.send(&nats.Msg{Subject: "enact-index.u"})
	report, err = l.store.RebuildIndex(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, uint64(3), report.Faults)
}

// A stream may have lost its last messages, and say where it ended all the same. A rebuild
// does not wait for them: it reports them, and adds what the others tell of.
func TestRebuildWithoutTheLastMessages(t *testing.T) {
	l := newMadeLog(t, 0)
	var want []enact.ExecutionID
	for range 4 {
		c := l.creation("t")
		l.send(c.Entry(), l.record(c))
		want = slices.Insert(want, 0, c.Execution)
	}
	js := natstest.JetStream(t, l.nc)
	log, err := logtest.ReadStream(t.Context(), js, "ENACT")
	require.NoError(t, err)
	index, err := logtest.ReadStream(t.Context(), js, "ENACT_INDEX")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		log, index int // messages that each has left
		added      uint64
	}{
		"of the log": {2, 4, 0}, "of the index": {4, 2, 2}, "of both": {3, 1, 2}, "all of the log": {0, 4, 0}, "all of the index": {4, 0, 4},
	} {
		t.Run(name, func(t *testing.T) {
			faults := 0
			for stream, left := range map[*logtest.Stream]int{log: tc.log, index: tc.index} {
				c := stream.Clone()
				for i := left; i < 4; i++ {
					c.Set(c.First+uint64(i), nil)
				}
				require.NoError(t, c.Write(t.Context(), js))
				if left < 4 && left > 0 { // one without any has no end that it could have lost
					faults++
				}
			}
			var end jetstore.RebuildProgress
			s := l.open(t)
			report, err := s.RebuildIndex(t.Context(), func(p jetstore.RebuildProgress) { end = p })
			require.NoError(t, err)
			require.Equal(t, uint64(faults), report.Faults, "%v", report.FaultDetails)
			for _, fault := range report.FaultDetails {
				require.ErrorIs(t, fault, enact.ErrCorrupt)
			}
			require.Equal(t, uint64(tc.log), report.Messages)
			require.Equal(t, tc.added, report.Added)
			require.Equal(t, end.End, end.Position)
			if tc.log > 0 {
				require.ElementsMatch(t, want[4-tc.log:], listAll(t, s, "t"))
			}
		})
	}
}

// An empty log has nothing to rebuild.
func TestRebuildOfAnEmptyLog(t *testing.T) {
	l := newMadeLog(t, 0)
	report, err := l.store.RebuildIndex(t.Context(), func(jetstore.RebuildProgress) { t.Error("there is no progress") })
	require.NoError(t, err)
	require.Zero(t, report)
}
