package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Bounds of what an importer holds back.
const (
	groupEvents  = 500      // events of one append
	groupBytes   = 64 << 10 // of their lines; one line alone may have more
	pendingBytes = 16 << 20 // of all lines held back

	// groupSpan bounds how far the times in one append lie from the first: a record
	// holds them as distances, which reach 292 years.
	groupSpan = 100 * 365 * 24 * time.Hour
)

// importer stores the events of lines. Consecutive lines of an execution are held
// back and stored, or compared with what is stored, as one group.
type importer struct {
	store  *jetstore.Store
	dryRun bool

	perTenant    bool // each tenant has streams, and ids of its own
	makesTenants bool // the streams of new tenants are made

	executions map[executionKey]*importing
	unborn     []*importing                         // executions new to the log, in the order of their first lines
	tenants    map[enact.ExecutionID]enact.TenantID // of the executions that are new to the log
	pending    int                                  // bytes of all groups
	bound      int                                  // of pending
	lines      int                                  // taken

	stored, alreadyThere int
}

type executionKey struct {
	tenant enact.TenantID
	id     enact.ExecutionID
}

// importing is an execution that is being imported.
type importing struct {
	key    executionKey
	inLog  uint64 // sequence of its last event in the log before the import
	stored uint64 // sequence of the last event that is stored, or would be but for --dry-run
	group  group
}

// latest is the sequence that the execution will have reached once its group is stored.
func (x *importing) latest() uint64 {
	if x.group.known {
		return x.stored
	}
	return x.stored + uint64(len(x.group.events))
}

// group is a run of consecutive lines of one execution with the same metadata and trace context.
type group struct {
	known  bool // the log has their sequences: they are compared, not stored
	events []enact.StoredEvent
	places []lineAt
	bytes  int
}

func newImporter(store *jetstore.Store, dryRun bool) *importer {
	return &importer{
		store: store, dryRun: dryRun, bound: pendingBytes,
		executions: make(map[executionKey]*importing), tenants: make(map[enact.ExecutionID]enact.TenantID),
	}
}

func (imp *importer) report() importReport {
	return importReport{Stored: imp.stored, AlreadyThere: imp.alreadyThere, Executions: len(imp.executions), DryRun: imp.dryRun}
}

// line takes one line. An error of an earlier line, found when its group is dealt
// with, comes back here too; each error of the data names its line.
func (imp *importer) line(ctx context.Context, at lineAt, text []byte) error {
	imp.lines++
	at.order = imp.lines
	var ev enact.StoredEvent
	if err := ev.UnmarshalJSON(text); err != nil {
		return &lineError{at, err}
	}
	// Whatever the log would refuse is refused here, with the line's number.
	if err := batchOf([]enact.StoredEvent{ev}, enact.Expectation{}).Validate(); err != nil {
		return &lineError{at, err}
	}
	x, err := imp.execution(ctx, at, ev)
	if err != nil {
		return err
	}
	known := ev.Sequence <= x.latest()
	if !known && ev.Sequence != x.latest()+1 || ev.Sequence == 0 {
		return &lineError{at, &gapError{Expected: x.latest() + 1, Found: ev.Sequence}}
	}
	if !x.group.takes(&ev, known, len(text)) {
		if err := imp.flush(ctx, x); err != nil {
			return err
		}
	}
	x.group.known = known
	x.group.events = append(x.group.events, ev)
	x.group.places = append(x.group.places, at)
	x.group.bytes += len(text)
	if imp.pending += len(text); imp.pending > imp.bound {
		return imp.flushAll(ctx)
	}
	return nil
}

// takes reports whether the next event belongs into the group.
func (g *group) takes(ev *enact.StoredEvent, known bool, size int) bool {
	n := len(g.events)
	if n == 0 {
		return true
	}
	first, last := &g.events[0], &g.events[n-1]
	return g.known == known && ev.Sequence == last.Sequence+1 && maps.Equal(ev.Metadata, first.Metadata) && ev.Trace == first.Trace &&
		n < groupEvents && g.bytes+size <= groupBytes && ev.Timestamp.Sub(first.Timestamp).Abs() < groupSpan
}

// gapError says that a line does not continue its execution.
type gapError struct {
	Expected uint64
	Found    uint64
}

func (e *gapError) Error() string {
	if e.Found == 0 {
		return "sequence 0: sequences begin with 1"
	}
	return fmt.Sprintf("gap: sequence %d is expected, the line has %d", e.Expected, e.Found)
}

// execution returns the state of an event's execution, which the log is asked for
// the first time.
func (imp *importer) execution(ctx context.Context, at lineAt, ev enact.StoredEvent) (*importing, error) {
	key := executionKey{ev.TenantID, ev.ExecutionID}
	if x := imp.executions[key]; x != nil {
		return x, nil
	}
	head, err := imp.head(ctx, key)
	if err != nil {
		return nil, err
	}
	if head.Sequence == 0 {
		// The log would refuse it too, but only with a whole group, and not in a dry run.
		if err := imp.claim(ctx, key); err != nil {
			return nil, &lineError{at, err}
		}
	}
	x := &importing{key: key, inLog: head.Sequence, stored: head.Sequence}
	imp.executions[key] = x
	if head.Sequence == 0 {
		imp.unborn = append(imp.unborn, x)
	}
	return x, nil
}

// head returns the end of what the log has of an execution.
func (imp *importer) head(ctx context.Context, key executionKey) (enact.Head, error) {
	head, err := imp.store.Head(ctx, key.id, enact.InTenant(key.tenant))
	switch {
	case !imp.makesTenants || !errors.Is(err, enact.ErrStreamNotFound):
		return head, err
	case imp.dryRun:
		return enact.Head{}, nil
	}
	if err := imp.store.EnsureTenant(ctx, key.tenant); err != nil {
		return head, err
	}
	return imp.store.Head(ctx, key.id, enact.InTenant(key.tenant))
}

// claim refuses an execution id that another tenant has.
func (imp *importer) claim(ctx context.Context, key executionKey) error {
	if imp.perTenant {
		return nil
	}
	owner := imp.tenants[key.id]
	if owner == "" {
		head, err := imp.store.Head(ctx, key.id)
		if err != nil {
			return err
		}
		owner = cmp.Or(head.TenantID, key.tenant)
		imp.tenants[key.id] = owner
	}
	if owner != key.tenant {
		return fmt.Errorf("%w: %q is an execution of tenant %q", enact.ErrTenantMismatch, key.id, owner)
	}
	return nil
}

// flushAll deals with all groups, in the order of their first lines. A group that is
// wrong does not keep the others from being stored; the error is that of the
// earliest line.
func (imp *importer) flushAll(ctx context.Context) error {
	var waiting []*importing
	for _, x := range imp.executions {
		if len(x.group.events) > 0 {
			waiting = append(waiting, x)
		}
	}
	slices.SortFunc(waiting, func(a, b *importing) int {
		return cmp.Compare(a.group.places[0].order, b.group.places[0].order)
	})
	var first error
	for _, x := range waiting {
		if err := imp.flush(ctx, x); err != nil {
			first = earliest(first, err)
		}
	}
	return first
}

// flush deals with the execution's group. Before an execution is created, those whose
// lines began earlier are: the log lists executions in the order of their creation.
func (imp *importer) flush(ctx context.Context, x *importing) error {
	for x.stored == 0 && len(imp.unborn) > 0 {
		next := imp.unborn[0]
		imp.unborn = imp.unborn[1:]
		if err := imp.settle(ctx, next); err != nil || next == x {
			return err
		}
	}
	return imp.settle(ctx, x)
}

// settle stores the execution's group, or compares it with what is stored.
func (imp *importer) settle(ctx context.Context, x *importing) error {
	g := x.group
	if len(g.events) == 0 {
		return nil
	}
	// Whatever comes of it, the group is not tried again.
	x.group = group{}
	imp.pending -= g.bytes
	if g.known {
		if err := imp.compare(ctx, x, &g); err != nil {
			return err
		}
		imp.alreadyThere += len(g.events)
		return nil
	}
	if !imp.dryRun {
		expect := enact.Expectation{Kind: enact.ExactSequence, Sequence: x.stored}
		if _, err := imp.store.Commit(ctx, batchOf(g.events, expect)); err != nil {
			return &lineError{g.places[0], err}
		}
	}
	x.stored += uint64(len(g.events))
	imp.stored += len(g.events)
	return nil
}

// batchOf makes the append of events of one execution with the same metadata and trace context.
func batchOf(events []enact.StoredEvent, expect enact.Expectation) enact.Batch {
	b := enact.Batch{
		TenantID: events[0].TenantID, ExecutionID: events[0].ExecutionID,
		Options: enact.AppendOptions{Expect: expect, Metadata: events[0].Metadata, Trace: events[0].Trace},
	}
	for _, ev := range events {
		b.Events = append(b.Events, ev.Event)
		b.Timestamps = append(b.Timestamps, ev.Timestamp)
	}
	return b
}
