package consumer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A group that is paused is sent nothing until it is resumed.
func TestGroupPause(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	// With so short a heartbeat a member asks anew when the machine stands still for a moment, and
	// what is sent to it just then comes again.
	g := openGroup(t, s, consumer.Parallel, consumer.WithHeartbeat(100*time.Millisecond), consumer.AckWait(2*time.Second))
	var got seen
	// What the member is sent, which this hears as well.
	sent := make(chan *nats.Msg, 10_000)
	sub, err := s.Conn().ChanSubscribe("_INBOX.>", sent)
	require.NoError(t, err)
	stop := member(t, g, got.handle)
	_, err = s.Append(t.Context(), "one", "acme", note(1))
	require.NoError(t, err)
	eventually(t, "it comes", func() bool { return got.count() == 1 })
	idle(t, g) // so it is not sent again
	require.NoError(t, s.Conn().FlushTimeout(patience))
	until := time.Now().Add(time.Hour)
	require.NoError(t, g.Pause(t.Context(), until))
	info, err := g.Info(t.Context())
	require.NoError(t, err)
	require.WithinDuration(t, until, info.PausedUntil, time.Second)
	_, err = s.Append(t.Context(), "one", "acme", note(2))
	require.NoError(t, err)
	eventually(t, "it lags", func() bool {
		info, err := g.Info(t.Context())
		require.NoError(t, err)
		return info.Lag() == 1
	})
	for len(sent) > 0 {
		<-sent // before that
	}
	// The member hears that there is nothing for it, more than once, and nothing else.
	for beats := 0; beats < 3; {
		switch m := <-sent; {
		case m.Header.Get("Status") == "100":
			beats++
		case strings.HasPrefix(m.Reply, "$JS.ACK."):
			t.Fatalf("a member of a paused group was sent a record: %v", m.Reply)
		}
	}
	// To the server it is interest in requests that the member does not wait for any more.
	require.NoError(t, sub.Unsubscribe())
	require.Equal(t, 1, got.count())
	require.NoError(t, g.Resume(t.Context()))
	eventually(t, "it goes on", func() bool { return got.count() == 2 })
	info, err = g.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.PausedUntil)
	require.NoError(t, stop())
	require.ErrorIs(t, g.Pause(t.Context(), time.Now().Add(-time.Second)), enact.ErrInvalidOption)
}
