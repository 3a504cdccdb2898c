package consumer_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A member that is cut off holds records while the next one begins. A late word of one of
// them makes the server wait for as many records as the next member holds, of which one is
// another: that one comes first all the same.
func TestOrderedGroupDoesNotCountOnCounts(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", "run")
	for i := range 6 {
		_, err := run.Append(t.Context(), note(i))
		require.NoError(t, err)
	}
	g := openGroup(t, s, consumer.Ordered, consumer.MaxInFlight(6))

	// The member before, of which only the requests are left.
	nc := s.Conn()
	inbox := nc.NewInbox()
	answers := make(chan *nats.Msg, 64)
	sub, err := nc.ChanSubscribe(inbox, answers)
	require.NoError(t, err)
	next := fmt.Sprintf("%s.CONSUMER.MSG.NEXT.%s.billing", s.APIPrefix(), s.StreamName())
	require.NoError(t, nc.PublishRequest(next, inbox, []byte(`{"batch":4,"expires":60000000000,"group":"members"}`)))
	var held [4]*nats.Msg
	for i := range held {
		held[i] = <-answers
		require.NotEmpty(t, held[i].Header.Get("Nats-Pin-Id"), "%v", held[i].Header)
	}
	require.NoError(t, sub.Unsubscribe())
	unpinned, err := nc.Request(fmt.Sprintf("%s.CONSUMER.UNPIN.%s.billing", s.APIPrefix(), s.StreamName()), []byte(`{"group":"members"}`), patience)
	require.NoError(t, err)
	require.NotContains(t, string(unpinned.Data), "error")

	// It goes on with the third; the others come to the next member, here without a wait.
	for _, i := range []int{0, 1, 3} {
		require.NoError(t, nc.Publish(held[i].Reply, []byte("-NAK")))
	}
	var got seen
	stop := member(t, g, got.handle)
	defer func() { require.NoError(t, stop()) }()
	eventually(t, "the next member holds all others", func() bool {
		answer, err := nc.Request(fmt.Sprintf("%s.CONSUMER.INFO.%s.billing", s.APIPrefix(), s.StreamName()), nil, patience)
		require.NoError(t, err)
		var info struct {
			Delivered struct {
				Consumer int `json:"consumer_seq"`
			} `json:"delivered"`
			Redelivered int `json:"num_redelivered"`
		}
		require.NoError(t, json.NewDecoder(strings.NewReader(string(answer.Data))).Decode(&info))
		return info.Redelivered >= 3 && info.Delivered.Consumer >= 4+2+3
	})
	require.Zero(t, got.count(), "one is in other hands")
	require.NoError(t, nc.Publish(held[1].Reply, []byte("+ACK"))) // the server counts one less now
	eventually(t, "all come", func() bool { return got.count() >= 6 })
	got.mu.Lock()
	defer got.mu.Unlock()
	for i, ev := range got.events[:6] {
		require.Equal(t, uint64(i+1), ev.Sequence, "%v", got.events)
	}
}
