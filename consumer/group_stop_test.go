package consumer_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore/embedded"
)

// An event that was handled while its member was told to end is acknowledged: it does not
// come again.
func TestGroupAcknowledgesWhatWasHandledAtTheEnd(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	for i := range 2 {
		_, err := s.Append(t.Context(), "run", "acme", note(i))
		require.NoError(t, err)
	}
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		t.Run(string(mode), func(t *testing.T) {
			g := openGroup(t, s, mode)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			require.NoError(t, g.Run(ctx, func(context.Context, enact.StoredEvent) error {
				cancel()
				return nil
			}))
			var got seen
			stop := member(t, g, got.handle)
			idle(t, g)
			require.NoError(t, stop())
			require.Len(t, got.events, 1)
			require.Equal(t, uint64(2), got.events[0].Sequence)
			require.NoError(t, g.Remove(t.Context()))
		})
	}
}

// An event that is given up is not tried again because its dead letter cannot be stored.
func TestGroupTriesADeadLetterAgainAndNotTheEvent(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	_, err := s.Append(t.Context(), "run", "acme", note(1))
	require.NoError(t, err)
	js, err := jetstream.New(s.Conn())
	require.NoError(t, err)
	require.NoError(t, consumer.EnsureDeadLetters(t.Context(), s))
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		var calls, lost atomic.Int32
		g, err := consumer.OpenGroup(t.Context(), s, "g-"+string(mode), mode, consumer.Filter{}, consumer.MaxDeliveries(2), consumer.Backoff(time.Millisecond),
			consumer.OnFailure(func(f consumer.Failure) {
				if calls.Load() >= 2 && !f.DeadLetter {
					lost.Add(1)
				}
			}))
		require.NoError(t, err)
		require.NoError(t, js.DeleteStream(t.Context(), s.StreamName()+"_DEAD"))
		stop := member(t, g, func(context.Context, enact.StoredEvent) error {
			calls.Add(1)
			return errors.New("never")
		})
		eventually(t, "dead letters are lost", func() bool { return lost.Load() >= 3 })
		require.NoError(t, consumer.EnsureDeadLetters(t.Context(), s))
		idle(t, g)
		require.NoError(t, stop())
		require.Equal(t, int32(2), calls.Load())
		letters := 0
		for letter, err := range consumer.DeadLetters(t.Context(), s, g.Name()) {
			require.NoError(t, err)
			require.Equal(t, 2, letter.Attempts)
			require.Contains(t, letter.Reason, "never")
			letters++
		}
		require.Equal(t, 1, letters)
	}
}

// The active member of an ordered group that loses its connection for a moment is still the
// active one: it goes on with what it holds.
func TestOrderedGroupOverACutConnection(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	const n = 20
	for i := range n {
		_, err := s.Append(t.Context(), "run", "acme", note(i))
		require.NoError(t, err)
	}
	g := openGroup(t, s, consumer.Ordered, consumer.AckWait(time.Hour), consumer.FailoverAfter(time.Hour))
	began, release := make(chan struct{}), make(chan struct{})
	var got seen
	stop := member(t, g, func(ctx context.Context, ev enact.StoredEvent) error {
		if ev.Sequence == 3 {
			close(began)
			<-release
		}
		return got.handle(ctx, ev)
	})
	<-began
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	var asked atomic.Int32
	sub, err := s.Conn().Subscribe(s.APIPrefix()+".CONSUMER.INFO.*.billing", func(*nats.Msg) { asked.Add(1) })
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	require.NoError(t, s.Conn().ForceReconnect())
	// Before it asks for records, and once it has found none on their way.
	eventually(t, "it is back", func() bool { return asked.Load() >= 2 })
	goOn()
	eventually(t, "it goes on", func() bool { return got.count() >= n })
	idle(t, g)
	require.NoError(t, stop())
	require.Len(t, got.events, n)
	for i, ev := range got.events {
		require.Equal(t, uint64(i+1), ev.Sequence)
	}
}

// Acknowledgements that are lost with the server are given again: the members do not wait
// until the server sends all that once more.
func TestGroupAcknowledgesAgain(t *testing.T) {
	srv, s := onServer(t)
	for mode, opt := range map[consumer.Mode]consumer.GroupOption{
		consumer.Ordered:  consumer.MaxInFlight(0),
		consumer.Parallel: consumer.MaxInFlight(4), // which is all that is lost
	} {
		t.Run(string(mode), func(t *testing.T) {
			g, err := consumer.OpenGroup(t.Context(), s, "g-"+string(mode), mode, consumer.Filter{}, consumer.FromNow(), consumer.AckWait(time.Hour), opt)
			require.NoError(t, err)
			run := s.Execution("acme", enact.ExecutionID(mode))
			for i := range 4 {
				_, err := run.Append(t.Context(), note(i))
				require.NoError(t, err)
			}
			var got seen
			began, away := make(chan struct{}), make(chan struct{})
			stop := member(t, g, func(ctx context.Context, ev enact.StoredEvent) error {
				if ev.Sequence == 1 {
					close(began)
					<-away
				}
				return got.handle(ctx, ev)
			})
			<-began
			eventually(t, "it holds all", func() bool {
				info, err := g.Info(t.Context())
				require.NoError(t, err)
				return info.InFlight == 4
			})
			srv.Stop()
			eventually(t, "the connection is lost", func() bool { return !s.Conn().IsConnected() })
			close(away)
			eventually(t, "all is handled", func() bool { return got.count() == 4 })
			srv.Start()
			_, err = run.Append(t.Context(), note(5))
			require.NoError(t, err)
			eventually(t, "it goes on", func() bool { return got.count() == 5 })
			idle(t, g)
			require.NoError(t, stop())
			require.Equal(t, uint64(5), got.events[4].Sequence)
		})
	}
}
