package jetstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/record"
)

// encoded returns n records that follow each other, of so many events of about size bytes.
func encoded(t require.TestingT, c codec.Codec, n, events, size int) []*record.Record {
	var records []*record.Record
	for i := range n {
		r := &record.Record{TenantID: "acme", ExecutionID: "run", Sequence: uint64(i*events) + 1, Times: make([]time.Time, events)}
		var es []enact.Event
		for j := range events {
			data := fmt.Sprintf(`"%d %s"`, i*events+j+1, strings.Repeat("x", max(0, size-64)))
			es = append(es, enact.Custom{EventType: "bench", Data: json.RawMessage(data)})
		}
		var err error
		r.Payload, r.Codec, err = c.Encode(context.Background(), nil, r.Place(), es)
		require.NoError(t, err)
		records = append(records, r)
	}
	return records
}

// However many decode, the events come in order, those that are wanted and no others, and
// end before the first record that has none.
func TestDecodersKeepTheOrder(t *testing.T) {
	codecs, err := codec.NewSet()
	require.NoError(t, err)
	s := &Store{cfg: &config{codecs: codecs}}
	rapid.Check(t, func(t *rapid.T) {
		n, events := rapid.IntRange(1, 8).Draw(t, "records"), rapid.IntRange(1, 3).Draw(t, "events")
		size := rapid.SampledFrom([]int{0, decodeAlone / 2}).Draw(t, "size") // by one, by several
		page := encoded(t, codec.JSON{}, n, events, size)
		last := n * events
		lo := rapid.IntRange(1, last+1).Draw(t, "lo")
		hi := rapid.IntRange(lo, last+2).Draw(t, "hi")
		var want []uint64
		bad := rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 2).Draw(t, "bad")
		for sequence := lo; sequence <= min(hi, last); sequence++ {
			want = append(want, uint64(sequence))
		}
		var fault *record.Record // the first one that is asked for
		for _, i := range bad {
			page[i].Payload = []byte("[")
			if r := page[i]; r.Last() >= uint64(lo) && r.Sequence <= uint64(hi) && (fault == nil || r.Sequence < fault.Sequence) {
				fault = r
			}
		}
		got, err := s.decode(context.Background(), page, uint64(lo), uint64(hi))
		if fault == nil {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, enact.ErrCorrupt)
			corrupt, _ := errors.AsType[*enact.CorruptError](err)
			require.Equal(t, fault.Sequence, corrupt.Sequence)
			want = slices.DeleteFunc(want, func(sequence uint64) bool { return sequence >= fault.Sequence })
		}
		require.Equal(t, len(want), len(got))
		for i, ev := range got {
			require.Equal(t, want[i], ev.Sequence)
			require.Contains(t, string(ev.Event.(enact.Custom).Data), fmt.Sprintf(`"%d `, ev.Sequence))
		}
	})
}

// panicking is a codec that panics over the second event, once it has met both.
type panicking struct {
	codec.JSON
	met  *atomic.Int32
	both chan struct{}
}

func (panicking) Name() string { return "panicking" }

func (p panicking) Decode(ctx context.Context, payload []byte, _ string, place codec.Place, n int) ([]enact.Event, error) {
	if p.met.Add(1) == 2 {
		close(p.both)
	}
	<-p.both
	if place.Sequence == 2 {
		panic("second")
	}
	return p.JSON.Decode(ctx, payload, codec.JSONName, place, n)
}

// A codec's panic is the caller's, whichever goroutine it was in: in another one nobody could
// recover, and the process would end.
func TestDecodersPanicInTheCaller(t *testing.T) {
	for range 20 { // by turns in either goroutine
		codecs, err := codec.NewSet(panicking{met: new(atomic.Int32), both: make(chan struct{})})
		require.NoError(t, err)
		page := encoded(t, codec.JSON{}, 2, 1, 0)
		for _, r := range page {
			r.Codec = "panicking"
		}
		require.PanicsWithValue(t, "second", func() { _, _ = decodeAll(t.Context(), page, codecs, 2) })
	}
}

// What decoding 100 000 events in memory costs by one goroutine and by several: the
// thresholds of decoders are from here.
func BenchmarkDecode(b *testing.B) {
	codecs, err := codec.NewSet()
	require.NoError(b, err)
	zstd, err := codec.NewZstd(nil)
	require.NoError(b, err)
	for _, of := range []struct {
		codec        codec.Codec
		events, size int
	}{
		{codec.JSON{}, 1, 256},
		{codec.JSON{}, 1, 1 << 10},
		{codec.JSON{}, 1, 4 << 10},
		{codec.JSON{}, 10, 256},
		{codec.JSON{}, 450, 256},
		{zstd, 1, 256},
		{zstd, 10, 256},
		{zstd, 450, 256},
	} {
		page := encoded(b, of.codec, decodeAtOnce, of.events, of.size)
		size := 0
		for _, r := range page {
			size += len(r.Payload)
		}
		for _, n := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%dx%dB/%d", of.codec.Name(), of.events, of.size, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := decodeAll(context.Background(), page, codecs, n); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*decodeAtOnce*of.events), "ns/event")
				b.ReportMetric(float64(size)/1024, "KiB")
			})
		}
	}
}
