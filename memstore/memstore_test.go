package memstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/memstore"
	"github.com/enactlog/enact/storetest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(*testing.T) enact.EventStore { return memstore.New() }

func TestConformance(t *testing.T) { storetest.Run(t, open) }

func TestModel(t *testing.T) { storetest.RunModel(t, open) }

func note(n int) enact.Event { return enact.Custom{EventType: "note", Data: enact.JSON(n)} }

func TestBackend(t *testing.T) {
	store := memstore.New(nil)
	require.Equal(t, "memory", store.Name())
	require.False(t, store.RequiresNetwork())
	require.True(t, store.SupportsAirGapped())
}

func TestClockGivesTheTimeOfAppendsWithoutOne(t *testing.T) {
	at := time.Date(2026, 2, 23, 12, 0, 0, 1, time.FixedZone("east", 3600))
	ticks := 0
	store := memstore.New(memstore.WithClock(func() time.Time {
		ticks++
		return at.Add(time.Duration(ticks-1) * time.Second)
	}))
	ctx := t.Context()
	_, err := store.AppendBatch(ctx, "e", "t", []enact.Event{note(1), note(2)})
	require.NoError(t, err)
	_, err = store.Append(ctx, "e", "t", note(3), enact.WithTimestamp(at.AddDate(-1, 0, 0)))
	require.NoError(t, err)
	_, err = store.Append(ctx, "e", "t", note(4))
	require.NoError(t, err)

	events, err := store.LoadEvents(ctx, "e")
	require.NoError(t, err)
	want := []time.Time{at, at, at.AddDate(-1, 0, 0), at.Add(time.Second)}
	require.Len(t, events, len(want))
	for i, e := range events {
		require.Equal(t, want[i].UTC(), e.Timestamp, "event %d", i+1)
	}
}

func TestNilClockIsTheSystemClock(t *testing.T) {
	store := memstore.New(memstore.WithClock(nil))
	_, err := store.Append(t.Context(), "e", "t", note(1))
	require.NoError(t, err)
	events, err := store.LoadEvents(t.Context(), "e")
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), events[0].Timestamp, time.Minute)
}

func TestKeysAreFoundWithinTheWindowOnly(t *testing.T) {
	for _, tc := range []struct{ option, window int }{
		{option: 1, window: 1},
		{option: 3, window: 3},
		{option: 0, window: memstore.DefaultKeyWindow},
		{option: -1, window: memstore.DefaultKeyWindow},
	} {
		t.Run(fmt.Sprint(tc.option), func(t *testing.T) {
			store := memstore.New(memstore.WithKeyWindow(tc.option))
			key := enact.WithIdempotencyKey("k")
			appended := func(e enact.Event, opts ...enact.AppendOption) uint64 {
				seq, err := store.Append(t.Context(), "e", "t", e, opts...)
				require.NoError(t, err)
				return seq
			}
			appended(note(0), key)
			for n := 1; n < tc.window; n++ {
				appended(note(n))
			}
			require.Equal(t, uint64(1), appended(note(0), key), "the key is the first of the window")
			appended(note(tc.window))
			require.Equal(t, uint64(tc.window)+2, appended(note(-1), key), "the key has left the window")
			require.Equal(t, uint64(tc.window)+2, appended(note(-1), key), "the newest append with the key counts")
		})
	}
}

// A window is counted in appends, not in events.
func TestABatchIsOneAppendOfTheWindow(t *testing.T) {
	store := memstore.New(memstore.WithKeyWindow(2))
	key := enact.WithIdempotencyKey("k")
	_, err := store.Append(t.Context(), "e", "t", note(0), key)
	require.NoError(t, err)
	_, err = store.AppendBatch(t.Context(), "e", "t", []enact.Event{note(1), note(2), note(3)})
	require.NoError(t, err)
	seq, err := store.Append(t.Context(), "e", "t", note(0), key)
	require.NoError(t, err)
	require.Equal(t, uint64(1), seq)
}

func TestPositionsAreThoseOfAppendsInTheWholeStore(t *testing.T) {
	store := memstore.New()
	for i, execution := range []enact.ExecutionID{"a", "b", "a"} {
		receipt, err := store.Commit(t.Context(), enact.Batch{TenantID: "t", ExecutionID: execution, Events: []enact.Event{note(1), note(2)}})
		require.NoError(t, err)
		require.Equal(t, uint64(i)+1, receipt.Position)
	}
	events, err := store.LoadEvents(t.Context(), "a")
	require.NoError(t, err)
	positions := []uint64{}
	for _, e := range events {
		positions = append(positions, e.Position)
	}
	require.Equal(t, []uint64{1, 1, 3, 3}, positions)
}

// The chain depends on everything that a history holds and on nothing else.
func TestChain(t *testing.T) {
	base := enact.Batch{
		TenantID: "t", ExecutionID: "e", Events: []enact.Event{note(1), note(2)},
		Options: enact.AppendOptions{Timestamp: time.Unix(1, 0), Metadata: map[string]string{"a": "b"}},
	}
	chain := func(change func(b *enact.Batch)) enact.Chain {
		store := memstore.New()
		// Positions of the two stores differ.
		for range 3 {
			_, err := store.Append(t.Context(), enact.NewExecutionID(), "t", note(0))
			require.NoError(t, err)
			if change == nil {
				break
			}
		}
		b := base
		if change != nil {
			change(&b)
		}
		receipt, err := store.Commit(t.Context(), b)
		require.NoError(t, err)
		return receipt.Chain
	}
	want := chain(nil)
	require.Equal(t, want, chain(func(*enact.Batch) {}), "same history, same chain")
	for name, change := range map[string]func(b *enact.Batch){
		"tenant":    func(b *enact.Batch) { b.TenantID = "u" },
		"execution": func(b *enact.Batch) { b.ExecutionID = "f" },
		"event":     func(b *enact.Batch) { b.Events = []enact.Event{note(1), note(3)} },
		"order":     func(b *enact.Batch) { b.Events = []enact.Event{note(2), note(1)} },
		"time":      func(b *enact.Batch) { b.Options.Timestamp = time.Unix(1, 1) },
		"metadata":  func(b *enact.Batch) { b.Options.Metadata = map[string]string{"a": "c"} },
		"key":       func(b *enact.Batch) { b.Options.IdempotencyKey = "k" },
	} {
		require.NotEqual(t, want, chain(change), name)
	}
}

func TestARangeEndsWhenTheStoreIsShutDown(t *testing.T) {
	store := memstore.New()
	_, err := store.AppendBatch(t.Context(), "e", "t", []enact.Event{note(1), note(2), note(3)})
	require.NoError(t, err)
	seen, failures := 0, []error{}
	for _, err := range store.Events(t.Context(), "e", 0) {
		if err != nil {
			failures = append(failures, err)
			continue
		}
		seen++
		require.NoError(t, store.Shutdown(t.Context()))
	}
	require.Equal(t, 1, seen)
	require.Equal(t, []error{enact.ErrClosed}, failures)
}

func TestARangeShowsTheHistoryAsItWasWhenItBegan(t *testing.T) {
	store := memstore.New()
	_, err := store.Append(t.Context(), "e", "t", note(1))
	require.NoError(t, err)
	seen := 0
	for _, err := range store.Events(t.Context(), "e", 0) {
		require.NoError(t, err)
		seen++
		_, err = store.Append(t.Context(), "e", "t", note(2))
		require.NoError(t, err)
	}
	require.Equal(t, 1, seen)
}

func TestWhatIsNotThereIsStaleAtOnce(t *testing.T) {
	store := memstore.New()
	_, err := store.LoadEvents(context.Background(), "e", enact.AtLeast(1))
	require.ErrorIs(t, err, enact.ErrStale)
}

func TestClosedIsFoundBeforeInvalidAndInvalidBeforeAnEndedContext(t *testing.T) {
	store := memstore.New()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := store.Append(ended, "", "t", note(1))
	require.ErrorIs(t, err, enact.ErrInvalidID)
	_, err = store.LoadEvents(ended, "e", enact.Limit(-1))
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	require.NoError(t, store.Shutdown(ended))
	_, err = store.Append(ended, "", "t", note(1))
	require.ErrorIs(t, err, enact.ErrClosed)
	_, err = store.ListExecutions(ended, "", -1, 0)
	require.ErrorIs(t, err, enact.ErrClosed)
}
