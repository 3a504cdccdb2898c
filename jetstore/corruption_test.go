package jetstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// copied is a log with an execution of one event a record.
type copied struct {
	t       *testing.T
	l       *watchedLog
	run     jetstore.Execution
	stream  *logtest.Stream
	records []uint64 // positions of the execution's records; record n is at n-1
}

// copyLog builds an execution of one event a record and copies the log.
func copyLog(t *testing.T, s shape) *copied {
	l := newWatchedLog(t)
	c := &copied{t: t, l: l, run: l.build(t, t.Context(), s)}
	var err error
	c.stream, err = logtest.ReadStream(t.Context(), natstest.JetStream(t, l.raw), "ENACT")
	require.NoError(t, err)
	events, err := c.run.LoadEvents(t.Context())
	require.NoError(t, err)
	for _, ev := range events {
		c.records = append(c.records, ev.Position)
	}
	require.Len(t, c.records, s.events())
	return c
}

// altered is a copy of the log that somebody has changed.
type altered struct {
	*copied
	stream *logtest.Stream
}

func (c *copied) alter() *altered { return &altered{c, c.stream.Clone()} }

// position returns where record n stands.
func (c *copied) position(n int) uint64 { return c.records[n-1] }

// at returns a copy of record n's message, which stands in its place from now on.
func (a *altered) at(n int) *nats.Msg { return a.stream.Edit(a.position(n)) }

// remove puts a message of another subject in record n's place.
func (a *altered) remove(n int) {
	position := a.position(n)
	a.stream.Set(position, &nats.Msg{Subject: fmt.Sprintf("enact.filler.removed-%d", position)})
}

// repeat puts record m in the place of record n.
func (a *altered) repeat(m, n int) { a.stream.Set(a.position(n), a.stream.At(a.position(m))) }

// swap makes records m and n change places.
func (a *altered) swap(m, n int) {
	one, two := a.stream.At(a.position(m)), a.stream.At(a.position(n))
	a.stream.Set(a.position(m), two)
	a.stream.Set(a.position(n), one)
}

func (a *altered) parse(n int) *record.Record {
	m := a.stream.At(a.position(n))
	r, err := record.Parse(a.l.store.Subjects(), m.Subject, a.position(n), m.Header, m.Data)
	require.NoError(a.t, err)
	return r
}

// open makes the log's stream again, of the altered messages, each at the position of
// its original, and opens it.
func (a *altered) open(t *testing.T, opts ...jetstore.Option) jetstore.Execution {
	require.NoError(t, a.stream.Write(t.Context(), natstest.JetStream(t, a.l.raw)))
	store, err := jetstore.Open(t.Context(), a.l.nc, append(opts, jetstore.WithMemoryStorage())...)
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, store) })
	return store.Execution(a.run.Tenant(), a.run.ID())
}

// forge changes record k's event, and its chain to the one that it should then have.
func forge(a *altered, k int) {
	r, prev := a.parse(k), a.parse(k-1).Tail()
	r.Payload = bytes.Replace(r.Payload, []byte("note"), []byte("nope"), 1)
	_, err := r.After(prev)
	require.NoError(a.t, err)
	m := a.at(k)
	link, _, _ := strings.Cut(m.Header.Get(record.HeaderLink), "chain=")
	m.Data, m.Header[record.HeaderLink] = r.Payload, []string{link + "chain=" + r.Link.Chain.String()}
}

// fault is one way to spoil record k of a history.
type fault struct {
	name  string
	spoil func(a *altered, k int)
	shown int  // how many records later the fault shows when the history is read in order
	lost  bool // record k is not there
	other bool // not a CorruptError but an UnsupportedVersionError
}

// faults need a record in the middle of a staged batch.
func faults() []fault {
	return []fault{
		{name: "flipped byte", spoil: func(a *altered, k int) {
			m := a.at(k)
			m.Data[len(m.Data)/2] ^= 1
		}},
		{name: "flipped byte in a header", spoil: func(a *altered, k int) {
			text := []byte(a.at(k).Header.Get(record.HeaderTime))
			text[1] ^= 1 // of the year
			a.at(k).Header.Set(record.HeaderTime, string(text))
		}},
		{name: "removed", spoil: (*altered).remove, shown: 1, lost: true},
		{name: "swapped payloads", spoil: func(a *altered, k int) {
			m, n := a.at(k), a.at(k+1)
			m.Data, n.Data = n.Data, m.Data
		}},
		{name: "swapped", spoil: func(a *altered, k int) { a.swap(k, k+1) }},
		{name: "another chain", spoil: func(a *altered, k int) {
			m := a.at(k)
			link, _, _ := strings.Cut(m.Header.Get(record.HeaderLink), "chain=")
			m.Header[record.HeaderLink] = []string{link + "chain=" + enact.Chain{1}.String()}
		}},
		{name: "forged with its chain", spoil: forge, shown: 1},
		{name: "repeated", spoil: func(a *altered, k int) { a.repeat(k-1, k) }},
		{name: "foreign", spoil: func(a *altered, k int) {
			a.stream.Set(a.position(k), &nats.Msg{Subject: a.at(k).Subject, Data: []byte("hello")})
		}},
		{name: "unsupported version", spoil: func(a *altered, k int) {
			a.at(k).Header[record.HeaderVersion] = []string{"2"}
		}, other: true},
	}
}

// check holds a read's events and error against what the fault allows: the events are
// the right ones from the start of the read on, and the error says where the fault is.
func (f fault) check(t *testing.T, a *altered, k int, what string, want, got []uint64, err error, positions ...uint64) {
	t.Helper()
	require.LessOrEqual(t, len(got), len(want), what)
	require.True(t, slices.Equal(want[:len(got)], got), "%s: %v", what, got)
	if f.other {
		version, ok := errors.AsType[*enact.UnsupportedVersionError](err)
		require.True(t, ok, "%s: %v", what, err)
		require.Equal(t, enact.UnsupportedVersionError{Position: a.position(k), Version: "2"}, *version, what)
		return
	}
	corrupt, ok := errors.AsType[*enact.CorruptError](err)
	require.True(t, ok, "%s: %v", what, err)
	require.Contains(t, positions, corrupt.Position, "%s: %v", what, err)
	require.Equal(t, a.run.ID(), corrupt.ExecutionID, what)
	require.Equal(t, a.run.Tenant(), corrupt.TenantID, what)
}

// collect iterates until the error.
func collect(t *testing.T, run jetstore.Execution, after int, opts ...enact.ReadOption) (got []uint64, failed error) {
	t.Helper()
	for ev, err := range run.Events(t.Context(), uint64(after), opts...) {
		require.NoError(t, failed, "an error is the last that is yielded")
		if failed = err; err != nil {
			require.Zero(t, ev)
			continue
		}
		one, err := numbered([]enact.StoredEvent{ev})
		require.NoError(t, err)
		got = append(got, one...)
	}
	return got, failed
}

// A fault in the middle of a history is never passed over, however the history is read:
// reads say where it is, and give the events before it.
func TestFaultsInAHistory(t *testing.T) {
	for _, w := range ways() {
		c := copyLog(t, w.shape)
		n := len(c.records)
		for i, f := range faults() {
			if i%amount(1, 1, 4) != 0 {
				continue
			}
			for _, k := range w.within[:amount(len(w.within), 1, 1)] {
				t.Run(fmt.Sprintf("%s/%s/%d", w.name, f.name, k), func(t *testing.T) {
					a := c.alter()
					f.spoil(a, k)
					run := a.open(t)
					shown := k + f.shown
					at := c.position(shown)
					good := shown - 1
					if f.lost {
						good = k - 1
					}

					events, err := run.LoadEvents(t.Context())
					require.Empty(t, events)
					f.check(t, a, k, "load", nil, nil, err, at)
					if f.lost {
						require.ErrorContains(t, err, "hole", "what is missing is called so")
					}
					for _, after := range []int{0, 1, k - 2} {
						want := expected(n, after, 0, false)
						got, err := collect(t, run, after)
						f.check(t, a, k, fmt.Sprint("after ", after), want, got, err, at)
						require.Len(t, got, good-after, "all events before the fault, after %d", after)
					}
					// The limit ends a read before it comes to the fault.
					got, err := collect(t, run, 0, enact.Limit(k-1))
					require.NoError(t, err)
					require.Equal(t, expected(n, 0, k-1, false), got)

					got, err = collect(t, run, 0, enact.Backwards())
					f.check(t, a, k, "backwards", expected(n, 0, 0, true), got, err, at, c.position(k), c.position(k+1))

					// Behind the fault all is well.
					for _, opts := range [][]enact.ReadOption{nil, {enact.Backwards()}} {
						got, err = collect(t, run, k+3, opts...)
						require.NoError(t, err)
						require.Equal(t, expected(n, k+3, 0, opts != nil), got)
					}
				})
			}
		}
	}
}

// A back list that leads astray is noticed though no chain covers it, and does not keep
// the events before it from being read.
func TestFaultInABackList(t *testing.T) {
	c := copyLog(t, shape{{times: 2, events: 650, single: true}, {times: 1, events: 1}})
	n := len(c.records)
	for k, far := range map[int]int{
		705: 512,  // nothing goes by it
		n:   1024, // the watermark: where the read begins to look for its way
	} {
		a := c.alter()
		m := a.at(k)
		link := m.Header.Get(record.HeaderLink)
		astray := strings.Replace(link, fmt.Sprintf("%d@%d ", far, c.position(far)), fmt.Sprintf("%d@%d ", far, c.position(far)-1), 1)
		require.NotEqual(t, link, astray)
		m.Header.Set(record.HeaderLink, astray)
		run := a.open(t)
		for _, after := range []int{0, 100, 600} {
			want := expected(n, after, 0, false)
			got, err := collect(t, run, after)
			fault{}.check(t, a, k, fmt.Sprint("after ", after), want, got, err, c.position(k))
			require.Len(t, got, k-1-after)
		}
	}
}

// A record that says of itself that it comes later in the history than the one which names
// it as the one before is a fault like any other: reads that begin behind it end.
func TestFaultInANumber(t *testing.T) {
	c := copyLog(t, shape{{times: 3, events: 1}})
	first := c.alter().parse(1)
	for _, number := range []uint64{3, 9} { // with back lists of one entry
		a := c.alter()
		r := a.parse(2)
		r.Sequence, r.Link = number, record.Link{
			Number: number, Origin: first.Link.Origin, Back: []record.Ref{{Sequence: number - 1, Position: first.Position}},
		}
		m, err := r.Message(c.l.store.Subjects())
		require.NoError(t, err)
		a.stream.Set(a.position(2), m)
		run := a.open(t)
		for _, opts := range [][]enact.ReadOption{nil, {enact.Backwards()}, {enact.Backwards(), enact.Limit(1)}} {
			for _, after := range []int{0, 2} {
				got, err := collect(t, run, after, opts...)
				fault{}.check(t, a, 2, fmt.Sprint(number, " after ", after), expected(3, after, 0, opts != nil), got, err, c.position(2), c.position(3))
			}
		}
	}
}

// A torn batch at the end stops reads behind the last whole append.
func TestTornBatch(t *testing.T) {
	const batch = 20
	shapes := []shape{{}}
	for _, w := range ways() {
		shapes = append(shapes, w.shape)
	}
	for _, s := range shapes {
		s = append(slices.Clip(s), stretch{times: 1, events: batch, single: true})
		t.Run(s.String(), func(t *testing.T) {
			c := copyLog(t, s)
			n := len(c.records)
			whole := n - batch
			a := c.alter()
			a.stream.Cut(c.position(n - 2)) // record n-3 is the last that is left
			run := a.open(t)
			f := fault{}
			at := c.position(n - 3)

			_, err := run.LoadEvents(t.Context())
			f.check(t, a, 0, "load", nil, nil, err, at)
			_, err = run.Head(t.Context())
			f.check(t, a, 0, "head", nil, nil, err, at)
			for _, sequence := range []int{whole + 1, n - 3, n - 2, n} {
				head, err := run.HeadAt(t.Context(), uint64(sequence))
				f.check(t, a, 0, fmt.Sprint("head at ", sequence), nil, nil, err, at)
				require.Zero(t, head.Sequence)
			}
			if whole > 0 {
				head, err := run.HeadAt(t.Context(), uint64(whole))
				require.NoError(t, err)
				require.Equal(t, uint64(whole), head.Sequence)
				require.Equal(t, c.position(whole), head.Position)
			}
			_, err = run.Append(t.Context(), note(0))
			f.check(t, a, 0, "append", nil, nil, err, at)
			for _, after := range []int{0, whole / 2, whole, whole + 3, n} {
				got, err := collect(t, run, after)
				f.check(t, a, 0, fmt.Sprint("after ", after), expected(whole, after, 0, false), got, err, at)
				require.Len(t, got, max(0, whole-after))
			}
			got, err := collect(t, run, 0, enact.Backwards())
			f.check(t, a, 0, "backwards", nil, got, err, at)
			if whole == 0 {
				return
			}
			for _, limit := range []int{1, whole - 1, whole} {
				got, err := collect(t, run, 0, enact.Limit(limit))
				require.NoError(t, err, "a read of %d ends before the batch", limit)
				require.Equal(t, expected(whole, 0, limit, false), got)
			}
			got, err = collect(t, run, 0, enact.Limit(whole+1))
			f.check(t, a, 0, "one too many", expected(whole, 0, 0, false), got, err, at)
			require.Len(t, got, whole)
		})
	}
}

// rechain makes record k anew, as change alters it, and those behind it so that they follow.
func (a *altered) rechain(k int, change func(r *record.Record)) {
	for n := k; n <= len(a.records); n++ {
		r := a.parse(n)
		if n == k {
			change(r)
		}
		_, err := r.After(a.parse(n - 1).Tail())
		require.NoError(a.t, err)
		m, err := r.Message(a.l.store.Subjects())
		require.NoError(a.t, err)
		a.stream.Set(a.position(n), m)
	}
}

// A batch that is torn where the history goes on behind it, as no store would write it, is
// not passed over, however soundly its records are linked.
func TestTornBatchWithinAHistory(t *testing.T) {
	const batch = 5
	for _, w := range ways() {
		c := copyLog(t, append(slices.Clip(w.shape), stretch{times: 1, events: batch, single: true}, stretch{times: 3, events: 1}))
		n := len(c.records)
		whole := n - batch - 3
		for name, tc := range map[string]struct {
			at     int // record that is altered
			change func(r *record.Record)
			shown  int // record that the error names
		}{
			"without its end": {n - 3, func(r *record.Record) {
				r.Commit = record.Commit{ID: logtest.NewCommit(time.Now()), Index: 1, Of: 1}
			}, n - 4},
			"of another length": {n - 3, func(r *record.Record) { r.Commit.Of++ }, n - 4},
			"a batch that begins in its middle": {n - 2, func(r *record.Record) {
				r.Commit = record.Commit{ID: logtest.NewCommit(time.Now()), Index: 2, Of: 2}
			}, n - 2},
		} {
			t.Run(w.name+"/"+name, func(t *testing.T) {
				a := c.alter()
				a.rechain(tc.at, tc.change)
				run := a.open(t)
				f, at := fault{}, c.position(tc.shown)
				_, err := run.LoadEvents(t.Context())
				f.check(t, a, 0, "load", nil, nil, err, at)
				for _, after := range []int{0, whole, tc.at - 2, tc.at - 1} {
					got, err := collect(t, run, after)
					f.check(t, a, 0, fmt.Sprint("after ", after), expected(tc.at-1, after, 0, false), got, err, at)
				}
				got, err := collect(t, run, 0, enact.Backwards())
				f.check(t, a, 0, "backwards", expected(n, 0, 0, true), got, err, at)
				got, err = collect(t, run, tc.at+1)
				require.NoError(t, err, "behind it")
				require.Equal(t, expected(n, tc.at+1, 0, false), got)
			})
		}
	}
}

// otherCodec is JSON under a name that the usual store does not know.
type otherCodec struct{ codec.JSON }

func (otherCodec) Name() string { return "other" }

func (c otherCodec) Encode(ctx context.Context, dst []byte, place codec.Place, events []enact.Event) ([]byte, string, error) {
	payload, _, err := c.JSON.Encode(ctx, dst, place, events)
	return payload, c.Name(), err
}

// A record whose codec the store was not given ends a read behind the events before it,
// though it came in one page with them.
func TestUnknownCodecInAHistory(t *testing.T) {
	l := newWatchedLog(t)
	run := l.build(t, t.Context(), shape{{times: 1, events: 600, single: true}})
	other, err := jetstore.Open(t.Context(), l.nc, jetstore.WithMemoryStorage(), jetstore.WithCodec(otherCodec{}))
	require.NoError(t, err)
	defer shutDown(t, other)
	receipt, err := other.Execution(run.Tenant(), run.ID()).Append(t.Context(), note(601))
	require.NoError(t, err)
	_, err = run.AppendBatch(t.Context(), []enact.Event{note(602), note(603)}, enact.WithOneEventPerRecord())
	require.NoError(t, err)

	for _, after := range []int{0, 300, 598, 600} {
		got, err := collect(t, run, after)
		unknown, ok := errors.AsType[*enact.UnknownCodecError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, enact.UnknownCodecError{Position: receipt.Position, Sequence: 601, Codec: "other"}, *unknown)
		require.True(t, slices.Equal(expected(600, after, 0, false), got), "%v", got)
	}
	got, err := collect(t, run, 601)
	require.NoError(t, err)
	require.Equal(t, []uint64{602, 603}, got)
	got, err = collect(t, run, 0, enact.Backwards())
	require.ErrorIs(t, err, enact.ErrUnknownCodec)
	require.Equal(t, []uint64{603, 602}, got, "backwards what is behind the record comes first")
	got, err = collect(t, other.Execution(run.Tenant(), run.ID()), 0)
	require.NoError(t, err)
	require.Len(t, got, 603)
}

// onStale is called when an answer is older than what is asked for.
type onStale func()

func (f onStale) Happened(_ context.Context, what jetstore.Occurrence) {
	if what == jetstore.StaleAnswer {
		f()
	}
}

// A missing or rewritten end breaks no rule: the head that was kept elsewhere shows it.
func TestHeadShowsAMissingEnd(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			c := copyLog(t, append(slices.Clip(w.shape), stretch{times: 1, events: 1}))
			n := len(c.records)
			kept, err := c.run.Head(t.Context())
			require.NoError(t, err)
			require.Equal(t, enact.Head{
				TenantID: c.run.Tenant(), ExecutionID: c.run.ID(), Sequence: uint64(n), Position: c.position(n), Chain: kept.Chain,
			}, kept)

			a := c.alter()
			a.remove(n)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			run := a.open(t, jetstore.WithTracer(onStale(cancel))) // asked for more, it has been told that there is none
			got, err := collect(t, run, 0)
			require.NoError(t, err)
			require.Equal(t, expected(n-1, 0, 0, false), got)
			head, err := run.Head(t.Context())
			require.NoError(t, err)
			require.Equal(t, kept.Sequence-1, head.Sequence)
			require.NotEqual(t, kept.Chain, head.Chain)
			require.NoError(t, ctx.Err())
			_, err = run.LoadEvents(ctx, enact.AtLeast(kept.Sequence))
			require.ErrorIs(t, err, enact.ErrStale)

			a = c.alter()
			forge(a, n)
			run = a.open(t)
			got, err = collect(t, run, 0)
			require.NoError(t, err)
			require.Len(t, got, n)
			head, err = run.Head(t.Context())
			require.NoError(t, err)
			require.Equal(t, kept.Sequence, head.Sequence)
			require.NotEqual(t, kept.Chain, head.Chain, "rewritten")
		})
	}
}
