package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func note(n int) enact.Event { return enact.Custom{EventType: "note", Data: enact.JSON(n)} }

// patience bounds a request of a test's own to a server that serves.
const patience = time.Minute

// nothingLeft requires the log's stream to have no consumers.
func nothingLeft(t *testing.T, s *jetstore.Store) {
	t.Helper()
	js := natstest.JetStream(t, s.Conn())
	var names []string
	natstest.Eventually(t, 10*time.Second, func() bool {
		names = nil
		stream, err := js.Stream(context.Background(), s.StreamName())
		require.NoError(t, err)
		for name := range stream.ConsumerNames(context.Background()).Name() {
			names = append(names, name)
		}
		return len(names) == 0
	}, func() string { return fmt.Sprintf("consumers left: %v", names) })
}

// History and live events come as one sequence, each once.
func TestTailIsSeamless(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", enact.NewExecutionID())
	const before, during = 50, 300
	for i := range before {
		_, err := run.Append(t.Context(), note(i))
		require.NoError(t, err)
	}
	writing := make(chan error, 1)
	start := make(chan struct{})
	go func() {
		<-start
		for i := before; i < before+during; i += 2 {
			if _, err := run.AppendBatch(t.Context(), []enact.Event{note(i), note(i + 1)}); err != nil {
				writing <- err
				return
			}
		}
		_, err := run.Append(t.Context(), enact.ExecutionCompleted{})
		writing <- err
	}()
	var got []enact.StoredEvent
	caughtUp := uint64(0)
	for ev, err := range consumer.Tail(t.Context(), run, 0, consumer.UntilEnd(), consumer.OnCaughtUp(func(seq uint64) { caughtUp = seq; close(start) })) {
		require.NoError(t, err)
		got = append(got, ev)
	}
	require.NoError(t, <-writing)
	require.Equal(t, uint64(before), caughtUp)
	want, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	require.Len(t, want, before+during+1)
	require.Equal(t, want, got)
	nothingLeft(t, s)
}

func TestTailStartsAfter(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", enact.NewExecutionID())
	for i := range 10 {
		_, err := run.Append(t.Context(), note(i))
		require.NoError(t, err)
	}
	_, err := run.Append(t.Context(), enact.ExecutionCancelled{Reason: "done"})
	require.NoError(t, err)
	for _, after := range []uint64{0, 1, 9, 10} {
		next := after + 1
		for ev, err := range consumer.Tail(t.Context(), run, after, consumer.UntilEnd()) {
			require.NoError(t, err)
			require.Equal(t, next, ev.Sequence)
			next++
		}
		require.Equal(t, uint64(12), next, "after %d", after)
	}
}

// A tail may begin behind the end, and on an execution that does not exist yet.
func TestTailWaitsForWhatIsToCome(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	for _, after := range []uint64{0, 3} {
		run := s.Execution("acme", enact.NewExecutionID())
		writing := make(chan error, 1)
		waiting := make(chan struct{})
		go func() {
			<-waiting
			_, err := run.AppendBatch(t.Context(), []enact.Event{note(1), note(2)})
			for i := 3; i < 8 && err == nil; i++ {
				_, err = run.Append(t.Context(), note(i))
			}
			writing <- err
		}()
		next := after + 1
		for ev, err := range consumer.Tail(t.Context(), run, after, consumer.OnCaughtUp(func(uint64) { close(waiting) })) {
			require.NoError(t, err)
			require.Equal(t, next, ev.Sequence)
			if next++; next == 8 {
				break
			}
		}
		require.NoError(t, <-writing)
	}
	nothingLeft(t, s)
}

// A staged batch arrives whole, in order.
func TestTailOfAStagedBatch(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", enact.NewExecutionID())
	writing := make(chan error, 1)
	next := uint64(1)
	begin := func(uint64) {
		go func() {
			var events []enact.Event
			for i := range 100 {
				events = append(events, note(i))
			}
			_, err := run.AppendBatch(t.Context(), events, enact.WithOneEventPerRecord())
			writing <- err
		}()
	}
	for ev, err := range consumer.Tail(t.Context(), run, 0, consumer.OnCaughtUp(begin)) {
		require.NoError(t, err)
		require.Equal(t, next, ev.Sequence)
		if next++; next > 100 {
			break
		}
	}
	require.NoError(t, <-writing)
}

func TestTailEndsWithItsContext(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", enact.NewExecutionID())
	ctx, cancel := context.WithCancel(t.Context())
	for ev, err := range consumer.Tail(ctx, run, 0, consumer.OnCaughtUp(func(uint64) { cancel() })) {
		t.Fatalf("a tail whose context ended yielded %v, %v", ev, err)
	}
	nothingLeft(t, s)
}

func TestTailReportsErrorsOnce(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	collect := func(run jetstore.Execution) (events int, errs []error) {
		for ev, err := range consumer.Tail(t.Context(), run, 0) {
			if err != nil {
				require.Zero(t, ev)
				errs = append(errs, err)
				continue
			}
			events++
		}
		return events, errs
	}
	_, errs := collect(s.Execution("", "x"))
	require.Len(t, errs, 1)
	require.ErrorIs(t, errs[0], enact.ErrInvalidID)

	// Something that is no record, behind two that are, while the tail is live.
	run := s.Execution("acme", "spoiled")
	_, err := run.AppendBatch(t.Context(), []enact.Event{note(1), note(2)})
	require.NoError(t, err)
	seen := 0
	var last error
	for _, err := range consumer.Tail(t.Context(), run, 0, consumer.OnCaughtUp(func(uint64) {
		require.NoError(t, s.Conn().PublishMsg(&nats.Msg{Subject: s.Subjects().Execution("acme", "spoiled"), Data: []byte("{}")}))
	})) {
		if err != nil {
			last = err
			continue
		}
		seen++
	}
	require.Equal(t, 2, seen)
	require.ErrorIs(t, last, enact.ErrCorrupt)
	require.False(t, errors.Is(last, context.Canceled))
	nothingLeft(t, s)
}

// A tail outlives its server: what was appended meanwhile is not missed.
func TestTailOverARestart(t *testing.T) {
	srv, s := onServer(t)
	run := s.Execution("acme", enact.NewExecutionID())
	const n = 30
	writing := make(chan error, 1)
	restarted := false
	next := uint64(1)
	for ev, err := range consumer.Tail(t.Context(), run, 0, consumer.OnCaughtUp(func(uint64) {
		go func() {
			for i := range n {
				if _, err := run.Append(t.Context(), note(i)); err != nil {
					writing <- err
					return
				}
			}
			writing <- nil
		}()
	})) {
		require.NoError(t, err)
		require.Equal(t, next, ev.Sequence)
		if next++; next > n/2 && !restarted {
			srv.Kill()
			srv.Start()
			restarted = true
		}
		if next > n {
			break
		}
	}
	require.NoError(t, <-writing)
}

// Records that nobody appended end a tail, whatever number they give themselves.
func TestTailOfForgedRecords(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	js := natstest.JetStream(t, s.Conn())
	for _, sequences := range [][]uint64{{1000}, {1000, 1001}, {1000, 3}} {
		t.Run(fmt.Sprint(sequences), func(t *testing.T) {
			run := s.Execution("acme", enact.NewExecutionID())
			subject := s.Subjects().Execution("acme", run.ID())
			_, err := run.AppendBatch(t.Context(), []enact.Event{note(1), note(2)})
			require.NoError(t, err)
			receipt, err := run.Append(t.Context(), note(3))
			require.NoError(t, err)
			stream, err := js.Stream(t.Context(), s.StreamName())
			require.NoError(t, err)
			real, err := stream.GetMsg(t.Context(), receipt.Position)
			require.NoError(t, err)

			forged := make(chan error, 1)
			forge := func(uint64) {
				previous := receipt.Position
				for _, sequence := range sequences {
					m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: real.Data}
					for name, values := range real.Header {
						m.Header[name] = values
					}
					m.Header.Set(record.HeaderSequence, fmt.Sprint(sequence))
					m.Header.Set("Nats-Expected-Last-Subject-Sequence", fmt.Sprint(previous))
					ack, err := js.PublishMsg(t.Context(), m)
					if err != nil {
						forged <- err
						return
					}
					previous = ack.Sequence
				}
				forged <- nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			n := uint64(0)
			var failed error
			for ev, err := range consumer.Tail(ctx, run, 0, consumer.OnCaughtUp(func(n uint64) { go forge(n) })) {
				if failed = err; err == nil {
					n++
					require.Equal(t, n, ev.Sequence)
				}
			}
			require.NoError(t, <-forged)
			require.ErrorIs(t, failed, enact.ErrCorrupt)
			require.Equal(t, uint64(3), n)
		})
	}
}
