package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/replay"
)

// agent works on one execution. Its state is what the log says, and nothing else.
type agent struct {
	run   jetstore.Execution
	state *replay.State
	out   io.Writer
	mail  outbox
	step  func() // is called wherever a crash would matter
}

// work goes on from where the log ends, which may be its beginning.
func (a *agent) work(ctx context.Context) (err error) {
	if a.state, err = replay.Collect(a.run.Events(ctx, 0)); err != nil {
		return err
	}
	if a.state.LastSequence > 0 {
		fmt.Fprintf(a.out, "the log has %d events: going on\n", a.state.LastSequence)
	} else if err := a.append(ctx, enact.ExecutionStarted{Metadata: enact.JSON(map[string]string{"goal": "tell Ann the weather"})}); err != nil {
		return err
	}
	if a.state.Status == replay.StatusCompleted {
		fmt.Fprintln(a.out, "there is nothing left to do")
		return nil
	}
	// The plan. A model would make it from the state; what it chose would be in the log too.
	weather, err := a.call(ctx, "call-1", "weather", map[string]string{"city": "Zürich"}, func(string, json.RawMessage) (any, error) {
		return "sunny, 24 °C", nil // reading has no effect: it may be done again
	})
	if err != nil {
		return err
	}
	for i, to := range []string{"ann@example.com", "bob@example.com"} {
		letter := map[string]any{"to": to, "text": weather}
		if _, err := a.call(ctx, fmt.Sprintf("call-%d", i+2), "mail", letter, a.mail.send); err != nil {
			return err
		}
	}
	done := string(weather)
	return a.append(ctx, enact.ExecutionCompleted{Output: &done})
}

// call returns the output of a tool, which it asks only if the log does not have it.
func (a *agent) call(ctx context.Context, id, tool string, input any, ask func(id string, input json.RawMessage) (any, error)) (json.RawMessage, error) {
	var known *replay.ToolCall
	for _, c := range a.state.ToolCalls {
		if c.ID == id {
			known = c
		}
	}
	if known != nil && !known.Open() {
		return known.Output, nil
	}
	if known == nil {
		// What is about to be done is durable before it is done.
		if err := a.append(ctx, enact.ToolCallStarted{ToolCallID: id, ToolName: tool, Input: enact.JSON(input)}); err != nil {
			return nil, err
		}
	}
	answer, err := ask(id, enact.JSON(input))
	if err != nil {
		return nil, err
	}
	a.step()
	output := enact.JSON(answer)
	return output, a.append(ctx, enact.ToolCallCompleted{ToolCallID: id, Output: output})
}

// append adds to the log what this agent knows to follow. Another one at work on the same
// execution gets a conflict, and stops: there is one history.
func (a *agent) append(ctx context.Context, e enact.Event) error {
	a.step()
	seq := a.state.LastSequence + 1
	receipt, err := a.run.Append(ctx, e, enact.ExpectSequence(seq-1))
	if err != nil {
		return err
	}
	a.step()
	fmt.Fprintf(a.out, "%d %s\n", receipt.First, e.Type())
	return a.state.Apply(enact.StoredEvent{
		Sequence: seq, TenantID: a.run.Tenant(), ExecutionID: a.run.ID(), Event: e, Position: receipt.Position,
	})
}
