package jetstore

import (
	"context"
	"fmt"
	"time"

	"github.com/enactlog/enact"
)

// Occurrence is something that happens inside a store and that its callers do not see,
// because the store puts it right.
type Occurrence int

// Occurrences.
const (
	// StaleAnswer: an answer was older than what was known already, from a replica that
	// lags or a leader that has lost its office; another was asked for.
	StaleAnswer Occurrence = iota
	// Retry: a copy of an append was sent again.
	Retry
	// Overtaken: an append found another one in its place. It is made again, or ends in
	// an [*enact.ConflictError].
	Overtaken
	// Resolution: an append without an acknowledgement was proven to be stored.
	Resolution
	// Duplicate: an append was found by its idempotency key, and nothing stored.
	Duplicate
)

// String returns the occurrence's name, as in "stale answer".
func (o Occurrence) String() string {
	switch o {
	case StaleAnswer:
		return "stale answer"
	case Retry:
		return "retry"
	case Overtaken:
		return "overtaken"
	case Resolution:
		return "resolution"
	case Duplicate:
		return "duplicate"
	}
	return fmt.Sprintf("Occurrence(%d)", int(o))
}

// Tracer is told what happens inside a store. Its methods are called on the way of
// appends and reads, from any number of goroutines: they must return at once.
//
// A Tracer may also be an [OperationTracer] and a [TraceCarrier].
type Tracer interface {
	// Happened is told of one occurrence; ctx is that of the call of the store.
	Happened(ctx context.Context, what Occurrence)
}

// OperationTracer is a [Tracer] that is told of operations as well.
type OperationTracer interface {
	Tracer
	// Began is told that an operation begins. What belongs to the operation, the handler
	// of an event included, gets the context that it returns.
	Began(ctx context.Context, op Operation) context.Context
	// Ended is told how it ended; ctx is what Began returned, or comes from that.
	Ended(ctx context.Context, op Operation, end Outcome)
}

// TraceCarrier is a [Tracer] that knows in which trace a call is. An append without a
// trace context of the caller's stores this one.
type TraceCarrier interface {
	Tracer
	// TraceContext returns the trace context of ctx, which is that of an append; zero: none.
	TraceContext(ctx context.Context) enact.TraceContext
}

// OperationKind tells operations apart.
type OperationKind int

// Kinds of operations.
const (
	Appending  OperationKind = iota // a call that appends, until it is stored or not
	Staging                         // one sending of a batch of several records, inside an append
	Resolving                       // a call of Resolve; inside an append: the search for what became of a sending
	Loading                         // a read of events, until its last one is taken
	Listing                         // a page of executions
	Delivering                      // an event is handed to the one who tails an execution
	Handling                        // a handler has an event
)

// String returns the kind's name, as spans have it.
func (k OperationKind) String() string {
	switch k {
	case Appending:
		return "append"
	case Staging:
		return "stage"
	case Resolving:
		return "resolve"
	case Loading:
		return "load"
	case Listing:
		return "list"
	case Delivering:
		return "deliver"
	case Handling:
		return "handle"
	}
	return fmt.Sprintf("OperationKind(%d)", int(k))
}

// Operation is a piece of work that has a beginning and an end.
type Operation struct {
	Kind      OperationKind
	Stream    string // that it works on: the log's, or for Listing the index stream
	Tenant    enact.TenantID
	Execution enact.ExecutionID // "": not one
	Events    int               // that are appended, delivered or handled; of Loading and Listing 0
	Records   int               // of Staging and Resolving: of the append
	Sequence  uint64            // of the event that is delivered or handled
	Group     string            // of the handler; "": it is not a group's
	Attempt   int               // of Handling: from 1
	// Origin is the trace context of the append that an operation deals with: of Delivering
	// and Handling the event's, of Resolving the append's, of Appending one that the caller gave.
	Origin enact.TraceContext
}

// Outcome is how an operation ended.
type Outcome struct {
	Took      time.Duration
	Err       error  // nil: well; Loading and Listing that the caller broke off ended well
	Events    int    // that Loading has read; of Listing: executions
	First     uint64 // of Appending and Resolving: sequence of the first event
	Last      uint64 // of Appending and Resolving: sequence of the last event
	Duplicate bool   // of Appending: nothing was stored, see [Duplicate]
}

// WithTracer tells t what happens inside the store. Default (and nil): nobody.
func WithTracer(t Tracer) Option {
	return func(c *config) error {
		c.tracer = t
		return nil
	}
}

// watchers are those who are told; a nil one stands for nobody.
type watchers struct {
	all        []Tracer
	operations []OperationTracer
	carriers   []TraceCarrier
}

// watchersOf returns who is told, nil if it is nobody.
func watchersOf(tracers ...Tracer) *watchers {
	w := new(watchers)
	for _, t := range tracers {
		if t == nil {
			continue
		}
		w.all = append(w.all, t)
		if t, ok := t.(OperationTracer); ok {
			w.operations = append(w.operations, t)
		}
		if t, ok := t.(TraceCarrier); ok {
			w.carriers = append(w.carriers, t)
		}
	}
	if len(w.all) == 0 {
		return nil
	}
	return w
}

func (s *Store) happened(ctx context.Context, what Occurrence) {
	if w := s.cfg.watchers; w != nil {
		for _, t := range w.all {
			t.Happened(ctx, what)
		}
	}
}

// traceContext returns the trace context that an append of ctx stores.
func (s *Store) traceContext(ctx context.Context) (trace enact.TraceContext) {
	if w := s.cfg.watchers; w != nil {
		for _, t := range w.carriers {
			if trace = t.TraceContext(ctx); !trace.IsZero() && trace.Validate() == nil {
				return trace
			}
		}
	}
	return enact.TraceContext{}
}

// Observation is an operation that the store's tracers were told of. The zero value is
// one that nobody watches.
type Observation struct {
	watchers *watchers
	ctx      context.Context
	op       Operation
	began    time.Time
}

// Observe tells the store's tracers that an operation begins. The context is for what
// belongs to it, and [Observation.End] must be called. Package consumer is built on it. It
// costs nothing where nobody watches.
func (s *Store) Observe(ctx context.Context, op Operation) (context.Context, Observation) {
	if !s.Watched() {
		return ctx, Observation{}
	}
	w := s.cfg.watchers
	for _, t := range w.operations {
		ctx = t.Began(ctx, op)
	}
	return ctx, Observation{watchers: w, ctx: ctx, op: op, began: time.Now()}
}

// Watched reports whether anybody is told of operations.
func (s *Store) Watched() bool { return s.cfg.watchers != nil && len(s.cfg.watchers.operations) > 0 }

// Watched reports whether anybody is told of the operation.
func (o *Observation) Watched() bool { return o.watchers != nil }

// End tells how the operation ended; its Took is set here.
func (o *Observation) End(end Outcome) {
	if o.watchers == nil {
		return
	}
	end.Took = time.Since(o.began)
	for _, t := range o.watchers.operations {
		t.Ended(o.ctx, o.op, end)
	}
}
