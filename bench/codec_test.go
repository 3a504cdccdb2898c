package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// runsVariable names a directory of recorded runs of agents, as lines of StoredEvent
// JSON; `make codecs` sets it. Without it the project's own samples are measured.
const runsVariable = "ENACT_TRACES"

// agentRuns returns the events of recorded runs.
func agentRuns(b *testing.B) (runs [][]enact.Event) {
	b.Helper()
	dir := os.Getenv(runsVariable)
	if dir == "" {
		dir = "../testdata/runs"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	check(b, err)
	if len(files) == 0 {
		b.Fatalf("no *.jsonl in %s", dir)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		check(b, err)
		var events []enact.Event
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, len(data)+1)
		for lines.Scan() {
			var ev enact.StoredEvent
			check(b, ev.UnmarshalJSON(lines.Bytes()))
			events = append(events, ev.Event)
		}
		check(b, lines.Err())
		runs = append(runs, events)
	}
	return runs
}

// codecs returns what a store can write with, the plain one first.
func codecs(b *testing.B) []codec.Codec {
	b.Helper()
	keys := codec.NewMemoryKeyRing()
	_, err := keys.Rotate(context.Background(), "acme")
	check(b, err)
	z, err := codec.NewZstd(nil)
	check(b, err)
	sealed, err := codec.NewAES256GCM(codec.JSON{}, keys)
	check(b, err)
	both, err := codec.NewAES256GCM(z, keys)
	check(b, err)
	return []codec.Codec{codec.JSON{}, z, sealed, both}
}

// Each codec on recorded runs, with one event a record, with ten, and with as many as fit
// one: the size of the payloads in bytes per event, the ratio of JSON to it over all runs
// and for those with the least and the most, and the time of encoding and decoding per
// event, JSON included.
func BenchmarkCodec(b *testing.B) {
	runs := agentRuns(b)
	for _, n := range []int{1, 10, record.MaxEvents} {
		for _, c := range codecs(b) {
			b.Run(fmt.Sprintf("%d/%s", n, c.Name()), func(b *testing.B) { measureCodec(b, c, runs, n) })
		}
	}
}

// encoded is a record's events and their payload.
type encoded struct {
	events  []enact.Event
	payload []byte
	header  string
}

func measureCodec(b *testing.B, c codec.Codec, runs [][]enact.Event, n int) {
	ctx := context.Background()
	at := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	events := 0
	var encoding, decoding []time.Duration
	records := make([][]encoded, len(runs))
	for b.Loop() {
		encoding = append(encoding, timed(func() {
			for i, run := range runs {
				records[i] = records[i][:0]
				for part := range slices.Chunk(run, n) {
					payload, header, err := c.Encode(ctx, nil, at, part)
					check(b, err)
					records[i] = append(records[i], encoded{part, payload, header})
				}
			}
		}))
		decoding = append(decoding, timed(func() {
			for _, run := range records {
				for _, r := range run {
					_, err := c.Decode(ctx, r.payload, r.header, at, len(r.events))
					check(b, err)
				}
			}
		}))
	}
	plain, size := 0, 0
	least, most := math.Inf(1), 0.0
	for i, run := range records {
		events += len(runs[i])
		runPlain, runSize := 0, 0
		for _, r := range run {
			text, _, err := codec.JSON{}.Encode(ctx, nil, at, r.events)
			check(b, err)
			runPlain, runSize = runPlain+len(text), runSize+len(r.payload)
		}
		ratio := float64(runPlain) / float64(runSize)
		least, most = min(least, ratio), max(most, ratio)
		plain, size = plain+runPlain, size+runSize
	}
	each := func(d []time.Duration) float64 { return float64(median(d).Nanoseconds()) / 1000 / float64(events) }
	b.ReportMetric(float64(size)/float64(events), "B/event")
	b.ReportMetric(float64(plain)/float64(size), "json/stored")
	b.ReportMetric(least, "json/stored-least")
	b.ReportMetric(most, "json/stored-most")
	b.ReportMetric(each(encoding), "encode-µs/event")
	b.ReportMetric(each(decoding), "decode-µs/event")
	b.ReportMetric(0, "ns/op")
}

// One event of recorded runs after another, each an append of its own, against the same
// JSON in a raw publish with the same check.
func BenchmarkCodecAppend(b *testing.B) {
	events := slices.Concat(agentRuns(b)...)
	var texts [][]byte
	for _, e := range events {
		text, err := enact.AppendEvent(nil, e)
		check(b, err)
		texts = append(texts, text)
	}
	places(b, func(b *testing.B, p *place) {
		for _, c := range codecs(b) {
			b.Run(c.Name(), func(b *testing.B) {
				b.ReportAllocs()
				ctx := context.Background()
				store, err := jetstore.Open(ctx, p.nc, jetstore.WithCodec(c), jetstore.WithMemoryStorage())
				check(b, err)
				defer func() { check(b, store.Shutdown(ctx)) }()
				run := store.Execution("acme", enact.NewExecutionID())
				_, err = run.Append(ctx, events[0])
				check(b, err)
				raw := p.rawWriter("raw." + nuid.Next())
				compare(b,
					func(i int) { check(b, raw(ctx, texts[i%len(texts)])) },
					func(i int) {
						_, err := run.Append(ctx, events[i%len(events)])
						check(b, err)
					})
			})
		}
	})
}

// The levels of zstd on recorded runs, each run in one payload: the choice of the codec's.
func BenchmarkZstdLevel(b *testing.B) {
	var texts [][]byte
	plain := 0
	for _, run := range agentRuns(b) {
		text, _, err := codec.JSON{}.Encode(context.Background(), nil, codec.Place{}, run)
		check(b, err)
		texts = append(texts, text)
		plain += len(text)
	}
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression, zstd.SpeedBestCompression} {
		b.Run(level.String(), func(b *testing.B) {
			w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(false))
			check(b, err)
			b.SetBytes(int64(plain))
			size := 0
			for b.Loop() {
				size = 0
				for _, text := range texts {
					size += len(w.EncodeAll(text, nil))
				}
			}
			b.ReportMetric(float64(plain)/float64(size), "json/stored")
		})
	}
}
