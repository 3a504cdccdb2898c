package jetstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/logtest"
)

// A byte that changed on the server's disk costs the server the message: it says of it
// what it says of one that never was. Reads say that there is a hole, and where.
func TestByteFlippedOnDisk(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			l := newObservedLog(t)
			run := l.build(t, t.Context(), w.shape)
			n, k := w.shape.events(), w.within[1]
			events, err := run.LoadEvents(t.Context())
			require.NoError(t, err)
			l.server.Stop()
			require.NoError(t, logtest.FlipOnDisk(l.dir, "ENACT", fmt.Sprintf(`"event_type":"note","data":%d}`, k)))
			l.server.Start()

			loaded, err := run.LoadEvents(t.Context())
			require.Empty(t, loaded)
			requireHole(t, err, run.ID(), events[k])
			got, err := collect(t, run, 0)
			requireHole(t, err, run.ID(), events[k])
			require.Equal(t, expected(k-1, 0, 0, false), got, "all events before it")
			got, err = collect(t, run, 0, enact.Backwards())
			require.ErrorIs(t, err, enact.ErrCorrupt)
			require.True(t, slices.Equal(expected(n, 0, 0, true)[:len(got)], got), "%v", got)
			got, err = collect(t, run, k+3)
			require.NoError(t, err)
			require.Equal(t, expected(n, k+3, 0, false), got, "all well behind it")
		})
	}
}

// requireHole checks that the error tells of a hole before the event next.
func requireHole(t *testing.T, err error, id enact.ExecutionID, next enact.StoredEvent) {
	t.Helper()
	corrupt, ok := errors.AsType[*enact.CorruptError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, id, corrupt.ExecutionID)
	require.Equal(t, next.Position, corrupt.Position)
	require.Equal(t, next.Sequence, corrupt.Sequence)
	require.ErrorContains(t, err, "hole")
}
