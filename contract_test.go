package enact_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/eventgen"
)

func TestErrorTexts(t *testing.T) {
	long := strings.Repeat("é", 200)
	clipped := strings.Repeat("é", 80) + "…"
	tests := []struct {
		err  error
		is   error
		text string
	}{
		{&enact.IDError{Kind: "tenant id", ID: "a\n", Reason: "is bad"}, enact.ErrInvalidID, `enact: tenant id "a\n" is bad`},
		{&enact.IDError{Kind: "step id", ID: long, Reason: "is long"}, enact.ErrInvalidID, `enact: step id "` + clipped + `" is long`},
		{&enact.EventError{Reason: "is nil"}, enact.ErrInvalidEvent, "enact: invalid event: is nil"},
		{&enact.EventError{Index: 3, Type: "custom", Field: "data", Reason: "is missing"}, enact.ErrInvalidEvent, "enact: invalid event 3 of the batch custom: data: is missing"},
		{&enact.EventError{Type: long, Field: long, Reason: "r"}, enact.ErrInvalidEvent, "enact: invalid event " + clipped + ": " + clipped + ": r"},
		{&enact.OptionError{Option: "Limit", Reason: "-1 is below 0"}, enact.ErrInvalidOption, "enact: Limit: -1 is below 0"},
		{&enact.CursorError{Reason: "it is damaged"}, enact.ErrInvalidCursor, "enact: invalid cursor: it is damaged"},
		{&enact.ConflictError{TenantID: "t", ExecutionID: "e", Expected: enact.Expectation{Kind: enact.ExactSequence, Sequence: 4}, Actual: 7}, enact.ErrConflict, `enact: conflict on execution "e" of tenant "t": expected sequence 4, actual sequence is 7`},
		{&enact.ConflictError{TenantID: "t", ExecutionID: "e", Expected: enact.Expectation{Kind: enact.ExactSequence}, Actual: 7}, enact.ErrConflict, `enact: conflict on execution "e" of tenant "t": expected no events, actual sequence is 7`},
		{&enact.ConflictError{TenantID: "t", ExecutionID: "e", Expected: enact.Expectation{Kind: enact.MustExist}}, enact.ErrConflict, `enact: conflict on execution "e" of tenant "t": expected an existing execution, actual sequence is 0`},
		{&enact.TooLargeError{What: "event", Size: 9, Limit: 8, Unit: "bytes"}, enact.ErrTooLarge, "enact: event too large: 9 bytes, the limit is 8"},
		{&enact.CorruptError{TenantID: "t", ExecutionID: "e", Position: 5, Sequence: 6, Reason: "a hole"}, enact.ErrCorrupt, `enact: corrupt history of execution "e" of tenant "t" at position 5, sequence 6: a hole`},
		{&enact.UnsupportedVersionError{Position: 5, Version: "2"}, enact.ErrUnsupportedVersion, `enact: record at position 5 has unsupported version "2"`},
		{&enact.UnknownCodecError{Position: 5, Codec: "cbor"}, enact.ErrUnknownCodec, `enact: record at position 5 has unknown codec "cbor"`},
		{&enact.PayloadError{TenantID: "t", ExecutionID: "e", Position: 5, Sequence: 6, Codec: "c;key=k", Err: context.Canceled}, enact.ErrPayload, `enact: payload of execution "e" of tenant "t" at position 5, sequence 6, codec "c;key=k": context canceled`},
		{&enact.UnknownOutcomeError{TenantID: "t", ExecutionID: "e", CommitID: "c", Predecessor: 3, Events: 2, Cause: context.Canceled}, enact.ErrUnknownOutcome, `enact: outcome of an append of 2 events to execution "e" of tenant "t" is unknown (commit c after position 3): context canceled`},
		{&enact.UnknownOutcomeError{TenantID: "t", ExecutionID: "e", CommitID: "c"}, enact.ErrUnknownOutcome, `enact: outcome of an append of 0 events to execution "e" of tenant "t" is unknown (commit c after position 0)`},
		{
			&enact.StreamConfigError{Stream: "S", Problems: []enact.StreamProblem{{Setting: "deny_delete", Have: "false", Want: "true", Why: "immutability"}, {Setting: "max_age", Have: "1h", Want: "0", Why: "durability"}}},
			enact.ErrStreamConfig,
			`enact: stream "S" breaks the log's guarantees: deny_delete is false, must be true (immutability); max_age is 1h, must be 0 (durability)`,
		},
	}
	sentinels := []error{
		enact.ErrConflict, enact.ErrTenantMismatch, enact.ErrAmbiguousExecution, enact.ErrInvalidID, enact.ErrInvalidEvent, enact.ErrInvalidOption,
		enact.ErrInvalidCursor, enact.ErrTenantRequired,
		enact.ErrEmptyBatch, enact.ErrKeyReused, enact.ErrTooLarge, enact.ErrUnknownOutcome, enact.ErrCorrupt, enact.ErrUnsupportedVersion,
		enact.ErrUnknownCodec, enact.ErrPayload, enact.ErrStale, enact.ErrStreamNotFound, enact.ErrStreamConfig, enact.ErrServerTooOld, enact.ErrClosed,
	}
	for _, tt := range tests {
		require.Equal(t, tt.text, tt.err.Error())
		wrapped := fmt.Errorf("append: %w", tt.err)
		for _, sentinel := range sentinels {
			require.Equal(t, sentinel == tt.is, errors.Is(wrapped, sentinel), "%T is %v", tt.err, sentinel)
		}
	}
	for _, sentinel := range sentinels {
		require.True(t, strings.HasPrefix(sentinel.Error(), "enact: "), sentinel)
	}
}

func TestTypedErrorsAreFound(t *testing.T) {
	err := fmt.Errorf("outer: %w", &enact.ConflictError{Actual: 7})
	got, ok := errors.AsType[*enact.ConflictError](err)
	require.True(t, ok)
	require.Equal(t, uint64(7), got.Actual)
}

func TestUnknownOutcomeJSON(t *testing.T) {
	e := &enact.UnknownOutcomeError{
		TenantID: "t", ExecutionID: "e", CommitID: "018f", Predecessor: 18446744073709551615, Incarnation: "i", First: 4, Events: 3, IdempotencyKey: "k",
		Records: []enact.PendingRecord{{Header: map[string][]string{"Enact-Key": {"<k>"}}, Data: []byte{0, 0xff}}, {Data: []byte("{}")}},
		Cause:   context.DeadlineExceeded,
	}
	require.ErrorIs(t, e, context.DeadlineExceeded)
	require.ErrorIs(t, e, enact.ErrUnknownOutcome)
	text, err := json.Marshal(e)
	require.NoError(t, err)
	require.Equal(t, `{"tenant_id":"t","execution_id":"e","commit_id":"018f","predecessor":18446744073709551615,"incarnation":"i","first":4,"events":3,"idempotency_key":"k",`+
		`"records":[{"header":{"Enact-Key":["\u003ck\u003e"]},"data":"AP8="},{"header":null,"data":"e30="}]}`, string(text))

	var back enact.UnknownOutcomeError
	require.NoError(t, json.Unmarshal(text, &back))
	require.ErrorIs(t, &back, enact.ErrUnknownOutcome)
	require.NotErrorIs(t, &back, context.DeadlineExceeded)
	require.NotContains(t, back.Error(), "nil")
	back.Cause = e.Cause
	require.Equal(t, e, &back)
}

func TestAppendOptions(t *testing.T) {
	require.Equal(t, enact.AppendOptions{}, enact.NewAppendOptions())
	require.Equal(t, enact.AppendOptions{}, enact.NewAppendOptions(nil))
	at := time.Unix(1, 2)
	first := map[string]string{"a": "1", "b": "1"}
	o := enact.NewAppendOptions(enact.ExpectExists(), enact.ExpectSequence(4), enact.WithIdempotencyKey("k"), enact.WithMetadata(first),
		enact.WithMetadata(map[string]string{"b": "2", "c": "2"}), enact.WithTimestamp(at), enact.WithOneEventPerRecord())
	require.Equal(t, enact.AppendOptions{
		Expect: enact.Expectation{Kind: enact.ExactSequence, Sequence: 4}, IdempotencyKey: "k",
		Metadata: map[string]string{"a": "1", "b": "2", "c": "2"}, Timestamp: at, OneEventPerRecord: true,
	}, o)
	require.NoError(t, o.Validate())
	require.Equal(t, map[string]string{"a": "1", "b": "1"}, first, "the caller's map is left alone")
	first["a"] = "changed"
	require.Equal(t, "1", o.Metadata["a"])
}

func TestAppendOptionsLimits(t *testing.T) {
	metadata := func(k, v string) enact.AppendOptions {
		return enact.AppendOptions{Metadata: map[string]string{k: v}}
	}
	pairs := func(n int) map[string]string {
		m := make(map[string]string)
		for i := range n {
			m[fmt.Sprint(i)] = ""
		}
		return m
	}
	for _, o := range []enact.AppendOptions{
		{},
		{IdempotencyKey: strings.Repeat("k", 256)},
		{Timestamp: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)},
		{Timestamp: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)},
		metadata(strings.Repeat("k", 64), ""), metadata("k", strings.Repeat("v", 8<<10-1)), metadata(" :\r\n", "\x00"),
		{Metadata: pairs(128)},
	} {
		require.NoError(t, o.Validate())
	}
	for _, tt := range []struct {
		options enact.AppendOptions
		want    error
	}{
		{enact.AppendOptions{Expect: enact.Expectation{Kind: 3}}, &enact.OptionError{Option: "Expect", Reason: "unknown kind 3"}},
		{enact.AppendOptions{IdempotencyKey: strings.Repeat("k", 257)}, &enact.TooLargeError{What: "idempotency key", Size: 257, Limit: 256, Unit: "bytes"}},
		{enact.AppendOptions{IdempotencyKey: "\xff"}, &enact.OptionError{Option: "IdempotencyKey", Reason: "is not valid UTF-8"}},
		{enact.AppendOptions{Timestamp: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, &enact.OptionError{Option: "Timestamp", Reason: "year 10000 is not within 0 to 9999"}},
		{enact.AppendOptions{Timestamp: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))}, &enact.OptionError{Option: "Timestamp", Reason: "year 10000 is not within 0 to 9999"}},
		{enact.AppendOptions{Timestamp: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}, &enact.OptionError{Option: "Timestamp", Reason: "year -1 is not within 0 to 9999"}},
		{metadata("", "v"), &enact.OptionError{Option: "Metadata", Reason: "a key is empty"}},
		{metadata("\xff", "v"), &enact.OptionError{Option: "Metadata", Reason: `"\xff" is not valid UTF-8`}},
		{metadata("k", "\xff"), &enact.OptionError{Option: "Metadata", Reason: `"k" is not valid UTF-8`}},
		{metadata(strings.Repeat("k", 65), ""), &enact.TooLargeError{What: "metadata key", Size: 65, Limit: 64, Unit: "bytes"}},
		{enact.AppendOptions{Metadata: pairs(129)}, &enact.TooLargeError{What: "metadata", Size: 129, Limit: 128, Unit: "keys"}},
		{metadata("k", strings.Repeat("v", 8<<10)), &enact.TooLargeError{What: "metadata", Size: 8<<10 + 1, Limit: 8 << 10, Unit: "bytes"}},
	} {
		require.Equal(t, tt.want, tt.options.Validate())
	}
}

func TestReadOptions(t *testing.T) {
	require.Equal(t, enact.ReadOptions{}, enact.NewReadOptions(nil))
	tenant := enact.TenantID("t")
	o := enact.NewReadOptions(enact.InTenant("t"), enact.AtLeast(3), enact.AllowStale(), enact.Limit(2), enact.Backwards())
	require.Equal(t, enact.ReadOptions{TenantID: &tenant, AtLeast: 3, AllowStale: true, Limit: 2, Backwards: true}, o)
	require.NoError(t, o.Validate())
	require.ErrorIs(t, enact.NewReadOptions(enact.InTenant("")).Validate(), enact.ErrInvalidID)
	require.Equal(t, &enact.OptionError{Option: "Limit", Reason: "-1 is below 0"}, enact.NewReadOptions(enact.Limit(-1)).Validate())

	require.NoError(t, enact.ValidatePage(0, 0))
	require.NoError(t, enact.ValidatePage(10, 10))
	require.Equal(t, &enact.OptionError{Option: "limit", Reason: "-1 is below 0"}, enact.ValidatePage(-1, 0))
	require.Equal(t, &enact.OptionError{Option: "offset", Reason: "-2 is below 0"}, enact.ValidatePage(0, -2))
}

func TestExpectation(t *testing.T) {
	for _, tt := range []struct {
		expect enact.Expectation
		text   string
		holds  map[uint64]bool
	}{
		{enact.Expectation{}, "any sequence", map[uint64]bool{0: true, 1: true, 9: true}},
		{enact.Expectation{Kind: enact.ExactSequence}, "no events", map[uint64]bool{0: true, 1: false, 9: false}},
		{enact.Expectation{Kind: enact.ExactSequence, Sequence: 1}, "sequence 1", map[uint64]bool{0: false, 1: true, 9: false}},
		{enact.Expectation{Kind: enact.MustExist}, "an existing execution", map[uint64]bool{0: false, 1: true, 9: true}},
	} {
		require.Equal(t, tt.text, tt.expect.String())
		for latest, want := range tt.holds {
			require.Equal(t, want, tt.expect.Holds(latest), "%s of %d", tt.text, latest)
		}
	}
}

func TestBatchValidate(t *testing.T) {
	valid := func() enact.Batch {
		return enact.Batch{TenantID: "t", ExecutionID: "e", Events: []enact.Event{enact.ExecutionStarted{}, enact.ExecutionResumed{}}}
	}
	year10000 := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name   string
		change func(*enact.Batch)
		want   error
	}{
		{"valid", func(*enact.Batch) {}, nil},
		{"own times", func(b *enact.Batch) { b.Timestamps = make([]time.Time, 2) }, nil},
		{"no execution", func(b *enact.Batch) { b.ExecutionID = "" }, &enact.IDError{Kind: "execution id", Reason: "is empty"}},
		{"no tenant", func(b *enact.Batch) { b.TenantID = "" }, &enact.IDError{Kind: "tenant id", Reason: "is empty"}},
		{"no events", func(b *enact.Batch) { b.Events = nil }, enact.ErrEmptyBatch},
		{"ids come first", func(b *enact.Batch) { b.Events, b.TenantID = nil, "" }, &enact.IDError{Kind: "tenant id", Reason: "is empty"}},
		{"a nil event", func(b *enact.Batch) { b.Events[1] = nil }, &enact.EventError{Index: 1, Reason: "is nil"}},
		{"an invalid event", func(b *enact.Batch) { b.Events[1] = enact.Custom{EventType: "x"} }, &enact.EventError{Index: 1, Type: "custom", Field: "data", Reason: "is missing; JSON(nil) stands for null"}},
		{"the first of two", func(b *enact.Batch) {
			b.Events = []enact.Event{enact.StepCompleted{}, enact.Custom{}}
		}, &enact.EventError{Index: 0, Type: "step_completed", Field: "step_id", Reason: "is empty"}},
		{"an unreadable event", func(b *enact.Batch) { b.Events[1] = enact.Unreadable{} }, &enact.EventError{Index: 1, Type: "enact.unreadable", Reason: "stands for an event that cannot be read, it cannot be appended"}},
		{"too few times", func(b *enact.Batch) { b.Timestamps = make([]time.Time, 1) }, &enact.OptionError{Option: "Timestamps", Reason: "has 1 times for 2 events"}},
		{"no times, but not nil", func(b *enact.Batch) { b.Timestamps = []time.Time{} }, &enact.OptionError{Option: "Timestamps", Reason: "has 0 times for 2 events"}},
		{"a time out of range", func(b *enact.Batch) { b.Timestamps = []time.Time{{}, year10000} }, &enact.OptionError{Option: "Timestamps", Reason: "year 10000 is not within 0 to 9999"}},
		{"options", func(b *enact.Batch) { b.Options.IdempotencyKey = "\xff" }, &enact.OptionError{Option: "IdempotencyKey", Reason: "is not valid UTF-8"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := valid()
			tt.change(&b)
			if tt.want == nil {
				require.NoError(t, b.Validate())
				return
			}
			require.Equal(t, tt.want, b.Validate())
		})
	}
}

func TestChainText(t *testing.T) {
	var c enact.Chain
	require.Equal(t, strings.Repeat("A", 43), c.String())
	for i := range c {
		c[i] = byte(0xff - i)
	}
	text, err := json.Marshal(enact.Head{TenantID: "t", ExecutionID: "e", Sequence: 1, Position: 2, Chain: c})
	require.NoError(t, err)
	require.Equal(t, `{"tenant_id":"t","execution_id":"e","sequence":1,"position":2,"chain":"`+c.String()+`"}`, string(text))
	var head enact.Head
	require.NoError(t, json.Unmarshal(text, &head))
	require.Equal(t, c, head.Chain)

	valid := c.String()
	for _, bad := range []string{
		"", valid[:42], valid + "A", valid + "=", valid[:42] + "=", valid[:42] + "\n", "\n" + valid, valid + "\n", valid[:20] + "\n" + valid[20:], " " + valid[1:],
		"+" + valid[1:], "/" + valid[1:], valid[:42] + "B", strings.Repeat("A", 42) + "B", strings.Repeat("A", 44),
	} {
		got := c
		require.ErrorContains(t, got.UnmarshalText([]byte(bad)), "is not a chain value", "%q", bad)
		require.Equal(t, c, got, "a failed read changes nothing")
	}
}

// Encode refuses exactly what Validate refuses, with the same error, and otherwise
// gives what AppendEvent writes.
func TestEncodeIsValidateAndAppendEvent(t *testing.T) {
	long := enact.StepID(strings.Repeat("x", enact.MaxIDLength+1))
	fixed := []enact.Event{
		nil,
		enact.StepCompleted{},
		enact.StepCompleted{StepID: long},
		enact.StepCompleted{StepID: "\xff"},
		enact.StepStarted{StepID: "s", Name: "n"},
		enact.ToolCallStarted{ToolCallID: "c"},
		enact.ToolCallStarted{ToolCallID: "c", Input: json.RawMessage("{")},
		enact.ToolCallStarted{StepID: new(enact.StepID("")), Input: enact.JSON(1)},
		enact.GoalEvaluated{Score: new(math.NaN())},
		enact.ExecutionFailed{Error: enact.ExecutionError{Category: "x"}},
		enact.ExecutionFailed{Error: enact.NewExecutionError("", "m")},
		enact.ExecutionStarted{Parent: &enact.ParentLink{ParentID: "p"}},
		enact.Unknown{Tag: "custom", Raw: json.RawMessage(`{"type":"custom"}`)},
		enact.Unreadable{Codec: "c"},
		enact.ExecutionResumed{},
	}
	compare := func(t require.TestingT, e enact.Event) {
		b := enact.Batch{TenantID: "t", ExecutionID: "e", Events: []enact.Event{enact.ExecutionResumed{}, e}}
		texts, err := b.Encode()
		if want := b.Validate(); want != nil {
			require.Equal(t, want, err)
			return
		}
		require.NoError(t, err)
		want, err := enact.AppendEvent(nil, e)
		require.NoError(t, err)
		require.Equal(t, string(want), string(texts[1]))
	}
	for _, e := range fixed {
		compare(t, e)
	}
	rapid.Check(t, func(t *rapid.T) { compare(t, eventgen.Event().Draw(t, "event")) })
}
