package jetstore

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// execution is the full identity of an execution.
type execution struct {
	tenant enact.TenantID
	id     enact.ExecutionID
}

// lane is one execution's queue of appends and what is known of its tail. Appends
// of this process to one execution go in the order they came, instead of fighting
// over the expected-sequence check. One of them drives the lane at a time; queue.go
// says how.
type lane struct {
	key     execution
	subject string // of its records
	refs    int    // guarded by lanes.mu

	mu      sync.Mutex
	driven  bool
	waiting []*request
	orphan  *group // sent by a driver that left before its outcome was known

	// The rest belongs to whoever drives.
	warm        bool
	incarnation string
	tail        record.Tail
	keys        keyWindow
	absent      *absence // a proof that the execution has no records, not yet used
}

// absence is the leader's word that an execution has no records in its tenant.
type absence struct {
	elsewhere []enact.TenantID // tenants in which the id has records
}

// forget makes the next append ask the leader.
func (l *lane) forget() {
	l.warm, l.tail, l.keys, l.absent = false, record.Tail{}, keyWindow{}, nil
}

// lanes holds the lanes in use and, of the idle ones, those used last. An append finds
// its lane where the one before has left it: nothing is moved. Beside them lanes keeps
// for each execution the last record that this store has met, which is what a fence
// compares answers with, the position of the first one, where a read begins, and the
// tenants of ids.
type lanes struct {
	mu      sync.Mutex
	recent  *simplelru.LRU[execution, *lane] // those used last, idle or not
	others  map[execution]*lane              // in use, and no longer among those used last
	met     *simplelru.LRU[execution, *span]
	tenants *simplelru.LRU[enact.ExecutionID, enact.TenantID]
}

// span is what is known of where an execution lies.
type span struct {
	first uint64 // position of its first record; 0: not known
	last  mark   // the last record that was met; zero: none
}

// metFactor is how many more executions are remembered by position than by tail:
// an entry is small, and a forgotten one cannot expose a stale answer.
const metFactor = 8

func newLanes(size int) *lanes {
	ls := &lanes{
		others:  make(map[execution]*lane),
		met:     newLRU[execution, *span](size * metFactor),
		tenants: newLRU[enact.ExecutionID, enact.TenantID](size * metFactor),
	}
	// Also what newLRU says: the only error is a size below 1.
	ls.recent, _ = simplelru.NewLRU(max(size, 1), func(key execution, l *lane) {
		if l.refs > 0 {
			ls.others[key] = l
		}
	})
	return ls
}

// newLRU makes a cache. Its only error is a size below 1.
func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	c, _ := simplelru.NewLRU[K, V](max(size, 1), nil)
	return c
}

// acquire returns the execution's lane; release must be called with it.
func (ls *lanes) acquire(key execution, subjects enact.Subjects) *lane {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l, ok := ls.recent.Get(key)
	if !ok {
		l, ok = ls.others[key]
	}
	if !ok {
		l = &lane{key: key, subject: subjects.Execution(key.tenant, key.id)}
		ls.recent.Add(key, l)
	}
	l.refs++
	return l
}

func (ls *lanes) release(l *lane) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.refs--; l.refs > 0 {
		return
	}
	_, other := ls.others[l.key]
	delete(ls.others, l.key)
	switch {
	case !l.warm:
		ls.recent.Remove(l.key)
	case other:
		ls.recent.Add(l.key, l)
	}
}

// meet records that the execution has that record.
func (ls *lanes) meet(key execution, m mark) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if where := ls.span(key); m.position > where.last.position {
		where.last = m
	}
	ls.tenants.Add(key.id, key.tenant)
}

// meetFirst records where the execution's first record is.
func (ls *lanes) meetFirst(key execution, position uint64) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	where := ls.span(key)
	if where.last.position < position {
		where.last = mark{1, position}
	}
	where.first = position
}

// span returns what is known of where an execution lies, to be changed by the one who
// holds the mutex.
func (ls *lanes) span(key execution) *span {
	where, ok := ls.met.Get(key)
	if !ok {
		where = new(span)
		ls.met.Add(key, where)
	}
	return where
}

// where returns what is known of where the execution lies.
func (ls *lanes) where(key execution) span {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if where, ok := ls.met.Get(key); ok {
		return *where
	}
	return span{}
}

// highest returns the highest position met of the execution, 0 if none.
func (ls *lanes) highest(key execution) uint64 {
	return ls.where(key).last.position
}

// tenantOf returns the tenant that the id was met in.
func (ls *lanes) tenantOf(id enact.ExecutionID) (enact.TenantID, bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.tenants.Get(id)
}

// reset forgets everything about idle executions: the stream is a new one. Lanes in
// use notice by their incarnation.
func (ls *lanes) reset() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.recent.Purge()
	ls.met.Purge()
	ls.tenants.Purge()
}
