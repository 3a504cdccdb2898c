package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
)

const (
	benchTenant = "bench"
	maxTailed   = 1000 // events of the tails
)

// benchResult is what was measured of one kind of operation. Times are in microseconds.
type benchResult struct {
	Phase           string  `json:"phase"`
	Number          int     `json:"number"` // of operations
	Events          int     `json:"events"`
	Seconds         float64 `json:"seconds"` // in all
	EventsPerSecond float64 `json:"events_per_second"`
	BytesPerSecond  float64 `json:"bytes_per_second"` // of the events' JSON
	P50             int64   `json:"p50_us"`
	P90             int64   `json:"p90_us"`
	P99             int64   `json:"p99_us"`
	Max             int64   `json:"max_us"`

	bytes int
}

// over says how long all operations took together.
func (r benchResult) over(d time.Duration) benchResult {
	r.Seconds = d.Seconds()
	r.EventsPerSecond = float64(r.Events) / r.Seconds
	r.BytesPerSecond = float64(r.bytes) / r.Seconds
	return r
}

// bench measures in one log.
type bench struct {
	store *jetstore.Store
	flags *benchFlags
	event enact.Event
	size  int // of the event's JSON
}

func newBench(store *jetstore.Store, flags *benchFlags) *bench {
	event := func(fill int) enact.Event {
		return enact.Custom{EventType: "bench", Data: enact.JSON(strings.Repeat("x", fill))}
	}
	frame := eventSize(event(0))
	b := &bench{store: store, flags: flags, event: event(max(flags.Size-frame, 0))}
	b.size = eventSize(b.event)
	return b
}

func eventSize(event enact.Event) int {
	data, err := enact.AppendEvent(nil, event)
	if err != nil {
		panic(err) // of a text of x
	}
	return len(data)
}

// operations returns how many operations a phase has.
func (b *bench) operations(phase string) int {
	switch phase {
	case "batches":
		return (b.flags.Events + b.flags.Batch - 1) / b.flags.Batch
	case "loads":
		return b.flags.Executions
	case "tails":
		return min(b.flags.Events, maxTailed)
	}
	return b.flags.Events
}

func (b *bench) execution(kind string, i int) jetstore.Execution {
	return b.store.Execution(benchTenant, enact.ExecutionID(fmt.Sprintf("%s-%d", kind, i%b.flags.Executions)))
}

func (b *bench) appends(ctx context.Context, bar *bar) (benchResult, error) {
	return b.each(ctx, b.operations("appends"), bar, func(ctx context.Context, i int) (int, error) {
		_, err := b.execution("single", i).Append(ctx, b.event)
		return 1, err
	})
}

func (b *bench) batches(ctx context.Context, bar *bar) (benchResult, error) {
	batch := slices.Repeat([]enact.Event{b.event}, b.flags.Batch)
	return b.each(ctx, b.operations("batches"), bar, func(ctx context.Context, i int) (int, error) {
		n := min(b.flags.Batch, b.flags.Events-i*b.flags.Batch)
		_, err := b.execution("batch", i).AppendBatch(ctx, batch[:n])
		return n, err
	})
}

func (b *bench) loads(ctx context.Context, bar *bar) (benchResult, error) {
	return b.each(ctx, b.operations("loads"), bar, func(ctx context.Context, i int) (int, error) {
		n := 0
		for _, err := range b.execution("single", i).Events(ctx, 0) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
}

// tails appends to one execution and waits for each event at a live tail.
func (b *bench) tails(ctx context.Context, bar *bar) (benchResult, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	run := b.execution("tail", 0)
	if _, err := run.Append(ctx, b.event); err != nil {
		return benchResult{}, err
	}
	caughtUp, seen := make(chan struct{}), make(chan struct{}, 1)
	failed := make(chan error, 1)
	go func() {
		for _, err := range consumer.Tail(ctx, run, 1, consumer.OnCaughtUp(func(uint64) { close(caughtUp) })) {
			if err != nil {
				failed <- err
				return
			}
			seen <- struct{}{}
		}
		failed <- errors.New("the tail ended")
	}()
	// The goroutine ends with ctx.
	defer func() {
		stop()
		for {
			select {
			case <-seen:
			case <-failed:
				return
			}
		}
	}()
	wait := func(what <-chan struct{}) error {
		select {
		case <-what:
			return nil
		case err := <-failed:
			failed <- err // for the one who waits for its end
			return err
		}
	}
	if err := wait(caughtUp); err != nil {
		return benchResult{}, err
	}
	var times []time.Duration
	for range b.operations("tails") {
		start := time.Now()
		if _, err := run.Append(ctx, b.event); err != nil {
			return benchResult{}, err
		}
		if err := wait(seen); err != nil {
			return benchResult{}, err
		}
		times = append(times, time.Since(start))
		bar.add(1)
	}
	return b.result(times, len(times)), nil
}

// each does n operations, numbered from 0, as many at a time as there are writers. Writer
// w does those of the executions w, w + writers, and so on, so that no two meet. An
// operation returns the number of its events.
func (b *bench) each(ctx context.Context, n int, bar *bar, do func(ctx context.Context, i int) (int, error)) (benchResult, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		all    []time.Duration
		events int
	)
	for w := range b.flags.Writers {
		wg.Go(func() {
			var times []time.Duration
			done := 0
			for round := 0; round < n; round += b.flags.Executions {
				for e := w; e < b.flags.Executions && round+e < n; e += b.flags.Writers {
					start := time.Now()
					count, err := do(ctx, round+e)
					if err != nil {
						stop(err)
						return
					}
					times = append(times, time.Since(start))
					done += count
					bar.add(1)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all, events = append(all, times...), events+done
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return benchResult{}, err
	}
	return b.result(all, events), nil
}

func (b *bench) result(times []time.Duration, events int) benchResult {
	slices.Sort(times)
	return benchResult{
		Number: len(times), Events: events, bytes: events * b.size,
		P50: percentile(times, 50), P90: percentile(times, 90), P99: percentile(times, 99), Max: percentile(times, 100),
	}
}

// percentile returns, in microseconds, the smallest of the sorted times that p of a hundred
// do not exceed; 0 of none.
func percentile(sorted []time.Duration, p int) int64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1].Microseconds()
}
