//go:build faults

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
)

// creations returns the appends that created the executions that have events.
func (v *verdict) creations() map[enact.ExecutionID]*operation {
	made := make(map[enact.ExecutionID]*operation)
	for id, h := range v.by {
		for _, op := range h.appends {
			if op.Outcome == stored && op.Receipt.First == 1 && !op.Receipt.Duplicate {
				made[id] = op
			}
		}
	}
	return made
}

// checkLists holds the lists that clients were given, and one of now, against the
// executions.
func (v *verdict) checkLists() error {
	made := v.creations()
	var wrong []error
	for _, op := range v.ops {
		if op.Kind == opList {
			v.total.read(op)
			if err := v.checkList(op, made); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), faultPatience)
	defer cancel()
	all, err := v.store.ListExecutions(ctx, tenant, math.MaxInt, 0)
	if err != nil {
		return errors.Join(append(wrong, err)...)
	}
	for _, id := range all {
		if made[id] == nil {
			wrong = append(wrong, fmt.Errorf("execution %s is listed, or listed twice, and was not created", id))
		}
		delete(made, id)
	}
	for id := range made {
		wrong = append(wrong, fmt.Errorf("execution %s has events and is not listed", id))
	}
	return errors.Join(wrong[:min(len(wrong), 10)]...)
}

// checkList: what was listed was created, each once; and every execution whose creation
// had been acknowledged is there, unless all the places were taken by newer ones.
func (v *verdict) checkList(op *operation, made map[enact.ExecutionID]*operation) error {
	there := make(map[enact.ExecutionID]bool)
	oldest := int64(math.MaxInt64) // creation, by its acknowledgement
	for _, id := range op.Listed {
		creation := made[id]
		if creation == nil || there[id] || creation.Call > op.Return {
			return fmt.Errorf("execution %s is in a list, twice or too early: %+v", id, *op)
		}
		there[id] = true
		if creation.Unknown == nil {
			oldest = min(oldest, creation.Return)
		}
	}
	strict := !v.deposed(op.Call, op.Return, ofIndex)
	for id, creation := range made {
		if there[id] || creation.Unknown != nil || creation.Return >= op.Call {
			continue
		}
		if same := creation.Client/clientWorkers == op.Client/clientWorkers; !strict && !same {
			continue // a leader that was deposed may not know of it
		}
		if len(op.Listed) < listed || oldest < creation.Call {
			return fmt.Errorf("execution %s, created by %+v, is not in the list %+v", id, *creation, *op)
		}
	}
	return nil
}

// checkSubscribers asks the clients what their subscribers have seen.
func (v *verdict) checkSubscribers() error {
	truth := make(map[enact.ExecutionID][]enact.StoredEvent)
	all := 0
	for id, h := range v.by {
		if len(h.events) > 0 {
			truth[id] = h.events
			all += len(h.events)
		}
	}
	for _, kind := range []string{subOrdered, subParallel} {
		var info consumer.Info
		var err error
		v.await(func() bool {
			ctx, cancel := context.WithTimeout(v.t.Context(), patience)
			defer cancel()
			info, err = consumer.Get(ctx, v.store, groupName(kind))
			return err == nil && info.Lag() == 0
		}, func() string { return fmt.Sprintf("the %s does not catch up: %+v, %v", kind, info, err) })
	}
	for i, kind := range clientSubscribers {
		want := map[string]int{subFollow: all, subOrdered1: all, subTail: len(truth[tailed])}[kind]
		v.clients[i].say(v.t, order{Report: &want})
	}
	v.await(func() bool {
		v.campaign.mu.Lock()
		defer v.campaign.mu.Unlock()
		return len(v.reports) == len(v.clients)
	}, func() string { return "clients do not report" })
	var wrong []error
	groups := make(map[string][]sight)
	for _, r := range v.reports {
		if r.Error != "" {
			wrong = append(wrong, fmt.Errorf("%s: %s", r.Subscriber, r.Error))
		}
		switch r.Subscriber {
		case subOrdered, subParallel:
			groups[r.Subscriber] = append(groups[r.Subscriber], r.Seen...)
		default:
			wrong = append(wrong, sawOnce(r, truth))
		}
	}
	for kind, seen := range groups {
		slices.SortStableFunc(seen, func(a, b sight) int { return cmp.Compare(a.At, b.At) })
		wrong = append(wrong, v.sawAtLeastOnce(kind, seen, truth))
	}
	for _, kind := range []string{subOrdered, subParallel} {
		ctx, cancel := context.WithTimeout(v.t.Context(), patience)
		wrong = append(wrong, consumer.Remove(ctx, v.store, groupName(kind)))
		cancel()
	}
	return errors.Join(wrong...)
}

// is reports whether an event is what was seen.
func (s sight) is(ev enact.StoredEvent) bool {
	return s.Sequence == ev.Sequence && s.Position == ev.Position && s.Name == nameOf(ev)
}

// sawOnce: each event once, those of an execution in order; one of [subOrdered1] all in
// the order of the log.
func sawOnce(r *report, truth map[enact.ExecutionID][]enact.StoredEvent) error {
	next, want := make(map[enact.ExecutionID]int), 0
	for id, events := range truth {
		if r.Subscriber != subTail || id == tailed {
			want += len(events)
		}
	}
	for i, s := range r.Seen {
		n := next[s.Execution]
		next[s.Execution]++
		switch {
		case n >= len(truth[s.Execution]) || !s.is(truth[s.Execution][n]):
			return fmt.Errorf("%s: event %d of all, %+v, is not event %d of its execution", r.Subscriber, i, s, n+1)
		case r.Subscriber == subOrdered1 && i > 0 && s.Position < r.Seen[i-1].Position:
			return fmt.Errorf("%s: %+v comes behind %+v", r.Subscriber, s, r.Seen[i-1])
		}
	}
	if len(r.Seen) != want {
		return fmt.Errorf("%s: %d events were seen, of %d", r.Subscriber, len(r.Seen), want)
	}
	return nil
}

// sawAtLeastOnce: each event; to the ordered group none for the first time behind one that
// it precedes in the log.
func (v *verdict) sawAtLeastOnce(kind string, seen []sight, truth map[enact.ExecutionID][]enact.StoredEvent) error {
	first := make(map[place]bool)
	var highest sight
	for _, s := range seen {
		events := truth[s.Execution]
		if s.Sequence == 0 || s.Sequence > uint64(len(events)) || !s.is(events[s.Sequence-1]) {
			return fmt.Errorf("%s: %+v is no event of the log", kind, s)
		}
		at := place{s.Execution, s.Sequence}
		if first[at] {
			continue
		}
		first[at] = true
		if kind == subOrdered && s.Position < highest.Position {
			return fmt.Errorf("%s: %+v came for the first time behind %+v", kind, s, highest)
		}
		if s.Position > highest.Position {
			highest = s
		}
	}
	all := 0
	for _, events := range truth {
		all += len(events)
	}
	if len(first) != all {
		return fmt.Errorf("%s: %d events were seen, of %d", kind, len(first), all)
	}
	v.total.again(kind, len(seen)-len(first))
	return nil
}
