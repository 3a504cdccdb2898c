package storetest

import (
	"bytes"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func batches() []sentence {
	return []sentence{
		{"a batch has consecutive sequences and returns the first", func(f *fixture) {
			require.Equal(f.t, uint64(1), f.appendBatch(notes(1, 3)))
			require.Equal(f.t, uint64(4), f.append(note(4)))
			require.Equal(f.t, uint64(5), f.appendBatch(notes(5, 9)))
			require.Equal(f.t, uint64(10), f.appendBatch(notes(10, 10)))
			f.holds(notes(1, 10)...)
		}},
		{"a batch may hold events of every type", func(f *fixture) {
			f.appendBatch(samples())
			f.holds(samples()...)
		}},
		{"a batch with one invalid event stores nothing", func(f *fixture) {
			bad := map[string]enact.Event{
				"nil":        nil,
				"invalid":    enact.Custom{EventType: "x"},
				"unreadable": enact.Unreadable{Codec: "json", KeyID: "k"},
			}
			for name, invalid := range bad {
				for at := range 3 {
					events := notes(0, 2)
					events[at] = invalid
					_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, events)
					var which *enact.EventError
					require.ErrorAs(f.t, err, &which, "%s at %d", name, at)
					require.Equal(f.t, at, which.Index, "%s: index of the invalid event", name)
					f.holdsNothing()
				}
			}
			f.append(note(1))
			_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, []enact.Event{note(2), nil})
			require.ErrorIs(f.t, err, enact.ErrInvalidEvent)
			f.holds(note(1))
		}},
		{"a batch without events is ErrEmptyBatch", func(f *fixture) {
			for _, none := range [][]enact.Event{nil, {}} {
				_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, none)
				require.ErrorIs(f.t, err, enact.ErrEmptyBatch)
			}
			f.holdsNothing()
		}},
		{"a batch with one event per record reads as any other", func(f *fixture) {
			one := enact.WithOneEventPerRecord()
			require.Equal(f.t, uint64(1), f.appendBatch(notes(1, 10), one))
			require.Equal(f.t, uint64(11), f.append(note(11), one))
			require.Equal(f.t, uint64(12), f.appendBatch(notes(12, 13), one, enact.ExpectSequence(11)))
			f.holds(notes(1, 13)...)
		}},
	}
}

// largeAppends are larger than what one message of a wire store holds.
func largeAppends() []sentence {
	const count = 3000
	large := func() []enact.Event {
		events := make([]enact.Event, count)
		for i := range events {
			events[i] = enact.StepCompleted{
				StepID:     enact.StepID(fmt.Sprintf("step_%d", i)),
				Output:     new(fmt.Sprintf("%0150d", i)),
				DurationMS: uint64(i),
			}
		}
		return events
	}
	return []sentence{
		{"a batch of 3000 events is stored in order", func(f *fixture) {
			f.append(note(0))
			require.Equal(f.t, uint64(2), f.appendBatch(large(), enact.ExpectSequence(1)))
			require.Equal(f.t, uint64(count+2), f.append(note(count+1)))
			want := append(append([]enact.Event{note(0)}, large()...), note(count+1))
			f.holds(want...)

			last, err := f.store.LoadEventsAfter(f.ctx, f.execution, 1500, enact.Limit(2), enact.Backwards())
			require.NoError(f.t, err)
			require.Equal(f.t, []uint64{count + 2, count + 1}, sequences(last))
			middle, err := f.store.LoadEventsAfter(f.ctx, f.execution, 1500, enact.Limit(1200))
			require.NoError(f.t, err)
			require.Equal(f.t, 1200, len(middle))
			for i, e := range middle {
				require.Equal(f.t, uint64(1501+i), e.Sequence)
				sameEvent(f.t, want[1500+i], e.Event)
			}
		}},
		{"a batch of 3000 events creates an execution", func(f *fixture) {
			require.Equal(f.t, uint64(1), f.appendBatch(large(), enact.ExpectSequence(0)))
			f.holds(large()...)
			require.Equal(f.t, []enact.ExecutionID{f.execution}, f.listAll())
		}},
		{"a batch of 3000 events is refused as a whole", func(f *fixture) {
			events := large()
			events[count-1] = enact.Custom{EventType: "without data"}
			_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, events)
			require.ErrorIs(f.t, err, enact.ErrInvalidEvent)
			_, err = f.store.AppendBatch(f.ctx, f.execution, f.tenant, large(), enact.ExpectSequence(1))
			require.ErrorIs(f.t, err, enact.ErrConflict)
			f.holdsNothing()
		}},
		{"a batch of 3000 events is stored once under its idempotency key", func(f *fixture) {
			require.Equal(f.t, uint64(1), f.appendBatch(large(), enact.WithIdempotencyKey("large")))
			require.Equal(f.t, uint64(1), f.appendBatch(large(), enact.WithIdempotencyKey("large")))
			require.Equal(f.t, uint64(count), f.latest())
		}},
		{"one event of 300 KiB is stored", func(f *fixture) {
			data := append(append([]byte{'"'}, bytes.Repeat([]byte("0123456789abcdef"), 300<<10/16)...), '"')
			big := enact.ToolCallCompleted{ToolCallID: "call", Output: data}
			f.append(note(1))
			require.Equal(f.t, uint64(2), f.append(big))
			require.Equal(f.t, uint64(3), f.append(note(3)))
			require.Equal(f.t, uint64(4), f.appendBatch([]enact.Event{note(4), big, note(6)}))
			f.holds(note(1), big, note(3), note(4), big, note(6))
		}},
	}
}
