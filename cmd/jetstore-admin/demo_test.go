package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func embeddedStore(t *testing.T) *jetstore.Store {
	t.Helper()
	return embedded.ForTest(t)
}

// The recorded run is long enough to watch and short enough to wait for, ends, and
// has fresh ids each time.
func TestDemoRun(t *testing.T) {
	a, err := newDemoRun()
	require.NoError(t, err)
	b, err := newDemoRun()
	require.NoError(t, err)
	require.NotEqual(t, a.id, b.id)
	require.GreaterOrEqual(t, len(a.events), 25)
	var total time.Duration
	steps := make(map[enact.StepID]bool)
	for i, e := range a.events {
		require.NoError(t, e.event.Validate())
		require.GreaterOrEqual(t, e.after, total)
		total = e.after
		if started, ok := e.event.(enact.StepStarted); ok {
			require.NotContains(t, string(demoLines), string(started.StepID))
			require.NotEqual(t, started.StepID, b.events[i].event.(enact.StepStarted).StepID)
			steps[started.StepID] = true
		}
	}
	require.GreaterOrEqual(t, len(steps), 5)
	require.GreaterOrEqual(t, total, 3*time.Second)
	require.LessOrEqual(t, total, 5*time.Second)
	require.True(t, enact.Terminal(a.events[len(a.events)-1].event))
}

// A change of any event, and of the head, is found.
func TestHistorySame(t *testing.T) {
	run := embeddedStore(t).Execution("acme", "run")
	_, err := run.AppendBatch(t.Context(), []enact.Event{enact.ExecutionStarted{}, enact.ExecutionPaused{Reason: "a"}})
	require.NoError(t, err)
	before, err := load(t.Context(), run)
	require.NoError(t, err)
	after, err := load(t.Context(), run)
	require.NoError(t, err)
	require.NoError(t, before.same(after))

	after.head.Chain[0]++
	require.ErrorContains(t, before.same(after), "the head was")
	after.events[1].Event = enact.ExecutionPaused{Reason: "b"}
	require.EqualError(t, before.same(after), "event 2 changed")
	after.events = after.events[:1]
	require.EqualError(t, before.same(after), "2 events were stored, 1 came back")
}

func TestShellQuote(t *testing.T) {
	require.Equal(t, "./data-1", shellQuote("./data-1"))
	require.Equal(t, `'my data'`, shellQuote("my data"))
	require.Equal(t, `'it'\''s'`, shellQuote("it's"))
}
