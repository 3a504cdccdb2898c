package jetstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// another opens the log by a store that knows nothing of it yet.
func (l *watchedLog) another(t *testing.T) *jetstore.Store {
	t.Helper()
	s, err := jetstore.Open(t.Context(), l.nc, jetstore.WithMemoryStorage())
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, s) })
	return s
}

// remake deletes the log's streams and makes them anew.
func (l *watchedLog) remake(t *testing.T) {
	t.Helper()
	js := natstest.JetStream(t, l.raw)
	for _, stream := range []string{"ENACT", "ENACT_INDEX"} {
		require.NoError(t, js.DeleteStream(t.Context(), stream))
	}
	require.NoError(t, jetstore.EnsureStream(t.Context(), l.raw, jetstore.WithMemoryStorage()))
}

// What a store knows of a log that was deleted says nothing of the one that was made in its
// place: there the same ids are other executions, of other tenants perhaps.
func TestReadsOfALogThatWasMadeAnew(t *testing.T) {
	for name, tenant := range map[string]enact.TenantID{"in the same tenant": "a", "in another tenant": "b"} {
		t.Run(name, func(t *testing.T) {
			l := newWatchedLog(t)
			_, err := l.store.AppendBatch(t.Context(), "run", "a", notes(3))
			require.NoError(t, err)
			list := func(s *jetstore.Store, tenant enact.TenantID) []enact.ExecutionID {
				ids, err := s.ListExecutions(t.Context(), tenant, 10, 0)
				require.NoError(t, err)
				return ids
			}
			lister, reader, asker := l.another(t), l.another(t), l.another(t)
			require.Equal(t, []enact.ExecutionID{"run"}, list(lister, "a"))
			_, err = reader.LoadEvents(t.Context(), "run")
			require.NoError(t, err)
			_, err = asker.Head(t.Context(), "run")
			require.NoError(t, err)

			l.remake(t)
			_, err = l.another(t).AppendBatch(t.Context(), "run", tenant, notes(2))
			require.NoError(t, err)

			require.Equal(t, []enact.ExecutionID{"run"}, list(lister, tenant))
			if tenant != "a" {
				require.Empty(t, list(lister, "a"))
			}
			events, err := reader.LoadEvents(t.Context(), "run")
			require.NoError(t, err)
			require.Len(t, events, 2)
			require.Equal(t, tenant, events[0].TenantID)
			head, err := asker.Head(t.Context(), "run")
			require.NoError(t, err)
			require.Equal(t, uint64(2), head.Sequence)
			require.Equal(t, tenant, head.TenantID)
		})
	}
}
