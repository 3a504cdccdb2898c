package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/replay"
)

func TestDrawTree(t *testing.T) {
	require.Empty(t, drawTree(nil))
	require.Equal(t, strings.TrimSpace(`
├─ a
│  ├─ b
│  │  └─ c
│  └─ d
└─ e
   └─ f
      └─ g`), strings.Join(drawTree([]treeNode{{0, "a"}, {1, "b"}, {2, "c"}, {1, "d"}, {0, "e"}, {1, "f"}, {2, "g"}}), "\n"))
}

// A goal that is evaluated in every step of a long run, and outside of steps, stands below
// each of them once. (To look through all evaluations for each step makes a billion of looks.)
func TestShowOfAGoalOfManySteps(t *testing.T) {
	const steps = 30_000
	state := replay.New()
	for i := range steps {
		e := enact.GoalEvaluated{GoalID: "g", Status: fmt.Sprint("status-", i)}
		if i > 0 {
			e.StepID = new(enact.StepID(fmt.Sprint("s", i)))
		}
		require.NoError(t, state.Apply(enact.StoredEvent{
			Sequence: uint64(i) + 1, ExecutionID: "e", TenantID: "t", Timestamp: time.Unix(0, 0), Event: e,
		}))
	}
	v := &stateView{state: state}
	outside := v.outside()
	require.Len(t, outside, 1)
	require.Contains(t, outside[0], "status-0 ")
	lines := v.steps()
	require.Len(t, lines, 2*(steps-1))
	for i := 1; i < steps; i++ {
		require.Contains(t, lines[2*i-2], fmt.Sprint("s", i))
		require.Contains(t, lines[2*i-1], fmt.Sprint("status-", i, " "))
	}
}
