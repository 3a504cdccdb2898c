package consumer_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// tornLog returns a log with one event of an execution and two records of a batch of three
// behind it, and the third record.
func tornLog(t *testing.T, opts ...jetstore.Option) (*jetstore.Store, *nats.Msg) {
	t.Helper()
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", "torn")
	_, err := run.Append(t.Context(), note(1))
	require.NoError(t, err)
	_, err = run.AppendBatch(t.Context(), []enact.Event{note(2), note(3), note(4)}, enact.WithOneEventPerRecord())
	require.NoError(t, err)
	js := natstest.JetStream(t, s.Conn())
	stream, err := logtest.ReadStream(t.Context(), js, s.StreamName())
	require.NoError(t, err)
	rest := stream.At(stream.First + 3)
	stream.Cut(stream.First + 3)
	require.NoError(t, stream.Write(t.Context(), js))
	torn, err := jetstore.Open(t.Context(), s.Conn(), append(opts, jetstore.WithMemoryStorage())...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, torn.Shutdown(context.Background())) })
	return torn, rest
}

// What there is of a torn batch reaches no subscriber, and keeps nobody from the rest.
func TestNothingOfATornBatch(t *testing.T) {
	s, _ := tornLog(t)
	_, err := s.Execution("acme", "other").Append(t.Context(), note(1))
	require.NoError(t, err)
	whole := map[string]int{"acme/torn": 1, "acme/other": 1}
	requireWhole := func(got *seen) {
		t.Helper()
		got.mu.Lock()
		defer got.mu.Unlock()
		for run, n := range whole {
			require.Len(t, got.by[run], n, run)
		}
	}

	var got seen
	var mu sync.Mutex
	var reported []error
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.UntilLive(),
		consumer.SkipCorrupt(func(err error) {
			mu.Lock()
			defer mu.Unlock()
			reported = append(reported, err)
		})))
	requireWhole(&got)
	require.Len(t, reported, 1)
	require.ErrorIs(t, reported[0], enact.ErrCorrupt)
	require.ErrorIs(t, consumer.Follow(t.Context(), s, consumer.Filter{}, (&seen{}).handle, consumer.UntilLive(), consumer.Workers(1)), enact.ErrCorrupt)

	for after, want := range [][]uint64{{1}, nil} {
		var tailed []uint64
		var failed error
		for ev, err := range consumer.Tail(t.Context(), s.Execution("acme", "torn"), uint64(after)) {
			require.NoError(t, failed, "an error is the last that is yielded")
			if failed = err; err == nil {
				tailed = append(tailed, ev.Sequence)
			}
		}
		require.ErrorIs(t, failed, enact.ErrCorrupt)
		require.Equal(t, want, tailed, "the whole ones, after %d", after)
	}

	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		g := openNamed(t, s, "g-"+string(mode), mode)
		var got seen
		stop := member(t, g, got.handle)
		idle(t, g)
		require.NoError(t, stop())
		requireWhole(&got)
	}
}

// beforeReads is a tracer that does something as each read of events begins.
type beforeReads func()

func (beforeReads) Happened(context.Context, jetstore.Occurrence) {}

func (f beforeReads) Began(ctx context.Context, op jetstore.Operation) context.Context {
	if op.Kind == jetstore.Loading {
		f()
	}
	return ctx
}

func (beforeReads) Ended(context.Context, jetstore.Operation, jetstore.Outcome) {}

// The end of a history is torn when a tail asks for it, and whole when it reads up to it,
// as from a server that has recovered meanwhile: nothing is wrong then.
func TestTailOfABatchMadeWhole(t *testing.T) {
	var mend func()
	s, rest := tornLog(t, jetstore.WithTracer(beforeReads(func() { mend() })))
	_, err := s.Execution("acme", "torn").Head(t.Context())
	require.ErrorIs(t, err, enact.ErrCorrupt)
	mend = sync.OnceFunc(func() {
		ack, err := s.Conn().RequestMsg(rest, patience)
		assert.NoError(t, err)
		assert.NotContains(t, string(ack.Data), "error")
	})
	run := s.Execution("acme", "torn")
	var tailed []uint64
	for ev, err := range consumer.Tail(t.Context(), run, 0, consumer.UntilEnd(), consumer.OnCaughtUp(func(sequence uint64) {
		assert.Equal(t, uint64(4), sequence)
		_, err := run.Append(t.Context(), enact.ExecutionCompleted{})
		assert.NoError(t, err)
	})) {
		require.NoError(t, err)
		tailed = append(tailed, ev.Sequence)
	}
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, tailed)
}

// A record that cannot be read becomes a dead letter, with its position and the reason.
func TestGroupOfAnUnreadableRecord(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	require.NoError(t, consumer.EnsureDeadLetters(t.Context(), s))
	subject := s.Subjects().Execution("acme", "foreign")
	for _, subject := range []string{subject, s.Subjects().Prefix() + ".%.nobody"} { // whose ids cannot be read either
		ack, err := s.Conn().Request(subject, []byte("nobody's record"), patience)
		require.NoError(t, err)
		require.NotContains(t, string(ack.Data), "error")
	}
	_, err := s.Execution("acme", "run").Append(t.Context(), note(1))
	require.NoError(t, err)
	for _, mode := range []consumer.Mode{consumer.Ordered, consumer.Parallel} {
		g := openNamed(t, s, "g-"+string(mode), mode, consumer.MaxDeliveries(2), consumer.Backoff(time.Millisecond))
		var got seen
		stop := member(t, g, got.handle)
		idle(t, g)
		require.NoError(t, stop())
		require.Equal(t, 1, got.count())
		var letters []consumer.DeadLetter
		for letter, err := range consumer.DeadLetters(t.Context(), s, g.Name()) {
			require.NoError(t, err)
			letters = append(letters, letter)
		}
		require.Len(t, letters, 2)
		slices.SortFunc(letters, func(a, b consumer.DeadLetter) int { return cmp.Compare(a.Position, b.Position) })
		require.Empty(t, letters[1].ExecutionID)
		require.Equal(t, letters[0].Position+1, letters[1].Position)
		require.Equal(t, enact.ExecutionID("foreign"), letters[0].ExecutionID)
		require.Equal(t, enact.TenantID("acme"), letters[0].TenantID)
		require.Zero(t, letters[0].Sequence)
		require.NotZero(t, letters[0].Position)
		require.Contains(t, letters[0].Reason, "corrupt")
	}
}
