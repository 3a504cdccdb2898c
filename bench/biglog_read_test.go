//go:build biglog

package bench

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/loggen"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// Classes of executions that are read.
const (
	long   = "long"   // 100 000 records of one event among those of all others
	dense  = "dense"  // as many, nearly side by side
	near   = "near"   // 20 records of one event, 20 messages from one to the next
	usual  = "usual"  // 200 messages
	sparse = "sparse" // 5000 messages
)

const (
	loaded = 20 // events of the short loads
	// visited is how many blocks the executions of a class that are read in turn lie in, about:
	// few enough for servers to keep them, as those of executions in use.
	visited = 32
)

func readsShape(b *testing.B) loggen.Shape {
	most := min(100_000, scaled(b, 100_000))
	some := max(20, scaled(b, 500))
	return loggen.Shape{
		Seed: 1, Records: scaled(b, 2_000_000), Executions: scaled(b, 200_000), Tenants: 20,
		Classes: []loggen.Class{
			{Name: long, Count: 1, Min: most, Single: true},
			{Name: dense, Count: 1, Min: most, Gap: 0.25, Single: true},
			{Name: "thousands", Count: scaled(b, 50), Min: 1000, Max: 5000, Gap: 20},
			{Name: near, Count: some, Min: loaded, Gap: 20, Single: true},
			{Name: usual, Count: some, Min: loaded, Gap: 200, Single: true},
			{Name: sparse, Count: some, Min: loaded, Gap: 5000, Single: true},
		},
	}
}

// Reads of a large log beside the raw operations that could do them: `make bench-reads`.
func BenchmarkReads(b *testing.B) {
	shape := readsShape(b)
	t := newResults(fmt.Sprintf("Reads of a log of %d records, %d executions; p50", shape.Records, shape.Executions))
	defer t.Render()
	for name, nodes := range placesOfBigLogs() {
		b.Run(name, func(b *testing.B) {
			l := openLog(b, "reads", nodes, shape, false)
			b.Run("short", func(b *testing.B) { l.benchShort(b, t, name) })
			b.Run("readers", func(b *testing.B) { l.benchReaders(b, t, name) })
			b.Run("long", func(b *testing.B) { l.benchLong(b, t, name) })
			b.Run("ends", func(b *testing.B) { l.benchEnds(b, t, name) })
		})
	}
}

// placesOfBigLogs yields where a big log lies: names and numbers of servers.
func placesOfBigLogs() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		_ = yield("R1-disk", 1) && yield("R3-disk", 3)
	}
}

// load reads a whole execution.
func (l *bigLog) load(b testing.TB, e loggen.Execution) {
	events, err := l.run(e).LoadEvents(context.Background())
	check(b, err)
	if len(events) != e.Records {
		b.Fatalf("%d events of %d", len(events), e.Records)
	}
}

// some returns a few executions of a class from all over the log, which have been read.
func (l *bigLog) some(b *testing.B, class string) []loggen.Execution {
	b.Helper()
	n := visited
	if class == sparse {
		n /= 10 // each lies in as many
	}
	all := l.Class(class)
	n = min(n, len(all))
	var some []loggen.Execution
	for i := range n {
		e := all[i*len(all)/n]
		l.load(b, e)
		some = append(some, e)
	}
	return some
}

// benchShort measures loads of short executions, another one each time.
func (l *bigLog) benchShort(b *testing.B, t results, place string) {
	for _, class := range []struct {
		name  string
		asked float64
	}{{near, 1.5}, {usual, 1.5}, {sparse, 0}} {
		some := l.some(b, class.name)
		for _, raw := range []struct {
			name  string
			asked float64
			read  func(subject string, n int) error
		}{
			{"leader get and batch", class.asked, l.rawFencedRead},
			{"ordered consumer", l.onReplicas(1. / 3), l.rawConsumer},
		} {
			b.Run(class.name+"/"+raw.name, func(b *testing.B) {
				b.ReportAllocs()
				theirs, ours := compare(b,
					func(i int) { check(b, raw.read(l.subject(some[i%len(some)]), loaded)) },
					func(i int) { l.load(b, some[i%len(some)]) })
				t.times(place, fmt.Sprintf("load of %d, %s", loaded, class.name), raw.name, theirs, ours, raw.asked)
			})
		}
	}
	l.benchFirst(b, t, place)
}

// benchFirst measures loads by a store that does not know where an execution begins: it
// remembers fewer than are read in turn.
func (l *bigLog) benchFirst(b *testing.B, t results, place string) {
	ctx := context.Background()
	store, err := jetstore.Connect(ctx, l.url, jetstore.WithCacheSize(1))
	check(b, err)
	defer func() { check(b, store.Shutdown(ctx)) }()
	some := l.some(b, usual)
	b.Run(usual+"/first", func(b *testing.B) {
		theirs, ours := compare(b,
			func(i int) { check(b, l.rawFencedRead(l.subject(some[i%len(some)]), loaded)) },
			func(i int) {
				e := some[i%len(some)]
				events, err := store.Execution(e.TenantID, e.ExecutionID).LoadEvents(ctx)
				check(b, err)
				if len(events) != loaded {
					b.Fatalf("%d events", len(events))
				}
			})
		t.times(place, fmt.Sprintf("load of %d, %s, the first of a store", loaded, usual), "leader get and batch", theirs, ours, 0)
	})
}

// onReplicas returns what is asked on three nodes only.
func (l *bigLog) onReplicas(asked float64) float64 {
	if l.nodes == 1 {
		return 0
	}
	return asked
}

// benchReaders measures loads by 32 readers at a time.
func (l *bigLog) benchReaders(b *testing.B, t results, place string) {
	const readers, each = 32, 10
	some := l.some(b, usual)
	nth := func(reader, i int) loggen.Execution { return some[(reader*each+i)%len(some)] }
	all := func(read func(loggen.Execution) error) {
		together(b, readers, func(reader int) error {
			i := 0
			return repeat(each, func() error {
				i++
				return read(nth(reader, i))
			})
		})
	}
	theirs, ours := throughput(b, readers*each,
		func() { all(func(e loggen.Execution) error { return l.rawConsumer(l.subject(e), loaded) }) },
		func() {
			all(func(e loggen.Execution) error {
				_, err := l.run(e).LoadEvents(context.Background())
				return err
			})
		})
	t.speeds(place, fmt.Sprintf("%d loads of %d, %s, by %d readers", readers*each, loaded, usual, readers), "ordered consumer", theirs, ours, l.onReplicas(10))
}

// benchLong measures loads of long executions, and what of it the chain check takes.
func (l *bigLog) benchLong(b *testing.B, t results, place string) {
	for _, class := range []string{long, dense} {
		e := l.one(class)
		what := fmt.Sprintf("load of %d, %s", e.Records, class)
		var ours time.Duration
		for _, raw := range []struct {
			name string
			read func(subject string, n int) error
		}{{"ordered consumer, Messages", l.rawConsumer}, {"ordered consumer, Consume", l.rawConsume}} {
			b.Run(class+"/"+raw.name, func(b *testing.B) {
				b.ReportAllocs()
				var theirs time.Duration
				theirs, ours = compare(b,
					func(int) { check(b, raw.read(l.subject(e), e.Records)) },
					func(int) {
						n := 0
						for _, err := range l.run(e).Events(context.Background(), 0) {
							check(b, err)
							n++
						}
						if n != e.Records {
							b.Fatalf("%d events of %d", n, e.Records)
						}
					})
				t.speeds(place, what, raw.name, theirs, ours, 0.7)
			})
		}
		b.Run(class+"/chain", func(b *testing.B) {
			records := l.records(b, e)
			var times []time.Duration
			for b.Loop() {
				times = append(times, timed(func() {
					for i, r := range records[1:] {
						if !r.Follows(records[i].Link.Chain) {
							b.Fatal("broken chain")
						}
					}
				}))
			}
			chain := median(times)
			b.ReportMetric(float64(chain.Nanoseconds())/float64(len(records)), "ns/record")
			t.times(place, "chain check of it", "whole load", ours, chain, 0)
		})
	}
}

// rawConsume is rawConsumer with a callback.
func (l *bigLog) rawConsume(subject string, n int) error {
	c, err := l.consumer(subject)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	got := 0
	consume, err := c.Consume(func(jetstream.Msg) {
		if got++; got == n {
			close(done)
		}
	})
	if err != nil {
		return err
	}
	<-done
	consume.Stop()
	<-consume.Closed()
	return nil
}

// records reads the records of an execution.
func (l *bigLog) records(b *testing.B, e loggen.Execution) []*record.Record {
	b.Helper()
	c, err := l.consumer(l.subject(e))
	check(b, err)
	messages, err := c.Messages()
	check(b, err)
	defer messages.Stop()
	records := make([]*record.Record, e.Records)
	for i := range records {
		m, err := messages.Next()
		check(b, err)
		meta, err := m.Metadata()
		check(b, err)
		records[i], err = record.Parse(l.store.Subjects(), m.Subject(), meta.Sequence.Stream, m.Headers(), m.Data())
		check(b, err)
	}
	return records
}

// benchEnds measures reads near the end of a long execution beside a load of as many.
func (l *bigLog) benchEnds(b *testing.B, t results, place string) {
	ctx := context.Background()
	some := l.some(b, usual)
	for _, class := range []string{long, dense} {
		e := l.one(class)
		run, after := l.run(e), uint64(e.Records-loaded)
		for _, end := range []struct {
			name  string
			asked float64
			read  func() ([]enact.StoredEvent, error)
		}{
			{"last %d of %d, %s, backwards", 3, func() ([]enact.StoredEvent, error) {
				return run.LoadEvents(ctx, enact.Backwards(), enact.Limit(loaded))
			}},
			{"last %d of %d, %s, LoadEventsAfter", 3, func() ([]enact.StoredEvent, error) {
				return run.LoadEventsAfter(ctx, after)
			}},
			{"%d from the middle of %d, %s", 0, func() ([]enact.StoredEvent, error) {
				return run.LoadEventsAfter(ctx, after/2, enact.Limit(loaded))
			}},
		} {
			what := fmt.Sprintf(end.name, loaded, e.Records, class)
			b.Run(what, func(b *testing.B) {
				b.ReportAllocs()
				theirs, ours := compare(b,
					func(i int) { l.load(b, some[i%len(some)]) },
					func(int) {
						events, err := end.read()
						check(b, err)
						if len(events) != loaded {
							b.Fatalf("%d events", len(events))
						}
					})
				t.times(place, what, fmt.Sprintf("enact's load of %d, %s", loaded, usual), theirs, ours, end.asked)
			})
		}
	}
}
