package storetest

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func appends() []sentence {
	return []sentence{
		{"the first sequence is 1 and there are no gaps", func(f *fixture) {
			for n := 1; n <= 10; n++ {
				require.Equal(f.t, uint64(n), f.append(note(n)))
			}
			f.holds(notes(1, 10)...)
		}},
		{"each execution is numbered by itself", func(f *fixture) {
			other := f.on(enact.NewExecutionID())
			for n := 1; n <= 3; n++ {
				require.Equal(f.t, uint64(n), f.append(note(n)))
				require.Equal(f.t, uint64(n), other.append(note(-n)))
			}
			f.holds(note(1), note(2), note(3))
			other.holds(note(-1), note(-2), note(-3))
		}},
		{"a read sees every append acknowledged before it began", func(f *fixture) {
			for n := 1; n <= 20; n++ {
				seq := f.append(note(n))
				f.loadN(n)
				require.Equal(f.t, seq, f.latest())
				events, err := collect(f.store.Events(f.ctx, f.execution, seq-1))
				require.NoError(f.t, err)
				require.Equal(f.t, []uint64{seq}, sequences(events))
				count, err := f.store.CountEvents(f.ctx, f.execution)
				require.NoError(f.t, err)
				require.Equal(f.t, seq, count)
				exists, err := f.store.ExecutionExists(f.ctx, f.execution)
				require.NoError(f.t, err)
				require.True(f.t, exists)
			}
		}},
		{"nothing ends a history", func(f *fixture) {
			terminal := []enact.Event{
				enact.ExecutionCompleted{},
				enact.ExecutionCancelled{Reason: "again"},
				enact.ExecutionFailed{Error: sampleError()},
				enact.ExecutionStarted{},
			}
			for i, e := range terminal {
				require.Equal(f.t, uint64(i)+1, f.append(e))
			}
			f.holds(terminal...)
		}},
		{"a nil option is no option", func(f *fixture) {
			f.append(note(1), nil)
			f.loadN(1, nil)
		}},
		{"an append whose context has ended returns its error and stores nothing", func(f *fixture) {
			ended, cancel := context.WithCancel(f.ctx)
			cancel()
			_, err := f.store.Append(ended, f.execution, f.tenant, note(1))
			require.ErrorIs(f.t, err, context.Canceled)
			require.NotErrorIs(f.t, err, enact.ErrUnknownOutcome, "nothing was sent")
			_, err = f.store.AppendBatch(ended, f.execution, f.tenant, notes(1, 2))
			require.ErrorIs(f.t, err, context.Canceled)
			require.NotErrorIs(f.t, err, enact.ErrUnknownOutcome, "nothing was sent")
			f.holdsNothing()
			require.Equal(f.t, uint64(1), f.append(note(1)), "the execution is as good as new")
		}},
		{"an option out of range is refused and nothing is stored", func(f *fixture) {
			unknown := func(o *enact.AppendOptions) { o.Expect = enact.Expectation{Kind: enact.MustExist + 1} }
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1), unknown)
			var option *enact.OptionError
			require.ErrorAs(f.t, err, &option)
			require.ErrorIs(f.t, err, enact.ErrInvalidOption)
			f.holdsNothing()
		}},
	}
}
