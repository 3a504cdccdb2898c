package jetstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
)

// makeAgain deletes the streams of a log and makes them again.
func makeAgain(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js := natstest.JetStream(t, nc)
	for _, name := range []string{DefaultStream, DefaultStream + indexSuffix} {
		require.NoError(t, js.DeleteStream(t.Context(), name))
	}
	require.NoError(t, EnsureStream(t.Context(), nc))
}

// attemptOf makes the attempt that an append of one event to execution run of tenant acme
// would send now.
func attemptOf(t *testing.T, s *Store) *attempt {
	t.Helper()
	c := commitOf(t, s, enact.Batch{TenantID: "acme", ExecutionID: "run", Events: pause("late")})
	l := s.lanes.acquire(c.key, s.cfg.subjects)
	defer s.lanes.release(l)
	require.NoError(t, s.warmUp(t.Context(), l, false))
	g := l.gather(c, true)
	require.NoError(t, g.encode(t.Context(), l))
	g.attempt.sent = true
	return g.attempt
}

// settled returns what the leader says of an attempt, which is asked again where it has not
// answered in the time of a request.
func settled(t *testing.T, s *Store, a *attempt) (may verdict, err error) {
	t.Helper()
	natstest.Eventually(t, time.Minute, func() bool {
		_, may, err = s.settle(t.Context(), a, errNoAnswer)
		return may != ask
	}, func() string { return fmt.Sprintf("nothing is said of the attempt: %v", err) })
	return may, err
}

// arrives is the arrival of a copy of the attempt, however late. It returns what the server
// says to it.
func arrives(t *testing.T, s *Store, a *attempt) error {
	t.Helper()
	reply, err := s.asks.roundTrip(t.Context(), a.messages[0], time.Minute)
	require.NoError(t, err)
	_, err = parseAck(reply.Data, s.cfg.stream)
	return err
}

// openAgain opens another store on the connection of s.
func openAgain(t *testing.T, s *Store) *Store {
	t.Helper()
	other, err := Open(t.Context(), s.asks.nc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Shutdown(context.Background())) })
	return other
}

// That the stream was made again since the store last heard of it kills no attempt whose
// predecessor is in the stream that there is now: its copies may be stored yet.
func TestAttemptInAStreamMadeAgainUnnoticed(t *testing.T) {
	s := openInside(t, "")
	makeAgain(t, s.asks.nc)
	_, err := openAgain(t, s).Append(t.Context(), "run", "acme", pause("first")[0])
	require.NoError(t, err)

	a := attemptOf(t, s)
	require.NotZero(t, a.predecessor)
	may, err := settled(t, s, a)
	require.Equal(t, send, may, "%v", err)
	require.NotErrorIs(t, err, errOvertaken)
	require.NoError(t, arrives(t, s, a), "a copy that was late")
	may, err = settled(t, s, a)
	require.NoError(t, err)
	require.Equal(t, done, may)
}

// An attempt whose predecessor was in a stream that is no more is dead.
func TestAttemptBehindARecordOfAFormerStream(t *testing.T) {
	s := openInside(t, "")
	_, err := s.Append(t.Context(), "run", "acme", pause("first")[0])
	require.NoError(t, err)
	a := attemptOf(t, s)
	makeAgain(t, s.asks.nc)
	may, err := settled(t, s, a)
	require.ErrorIs(t, err, errOvertaken)
	require.Equal(t, done, may)
	err = arrives(t, s, a)
	require.True(t, hasCode(err, 10071), "%v", err)
}

// The first record of an execution follows nothing, and nothing is also what a stream that
// was made again has: a late copy may be stored there. So the attempt is not dead, and before
// it is sent again the new index names the execution.
func TestCreationInAStreamMadeAgain(t *testing.T) {
	s := openInside(t, "")
	a := attemptOf(t, s)
	require.Zero(t, a.predecessor)
	makeAgain(t, s.asks.nc)
	may, err := settled(t, s, a)
	require.Equal(t, send, may, "%v", err)
	require.NotErrorIs(t, err, errOvertaken)
	require.NoError(t, arrives(t, s, a))
	may, err = settled(t, s, a)
	require.NoError(t, err)
	require.Equal(t, done, may)
	list, err := openAgain(t, s).ListExecutions(t.Context(), "acme", 10, 0)
	require.NoError(t, err)
	require.Equal(t, []enact.ExecutionID{"run"}, list)
}

// An append that was announced in an index that is no more is announced in the new one.
func TestAnnouncedInAStreamMadeAgain(t *testing.T) {
	s := openInside(t, "")
	c := commitOf(t, s, enact.Batch{TenantID: "acme", ExecutionID: "run", Events: pause("first")})
	l := s.lanes.acquire(c.key, s.cfg.subjects)
	defer s.lanes.release(l)
	require.NoError(t, s.warmUp(t.Context(), l, true))
	require.NoError(t, c.prepareCreation(t.Context(), l))
	makeAgain(t, s.asks.nc)
	_, err := c.run(t.Context(), l) // again, as behind another's append
	require.NoError(t, err)
	list, err := openAgain(t, s).ListExecutions(t.Context(), "acme", 10, 0)
	require.NoError(t, err)
	require.Equal(t, []enact.ExecutionID{"run"}, list)
}

// The commit that stands where an attempt's records would is the attempt only behind its own
// predecessor. An append that shared its record with others is sent again alone, as the first
// of a stream that was made again, under the same commit id: those others are not in it.
func TestAttemptOfACommitThatBeganAgain(t *testing.T) {
	s := openInside(t, "")
	_, err := s.Append(t.Context(), "run", "acme", pause("first")[0])
	require.NoError(t, err)
	u := pending(t, s, enact.Batch{Events: pause("shared")})
	makeAgain(t, s.asks.nc)

	other := openAgain(t, s)
	c := commitOf(t, other, enact.Batch{TenantID: "acme", ExecutionID: "run", Events: pause("alone")})
	c.id = uuid.MustParse(u.CommitID)
	l := other.lanes.acquire(c.key, other.cfg.subjects)
	defer other.lanes.release(l)
	_, err = c.run(t.Context(), l)
	require.NoError(t, err)

	receipt, err := s.Resolve(t.Context(), u)
	require.ErrorIs(t, err, enact.ErrConflict, "%+v", receipt)
}

// Streams that were made by hand may begin with position 1 each time. What stands there at
// the attempt's predecessor is then another record: the attempt is dead, and not sent behind it.
func TestAttemptBehindAnotherRecordAtThePositionOfItsPredecessor(t *testing.T) {
	s := openInside(t, "")
	byHand := func() {
		js := natstest.JetStream(t, s.asks.nc)
		for _, name := range []string{DefaultStream, DefaultStream + indexSuffix} {
			stream, err := js.Stream(t.Context(), name)
			require.NoError(t, err)
			config := stream.CachedInfo().Config
			config.FirstSeq, config.Metadata = 0, nil
			require.NoError(t, js.DeleteStream(t.Context(), name))
			_, err = js.CreateStream(t.Context(), config)
			require.NoError(t, err)
		}
	}
	byHand()
	s = openAgain(t, s)
	_, err := s.Append(t.Context(), "run", "acme", pause("first")[0])
	require.NoError(t, err)
	a := attemptOf(t, s)
	require.Equal(t, uint64(1), a.predecessor)
	byHand()
	other := openAgain(t, s)
	_, err = other.Append(t.Context(), "run", "acme", pause("another")[0])
	require.NoError(t, err)

	_, err = s.send(t.Context(), a)
	require.ErrorIs(t, err, errOvertaken)
	events, err := other.LoadEvents(t.Context(), "run")
	require.NoError(t, err)
	require.Len(t, events, 1)
}
