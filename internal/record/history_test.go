package record

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// What the tests of this package make records from. Ids and times are fixed, so that
// records are the same in every run.

var (
	testSubjects, _ = enact.NewSubjects("")
	testStart       = time.Date(2026, 2, 23, 12, 0, 0, 123_456_789, time.UTC)
)

const (
	testTenant    enact.TenantID    = "acme"
	testExecution enact.ExecutionID = "exec_2qJ8fVvB0mYc4kN7sTzRdWxEa1G"
	testSubject                     = "enact.acme.exec_2qJ8fVvB0mYc4kN7sTzRdWxEa1G"
)

// testCommit returns the id of append n: a UUIDv7 of n milliseconds after the start.
func testCommit(n int) uuid.UUID {
	id := uuid.MustParse("00000000-0000-7000-8000-0242ac120002")
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(testStart.UnixMilli()+int64(n)))
	copy(id[:6], ms[2:])
	return id
}

// newRecord returns record i of n of an append, with count events of one time, that
// no tail has yet been put before.
func newRecord(commit, i, n, count int) *Record {
	events := make([]enact.Event, count)
	times := make([]time.Time, count)
	for k := range events {
		events[k] = enact.ExecutionPaused{Reason: fmt.Sprintf("%d.%d.%d", commit, i, k+1)}
		times[k] = testStart.Add(time.Duration(commit) * time.Second)
	}
	r := &Record{
		TenantID: testTenant, ExecutionID: testExecution, Times: times, Commit: Commit{ID: testCommit(commit), Index: i, Of: n},
	}
	var err error
	if r.Payload, r.Codec, err = (codec.JSON{}).Encode(context.Background(), nil, r.Place(), events); err != nil {
		panic(err)
	}
	return r
}

// testingT is what the helpers need of a testing.TB or a *rapid.T.
type testingT interface {
	require.TestingT
	Helper()
}

// history is the records of an execution as a stream holds them.
type history struct {
	tb      testingT
	tail    Tail
	records []*Record
	next    uint64 // position of the next message
}

// add makes the records one append behind the history's tail, puts them through the
// wire and stores them side by side.
func (h *history) add(records ...*Record) {
	h.tb.Helper()
	t := h.tail
	messages := make([]*nats.Msg, len(records))
	for i, r := range records {
		var err error
		t, err = r.After(t)
		require.NoError(h.tb, err)
		messages[i], err = r.Message(testSubjects)
		require.NoError(h.tb, err)
	}
	for _, m := range messages {
		h.records = append(h.records, readBack(h.tb, m, h.next))
		h.next++
	}
	h.tail = t.Stored(h.next - 1)
}

// gap leaves room for n messages of other executions.
func (h *history) gap(n uint64) { h.next += n }

// historyTail returns the tail of n single records, of two events each but the first,
// at every tenth position from 1000.
func historyTail(tb testing.TB, n int) Tail {
	tb.Helper()
	h := history{tb: tb, next: 1000}
	for i := range n {
		h.add(newRecord(i+1, 1, 1, min(i+1, 2)))
		h.gap(9)
	}
	return h.tail
}

// headerText returns the header block as nats.go writes it (nats.go, headerBytes and
// writeHeaderValue), in the order of the names.
func headerText(h nats.Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	b := []byte("NATS/1.0\r\n")
	line := strings.NewReplacer("\r", " ", "\n", " ")
	for _, name := range names {
		for _, v := range h[name] {
			b = fmt.Appendf(b, "%s: %s\r\n", name, line.Replace(strings.Trim(v, " \t\r\n")))
		}
	}
	return append(b, "\r\n"...)
}

// readBack parses a message as a reader gets it: its header block written and read
// as nats.go does.
func readBack(tb testingT, m *nats.Msg, position uint64) *Record {
	tb.Helper()
	text := headerText(m.Header)
	require.Len(tb, text, HeaderBytes(m.Header), "the header block is not written as it stands")
	h, err := nats.DecodeHeadersMsg(text)
	require.NoError(tb, err)
	require.Equal(tb, m.Header, h)
	r, err := Parse(testSubjects, m.Subject, position, h, bytes.Clone(m.Data))
	require.NoError(tb, err)
	return r
}

// follows is the check of a reader that goes through a history in order: nil if r
// continues one that ends in prev.
func follows(r *Record, prev Tail) error {
	switch {
	case r.Sequence != prev.Sequence+1:
		return fmt.Errorf("event %d follows event %d", r.Sequence, prev.Sequence)
	case r.Link.Number != prev.Number+1:
		return fmt.Errorf("record %d follows record %d", r.Link.Number, prev.Number)
	case r.Previous() != prev.Position:
		return fmt.Errorf("the previous record is at %d, not %d", prev.Position, r.Previous())
	case prev.Number > 0 && r.Link.Origin != prev.Origin:
		return fmt.Errorf("the origin changes")
	case !r.Follows(prev.Chain):
		return fmt.Errorf("the chain breaks")
	}
	return nil
}
