package jetstore

import (
	"context"
	"errors"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

const (
	// longRecords is from how many records on a consumer is worth its making and its
	// removal: two requests, which on three nodes take milliseconds.
	longRecords = 2048
	// longStep is how many records it is asked for at a time.
	longStep = 1024
	// longPage is how many records a page has at most, longBytes how many bytes of payload
	// beside one record of any size: a page is in memory while the next one is fetched.
	longPage  = 512
	longBytes = 1 << 20
	// longAhead is how many stretches ahead of the requests are looked at.
	longAhead = 4
	// longTries is how many consumers one read makes before it goes on without.
	longTries = 3
)

// longWay reads many records that lie close together: a consumer delivers them for a
// third of what direct gets cost the server and the client. It is asked only for stretches
// whose marks show that it need not look far, and only up to the watermark.
type longWay struct {
	feed    *feed // nil: none at the moment
	scouted *scouted
	asked   mark    // up to which records it was asked for
	owed    int     // records up to there that no request under way will bring
	made    int     // consumers so far
	left    []*feed // given up, and perhaps not removed
}

// scouted is the way ahead of a feed: the ends of dense stretches of at most longStep
// records each, found in the background since each costs a point read.
type scouted struct {
	ends chan mark // closed where the dense part ends, or a mark is not what it should be
	stop context.CancelFunc
}

func (ms marks) scout(from mark) *scouted {
	ctx, stop := context.WithCancel(context.Background())
	sc := &scouted{ends: make(chan mark, longAhead), stop: stop}
	ms.known = nil // the walk's
	go func() {
		defer close(sc.ends)
		for from.number < ms.last.Link.Number {
			end, err := ms.ahead(ctx, from, longStep)
			if err != nil || !isDense(from, end) {
				return
			}
			select {
			case sc.ends <- end:
			case <-ctx.Done():
				return
			}
			from = end
		}
	}()
	return sc
}

// close ends the scouting and waits for that.
func (sc *scouted) close() {
	sc.stop()
	for range sc.ends {
	}
}

// stream reads the next page from a consumer. It returns none where a consumer has none
// to give: then another way must do, whose word on what is wrong counts.
func (w *walk) stream(ctx context.Context) []*record.Record {
	if w.long.feed == nil && !w.openFeed(ctx) {
		return nil
	}
	records, err := w.readFeed(ctx)
	if err != nil || w.left() == uint64(len(records)) {
		w.closeFeed()
	}
	return records
}

// close removes the walk's consumers, those too that could not be removed when they were
// given up.
func (w *walk) close() {
	if w.long == nil {
		return
	}
	w.closeFeed()
	ctx, cancel := context.WithTimeout(context.Background(), w.s.reads.patience)
	defer cancel()
	for _, f := range w.long.left {
		// What remains after that, the server removes.
		_, _ = retry(ctx, func() (struct{}, error) { return struct{}{}, f.remove() })
	}
	w.long.left = nil
}

// closeFeed gives up the consumer that the walk has.
func (w *walk) closeFeed() {
	l := w.long
	if l.feed == nil {
		return
	}
	l.scouted.close()
	if err := l.feed.close(); err != nil {
		l.left = append(l.left, l.feed)
	}
	l.feed = nil
}

func (w *walk) openFeed(ctx context.Context) bool {
	if w.left() < longRecords || w.blind || w.long.made >= longTries || w.s.noFeeds.Load() {
		return false
	}
	start := w.here()
	end, err := w.ahead(ctx, start, longStep)
	if err != nil || !isDense(start, end) || end.number-start.number < longPage {
		return false
	}
	w.long.made++
	feed, err := w.s.reads.openFeed(ctx, w.s.cfg.stream, w.subject, start.position+1, longStep)
	if err != nil {
		feed.hangUp()
		if mayHaveLeft(err) {
			w.long.left = append(w.long.left, feed)
		}
		if errors.Is(err, enact.ErrNotPermitted) {
			w.s.noFeeds.Store(true)
		}
		return false
	}
	w.long.feed, w.long.scouted, w.long.asked, w.long.owed = feed, w.scout(start), start, 0
	return true
}

// readFeed returns what fits of the next page, and an error if the consumer gives no more.
func (w *walk) readFeed(ctx context.Context) ([]*record.Record, error) {
	records := make([]*record.Record, 0, longPage)
	size := 0
	for prev := w.prev; len(records) < longPage && size < longBytes && prev.Number < w.last.Link.Number; {
		if err := w.askFeed(ctx); err != nil {
			return records, err
		}
		m, short, err := w.long.feed.next(ctx)
		if err != nil {
			return records, err
		}
		if w.long.owed += short; m == nil {
			continue
		}
		r, err := w.follow(m, prev)
		if err != nil {
			return records, err
		}
		records, prev = append(records, r), r.Tail()
		size += len(r.Payload)
	}
	return records, nil
}

// askFeed keeps requests under way, as far as the records ahead are known to be dense.
func (w *walk) askFeed(ctx context.Context) error {
	for l := w.long; !l.feed.full(); {
		if l.owed == 0 {
			end, ok, err := l.nextStretch(ctx)
			if !ok || err != nil {
				return err
			}
			l.owed, l.asked = int(end.number-l.asked.number), end
		}
		if err := l.feed.ask(l.owed); err != nil {
			return err
		}
		l.owed = 0
	}
	return nil
}

// nextStretch returns the end of the next stretch; ok is false if there is none, or none
// yet and something is under way.
func (l *longWay) nextStretch(ctx context.Context) (end mark, ok bool, err error) {
	if l.feed.under > 0 {
		select {
		case end, ok = <-l.scouted.ends:
		default:
		}
		return end, ok, nil
	}
	select {
	case end, ok = <-l.scouted.ends:
		return end, ok, nil
	case <-ctx.Done():
		return end, false, ctx.Err()
	}
}
