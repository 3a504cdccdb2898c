package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/eventgen"
	"github.com/enactlog/enact/replay"
)

// The last event that says something about the status decides it, as in a replay.
func TestStatusAfterAgreesWithReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state, want := replay.New(), replay.StatusUnknown
		for i, event := range rapid.SliceOfN(eventgen.Event(), 1, 20).Draw(t, "events") {
			require.NoError(t, state.Apply(enact.StoredEvent{Sequence: uint64(i + 1), ExecutionID: "e", TenantID: "t", Event: event}))
			if status, ok := statusAfter(event); ok {
				want = status
			}
			require.Equal(t, state.Status, want)
		}
	})
}

// An execution whose last events say nothing about its status is read back to the one
// that does.
func TestDescribeReadsBack(t *testing.T) {
	store := embeddedStore(t)
	for _, tt := range []struct {
		id     enact.ExecutionID
		first  []enact.Event
		status replay.Status
	}{
		{"running", []enact.Event{enact.ExecutionStarted{}}, replay.StatusRunning},
		{"paused", []enact.Event{enact.ExecutionStarted{}, enact.ExecutionPaused{}}, replay.StatusPaused},
		{"cancelled", []enact.Event{enact.ExecutionCancelled{}}, replay.StatusCancelled},
		{"failed", []enact.Event{enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryTimeout, "late")}}, replay.StatusFailed},
		{"silent", nil, replay.StatusUnknown},
	} {
		run := store.Execution("acme", tt.id)
		noise := slices.Repeat([]enact.Event{enact.Custom{EventType: "log", Data: enact.JSON("…")}}, 700)
		receipt, err := run.AppendBatch(t.Context(), append(tt.first, noise...))
		require.NoError(t, err)
		info, err := describe(t.Context(), run)
		require.NoError(t, err)
		require.Equal(t, tt.status, info.Status, tt.id)
		require.Equal(t, receipt.Last, info.Events)
		require.Equal(t, enact.TypeCustom, info.LastType)
	}
}
