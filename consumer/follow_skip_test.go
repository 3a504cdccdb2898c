package consumer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// Nothing of an execution is handed over behind what cannot be read, also once the Follow has
// forgotten all that it can of it.
func TestSkipCorruptForgetsNoCorruption(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	appendTo := func(id enact.ExecutionID) uint64 {
		t.Helper()
		receipt, err := s.Execution("acme", id).Append(t.Context(), note(1))
		require.NoError(t, err)
		return receipt.Position
	}
	appendTo("bad")
	unreadable := appendTo("bad")
	for _, id := range []enact.ExecutionID{"a", "b", "c", "d", "e"} {
		appendTo(id)
	}
	appendTo("bad")

	js := natstest.JetStream(t, s.Conn())
	stream, err := logtest.ReadStream(t.Context(), js, s.StreamName())
	require.NoError(t, err)
	stream.Edit(unreadable).Header.Set(record.HeaderVersion, "2")
	require.NoError(t, stream.Write(t.Context(), js))
	log, err := jetstore.Open(t.Context(), s.Conn(), jetstore.WithMemoryStorage())
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Shutdown(context.Background())) }()

	var got seen
	var reported []error
	// With a window of one record each execution but the last two is idle, and forgotten.
	require.NoError(t, consumer.Follow(t.Context(), log, consumer.Filter{}, got.handle, consumer.UntilLive(),
		consumer.Workers(1), consumer.Window(1, 0), consumer.WithCacheSize(1),
		consumer.SkipCorrupt(func(err error) { reported = append(reported, err) })))
	require.Len(t, got.by["acme/bad"], 1)
	require.Equal(t, 6, got.count())
	require.Len(t, reported, 1)
	require.ErrorIs(t, reported[0], enact.ErrUnsupportedVersion)
}
