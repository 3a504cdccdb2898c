//go:build faults

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
)

const (
	// settlers is how many appends are settled, and executions checked, at a time.
	settlers = 8
	// historyTimeout bounds the check of one history; one that is not decided fails.
	historyTimeout = 10 * time.Minute
)

// verdict holds what the clients of a campaign were told against what the log holds once
// all servers are well again.
type verdict struct {
	*campaign
	total *totals
	by    map[enact.ExecutionID]*history

	mu    sync.Mutex
	wrong []error
}

// history is an execution: what was asked of it and what it holds.
type history struct {
	id      enact.ExecutionID
	episode *episode     // in which it was written; nil: in all
	appends []*operation // in the order of their calls
	reads   []*operation
	strict  bool // no leader was deposed without knowing it meanwhile

	events  []enact.StoredEvent
	names   []string // of the events
	digests []uint64 // of the first n events
}

func newVerdict(c *campaign, total *totals) *verdict {
	v := &verdict{campaign: c, total: total, by: make(map[enact.ExecutionID]*history)}
	slices.SortStableFunc(c.ops, func(a, b *operation) int { return int(a.Call - b.Call) })
	for _, op := range c.ops {
		if op.Kind == opList {
			continue
		}
		h := v.by[op.Execution]
		if h == nil {
			h = &history{id: op.Execution}
			if op.Execution != tailed {
				h.episode = c.episodes[op.Round]
			}
			v.by[op.Execution] = h
		}
		if op.Kind == opAppend {
			h.appends = append(h.appends, op)
		} else {
			h.reads = append(h.reads, op)
		}
	}
	for _, h := range v.by {
		from, to := int64(math.MaxInt64), int64(0)
		for _, op := range slices.Concat(h.appends, h.reads) {
			from, to = min(from, op.Call), max(to, op.Return)
		}
		h.strict = h.episode != nil && !v.deposed(from, to, ofAny)
	}
	return v
}

// deposed reports whether a leader may have been deposed without knowing it at some time
// between two: until the cluster was whole again.
func (v *verdict) deposed(from, to int64, least deposition) bool {
	end := int64(math.MaxInt64)
	for _, e := range slices.Backward(v.episodes[1:]) {
		if e.fault.deposes >= least && e.began <= to && from <= end {
			return true
		}
		end = e.told
	}
	return false
}

// fail notes something that must not be. The first ones are enough to see what it is.
func (v *verdict) fail(err error) {
	if err == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.wrong) < 20 {
		v.wrong = append(v.wrong, err)
	}
}

func (v *verdict) reach() {
	v.count()
	v.checkKills()
	v.settle()
	v.each(v.load)
	require.NoError(v.t, errors.Join(v.wrong...))
	v.each(v.check)
	v.fail(v.checkLists())
	v.fail(v.checkSubscribers())
	v.fail(v.checkLog())
	require.NoError(v.t, errors.Join(v.wrong...))
}

// each calls f for each execution, several at a time.
func (v *verdict) each(f func(*history)) {
	work := make(chan *history)
	var all sync.WaitGroup
	for range settlers {
		all.Go(func() {
			for h := range work {
				f(h)
			}
		})
	}
	for _, h := range v.by {
		work <- h
	}
	close(work)
	all.Wait()
}

// count enters the rounds into the totals.
func (v *verdict) count() {
	for n, e := range v.episodes {
		if e != nil {
			v.total.round(e, v.unavailable(e))
		}
		for _, op := range v.ops {
			if op.Round == uint32(n) && e != nil {
				v.total.operation(e.fault, op)
			}
		}
	}
}

// unavailable returns the longest time of a round in which no append was acknowledged.
func (v *verdict) unavailable(e *episode) time.Duration {
	var acks []int64
	before := e.began // the last acknowledgement before the fault
	for _, op := range v.ops {
		if op.Kind != opAppend || op.Outcome != stored {
			continue
		}
		switch {
		case op.Return <= e.began && (before == e.began || op.Return > before):
			before = op.Return
		case op.Return > e.began && op.Return <= e.ended:
			acks = append(acks, op.Return)
		}
	}
	slices.Sort(acks)
	longest := int64(0)
	for _, at := range acks {
		longest, before = max(longest, at-before), at
	}
	return time.Duration(longest)
}

// checkKills: a leader's death costs appends time, and none an error whose time-out was
// left to the store.
func (v *verdict) checkKills() {
	for n, e := range v.episodes {
		if e == nil || e.fault.name != leaderKilled {
			continue
		}
		longest := time.Duration(0)
		for _, op := range v.ops {
			if op.Kind != opAppend || op.Round != uint32(n) || !op.Patient {
				continue
			}
			if op.Outcome != stored && op.Outcome != conflict {
				v.fail(fmt.Errorf("execution %s: an append ended without an answer when the leader was killed%s", op.Execution, v.by[op.Execution].appendsOf(eventName(op.Name, 0))))
			}
			longest = max(longest, time.Duration(op.Return-op.Call))
		}
		v.total.killed(longest)
	}
}

// settle settles the appends of unknown outcome.
func (v *verdict) settle() {
	pending := make(chan *operation)
	var all sync.WaitGroup
	for range settlers {
		all.Go(func() {
			for op := range pending {
				ctx, cancel := context.WithTimeout(v.t.Context(), faultPatience)
				receipt, err := v.store.Resolve(ctx, op.Unknown)
				cancel()
				switch {
				case err == nil:
					op.Outcome, op.Receipt = stored, receipt
					v.total.settled(stored)
				case errors.Is(err, enact.ErrConflict):
					op.Outcome = dead
					v.total.settled(dead)
				default:
					v.fail(fmt.Errorf("append %s to %s is not settled: %w", op.Name, op.Execution, err))
				}
			}
		})
	}
	for _, op := range v.ops {
		if op.Outcome == unknown && op.Kind == opAppend {
			pending <- op
		}
	}
	close(pending)
	all.Wait()
}

// load reads an execution: numbers without gaps and an unbroken chain are the read's
// business, and looked at once more here.
func (v *verdict) load(h *history) {
	ctx, cancel := context.WithTimeout(v.t.Context(), faultPatience)
	defer cancel()
	var err error
	if h.events, err = v.store.LoadEvents(ctx, h.id, enact.InTenant(tenant)); err != nil {
		v.fail(fmt.Errorf("execution %s: %w", h.id, err))
		return
	}
	head, err := v.store.Head(ctx, h.id, enact.InTenant(tenant))
	if err != nil || head.Sequence != uint64(len(h.events)) {
		v.fail(fmt.Errorf("execution %s: %d events, its head is %+v: %w", h.id, len(h.events), head, err))
	}
	var d digest
	h.digests = []uint64{0}
	for i, ev := range h.events {
		if ev.Sequence != uint64(i)+1 {
			v.fail(fmt.Errorf("execution %s: event %d has sequence %d", h.id, i+1, ev.Sequence))
		}
		h.names = append(h.names, nameOf(ev))
		d.add(nameOf(ev))
		h.digests = append(h.digests, d.sum)
	}
}

// checkLog checks the log as a whole, on each of its replicas.
func (v *verdict) checkLog() error {
	ctx, cancel := context.WithTimeout(v.t.Context(), faultPatience)
	defer cancel()
	found, err := fsck.Check(ctx, v.store, fsck.Options{EachReplica: true})
	if err != nil || !found.Clean() {
		return fmt.Errorf("fsck: %+v: %w", found, cmp.Or(err, errors.New("not clean")))
	}
	events := 0
	for _, h := range v.by {
		events += len(h.events)
	}
	if found.Events != uint64(events) || len(found.Streams) != 1 || len(found.Streams[0].Replicas) != len(v.servers) {
		return fmt.Errorf("fsck: %d events were read, it counts %d: %+v", events, found.Events, found.Streams)
	}
	return nil
}

func (h *history) fault() *fault {
	if h.episode == nil {
		return nil
	}
	return h.episode.fault
}

// check compares the log with what each caller was told.
func (v *verdict) check(h *history) {
	owners := make([]*operation, len(h.names))
	places := make(map[string]int) // of names
	for i, name := range h.names {
		places[name] = i
	}
	for _, op := range h.appends {
		if op.Outcome != stored {
			continue
		}
		for i := range op.Events {
			name := eventName(op.Name, i)
			at := int(op.Receipt.First) - 1 + i
			switch place, ok := places[name]; {
			case !ok:
				v.total.lost(op, v.episodes)
				v.fail(fmt.Errorf("execution %s: event %s was acknowledged as %d and is not there", h.id, name, at+1))
			case at >= len(h.names) || h.names[at] != name:
				v.fail(fmt.Errorf("execution %s: event %s was acknowledged as %d and is there as %d", h.id, name, at+1, place+1))
			default:
				owners[at] = op
			}
		}
		if last := int(op.Receipt.Last); last <= len(h.events) && h.events[last-1].Position != op.Receipt.Position {
			v.fail(fmt.Errorf("execution %s: append %s was acknowledged at position %d and is at %d", h.id, op.Name, op.Receipt.Position, h.events[last-1].Position))
		}
	}
	for i, owner := range owners {
		switch {
		case places[h.names[i]] != i:
			v.total.duplicated(h.appends, h.names[i], v.episodes)
			v.fail(fmt.Errorf("execution %s: event %s is there as %d and as %d%s", h.id, h.names[i], i+1, places[h.names[i]]+1, h.appendsOf(h.names[i])))
		case owner == nil:
			v.fail(fmt.Errorf("execution %s: event %s is there as %d, and no append of it was acknowledged%s", h.id, h.names[i], i+1, h.appendsOf(h.names[i])))
		}
	}
	for _, op := range h.reads {
		v.checkRead(h, op)
	}
	result := porcupine.CheckOperationsTimeout(faultModel(h.strict), h.operations(), historyTimeout)
	if result != porcupine.Ok {
		v.fail(fmt.Errorf("execution %s, in %s: check of linearizability: %s\n%s", h.id, describe(h.fault()), result, h.text()))
	}
}

func describe(f *fault) string {
	if f == nil {
		return "all rounds"
	}
	return f.name
}

// appendsOf says which appends carried an event, and how they ended.
func (h *history) appendsOf(name string) string {
	text := ""
	for _, op := range h.appends {
		for i := range op.Events {
			if eventName(op.Name, i) == name {
				text += fmt.Sprintf("\n  append of client %d, outcome %d, error %q, unknown %v: %+v", op.Client, op.Outcome, op.Error, op.Unknown, *op)
			}
		}
	}
	return text
}

// checkRead holds a read against what it had to reach, and its events against the log's,
// of which they must be the first.
func (v *verdict) checkRead(h *history, op *operation) {
	n := op.Sequence
	switch {
	case n > uint64(len(h.events)):
		v.fail(fmt.Errorf("execution %s has %d events, a read had %d", h.id, len(h.events), n))
		return
	case op.Kind == opLoad && op.Digest != h.digests[n]:
		v.fail(fmt.Errorf("execution %s: a read of %d events had others than the log", h.id, n))
	case n < op.Floor:
		v.fail(fmt.Errorf("execution %s: a read had %d events, its process had seen, or asked for, %d: %+v", h.id, n, op.Floor, *op))
	}
	v.total.read(op)
	if n >= op.Board {
		return
	}
	// Another process had been told of more, and nobody asked for it.
	if h.strict {
		v.fail(fmt.Errorf("execution %s, in %s: a read had %d events, %d had been acknowledged: %+v", h.id, describe(h.fault()), n, op.Board, *op))
		return
	}
	for _, missed := range h.appends {
		if missed.Outcome == stored && missed.Unknown == nil && missed.Receipt.First <= n+1 && n+1 <= missed.Receipt.Last && missed.Return < op.Call {
			v.total.staleRead(time.Duration(op.Return - missed.Return))
		}
	}
}

// operations returns the history as the model has it. Appends that were settled may have
// had their effect at any time after their call.
func (h *history) operations() []porcupine.Operation {
	var all []porcupine.Operation
	for _, op := range slices.Concat(h.appends, h.reads) {
		ended := op.Return
		if op.Kind == opAppend {
			if op.Outcome != stored && op.Outcome != conflict {
				continue // it had no effect and never will
			}
			if op.Unknown != nil {
				ended = math.MaxInt64
			}
		}
		all = append(all, porcupine.Operation{ClientId: op.Client, Input: op, Output: op, Call: op.Call, Return: ended})
	}
	return all
}

func (h *history) text() string {
	text := ""
	for _, op := range slices.Concat(h.appends, h.reads) {
		text += fmt.Sprintf("%d %d client %d %s %s %+v: outcome %d %d-%d actual %d sequence %d\n", op.Call, op.Return, op.Client, op.Kind, op.Name, op.Expect,
			op.Outcome, op.Receipt.First, op.Receipt.Last, op.Actual, op.Sequence)
	}
	return text
}

// faultModel is the sequential specification of one execution, by its length: that the
// events are those of the appends is checked apart. Where a leader may have been deposed
// without knowing it, reads may be older than what others were told, and so may what a
// conflict says; both are of a time that was.
func faultModel(strict bool) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return uint64(0) },
		Step: func(state, input, _ any) (bool, any) {
			length, op := state.(uint64), input.(*operation)
			switch {
			case op.Kind != opAppend:
				return op.Sequence == length || !strict && op.Sequence < length && op.Sequence >= op.Floor, length
			case op.Outcome == conflict:
				return !op.Expect.Holds(op.Actual) && (op.Actual == length || !strict && op.Actual < length), length
			case op.Receipt.Duplicate:
				return op.Receipt.Last <= length, length
			}
			return op.Receipt.First == length+1 && op.Expect.Holds(length), op.Receipt.Last
		},
		DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", *input.(*operation)) },
	}
}
