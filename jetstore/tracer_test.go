package jetstore_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// occurrences counts what stores say has happened.
type occurrences [jetstore.Duplicate + 1]atomic.Int64

func (o *occurrences) Happened(_ context.Context, what jetstore.Occurrence) { o[what].Add(1) }

func (o *occurrences) of(what jetstore.Occurrence) int { return int(o[what].Load()) }

func TestTracer(t *testing.T) {
	srv, nc := startServer(t)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithMemoryStorage()))
	var mine occurrences
	s := connectTo(t, srv.ClientURL(), jetstore.WithTracer(&mine), jetstore.Patient())
	other := connectTo(t, srv.ClientURL(), jetstore.WithTracer(nil))

	key := enact.WithIdempotencyKey("once")
	for range 2 {
		_, err := s.Append(t.Context(), "run", "acme", note(1), key)
		require.NoError(t, err)
	}
	require.Equal(t, 1, mine.of(jetstore.Duplicate))
	_, err := other.Append(t.Context(), "run", "acme", note(2))
	require.NoError(t, err)
	require.Zero(t, mine.of(jetstore.Overtaken))
	_, err = s.Append(t.Context(), "run", "acme", note(3))
	require.NoError(t, err)
	require.Equal(t, 1, mine.of(jetstore.Overtaken))
	require.Zero(t, mine.of(jetstore.StaleAnswer)+mine.of(jetstore.Retry)+mine.of(jetstore.Resolution))

	for what := range jetstore.Duplicate + 1 {
		require.NotContains(t, what.String(), "Occurrence")
	}
	require.Equal(t, "Occurrence(5)", (jetstore.Duplicate + 1).String())
}
