package consumer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A tail yields nothing more once its context has ended, also of a record that it has.
func TestTailEndsWithinARecord(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", "run")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []uint64
	for ev, err := range consumer.Tail(ctx, run, 0, consumer.OnCaughtUp(func(uint64) {
		_, err := run.Append(t.Context(), note(1)) // it comes once there is a consumer
		require.NoError(t, err)
	})) {
		require.NoError(t, err)
		switch got = append(got, ev.Sequence); ev.Sequence {
		case 1: // so this one comes by the consumer
			_, err := run.AppendBatch(t.Context(), []enact.Event{note(2), note(3), note(4)})
			require.NoError(t, err)
		case 2:
			cancel()
		}
	}
	require.Equal(t, []uint64{1, 2}, got)
	nothingLeft(t, s)
}

// A tail that begins after the log was made anew knows nothing of what it was.
func TestTailOfALogMadeAnew(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", "run")
	tail := func() (ends error) {
		_, err := run.Append(t.Context(), enact.ExecutionCompleted{})
		require.NoError(t, err)
		n := 0
		for _, err := range consumer.Tail(t.Context(), run, 0, consumer.OnCaughtUp(func(uint64) {
			_, err := run.Append(t.Context(), note(1))
			require.NoError(t, err)
		})) {
			if err != nil {
				return err
			}
			if n++; n == 2 {
				break
			}
		}
		return nil
	}
	require.NoError(t, tail())
	js := natstest.JetStream(t, s.Conn())
	require.NoError(t, js.DeleteStream(t.Context(), s.StreamName()))
	require.NoError(t, js.DeleteStream(t.Context(), s.IndexName()))
	require.NoError(t, jetstore.EnsureStream(t.Context(), s.Conn(), jetstore.WithMemoryStorage()))
	require.NoError(t, tail())
}
