package consumer

import (
	"context"
	"sync"
	"sync/atomic"
)

// window holds the records that were taken from the stream and are not done with, in
// the order of their positions. It bounds how many there are, counting those that are
// done and stand behind one that is not, and how many bytes they hold. Its beginning is
// the point up to which everything is done.
type window struct {
	bytesLimit int64
	bytes      atomic.Int64
	freed      chan struct{} // of one place: something was done
	moved      chan struct{} // the same, while watched
	watched    atomic.Bool

	mu      sync.Mutex
	ring    []*entry
	first   uint64 // number of the oldest entry
	end     uint64 // number of the entry to come
	next    uint64 // position behind the last entry that was taken out
	begun   uint64 // events that were handled before of the record at next
	skipped uint64 // position up to which nothing is to come but what is in the window
}

// entry is a record in a window.
type entry struct {
	position uint64
	last     uint64 // position up to which the record stands for others of its batch
	size     int64
	events   atomic.Uint64 // events of the record that were handled
	open     atomic.Bool   // of a staged batch whose last record has not come
	done     atomic.Bool
}

func newWindow(records int, bytes int64, next, begun uint64) *window {
	return &window{
		bytesLimit: bytes, freed: make(chan struct{}, 1), moved: make(chan struct{}, 1),
		ring: make([]*entry, records), next: next, begun: begun,
	}
}

// add waits for room and takes the record in. One record alone is taken whatever its size.
func (w *window) add(ctx context.Context, position uint64, size int) (*entry, error) {
	for {
		if e := w.tryAdd(position, size); e != nil {
			return e, nil
		}
		select {
		case <-w.freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *window) tryAdd(position uint64, size int) *entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
	held := w.bytes.Load()
	if w.end-w.first == uint64(len(w.ring)) || held > 0 && held+int64(size) > w.bytesLimit {
		return nil
	}
	e := &entry{position: position, last: position, size: int64(size)}
	w.bytes.Add(e.size)
	w.ring[w.end%uint64(len(w.ring))] = e
	w.end++
	return e
}

// advance takes out what is done at the beginning. It is for the one who holds the mutex.
func (w *window) advance() {
	for w.first < w.end {
		at := &w.ring[w.first%uint64(len(w.ring))]
		if !(*at).done.Load() {
			return
		}
		w.moveTo((*at).last + 1)
		*at = nil
		w.first++
	}
	w.moveTo(w.skipped + 1)
}

func (w *window) moveTo(next uint64) {
	if next > w.next {
		w.next, w.begun = next, 0
	}
}

// skip says that nothing up to a position is to come but what is in the window.
func (w *window) skip(position uint64) {
	w.mu.Lock()
	w.skipped = max(w.skipped, position)
	w.mu.Unlock()
	w.signal()
}

// grow adds to the bytes of a record that stands for more. It does not wait.
func (w *window) grow(e *entry, size int) {
	e.size += int64(size)
	w.bytes.Add(int64(size))
}

// release gives back the bytes of a record that holds none any more.
func (w *window) release(e *entry) {
	w.bytes.Add(-e.size)
	e.size = 0
	w.signal()
}

// finish says that a record is done with.
func (w *window) finish(e *entry) {
	w.bytes.Add(-e.size)
	e.done.Store(true)
	w.signal()
}

func (w *window) signal() {
	select {
	case w.freed <- struct{}{}:
	default:
	}
	if w.watched.Load() {
		select {
		case w.moved <- struct{}{}:
		default:
		}
	}
}

// reached returns the position of the first record that is not done with, or of the one
// to come, how many of its events are handled, and whether it begins an open batch.
func (w *window) reached() (next, events uint64, open bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
	if w.first < w.end {
		e := w.ring[w.first%uint64(len(w.ring))]
		return e.position, e.events.Load(), e.open.Load()
	}
	return w.next, w.begun, false
}
