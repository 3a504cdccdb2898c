package consumer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
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
	f.pool = newPool(t.Context(), poolConfig[history, unit]{
		workers: 1, failed: func(err error) { t.Error(err) },
		run: func(_ context.Context, _ string, _ *history, u unit) (time.Duration, error) {
			f.window.finish(u.entry)
			close(handled)
			return 0, nil
		},
	})
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
	old       int // questions for the state that a deposed leader answers, with an older one
}

func (l *leaderLink) State(context.Context, time.Duration) (jetstore.StreamState, error) {
	if l.old--; l.old >= 0 {
		return jetstore.StreamState{Incarnation: "i", Last: l.last - 1}, nil
	}
	return jetstore.StreamState{Incarnation: "i", Last: l.last}, nil
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

// A token that the log has not reached is refused, once no leader can be one that was deposed:
// what has taken the place of what it has seen would be passed over.
func TestATokenBehindTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leader := &leaderLink{last: 9, old: 3}
		admit := func(token Token) error {
			state, err := leader.State(t.Context(), 0)
			require.NoError(t, err)
			return token.admit(t.Context(), leader, "LOG", state)
		}
		require.NoError(t, admit(Token{incarnation: "i", next: 10}))
		require.ErrorIs(t, admit(Token{incarnation: "other", next: 1}), ErrStreamChanged)
		refused, ok := errors.AsType[*TokenError](admit(Token{incarnation: "i", next: 11}))
		require.True(t, ok)
		require.Contains(t, refused.Reason, "is of position 11, and stream LOG ends at 9")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, Token{incarnation: "i", next: 11}.admit(ctx, leader, "LOG", jetstore.StreamState{Incarnation: "i"}), context.Canceled)
	})
}

// logFollower is a Follow of a log that begins with position next, and is given its records by
// hand, one worker after another.
func logFollower(t *testing.T, s *jetstore.Store, next uint64, begins start, h Handler) (f *follower, take func(position uint64) error) {
	t.Helper()
	att, err := s.Attach()
	require.NoError(t, err)
	t.Cleanup(att.Close)
	f = &follower{
		reader: reader{site: siteOf(att), store: s}, handler: h, cfg: followConfig{handling: newHandling(), start: begins},
		window: newWindow(8, 1<<20, next, 0), from: Token{next: next}, floor: next - 1,
	}
	failed := make(chan error, 1)
	f.pool = newPool(t.Context(), poolConfig[history, unit]{
		workers: 1, inOrder: true, keep: 8, run: f.handle, begin: f.remember, forget: f.forget, failed: func(err error) { failed <- err },
	})
	t.Cleanup(f.pool.close)
	js := natstest.JetStream(t, s.Conn())
	stream, err := js.Stream(t.Context(), s.StreamName())
	require.NoError(t, err)
	return f, func(position uint64) error {
		m, err := stream.GetMsg(t.Context(), position)
		require.NoError(t, err)
		require.NoError(t, f.take(t.Context(), item{position: position, Msg: &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}}))
		f.flush()
		for {
			select {
			case <-f.window.freed:
				if at, _, _ := f.window.reached(); at > position {
					return nil
				}
			case err := <-failed:
				return err
			}
		}
	}
}

// A token counts the events of its record, and not those that were missing before it.
func TestATokenDoesNotCountWhatWasMissing(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	var positions []uint64
	for range 3 {
		receipt, err := s.Execution("acme", "run").AppendBatch(t.Context(), []enact.Event{enact.ExecutionPaused{}, enact.ExecutionResumed{}})
		require.NoError(t, err)
		positions = append(positions, receipt.Position)
	}
	var got []uint64
	f, take := logFollower(t, s, positions[0], start{}, func(_ context.Context, ev enact.StoredEvent) error {
		if ev.Sequence == 6 {
			return errors.New("no")
		}
		got = append(got, ev.Sequence)
		return nil
	})
	require.NoError(t, take(positions[0]))
	require.ErrorIs(t, take(positions[2]), ErrHandler) // the second is not delivered
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, got)
	require.Equal(t, Token{next: positions[2], done: 1}, f.token())
}

// From a time on nothing is handed over that was stored before, also if the consumer's replica
// did not have it yet when that was made.
func TestFromATimeThatAReplicaHasNotReached(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	var positions []uint64
	for range 3 {
		receipt, err := s.Execution("acme", "run").Append(t.Context(), enact.ExecutionPaused{})
		require.NoError(t, err)
		positions = append(positions, receipt.Position)
	}
	var got []uint64
	_, take := logFollower(t, s, positions[0], start{kind: startTime}, func(_ context.Context, ev enact.StoredEvent) error {
		got = append(got, ev.Sequence)
		return nil
	})
	require.NoError(t, take(positions[1])) // the feed has left out the first one
	require.NoError(t, take(positions[2]))
	require.Equal(t, []uint64{2, 3}, got)
}
