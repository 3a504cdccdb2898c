package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func reads() []sentence {
	return []sentence{
		{"an unknown execution has no events, which is no error", testUnknownExecution},
		{"a load gives every event once, in ascending order", func(f *fixture) {
			f.appendBatch(notes(1, 4))
			f.append(note(5))
			f.appendBatch(notes(6, 8))
			f.holds(notes(1, 8)...)
		}},
		{"after, Limit and Backwards choose the events", testSelections},
		{"a load after a sequence numbers events as a full load does", func(f *fixture) {
			f.appendBatch(notes(1, 6))
			all := f.loadN(6)
			tail, err := f.store.LoadEventsAfter(f.ctx, f.execution, 4)
			require.NoError(f.t, err)
			require.Equal(f.t, all[4:], tail)
		}},
		{"the count is the latest sequence", func(f *fixture) {
			for _, size := range []int{1, 5, 1} {
				before := f.latest()
				f.appendBatch(notes(1, size))
				require.Equal(f.t, before+uint64(size), f.latest())
				count, err := f.store.CountEvents(f.ctx, f.execution)
				require.NoError(f.t, err)
				require.Equal(f.t, f.latest(), count)
			}
		}},
		{"Limit and Backwards do not change what the latest sequence is", func(f *fixture) {
			f.appendBatch(notes(1, 6))
			opts := []enact.ReadOption{enact.Limit(2), enact.Backwards()}
			seq, ok, err := f.store.LatestSequence(f.ctx, f.execution, opts...)
			require.NoError(f.t, err)
			require.True(f.t, ok)
			require.Equal(f.t, uint64(6), seq)
			count, err := f.store.CountEvents(f.ctx, f.execution, opts...)
			require.NoError(f.t, err)
			require.Equal(f.t, uint64(6), count)
		}},
		{"a read asked for at least a sequence that is there is an ordinary read", func(f *fixture) {
			f.appendBatch(notes(1, 5))
			for _, n := range []uint64{0, 1, 5} {
				f.loadN(5, enact.AtLeast(n))
				f.loadN(2, enact.AtLeast(n), enact.Limit(2)) // the history must reach it, not the answer's last event
				// A replica that has not reached it will not do; one that has may lag behind the rest.
				stale := f.load(enact.AtLeast(n), enact.AllowStale())
				require.GreaterOrEqual(f.t, uint64(len(stale)), n)
			}
		}},
		{"a read asked for at least a sequence that is not there is ErrStale", func(f *fixture) {
			f.appendBatch(notes(1, 5))
			for _, execution := range []enact.ExecutionID{f.execution, enact.NewExecutionID()} {
				for name, read := range readers(f.store, execution, enact.AtLeast(6)) {
					// The store may wait for the sequence until the context ends, and on a
					// busy machine the first answer may come later than that.
					var err error
					for _, wait := range []time.Duration{250 * time.Millisecond, 10 * time.Second, time.Minute} {
						ctx, cancel := context.WithTimeout(f.ctx, wait)
						err = read(ctx)
						cancel()
						if errors.Is(err, enact.ErrStale) {
							break
						}
					}
					require.ErrorIs(f.t, err, enact.ErrStale, name)
				}
			}
		}},
		{"a stale read never shows a hole", func(f *fixture) {
			for n := 1; n <= 30; n++ {
				f.append(note(n))
				loaded := f.load(enact.AllowStale())
				require.LessOrEqual(f.t, len(loaded), n)
				f.areNumbered(loaded, notes(1, len(loaded)))
			}
		}},
		{"a negative limit is refused by every read", func(f *fixture) {
			f.append(note(1))
			for name, read := range readers(f.store, f.execution, enact.Limit(-1)) {
				require.ErrorIs(f.t, read(f.ctx), enact.ErrInvalidOption, name)
			}
		}},
		{"a read whose context has ended returns its error", func(f *fixture) {
			f.append(note(1))
			ended, cancel := context.WithCancel(f.ctx)
			cancel()
			for name, read := range readers(f.store, f.execution) {
				require.ErrorIs(f.t, read(ended), context.Canceled, name)
			}
			f.loadN(1) // the store is as good as new
		}},
	}
}

// readers returns every read of an execution as a function that gives its error.
func readers(s enact.EventStore, execution enact.ExecutionID, opts ...enact.ReadOption) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"LoadEvents":      func(ctx context.Context) error { _, err := s.LoadEvents(ctx, execution, opts...); return err },
		"LoadEventsAfter": func(ctx context.Context) error { _, err := s.LoadEventsAfter(ctx, execution, 1, opts...); return err },
		"Events":          func(ctx context.Context) error { _, err := collect(s.Events(ctx, execution, 0, opts...)); return err },
		"LatestSequence":  func(ctx context.Context) error { _, _, err := s.LatestSequence(ctx, execution, opts...); return err },
		"ExecutionExists": func(ctx context.Context) error { _, err := s.ExecutionExists(ctx, execution, opts...); return err },
		"CountEvents":     func(ctx context.Context) error { _, err := s.CountEvents(ctx, execution, opts...); return err },
	}
}

func testUnknownExecution(f *fixture) {
	for _, opts := range [][]enact.ReadOption{
		nil, {enact.InTenant(f.tenant)}, {enact.Backwards(), enact.Limit(3)}, {enact.AllowStale()},
	} {
		loaded, err := f.store.LoadEvents(f.ctx, f.execution, opts...)
		require.NoError(f.t, err)
		require.Empty(f.t, loaded)
		for _, after := range []uint64{0, 1, math.MaxUint64} {
			loaded, err = f.store.LoadEventsAfter(f.ctx, f.execution, after, opts...)
			require.NoError(f.t, err)
			require.Empty(f.t, loaded)
			loaded, err = collect(f.store.Events(f.ctx, f.execution, after, opts...))
			require.NoError(f.t, err)
			require.Empty(f.t, loaded)
		}
		seq, ok, err := f.store.LatestSequence(f.ctx, f.execution, opts...)
		require.NoError(f.t, err)
		require.False(f.t, ok)
		require.Zero(f.t, seq)
		exists, err := f.store.ExecutionExists(f.ctx, f.execution, opts...)
		require.NoError(f.t, err)
		require.False(f.t, exists)
		count, err := f.store.CountEvents(f.ctx, f.execution, opts...)
		require.NoError(f.t, err)
		require.Zero(f.t, count)
	}
}

func testSelections(f *fixture) {
	const count = 12
	f.append(note(1))
	f.appendBatch(notes(2, 6)) // so that a selection can begin and end inside a batch
	f.append(note(7))
	f.appendBatch(notes(8, count))
	for _, after := range []uint64{0, 1, 3, 6, 11, 12, 13, math.MaxInt64, math.MaxUint64} {
		for _, limit := range []int{0, 1, 2, 5, 11, 12, 13, math.MaxInt} {
			for _, backwards := range []bool{false, true} {
				opts := []enact.ReadOption{enact.Limit(limit)}
				if backwards {
					opts = append(opts, enact.Backwards())
				}
				want := selection(count, after, limit, backwards)
				said := fmt.Sprintf("after %d, limit %d, backwards %t", after, limit, backwards)

				loaded, err := f.store.LoadEventsAfter(f.ctx, f.execution, after, opts...)
				require.NoError(f.t, err, said)
				require.Equal(f.t, want, sequences(loaded), said)
				for _, e := range loaded {
					sameEvent(f.t, note(int(e.Sequence)), e.Event)
				}
				ranged, err := collect(f.store.Events(f.ctx, f.execution, after, opts...))
				require.NoError(f.t, err, said)
				require.Equal(f.t, want, sequences(ranged), said)
				if after == 0 {
					require.Equal(f.t, want, sequences(f.load(opts...)), said)
				}
			}
		}
	}
}

// selection returns the sequences that a read of count events gives.
func selection(count, after uint64, limit int, backwards bool) []uint64 {
	want := []uint64{}
	for seq := uint64(1); seq <= count; seq++ {
		if seq > after {
			want = append(want, seq)
		}
	}
	if backwards {
		slices.Reverse(want)
	}
	if limit > 0 && limit < len(want) {
		want = want[:limit]
	}
	return want
}
