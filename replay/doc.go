// Package replay turns the events of an execution into its state.
//
// [Collect] takes what a store's Events yields and [Of] a slice; [State] is what
// they build: the status, the tree of steps with their attempts, tool calls,
// artifacts, goals, checkpoints, errors. A State grows event by event with
// [State.Apply], so a state that was kept (as JSON, or with [State.Clone]) goes on
// from where it stood: the events after its LastSequence give the same state as
// all events at once. [Fold] does the same for a state of the caller's own.
//
// Nothing here does I/O or reads a clock: the same events always give the same state.
//
// # What the log does not say
//
// A history may lack what one would expect, and is folded all the same. A step
// that is mentioned but never started is there, with the status [StepUnknown]. A
// tool call that completed without a start is there without an input. Events of
// types that this release does not know are counted by type, and events whose key
// is gone are counted. Only what contradicts the numbering is refused.
package replay
