package replay_test

import (
	"fmt"
	"testing"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/replay"
)

func BenchmarkApply(b *testing.B) {
	run := readRun(b, "research-agent.jsonl")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := replay.Of(run); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(run)), "ns/event")
}

// Many steps, each the parent of the next: neither the walk nor the fold may be
// quadratic.
func BenchmarkDeepTree(b *testing.B) {
	const depth = 10_000
	events := make([]enact.Event, depth)
	for i := range events {
		parent := enact.StepID(fmt.Sprint("s", i-1))
		events[i] = enact.StepStarted{StepID: enact.StepID(fmt.Sprint("s", i)), ParentStepID: &parent, StepType: enact.FunctionNode}
	}
	stored := history(events...)
	b.ReportAllocs()
	for b.Loop() {
		s, err := replay.Of(stored)
		if err != nil {
			b.Fatal(err)
		}
		deepest := 0
		for d := range s.Walk() {
			deepest = max(deepest, d)
		}
		if deepest != depth {
			b.Fatal(deepest)
		}
	}
}

// An execution that waits for people again and again: a resumption may not look at all
// pauses there ever were.
func BenchmarkManyPauses(b *testing.B) {
	const pauses = 20_000
	var events []enact.Event
	for range pauses {
		events = append(events, enact.ExecutionPaused{Reason: "asks"}, enact.ExecutionResumed{})
	}
	stored := history(events...)
	b.ReportAllocs()
	for b.Loop() {
		s, err := replay.Of(stored)
		if err != nil {
			b.Fatal(err)
		}
		if len(s.Pauses) != pauses || s.Pauses[0].ResumedAt.IsZero() || s.Pauses[pauses-1].ResumedAt.IsZero() {
			b.Fatal(len(s.Pauses))
		}
	}
}
