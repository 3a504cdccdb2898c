// Package storetest is the conformance suite of the event log: whatever passes
// [Run] and [RunModel] holds the contract of [enact.EventStore].
//
//	func TestConformance(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) enact.EventStore {
//			store := mystore.Open(…)
//			t.Cleanup(func() { _ = store.Shutdown(context.Background()) })
//			return store
//		})
//	}
//
// Every sentence of the contract is one subtest of that name, so that a failing
// test says which sentence is broken. All tests use fresh random tenants and
// executions: the stores that the opener returns may share one log, with each
// other and with earlier runs.
//
// Where a store also is an [enact.Committer] or an [enact.Querier], or has a Head
// method like that of memstore.Store, the sentences on these are part of the suite.
//
// # What each file holds
//
//   - run.go, fixture.go: the suite and what its tests share.
//   - appends.go, batches.go, expectations.go, keys.go, concurrency.go,
//     commits.go: writing.
//   - reads.go, iteration.go, lists.go, queries.go: reading.
//   - events.go, samples.go, raw.go, metadata.go, timestamps.go, immutability.go:
//     what is kept.
//   - ids.go, tenants.go, invalid.go, lifecycle.go: names and refusals.
//   - model.go, model_ops.go: random operations beside a model.
package storetest
