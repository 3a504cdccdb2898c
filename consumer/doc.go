// Package consumer follows executions live: history first, then what is appended, as
// one sequence without holes or repeats, over reconnects and changes of leaders.
//
//   - [Tail] yields the events of one execution.
//   - [Follow] hands the events of tenants, or of the whole log, to a handler: those of
//     one execution in order, executions in parallel. How far it has come is a [Token],
//     which the caller keeps.
//   - [Group] is a durable subscription that many processes share: at least once,
//     acknowledged after the handler, with repetition, dead letters, pause and resume.
//     How far it has come the server keeps.
//
// A subscriber sees an append whole or not at all, whatever number of records it took.
//
// # What each promises
//
//	            order                              each event      position kept by
//	Tail        of the execution                   once            the caller: the sequence
//	Follow      of each execution                  once in a run   the caller: a Token
//	Group       Ordered: of the log                at least once   the server
//	            Parallel: of each execution,       at least once   the server
//	            within one member
//
// Effects that happen exactly once need a position that is stored together with them:
// see [Checkpoint].
//
// # On the server
//
// A subscriber is a JetStream consumer of the log's stream, with metadata under
// "enact." that [List] reads. Those of Tail and Follow are removed when they end, or,
// if nothing can be sent any more, by the server after [InactiveThreshold]. A group's
// stays until [Group.Remove].
//
// Where each tenant has a stream of its own, a subscriber follows one tenant's log, which
// jetstore.Store.Tenant returns; given the whole store, all functions here but Tail, whose
// execution says its tenant, return enact.ErrTenantRequired.
package consumer
