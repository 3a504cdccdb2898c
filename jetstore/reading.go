package jetstore

import (
	"context"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// backwardsPage is how many events a backwards read takes at a time.
const backwardsPage = 512

// reading is one read on its way, a page at a time. It holds nothing on the server
// between pages.
type reading struct {
	s     *Store
	id    enact.ExecutionID
	after uint64
	o     enact.ReadOptions

	opened bool
	key    execution
	last   *record.Record // the watermark; nil: no events
	lo, hi uint64         // sequences still to be read, inclusive; lo > hi: none
	prev   record.Tail    // forwards: the record before the next one to be read
	torn   error          // what the history ends with, once hi is read
}

func (s *Store) newReading(id enact.ExecutionID, after uint64, o enact.ReadOptions) *reading {
	return &reading{s: s, id: id, after: after, o: o}
}

// next returns the next events in the order asked for, at least one; nil at the end.
func (rd *reading) next(ctx context.Context) ([]enact.StoredEvent, error) {
	if !rd.opened {
		if err := rd.open(ctx); err != nil {
			return nil, err
		}
		rd.opened = true
	}
	if rd.lo > rd.hi {
		return nil, rd.torn
	}
	if rd.o.Backwards {
		return rd.nextBackwards(ctx)
	}
	for {
		records, err := rd.s.bulk(ctx, rd.key, rd.prev, rd.last)
		if err != nil {
			return nil, err
		}
		rd.prev = records[len(records)-1].Tail()
		page, err := rd.s.decode(records, rd.lo, rd.hi)
		if err != nil {
			return nil, err
		}
		if n := len(page); n > 0 {
			rd.lo = page[n-1].Sequence + 1
			return page, nil
		}
	}
}

// open fixes the watermark and with it the range of the read.
func (rd *reading) open(ctx context.Context) error {
	var err error
	rd.lo = 1
	if rd.key, rd.last, err = rd.s.watermark(ctx, rd.id, rd.o); err != nil || rd.last == nil {
		return err
	}
	if rd.after >= rd.last.Last() {
		if rd.last.Commit.Index < rd.last.Commit.Of {
			return torn(rd.last)
		}
		return nil
	}
	rd.lo, rd.hi = rd.after+1, rd.last.Last()
	if err := rd.stopBeforeTear(ctx); err != nil {
		return err
	}
	limit := uint64(rd.o.Limit)
	if limit > 0 && rd.lo <= rd.hi && limit <= rd.hi-rd.lo+1 {
		if rd.o.Backwards {
			rd.lo = rd.hi - limit + 1
		} else {
			rd.hi, rd.torn = rd.lo+limit-1, nil
		}
	}
	if rd.o.Backwards || rd.lo == 1 || rd.lo > rd.hi {
		return nil
	}
	rd.prev, err = rd.s.before(ctx, rd.key, rd.last, rd.lo)
	return err
}

// stopBeforeTear ends the read before a torn batch at the end of the history.
func (rd *reading) stopBeforeTear(ctx context.Context) error {
	if rd.last.Commit.Index == rd.last.Commit.Of {
		return nil
	}
	rd.torn = torn(rd.last)
	if rd.o.Backwards {
		return rd.torn
	}
	first, err := rd.s.recordAt(ctx, rd.key, rd.last.Position-uint64(rd.last.Commit.Index-1))
	if err != nil {
		return err
	}
	rd.hi = first.Sequence - 1
	return nil
}

// nextBackwards reads the newest events that are left, oldest first as the chain
// demands, and turns them round.
func (rd *reading) nextBackwards(ctx context.Context) ([]enact.StoredEvent, error) {
	from := rd.lo
	if rd.hi-rd.lo >= backwardsPage {
		from = rd.hi - backwardsPage + 1
	}
	prev, err := rd.s.before(ctx, rd.key, rd.last, from)
	if err != nil {
		return nil, err
	}
	var page []enact.StoredEvent
	for uint64(len(page)) < rd.hi-from+1 {
		records, err := rd.s.bulk(ctx, rd.key, prev, rd.last)
		if err != nil {
			return nil, err
		}
		prev = records[len(records)-1].Tail()
		events, err := rd.s.decode(records, from, rd.hi)
		if err != nil {
			return nil, err
		}
		page = append(page, events...)
	}
	slices.Reverse(page)
	rd.hi = from - 1
	return page, nil
}

// decode returns the events of records within [lo, hi].
func (s *Store) decode(records []*record.Record, lo, hi uint64) ([]enact.StoredEvent, error) {
	var page []enact.StoredEvent
	for _, r := range records {
		if r.Last() < lo || r.Sequence > hi {
			continue
		}
		events, err := r.Events(s.cfg.codecs)
		if err != nil {
			return nil, err
		}
		for _, ev := range events {
			if lo <= ev.Sequence && ev.Sequence <= hi {
				page = append(page, ev)
			}
		}
	}
	return page, nil
}
