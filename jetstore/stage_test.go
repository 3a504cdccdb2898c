package jetstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// Where all of a stream's transactions are taken by others (10210), a staged batch
// waits until one is free.
func TestStagedBatchWaitsForATransaction(t *testing.T) {
	srv := natstest.Start(t, natstest.Options{NoSync: true, JetStream: "limits { batch { max_inflight_per_stream: 2, timeout: 1s } }"})
	nc, err := nats.Connect(srv.URL())
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	s, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	defer shutDown(t, s)
	stage := func(id string) []byte {
		t.Helper()
		reply, err := nc.RequestMsg(&nats.Msg{Subject: "enact.t.other", Header: nats.Header{
			"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {"1"},
		}}, time.Second)
		require.NoError(t, err)
		return reply.Data
	}
	require.Empty(t, stage("a"), "staged")
	require.Empty(t, stage("b"), "staged")
	require.Contains(t, string(stage("c")), "10210", "none is left")

	_, err = s.AppendBatch(t.Context(), "e", "t", notes(3), enact.WithOneEventPerRecord())
	require.NoError(t, err)
	loaded, err := s.LoadEvents(t.Context(), "e")
	require.NoError(t, err)
	require.Len(t, loaded, 3)
	exists, err := s.ExecutionExists(t.Context(), "other")
	require.NoError(t, err)
	require.False(t, exists, "what was abandoned is not stored")
}

// A server may allow fewer records in a transaction than there can be. That is said, with the
// number, as soon as it is known.
func TestStagedBatchOverTheServersLimit(t *testing.T) {
	srv := natstest.Start(t, natstest.Options{NoSync: true, JetStream: "limits { batch { max_msgs: 4 } }"})
	nc, err := nats.Connect(srv.URL())
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	s, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	defer shutDown(t, s)
	for _, n := range []int{5, 9} {
		_, err = s.AppendBatch(t.Context(), "e", "t", notes(n), enact.WithOneEventPerRecord())
		tooLarge, ok := errors.AsType[*enact.TooLargeError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, enact.TooLargeError{What: "batch", Size: n, Unit: "records"}, *tooLarge)
		exists, err := s.ExecutionExists(t.Context(), "e")
		require.NoError(t, err)
		require.False(t, exists)
	}
	_, err = s.AppendBatch(t.Context(), "e", "t", notes(4), enact.WithOneEventPerRecord())
	require.NoError(t, err)
}
