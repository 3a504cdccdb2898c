package jetstore

import (
	"context"
	"slices"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// Bounds of a page of a backwards read.
const (
	// backwardsPage is how many events it has at most, and up to a record more. The first has
	// up to backwardsFirst, and each up to backwardsGrowth times as many as the one before:
	// the way to its beginning takes about six requests for any page.
	backwardsPage   = 512
	backwardsFirst  = 128
	backwardsGrowth = 4
	// backwardsBytes is how many bytes of payload it has at most, beside one record of any size.
	backwardsBytes = 4 << 20
)

// decodeAtOnce is how many records are decoded before their events are passed on: what
// is compressed may become very much.
const decodeAtOnce = 16

// reading is one read on its way, a page at a time. Between pages it holds nothing on
// the server. While the caller looks at a page of a long history, the next one is
// fetched; close waits for that to end.
type reading struct {
	s     *Store
	enter func(context.Context) (context.Context, func(), error) // begins the wait for one page
	id    enact.ExecutionID
	after uint64
	o     enact.ReadOptions

	opened bool
	key    execution
	last   *record.Record   // the watermark; nil: no events
	end    *record.Record   // of a read backwards: the last record that holds events to be taken
	most   uint64           // of a read backwards: events of the next page
	lo, hi uint64           // sequences still to be read, inclusive; lo > hi: none
	walk   *walk            // forwards
	taken  []*record.Record // not yet decoded
	torn   error            // what the history ends with, once hi is read
	fault  error            // of the record behind the events that were returned last

	fetched chan fetched       // the next page, on its way; nil: not begun
	cancel  context.CancelFunc // of that
}

type fetched struct {
	records []*record.Record
	err     error
}

func (s *Store) newReading(id enact.ExecutionID, after uint64, o enact.ReadOptions, enter func(context.Context) (context.Context, func(), error)) *reading {
	return &reading{s: s, enter: enter, id: id, after: after, o: o}
}

// close ends what goes on in the background.
func (rd *reading) close() {
	if rd.fetched != nil {
		rd.cancel()
		<-rd.fetched
		rd.fetched = nil
	}
	if rd.walk != nil {
		rd.walk.close()
	}
}

// next returns the next events in the order asked for, at least one; nil at the end.
func (rd *reading) next(ctx context.Context) ([]enact.StoredEvent, error) {
	if !rd.opened {
		if err := rd.within(ctx, rd.open); err != nil {
			return nil, err
		}
		rd.opened = true
	}
	if rd.fault != nil {
		return nil, rd.fault
	}
	if rd.lo > rd.hi {
		return nil, rd.torn
	}
	if rd.o.Backwards {
		var page []enact.StoredEvent
		err := rd.within(ctx, func(ctx context.Context) (err error) {
			page, err = rd.nextBackwards(ctx)
			return err
		})
		return page, err
	}
	for {
		if len(rd.taken) == 0 {
			records, err := rd.take(ctx)
			if err != nil {
				return nil, err
			}
			rd.taken = records
		}
		n := min(len(rd.taken), decodeAtOnce)
		page, err := rd.decode(ctx, rd.taken[:n])
		rd.taken = rd.taken[n:]
		if n := len(page); n > 0 {
			rd.lo = page[n-1].Sequence + 1
			rd.fault = err
			return page, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// left returns how many events are still to be read.
func (rd *reading) left() uint64 { return rd.hi + 1 - min(rd.lo, rd.hi+1) }

// decode returns the events of records that the read wants. A codec may have to wait for
// a key.
func (rd *reading) decode(ctx context.Context, records []*record.Record) (page []enact.StoredEvent, err error) {
	err = rd.within(ctx, func(ctx context.Context) (err error) {
		page, err = rd.s.decode(ctx, records, rd.lo, rd.hi)
		return err
	})
	return page, err
}

// within runs one wait for the server.
func (rd *reading) within(ctx context.Context, f func(context.Context) error) error {
	ctx, end, err := rd.enter(ctx)
	if err != nil {
		return err
	}
	defer end()
	return f(ctx)
}

// take returns the next records, and has the ones behind them fetched if they are
// going to be asked for.
func (rd *reading) take(ctx context.Context) ([]*record.Record, error) {
	var f fetched
	if rd.fetched != nil {
		f = <-rd.fetched
		rd.cancel()
		rd.fetched = nil
	} else {
		f = rd.fetch(ctx)
	}
	if f.err != nil {
		return nil, f.err
	}
	if rd.walk.left() > 0 && f.records[len(f.records)-1].Last() < rd.hi {
		ctx, cancel := context.WithCancel(ctx)
		answer := make(chan fetched, 1)
		rd.fetched, rd.cancel = answer, cancel
		go func() { answer <- rd.fetch(ctx) }()
	}
	return f.records, nil
}

func (rd *reading) fetch(ctx context.Context) (f fetched) {
	f.err = rd.within(ctx, func(ctx context.Context) (err error) {
		f.records, err = rd.walk.next(ctx)
		return err
	})
	return f
}

// open fixes the watermark and with it the range of the read.
func (rd *reading) open(ctx context.Context) error {
	var err error
	rd.lo = 1
	meanwhile := rd.meanwhile(ctx)
	rd.key, rd.last, err = rd.s.watermark(ctx, rd.id, rd.o)
	early := <-meanwhile
	if err != nil || rd.last == nil {
		return err
	}
	if rd.after >= rd.last.Last() {
		if inBatch(rd.last) {
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
	if rd.o.Backwards || rd.lo > rd.hi {
		rd.end, rd.most = rd.last, backwardsFirst
		return nil
	}
	if rd.walk, err = rd.s.walkFrom(ctx, rd.key, rd.lo, rd.last); err != nil {
		if ctx.Err() != nil || transient(err) {
			return err
		}
		// A record on the way to the start is not what it should be. The events before it
		// are still to be had: from the beginning, since no record after a power of two
		// names one before it.
		rd.walk = rd.s.newWalk(rd.key, record.Tail{}, rd.last)
	}
	if rd.walk.prev.Number == 0 {
		rd.walk.start = rd.s.lanes.where(rd.key).first
	}
	if len(early) > 0 {
		rd.walk.early = early
	}
	rd.walk.goal = rd.hi
	if rd.hi-rd.lo >= longRecords {
		rd.walk.long = new(longWay)
	}
	return nil
}

// meanwhile reads the beginning of the history while the leader is asked for its end, if the
// read begins there: what a former call has met of a short and dense one, all in one batch,
// or the first record where it is not known which that is. It sends none where there is no
// such thing, or where the replica that was asked has nothing: the walk asks again.
func (rd *reading) meanwhile(ctx context.Context) <-chan []*record.Record {
	answer := make(chan []*record.Record, 1)
	if rd.after > 0 || rd.o.Backwards || rd.o.TenantID == nil {
		answer <- nil
		return answer
	}
	key := execution{*rd.o.TenantID, rd.id}
	where := rd.s.lanes.where(key)
	w := rd.s.newWalk(key, record.Tail{}, nil)
	w.start = where.first
	n := 1
	if w.start > 0 {
		// The last record that was met is not read: if it is still the last, the leader sends it.
		n = int(min(where.last.number-1, denseRecords+1))
		if rd.o.Limit > 0 {
			n = min(n, rd.o.Limit)
		}
		if n < 1 || n > 1 && (n > denseRecords || !isDense(w.here(), where.last)) {
			answer <- nil
			return answer
		}
	}
	go func() {
		// Of an error, the walk takes care.
		early, _ := w.beginning(ctx, n)
		answer <- early
	}()
	return answer
}

// stopBeforeTear ends the read before a torn batch at the end of the history.
func (rd *reading) stopBeforeTear(ctx context.Context) error {
	if !inBatch(rd.last) {
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
	if first.Commit.ID != rd.last.Commit.ID || first.Commit.Index != 1 {
		return first.Corrupt("record %s stands where commit %s begins", first.Commit, rd.last.Commit.ID)
	}
	rd.hi = first.Sequence - 1
	return nil
}

// nextBackwards returns the newest events that are left, newest first.
func (rd *reading) nextBackwards(ctx context.Context) ([]enact.StoredEvent, error) {
	if len(rd.taken) == 0 {
		if err := rd.takeBackwards(ctx); err != nil {
			return nil, err
		}
	}
	n := min(len(rd.taken), decodeAtOnce)
	records := rd.taken[len(rd.taken)-n:]
	rd.taken = rd.taken[:len(rd.taken)-n]
	page, err := rd.s.decode(ctx, records, rd.lo, rd.hi)
	if err != nil {
		page, rd.fault = rd.behind(ctx, records)
		if len(page) == 0 {
			return nil, rd.fault
		}
	}
	rd.hi = page[0].Sequence - 1
	slices.Reverse(page)
	return page, nil
}

// behind returns the events of those of the records that stand behind the last one which
// cannot be decoded, and the error of that.
func (rd *reading) behind(ctx context.Context, records []*record.Record) (page []enact.StoredEvent, err error) {
	for i := range slices.Backward(records) {
		events, err := rd.s.decode(ctx, records[i:i+1], rd.lo, rd.hi)
		if err != nil {
			return page, err
		}
		page = append(events, page...)
	}
	return page, nil
}

// takeBackwards takes the records that hold the newest events left, in order, as the chain
// demands. It takes whole records, and goes on from the one before them, which is read and
// checked as the last of the next page. How many bytes a page has shows only once it was
// read: of one that has too many the oldest records are left to the next page, and that has
// no more events than this could keep.
func (rd *reading) takeBackwards(ctx context.Context) error {
	most := min(rd.most, max(1, uint64(backwardsBytes*rd.end.Count()/max(1, len(rd.end.Payload)))))
	from := rd.lo
	if rd.hi-rd.lo >= most {
		from = rd.hi - most + 1
	}
	start, before, err := rd.s.startOf(ctx, rd.key, from, rd.end)
	if err != nil {
		return err
	}
	w := rd.s.walkAt(rd.key, start, before, rd.end)
	var page []*record.Record
	size, rest := 0, rd.most*backwardsGrowth
	for w.left() > 0 {
		records, err := w.next(ctx)
		if err != nil {
			return err
		}
		page = append(page, records...)
		for _, r := range records {
			size += len(r.Payload)
		}
		for ; size > backwardsBytes && len(page) > 1; page = page[1:] {
			before, size, rest = page[0], size-len(page[0].Payload), 0
			page[0] = nil // is not kept by what is behind it
		}
	}
	if rest == 0 {
		rest = page[len(page)-1].Last() - page[0].Sequence + 1
	}
	rd.taken, rd.end, rd.most = page, before, min(rest, backwardsPage)
	return nil
}
