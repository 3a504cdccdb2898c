//go:build biglog

package bench

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/internal/loggen"
)

const (
	fsckVariable = "ENACT_FSCK_RECORDS" // of the log that is checked; default 1 000 000
	fsckGoal     = 0.3                  // of the speed of a raw ordered read in the same run
)

// A healthy log is checked, in turns with a raw ordered read of it, which decodes and
// checks nothing.
func BenchmarkFsck(b *testing.B) {
	records := 1_000_000
	if text := os.Getenv(fsckVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 {
			b.Fatalf("%s=%q is not a number from 1000", fsckVariable, text)
		}
		records = n
	}
	l := openLog(b, "fsck-"+strconv.Itoa(records), 1, loggen.Shape{Seed: 1, Records: records, Executions: records / 25, Tenants: 20}, false)
	b.ReportAllocs()
	var raw, checked time.Duration
	for b.Loop() {
		began := time.Now()
		rawOrderedRead(b, l)
		raw += time.Since(began)
		began = time.Now()
		report, err := fsck.Check(context.Background(), l.store, fsck.Options{})
		check(b, err)
		checked += time.Since(began)
		if !report.Clean() || report.Notices > 0 || report.Records != uint64(records) {
			b.Fatalf("a healthy log: %d records, %v", report.Records, report.Findings)
		}
	}
	speed := func(d time.Duration) float64 { return float64(records*b.N) / d.Seconds() }
	ratio := speed(checked) / speed(raw)
	b.ReportMetric(speed(raw), "raw-records/s")
	b.ReportMetric(speed(checked), "fsck-records/s")
	b.ReportMetric(ratio, "fsck/raw")
	b.Logf("fsck of %d records: %.0f a second, raw ordered read: %.0f a second; ratio %.2f, goal at least %.2f", records, speed(checked), speed(raw), ratio, fsckGoal)
}

func rawOrderedRead(b *testing.B, l *bigLog) {
	ctx := context.Background()
	c, err := l.js.OrderedConsumer(ctx, l.store.StreamName(), jetstream.OrderedConsumerConfig{InactiveThreshold: time.Second})
	check(b, err)
	done, n := make(chan struct{}), 0
	reading, err := c.Consume(func(jetstream.Msg) {
		if n++; n == l.Records() {
			close(done)
		}
	}, jetstream.PullMaxMessages(2000))
	check(b, err)
	<-done
	reading.Stop()
	<-reading.Closed()
}
