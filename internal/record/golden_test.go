package record

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenHistories returns histories whose last records the golden files hold. They
// are made anew for each call.
func goldenHistories(tb testing.TB) map[string]*history {
	tb.Helper()
	// behind returns a history of n records; the file holds what is added to it.
	behind := func(n int) *history { return &history{tb: tb, tail: historyTail(tb, n), next: 1000 + 10*uint64(n)} }
	out := make(map[string]*history)
	add := func(name string, n int, records ...*Record) {
		h := behind(n)
		h.add(records...)
		out[name] = h
	}
	with := func(r *Record, change func(r *Record)) *Record {
		change(r)
		return r
	}
	add("first", 0, newRecord(1, 1, 1, 1))
	add("single", 1, newRecord(2, 1, 1, 1))
	add("equal-times", 2, newRecord(3, 1, 1, 3))
	add("times", 2, with(newRecord(3, 1, 1, 4), func(r *Record) {
		r.Times[0] = r.Times[0].Truncate(time.Millisecond)
		r.Times[1] = r.Times[0]
		r.Times[2] = r.Times[0].Add(1500 * time.Nanosecond)
		r.Times[3] = r.Times[0].Add(-24 * time.Hour)
	}))
	add("twelfth", 11, newRecord(12, 1, 1, 2))
	add("staged", 2, newRecord(3, 1, 3, 1), newRecord(3, 2, 3, 2), newRecord(3, 3, 3, 1))
	add("staged-first", 0, newRecord(1, 1, 3, 1), newRecord(1, 2, 3, 1), newRecord(1, 3, 3, 1))
	add("key", 1, with(newRecord(2, 1, 1, 1), func(r *Record) { r.Key = "order 17/pay é" }))
	add("metadata", 1, with(newRecord(2, 1, 1, 1), func(r *Record) {
		r.Metadata = map[string]string{
			"plain-key_1": "plain-value_1", "line ends": "a\r\nb\n", " spaces ": "  two  ", "é 漢字 🦀": "ünï: 漢字 🦀", "empty": "", "a.b": "100%",
		}
	}))
	add("codec", 1, with(newRecord(2, 1, 1, 1), func(r *Record) {
		r.Codec, r.Payload = "json+zstd+aes256gcm;key=2026-02", []byte("\x00\x01\xfe\xff\r\nnot text")
	}))
	for name, r := range codecRecords(tb) {
		add(name, 1, r)
	}
	add("trace", 1, with(newRecord(2, 1, 1, 1), func(r *Record) {
		r.TraceParent, r.TraceState = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=a:b,other=1"
	}))
	add("large", 1, with(newRecord(2, 1, 1, 1), func(r *Record) {
		// One event alone may be larger than the limit for several.
		var err error
		r.Payload, err = enact.AppendEvent(nil, enact.ExecutionPaused{Reason: strings.Repeat("x", MaxBytes)})
		require.NoError(tb, err)
	}))
	vector := &history{tb: tb, next: 1000}
	vector.add(with(newRecord(1, 1, 1, 1), func(r *Record) { r.Times[0] = testStart.Truncate(time.Second) }))
	vector.gap(9)
	vector.add(with(newRecord(2, 1, 1, 2), func(r *Record) {
		r.Times[1] = r.Times[0].Add(1500)
		r.Key = "order 17"
		r.Metadata = map[string]string{"user": "ann", "city": "Zürich"}
	}))
	out["vector"] = vector
	return out
}

// wireText returns messages as a client publishes them, with the headers in the order
// of their names.
func wireText(tb testing.TB, records []*Record) []byte {
	tb.Helper()
	var b []byte
	for _, r := range records {
		m, err := r.Message(testSubjects)
		require.NoError(tb, err)
		block := headerText(m.Header)
		b = fmt.Appendf(b, "HPUB %s %d %d\r\n%s%s\r\n", m.Subject, len(block), len(block)+len(m.Data), block, m.Data)
	}
	return b
}

// readWire is the inverse of wireText, for messages at the positions of records.
func readWire(tb testing.TB, text []byte, positions []uint64) []*Record {
	tb.Helper()
	var records []*Record
	for len(text) > 0 {
		line, rest, ok := bytes.Cut(text, []byte("\r\n"))
		require.True(tb, ok)
		var subject string
		var header, total int
		_, err := fmt.Sscanf(string(line), "HPUB %s %d %d", &subject, &header, &total)
		require.NoError(tb, err)
		h, err := nats.DecodeHeadersMsg(rest[:header])
		require.NoError(tb, err)
		require.NotEmpty(tb, positions)
		r, err := Parse(testSubjects, subject, positions[0], h, rest[header:total])
		require.NoError(tb, err)
		require.Equal(tb, "\r\n", string(rest[total:total+2]))
		records, positions, text = append(records, r), positions[1:], rest[total+2:]
	}
	require.Empty(tb, positions)
	return records
}

func goldenPath(name string) string { return "testdata/" + name + ".golden" }

// The bytes of each shape of record stay what they are.
func TestGolden(t *testing.T) {
	histories := goldenHistories(t)
	for name, h := range histories {
		t.Run(name, func(t *testing.T) {
			text := wireText(t, h.records)
			if *update {
				require.NoError(t, os.WriteFile(goldenPath(name), text, 0o644))
			}
			want, err := os.ReadFile(goldenPath(name))
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, text), "%s: the record is now written as\n%s", goldenPath(name), text[:min(len(text), 4096)])

			var positions []uint64
			for _, r := range h.records {
				positions = append(positions, r.Position)
			}
			require.Equal(t, h.records, readWire(t, want, positions))
		})
	}
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".golden"); ok {
			require.Contains(t, histories, name, "a file that nothing writes")
		}
	}
}

// Each history continues what stands before it, and its events decode.
func TestGoldenHistories(t *testing.T) {
	for name, h := range goldenHistories(t) {
		before := historyTail(t, int(h.records[0].Link.Number)-1)
		for _, r := range h.records {
			require.NoError(t, follows(r, before), name)
			before = r.Tail()
			if name == "codec" {
				continue
			}
			events, err := r.Events(t.Context(), goldenCodecs(t))
			require.NoError(t, err, name)
			require.Len(t, events, r.Count())
		}
	}
}
