//go:build biglog

package bench

import (
	"runtime"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// An iteration over a million events holds a few pages of them at a time, in either
// direction, whether records have one event or hundreds.
func TestMemoryOfAMillionEvents(t *testing.T) {
	const most, batch = 64 << 20, 1000
	packed, single := min(900_000, scaled(t, 900_000)), min(100_000, scaled(t, 100_000))
	srv := natstest.Start(t, natstest.Options{NoSync: true}) // its heap is its own
	nc, err := nats.Connect(srv.URL())
	check(t, err)
	defer nc.Close()
	check(t, jetstore.EnsureStream(t.Context(), nc))
	store, err := jetstore.Connect(t.Context(), srv.URL())
	check(t, err)
	defer func() { check(t, store.Shutdown(t.Context())) }()
	run := store.Execution("acme", enact.NewExecutionID())
	events := make([]enact.Event, batch)
	for i := range events {
		events[i] = payload(256)
	}
	total := 0
	for total < packed+single {
		var opts []enact.AppendOption
		if total >= packed {
			opts = append(opts, enact.WithOneEventPerRecord())
		}
		_, err := run.AppendBatch(t.Context(), events, opts...)
		check(t, err)
		total += batch
	}

	for name, opts := range map[string][]enact.ReadOption{"forwards": nil, "backwards": {enact.Backwards()}} {
		runtime.GC()
		before := heap()
		growth, count, began := uint64(0), 0, time.Now()
		for _, err := range run.Events(t.Context(), 0, opts...) {
			check(t, err)
			if count++; count%5000 == 0 {
				now := heap()
				growth = max(growth, now-min(now, before))
			}
		}
		if count != total {
			t.Fatalf("%s: %d events", name, count)
		}
		t.Logf("%s: the heap grew by %s at most over %s events in %v",
			name, humanize.IBytes(growth), humanize.Comma(int64(count)), time.Since(began).Round(time.Millisecond))
		if growth > most {
			t.Errorf("%s: the heap grew by %s, more than %s", name, humanize.IBytes(growth), humanize.IBytes(most))
		}
	}
}

// heap returns the size of the heap, garbage included.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
