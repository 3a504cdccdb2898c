package jetstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// openOnSmallServer opens a store on a server that takes so many bytes in a message.
func openOnSmallServer(t *testing.T, maxPayload int) (s *jetstore.Store, limit int) {
	t.Helper()
	srv := natstest.Start(t, natstest.Options{NoSync: true, Extra: fmt.Sprintf("max_payload: %d", maxPayload)})
	nc := natstest.Connect(t, srv.URL())
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	s, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, s) })
	return s, int(nc.MaxPayload())
}

func noteOfBytes(n int) enact.Event {
	return enact.Custom{EventType: "note", Data: json.RawMessage(`"` + strings.Repeat("x", n) + `"`)}
}

// A batch of events that the server takes is stored, in as many records as that needs.
func TestBatchOnAServerWithALowLimit(t *testing.T) {
	s, limit := openOnSmallServer(t, 32<<10) // less than a record may have
	run := s.Execution("acme", "run")
	events := make([]enact.Event, 20)
	for i := range events {
		events[i] = noteOfBytes(limit / 5)
	}
	_, err := run.AppendBatch(t.Context(), events)
	require.NoError(t, err)
	loaded, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	require.Len(t, loaded, len(events))
}

// The largest event that is stored alone may be too large for a batch, whose messages have
// headers more. That is said at once, with the sizes, and nothing is stored.
func TestEventTooLargeForABatch(t *testing.T) {
	s, limit := openOnSmallServer(t, 256<<10)
	largest := 0
	for n := limit; largest == 0; n-- {
		switch _, err := s.Append(t.Context(), "alone", "acme", noteOfBytes(n)); {
		case err == nil:
			largest = n
		default:
			require.ErrorIs(t, err, enact.ErrTooLarge)
		}
	}
	for place := range 3 {
		events := []enact.Event{note(0), note(1), note(2)}
		events[place] = noteOfBytes(largest)
		_, err := s.AppendBatch(t.Context(), "batch", "acme", events)
		tooLarge, ok := errors.AsType[*enact.TooLargeError](err)
		require.True(t, ok, "event %d: %v", place, err)
		require.Equal(t, "event", tooLarge.What)
		require.Equal(t, limit, tooLarge.Limit)
		require.Greater(t, tooLarge.Size, limit)
	}
	exists, err := s.ExecutionExists(t.Context(), "batch")
	require.NoError(t, err)
	require.False(t, exists)
}
