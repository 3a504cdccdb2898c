package record

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/eventgen"
)

// drawCommit draws the id of append n of a history, any UUID that no other append
// has: readers do not look inside it.
func drawCommit(t *rapid.T, n int) uuid.UUID {
	id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "commit"))
	binary.BigEndian.PutUint32(id[12:], uint32(n))
	return id
}

// drawTimes draws the times of n events: often equal, else as far apart as a record
// can hold them.
func drawTimes(t *rapid.T, n int) []time.Time {
	times := make([]time.Time, n)
	first := eventgen.Time().Draw(t, "time")
	distance := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-5, 5), rapid.Int64Range(math.MinInt64+1, math.MaxInt64-1))
	if rapid.Bool().Draw(t, "equal") {
		distance = rapid.Just(int64(0))
	}
	for i := range times {
		times[i] = first
		if i > 0 {
			times[i] = first.Add(time.Duration(distance.Draw(t, "distance")))
		}
	}
	return times
}

// drawAppend draws the records of append n of a history, without their links.
func drawAppend(t *rapid.T, n int, tenant enact.TenantID, execution enact.ExecutionID) []*Record {
	id := drawCommit(t, n)
	of := rapid.SampledFrom([]int{1, 1, 1, 2, 3, 9}).Draw(t, "records")
	metadata := eventgen.Metadata().Draw(t, "metadata")
	key := eventgen.Text().Filter(func(s string) bool { return len(s) <= enact.MaxIdempotencyKey }).Draw(t, "key")
	records := make([]*Record, of)
	for i := range records {
		records[i] = &Record{
			TenantID: tenant, ExecutionID: execution,
			Times:    drawTimes(t, rapid.IntRange(1, 3).Draw(t, "events")),
			Codec:    rapid.SampledFrom([]string{"json", "json+zstd", "x.y-1;key=/~!\"%"}).Draw(t, "codec"),
			Commit:   Commit{ID: id, Index: i + 1, Of: of},
			Metadata: metadata,
			Payload:  rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "payload"),
		}
		if rapid.Bool().Draw(t, "traced") {
			records[i].TraceParent = rapid.StringMatching(`00-[0-9a-f]{32}-[0-9a-f]{16}-01`).Draw(t, "traceparent")
			records[i].TraceState = rapid.SampledFrom([]string{"", "a=1", "a=1,b=2"}).Draw(t, "tracestate")
		}
	}
	records[0].Key = key
	return records
}

// drawHistory draws an execution of at least n records, single and staged, among the
// messages of others, and the tail that its writer has.
func drawHistory(t *rapid.T, n int) (records []*Record, tail Tail) {
	h := history{tb: t, next: rapid.SampledFrom([]uint64{1, 1000, 1771848000 << 20}).Draw(t, "first position")}
	tenant, execution := eventgen.TenantID().Draw(t, "tenant"), eventgen.ExecutionID().Draw(t, "execution")
	more := rapid.IntRange(0, 30).Draw(t, "more records")
	for len(h.records) < n+more {
		h.add(drawAppend(t, len(h.records), tenant, execution)...)
		h.gap(rapid.SampledFrom([]uint64{0, 0, 1, 100}).Draw(t, "others"))
	}
	return h.records, h.tail
}

// What a reader gets through the text of the wire is what was written.
func TestMessageRoundTripLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := history{tb: t, next: rapid.Uint64Range(1, 1<<60).Draw(t, "position")}
		tenant, execution := eventgen.TenantID().Draw(t, "tenant"), eventgen.ExecutionID().Draw(t, "execution")
		for range rapid.IntRange(1, 4).Draw(t, "appends") {
			first := len(h.records)
			sent := drawAppend(t, first, tenant, execution)
			h.add(sent...)
			for i, got := range h.records[first:] {
				want := *sent[i]
				want.Position = got.Position
				want.Link.Back = naiveBack(h.records, first+i)
				require.Equal(t, &want, got)

				// Encoded again, it is the same message.
				again, err := got.Message(testSubjects)
				require.NoError(t, err)
				original, err := sent[i].Message(testSubjects)
				require.NoError(t, err)
				require.Equal(t, original, again)
			}
		}
	})
}

// naiveBack is the definition of the back list of the record with index i, read off
// the whole history.
func naiveBack(records []*Record, i int) []Ref {
	var refs []Ref
	for n := i; n > 0; n -= 1 << bits.TrailingZeros(uint(n)) {
		refs = append(refs, Ref{Sequence: records[n-1].Sequence, Position: records[n-1].Position})
	}
	return refs
}

func TestHistoryLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, tail := drawHistory(t, 1)
		prev := Tail{}
		for i, r := range records {
			require.NoError(t, follows(r, prev), "record %d", i+1)
			require.Equal(t, naiveBack(records, i), r.Link.Back, "record %d", i+1)
			require.Equal(t, records[0].Commit.ID, r.Link.Origin)
			prev = r.Tail()
		}
		require.Equal(t, prev, tail, "the writer's tail is the reader's")
	})
}

// walk goes through a history as a reader does and returns the index of the first
// record that does not fit.
func walk(records []*Record) (int, bool) {
	prev := Tail{}
	for i, r := range records {
		if follows(r, prev) != nil {
			return i, false
		}
		prev = r.Tail()
	}
	return 0, true
}

// A record that is missing, doubled or out of place shows where it is.
func TestLossLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, _ := drawHistory(t, 3)
		k := rapid.IntRange(0, len(records)-2).Draw(t, "index")
		for name, damaged := range map[string][]*Record{
			"removed": slices.Delete(slices.Clone(records), k, k+1),
			"doubled": slices.Insert(slices.Clone(records), k, records[k]),
			"swapped": slices.Concat(records[:k], []*Record{records[k+1], records[k]}, records[k+2:]),
		} {
			at, ok := walk(damaged)
			require.False(t, ok, name)
			want := k
			if name == "doubled" {
				want = k + 1
			}
			require.Equal(t, want, at, name)
		}
		// The end is not covered by the history itself, but by a head kept elsewhere.
		cut := records[:k+1]
		_, ok := walk(cut)
		require.True(t, ok)
		require.NotEqual(t, records[len(records)-1].Link.Chain, cut[k].Link.Chain)
	})
}

// A record whose content was changed breaks the chain there; if its chain value was
// made to fit, the next record's breaks.
func TestAlterationLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, _ := drawHistory(t, 2)
		k := rapid.IntRange(0, len(records)-2).Draw(t, "index")
		altered := *records[k]
		altered.Payload = slices.Clone(altered.Payload)
		switch rapid.SampledFrom([]string{"payload", "times", "metadata", "key", "commit", "codec", "others"}).Draw(t, "what") {
		case "payload":
			altered.Payload[rapid.IntRange(0, len(altered.Payload)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case "times":
			altered.Times = slices.Clone(altered.Times)
			for i, at := range altered.Times {
				altered.Times[i] = at.Add(time.Nanosecond)
			}
			text, err := appendTimes(nil, altered.Times)
			require.NoError(t, err)
			altered.timesText = string(text)
		case "metadata":
			altered.Metadata = map[string]string{"forged": "yes"}
		case "key":
			altered.Key += "x"
		case "commit":
			altered.Commit.ID[rapid.IntRange(0, 15).Draw(t, "byte")] ^= 1
		case "codec":
			altered.Codec += ";forged"
		case "others":
			// The same record of another execution.
			altered.ExecutionID += "x"
		}
		damaged := slices.Clone(records)
		damaged[k] = &altered
		at, ok := walk(damaged)
		require.False(t, ok)
		require.Equal(t, k, at)

		before := enact.Chain{}
		if k > 0 {
			before = records[k-1].Link.Chain
		}
		altered.Link.Chain = altered.ChainAfter(before)
		at, ok = walk(damaged)
		require.False(t, ok)
		require.Equal(t, k+1, at)
	})
}

// jump is the step of a store that looks for the latest record that has reached its
// goal, from one that has not: the farthest record of the back list that has not
// either, or else the record before.
func jump(from uint64, reached func(n uint64) bool) uint64 {
	to := from - 1
	for n := range Numbers(from) {
		if reached(n) {
			break
		}
		to = n
	}
	return to
}

// Any record is within 2*log2(n)+2 steps of any later one.
func TestJumpsLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.OneOf(rapid.Uint64Range(1, 100), rapid.Uint64Range(1, math.MaxUint64)).Draw(t, "from")
		goal := rapid.OneOf(rapid.Uint64Range(1, from), rapid.Uint64Range(1, min(from, 10)), rapid.Uint64Range(from-min(from-1, 10), from)).Draw(t, "goal")
		steps := 0
		for at := from; at != goal; steps++ {
			require.Greater(t, at, goal)
			at = jump(at, func(n uint64) bool { return n <= goal })
		}
		require.LessOrEqual(t, float64(steps), 2*math.Log2(float64(from))+2)
	})
}

// The same through the records: each step needs nothing but the record it starts from.
func TestLocateLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records, _ := drawHistory(t, 1)
		byPosition := make(map[uint64]*Record)
		for _, r := range records {
			byPosition[r.Position] = r
		}
		from := records[rapid.IntRange(0, len(records)-1).Draw(t, "from")]
		sequence := rapid.Uint64Range(1, from.Last()).Draw(t, "sequence")
		r, steps := from, 0
		for ; r.Sequence > sequence; steps++ {
			next := jump(r.Link.Number, func(n uint64) bool {
				return r.Link.Back[slices.Index(slices.Collect(Numbers(r.Link.Number)), n)].Sequence <= sequence
			})
			ref := r.Link.Back[slices.Index(slices.Collect(Numbers(r.Link.Number)), next)]
			r = byPosition[ref.Position]
			require.NotNil(t, r)
			require.Equal(t, next, r.Link.Number)
			require.Equal(t, ref.Sequence, r.Sequence)
		}
		require.LessOrEqual(t, r.Sequence, sequence)
		require.GreaterOrEqual(t, r.Last(), sequence)
		require.LessOrEqual(t, float64(steps), 2*math.Log2(float64(len(records)))+2)
	})
}

// A record of any number has about half as many entries as its number has bits.
func TestBackListIsShort(t *testing.T) {
	h := history{tb: t, next: 1}
	entries := 0
	for n := range 1024 {
		r := newRecord(n+1, 1, 1, 1)
		h.add(r)
		require.Len(t, r.Link.Back, bits.OnesCount(uint(n)))
		entries += len(r.Link.Back)
	}
	require.Equal(t, 1024*10/2, entries)
}

// Headers of a record survive nats.go's own header type, whatever they carry.
func TestHeaderNamesLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRecord(1, 1, 1, 1)
		r.Metadata = eventgen.Metadata().Draw(t, "metadata")
		_, err := r.After(Tail{})
		require.NoError(t, err)
		m, err := r.Message(testSubjects)
		require.NoError(t, err)
		for name := range m.Header {
			require.Regexp(t, `^[A-Za-z0-9_%-]+$`, name)
		}
		h, err := nats.DecodeHeadersMsg(headerText(m.Header))
		require.NoError(t, err)
		require.Equal(t, m.Header, h)
	})
}
