package consumer

import (
	"context"

	"github.com/enactlog/enact"
)

// Checkpoint remembers the events whose effects are stored, so that an event which comes
// again has no effect again. With [WithCheckpoint], Done is asked before the handler is
// called and Save is called after it has returned nil.
//
// Effects happen exactly once where the memory is stored together with them: a handler
// that writes to a database stores the event's tenant, execution and sequence in the
// same transaction, Done looks there, and Save does nothing. What is stored apart from
// the effects, as by [KVCheckpoint], may be missing after a crash between the two: then
// the event's effects happen once more.
//
// A [Follow] and an [Ordered] group hand over the events of an execution in order, so
// that the sequence of its last one says it all. In a [Parallel] group two members can
// have events of one execution at the same time: there a checkpoint must know each event.
//
// Its methods are called from several goroutines, for one execution in one process from
// one at a time. Their errors and panics are failed attempts of the handler. The context of
// Save ends later than the subscriber, by 10 s at most, so that a stop repeats nothing.
type Checkpoint interface {
	// Done reports whether the effects of the event are stored.
	Done(ctx context.Context, ev enact.StoredEvent) (bool, error)
	// Save notes that they are.
	Save(ctx context.Context, ev enact.StoredEvent) error
}
