package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// outcome is what an append's caller knows of its end.
type outcome int

const (
	stored   outcome = iota // acknowledged, or settled so
	conflict                // refused: an expectation did not hold
	unsent                  // the context ended before anything was sent
	unknown                 // sent, and not settled yet
	dead                    // settled: never stored
)

// entry is one append in a ledger. Its events carry its name, which no other has.
type entry struct {
	execution enact.ExecutionID
	name      string
	events    []enact.Event
	key       string

	outcome outcome
	receipt enact.Receipt              // of one that is stored
	unknown *enact.UnknownOutcomeError // of one that was unknown, also after it was settled
}

// ledger keeps what was asked of a log and what was answered, and holds the log
// against it. Its appends may run side by side.
type ledger struct {
	mu      sync.Mutex
	prefix  string // keeps the names of several ledgers apart
	names   int
	entries map[enact.ExecutionID][]*entry
}

func newLedger(prefix string) *ledger {
	return &ledger{prefix: prefix, entries: make(map[enact.ExecutionID][]*entry)}
}

// begin enters an append of n events that is about to be sent.
func (l *ledger) begin(execution enact.ExecutionID, n int) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names++
	e := &entry{execution: execution, name: fmt.Sprintf("%s%d", l.prefix, l.names), outcome: unknown}
	for i := range n {
		e.events = append(e.events, enact.ExecutionPaused{Reason: fmt.Sprintf("%s/%d", e.name, i)})
	}
	l.entries[execution] = append(l.entries[execution], e)
	return e
}

// append sends n events and notes how it ended. An error that says nothing about the
// append is returned.
func (l *ledger) append(ctx context.Context, s *jetstore.Store, execution enact.ExecutionID, n int, opts ...enact.AppendOption) (*entry, error) {
	e := l.begin(execution, n)
	return e, l.send(ctx, s, e, opts...)
}

// appendKeyed is append under an idempotency key that no other append has.
func (l *ledger) appendKeyed(ctx context.Context, s *jetstore.Store, execution enact.ExecutionID, n int) (*entry, error) {
	e := l.begin(execution, n)
	e.key = e.name
	return e, l.send(ctx, s, e, enact.WithIdempotencyKey(e.key))
}

func (l *ledger) send(ctx context.Context, s *jetstore.Store, e *entry, opts ...enact.AppendOption) error {
	receipt, err := s.Commit(ctx, enact.Batch{
		TenantID: tenant, ExecutionID: e.execution, Events: e.events, Options: enact.NewAppendOptions(opts...),
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch pending, isUnknown := errors.AsType[*enact.UnknownOutcomeError](err); {
	case err == nil:
		e.outcome, e.receipt = stored, receipt
	case isUnknown:
		e.unknown = pending
	case errors.Is(err, enact.ErrConflict):
		e.outcome = conflict
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.outcome = unsent
	default:
		return fmt.Errorf("append %s to %s: %w", e.name, e.execution, err)
	}
	return nil
}

// unsettled returns the appends whose outcome is unknown.
func (l *ledger) unsettled() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var open []*entry
	for _, entries := range l.entries {
		for _, e := range entries {
			if e.outcome == unknown {
				open = append(open, e)
			}
		}
	}
	return open
}

// settle resolves an append whose outcome is unknown. Anything but a receipt or a
// proof that it was never stored is an error.
func (l *ledger) settle(ctx context.Context, s *jetstore.Store, e *entry) error {
	receipt, err := s.Resolve(ctx, e.unknown)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		e.outcome, e.receipt = stored, receipt
	case errors.Is(err, enact.ErrConflict):
		e.outcome = dead
	default:
		return fmt.Errorf("settle append %s to %s: %w", e.name, e.execution, err)
	}
	return nil
}

// verify reads executions and compares each with what the ledger knows of it: every
// append that is stored stands there once, whole and where its receipt says; nothing
// else does; numbers have no gap. That the chain holds, the read itself checks.
func (l *ledger) verify(ctx context.Context, s *jetstore.Store, executions ...enact.ExecutionID) error {
	var errs []error
	for _, execution := range executions {
		if err := l.verifyOne(ctx, s, execution); err != nil {
			errs = append(errs, fmt.Errorf("execution %s: %w", execution, err))
		}
	}
	return errors.Join(errs...)
}

func (l *ledger) verifyOne(ctx context.Context, s *jetstore.Store, execution enact.ExecutionID) error {
	loaded, err := s.LoadEvents(ctx, execution, enact.InTenant(tenant))
	if err != nil {
		return err
	}
	head, err := s.Head(ctx, execution, enact.InTenant(tenant))
	if err != nil {
		return err
	}
	if n := uint64(len(loaded)); head.Sequence != n {
		return fmt.Errorf("its head is at %d, %d events were read", head.Sequence, n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := make(map[string]*entry)
	for _, e := range l.entries[execution] {
		missing[e.name] = e
	}
	for rest := loaded; len(rest) > 0; {
		e, err := matchFirst(rest, missing)
		if err != nil {
			return err
		}
		delete(missing, e.name)
		rest = rest[len(e.events):]
	}
	for i, ev := range loaded {
		if ev.Sequence != uint64(i)+1 {
			return fmt.Errorf("event %d has sequence %d", i+1, ev.Sequence)
		}
	}
	for _, e := range missing {
		switch e.outcome {
		case stored:
			return fmt.Errorf("append %s was acknowledged as %d to %d and is not there", e.name, e.receipt.First, e.receipt.Last)
		case unknown:
			return fmt.Errorf("append %s is not settled", e.name)
		}
	}
	return nil
}

// matchFirst finds the append, of those not yet seen, whose events loaded begins with.
func matchFirst(loaded []enact.StoredEvent, missing map[string]*entry) (*entry, error) {
	paused, ok := loaded[0].Event.(enact.ExecutionPaused)
	if !ok {
		return nil, fmt.Errorf("event %d is of no append: %v", loaded[0].Sequence, loaded[0].Event)
	}
	name, _, _ := strings.Cut(paused.Reason, "/")
	e, ok := missing[name]
	if !ok {
		return nil, fmt.Errorf("event %d, %q, is a repeat, or of no append", loaded[0].Sequence, paused.Reason)
	}
	if len(loaded) < len(e.events) {
		return nil, fmt.Errorf("append %s has %d events, %d of them are there", name, len(e.events), len(loaded))
	}
	for i, want := range e.events {
		if loaded[i].Event != want {
			return nil, fmt.Errorf("event %d is %v, not %v", loaded[i].Sequence, loaded[i].Event, want)
		}
	}
	first, last := loaded[0], loaded[len(e.events)-1]
	if e.outcome != stored {
		return nil, fmt.Errorf("append %s is there as %d to %d, its caller was told otherwise", name, first.Sequence, last.Sequence)
	}
	if r := e.receipt; r.First != first.Sequence || r.Last != last.Sequence || r.Position != last.Position {
		return nil, fmt.Errorf("append %s is there as %d to %d at %d, its receipt says %+v", name, first.Sequence, last.Sequence, last.Position, r)
	}
	return e, nil
}

// executions returns all executions that something was asked of.
func (l *ledger) executions() []enact.ExecutionID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []enact.ExecutionID
	for id := range l.entries {
		ids = append(ids, id)
	}
	return ids
}

// count returns how many appends ended so.
func (l *ledger) count(o outcome) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, entries := range l.entries {
		for _, e := range entries {
			if e.outcome == o {
				n++
			}
		}
	}
	return n
}

// settledAs returns how many appends that were unknown ended so.
func (l *ledger) settledAs(o outcome) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, entries := range l.entries {
		for _, e := range entries {
			if e.unknown != nil && e.outcome == o {
				n++
			}
		}
	}
	return n
}

// totals is what a test prints of a ledger.
func (l *ledger) totals() string {
	settledStored := l.settledAs(stored)
	return fmt.Sprintf("acknowledged %d, conflicts %d, not sent %d, unknown and then stored %d, unknown and then dead %d",
		l.count(stored)-settledStored, l.count(conflict), l.count(unsent), settledStored, l.settledAs(dead))
}
