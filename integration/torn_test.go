//go:build mounts

package integration

// The tests of this file mount a small file system, which needs root: make torn.

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	tornDisk    = 48 << 20
	tornRecords = 8
	tornPayload = 100 << 10
	tornSize    = tornRecords * tornPayload
	// tornWhile is longer than a store waits for one answer, so that an append whose
	// commit was not answered also asks what became of it.
	tornWhile = 3 * time.Second
)

// tearing is a log on a disk that can be made full.
type tearing struct {
	disk   *natstest.Disk
	server *natstest.Server
	store  *jetstore.Store
	out    *outgoing // of the store
	random *rand.Rand
	ledger *ledger // of the other execution
	other  enact.ExecutionID
}

func newTearing(t *testing.T) *tearing {
	t.Helper()
	disk := natstest.MountDisk(t, tornDisk)
	// The limit that the server would find by itself is what is free of the disk.
	server := natstest.Start(t, natstest.Options{Dir: disk.Dir, JetStream: "max_file_store: 1GB"})
	ensure(t, server.URL())
	out := new(outgoing)
	f := &tearing{
		disk: disk, server: server, store: open(t, server.URL(), watched(out)), out: out, random: newRandom(t),
		ledger: newLedger("o"), other: enact.NewExecutionID(),
	}
	f.otherWorks(t, f.store)
	return f
}

// victim makes an execution of two events and appends a batch to it that the disk has
// room to stage, but not to commit. It returns the unanswered append's error.
func (f *tearing) victim(t *testing.T) (enact.ExecutionID, *enact.UnknownOutcomeError) {
	t.Helper()
	execution := enact.NewExecutionID()
	for range 2 {
		_, err := f.store.Append(t.Context(), execution, tenant, enact.ExecutionResumed{})
		require.NoError(t, err)
	}
	batch := make([]enact.Event, tornRecords)
	for i := range batch {
		batch[i] = enact.ExecutionPaused{Reason: strings.Repeat("x", tornPayload)}
	}
	room := tornSize*5/4 + f.random.IntN(tornSize/2)
	f.disk.Leave(room)
	ctx, cancel := f.out.context(t.Context(), "Nats-Batch-Commit", tornWhile)
	defer cancel()
	_, err := f.store.AppendBatch(ctx, execution, tenant, batch, enact.WithOneEventPerRecord())
	// The server keeps what it staged and may commit it when it starts again: that
	// nothing is stored, as ErrCorrupt would say, is not known.
	var pending *enact.UnknownOutcomeError
	require.ErrorAs(t, err, &pending, "with room for %d bytes, for a batch of %d", room, tornSize)
	require.NotErrorIs(t, err, enact.ErrCorrupt)
	t.Logf("room for %d bytes: %v", room, pending.Cause)
	return execution, pending
}

// restart kills the server and starts it on what the kill left.
func (f *tearing) restart() {
	f.server.Kill()
	f.server.Start()
}

// A batch that a full disk has cut short is completed when the server starts with
// space again, and its append settled as stored.
func TestTornBatchThatIsCompleted(t *testing.T) {
	f := newTearing(t)
	execution, pending := f.victim(t)
	ctx, cancel := f.out.context(t.Context(), "HPUB "+f.store.Subjects().Execution(tenant, f.other)+" ", tornWhile/2)
	defer cancel()
	e, err := f.ledger.append(ctx, f.store, f.other, 1)
	require.NoError(t, err)
	require.Equal(t, unknown, e.outcome, "the stream takes no writes")

	f.disk.Free()
	f.restart()
	receipt, err := f.store.Resolve(within(t, patience), pending)
	require.NoError(t, err)
	require.Equal(t, uint64(3), receipt.First)
	require.Equal(t, uint64(2+tornRecords), receipt.Last)
	loaded, err := f.store.LoadEvents(t.Context(), execution)
	require.NoError(t, err)
	require.Len(t, loaded, 2+tornRecords)
	next, err := f.store.Append(t.Context(), execution, tenant, enact.ExecutionResumed{})
	require.NoError(t, err)
	require.Equal(t, uint64(3+tornRecords), next)
	f.otherWorks(t, f.store)
}

// A batch that stays torn is an error of its execution, and of no other: nothing of it
// is ever returned, nothing is appended behind it.
func TestTornBatch(t *testing.T) {
	f := newTearing(t)
	execution, pending := f.victim(t)
	f.restart() // still full: what was staged is given up
	f.disk.Free()
	f.restart()
	f.otherWorks(t, f.store)

	_, err := f.store.Resolve(within(t, patience), pending)
	require.ErrorIs(t, err, enact.ErrCorrupt, "no batch was torn")
	require.ErrorContains(t, err, "torn")
	for name, s := range map[string]*jetstore.Store{"the store that wrote it": f.store, "another store": open(t, f.server.URL())} {
		t.Run(name, func(t *testing.T) {
			f.refusesAppends(t, s, execution)
			f.readsStop(t, s, execution)
			f.otherWorks(t, s)
		})
	}
}

func (f *tearing) refusesAppends(t *testing.T, s *jetstore.Store, execution enact.ExecutionID) {
	t.Helper()
	for name, opts := range map[string][]enact.AppendOption{
		"without an expectation":              nil,
		"behind the event before the batch":   {enact.ExpectSequence(2)},
		"to an execution that exists":         {enact.ExpectExists()},
		"to an execution that does not exist": {enact.ExpectSequence(0)},
		"under a key":                         {enact.WithIdempotencyKey("k")},
	} {
		_, err := s.Append(t.Context(), execution, tenant, enact.ExecutionResumed{}, opts...)
		require.ErrorIs(t, err, enact.ErrCorrupt, name)
	}
}

func (f *tearing) readsStop(t *testing.T, s *jetstore.Store, execution enact.ExecutionID) {
	t.Helper()
	ctx := t.Context()
	isTorn := func(err error, of string) {
		t.Helper()
		var corrupt *enact.CorruptError
		require.ErrorAs(t, err, &corrupt, of)
		require.Equal(t, execution, corrupt.ExecutionID, of)
		require.Greater(t, corrupt.Sequence, uint64(2), of)
		require.Positive(t, corrupt.Position, of)
		require.Contains(t, corrupt.Reason, "torn", of)
	}
	read := func(opts ...enact.ReadOption) (sequences []uint64, last error) {
		for ev, err := range s.Events(ctx, execution, 0, opts...) {
			if err != nil {
				require.NoError(t, last, "an error is yielded last")
				last = err
				continue
			}
			sequences = append(sequences, ev.Sequence)
		}
		return sequences, last
	}
	sequences, err := read()
	isTorn(err, "Events")
	require.Equal(t, []uint64{1, 2}, sequences, "the events before the batch")
	sequences, err = read(enact.Limit(2))
	require.NoError(t, err, "a read that ends before the batch")
	require.Equal(t, []uint64{1, 2}, sequences)
	sequences, err = read(enact.Backwards())
	isTorn(err, "Events backwards")
	require.Empty(t, sequences, "backwards the batch comes first")
	_, err = s.LoadEvents(ctx, execution)
	isTorn(err, "LoadEvents")
	_, err = s.LoadEventsAfter(ctx, execution, 2)
	isTorn(err, "LoadEventsAfter")
	_, err = s.Head(ctx, execution)
	isTorn(err, "Head")
	_, _, err = s.LatestSequence(ctx, execution)
	isTorn(err, "LatestSequence")
	_, err = s.CountEvents(ctx, execution)
	isTorn(err, "CountEvents")
}

// otherWorks settles and verifies what was asked of the other execution, after two
// more appends to it.
func (f *tearing) otherWorks(t *testing.T, s *jetstore.Store) {
	t.Helper()
	ctx := within(t, patience)
	for _, e := range f.ledger.unsettled() {
		require.NoError(t, f.ledger.settle(ctx, s, e))
	}
	for _, n := range []int{1, 5} {
		e, err := f.ledger.append(ctx, s, f.other, n, enact.WithOneEventPerRecord())
		require.NoError(t, err)
		require.Equal(t, stored, e.outcome)
	}
	require.NoError(t, f.ledger.verify(ctx, s, f.other))
	listed, err := s.ListExecutions(ctx, tenant, 10, 0)
	require.NoError(t, err)
	require.Contains(t, listed, f.other)
}
