package jetstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func note(n int) enact.Event { return enact.Custom{EventType: "note", Data: enact.JSON(n)} }

func notes(n int) []enact.Event {
	events := make([]enact.Event, n)
	for i := range events {
		events[i] = note(i)
	}
	return events
}

// An event as large as the server takes is stored; a larger one is refused with the
// sizes, and nothing is stored.
func TestEventOverTheLimit(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	ctx := t.Context()
	big := func(n int) enact.Event {
		return enact.Custom{EventType: "big", Data: json.RawMessage(`"` + strings.Repeat("x", n) + `"`)}
	}
	_, err := s.Append(ctx, "fits", "t", big(embedded.MaxPayload-4096))
	require.NoError(t, err)
	loaded, err := s.LoadEvents(ctx, "fits")
	require.NoError(t, err)
	require.Len(t, loaded, 1)

	for name, events := range map[string][]enact.Event{
		"alone":      {big(embedded.MaxPayload)},
		"in a batch": {note(1), big(embedded.MaxPayload), note(2)},
	} {
		_, err = s.AppendBatch(ctx, "does-not", "t", events)
		tooLarge, ok := errors.AsType[*enact.TooLargeError](err)
		require.True(t, ok, "%s: %v", name, err)
		require.Equal(t, "event", tooLarge.What)
		require.Equal(t, embedded.MaxPayload, tooLarge.Limit)
		require.Greater(t, tooLarge.Size, tooLarge.Limit)
		exists, err := s.ExecutionExists(ctx, "does-not")
		require.NoError(t, err)
		require.False(t, exists, name)
	}
	_, err = s.Append(ctx, "does-not", "t", note(1))
	require.NoError(t, err)
}

// A transaction takes 1000 records; one more is refused with the numbers.
func TestBatchOverTheLimit(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	ctx := t.Context()
	_, err := s.AppendBatch(ctx, "e", "t", notes(1001), enact.WithOneEventPerRecord())
	tooLarge, ok := errors.AsType[*enact.TooLargeError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, enact.TooLargeError{What: "batch", Size: 1001, Limit: 1000, Unit: "records"}, *tooLarge)
	exists, err := s.ExecutionExists(ctx, "e")
	require.NoError(t, err)
	require.False(t, exists)
	first, err := s.AppendBatch(ctx, "e", "t", notes(1000), enact.WithOneEventPerRecord())
	require.NoError(t, err)
	require.Equal(t, uint64(1), first)
	n, err := s.CountEvents(ctx, "e")
	require.NoError(t, err)
	require.Equal(t, uint64(1000), n)
}

func TestFiftyThousandEventsInOneBatch(t *testing.T) {
	s := embedded.ForTest(t)
	ctx := t.Context()
	const n = 50_000
	first, err := s.AppendBatch(ctx, "e", "t", notes(n))
	require.NoError(t, err)
	require.Equal(t, uint64(1), first)
	next := 0
	for ev, err := range s.Events(ctx, "e", 0) {
		require.NoError(t, err)
		require.Equal(t, uint64(next+1), ev.Sequence)
		require.Equal(t, note(next), ev.Event)
		next++
	}
	require.Equal(t, n, next)
}

// What does not belong to the log is never passed over: reads say where it is.
func TestForeignMessagesOnASubject(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	ctx := t.Context()
	for name, header := range map[string]nats.Header{
		"no record":       nil,
		"broken headers":  {"Enact-Sequence": {"4"}, "Enact-Time": {"yesterday"}},
		"another version": {"Enact-Version": {"2"}, "Enact-Sequence": {"4"}},
	} {
		t.Run(name, func(t *testing.T) {
			run := s.Execution("acme", enact.NewExecutionID())
			_, err := run.AppendBatch(ctx, notes(3))
			require.NoError(t, err)
			ack, err := s.Conn().RequestMsg(&nats.Msg{Subject: s.Subjects().Execution(run.Tenant(), run.ID()), Header: header}, time.Minute)
			require.NoError(t, err)
			var position struct {
				Seq uint64 `json:"seq"`
			}
			require.NoError(t, json.Unmarshal(ack.Data, &position))

			check := func(err error) {
				t.Helper()
				if name == "another version" {
					version, ok := errors.AsType[*enact.UnsupportedVersionError](err)
					require.True(t, ok, "%v", err)
					require.Equal(t, enact.UnsupportedVersionError{Position: position.Seq, Version: "2"}, *version)
					return
				}
				corrupt, ok := errors.AsType[*enact.CorruptError](err)
				require.True(t, ok, "%v", err)
				require.Equal(t, position.Seq, corrupt.Position)
				require.Equal(t, run.ID(), corrupt.ExecutionID)
				require.Equal(t, run.Tenant(), corrupt.TenantID)
			}
			_, err = run.LoadEvents(ctx)
			check(err)
			_, err = run.Head(ctx)
			check(err)
			_, _, err = s.LatestSequence(ctx, run.ID())
			check(err)
			_, err = run.Append(ctx, note(4))
			check(err)
		})
	}
}

// An index entry of a creation that crashed, or lost, is not listed; one that was
// written twice is listed once.
func TestListSkipsEntriesThatCreatedNothing(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	ctx := t.Context()
	entry := func(commit string, id enact.ExecutionID) {
		t.Helper()
		data := fmt.Sprintf(`{"execution_id":%q,"tenant_id":"t","timestamp":"2026-01-01T00:00:00Z"}`, id)
		_, err := s.Conn().RequestMsg(&nats.Msg{Subject: "enact-index.t", Header: nats.Header{"Nats-Msg-Id": {commit}}, Data: []byte(data)}, time.Minute)
		require.NoError(t, err)
	}
	_, err := s.Append(ctx, "one", "t", note(1))
	require.NoError(t, err)
	entry(uuid.NewString(), "crashed")
	entry(uuid.NewString(), "one") // somebody who lost the race to create it
	_, err = s.Append(ctx, "two", "t", note(1))
	require.NoError(t, err)
	list, err := s.ListExecutions(ctx, "t", 10, 0)
	require.NoError(t, err)
	require.Equal(t, []enact.ExecutionID{"two", "one"}, list)

	// The crashed creation is made good.
	_, err = s.Append(ctx, "crashed", "t", note(1))
	require.NoError(t, err)
	list, err = s.ListExecutions(ctx, "t", 10, 0)
	require.NoError(t, err)
	require.Equal(t, []enact.ExecutionID{"crashed", "two", "one"}, list)
}

// The caller's connection, closed, ends calls at once with its error.
func TestConnectionClosedByItsOwner(t *testing.T) {
	_, nc := startServer(t)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	s, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	defer shutDown(t, s)
	nc.Close()
	_, err = s.Append(context.Background(), "e", "t", note(1))
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
	require.NotErrorIs(t, err, enact.ErrUnknownOutcome)
	_, err = s.LoadEvents(context.Background(), "e")
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
	require.ErrorIs(t, s.HealthCheck(context.Background()), nats.ErrConnectionClosed)
}

// Sixteen callers on one execution share records, and none can tell.
func TestSharedRecordsAreInvisible(t *testing.T) {
	s := embedded.ForTest(t)
	ctx := t.Context()
	run := s.Execution("acme", enact.NewExecutionID())
	_, err := run.Append(ctx, note(-1))
	require.NoError(t, err)
	const callers, each, most = 16, 30, 1000
	type ack struct {
		receipt enact.Receipt
		id      int
	}
	var mu sync.Mutex
	var acks []ack
	positions := make(map[uint64]bool)
	shared := func() bool { // a record of several callers was met
		mu.Lock()
		defer mu.Unlock()
		return len(positions) < len(acks)
	}
	errs := make(chan error, callers)
	for c := range callers {
		go func() {
			last := uint64(0)
			// Whether one waits for another is up to the machine: they go on until one has.
			for i := 0; i < each || i < most && !shared(); i++ {
				id := c*most + i
				r, err := run.AppendBatch(ctx, []enact.Event{note(id), note(id + 500_000)})
				if err == nil && (r.First <= last || r.Last != r.First+1) {
					err = fmt.Errorf("receipt %+v after sequence %d", r, last)
				}
				if err != nil {
					errs <- err
					return
				}
				last = r.Last
				mu.Lock()
				acks = append(acks, ack{r, id})
				positions[r.Position] = true
				mu.Unlock()
			}
			errs <- nil
		}()
	}
	for range callers {
		require.NoError(t, <-errs)
	}
	loaded, err := run.LoadEvents(ctx)
	require.NoError(t, err)
	require.Len(t, loaded, 1+2*len(acks))
	for _, a := range acks {
		require.Equal(t, note(a.id), loaded[a.receipt.First-1].Event)
		require.Equal(t, note(a.id+500_000), loaded[a.receipt.Last-1].Event)
		require.Equal(t, a.receipt.Position, loaded[a.receipt.First-1].Position)
	}
	require.True(t, shared(), "records were shared")
}
