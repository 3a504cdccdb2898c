package jetstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/bits"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// apart is more other messages between two records than a batch may pass over.
const apart = 300

// compareRead holds one read against what the model says.
func compareRead(t require.TestingT, ctx context.Context, run jetstore.Execution, n, after, limit int, backwards bool) {
	opts := []enact.ReadOption{enact.Limit(limit)}
	if backwards {
		opts = append(opts, enact.Backwards())
	}
	want := expected(n, after, limit, backwards)
	loaded, err := run.LoadEventsAfter(ctx, uint64(after), opts...)
	require.NoError(t, err, "after %d, limit %d, backwards %t", after, limit, backwards)
	got, err := numbered(loaded)
	require.NoError(t, err)
	require.Equal(t, want, got, "after %d, limit %d, backwards %t", after, limit, backwards)

	if limit > 2 {
		return
	}
	var yielded []enact.StoredEvent
	for ev, err := range run.Events(ctx, uint64(after), opts...) {
		require.NoError(t, err)
		yielded = append(yielded, ev)
	}
	got, err = numbered(yielded)
	require.NoError(t, err)
	require.Equal(t, want, got, "events after %d, limit %d, backwards %t", after, limit, backwards)
}

// upTo returns the candidates that a history of n events has a use for.
func upTo(n int, candidates ...int) (some []int) {
	for _, c := range candidates {
		if c >= 0 && c <= n+2 {
			some = append(some, c)
		}
	}
	return some
}

// However an execution lies in the stream, every read gives its events as they were
// appended.
func TestReadsOfEveryShape(t *testing.T) {
	l := newWatchedLog(t)
	ctx := t.Context()
	for _, s := range []shape{
		{{times: 1, events: 1}},
		{{times: 2, events: 1}},
		{{times: 1, events: 5}},
		{{times: 3, events: 1000, single: true}},
		{{times: 7, events: 300}},
		{{times: 1, events: 2500}},
		{{times: 200, events: 1, filler: 3}, {times: 1, events: 800, single: true}},
		{{times: 2, events: 1, filler: 5000}},
		{{times: 70, events: 1, filler: apart}},
		{{times: 20, events: 3, single: true, filler: 4 * apart}},
		{{times: 10, events: 40, filler: apart}},
		{{times: 1, events: 600, single: true}, {times: 30, events: 1, filler: apart}},
		{{times: 30, events: 1, filler: apart}, {times: 1, events: 600, single: true}},
		{{times: 1, events: 1, filler: 30_000}, {times: 1, events: 20, single: true}},
		{{times: 1, events: 700, single: true, filler: 30_000}, {times: 1, events: 1}},
	} {
		t.Run(s.String(), func(t *testing.T) {
			n := s.events()
			run := l.build(t, ctx, s)
			for _, after := range upTo(n, 0, 1, n/2, 512, 513, n-2, n-1, n, n+2) {
				for _, limit := range upTo(n, 0, 2, 513) {
					compareRead(t, ctx, run, n, after, limit, false)
					compareRead(t, ctx, run, n, after, limit, true)
				}
			}
			latest, ok, err := l.store.LatestSequence(ctx, run.ID())
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, uint64(n), latest)
			all, err := l.store.LoadEvents(ctx, run.ID())
			require.NoError(t, err, "without the tenant")
			require.Len(t, all, n)
		})
	}
}

// Any shape, any read.
func TestReadsOfAnyShape(t *testing.T) {
	l := newWatchedLog(t)
	rapid.Check(t, func(rt *rapid.T) {
		s := shape(rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) stretch {
			return stretch{
				times:  rapid.IntRange(1, 12).Draw(rt, "times"),
				events: rapid.SampledFrom([]int{1, 1, 2, 9, 80}).Draw(rt, "events"),
				single: rapid.Bool().Draw(rt, "single"),
				filler: rapid.SampledFrom([]int{0, 0, 1, 30, apart, 2 * apart}).Draw(rt, "filler"),
			}
		}), 1, 4).Draw(rt, "shape"))
		n := s.events()
		run := l.build(rt, t.Context(), s)
		for range 4 {
			compareRead(rt, t.Context(), run, n, rapid.IntRange(0, n+1).Draw(rt, "after"),
				rapid.IntRange(0, n+1).Draw(rt, "limit"), rapid.Bool().Draw(rt, "backwards"))
		}
	})
}

// load reads the whole execution.
func load(t *testing.T, run jetstore.Execution, n int) {
	t.Helper()
	events, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	require.Len(t, events, n)
}

// A short dense execution costs three requests, two of them at the same time; one record
// costs two. Once a store knows where an execution begins and ends, as the one does that
// wrote it, a load costs two, both at the same time.
func TestCostOfADenseLoad(t *testing.T) {
	l := newWatchedLog(t)
	reader, err := jetstore.Open(t.Context(), l.nc, jetstore.WithMemoryStorage(), jetstore.Patient())
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, reader) })
	for n, want := range map[int][2]requests{
		1:   {{leader: 1, first: 1}, {leader: 1}},
		2:   {{leader: 1, first: 1}, {leader: 1, first: 1}},
		20:  {{leader: 1, first: 1, batches: 1}, {leader: 1, batches: 1}},
		500: {{leader: 1, first: 1, batches: 1}, {leader: 1, batches: 1}},
	} {
		run := l.build(t, t.Context(), shape{{times: 1, events: n, single: true}})
		read := reader.Execution(run.Tenant(), run.ID())
		for i, name := range []string{"first", "second"} {
			require.Equal(t, want[i], l.counted(t, func() { load(t, read, n) }), "%s load of %d records", name, n)
		}
		require.Equal(t, want[1], l.counted(t, func() { load(t, run, n) }), "the writer's load of %d records", n)

		_, err := run.Append(t.Context(), note(n+1))
		require.NoError(t, err)
		got := l.counted(t, func() { load(t, read, n+1) })
		require.Equal(t, requests{leader: 1, first: got.first, batches: got.batches}, got, "one record more than %d", n)
		require.LessOrEqual(t, got.first+got.batches, 2, "one record more than %d", n)
	}
}

// Records that lie close together are read in batches, those that lie apart one by one:
// a batch over them would make the server look through all that lies between.
func TestDenseAndSparse(t *testing.T) {
	l := newWatchedLog(t)
	dense := l.build(t, t.Context(), shape{{times: 3, events: 680, single: true}})
	got := l.counted(t, func() { load(t, dense, 2040) })
	require.Equal(t, requests{leader: 1, batches: got.batches, points: got.points}, got)
	require.LessOrEqual(t, got.batches, 9)
	require.LessOrEqual(t, got.points, 9, "about one mark a batch")

	const n = 70
	sparse := l.build(t, t.Context(), shape{{times: n, events: 1, filler: apart}})
	got = l.counted(t, func() { load(t, sparse, n) })
	require.Equal(t, requests{leader: 1, points: got.points}, got, "no batch")
	require.GreaterOrEqual(t, got.points, n-2)
	require.LessOrEqual(t, got.points, n+10)

	mixed := l.build(t, t.Context(), shape{{times: 1, events: 900, single: true}, {times: 40, events: 1, filler: 4000}})
	got = l.counted(t, func() { load(t, mixed, 940) })
	require.LessOrEqual(t, got.batches, 20, "the dense part comes in batches")
	require.GreaterOrEqual(t, got.points, 39, "the sparse part does not")
	require.LessOrEqual(t, got.points, 39+64+20)
}

// Large records that lie apart are read a few at a time: memory bounds a page, too.
func TestLargeRecordsApart(t *testing.T) {
	const n = 24
	l := newWatchedLog(t)
	run := l.store.Execution("acme", enact.NewExecutionID())
	large := enact.Custom{EventType: "large", Data: json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)}
	for range n {
		_, err := run.Append(t.Context(), large)
		require.NoError(t, err)
		l.fill(t, apart)
	}
	got := l.counted(t, func() {
		count := 0
		for _, err := range run.Events(t.Context(), 0) {
			require.NoError(t, err)
			if count++; count == 2 {
				break
			}
		}
	})
	require.LessOrEqual(t, got.points, 14, "two pages of three records, and the way to them")
	load(t, run, n)
}

// liveHeap returns the bytes that are in use.
func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// requireHeap requires less than so many bytes to be in use. What the server in this process and
// the connections work with comes and goes; what a read holds stays for as long as its caller does.
func requireHeap(t *testing.T, most uint64, format string, args ...any) {
	t.Helper()
	var live uint64
	natstest.Eventually(t, time.Minute, func() bool {
		live = liveHeap()
		return live < most
	}, func() string {
		return fmt.Sprintf("%d bytes in use, not less than %d, ", live, most) + fmt.Sprintf(format, args...)
	})
}

// How large records are shows only once they were read. Where the end of a history says
// nothing of the rest, a page is bounded all the same, and little is read twice.
func TestMemoryOfLargeRecords(t *testing.T) {
	const (
		n     = 40
		bytes = 2 << 20
		most  = 40 << 20 // of the 80 MB
	)
	for _, tc := range []struct {
		name          string
		filler, small int // other messages behind each record, small records at the end
	}{{"dense", 0, 3}, {"sparse", apart, 3}, {"sparse and large to the end", apart, 0}} {
		t.Run(tc.name, func(t *testing.T) {
			l := newWatchedLog(t)
			run := l.store.Execution("acme", enact.NewExecutionID())
			large := enact.Custom{EventType: "large", Data: json.RawMessage(`"` + strings.Repeat("x", bytes) + `"`)}
			for range n {
				_, err := run.Append(t.Context(), large)
				require.NoError(t, err)
				l.fill(t, tc.filler)
			}
			for range tc.small {
				_, err := run.Append(t.Context(), note(1))
				require.NoError(t, err)
			}
			for _, opts := range [][]enact.ReadOption{nil, {enact.Backwards()}} {
				heap, received := liveHeap(), l.nc.Stats().InBytes
				want := expected(n+tc.small, 0, 0, opts != nil)
				for ev, err := range run.Events(t.Context(), 0, opts...) {
					require.NoError(t, err)
					require.Equal(t, want[0], ev.Sequence)
					if want = want[1:]; len(want)%8 == 0 || len(want) > n-4 {
						requireHeap(t, heap+most, "at event %d, backwards %t", ev.Sequence, opts != nil)
					}
				}
				require.Empty(t, want)
				require.Less(t, l.nc.Stats().InBytes-received, uint64(4*n*bytes), "backwards %t", opts != nil)
			}
		})
	}
}

// The way to where a page begins takes several requests, so the newest hundred small events
// are one page backwards, and all of them a few.
func TestRequestsBackwards(t *testing.T) {
	l := newWatchedLog(t)
	run := l.build(t, t.Context(), shape{{times: 2, events: 650, single: true}})
	for limit, most := range map[int]uint64{100: 12, 300: 20, 0: 40} {
		before := l.nc.Stats().OutMsgs
		events, err := run.LoadEvents(t.Context(), enact.Backwards(), enact.Limit(limit))
		require.NoError(t, err)
		require.NotEmpty(t, events)
		require.LessOrEqual(t, l.nc.Stats().OutMsgs-before, most, "of %d", limit)
	}
}

// Between the records of a stretch that is read with all that lies there may be more bytes of
// others than one answer holds.
func TestLargeMessagesOfOthers(t *testing.T) {
	const n = 6
	l := newWatchedLog(t)
	run := l.build(t, t.Context(), shape{{times: 2, events: 1}})
	for i := 3; i <= n; i++ {
		for range 2 {
			_, err := l.raw.Request("enact.filler.large", make([]byte, 700<<10), time.Minute)
			require.NoError(t, err)
		}
		_, err := run.Append(t.Context(), note(i))
		require.NoError(t, err)
	}
	for after := range n {
		compareRead(t, t.Context(), run, n, after, 0, false)
		compareRead(t, t.Context(), run, n, after, 2, true)
	}
	got := l.counted(t, func() {
		_, err := run.LoadEventsAfter(t.Context(), 1)
		require.NoError(t, err)
	})
	require.Equal(t, 1, got.leader, "nothing looks as if a replica had missed it")
}

// What a read near an end of a long history costs grows with the logarithm of its length.
func TestCostOfAPartOfALongHistory(t *testing.T) {
	const n = 3000
	l := newWatchedLog(t)
	run := l.build(t, t.Context(), shape{{times: 3, events: 1000, single: true}})
	log := bits.Len(n)
	for _, part := range []struct {
		name         string
		after, limit int
		backwards    bool
		points       int
	}{
		{"the last event", n - 1, 0, false, 2},
		{"the last ten", n - 10, 0, false, log + 1},
		{"the newest", 0, 1, true, 2},
		{"the newest ten", 0, 10, true, log + 1},
		{"three in the middle", n / 2, 3, false, 2*log + 1},
		{"the first", 0, 1, false, 0},
		{"one after a power of two", 2048, 1, false, 2*log + 1},
		{"one before a power of two", 2046, 1, false, 2*log + 1},
	} {
		got := l.counted(t, func() {
			opts := []enact.ReadOption{enact.Limit(part.limit)}
			if part.backwards {
				opts = append(opts, enact.Backwards())
			}
			events, err := run.LoadEventsAfter(t.Context(), uint64(part.after), opts...)
			require.NoError(t, err)
			_, err = numbered(events)
			require.NoError(t, err)
			require.Len(t, events, len(expected(n, part.after, part.limit, part.backwards)))
		})
		require.Equal(t, 1, got.leader, part.name)
		require.LessOrEqual(t, got.points, part.points, part.name)
		require.LessOrEqual(t, got.batches, 1, part.name)
		require.Zero(t, got.info+got.other, part.name)
	}
}

// A read that is broken off, by its caller or by its context, leaves nothing behind: no
// subscription, no consumer, no goroutine.
func TestBreakingOffLeavesNothing(t *testing.T) {
	l := newWatchedLog(t)
	runs := map[string]jetstore.Execution{
		"long":   l.build(t, t.Context(), shape{{times: 4, events: 1000, single: true}}),
		"dense":  l.build(t, t.Context(), shape{{times: 3, events: 600, single: true}}),
		"sparse": l.build(t, t.Context(), shape{{times: 150, events: 1, filler: apart}}),
	}
	for name, run := range runs {
		t.Run(name, func(t *testing.T) {
			all, err := run.LoadEvents(t.Context()) // makes the inboxes that a read needs
			require.NoError(t, err)
			n := len(all)
			subscriptions := l.nc.NumSubscriptions()
			others := goleak.IgnoreCurrent()
			for _, opts := range [][]enact.ReadOption{nil, {enact.Backwards()}} {
				for _, stop := range []int{1, 2, 64, 65, 66, 100, n} {
					count := 0
					for _, err := range run.Events(t.Context(), 0, opts...) {
						require.NoError(t, err)
						if count++; count == stop {
							break
						}
					}
					require.LessOrEqual(t, l.nc.NumSubscriptions(), subscriptions+overlap, "stopped at %d", stop)
					require.Empty(t, l.consumers(t), "stopped at %d", stop)

					ctx, cancel := context.WithCancel(t.Context())
					var failed error
					count = 0
					for _, err := range run.Events(ctx, 0, opts...) {
						if err != nil {
							require.NoError(t, failed, "one error")
							failed = err
							continue
						}
						require.NoError(t, failed, "the error is the last")
						if count++; count == stop {
							cancel()
						}
					}
					cancel()
					if stop < n {
						require.ErrorIs(t, failed, context.Canceled)
						require.Equal(t, stop, count, "nothing comes after the context's end")
					}
					require.LessOrEqual(t, l.nc.NumSubscriptions(), subscriptions+overlap, "cancelled at %d", stop)
					require.Empty(t, l.consumers(t), "cancelled at %d", stop)
				}
			}
			require.NoError(t, leaktest.Find(others))
		})
	}
}

// An iteration over a long history holds a few pages of it at a time.
func TestMemoryOfALongIteration(t *testing.T) {
	const most = 64 << 20
	l := newWatchedLog(t)
	const n = 200_000
	run := l.build(t, t.Context(), shape{{times: 4, events: 45_000}, {times: 20, events: 1000, single: true}})
	before := liveHeap()
	next := uint64(1)
	for ev, err := range run.Events(t.Context(), 0) {
		require.NoError(t, err)
		if ev.Sequence != next {
			t.Fatalf("event %d follows event %d", ev.Sequence, next-1)
		}
		if next++; next%20_000 == 0 {
			requireHeap(t, before+most, "at event %d", next)
		}
	}
	require.Equal(t, uint64(n), next-1)
}
