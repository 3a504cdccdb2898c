package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	writerProcesses  = 4
	writerGoroutines = 64
	writerExecutions = 8
	writersTimeout   = 5 * time.Minute
)

// writerScript is what one process of writers does.
type writerScript struct {
	URL        string
	Name       string // of the process, part of every event
	Executions []enact.ExecutionID
	Appends    int // of each goroutine
}

// writerAck is an acknowledged append: one event.
type writerAck struct {
	Execution enact.ExecutionID
	Event     string
	Sequence  uint64
}

// playWriter appends from many goroutines, each to every execution in turn.
func playWriter(text []byte, l line) error {
	var script writerScript
	if err := json.Unmarshal(text, &script); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), writersTimeout)
	defer cancel()
	s, err := jetstore.Connect(ctx, script.URL)
	if err != nil {
		return err
	}
	acks, errs := make([][]writerAck, writerGoroutines), make([]error, writerGoroutines)
	var wg sync.WaitGroup
	for g := range writerGoroutines {
		wg.Go(func() {
			for n := range script.Appends {
				ack := writerAck{
					Execution: script.Executions[(g+n)%len(script.Executions)], Event: fmt.Sprintf("%s/%d/%d", script.Name, g, n),
				}
				if ack.Sequence, errs[g] = s.Append(ctx, ack.Execution, tenant, enact.ExecutionPaused{Reason: ack.Event}); errs[g] != nil {
					return
				}
				acks[g] = append(acks[g], ack)
			}
		})
	}
	wg.Wait()
	all := []writerAck{}
	for _, a := range acks {
		all = append(all, a...)
	}
	if err := errors.Join(append(errs, s.Shutdown(ctx))...); err != nil {
		return err
	}
	return l.say.Encode(all)
}

// Writers in several processes share executions on one server: no append fails, each
// is there once under its number, and no history has a gap.
func TestWritersOnOneServer(t *testing.T) {
	server := natstest.Start(t, natstest.Options{})
	ensure(t, server.URL())
	writeTogether(t, server.URL(), scaled(80, 800))
}

func writeTogether(t *testing.T, url string, appends int) {
	t.Helper()
	script := writerScript{URL: url, Appends: appends}
	for range writerExecutions {
		script.Executions = append(script.Executions, enact.NewExecutionID())
	}
	begin := time.Now()
	var processes []*process
	for i := range writerProcesses {
		script.Name = fmt.Sprint("p", i)
		processes = append(processes, startProcess(t, "writer", script))
	}
	want := make(map[enact.ExecutionID]map[string]uint64)
	for _, p := range processes {
		var acks []writerAck
		p.hear(t, &acks)
		require.Len(t, acks, writerGoroutines*appends)
		for _, a := range acks {
			if want[a.Execution] == nil {
				want[a.Execution] = make(map[string]uint64)
			}
			want[a.Execution][a.Event] = a.Sequence
		}
	}
	t.Logf("%d appends in %v", writerProcesses*writerGoroutines*appends, time.Since(begin).Round(time.Millisecond))
	s := open(t, url)
	total := 0
	for _, id := range script.Executions {
		loaded, err := s.LoadEvents(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, loaded, len(want[id]), "every event is acknowledged, once")
		for i, ev := range loaded {
			require.Equal(t, uint64(i)+1, ev.Sequence)
			require.Equal(t, want[id][ev.Event.(enact.ExecutionPaused).Reason], ev.Sequence)
		}
		total += len(loaded)
	}
	require.Equal(t, writerProcesses*writerGoroutines*appends, total)
}
