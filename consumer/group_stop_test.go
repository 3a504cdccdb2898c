package consumer_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
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
	t.Parallel() // it waits
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	_, err := s.Append(t.Context(), "run", "acme", note(1))
	require.NoError(t, err)
	js := natstest.JetStream(t, s.Conn())
	require.NoError(t, consumer.EnsureDeadLetters(t.Context(), s))
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		var calls, lost atomic.Int32
		g := openNamed(t, s, "g-"+string(mode), mode, consumer.MaxDeliveries(2), consumer.Backoff(time.Millisecond),
			consumer.OnFailure(func(f consumer.Failure) {
				if calls.Load() >= 2 && !f.DeadLetter {
					lost.Add(1)
				}
			}))
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

// awaitRecords returns a function that waits until a member was sent so many records from now on.
func awaitRecords(t *testing.T, s *jetstore.Store, n int) (await func()) {
	t.Helper()
	sent := make(chan *nats.Msg, 10_000)
	sub, err := s.Conn().ChanSubscribe("_INBOX.>", sent)
	require.NoError(t, err)
	end := sync.OnceFunc(func() { _ = sub.Unsubscribe() })
	t.Cleanup(end)
	return func() {
		t.Helper()
		eventually(t, "all is sent", func() bool {
			for len(sent) > 0 {
				if m := <-sent; strings.HasPrefix(m.Reply, "$JS.ACK.") {
					n--
				}
			}
			return n <= 0
		})
		// To the server it is interest in requests that nobody waits for any more.
		end()
		// So the member has what was sent, too.
		require.NoError(t, s.Conn().FlushTimeout(patience))
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
	g := openGroup(t, s, consumer.Ordered)
	began, release := make(chan struct{}), make(chan struct{})
	var got seen
	allSent := awaitRecords(t, s, n)
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
	allSent() // what is on its way would be lost for as long as AckWait
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
	for mode, test := range map[consumer.Mode]struct {
		opt  consumer.GroupOption
		lost int // acknowledgements
	}{
		consumer.Ordered:  {consumer.MaxInFlight(0), 1}, // the others may have to be looked for in the log first
		consumer.Parallel: {consumer.MaxInFlight(4), 4},
	} {
		t.Run(string(mode), func(t *testing.T) {
			g := openNamed(t, s, "g-"+string(mode), mode, consumer.FromNow(), test.opt)
			run := s.Execution("acme", enact.ExecutionID(mode))
			for i := range 4 {
				_, err := run.Append(t.Context(), note(i))
				require.NoError(t, err)
			}
			var got seen
			began, away := make(chan struct{}), make(chan struct{})
			allSent := awaitRecords(t, s, 4)
			stop := member(t, g, func(ctx context.Context, ev enact.StoredEvent) error {
				if ev.Sequence == 1 {
					close(began)
					<-away
				}
				return got.handle(ctx, ev)
			})
			<-began
			allSent()
			srv.Stop()
			eventually(t, "the connection is lost", func() bool { return !s.Conn().IsConnected() })
			close(away)
			eventually(t, "it is handled", func() bool { return got.count() >= test.lost })
			srv.Start()
			_, err := run.Append(t.Context(), note(5))
			require.NoError(t, err)
			eventually(t, "it goes on", func() bool { return got.count() == 5 })
			idle(t, g)
			require.NoError(t, stop())
			require.Equal(t, uint64(5), got.events[4].Sequence)
		})
	}
}
