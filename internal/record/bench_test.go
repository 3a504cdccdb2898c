package record

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

var benchSizes = []int{256, 4 << 10}

// benchRecord returns the twelfth record of an execution, whose payload is one event
// of about size bytes, and the tail before it.
func benchRecord(b *testing.B, size int) (*Record, Tail) {
	b.Helper()
	t := historyTail(b, 11)
	r := newRecord(0, 1, 1, 1)
	payload, err := enact.AppendEvent(nil, enact.ExecutionPaused{Reason: strings.Repeat("x", size-40)})
	require.NoError(b, err)
	r.Payload = payload
	r.Metadata = map[string]string{"correlation": "4bf92f3577b34da6a3ce929d0e0e4736", "user": "ann"}
	return r, t
}

// Building is all that stands between a tail and a message: codec, link, chain and headers.
func BenchmarkBuild(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			r, t := benchRecord(b, size)
			event := []enact.Event{enact.ExecutionPaused{Reason: strings.Repeat("x", size-40)}}
			b.ReportAllocs()
			for b.Loop() {
				built := *r
				var err error
				if built.Payload, built.Codec, err = (codec.JSON{}).Encode(context.Background(), nil, built.Place(), event); err != nil {
					b.Fatal(err)
				}
				if _, err := built.After(t); err != nil {
					b.Fatal(err)
				}
				if _, err := built.Message(testSubjects); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			r, t := benchRecord(b, size)
			_, err := r.After(t)
			require.NoError(b, err)
			m, err := r.Message(testSubjects)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(testSubjects, m.Subject, t.Position+1, m.Header, m.Data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFollows(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			r, t := benchRecord(b, size)
			_, err := r.After(t)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if !r.Follows(t.Chain) {
					b.Fatal("broken chain")
				}
			}
		})
	}
}
