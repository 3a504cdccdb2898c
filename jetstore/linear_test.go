package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/jetstore"
)

// Sizes of the concurrent histories: short, so that each is checked in no time.
const (
	linearClients    = 6
	linearOperations = 14 // of each client
	linearAtOnce     = 8  // executions
	linearTimeout    = time.Minute
	lengthOfHistory  = 30 // events, after which clients only read
)

// linearTotal returns how many operations a run without faults has.
func linearTotal() int { return amount(100_000, 20_000, 10_000) }

// operation is what a client asks.
type operation struct {
	kind   string // "append", "latest" or "load"
	id     string // of the event to append
	expect enact.Expectation
}

// answer is what it is told.
type answer struct {
	sequence uint64 // of the appended event; of the last one: latest, load, conflict
	digest   string // load: of the history, see extend
	conflict bool
	unknown  bool // the append may take effect at any time, or never
}

// logState is an execution as the model sees it.
type logState struct {
	length uint64
	digest string
}

// extend returns the digest of a history with one more event.
func extend(digest, id string) string { return digest + " " + id }

// appendOnlyLog is the sequential specification of one execution.
func appendOnlyLog() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return logState{} },
		Step: func(state, input, output any) (bool, any) {
			s, op, out := state.(logState), input.(operation), output.(answer)
			switch op.kind {
			case "latest":
				return out.sequence == s.length, s
			case "load":
				return out.sequence == s.length && out.digest == s.digest, s
			}
			holds := op.expect.Holds(s.length)
			stored := logState{length: s.length + 1, digest: extend(s.digest, op.id)}
			switch {
			case out.conflict:
				return !holds && out.sequence == s.length, s
			case out.unknown && !holds:
				return true, s
			case out.unknown:
				return true, stored
			}
			return holds && out.sequence == stored.length, stored
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
	}
}

// recorder collects the operations on one execution.
type recorder struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// add records an operation that began at a time and ends now, or never if its outcome
// is unknown.
func (r *recorder) add(client int, op operation, began time.Time, out answer) {
	ended := int64(time.Since(r.began))
	if out.unknown {
		ended = math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, porcupine.Operation{
		ClientId: client, Input: op, Call: int64(began.Sub(r.began)), Output: out, Return: ended,
	})
}

// settle tells the appends of unknown outcome what became of them, in the end: the checker
// would try all orders in which they may have taken effect, which are too many where a
// machine is slow and most of a history is unknown.
func (r *recorder) settle(calls []*call) {
	ended := make(map[string]*call)
	for _, c := range calls {
		ended[c.ids[0]] = c
	}
	unknown := func(op porcupine.Operation) bool { return op.Output.(answer).unknown }
	outcomeOf := func(op porcupine.Operation) *call { return ended[op.Input.(operation).id] }
	r.ops = slices.DeleteFunc(r.ops, func(op porcupine.Operation) bool { return unknown(op) && !outcomeOf(op).stored() })
	for i, op := range r.ops {
		if unknown(op) {
			r.ops[i].Output = answer{sequence: outcomeOf(op).receipt.First}
		}
	}
}

// check returns an error, with the history, if no order of the operations explains
// all answers, or if that was not found out in time.
func (r *recorder) check() error {
	result := porcupine.CheckOperationsTimeout(appendOnlyLog(), r.ops, linearTimeout)
	if result == porcupine.Ok {
		return nil
	}
	slices.SortFunc(r.ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var text strings.Builder
	for _, op := range r.ops {
		fmt.Fprintf(&text, "%10d %10d client %d: %+v -> %+v\n", op.Call, op.Return, op.ClientId, op.Input, op.Output)
	}
	return fmt.Errorf("check of linearizability: %s\n%s", result, text.String())
}

// linearRun is concurrent clients of several stores on one execution.
type linearRun struct {
	history  *history
	stores   []*jetstore.Store
	patience func(rng *rand.Rand) (context.Context, context.CancelFunc)
	recorder recorder
	length   atomic.Uint64 // highest sequence that any client knows
}

// clients runs all clients and returns what must not have happened.
func (lr *linearRun) clients(seed uint64, operations int) error {
	lr.recorder.began = time.Now()
	wrong := make([]error, linearClients)
	var running sync.WaitGroup
	for i := range wrong {
		running.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := range operations {
				if err := lr.do(rng, i, fmt.Sprintf("%d.%d", i, n)); err != nil {
					wrong[i] = err
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(wrong...)
}

// do does one operation: of five, two append, two ask for the last sequence, one loads.
func (lr *linearRun) do(rng *rand.Rand, client int, id string) error {
	store := lr.stores[rng.IntN(len(lr.stores))]
	ctx, cancel := lr.patience(rng)
	defer cancel()
	known := lr.length.Load()
	switch dice := rng.IntN(5); {
	case dice < 2 && known < lengthOfHistory:
		op := operation{kind: "append", id: id}
		if rng.IntN(2) == 0 {
			// Mostly what is so, at times what was so just before.
			op.expect = enact.Expectation{Kind: enact.ExactSequence, Sequence: max(known, 1) - uint64(rng.IntN(5)/4)}
		}
		return lr.append(ctx, store, client, op)
	case dice < 4:
		began := time.Now()
		sequence, _, err := store.LatestSequence(ctx, lr.history.id, enact.InTenant(lr.history.tenant))
		if err != nil {
			return readFailed(err)
		}
		lr.recorder.add(client, operation{kind: "latest"}, began, answer{sequence: sequence})
		raise(&lr.length, sequence)
		return nil
	}
	return lr.load(ctx, store, client)
}

func (lr *linearRun) append(ctx context.Context, store *jetstore.Store, client int, op operation) error {
	began := time.Now()
	c, err := lr.history.append(ctx, store, []string{op.id}, enact.AppendOptions{Expect: op.expect})
	if err != nil {
		return err
	}
	out := answer{sequence: c.receipt.First}
	switch c.outcome {
	case notSent:
		return nil // nothing happened
	case conflict:
		refused, _ := errors.AsType[*enact.ConflictError](c.err)
		out = answer{conflict: true, sequence: refused.Actual}
	case unknownDead: // as long as it is not resolved
		out = answer{unknown: true}
	}
	lr.recorder.add(client, op, began, out)
	raise(&lr.length, out.sequence)
	return nil
}

func (lr *linearRun) load(ctx context.Context, store *jetstore.Store, client int) error {
	began := time.Now()
	events, err := store.LoadEvents(ctx, lr.history.id, enact.InTenant(lr.history.tenant))
	if err != nil {
		return readFailed(err)
	}
	out := answer{sequence: uint64(len(events))}
	for _, e := range events {
		out.digest = extend(out.digest, idOf(e.Event))
	}
	lr.recorder.add(client, operation{kind: "load"}, began, out)
	raise(&lr.length, out.sequence)
	return nil
}

// readFailed returns the error of a read that may not fail so.
func readFailed(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil // it says nothing
	}
	return err
}

// eachExecution runs f for n executions, some at a time, until one fails.
func eachExecution(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range linearAtOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !t.Failed(); i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					t.Errorf("execution %d: %v", i, err)
				}
			}
		})
	}
	workers.Wait()
}

// Appends and reads of several stores are linearizable: each seems to happen at one
// moment between its call and its return.
func TestLinearizable(t *testing.T) {
	fs := startFaultServer(t)
	stores := []*jetstore.Store{fs.resolver, fs.observer}
	executions := linearTotal()/(linearClients*linearOperations) + 1
	var operations, unknown atomic.Int64
	eachExecution(t, executions, func(i int) error {
		lr := &linearRun{
			history: &history{tenant: "linear", id: enact.ExecutionID(fmt.Sprintf("linear-%d", i))}, stores: stores,
			patience: func(*rand.Rand) (context.Context, context.CancelFunc) {
				return context.WithTimeout(context.Background(), mendTime)
			},
		}
		if err := lr.clients(uint64(i), linearOperations); err != nil {
			return err
		}
		operations.Add(int64(len(lr.recorder.ops)))
		for _, op := range lr.recorder.ops {
			if op.Output.(answer).unknown {
				unknown.Add(1)
			}
		}
		return lr.recorder.check()
	})
	t.Logf("%d operations on %d executions", operations.Load(), executions)
	require.Zero(t, unknown.Load(), "nothing was broken")
	require.GreaterOrEqual(t, operations.Load(), int64(linearTotal()))
}

// They are so, too, while requests and answers are lost, late and doubled: an append
// whose outcome is unknown takes effect at one moment after its call, or never.
func TestLinearizableUnderFaults(t *testing.T) {
	const (
		executions = 120
		operations = 10 // of each client
	)
	fs := startFaultServer(t)
	var total, unknown atomic.Int64
	eachExecution(t, executions, func(i int) (err error) {
		lr := &linearRun{
			history:  &history{tenant: "faults", id: enact.ExecutionID(fmt.Sprintf("faults-%d", i))},
			patience: shortContext,
		}
		rng := rand.New(rand.NewPCG(*faultsSeed, uint64(i)))
		for n := range 2 {
			l, err := fs.connect()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, l.close()) }()
			l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Seed: *faultsSeed<<32 + uint64(2*i+n), Rates: drawRates(rng)}))
			lr.stores = append(lr.stores, l.store)
		}
		if err := lr.clients(uint64(i), operations); err != nil {
			return err
		}
		for _, c := range lr.history.calls {
			if err := c.resolve(fs.resolver, false); err != nil {
				return err
			}
		}
		// What was resolved shows in a last read.
		ctx, cancel := context.WithTimeout(context.Background(), mendTime)
		defer cancel()
		if err := lr.load(ctx, fs.observer, linearClients); err != nil {
			return err
		}
		total.Add(int64(len(lr.recorder.ops)))
		for _, op := range lr.recorder.ops {
			if op.Output.(answer).unknown {
				unknown.Add(1)
			}
		}
		lr.recorder.settle(lr.history.calls)
		return errors.Join(lr.history.check(fs.observer), lr.recorder.check())
	})
	t.Logf("%d operations on %d executions, %d appends of unknown outcome", total.Load(), executions, unknown.Load())
	require.NotZero(t, unknown.Load(), "the faults hit no append")
}

// The checker finds what would be wrong.
func TestBrokenHistoriesAreNotLinearizable(t *testing.T) {
	appendOf := func(id string) operation { return operation{kind: "append", id: id} }
	op := func(call, ret int64, in operation, out answer) porcupine.Operation {
		return porcupine.Operation{Input: in, Call: call, Output: out, Return: ret}
	}
	first := op(0, 10, appendOf("a"), answer{sequence: 1})
	for name, tc := range map[string]struct {
		ops  []porcupine.Operation
		want porcupine.CheckResult
	}{
		"fresh read":      {[]porcupine.Operation{first, op(11, 12, operation{kind: "latest"}, answer{sequence: 1})}, porcupine.Ok},
		"stale read":      {[]porcupine.Operation{first, op(11, 12, operation{kind: "latest"}, answer{sequence: 0})}, porcupine.Illegal},
		"concurrent read": {[]porcupine.Operation{first, op(5, 12, operation{kind: "latest"}, answer{sequence: 0})}, porcupine.Ok},
		"other event": {[]porcupine.Operation{
			first, op(11, 12, operation{kind: "load"}, answer{sequence: 1, digest: extend("", "b")}),
		}, porcupine.Illegal},
		"read goes back": {[]porcupine.Operation{
			op(0, 100, appendOf("a"), answer{sequence: 1}),
			op(10, 20, operation{kind: "latest"}, answer{sequence: 1}), op(30, 40, operation{kind: "latest"}, answer{}),
		}, porcupine.Illegal},
		"number given twice": {[]porcupine.Operation{first, op(5, 15, appendOf("b"), answer{sequence: 1})}, porcupine.Illegal},
		"conflict that is none": {[]porcupine.Operation{first, op(
			11, 12, operation{kind: "append", id: "b", expect: enact.Expectation{Kind: enact.ExactSequence, Sequence: 1}},
			answer{conflict: true, sequence: 1},
		)}, porcupine.Illegal},
		"unknown, never stored": {[]porcupine.Operation{
			first, op(11, math.MaxInt64, appendOf("b"), answer{unknown: true}), op(20, 30, operation{kind: "latest"}, answer{sequence: 1}),
		}, porcupine.Ok},
		"unknown, stored late": {[]porcupine.Operation{
			first, op(11, math.MaxInt64, appendOf("b"), answer{unknown: true}),
			op(20, 30, operation{kind: "latest"}, answer{sequence: 1}), op(40, 50, operation{kind: "latest"}, answer{sequence: 2}),
		}, porcupine.Ok},
		"unknown, stored and gone": {[]porcupine.Operation{
			first, op(11, math.MaxInt64, appendOf("b"), answer{unknown: true}),
			op(20, 30, operation{kind: "latest"}, answer{sequence: 2}), op(40, 50, operation{kind: "latest"}, answer{sequence: 1}),
		}, porcupine.Illegal},
	} {
		require.Equal(t, tc.want, porcupine.CheckOperationsTimeout(appendOnlyLog(), tc.ops, linearTimeout), name)
		r := recorder{ops: tc.ops}
		require.Equal(t, tc.want == porcupine.Ok, r.check() == nil, name)
	}
}
