package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// questions hears what the leader of a bucket is asked.
type questions struct{ asked chan *nats.Msg }

func hearQuestions(t *testing.T, s *jetstore.Store, bucket string) *questions {
	q := &questions{make(chan *nats.Msg, 10_000)}
	sub, err := s.Conn().ChanSubscribe(s.APIPrefix()+".STREAM.MSG.GET.KV_"+bucket, q.asked)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	require.NoError(t, s.Conn().Flush())
	return q
}

// since returns how often it was asked for each key since the last time.
func (q *questions) since(t *testing.T, c *consumer.KVCheckpoint) map[string]int {
	t.Helper()
	last := enact.NewExecutionID()
	_, err := c.Done(t.Context(), enact.StoredEvent{TenantID: "acme", ExecutionID: last, Sequence: 1})
	require.NoError(t, err)
	for by := make(map[string]int); ; {
		var body struct {
			Subject string `json:"last_by_subj"`
		}
		require.NoError(t, json.Unmarshal((<-q.asked).Data, &body))
		if strings.HasSuffix(body.Subject, "."+string(last)) {
			return by
		}
		by[body.Subject]++
	}
}

// What nobody else can have saved is not asked for: with each event, in a Follow and while a
// member is the active one, only for the first of an execution.
func TestKVCheckpointAsksOnce(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 5)
	for bucket, run := range map[string]func(c consumer.Checkpoint, h consumer.Handler){
		"follow": func(c consumer.Checkpoint, h consumer.Handler) {
			require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, h, consumer.WithCheckpoint(c), consumer.UntilLive()))
		},
		"group": func(c consumer.Checkpoint, h consumer.Handler) {
			g := openGroup(t, s, consumer.Ordered, consumer.WithCheckpoint(c))
			stop := member(t, g, h)
			idle(t, g)
			require.NoError(t, stop())
			require.NoError(t, g.Remove(t.Context()))
		},
	} {
		t.Run(bucket, func(t *testing.T) {
			require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, bucket))
			q, c := hearQuestions(t, s, bucket), openCheckpoint(t, s, bucket)
			var got seen
			run(c, got.handle)
			require.Equal(t, all, got.by)
			asked := q.since(t, c)
			require.Len(t, asked, len(all))
			for key, n := range asked {
				require.Equal(t, 1, n, key)
			}
			run(c, got.handle)
			require.Equal(t, all, got.by, "nothing came again")
		})
	}
}

// A subscriber that begins anew asks again: what it saved before may have been followed by
// what another one has saved.
func TestKVCheckpointAsksAgain(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"))
	c := openCheckpoint(t, s, "marks")
	run := s.Execution("acme", "run")
	sequence := uint64(0)
	elsewhere := func() {
		sequence++
		ev := enact.StoredEvent{TenantID: "acme", ExecutionID: "run", Sequence: sequence}
		require.NoError(t, openCheckpoint(t, s, "marks").Save(t.Context(), ev))
		_, err := run.Append(t.Context(), note(int(sequence)))
		require.NoError(t, err)
	}
	here := func() uint64 {
		sequence++
		_, err := run.Append(t.Context(), note(int(sequence)))
		require.NoError(t, err)
		return sequence
	}
	handled := make(chan uint64, 100)
	h := func(_ context.Context, ev enact.StoredEvent) error {
		handled <- ev.Sequence
		return nil
	}

	for range 2 {
		elsewhere()
		want := here()
		require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, h, consumer.WithCheckpoint(c), consumer.UntilLive()))
		require.Equal(t, want, <-handled)
	}
	// A member that another one has taken the place of, and that has become the active one again.
	g := openGroup(t, s, consumer.Ordered, consumer.WithCheckpoint(c))
	stop := member(t, g, h)
	for range 3 {
		require.Equal(t, here(), <-handled)
		idle(t, g)
		answer, err := s.Conn().Request(fmt.Sprintf("%s.CONSUMER.UNPIN.%s.billing", s.APIPrefix(), s.StreamName()), []byte(`{"group":"members"}`), patience)
		require.NoError(t, err)
		require.NotContains(t, string(answer.Data), "error")
		elsewhere()
	}
	require.Equal(t, here(), <-handled)
	require.NoError(t, stop())
	require.Empty(t, handled)
}
