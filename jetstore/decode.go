package jetstore

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

const (
	// decodeAlone is how much one goroutine decodes alone, in bytes of payload; an event takes
	// as long as eventBytes beside those it has. 16 records of one event of up to 4 KiB are no
	// more than that: two goroutines took 1.0 to 1.4 times as long for them as one, on two
	// cores, and 0.7 to 0.9 times for records of 10 events and more (BenchmarkDecode).
	decodeAlone = 96 << 10
	eventBytes  = 1 << 10
	// decodersMost is how many decode at a time. More would wait for what is to be decoded.
	decodersMost = 4
)

// decode returns the events of records within [lo, hi], with an error those before the
// record that has no readable events. The records follow each other.
func (s *Store) decode(ctx context.Context, records []*record.Record, lo, hi uint64) ([]enact.StoredEvent, error) {
	for len(records) > 0 && records[0].Last() < lo {
		records = records[1:]
	}
	for len(records) > 0 && records[len(records)-1].Sequence > hi {
		records = records[:len(records)-1]
	}
	if len(records) == 0 {
		return nil, nil
	}
	page, err := decodeAll(ctx, records, s.cfg.codecs, decoders(records))
	// Of the first and the last record some events may not be wanted.
	first := records[0].Sequence
	until := min(uint64(len(page)), hi-first+1)
	return page[min(max(lo, first)-first, until):until], err
}

// decoders returns how many goroutines are to decode records at a time.
func decoders(records []*record.Record) int {
	size := 0
	for _, r := range records {
		size += len(r.Payload) + r.Count()*eventBytes
	}
	return max(1, min(runtime.GOMAXPROCS(0), len(records), decodersMost, size/decodeAlone))
}

// errPanicked stands for the panic of a codec in a goroutine of decodeAll.
var errPanicked = errors.New("codec panicked")

// decodeAll returns the events of records, which follow each other, with an error those
// before the first record that has no readable events.
func decodeAll(ctx context.Context, records []*record.Record, codecs codec.Set, decoders int) ([]enact.StoredEvent, error) {
	first := records[0].Sequence
	page := make([]enact.StoredEvent, records[len(records)-1].Last()-first+1)
	errs := make([]error, len(records))
	var taken atomic.Int64
	var failed atomic.Bool
	decode := func(i int) {
		r := records[i]
		at := r.Sequence - first // its events have their place in the page, and no more
		if _, errs[i] = r.AppendEvents(ctx, page[at:at:at+uint64(r.Count())], codecs); errs[i] != nil {
			failed.Store(true)
		}
	}
	next := func() (i int, ok bool) {
		i = int(taken.Add(1)) - 1
		return i, i < len(records) && !failed.Load()
	}
	var others sync.WaitGroup
	for range decoders - 1 {
		others.Go(func() {
			i, ok := next()
			defer func() {
				if recover() != nil {
					errs[i] = errPanicked
					failed.Store(true)
				}
			}()
			for ; ok; i, ok = next() {
				decode(i)
			}
		})
	}
	func() {
		defer others.Wait()
		for i, ok := next(); ok; i, ok = next() {
			decode(i)
		}
	}()
	if i := slices.Index(errs, errPanicked); i >= 0 {
		decode(i) // a codec's panic is the caller's, who may recover
	}
	// Records are taken in order: those before one that failed were taken, too.
	for i, err := range errs {
		if err != nil {
			return page[:records[i].Sequence-first], err
		}
	}
	return page, nil
}
