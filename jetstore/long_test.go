package jetstore_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// long is enough records for a consumer.
const long = 4000

var longShape = shape{{times: long / 1000, events: 1000, single: true}}

// Many records that lie close together come from one consumer, which is asked no further
// than the records that were there when the read began.
func TestLongReadsUseAConsumer(t *testing.T) {
	l := newWatchedLog(t)
	run := l.build(t, t.Context(), longShape)
	got := l.counted(t, func() { load(t, run, long) })
	require.Equal(t, requests{leader: 1, points: got.points, made: 1, removed: 1, pulls: got.pulls}, got)
	require.LessOrEqual(t, got.points, 7, "about one mark a stretch")
	require.LessOrEqual(t, got.pulls, 7, "about one request a stretch")

	got = l.counted(t, func() {
		events, err := run.LoadEventsAfter(t.Context(), 1000, enact.Limit(100))
		require.NoError(t, err)
		require.Len(t, events, 100)
	})
	require.Zero(t, got.made, "a short part of a long history")
}

// Where the records lie apart, a consumer would make the server look through everything
// between them: it is not asked for those.
func TestConsumersAreForDenseStretches(t *testing.T) {
	l := newWatchedLog(t)
	run := l.build(t, t.Context(), shape{
		{times: 3, events: 1000, single: true}, {times: 20, events: 1, filler: 14_000}, {times: 3, events: 1000, single: true},
	})
	got := l.counted(t, func() { load(t, run, 6020) })
	require.Equal(t, 2, got.made)
	require.Equal(t, 2, got.removed)
	require.GreaterOrEqual(t, got.points, 19, "the sparse part is read by position")

	sparse := l.build(t, t.Context(), shape{{times: 52, events: 40, single: true, filler: 40 * 300}})
	got = l.counted(t, func() { load(t, sparse, 2080) })
	require.Zero(t, got.made)
}

// What a request brings is bounded in bytes, too; what it left is asked for again.
func TestLongReadOfLargeRecords(t *testing.T) {
	const n = 2500
	l := newWatchedLog(t)
	run := l.store.Execution("acme", enact.NewExecutionID())
	event := enact.Custom{EventType: "large", Data: json.RawMessage(`"` + strings.Repeat("x", 24<<10) + `"`)}
	for range n / 500 {
		events := make([]enact.Event, 500)
		for i := range events {
			events[i] = event
		}
		_, err := run.AppendBatch(t.Context(), events, enact.WithOneEventPerRecord())
		require.NoError(t, err)
	}
	got := l.counted(t, func() { load(t, run, n) })
	require.Equal(t, 1, got.made)
	require.Zero(t, got.batches)
	require.Greater(t, got.pulls, 5)
}

// A consumer that is removed under a read costs the read nothing but time.
func TestLongReadSurvivesItsConsumer(t *testing.T) {
	l := newWatchedLog(t)
	run := l.build(t, t.Context(), longShape)
	js := natstest.JetStream(t, l.raw)
	var events []enact.StoredEvent
	for ev, err := range run.Events(t.Context(), 0) {
		require.NoError(t, err)
		if events = append(events, ev); len(events)%500 == 0 {
			for _, name := range l.consumers(t) {
				// The read may have removed it just now.
				if err := js.DeleteConsumer(t.Context(), "ENACT", name); err != nil {
					require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
				}
			}
		}
	}
	_, err := numbered(events)
	require.NoError(t, err)
	require.Len(t, events, long)
	// The read has asked for the removal of each; the server need not have answered in time.
	natstest.Eventually(t, goneWithin, func() bool { return len(l.consumers(t)) == 0 }, func() string { return "the read has left a consumer" })
}

// A connection that may not make consumers reads all the same, and does not ask twice.
func TestLongReadWithoutConsumers(t *testing.T) {
	srv := natstest.Start(t, natstest.Options{Extra: `
authorization {
  timeout: 60
  users: [
    { user: operator, password: x }
    { user: reader, password: x, permissions: { publish: { deny: "$JS.API.CONSUMER.>" } } }
  ]
}`, NoSync: true, NATS: []nats.Option{nats.UserInfo("operator", "x")}})
	nc := natstest.Connect(t, srv.URL(), nats.UserInfo("operator", "x"))
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	s, err := jetstore.Connect(t.Context(), srv.URL(), jetstore.WithNATS(nats.Timeout(time.Minute), nats.UserInfo("reader", "x")))
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, s) })
	l := &watchedLog{nc: s.Conn(), store: s, raw: nc}
	run := l.build(t, t.Context(), longShape)
	load(t, run, long)
	got := l.counted(t, func() { load(t, run, long) })
	require.Zero(t, got.made)
	require.NotZero(t, got.batches)
}
