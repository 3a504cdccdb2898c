package jetstore

import (
	"context"

	"github.com/enactlog/enact/internal/record"
)

// dense reads the next n records with one direct-get batch.
func (w *walk) dense(ctx context.Context, n int) ([]*record.Record, error) {
	seq := w.here().position + 1
	if w.prev.Number == 0 {
		// For a batch the server counts what is left of the subject. From the stream's beginning
		// on it knows that; from anywhere else it looks through a block, which takes longer than
		// all the rest (server/filestore.go, NumPending). It finds the first record either way.
		seq = 1
	}
	req := getRequest{Seq: seq, NextFor: w.subject, Batch: n, MaxBytes: denseBytes}
	return w.batch(ctx, req, func(*message) bool { return true })
}

// stretch reads the records up to end with one direct-get batch of all subjects: few
// messages of others lie between. Where they are large ones, the batch may end before the
// first record, and the records are read as a dense page.
func (w *walk) stretch(ctx context.Context, end mark) ([]*record.Record, error) {
	here, to := w.here(), end.position
	if to == w.last.Position {
		to-- // the last one is here
	}
	n := min(to-here.position, w.wanted()+othersBetween(here, end))
	others := 0
	req := getRequest{Seq: here.position + 1, Batch: int(n), MaxBytes: denseBytes}
	records, err := w.batch(ctx, req, func(m *message) bool {
		if m.subject == w.subject && m.position <= to {
			return true
		}
		others++
		return false
	})
	if len(records) == 0 && err == nil && others > 0 {
		return w.dense(ctx, w.upTo(end))
	}
	return records, err
}

// batch reads the next records, which are those that mine says are, from one replica. It
// returns those that fit, and an error if something that does not fit came after them.
func (w *walk) batch(ctx context.Context, req getRequest, mine func(*message) bool) ([]*record.Record, error) {
	records := make([]*record.Record, 0, req.Batch)
	prev := w.prev
	err := w.s.reads.directBatch(ctx, w.s.cfg.stream, req, func(m *message) error {
		if !mine(m) {
			return nil
		}
		r, err := w.follow(m, prev)
		if err != nil {
			return err
		}
		records, prev = append(records, r), r.Tail()
		return nil
	})
	return records, err
}

// beginning reads the first n records from one replica, as dense does.
func (w *walk) beginning(ctx context.Context, n int) ([]*record.Record, error) {
	if n > 1 {
		return w.dense(ctx, n)
	}
	m, err := w.s.reads.directGet(ctx, w.s.cfg.stream, getRequest{Seq: w.here().position + 1, NextFor: w.subject})
	if err != nil {
		return nil, err
	}
	r, err := w.follow(m, record.Tail{})
	if err != nil {
		return nil, err
	}
	return []*record.Record{r}, nil
}
