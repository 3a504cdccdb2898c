//go:build biglog

package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/loggen"
	"github.com/enactlog/enact/jetstore"
)

const (
	// cold is the class of executions whose records are spread over the whole log, each in
	// blocks that no other has records in.
	cold        = "cold"
	coldRecords = 10
	coldRuns    = 5 // executions
	coldLoads   = 3 // of these are loaded, the others read by raw gets

	// bursts is the class of one whose records lie in three places, side by side.
	bursts       = "bursts"
	burstRecords = 600

	coldRounds = 2 // of each way to read
	coldLarger = 4 // times as large is the larger log

	// idleTime is longer than a server keeps the index of a block that nobody uses (2 min:
	// server/filestore.go, defaultFssExpiration; the block itself it keeps for 10 s).
	idleTime = 2*time.Minute + 20*time.Second

	// Each of the writers appends once in writerPause, for baseTime before the reads, and
	// meanwhile.
	coldWriters = 4
	writerPause = 5 * time.Millisecond
	baseTime    = 5 * time.Second
)

func coldShape(b *testing.B, times int) loggen.Shape {
	return loggen.Shape{
		Seed: 2, Records: times * scaled(b, 1_100_000), Executions: times * scaled(b, 110_000), Tenants: 20,
		Classes: []loggen.Class{
			{Name: cold, Count: coldRuns, Min: coldRecords, Single: true},
			{Name: bursts, Count: 1, Min: burstRecords, Gap: 2, Bursts: 3, Single: true},
		},
	}
}

// Loads of executions that are spread over a log which nobody has used for minutes,
// beside a direct-get batch, in a log and in one four times as large, and what appends
// suffer meanwhile: `make bench-cold`. The floor of that is what they suffer beside raw
// direct gets of records whose positions are known, one after another: a server makes
// appends wait while it reads a block (server/stream.go, getDirectRequest, isolateMu).
// Waiting takes most of the time: each round begins with more than two minutes of it.
func BenchmarkColdReads(b *testing.B) {
	t := newResults(fmt.Sprintf("Loads of %d records spread over a log that nobody used for %v", coldRecords, idleTime))
	defer t.Render()
	for _, at := range []struct {
		place string
		sync  bool
	}{{"R1-disk", false}, {"R1-disk-sync", true}} {
		b.Run(at.place, func(b *testing.B) {
			m := coldLogs{openLog(b, "cold", 1, coldShape(b, 1), at.sync), openLog(b, "cold-large", 1, coldShape(b, coldLarger), at.sync)}
			m.measure(b, t, at.place)
		})
	}
}

// coldLogs are a log and a larger one.
type coldLogs [2]*bigLog

func (m coldLogs) measure(b *testing.B, t results, place string) {
	var positions [2][][]uint64
	for i, l := range m {
		// All are read once, so that the system's cache has the blocks of all.
		for _, e := range l.Class(cold) {
			positions[i] = append(positions[i], l.positions(b, e))
		}
	}
	ways := []struct {
		name  string
		after bool // reads what the way before has left cold
		read  func(i int, l *bigLog) []time.Duration
	}{
		{"cold loads", false, func(_ int, l *bigLog) (took []time.Duration) {
			for _, e := range l.Class(cold)[:coldLoads] {
				took = append(took, timed(func() { l.load(b, e) }))
			}
			return took
		}},
		{"raw gets", true, func(i int, l *bigLog) (took []time.Duration) {
			for _, of := range positions[i][coldLoads:] {
				took = append(took, timed(func() { l.rawGets(b, of) }))
			}
			return took
		}},
		// One a round: it warms up all that lies between its records.
		{"the batch", false, func(_ int, l *bigLog) []time.Duration {
			return []time.Duration{timed(func() { check(b, l.rawBatch(l.subject(l.one(cold)), coldRecords)) })}
		}},
		{"a cold load of bursts", false, func(_ int, l *bigLog) []time.Duration {
			return []time.Duration{timed(func() { l.load(b, l.one(bursts)) })}
		}},
	}
	const loads, gets, batches, ofBursts = 0, 1, 2, 3
	var took, beside [4][2][]time.Duration // by way and log
	var alone [2][]time.Duration
	names := [2]string{m[0].blocks(b), m[1].blocks(b)}
	writers := [2]*writers{m[0].newWriters(b), m[1].newWriters(b)}
	for range coldRounds {
		for w, way := range ways {
			if !way.after {
				pass(b, idleTime)
			}
			for i, l := range m {
				base, meanwhile := writers[i].meanwhile(b, func() { took[w][i] = append(took[w][i], way.read(i, l)...) })
				alone[i], beside[w][i] = append(alone[i], base...), append(beside[w][i], meanwhile...)
			}
		}
	}
	for i, name := range names {
		ours, batch := median(took[loads][i]), median(took[batches][i])
		t.times(place, "cold load, "+name, "direct-get batch", batch, ours, 0.1)
		t.times(place, "cold load, "+name, "raw gets", median(took[gets][i]), ours, 0)
		t.times(place, fmt.Sprintf("cold load of %d in 3 bursts, %s", burstRecords, name), "cold load", ours, median(took[ofBursts][i]), 0)
		b.ReportMetric(float64(batch)/1e6, fmt.Sprintf("raw-%d-ms", i+1))
		b.ReportMetric(float64(ours)/1e6, fmt.Sprintf("enact-%d-ms", i+1))
	}
	t.times(place, "cold load, "+names[1], "cold load, "+names[0], median(took[loads][0]), median(took[loads][1]), 2)
	for i, name := range names {
		for w, way := range ways {
			asked := 0.
			if w == loads {
				asked = 3
			}
			t.times(place, "append p99 beside "+way.name+", "+name, "append p99", atQuantile(alone[i], 0.99), atQuantile(beside[w][i], 0.99), asked)
			t.times(place, "longest append beside "+way.name+", "+name, "longest append", slices.Max(alone[i]), slices.Max(beside[w][i]), 0)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// positions returns where an execution's records are, of one event each.
func (l *bigLog) positions(b *testing.B, e loggen.Execution) (all []uint64) {
	b.Helper()
	events, err := l.run(e).LoadEvents(context.Background())
	check(b, err)
	for _, ev := range events {
		all = append(all, ev.Position)
	}
	return all
}

// rawGets reads messages by their positions, one after another.
func (l *bigLog) rawGets(b *testing.B, positions []uint64) {
	b.Helper()
	for _, p := range positions {
		reply, err := l.nc.Request("$JS.API.DIRECT.GET."+l.store.StreamName(), fmt.Appendf(nil, `{"seq":%d}`, p), 10*time.Second)
		check(b, err)
		if status := reply.Header.Get("Status"); status != "" {
			b.Fatalf("direct get: %s", status)
		}
	}
}

// pass lets time pass: what is measured here is what servers do with time.
func pass(b *testing.B, d time.Duration) {
	b.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.Context().Done():
		b.Fatal(b.Context().Err())
	}
}

// blocks says how many blocks the log lies in.
func (l *bigLog) blocks(b *testing.B) string {
	b.Helper()
	files, err := filepath.Glob(filepath.Join(l.dir, "jetstream", "*", "streams", l.store.StreamName(), "msgs", "*.blk"))
	check(b, err)
	return fmt.Sprintf("%d blocks", len(files))
}

func atQuantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// writers append to a few executions of their own.
type writers struct {
	runs []jetstore.Execution
}

func (l *bigLog) newWriters(b *testing.B) *writers {
	w := &writers{}
	for range coldWriters {
		run := l.store.Execution("acme", enact.NewExecutionID())
		_, err := run.Append(context.Background(), payload(256))
		check(b, err)
		w.runs = append(w.runs, run)
	}
	return w
}

// meanwhile appends, first for baseTime alone, then while f runs, and returns how long
// each append took.
func (w *writers) meanwhile(b *testing.B, f func()) (alone, beside []time.Duration) {
	b.Helper()
	type sample struct {
		began time.Time
		took  time.Duration
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	samples := make([][]sample, len(w.runs))
	errs := make([]error, len(w.runs))
	var all sync.WaitGroup
	for i, run := range w.runs {
		all.Go(func() {
			event := payload(256)
			tick := time.NewTicker(writerPause)
			defer tick.Stop()
			for errs[i] == nil {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				began := time.Now()
				_, errs[i] = run.Append(context.Background(), event)
				samples[i] = append(samples[i], sample{began, time.Since(began)})
			}
		})
	}
	pass(b, baseTime)
	began := time.Now()
	f()
	pass(b, 2*writerPause) // each has begun one, also if f was quick
	ended := time.Now()
	stop()
	all.Wait()
	check(b, errors.Join(errs...))
	for _, some := range samples {
		for _, s := range some {
			switch {
			case s.began.Add(s.took).Before(began):
				alone = append(alone, s.took)
			case s.began.Before(ended):
				beside = append(beside, s.took)
			}
		}
	}
	return alone, beside
}
