package jetstore

import (
	"context"
	"slices"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/enactlog/enact"
)

const (
	// tailEntries is how many of a tenant's newest index entries are kept, five pages of
	// the default size; about 200 bytes each.
	tailEntries = 256

	// cachedPerTail is how many cached executions (WithCacheSize) there are to one tenant
	// whose newest entries are kept.
	cachedPerTail = 32
)

// tail is what is kept of a tenant's newest entries. It never changes.
type tail struct {
	incarnation string
	low         uint64     // position; an entry stands here
	through     uint64     // position of the last entry
	total       uint64     // entries of the tenant when it was read; need not be exact
	entries     []creation // all from low to through, without copies, in order
	whole       bool       // there are none before low
}

// tails keeps the tails of the tenants listed last, and for each tenant met the position
// of the last entry met, which is what a fence compares answers with.
type tails struct {
	mu          sync.Mutex
	incarnation string // of the index stream
	byTenant    *simplelru.LRU[enact.TenantID, *tail]
	met         *simplelru.LRU[enact.TenantID, uint64]
	metOfAll    uint64
}

func newTails(cacheSize int) *tails {
	return &tails{
		byTenant: newLRU[enact.TenantID, *tail](cacheSize / cachedPerTail),
		met:      newLRU[enact.TenantID, uint64](cacheSize),
	}
}

// get returns the tenant's tail, nil if none is kept.
func (ts *tails) get(tenant enact.TenantID) *tail {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t, _ := ts.byTenant.Get(tenant)
	return t
}

// put keeps a tail, unless a newer one is kept, or one that reaches farther back.
func (ts *tails) put(tenant enact.TenantID, t *tail) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.incarnation != ts.incarnation {
		return
	}
	if old, ok := ts.byTenant.Get(tenant); ok {
		if t.through < old.through || t.through == old.through && t.low > old.low {
			return
		}
	}
	ts.byTenant.Add(tenant, t)
}

// meet records that the tenant has an entry at position.
func (ts *tails) meet(tenant enact.TenantID, position uint64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if old, ok := ts.met.Get(tenant); !ok || position > old {
		ts.met.Add(tenant, position)
	}
	ts.metOfAll = max(ts.metOfAll, position)
}

// highest returns the position of the last entry met of the tenant, 0 if none was.
func (ts *tails) highest(tenant enact.TenantID) uint64 {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	p, _ := ts.met.Get(tenant)
	return p
}

// highestOfAll returns the position of the last entry met of any tenant, 0 if none was.
func (ts *tails) highestOfAll() uint64 {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.metOfAll
}

// sawIncarnation forgets everything when the index stream was deleted and made again, and
// reports whether it was.
func (ts *tails) sawIncarnation(inc string) (another bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.incarnation == inc {
		return false
	}
	ts.incarnation = inc
	ts.byTenant.Purge()
	ts.met.Purge()
	ts.metOfAll = 0
	return true
}

// newest returns a tail of the tenant that reaches the last entry at the fence, with want
// entries or more unless it has fewer; nil if it has none.
func (s *Store) newest(ctx context.Context, tenant enact.TenantID, at indexFence, want int) (*tail, error) {
	if at.lastEntry == 0 {
		return nil, nil
	}
	t := s.tails.get(tenant)
	if t == nil || t.incarnation != at.incarnation || at.total > t.total+tailEntries {
		t = &tail{incarnation: at.incarnation}
	}
	entries := t.entries
	back := s.fromLast(tenant, at)
	if t.through > 0 {
		back = s.olderThan(tenant, at, t.low, len(entries))
	}
	if 0 < t.through && t.through < at.lastEntry {
		since, err := s.entriesTo(ctx, tenant, t.through+1, at.lastEntry, int(at.total-min(t.total, at.total)))
		if err != nil {
			return nil, err
		}
		if since, err = s.withoutCopies(ctx, tenant, since); err != nil {
			return nil, err
		}
		entries = append(entries[:len(entries):len(entries)], since...)
	}
	whole := t.whole
	for len(entries) < want && !whole {
		before, err := back.next(ctx, want-len(entries))
		if err != nil {
			return nil, err
		}
		if before, err = s.withoutCopies(ctx, tenant, before); err != nil {
			return nil, err
		}
		entries, whole = append(before, entries...), back.done()
	}
	t = &tail{
		incarnation: at.incarnation, low: back.end, through: max(t.through, at.lastEntry), total: at.total, entries: entries, whole: whole,
	}
	if n := len(entries); n > 2*tailEntries {
		t.entries, t.whole = slices.Clone(entries[n-tailEntries:]), false
		t.low = t.entries[0].position
	}
	s.tails.put(tenant, t)
	return t, nil
}
