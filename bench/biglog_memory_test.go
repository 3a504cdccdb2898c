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
	const (
		most   = 64 << 20
		packed = 900_000
		single = 100_000
	)
	srv := natstest.Start(t, natstest.Options{NoSync: true}) // its heap is its own
	nc, err := nats.Connect(srv.URL())
	check(t, err)
	defer nc.Close()
	check(t, jetstore.EnsureStream(t.Context(), nc))
	store, err := jetstore.Connect(t.Context(), srv.URL())
	check(t, err)
	defer func() { check(t, store.Shutdown(t.Context())) }()
	run := store.Execution("acme", enact.NewExecutionID())
	for _, part := range []struct {
		events, batch int
		opts          []enact.AppendOption
	}{
		{packed, 45_000, nil},
		{single, 1000, []enact.AppendOption{enact.WithOneEventPerRecord()}},
	} {
		batch := make([]enact.Event, part.batch)
		for i := range batch {
			batch[i] = payload(256)
		}
		for range part.events / part.batch {
			_, err := run.AppendBatch(t.Context(), batch, part.opts...)
			check(t, err)
		}
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
		if count != packed+single {
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
