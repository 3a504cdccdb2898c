// Package enact is the contract of an event log for agent executions.
//
// An execution is one run of an agent, graph or workflow. It belongs to one
// tenant, and its history is an append-only list of events numbered 1, 2, 3, …
// without gaps. All state of an execution can be rebuilt by replaying that
// list, so the log is the only source of truth: an event is durable before an
// append returns, it is never changed or deleted, and no reader sees it out of
// order, twice, or with a hole.
//
// This package holds the events, the ids, the interfaces, the errors and the
// subject scheme. It depends on no server. Stores live beside it:
//
//   - package jetstore keeps the log in a NATS JetStream stream. Use
//     embedded.Open (package jetstore/embedded) for a server inside the
//     process, jetstore.Connect for a cluster.
//   - package memstore keeps it in memory, for tests.
//   - package storetest is the conformance suite that any [EventStore] passes.
//   - package replay turns events into the state of an execution.
//   - package consumer follows executions live.
//   - package codec compresses and encrypts events.
//   - package fsck checks a log as a whole.
//
// The events, their JSON and the interfaces began as those of Enact's core in Rust (crate
// enact-core, trait EventStore), which comments call the seed.
//
// # Caveats
//
//   - The order of events is defined inside one execution only.
//   - Timestamps are what the writer's clock said (or what [WithTimestamp]
//     gave); sequence numbers, not times, order a history.
//   - An execution is identified by tenant and id together. Calls that carry no
//     tenant look it up; [InTenant] skips that.
package enact
