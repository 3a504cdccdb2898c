package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// startEmbedded starts a server inside the test, makes the log's streams, and returns
// the server's URL.
func startEmbedded(t *testing.T) (url string) {
	t.Helper()
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	ensure(t, srv.ClientURL())
	return srv.ClientURL()
}

// shapes are the ways in which the events of an append are stored.
var shapes = map[string]struct {
	events int
	opts   []enact.AppendOption
}{
	"one event":      {1, nil},
	"a packed batch": {5, nil},
	"a staged batch": {5, []enact.AppendOption{enact.WithOneEventPerRecord()}},
}

// forShapes runs f for every shape, with an append of that shape through a store, on
// an execution of its own.
func forShapes(t *testing.T, f func(t *testing.T, execution enact.ExecutionID, n uint64, appendTo func(s *jetstore.Store, opts ...enact.AppendOption) *entry, l *ledger)) {
	t.Helper()
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			l, execution := newLedger("c"), enact.NewExecutionID()
			f(t, execution, uint64(shape.events), func(s *jetstore.Store, opts ...enact.AppendOption) *entry {
				t.Helper()
				e, err := l.append(t.Context(), s, execution, shape.events, append(opts, shape.opts...)...)
				require.NoError(t, err)
				return e
			}, l)
		})
	}
}

// A store that knows the end of an execution from its own appends finds it again after
// another store has appended.
func TestCacheAndAnotherWriter(t *testing.T) {
	url := startEmbedded(t)
	mine, other := open(t, url), open(t, url)
	forShapes(t, func(t *testing.T, execution enact.ExecutionID, n uint64, appendTo func(*jetstore.Store, ...enact.AppendOption) *entry, l *ledger) {
		require.Equal(t, uint64(1), appendTo(mine).receipt.First)
		require.Equal(t, n+1, appendTo(other).receipt.First)
		require.Equal(t, 2*n+1, appendTo(mine).receipt.First, "behind an append that it has not seen")

		appendTo(other)
		require.Equal(t, conflict, appendTo(mine, enact.ExpectSequence(3*n)).outcome, "what it last saw is no longer so")
		require.Equal(t, stored, appendTo(mine, enact.ExpectSequence(4*n)).outcome)
		appendTo(other)
		require.Equal(t, stored, appendTo(mine, enact.ExpectSequence(6*n)).outcome, "the caller knows more than the store")
		appendTo(other)
		_, err := mine.Append(t.Context(), execution, tenant, enact.ExecutionResumed{}, enact.ExpectSequence(0))
		var refused *enact.ConflictError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 8*n, refused.Actual, "the actual sequence, not the one that it knew")
		latest, ok, err := mine.LatestSequence(t.Context(), execution)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, 8*n, latest)
		require.NoError(t, l.verify(t.Context(), mine, execution))
	})
}

// A creation that the store does not know of is found before a second one is made.
func TestCacheAndAnotherCreator(t *testing.T) {
	url := startEmbedded(t)
	mine, other := open(t, url), open(t, url)
	forShapes(t, func(t *testing.T, execution enact.ExecutionID, n uint64, appendTo func(*jetstore.Store, ...enact.AppendOption) *entry, l *ledger) {
		exists, err := mine.ExecutionExists(t.Context(), execution)
		require.NoError(t, err)
		require.False(t, exists)
		appendTo(other)
		require.Equal(t, conflict, appendTo(mine, enact.ExpectSequence(0)).outcome)
		require.Equal(t, n+1, appendTo(mine, enact.ExpectExists()).receipt.First)
		require.NoError(t, l.verify(t.Context(), mine, execution))
	})
}

// A stream that is deleted and made again is another log: nothing that a store knows
// of the old one gets into the new one.
func TestCacheAndANewStream(t *testing.T) {
	for name, first := range map[string]func(t *testing.T, s *jetstore.Store, execution enact.ExecutionID, old uint64){
		"read first": func(t *testing.T, s *jetstore.Store, execution enact.ExecutionID, _ uint64) {
			loaded, err := s.LoadEvents(t.Context(), execution)
			require.NoError(t, err)
			require.Empty(t, loaded)
			_, ok, err := s.LatestSequence(t.Context(), execution)
			require.NoError(t, err)
			require.False(t, ok)
		},
		"expected at the old sequence first": func(t *testing.T, s *jetstore.Store, execution enact.ExecutionID, old uint64) {
			_, err := s.Append(t.Context(), execution, tenant, enact.ExecutionResumed{}, enact.ExpectSequence(old))
			var refused *enact.ConflictError
			require.ErrorAs(t, err, &refused)
			require.Zero(t, refused.Actual)
		},
		"expected to exist first": func(t *testing.T, s *jetstore.Store, execution enact.ExecutionID, _ uint64) {
			_, err := s.Append(t.Context(), execution, tenant, enact.ExecutionResumed{}, enact.ExpectExists())
			require.ErrorIs(t, err, enact.ErrConflict)
		},
		"listed first": func(t *testing.T, s *jetstore.Store, _ enact.ExecutionID, _ uint64) {
			listed, err := s.ListExecutions(t.Context(), tenant, 10, 0)
			require.NoError(t, err)
			require.Empty(t, listed)
		},
		"appended to first": func(*testing.T, *jetstore.Store, enact.ExecutionID, uint64) {},
	} {
		t.Run(name, func(t *testing.T) {
			url := startEmbedded(t)
			s := open(t, url)
			forShapes(t, func(t *testing.T, execution enact.ExecutionID, n uint64, appendTo func(*jetstore.Store, ...enact.AppendOption) *entry, l *ledger) {
				appendTo(s)
				appendTo(s)
				keyed, err := l.appendKeyed(t.Context(), s, execution, 1)
				require.NoError(t, err)
				makeAgain(t, url)
				first(t, s, execution, 2*n+1)
				require.NoError(t, newLedger("").verify(t.Context(), s, execution), "nothing of the old stream")

				*l = *newLedger("n")
				require.Equal(t, uint64(1), appendTo(s).receipt.First)
				require.Equal(t, n+1, appendTo(s, enact.ExpectSequence(n)).receipt.First)
				receipt, err := s.Commit(t.Context(), enact.Batch{
					TenantID: tenant, ExecutionID: execution, Events: keyed.events, Options: enact.AppendOptions{IdempotencyKey: keyed.key},
				})
				require.NoError(t, err)
				require.False(t, receipt.Duplicate, "a key of the old stream")
				require.Equal(t, 2*n+1, receipt.First)
				loaded, err := s.LoadEvents(t.Context(), execution)
				require.NoError(t, err)
				require.Len(t, loaded, int(2*n+1))
				listed, err := s.ListExecutions(t.Context(), tenant, 10, 0)
				require.NoError(t, err)
				require.Equal(t, []enact.ExecutionID{execution}, listed)
				makeAgain(t, url) // the next shape begins with an empty log
			})
		})
	}
}

// makeAgain deletes the log's streams and makes them again.
func makeAgain(t *testing.T, url string) {
	t.Helper()
	nc := patiently(t, func() (*nats.Conn, error) { return nats.Connect(url) })
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for _, name := range []string{jetstore.DefaultStream, jetstore.DefaultStream + "_INDEX"} {
		require.NoError(t, js.DeleteStream(t.Context(), name))
	}
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
}

// A store that remembers one execution at a time appends to many as well as any.
func TestCacheOfOne(t *testing.T) {
	url := startEmbedded(t)
	small, other := open(t, url, jetstore.WithCacheSize(1)), open(t, url)
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			l := newLedger("e")
			executions := make([]enact.ExecutionID, 5)
			latest := make(map[enact.ExecutionID]uint64)
			for i := range executions {
				executions[i] = enact.NewExecutionID()
			}
			for round := range 4 {
				for i, id := range executions {
					s := small
					if (round+i)%3 == 2 {
						s = other
					}
					e, err := l.append(t.Context(), s, id, shape.events, append([]enact.AppendOption{enact.ExpectSequence(latest[id])}, shape.opts...)...)
					require.NoError(t, err)
					require.Equal(t, stored, e.outcome)
					latest[id] = e.receipt.Last
					keyed, err := l.appendKeyed(t.Context(), small, id, 1)
					require.NoError(t, err)
					latest[id] = keyed.receipt.Last
				}
			}
			require.NoError(t, l.verify(t.Context(), small, executions...))
		})
	}
}

// An execution belongs to the tenant that it was created in, whatever the store has in
// its cache.
func TestCacheAndTenants(t *testing.T) {
	const stranger = enact.TenantID("globex")
	url := startEmbedded(t)
	mine, other := open(t, url), open(t, url)
	forShapes(t, func(t *testing.T, execution enact.ExecutionID, n uint64, appendTo func(*jetstore.Store, ...enact.AppendOption) *entry, l *ledger) {
		appendTo(mine)
		for name, s := range map[string]*jetstore.Store{"the store that created it": mine, "another store": other} {
			for kind, opts := range map[string][]enact.AppendOption{
				"an append":       nil,
				"a creation":      {enact.ExpectSequence(0)},
				"a staged batch":  {enact.WithOneEventPerRecord()},
				"an append again": {enact.WithIdempotencyKey("k")},
			} {
				about := fmt.Sprintf("%s, through %s", kind, name)
				_, err := s.AppendBatch(t.Context(), execution, stranger, []enact.Event{enact.ExecutionStarted{}, enact.ExecutionResumed{}}, opts...)
				require.ErrorIs(t, err, enact.ErrTenantMismatch, about)
			}
			loaded, err := s.LoadEvents(t.Context(), execution, enact.InTenant(stranger))
			require.NoError(t, err, name)
			require.Empty(t, loaded, name)
			_, ok, err := s.LatestSequence(t.Context(), execution, enact.InTenant(stranger))
			require.NoError(t, err, name)
			require.False(t, ok, name)
			loaded, err = s.LoadEvents(t.Context(), execution)
			require.NoError(t, err, name)
			require.Len(t, loaded, int(n), name)
			listed, err := s.ListExecutions(t.Context(), stranger, 10, 0)
			require.NoError(t, err, name)
			require.Empty(t, listed, name)
		}
		appendTo(other)
		appendTo(mine)
		require.NoError(t, l.verify(t.Context(), mine, execution))
	})
}
