package jetstore

import (
	"context"
	"time"

	"github.com/enactlog/enact/internal/record"
)

// sparseReaders is how many point reads of one page go on at a time, as long as they are
// quick. One that takes longer than slowPoint has waited for a block of the stream, 12 ms where
// nobody has used it for minutes, and so have the appends meanwhile. Two such reads at a time
// are no faster, and appends wait for both.
const (
	sparseReaders = 2
	slowPoint     = 2 * time.Millisecond
)

// sparseStep returns how many records the next sparse page has at most. Their sizes show
// only once they are read: the watermark's, and those of the page before, are what there
// is to go by.
func (w *walk) sparseStep() uint64 {
	return min(sparseRecords, max(1, uint64(sparseBytes/max(1, w.large, len(w.last.Payload)))))
}

// sparse reads the records up to end one by one. Each names earlier ones in its back
// list, so that after the first there is always more than one to be read. Of a page that
// turns out to be too large the last records are read again, in a later one.
func (w *walk) sparse(ctx context.Context, end mark) ([]*record.Record, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		r    *record.Record
		err  error
		took time.Duration
	}
	answers := make(chan answer, sparseReaders)
	records := make([]*record.Record, end.number-w.prev.Number)
	keep, size, large := len(records), 0, 0
	known := make([]bool, len(records))
	todo := []mark{end}
	known[len(records)-1] = true
	var failed error
	readers := 1
	for reading := 0; reading > 0 || len(todo) > 0 && failed == nil; {
		for reading < readers && len(todo) > 0 && failed == nil {
			m := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			reading++
			go func() {
				asked := time.Now()
				r, err := w.at(ctx, m)
				answers <- answer{r, err, time.Since(asked)}
			}()
		}
		a := <-answers
		reading--
		switch {
		case a.took > slowPoint:
			readers = 1
		case a.r != w.last: // which is here, and says nothing
			readers = sparseReaders
		}
		if a.err != nil {
			if failed == nil {
				failed = a.err
				cancel()
			}
			continue
		}
		if at := int(a.r.Link.Number - w.prev.Number - 1); at < keep {
			records[at] = a.r
			size += len(a.r.Payload)
		}
		large = max(large, len(a.r.Payload))
		for size > sparseBytes && keep > 1 {
			keep--
			if r := records[keep]; r != nil {
				records[keep], size = nil, size-len(r.Payload)
			}
		}
		i := 0
		for number := range record.Numbers(a.r.Link.Number) {
			if number <= w.prev.Number {
				break
			}
			if at := number - w.prev.Number - 1; !known[at] {
				known[at] = true
				todo = append(todo, mark{number, a.r.Link.Back[i].Position})
			}
			i++
		}
	}
	if failed != nil {
		return nil, failed
	}
	w.large = large
	return continued(records[:keep], w.prev)
}

// continued returns those records, from the first, that continue prev, and what is
// wrong with the one behind them.
func continued(records []*record.Record, prev record.Tail) ([]*record.Record, error) {
	for i, r := range records {
		if err := follows(r, prev); err != nil {
			return records[:i], err
		}
		prev = r.Tail()
	}
	return records, nil
}
