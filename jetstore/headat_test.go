package jetstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore/embedded"
)

// The head of every moment can be had later: alone, of a record that holds several
// events, and of a staged batch.
func TestHeadAt(t *testing.T) {
	store := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := store.Execution("acme", "run")
	event := enact.Custom{EventType: "x", Data: enact.JSON(1)}
	want := make(map[uint64]enact.Head)
	for i := range 12 {
		var opts []enact.AppendOption
		if i%4 == 3 {
			opts = append(opts, enact.WithOneEventPerRecord())
		}
		_, err := run.AppendBatch(t.Context(), []enact.Event{event, event, event}[:1+i%3], opts...)
		require.NoError(t, err)
		head, err := run.Head(t.Context())
		require.NoError(t, err)
		want[head.Sequence] = head
	}
	for sequence, head := range want {
		got, err := run.HeadAt(t.Context(), sequence)
		require.NoError(t, err)
		require.Equal(t, head, got)
	}
	// The events 2 and 3 are one record.
	got, err := store.HeadAt(t.Context(), "run", 2)
	require.NoError(t, err)
	require.Equal(t, want[3], got)

	got, err = run.HeadAt(t.Context(), 1000)
	require.NoError(t, err)
	require.Equal(t, enact.Head{TenantID: "acme", ExecutionID: "run"}, got)
	got, err = store.HeadAt(t.Context(), "nobody", 1)
	require.NoError(t, err)
	require.Zero(t, got.Sequence)
	_, err = run.HeadAt(t.Context(), 0)
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	_, err = store.HeadAt(t.Context(), "", 1)
	require.ErrorIs(t, err, enact.ErrInvalidID)
}
