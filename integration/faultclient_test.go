//go:build faults

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// taggedRoles are roles of tests with build tags.
var taggedRoles = map[string]func(script []byte, l line) error{"client": playClient}

const (
	clientWorkers = 2                     // goroutines of a client process
	clientPause   = 80 * time.Millisecond // between two operations of one, at most
	// operationsOfOne is how many operations a worker does before it goes on to other
	// executions, so that histories stay short.
	operationsOfOne = 36
	// lateReturn is how long after the end of its context a call may return on a machine
	// that is busy.
	lateReturn = time.Minute
	// listed is how many executions a list asks for.
	listed = 50
	// tailed is the one execution that all append to all the time, for tails.
	tailed = enact.ExecutionID("tailed")
)

// clientScript is what a client process does until it is told to stop.
type clientScript struct {
	URL        string
	Name       string // part of the name of every append
	Client     int
	Seed       uint64
	Board      string // path
	Subscriber string // what it subscribes to, see subscribe
}

// order is what a client process is told.
type order struct {
	Round  uint32 // begins, if not 0
	Stop   bool   // no more operations
	Report *int   // subscribers end once they have seen so many events
}

// word is what it says.
type word struct {
	Operation *operation
	Stopped   bool
	Report    *report
}

// operation is one call and what came of it.
type operation struct {
	Kind      string // see kinds of operations
	Client    int    // worker
	Round     uint32
	Execution enact.ExecutionID
	Call      int64 // by clock
	Return    int64

	// Of appends.
	Name    string `json:",omitempty"` // part of its events
	Events  int    `json:",omitempty"`
	Expect  enact.Expectation
	Patient bool `json:",omitempty"` // its time-out was left to the store
	Outcome outcome
	Receipt enact.Receipt
	Unknown *enact.UnknownOutcomeError `json:",omitempty"`
	Actual  uint64                     `json:",omitempty"` // of a conflict
	Error   string                     `json:",omitempty"`

	// Of reads: what it returned, and what it had to reach.
	Sequence uint64              `json:",omitempty"`
	Digest   uint64              `json:",omitempty"` // of the names of the events, where they were read
	Floor    uint64              `json:",omitempty"` // what this process had seen, or asked for
	Board    uint64              `json:",omitempty"` // what another process had been told
	Listed   []enact.ExecutionID `json:",omitempty"`
}

// Kinds of operations.
const (
	opAppend = "append"
	opLatest = "latest"
	opLoad   = "load"
	opList   = "list"
)

// digest is of the names of events, in order.
type digest struct{ sum uint64 }

func (d *digest) add(name string) {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%x %s", d.sum, name)
	d.sum = h.Sum64()
}

// client is a process of clients.
type client struct {
	script clientScript
	feeds  *jetstore.Store // of the subscriber
	board  *board

	turn  sync.RWMutex    // held while an operation runs, for writing between two rounds
	store *jetstore.Store // of the workers, anew for each round
	round uint32

	mu    sync.Mutex
	say   *json.Encoder
	known map[enact.ExecutionID]uint64 // highest sequence that this process has seen
	err   error                        // of speaking

	workers sync.WaitGroup
	halt    context.CancelFunc // of the workers
}

func playClient(text []byte, l line) error {
	c := &client{say: l.say, known: make(map[enact.ExecutionID]uint64)}
	if err := json.Unmarshal(text, &c.script); err != nil {
		return err
	}
	var err error
	if c.board, err = openBoard(c.script.Board); err != nil {
		return err
	}
	if c.feeds, err = c.connect(); err != nil {
		return err
	}
	s, err := c.subscribe()
	if err != nil {
		return err
	}
	running, halt := context.WithCancel(context.Background())
	c.halt = halt
	defer halt()
	for {
		var o order
		if err := l.hear.Decode(&o); err != nil {
			return fmt.Errorf("nobody gives orders any more: %w", err)
		}
		switch {
		case o.Round > 0:
			if err := c.begin(running, o.Round); err != nil {
				return err
			}
		case o.Stop:
			c.halt()
			c.workers.Wait()
			if err := end(c.store); err != nil {
				return err
			}
			c.speak(word{Stopped: true})
		case o.Report != nil:
			c.speak(word{Report: s.report(*o.Report)})
			return errors.Join(c.err, end(c.feeds))
		}
	}
}

// connect opens the log, on the servers in the order given: clients begin on different
// ones. What the store's time-out is left to, it bounds as a busy machine needs it.
func (c *client) connect() (*jetstore.Store, error) {
	ctx, cancel := context.WithTimeout(context.Background(), faultPatience)
	defer cancel()
	for {
		s, err := jetstore.Connect(ctx, c.script.URL, jetstore.WithNATS(append(soon(), nats.DontRandomize())...), jetstore.WithKeyWindow(1024),
			jetstore.WithTimeout(faultPatience))
		if err == nil || ctx.Err() != nil {
			return s, err
		}
	}
}

// end shuts a store down once its calls are over.
func end(s *jetstore.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), faultPatience)
	defer cancel()
	return s.Shutdown(ctx)
}

// begin begins a round, with a store that knows nothing yet, on the client's first
// server: else clients would gather on servers that were not killed.
func (c *client) begin(ctx context.Context, round uint32) error {
	s, err := c.connect()
	if err != nil {
		return err
	}
	c.turn.Lock()
	old := c.store
	c.store, c.round, c.known = s, round, make(map[enact.ExecutionID]uint64)
	c.turn.Unlock()
	if old == nil {
		c.start(ctx)
		return nil
	}
	return end(old)
}

func (c *client) speak(w word) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.say.Encode(w); err != nil && c.err == nil {
		c.err = err
	}
}

func (c *client) seen(id enact.ExecutionID, sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[id] = max(c.known[id], sequence)
}

func (c *client) floor(id enact.ExecutionID) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[id]
}

func (c *client) start(ctx context.Context) {
	for n := range clientWorkers {
		w := &worker{client: c, number: c.script.Client*clientWorkers + n, rng: rand.New(rand.NewPCG(c.script.Seed, uint64(n)))}
		c.workers.Go(func() { w.run(ctx) })
	}
}

// worker does one operation after the other.
type worker struct {
	*client
	number     int
	rng        *rand.Rand
	round      uint32
	inRound    int
	names      int
	slot       int
	generation uint32
	execution  enact.ExecutionID
}

func (w *worker) run(stop context.Context) {
	for stop.Err() == nil {
		w.turn.RLock()
		if w.client.round != w.round {
			w.round, w.inRound = w.client.round, 0
		}
		w.slot = w.rng.IntN(boardSlots)
		w.generation = w.round<<8 | uint32(w.inRound/operationsOfOne)
		w.execution = executionOf(w.round, w.slot, w.inRound/operationsOfOne)
		w.inRound++
		w.step(stop)
		w.turn.RUnlock()
		pause := time.NewTimer(time.Duration(w.rng.Int64N(int64(clientPause))))
		select {
		case <-pause.C:
		case <-stop.Done():
			pause.Stop()
		}
	}
}

// executionOf names the execution of a round, a slot and a generation.
func executionOf(round uint32, slot, generation int) enact.ExecutionID {
	return enact.ExecutionID(fmt.Sprintf("round-%d-%d-%d", round, slot, generation))
}

// step does one operation: of twenty eleven append, one of them for tails, eight read
// and one lists.
func (w *worker) step(stop context.Context) {
	switch dice := w.rng.IntN(20); dice {
	case 0, 1, 2:
		w.append(1)
	case 3, 4:
		w.append(1, enact.ExpectSequence(w.client.floor(w.execution)))
	case 5:
		w.append(2, enact.ExpectExists())
	case 6, 7:
		w.append(2+w.rng.IntN(6), w.maybeExpect()...)
	case 8:
		w.append(2+w.rng.IntN(4), append(w.maybeExpect(), enact.WithOneEventPerRecord())...)
	case 9:
		w.keyed(stop)
	case 10:
		w.execution = tailed
		w.append(1)
	case 11, 12, 13, 14:
		w.latest(dice%2 == 0)
	case 15, 16, 17, 18:
		w.load(dice%2 == 0)
	default:
		w.list()
	}
}

func (w *worker) maybeExpect() []enact.AppendOption {
	if w.rng.IntN(2) == 0 {
		return nil
	}
	return []enact.AppendOption{enact.ExpectSequence(w.client.floor(w.execution))}
}

// context is mostly that of a caller who leaves the time-out to the store; else one that
// ends soon.
func (w *worker) context() (context.Context, context.CancelFunc) {
	if w.rng.IntN(3) > 0 {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), 50*time.Millisecond+time.Duration(w.rng.Int64N(int64(time.Second))))
}

// call notes the call of an operation.
func (w *worker) call(kind string) *operation {
	return &operation{Kind: kind, Client: w.number, Round: w.round, Execution: w.execution, Call: clock()}
}

// returned notes its return.
func (w *worker) returned(ctx context.Context, op *operation, err error) {
	op.Return = clock()
	if deadline, ok := ctx.Deadline(); ok {
		if late := time.Since(deadline); late > lateReturn {
			op.Error = fmt.Sprintf("returned %v after the end of its context: %v", late, err)
		}
	}
}

func (w *worker) append(n int, opts ...enact.AppendOption) {
	ctx, cancel := w.context()
	defer cancel()
	w.names++
	w.send(ctx, fmt.Sprintf("%s.%d.%d", w.script.Name, w.number, w.names), n, opts...)
}

// keyed appends under a key, again and again until it is known that it is stored.
func (w *worker) keyed(stop context.Context) {
	w.names++
	name, n := fmt.Sprintf("%s.%d.%d", w.script.Name, w.number, w.names), 1+w.rng.IntN(3)
	for {
		ctx, cancel := w.context()
		op := w.send(ctx, name, n, enact.WithIdempotencyKey(name))
		cancel()
		if op.Outcome == stored || op.Error != "" || stop.Err() != nil {
			return
		}
	}
}

func (w *worker) send(ctx context.Context, name string, n int, opts ...enact.AppendOption) *operation {
	b := enact.Batch{TenantID: tenant, ExecutionID: w.execution, Options: enact.NewAppendOptions(opts...)}
	for i := range n {
		b.Events = append(b.Events, enact.ExecutionPaused{Reason: eventName(name, i)})
	}
	op := w.call(opAppend)
	op.Name, op.Events, op.Expect = name, n, b.Options.Expect
	_, limited := ctx.Deadline()
	op.Patient = !limited
	var err error
	op.Receipt, err = w.store.Commit(ctx, b)
	op.settle(err)
	w.returned(ctx, op, err)
	if op.Outcome == stored {
		w.seen(w.execution, op.Receipt.Last)
		if w.execution != tailed {
			w.board.raise(w.slot, w.generation, op.Receipt.Last)
		}
	}
	w.speak(word{Operation: op})
	return op
}

func eventName(append string, i int) string { return fmt.Sprintf("%s/%d", append, i) }

// settle notes how an append ended.
func (op *operation) settle(err error) {
	switch refused, isConflict := errors.AsType[*enact.ConflictError](err); {
	case err == nil:
		op.Outcome = stored
	case errors.As(err, &op.Unknown):
		op.Outcome = unknown
	case isConflict:
		op.Outcome, op.Actual = conflict, refused.Actual
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		op.Outcome = unsent
	default:
		op.Outcome, op.Error = unsent, err.Error()
	}
}

// read does a read of the execution. asked makes it ask for what another process has
// been told.
func (w *worker) read(kind string, asked bool, f func(ctx context.Context, op *operation, opts ...enact.ReadOption) error) {
	ctx, cancel := w.context()
	defer cancel()
	opts := []enact.ReadOption{enact.InTenant(tenant)}
	floor, told := w.client.floor(w.execution), w.board.highest(w.slot, w.generation)
	if asked {
		floor = max(floor, told)
		opts = append(opts, enact.AtLeast(told))
	}
	op := w.call(kind)
	op.Floor, op.Board = floor, told
	err := f(ctx, op, opts...)
	w.returned(ctx, op, err)
	if err != nil {
		if !errors.Is(err, context.DeadlineExceeded) {
			op.Error = err.Error()
			w.speak(word{Operation: op})
		}
		return // it says nothing
	}
	w.seen(w.execution, op.Sequence)
	w.speak(word{Operation: op})
}

func (w *worker) latest(asked bool) {
	w.read(opLatest, asked, func(ctx context.Context, op *operation, opts ...enact.ReadOption) (err error) {
		op.Sequence, _, err = w.store.LatestSequence(ctx, w.execution, opts...)
		return err
	})
}

func (w *worker) load(asked bool) {
	w.read(opLoad, asked, func(ctx context.Context, op *operation, opts ...enact.ReadOption) error {
		var d digest
		for ev, err := range w.store.Events(ctx, w.execution, 0, opts...) {
			if err != nil {
				return err
			}
			d.add(nameOf(ev))
			op.Sequence++
		}
		op.Digest = d.sum
		return nil
	})
}

// nameOf returns the name of an event.
func nameOf(ev enact.StoredEvent) string {
	p, ok := ev.Event.(enact.ExecutionPaused)
	if !ok {
		return fmt.Sprintf("an event that nobody appended: %v", ev.Event)
	}
	return p.Reason
}

func (w *worker) list() {
	ctx, cancel := w.context()
	defer cancel()
	op := w.call(opList)
	var err error
	op.Listed, err = w.store.ListExecutions(ctx, tenant, listed, 0)
	w.returned(ctx, op, err)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		op.Error = err.Error()
	}
	w.speak(word{Operation: op})
}
