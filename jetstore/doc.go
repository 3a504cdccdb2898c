// Package jetstore keeps the event log in a NATS JetStream stream. It implements
// enact.EventStore.
//
// Use embedded.Open (package jetstore/embedded) for a server inside the process,
// [Connect] for a server or cluster elsewhere, [Open] on a connection of your own.
// [EnsureStream] creates the streams; opening never does.
//
//	store, err := jetstore.Connect(ctx, "nats://localhost:4222")
//	run := store.Execution("acme", enact.NewExecutionID())
//	receipt, err := run.Append(ctx, enact.ExecutionStarted{})
//	for ev, err := range run.Events(ctx, 0) { … }
//
// # What an error means
//
// An append that returns an error other than enact.ErrUnknownOutcome stored
// nothing. One that returns nil is stored, durably if the servers run with
// sync_interval: always, which embedded servers do.
package jetstore
