package record

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// counted decodes any payload to a fixed number of events.
type counted struct {
	codec.JSON
	events int
	err    error
}

func (counted) Name() string { return "cbor" }

func (c counted) Decode(context.Context, []byte, string, codec.Place, int) ([]enact.Event, error) {
	return make([]enact.Event, c.events), c.err
}

func TestEvents(t *testing.T) {
	s := samples(t)["single"]
	delete(s.m.Header, HeaderCodec)
	r, err := s.parse()
	require.NoError(t, err)
	events, err := r.Events(t.Context(), codec.Set{})
	require.NoError(t, err)
	trace := enact.TraceContext{Parent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	require.Equal(t, []enact.StoredEvent{
		{
			Sequence: 22, ExecutionID: testExecution, TenantID: testTenant, Event: enact.ExecutionPaused{Reason: "12.1.1"},
			Timestamp: r.Times[0], Position: 1110, Metadata: map[string]string{"user": "ann"}, Trace: trace,
		},
		{
			Sequence: 23, ExecutionID: testExecution, TenantID: testTenant, Event: enact.ExecutionPaused{Reason: "12.1.2"},
			Timestamp: r.Times[1], Position: 1110, Metadata: map[string]string{"user": "ann"}, Trace: trace,
		},
	}, events)

	// What is no trace context is not handed on.
	s.m.Header[HeaderTraceParent] = []string{"another's"}
	r, err = s.parse()
	require.NoError(t, err)
	events, err = r.Events(t.Context(), codec.Set{})
	require.NoError(t, err)
	require.Zero(t, events[0].Trace)
}

func TestEventsUnknownCodec(t *testing.T) {
	r, err := samples(t)["single"].parse()
	require.NoError(t, err)
	_, err = r.Events(t.Context(), codec.Set{})
	require.Equal(t, &enact.UnknownCodecError{Position: 1110, Sequence: 22, Codec: "cbor;v=1"}, err)
}

func TestEventsCorruptPayload(t *testing.T) {
	const e = `{"type":"execution_resumed"}`
	set := func(c codec.Codec) codec.Set {
		s, err := codec.NewSet(c)
		require.NoError(t, err)
		return s
	}
	for name, tt := range map[string]struct {
		codec, payload string
		codecs         codec.Set
		reason         string
	}{
		"nothing":                 {"", ``, codec.Set{}, "is not a JSON array"},
		"garbage":                 {"", "\x00\xff", codec.Set{}, "is not a JSON array"},
		"one event":               {"", e, codec.Set{}, "is not a JSON array"},
		"too few events":          {"", `[` + e + `]`, codec.Set{}, "1 events, the record says 2"},
		"too many events":         {"", `[` + e + `,` + e + `,` + e + `]`, codec.Set{}, "more than the record's 2 events"},
		"an invalid event":        {"", `[` + e + `,{}]`, codec.Set{}, "event 1 of the payload"},
		"what the codec refuses":  {"cbor", e, set(counted{err: errors.New("not CBOR")}), "payload: not CBOR"},
		"too few from the codec":  {"cbor", e, set(counted{events: 1}), `codec "cbor" gave 1 events for 2`},
		"none from the codec":     {"cbor;v=1", e, set(counted{events: 0}), `codec "cbor;v=1" gave 0 events for 2`},
		"too many from the codec": {"cbor", e, set(counted{events: 3}), `codec "cbor" gave 3 events for 2`},
	} {
		t.Run(name, func(t *testing.T) {
			s := samples(t)["single"]
			delete(s.m.Header, HeaderCodec)
			if tt.codec != "" {
				s.m.Header[HeaderCodec] = []string{tt.codec}
			}
			s.m.Data = []byte(tt.payload)
			r, err := s.parse()
			require.NoError(t, err)
			_, err = r.Events(t.Context(), tt.codecs)
			corrupt, ok := errors.AsType[*enact.CorruptError](err)
			require.True(t, ok, err)
			require.Contains(t, corrupt.Reason, tt.reason)
			require.Equal(t, uint64(1110), corrupt.Position)
			require.Equal(t, uint64(22), corrupt.Sequence)
			require.Equal(t, testTenant, corrupt.TenantID)
			require.Equal(t, testExecution, corrupt.ExecutionID)
		})
	}
}

// What no record can hold is refused before anything is sent, and not found corrupt
// for ever after.
func TestAfterRefuses(t *testing.T) {
	for _, header := range []string{"", "JSON", "a b", "a;b c", "a\n", "é", "a;\xff", ";"} {
		r := newRecord(1, 1, 1, 1)
		r.Codec = header
		_, err := r.After(Tail{})
		require.ErrorIs(t, err, enact.ErrInvalidOption, header)
	}
	for _, apart := range []time.Duration{math.MaxInt64, math.MinInt64} {
		r := newRecord(1, 1, 1, 2)
		r.Times[1] = r.Times[0].Add(apart)
		require.False(t, TimesFit(r.Times[0], r.Times[1]))
		_, err := r.After(Tail{})
		require.ErrorIs(t, err, enact.ErrInvalidOption)
	}
}

func TestHeaderLimit(t *testing.T) {
	build := func(size int) (*nats.Msg, error) {
		r := newRecord(1, 1, 1, 1)
		r.Metadata = map[string]string{"k": strings.Repeat("v", size)}
		_, err := r.After(Tail{})
		require.NoError(t, err)
		return r.Message(testSubjects)
	}
	m, err := build(0)
	require.NoError(t, err)
	room := MaxHeaderBytes - HeaderBytes(m.Header)
	m, err = build(room)
	require.NoError(t, err)
	require.Len(t, headerText(m.Header), MaxHeaderBytes)
	_, err = build(room + 1)
	require.Equal(t, &enact.TooLargeError{What: "headers", Size: MaxHeaderBytes + 1, Limit: MaxHeaderBytes, Unit: "bytes"}, err)
}

// The tail of an append that has not been stored leads to the same records as the one
// that is read back.
func TestTailOfAppendAndOfRecord(t *testing.T) {
	h := history{tb: t, next: 1000}
	h.add(newRecord(1, 1, 3, 1), newRecord(1, 2, 3, 2), newRecord(1, 3, 3, 1))
	require.Equal(t, h.records[2].Tail(), h.tail)
	h.gap(5)
	h.add(newRecord(2, 1, 1, 1))
	require.Equal(t, h.records[3].Tail(), h.tail)
	require.Equal(t, Tail{
		Sequence: 5, Position: 1008, Number: 4, RecordSequence: 5, Origin: testCommit(1),
		Back: []Ref{{4, 1002}, {2, 1001}}, Chain: h.records[3].Link.Chain,
		commit: Commit{testCommit(2), 1, 1},
	}, h.tail)
}

// A payload that the codec could not look at is no corrupt one.
func TestEventsOfAPayloadThatIsNotAtHand(t *testing.T) {
	s := samples(t)["single"]
	s.m.Header[HeaderCodec] = []string{"cbor;key=k"}
	r, err := s.parse()
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	keyErr := &codec.KeyError{TenantID: testTenant, KeyID: "k", Err: errors.New("throttled")}
	for _, tt := range []struct {
		ctx context.Context
		err error
	}{
		{t.Context(), keyErr},
		{t.Context(), fmt.Errorf("decode: %w", codec.ErrUnavailable)},
		{t.Context(), &enact.TooLargeError{What: "payload", Size: 2, Limit: 1, Unit: "bytes"}},
		{ended, ended.Err()},
	} {
		set, err := codec.NewSet(counted{err: tt.err})
		require.NoError(t, err)
		_, err = r.Events(tt.ctx, set)
		require.Equal(t, &enact.PayloadError{
			TenantID: testTenant, ExecutionID: testExecution, Position: 1110, Sequence: 22, Codec: "cbor;key=k", Err: tt.err,
		}, err)
		require.ErrorIs(t, err, tt.err)
		require.NotErrorIs(t, err, enact.ErrCorrupt)
	}
}
