package consumer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// stagedRecord is a record of a staged batch, of which only the header is looked at.
func stagedRecord(position uint64, index, of int) item {
	return item{position: position, Msg: &nats.Msg{
		Subject: "enact.acme.run", Header: nats.Header{record.HeaderCommit: {fmt.Sprintf("c %d/%d", index, of)}},
	}}
}

// A batch that was whole at the start is something to be handled until then, however few of
// its records have been read so far.
func TestABatchThatIsBeingReadIsNotLive(t *testing.T) {
	handled := make(chan struct{})
	f := &follower{window: newWindow(8, 1<<20, 10, 0), target: 12, from: Token{next: 10}}
	f.pool = newPool(t.Context(), poolConfig[history, unit]{workers: 1, failed: func(err error) { t.Error(err) },
		run: func(_ context.Context, _ string, _ *history, u unit) (time.Duration, error) {
			f.window.finish(u.entry)
			close(handled)
			return 0, nil
		}})
	defer f.pool.close()
	for i := range 3 {
		require.False(t, f.isLive(), "after %d records", i)
		require.NoError(t, f.take(t.Context(), stagedRecord(10+uint64(i), i+1, 3)))
	}
	f.flush()
	<-handled
	require.True(t, f.isLive())
	// And the point is behind the whole batch: from within it all of it would come again.
	require.Equal(t, uint64(13), f.token().Position())
}

// leaderLink plays a leader that has one record, and does not answer at first.
type leaderLink struct {
	fakeLink
	last, has uint64
	away      int // requests that are not answered
}

func (l *leaderLink) State(context.Context, time.Duration) (jetstore.StreamState, error) {
	return jetstore.StreamState{Last: l.last}, nil
}

func (l *leaderLink) Request(_ context.Context, _ string, _, into any) error {
	if l.away--; l.away >= 0 {
		return errors.New("no answer")
	}
	into.(*struct {
		Message struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
	}).Message.Sequence = l.has
	return nil
}

// A consumer that does not deliver what the leader has is replaced, also if the leader was
// once not to be asked what that is.
func TestAFeedAsksAgainWhatItLacks(t *testing.T) {
	leader := &leaderLink{last: 9, has: 7, away: 2}
	f := &feed{site: site{link: leader, stream: "LOG"}, cfg: feedConfig{filters: []string{"enact.acme.run"}}, position: 5}
	beat := arrival{lastStream: 5}
	require.True(t, f.served(t.Context(), beat), "no answer")
	require.True(t, f.served(t.Context(), beat), "no answer")
	require.True(t, f.served(t.Context(), beat), "it may be on its way")
	require.False(t, f.served(t.Context(), beat))
}
