package jetstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

// keyWindow is what a lane knows of the idempotency keys in its execution's last
// records: all keys from record number from on.
type keyWindow struct {
	from    uint64
	entries []keyEntry // in the order of the log
}

// keyEntry names the first record of an append that carried a key.
type keyEntry struct {
	key      string
	last     uint64 // number, within the execution, of the append's last record
	position uint64 // of its first record
}

// add notes an append whose last record is e.last, and drops entries that have left
// the window. An append is inside it with its last record.
func (w *keyWindow) add(window int, e keyEntry) {
	if e.key != "" {
		w.entries = append(w.entries, e)
	}
	lowest := lowestInWindow(e.last, window)
	w.entries = slices.DeleteFunc(w.entries, func(e keyEntry) bool { return e.last < lowest })
	w.from = max(w.from, lowest)
}

// lowestInWindow returns the number of the first record in the window that ends
// with record last.
func lowestInWindow(last uint64, window int) uint64 {
	return max(last, uint64(window)) - uint64(window) + 1
}

// findKey looks for the batch's key in the execution's last records. Where it
// stands, the first append's receipt is returned if the events are the same,
// enact.ErrKeyReused otherwise, and an [*enact.PayloadError] where the first append's
// cannot be read. The lane is warm.
func (s *Store) findKey(ctx context.Context, l *lane, b *enact.Batch) (receipt enact.Receipt, found bool, err error) {
	if err := s.learnKeys(ctx, l); err != nil {
		return enact.Receipt{}, false, err
	}
	for _, e := range slices.Backward(l.keys.entries) {
		if e.key == b.Options.IdempotencyKey {
			receipt, err := s.duplicate(ctx, l.key, e, b)
			if err == nil {
				s.happened(ctx, Duplicate)
			}
			return receipt, true, err
		}
	}
	return enact.Receipt{}, false, nil
}

// learnKeys reads the keys of the window that the lane does not know yet.
func (s *Store) learnKeys(ctx context.Context, l *lane) error {
	lowest := lowestInWindow(l.tail.Number, s.cfg.keyWindow)
	if l.keys.from <= lowest || l.tail.Number == 0 {
		return nil
	}
	watermark, err := s.recordAt(ctx, l.key, l.tail.Position)
	if err != nil {
		return err
	}
	start, err := s.locate(ctx, l.key, watermark, func(_, number uint64) bool { return number <= lowest })
	if err != nil {
		return err
	}
	var entries []keyEntry
	note := func(r *record.Record) {
		if r.Key != "" {
			entries = append(entries, keyEntry{key: r.Key, last: r.Link.Number + uint64(r.Commit.Of) - 1, position: r.Position})
		}
	}
	if back := uint64(start.Commit.Index - 1); back > 0 {
		// The window begins inside a staged batch: its key is on its first record.
		first, err := s.recordAt(ctx, l.key, start.Position-back)
		if err != nil {
			return err
		}
		note(first)
	}
	for r, err := range s.recordsFrom(ctx, l.key, start, watermark) {
		if err != nil {
			return err
		}
		note(r)
	}
	l.keys = keyWindow{from: lowest, entries: entries}
	return nil
}

// duplicate compares the batch with the append that used its key.
func (s *Store) duplicate(ctx context.Context, key execution, e keyEntry, b *enact.Batch) (enact.Receipt, error) {
	first, err := s.recordAt(ctx, key, e.position)
	if err != nil {
		return enact.Receipt{}, err
	}
	last := first
	if n := first.Commit.Of; n > 1 {
		if last, err = s.recordAt(ctx, key, first.Position+uint64(n)-1); err != nil {
			return enact.Receipt{}, err
		}
	}
	reused := fmt.Errorf("%w: key %q, first used for events %d to %d", enact.ErrKeyReused, b.Options.IdempotencyKey, first.Sequence, last.Last())
	if last.Last()-first.Sequence+1 != uint64(len(b.Events)) {
		return enact.Receipt{}, reused
	}
	next := 0
	for r, err := range s.recordsFrom(ctx, key, first, last) {
		if err != nil {
			return enact.Receipt{}, err
		}
		stored, err := r.Events(ctx, s.cfg.codecs)
		if err != nil {
			return enact.Receipt{}, err
		}
		for _, ev := range stored {
			if gone, ok := ev.Event.(enact.Unreadable); ok {
				// Nobody can tell any more whether the events are the same.
				return enact.Receipt{}, r.Undecoded(&codec.KeyError{TenantID: key.tenant, KeyID: gone.KeyID, Err: codec.ErrKeyDropped})
			}
			if !sameEvent(ev.Event, b.Events[next]) {
				return enact.Receipt{}, reused
			}
			next++
		}
	}
	return enact.Receipt{First: first.Sequence, Last: last.Last(), Position: last.Position, Chain: last.Link.Chain, Duplicate: true}, nil
}

// sameEvent reports whether given is stored what stored is: equal as the log
// writes them, after one round through its reader, which trims raw JSON.
func sameEvent(stored, given enact.Event) bool {
	a, err1 := enact.AppendEvent(nil, stored)
	b, err2 := enact.AppendEvent(nil, given)
	if err1 != nil || err2 != nil {
		return false
	}
	if bytes.Equal(a, b) {
		return true
	}
	again, err := enact.ParseEvent(b)
	if err != nil {
		return false
	}
	b, err = enact.AppendEvent(nil, again)
	return err == nil && bytes.Equal(a, b)
}
