package jetstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// refusedStagings tells why transactions were refused.
type refusedStagings chan error

func (refusedStagings) Happened(context.Context, jetstore.Occurrence) {}

func (refusedStagings) Began(ctx context.Context, _ jetstore.Operation) context.Context { return ctx }

func (r refusedStagings) Ended(_ context.Context, op jetstore.Operation, end jetstore.Outcome) {
	if op.Kind != jetstore.Staging || end.Err == nil {
		return
	}
	select {
	case r <- end.Err:
	default: // one was told
	}
}

// Where all of a stream's transactions are taken by others (10210), a staged batch
// waits until one is free.
func TestStagedBatchWaitsForATransaction(t *testing.T) {
	// Nothing runs out of time: the test decides when a transaction is free.
	srv := natstest.Start(t, natstest.Options{NoSync: true, JetStream: "limits { batch { max_inflight_per_stream: 2, timeout: 1h } }"})
	nc := natstest.Connect(t, srv.URL())
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	refused := make(refusedStagings, 1)
	s, err := jetstore.Open(t.Context(), nc, jetstore.WithTracer(refused), jetstore.Patient())
	require.NoError(t, err)
	defer shutDown(t, s)
	stage := func(id, sequence string) string {
		t.Helper()
		reply, err := nc.RequestMsg(&nats.Msg{Subject: "enact.t.other", Header: nats.Header{
			"Nats-Batch-Id": {id}, "Nats-Batch-Sequence": {sequence},
		}}, time.Minute)
		require.NoError(t, err)
		return string(reply.Data)
	}
	require.Empty(t, stage("a", "1"), "staged")
	require.Empty(t, stage("b", "1"), "staged")
	require.Contains(t, stage("c", "1"), "10210", "none is left")

	appended := make(chan error, 1)
	go func() {
		_, err := s.AppendBatch(t.Context(), "e", "t", notes(3), enact.WithOneEventPerRecord())
		appended <- err
	}()
	select {
	case err := <-refused:
		require.ErrorContains(t, err, "10210")
	case err := <-appended:
		require.Fail(t, "it did not wait", "%v", err)
	}
	require.Contains(t, stage("a", "3"), "10176", "what has a gap is given up")
	require.NoError(t, <-appended)
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
	nc := natstest.Connect(t, srv.URL())
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
