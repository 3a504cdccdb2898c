package jetstore

import (
	"context"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// firstLook is how many events before an execution's last record are looked at first
// for the one that decides its status; then all that may be are.
const firstLook = 64

// verdictOn is which event decided an execution's status, as far as it was looked at.
// Package replay has the rule: the last event that gives a status does.
type verdictOn struct {
	low, through uint64 // sequences that were looked at, inclusive
	at           uint64 // of the event that decides; 0: none of those does
	status       enact.Status
	blind        bool // some of the events after at cannot be read
}

// look takes the events into account, which are in order and end before low.
func (v *verdictOn) look(events []enact.StoredEvent) {
	for i := len(events) - 1; i >= 0 && v.at == 0; i-- {
		v.low = events[i].Sequence
		if _, ok := events[i].Event.(enact.Unreadable); ok {
			v.blind = true
		}
		if status, ok := enact.StatusAfter(events[i].Event); ok {
			v.at, v.status = v.low, status
		}
	}
}

// lowest returns the first sequence that may decide.
func (v *verdictOn) lowest() uint64 {
	return max(v.through, enact.StatusLookback) - enact.StatusLookback + 1
}

// final reports whether nothing more is to be looked at.
func (v *verdictOn) final() bool { return v.at > 0 || v.low <= v.lowest() }

// result returns the status, as enact.ExecutionInfo says it.
func (v *verdictOn) result() enact.Status {
	switch {
	case v.at >= v.lowest():
		return v.status
	case v.through <= enact.StatusLookback || v.at == 0 && v.blind:
		return enact.StatusUnknown
	}
	return enact.StatusRunning
}

// status returns the execution's status, given the events of its last record.
func (s *Store) status(ctx context.Context, key execution, last *record.Record, events []enact.StoredEvent) (enact.Status, error) {
	v := verdictOn{low: last.Last() + 1, through: last.Last()}
	v.look(events)
	if !v.final() {
		if old, ok := s.statuses.get(key); ok && old.through >= v.low-1 && old.through <= v.through {
			// What was before the record is known.
			v.low, v.at, v.status, v.blind = old.low, old.at, old.status, v.blind || old.blind
		}
	}
	for _, n := range []uint64{firstLook, enact.StatusLookback} {
		if v.final() {
			break
		}
		if err := s.lookBack(ctx, key, last, &v, n); err != nil {
			return "", err
		}
	}
	s.statuses.put(key, v)
	return v.result(), nil
}

// lookBack looks at up to n of the events before those that were looked at.
func (s *Store) lookBack(ctx context.Context, key execution, last *record.Record, v *verdictOn, n uint64) error {
	hi := v.low - 1
	lo := max(v.lowest(), max(hi, n)-n+1)
	w, err := s.walkFrom(ctx, key, lo, last)
	if err != nil {
		return err
	}
	var page []enact.StoredEvent
	for uint64(len(page)) < hi-lo+1 {
		records, err := w.next(ctx)
		if err != nil {
			return err
		}
		events, err := s.decode(ctx, records, lo, hi)
		if err != nil {
			return err
		}
		page = append(page, events...)
	}
	v.look(page)
	return nil
}

// statuses remembers what decided the status of executions.
type statuses struct {
	mu       sync.Mutex
	verdicts *simplelru.LRU[execution, verdictOn]
}

func newStatuses(size int) *statuses { return &statuses{verdicts: newLRU[execution, verdictOn](size)} }

func (c *statuses) get(key execution) (verdictOn, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdicts.Get(key)
}

func (c *statuses) put(key execution, v verdictOn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verdicts.Add(key, v)
}

func (c *statuses) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verdicts.Purge()
}
