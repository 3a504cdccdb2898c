package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/jetstore"
)

// smokeVariable makes what BenchmarkTable measures small, to see that it works.
const smokeVariable = "ENACT_BENCH_SMOKE"

// BenchmarkTable is the whole table that bench/report makes a page of: every operation in
// every place, beside its raw one, in one run (`make bench`). The benchmarks of the same
// things elsewhere in this package measure one of them, or with more beside it.
func BenchmarkTable(b *testing.B) {
	printMachine(b)
	places(b, func(b *testing.B, p *place) {
		for _, size := range []int{256, 4096} {
			b.Run("append/"+sizeName(size), func(b *testing.B) { p.compareAppend(b, size) })
			b.Run("append-by-hand/"+sizeName(size), func(b *testing.B) { p.compareByHand(b, size) })
		}
		b.Run("first-append", p.compareFirstAppend)
		for _, n := range []int{10, 100} {
			b.Run(fmt.Sprint("batch/", n), func(b *testing.B) { p.compareBatch(b, n, true) })
		}
		b.Run("writers", p.compareWriters)
		b.Run("writers-by-hand", p.compareWritersByHand)
		b.Run("tail-latency", func(b *testing.B) { p.compareLatency(b, tailing, p.rawOrdered) })
		b.Run("tail-latency-by-hand", p.compareLatencyByHand)
		p.tableOfReads(b)
		p.tableOfLists(b)
		b.Run("fsck", p.compareCheck)
	})
}

// printMachine writes what the figures depend on as configuration lines of the results.
func printMachine(b *testing.B) {
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		fmt.Printf("kernel: %s\n", strings.TrimSpace(string(kernel)))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Printf("load: %s\n", strings.Join(strings.Fields(string(load))[:3], " "))
	}
	fmt.Printf("cores: %d\n", runtime.NumCPU())
	fmt.Printf("go: %s\n", runtime.Version())
	fmt.Printf("nats-server: %s\n", natsserver.VERSION)
	fmt.Printf("nats.go: %s\n", nats.Version)
	fmt.Printf("date: %s\n", time.Now().UTC().Format(time.DateOnly))
	fmt.Printf("fsync: %s\n", short(medianSync(b)))
	if os.Getenv(smokeVariable) != "" {
		fmt.Println("smoke: true")
	}
}

// medianSync returns how long an append of 512 bytes to a file takes to be on disk.
func medianSync(b *testing.B) time.Duration {
	b.Helper()
	f, err := os.CreateTemp("", "enact-bench-")
	check(b, err)
	var times []time.Duration
	data := make([]byte, 512)
	for range 50 {
		times = append(times, timed(func() {
			_, err := f.Write(data)
			check(b, err)
			check(b, f.Sync())
		}))
	}
	check(b, f.Close())
	check(b, os.Remove(f.Name()))
	return median(times)
}

// tableSizes are the events of the long history, which has as many messages of others
// between them, the messages between two records of the sparse one, and the executions of
// the tenant that is listed.
func tableSizes() (long, apart, executions int) {
	if os.Getenv(smokeVariable) != "" {
		return 1000, 50, 2 * pageSize
	}
	return 20_000, 2000, 1000
}

// tableOfReads measures loads of a dense, a long and a sparse history.
func (p *place) tableOfReads(b *testing.B) {
	ctx := context.Background()
	long, apart, _ := tableSizes()
	single := func(run jetstore.Execution, n int) {
		for n > 0 {
			events := make([]enact.Event, min(n, 500))
			for i := range events {
				events[i] = payload(256)
			}
			_, err := run.AppendBatch(ctx, events, enact.WithOneEventPerRecord())
			check(b, err)
			n -= len(events)
		}
	}
	load := func(b *testing.B, run jetstore.Execution, n int, after uint64, opts ...enact.ReadOption) {
		got := 0
		for _, err := range run.Events(ctx, after, opts...) {
			check(b, err)
			got++
		}
		if got != n {
			b.Fatalf("%d events, want %d", got, n)
		}
	}
	const few = 20
	var dense, far, sparse, filler jetstore.Execution
	prepare := func() { // by the first that needs it: what is not asked for costs nothing
		if dense.Store() != nil {
			return
		}
		for _, run := range []*jetstore.Execution{&dense, &far, &sparse, &filler} {
			*run = p.store.Execution("acme", enact.NewExecutionID())
		}
		for range few {
			single(dense, 1)
		}
		for n := 0; n < long; n += 500 {
			single(far, 500)
			single(filler, 500)
		}
		for range 10 {
			single(sparse, 1)
			single(filler, apart)
		}
	}
	rows := []struct {
		name      string
		raw, ours func(b *testing.B)
	}{
		{"load/dense", func(b *testing.B) { check(b, p.rawFencedRead(p.subject(dense), few)) }, func(b *testing.B) { load(b, dense, few, 0) }},
		{"load/dense-consumer", func(b *testing.B) { check(b, p.rawConsumer(p.subject(dense), few)) }, func(b *testing.B) { load(b, dense, few, 0) }},
		{"load/sparse", func(b *testing.B) { check(b, p.rawFencedRead(p.subject(sparse), 10)) }, func(b *testing.B) { load(b, sparse, 10, 0) }},
		{"load/long", func(b *testing.B) { check(b, p.rawConsumer(p.subject(far), long)) }, func(b *testing.B) { load(b, far, long, 0) }},
		{"load/after", func(b *testing.B) { load(b, dense, few, 0) }, func(b *testing.B) { load(b, far, few, uint64(long-few)) }},
		{"load/last", func(b *testing.B) { load(b, dense, few, 0) }, func(b *testing.B) {
			load(b, far, few, 0, enact.Backwards(), enact.Limit(few))
		}},
	}
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			prepare()
			compare(b, func(int) { row.raw(b) }, func(int) { row.ours(b) })
		})
	}
}

func (p *place) subject(run jetstore.Execution) string {
	return p.store.Subjects().Execution(run.Tenant(), run.ID())
}

// tableOfLists measures the newest page of a tenant's executions.
func (p *place) tableOfLists(b *testing.B) {
	ctx := context.Background()
	var subjects []string
	prepare := func(b *testing.B) {
		if subjects != nil {
			return
		}
		_, _, executions := tableSizes()
		for _, id := range p.fabricate(b, executions, 10)["all"] {
			subjects = append(subjects, p.store.Subjects().Execution("all", id))
		}
	}
	for _, row := range []struct {
		name string
		list func() (int, error)
	}{
		{"list", func() (int, error) {
			got, err := p.store.ListExecutions(ctx, "all", pageSize, 0)
			return len(got), err
		}},
		{"list-details", func() (int, error) {
			got, _, err := p.store.Executions(ctx, enact.Query{Tenant: "all", Limit: pageSize})
			return len(got), err
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			prepare(b)
			compare(b, func(int) { check(b, p.rawLasts(subjects)) }, func(int) {
				n, err := row.list()
				check(b, err)
				if n != pageSize {
					b.Fatalf("%d executions", n)
				}
			})
		})
	}
}

// compareCheck checks the log as it is now, beside a raw ordered consumer that reads it.
func (p *place) compareCheck(b *testing.B) {
	ctx := context.Background()
	stream, err := p.js.Stream(ctx, p.store.StreamName())
	check(b, err)
	n := int(stream.CachedInfo().State.Msgs)
	compare(b,
		func(int) { check(b, p.rawConsumer(p.store.Subjects().All(), n)) },
		func(int) {
			report, err := fsck.Check(ctx, p.store, fsck.Options{})
			check(b, err)
			if len(report.Findings) > 0 {
				b.Fatalf("%+v", report.Findings[0])
			}
		})
	b.ReportMetric(float64(n), "messages")
}
