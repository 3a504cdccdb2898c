package storetest

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func iteration() []sentence {
	return []sentence{
		{"a range may break off at any event", func(f *fixture) {
			f.appendBatch(notes(1, 5))
			for stop := 1; stop <= 5; stop++ {
				for _, opts := range [][]enact.ReadOption{nil, {enact.Backwards()}} {
					seen := 0
					for _, err := range f.store.Events(f.ctx, f.execution, 0, opts...) {
						require.NoError(f.t, err)
						if seen++; seen == stop {
							break
						}
					}
					require.Equal(f.t, stop, seen)
				}
			}
			require.Equal(f.t, uint64(6), f.append(note(6)), "the store is as good as new")
			f.holds(notes(1, 6)...)
		}},
		{"each range reads anew", func(f *fixture) {
			events := f.store.Events(f.ctx, f.execution, 0)
			for n := range 4 {
				loaded, err := collect(events)
				require.NoError(f.t, err)
				f.areNumbered(loaded, notes(1, n))
				f.append(note(n + 1))
			}
		}},
		{"ranges may be nested", func(f *fixture) {
			f.appendBatch(notes(1, 4))
			events := f.store.Events(f.ctx, f.execution, 0)
			outer := 0
			for _, err := range events {
				require.NoError(f.t, err)
				outer++
				inner, err := collect(events)
				require.NoError(f.t, err)
				require.Equal(f.t, 4, len(inner))
			}
			require.Equal(f.t, 4, outer)
		}},
		{"a range may append", func(f *fixture) {
			f.appendBatch(notes(1, 3))
			seen := 0
			for e, err := range f.store.Events(f.ctx, f.execution, 0, enact.Limit(3)) {
				require.NoError(f.t, err)
				seen++
				f.append(note(int(e.Sequence) + 3))
			}
			require.Equal(f.t, 3, seen)
			f.holds(notes(1, 6)...)
		}},
		{"an error is yielded once, last, beside a zero event", func(f *fixture) {
			f.append(note(1))
			ended, cancel := context.WithCancel(f.ctx)
			cancel()
			onlyError(f, f.store.Events(ended, f.execution, 0), context.Canceled)
			onlyError(f, f.store.Events(f.ctx, "", 0), enact.ErrInvalidID)
			onlyError(f, f.store.Events(f.ctx, f.execution, 0, enact.Limit(-1)), enact.ErrInvalidOption)
		}},
		{"a context that ends ends the range with its error", func(f *fixture) {
			f.appendBatch(notes(1, 200))
			ctx, cancel := context.WithCancel(f.ctx)
			defer cancel()
			seen, failures := 0, 0
			for e, err := range f.store.Events(ctx, f.execution, 0) {
				require.Zero(f.t, failures, "something followed an error")
				if err != nil {
					require.ErrorIs(f.t, err, context.Canceled)
					require.Zero(f.t, e)
					failures++
					continue
				}
				seen++
				require.Equal(f.t, uint64(seen), e.Sequence)
				cancel()
			}
			require.Equal(f.t, 1, failures)
			require.Less(f.t, seen, 200)
		}},
	}
}

// onlyError requires a range to yield want, once, beside a zero event.
func onlyError(f *fixture, events func(func(enact.StoredEvent, error) bool), want error) {
	f.t.Helper()
	yields := 0
	for e, err := range events {
		yields++
		require.ErrorIs(f.t, err, want)
		require.Zero(f.t, e)
	}
	require.Equal(f.t, 1, yields)
}
