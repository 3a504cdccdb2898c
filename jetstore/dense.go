package jetstore

import (
	"context"

	"github.com/enactlog/enact/internal/record"
)

// dense reads the next n records with one direct-get batch from one replica. It
// returns those that fit, and an error if something that does not fit came after them.
func (w *walk) dense(ctx context.Context, n int) ([]*record.Record, error) {
	records := make([]*record.Record, 0, n)
	prev := w.prev
	seq := w.here().position + 1
	if prev.Number == 0 {
		// For a batch the server counts what is left of the subject. From the stream's beginning
		// on it knows that; from anywhere else it looks through a block, which takes longer than
		// all the rest (server/filestore.go, NumPending). It finds the first record either way.
		seq = 1
	}
	req := getRequest{Seq: seq, NextFor: w.subject, Batch: n, MaxBytes: denseBytes}
	err := w.s.reads.directBatch(ctx, w.s.cfg.stream, req, func(m *message) error {
		r, err := w.follow(m, prev)
		if err != nil {
			return err
		}
		records, prev = append(records, r), r.Tail()
		return nil
	})
	return records, err
}

// stretch reads the records up to end with one direct-get batch of all subjects, from one
// replica: few messages of others lie between. Where they are large ones, the batch may end
// before the first record, and the records are read as a dense page.
func (w *walk) stretch(ctx context.Context, end mark) ([]*record.Record, error) {
	here, to := w.here(), end.position
	if to == w.last.Position {
		to-- // the last one is here
	}
	n := min(to-here.position, w.wanted()+othersBetween(here, end))
	var records []*record.Record
	prev, others := w.prev, 0
	req := getRequest{Seq: here.position + 1, Batch: int(n), MaxBytes: denseBytes}
	err := w.s.reads.directBatch(ctx, w.s.cfg.stream, req, func(m *message) error {
		if m.subject != w.subject || m.position > to {
			others++
			return nil
		}
		r, err := w.follow(m, prev)
		if err != nil {
			return err
		}
		records, prev = append(records, r), r.Tail()
		return nil
	})
	if len(records) == 0 && err == nil && others > 0 {
		return w.dense(ctx, w.upTo(end))
	}
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
