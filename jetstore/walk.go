package jetstore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/enactlog/enact/internal/record"
)

// Bounds of one page of a walk.
const (
	denseRecords  = 512     // of a direct-get batch: enough to make its round trip cheap
	denseBytes    = 1 << 20 // of a direct-get batch
	sparseRecords = 64      // of a page that is read one by one: enough to keep its readers busy
	sparseBytes   = 8 << 20 // of such a page, beside one record of any size

	// denseGap is the most messages of the stream, on average, between two records
	// that a direct-get batch may pass over. The server looks through them while it
	// holds up every append: about 50 a microsecond when its blocks are in memory, and
	// milliseconds for each block that is not. A record read by its position costs 60 µs
	// and one block, whatever lies between.
	denseGap = 256

	// fewOthers is how many other messages are taken along by a batch of all subjects, 15 µs
	// each, where the next records begin in the middle of the stream. For a batch of one subject
	// the server counts what is left of it there, and looks through up to a block, 1 to 3 ms
	// (server/filestore.go, NumPending); of all there is nothing to count.
	fewOthers = 100

	// staleTries is how often replicas that lag are asked again before the leader is.
	staleTries = 3
)

// walk goes through an execution's records from some point to the watermark, forwards,
// a page at a time. It chooses for each page how to read it, from what it knows of the
// positions of its two ends:
//
//   - long, many records ahead with few other messages between them: a consumer;
//   - dense, few other messages between the records: one direct-get batch, of the records
//     or of all that lies there;
//   - sparse: each record by its position, found by the back pointers of later ones.
//
// Pages are cut so that no request makes the server look through more than denseGap
// messages a record: on a long history the back pointers give marks ahead, about one
// point read for a page. So the cost of a read is the execution's, not the log's, and
// no read holds up the writers. docs/architecture.md has figures beside the raw ways.
//
// Each record is checked to continue the one before it. What a replica says that does
// not fit, or does not say, is asked of the leader, whose word is final: only there is
// a hole a hole.
type walk struct {
	marks
	subject string // of the execution

	prev  record.Tail      // the last record taken; zero: none
	early []*record.Record // the execution's first records, if they were read already
	start uint64           // position of the first one, if a former read met it; else 0
	goal  uint64           // sequence of the last event that is wanted; 0: all up to the watermark
	blind bool             // a mark was not what it should be: the history has a fault ahead
	large int              // bytes of the largest record of the last sparse page
	long  *longWay         // nil: the walk makes no consumer, and need not be closed
}

func (s *Store) newWalk(key execution, prev record.Tail, last *record.Record) *walk {
	return &walk{marks: marks{s: s, key: key, last: last}, subject: s.subject(key), prev: prev}
}

// follow decodes a message that should be the record after prev.
func (w *walk) follow(m *message, prev record.Tail) (*record.Record, error) {
	if m.subject == w.subject {
		if r, ok := record.ParseNext(prev, w.key.tenant, w.key.id, m.position, m.header, m.data); ok {
			w.s.sawPosition(r.Position)
			return r, nil
		}
	}
	r, err := w.s.parse(m, w.key)
	if err != nil {
		return nil, err
	}
	return r, follows(r, prev)
}

// left returns the number of records not yet taken.
func (w *walk) left() uint64 { return w.last.Link.Number - w.prev.Number }

// wanted returns how many records are to be read yet, at most: each has one event at least.
func (w *walk) wanted() uint64 {
	if w.goal > w.prev.Sequence {
		return min(w.left(), w.goal-w.prev.Sequence)
	}
	return w.left()
}

// next returns the next records, at least one. There must be one left.
func (w *walk) next(ctx context.Context) ([]*record.Record, error) {
	records, err := w.page(ctx)
	if err != nil {
		return nil, err
	}
	if w.prev.Number == 0 {
		w.s.lanes.meetFirst(w.key, records[0].Position)
	}
	w.prev = records[len(records)-1].Tail()
	if w.left() == 1 && follows(w.last, w.prev) == nil {
		records, w.prev = append(records, w.last), w.last.Tail() // it is here already
	}
	return records, nil
}

func (w *walk) page(ctx context.Context) ([]*record.Record, error) {
	if w.left() == 1 {
		return []*record.Record{w.last}, follows(w.last, w.prev)
	}
	if early := w.early[:min(uint64(len(w.early)), w.left()-1)]; len(early) > 0 {
		w.early = nil
		return early, nil
	}
	if w.prev.Number == 0 && w.start == 0 {
		// Where the history begins decides how it is read.
		return w.insist(ctx, func(ctx context.Context) ([]*record.Record, error) { return w.dense(ctx, 1) })
	}
	if w.long != nil {
		if records := w.stream(ctx); len(records) > 0 {
			return records, nil
		}
	}
	if !w.blind {
		read, err := w.plan(ctx)
		if err == nil {
			return w.insist(ctx, read)
		}
		if ctx.Err() != nil || transient(err) {
			return nil, err
		}
		w.blind = true
	}
	return w.unplanned(ctx)
}

// plan decides how the next page is read. A long page that is sparse on the whole may
// begin with a dense part.
func (w *walk) plan(ctx context.Context) (func(context.Context) ([]*record.Record, error), error) {
	here := w.here()
	var end mark
	for _, n := range []uint64{denseRecords, min(w.sparseStep(), w.wanted())} {
		var err error
		if end, err = w.ahead(ctx, here, n); err != nil {
			return nil, err
		}
		if here.number > 0 && othersBetween(here, end) <= fewOthers {
			return func(ctx context.Context) ([]*record.Record, error) { return w.stretch(ctx, end) }, nil
		}
		if isDense(here, end) {
			return func(ctx context.Context) ([]*record.Record, error) { return w.dense(ctx, w.upTo(end)) }, nil
		}
	}
	return func(ctx context.Context) ([]*record.Record, error) { return w.sparse(ctx, end) }, nil
}

// upTo returns how many records up to a mark one batch is to bring.
func (w *walk) upTo(end mark) int {
	return int(min(end.number-w.prev.Number, w.wanted(), w.left()-1)) // the last one is here
}

// unplanned reads the next page where a record ahead, which would have told how, is not what
// it should be. The records before the fault are still good, and the first fault in their
// order is the one to be named: it is looked for without knowing what lies between, by
// the average that the nearest mark tells.
func (w *walk) unplanned(ctx context.Context) ([]*record.Record, error) {
	if end := w.nearest(w.here()); isDense(w.here(), end) {
		return w.insist(ctx, func(ctx context.Context) ([]*record.Record, error) {
			return w.dense(ctx, int(min(end.number-w.prev.Number, w.wanted(), denseRecords)))
		})
	}
	r, err := w.s.leaderNext(ctx, w.key, w.prev)
	if err != nil {
		return nil, err
	}
	return []*record.Record{r}, nil
}

// here returns the last record taken, or the place just before the first.
func (w *walk) here() mark {
	if w.prev.Number == 0 && w.start > 0 {
		return mark{0, w.start - 1}
	}
	return mark{w.prev.Number, w.prev.Position}
}

// insist reads a page, again while replicas lag, and in the end its first record from
// the leader.
func (w *walk) insist(ctx context.Context, read func(context.Context) ([]*record.Record, error)) ([]*record.Record, error) {
	for try := 0; ; try++ {
		records, err := read(ctx)
		if len(records) > 0 {
			return records, nil
		}
		if ctx.Err() != nil {
			return nil, ended(ctx.Err(), err)
		}
		if err == nil {
			w.s.happened(ctx, StaleAnswer)
		}
		if err != nil && !transient(err) || try >= staleTries {
			r, err := w.s.leaderNext(ctx, w.key, w.prev)
			if err != nil {
				return nil, err
			}
			return []*record.Record{r}, nil
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return nil, ended(waitErr, err)
		}
	}
}

// leaderNext reads the record after prev from the leader, which has it: a later one
// has been seen.
func (s *Store) leaderNext(ctx context.Context, key execution, prev record.Tail) (*record.Record, error) {
	m, err := retry(ctx, func() (*message, error) {
		m, err := s.asks.leaderGet(ctx, s.cfg.stream, getRequest{Seq: prev.Position + 1, NextFor: s.subject(key)})
		if errors.Is(err, errNotFound) {
			err = fmt.Errorf("enact: the leader has no record of subject %q after position %d, though a later one was seen", s.subject(key), prev.Position)
		}
		return m, err
	})
	if err != nil {
		return nil, err
	}
	r, err := s.parse(m, key)
	if err != nil {
		return nil, err
	}
	return r, follows(r, prev)
}

// follows checks that r continues a history that ends in prev. A CorruptError names
// the first thing that does not fit.
func follows(r *record.Record, prev record.Tail) error {
	switch {
	case r.Sequence > prev.Sequence+1:
		return r.Corrupt("hole: events %d to %d are missing", prev.Sequence+1, r.Sequence-1)
	case r.Sequence <= prev.Sequence:
		return r.Corrupt("repeat: event %d follows event %d", r.Sequence, prev.Sequence)
	case r.Link.Number != prev.Number+1:
		return r.Corrupt("record %d follows record %d", r.Link.Number, prev.Number)
	case r.Previous() != prev.Position:
		return r.Corrupt("the previous record is at position %d, the record says %d", prev.Position, r.Previous())
	case prev.Number > 0 && r.Link.Origin != prev.Origin:
		return r.Corrupt("the origin changes from %s to %s", prev.Origin, r.Link.Origin)
	case !r.LinksTo(prev):
		return r.Corrupt("link: the back list is not the one that follows record %d", prev.Number)
	case !r.Follows(prev.Chain):
		return r.Corrupt("broken chain: the record, or the one before it, is not what was appended")
	}
	return r.Torn(prev)
}

// recordsFrom yields start and what follows it up to the watermark, each checked
// against the one before, start by its own link only.
func (s *Store) recordsFrom(ctx context.Context, key execution, start, last *record.Record) iter.Seq2[*record.Record, error] {
	return func(yield func(*record.Record, error) bool) {
		if start.Link.Number > last.Link.Number {
			yield(nil, last.Corrupt("record %d stands behind record %d", last.Link.Number, start.Link.Number))
			return
		}
		if !yield(start, nil) {
			return
		}
		for w := s.newWalk(key, start.Tail(), last); w.left() > 0; {
			records, err := w.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}
