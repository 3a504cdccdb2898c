package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// place is where a benchmark runs: servers, a log, and a raw stream with the log's
// settings beside it.
type place struct {
	store *jetstore.Store
	js    jetstream.JetStream
	nc    *nats.Conn
}

// rawStream is the stream of the raw operations.
const rawStream = "RAW"

// patience bounds what is measured, of which a slow disk makes many wait for each other: it
// is to be measured, and not to fail.
const patience = 10 * time.Minute

// places runs a benchmark on one node, in memory, on disk without and with a sync
// before each acknowledgement, and on three nodes.
func places(b *testing.B, f func(b *testing.B, p *place)) {
	for _, at := range servers {
		b.Run(at.name, func(b *testing.B) { f(b, placeNamed(b, at.name)) })
	}
}

var servers = []struct {
	name  string
	nodes int
	opts  []embedded.Option
}{
	{"R1-memory", 1, []embedded.Option{embedded.WithMemoryStorage()}},
	{"R1-disk", 1, []embedded.Option{embedded.WithSyncInterval(2 * time.Minute)}},
	{"R1-disk-sync", 1, nil},
	{"R3-disk", 3, []embedded.Option{embedded.WithSyncInterval(2 * time.Minute)}},
	{"R3-disk-sync", 3, nil},
}

// placeNamed opens one of the places.
func placeNamed(b *testing.B, name string) *place {
	b.Helper()
	for _, at := range servers {
		if at.name == name {
			return open(b, at.nodes, name == "R1-memory", at.opts)
		}
	}
	b.Fatalf("no place is named %s", name)
	return nil
}

func open(b *testing.B, nodes int, memory bool, opts []embedded.Option) *place {
	b.Helper()
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enact-bench-")
	check(b, err)
	b.Cleanup(func() { check(b, os.RemoveAll(dir)) })
	var storeOpts []jetstore.Option
	storage := jetstream.FileStorage
	if memory {
		storeOpts = append(storeOpts, jetstore.WithMemoryStorage())
		storage = jetstream.MemoryStorage
	}
	p := connect(b, serve(b, dir, nodes, opts), storeOpts...)
	_, err = p.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: rawStream, Subjects: []string{"raw.>"}, Storage: storage, Replicas: nodes,
		AllowDirect: true, AllowAtomicPublish: true, DenyDelete: true, DenyPurge: true, Discard: jetstream.DiscardNew,
	})
	check(b, err)
	if nodes > 1 {
		for _, stream := range []string{p.store.StreamName(), p.store.IndexName(), rawStream} {
			p.lead(b, stream)
		}
	}
	return p
}

// lead makes the server that the clients are connected to the leader of a stream: raw
// operations and the log's are to have the same way to it.
func (p *place) lead(b *testing.B, stream string) {
	b.Helper()
	ctx, server := context.Background(), p.nc.ConnectedServerName()
	request := fmt.Appendf(nil, `{"placement":{"preferred":%q}}`, server)
	for {
		s, err := p.js.Stream(ctx, stream)
		check(b, err)
		if s.CachedInfo().Cluster.Leader == server {
			return
		}
		// What it answers does not matter: the next look at the stream tells.
		_, err = p.nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, request, time.Second)
		if err != nil && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, nats.ErrNoResponders) {
			b.Fatal(err)
		}
	}
}

// serve starts one server on dir, or a cluster. The URL is that of one server.
func serve(b *testing.B, dir string, nodes int, opts []embedded.Option) (url string) {
	b.Helper()
	ctx := context.Background()
	if nodes == 1 {
		srv, err := embedded.Start(ctx, dir, append(opts, embedded.WithPort(-1))...)
		check(b, err)
		b.Cleanup(func() { check(b, srv.Shutdown(ctx)) })
		return srv.ClientURL()
	}
	c, err := embedded.StartCluster(ctx, dir, nodes, opts...)
	check(b, err)
	b.Cleanup(func() { check(b, c.Shutdown(ctx)) })
	return c.Servers()[0].ClientURL()
}

// connect opens the log at url, whose streams are made if they are missing, and a
// connection for raw operations.
func connect(b *testing.B, url string, opts ...jetstore.Option) *place {
	b.Helper()
	ctx := context.Background()
	// What a subscription has to say would stand in the midst of the figures.
	nc, err := nats.Connect(url, nats.Timeout(patience), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	check(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	check(b, err)
	opts = append(opts[:len(opts):len(opts)], jetstore.WithTimeout(patience))
	check(b, jetstore.EnsureStream(ctx, nc, opts...))
	store, err := jetstore.Connect(ctx, url, opts...)
	check(b, err)
	b.Cleanup(func() { check(b, store.Shutdown(ctx)) })
	return &place{store: store, js: js, nc: nc}
}

// compare alternates raw and ours, each first in turn, and reports medians, 99th
// percentiles, allocations and the ratio of the medians: of times, ours to raw.
func compare(b *testing.B, raw, ours func(i int)) (rawP50, oursP50 time.Duration) {
	b.Helper()
	return compareFloor(b, raw, ours, nil)
}

// compareFloor does the same, and reports beside them the ratio to raw of the least that
// the log has to ask of the server for what it promises, without any work of the client's.
func compareFloor(b *testing.B, raw, ours, floor func(i int)) (rawP50, oursP50 time.Duration) {
	b.Helper()
	const least = 5 // of each, also of what takes longer than the benchmark is to take
	var r, o, f []time.Duration
	for i := 0; i < least || b.Loop(); i++ {
		if i%2 == 0 {
			r = append(r, timed(func() { raw(i) }))
			o = append(o, timed(func() { ours(i) }))
		} else {
			o = append(o, timed(func() { ours(i) }))
			r = append(r, timed(func() { raw(i) }))
		}
		if floor != nil {
			f = append(f, timed(func() { floor(i) }))
		}
	}
	if floor != nil {
		b.ReportMetric(float64(median(f))/float64(median(r)), "floor/raw")
	}
	reportAllocations(b, raw, ours)
	return report(b, r, o)
}

// reportAllocations counts what raw and ours allocate, some times each. The servers of a
// benchmark are in its process: what they allocate is counted with either.
func reportAllocations(b *testing.B, raw, ours func(i int)) {
	b.Helper()
	const times = 10
	for _, side := range []struct {
		unit string
		do   func(i int)
	}{{"raw-allocs", raw}, {"enact-allocs", ours}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range times {
			side.do(i)
		}
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.Mallocs-before.Mallocs)/times, side.unit)
	}
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func report(b *testing.B, raw, ours []time.Duration) (rawP50, oursP50 time.Duration) {
	b.Helper()
	r, o := median(raw), median(ours)
	b.ReportMetric(float64(r.Nanoseconds())/1000, "raw-p50-µs")
	b.ReportMetric(float64(o.Nanoseconds())/1000, "enact-p50-µs")
	for unit, sorted := range map[string][]time.Duration{"raw-p99-µs": raw, "enact-p99-µs": ours} {
		b.ReportMetric(float64(sorted[len(sorted)*99/100].Nanoseconds())/1000, unit)
	}
	b.ReportMetric(float64(o)/float64(r), "enact/raw")
	b.ReportMetric(0, "ns/op") // the sum of the two says nothing
	return r, o
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// payload is an event whose JSON has size bytes.
func payload(size int) enact.Event {
	e := enact.Custom{EventType: "bench"}
	e.Data = json.RawMessage(`""`)
	text, err := enact.AppendEvent(nil, e)
	if err != nil {
		panic(err)
	}
	e.Data = json.RawMessage(`"` + strings.Repeat("x", size-len(text)) + `"`)
	return e
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func sizeName(n int) string {
	if n >= 1024 {
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}

// short rounds to three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
