// Package memstore keeps the event log in memory: a fake for tests of programs
// that use the log, and the model that the tests of other stores compare with.
//
//	store := memstore.New()
//	seq, err := store.Append(ctx, enact.NewExecutionID(), "acme", enact.ExecutionStarted{})
//
// A [Store] holds the whole contract of [enact.EventStore], and package
// storetest proves it. Beyond the contract it is strict where other stores need
// not be: one lock orders all appends, so an id never lives in two tenants and
// no read is ever stale. Events are kept encoded and decoded anew for each
// read, so that their values are those that a store on a wire gives and nothing
// that a caller does to an event afterwards changes the log.
//
// # Caveats
//
//   - Nothing outlives the process.
//   - Every event stays in memory until the store does not.
//   - [enact.WithOneEventPerRecord] and [enact.AllowStale] have no effect.
package memstore
