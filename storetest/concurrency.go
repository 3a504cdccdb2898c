package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// Goroutines and appends of each in the sentences below.
const (
	writers   = 8
	perWriter = 25
)

func concurrency() []sentence {
	return []sentence{
		{"concurrent appends to one execution are numbered without gaps, each as acknowledged", testConcurrentAppends},
		{"concurrent batches to one execution stay together", testConcurrentBatches},
		{"concurrent appends to different executions do not mix", func(f *fixture) {
			all := make([]*fixture, writers)
			for i := range all {
				all[i] = f.on(enact.NewExecutionID())
			}
			errs := make([]error, writers)
			together(writers, func(i int) {
				for n := range perWriter {
					seq, err := f.store.Append(f.ctx, all[i].execution, f.tenant, note(1000*i+n))
					if err == nil && seq != uint64(n)+1 {
						err = fmt.Errorf("append %d got sequence %d", n, seq)
					}
					errs[i] = errors.Join(errs[i], err)
				}
			})
			require.NoError(f.t, errors.Join(errs...))
			for i, g := range all {
				g.holds(notes(1000*i, 1000*i+perWriter-1)...)
			}
			require.Len(f.t, f.listAll(), writers)
		}},
		{"of concurrent appends that expect the same sequence one succeeds", func(f *fixture) {
			for round := range 5 {
				f.oneWins(uint64(2*round), 2)
			}
		}},
		{"of concurrent creations one succeeds", func(f *fixture) {
			for range 5 {
				f.on(enact.NewExecutionID()).oneWins(0, 1)
			}
			require.Len(f.t, f.listAll(), 5)
		}},
		{"a reader beside a writer sees no hole and misses nothing acknowledged", testReaderBesideWriter},
	}
}

func testConcurrentAppends(f *fixture) {
	seqs, errs := make([][]uint64, writers), make([]error, writers)
	together(writers, func(i int) {
		for n := range perWriter {
			seq, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1000*i+n))
			if err != nil {
				errs[i] = err
				return
			}
			seqs[i] = append(seqs[i], seq)
		}
	})
	require.NoError(f.t, errors.Join(errs...))
	loaded := f.loadN(writers * perWriter)
	for i, e := range loaded {
		require.Equal(f.t, uint64(i)+1, e.Sequence)
	}
	for i := range writers {
		require.IsIncreasing(f.t, seqs[i], "each writer's appends keep their order")
		for n, seq := range seqs[i] {
			sameEvent(f.t, note(1000*i+n), f.at(loaded, seq))
		}
	}
}

func testConcurrentBatches(f *fixture) {
	const size = 5
	firsts, errs := make([][]uint64, writers), make([]error, writers)
	together(writers, func(i int) {
		for n := range 5 {
			from := 1000*i + 10*n
			first, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, notes(from, from+size-1))
			if err != nil {
				errs[i] = err
				return
			}
			firsts[i] = append(firsts[i], first)
		}
	})
	require.NoError(f.t, errors.Join(errs...))
	loaded := f.loadN(writers * 5 * size)
	for i := range writers {
		for n, first := range firsts[i] {
			for k := range size {
				sameEvent(f.t, note(1000*i+10*n+k), f.at(loaded, first+uint64(k)))
			}
		}
	}
}

// oneWins lets the writers append a batch at sequence latest at the same time
// and requires that one of them succeeds, and the others learn the sequence.
func (f *fixture) oneWins(latest uint64, size int) {
	f.t.Helper()
	firsts, errs := make([]uint64, writers), make([]error, writers)
	together(writers, func(i int) {
		firsts[i], errs[i] = f.store.AppendBatch(f.ctx, f.execution, f.tenant, notes(100*i, 100*i+size-1), enact.ExpectSequence(latest))
	})
	winner := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(f.t, -1, winner, "two appends succeeded")
			require.Equal(f.t, latest+1, firsts[i])
			winner = i
			continue
		}
		var conflict *enact.ConflictError
		require.ErrorAs(f.t, err, &conflict)
		require.Equal(f.t, latest+uint64(size), conflict.Actual)
	}
	require.NotEqual(f.t, -1, winner, "no append succeeded")
	loaded, err := f.store.LoadEventsAfter(f.ctx, f.execution, latest)
	require.NoError(f.t, err)
	require.Equal(f.t, size, len(loaded))
	for k, e := range loaded {
		require.Equal(f.t, latest+1+uint64(k), e.Sequence)
		sameEvent(f.t, note(100*winner+k), e.Event)
	}
}

func testReaderBesideWriter(f *fixture) {
	const count = 100
	var acknowledged atomic.Uint64
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; n <= count && failed == nil; n++ {
			var seq uint64
			if seq, failed = f.store.Append(f.ctx, f.execution, f.tenant, note(n)); failed == nil {
				acknowledged.Store(seq)
			}
		}
	}()
	// The writer uses the test's context and store: it must not outlive the test.
	defer func() { <-done }()

	for writing := true; writing; {
		select {
		case <-done:
			writing = false // read once more: this read must see everything
		default:
		}
		known := acknowledged.Load()
		loaded, err := f.store.LoadEvents(f.ctx, f.execution)
		require.NoError(f.t, err)
		require.GreaterOrEqual(f.t, uint64(len(loaded)), known)
		for i, e := range loaded {
			require.Equal(f.t, uint64(i)+1, e.Sequence)
			sameEvent(f.t, note(i+1), e.Event)
		}
		latest, ok, err := f.store.LatestSequence(f.ctx, f.execution)
		require.NoError(f.t, err)
		require.GreaterOrEqual(f.t, latest, uint64(len(loaded)))
		require.Equal(f.t, latest > 0, ok)
	}
	require.NoError(f.t, failed)
	f.holds(notes(1, count)...)
}
