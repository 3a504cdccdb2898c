package enact_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func pointer[T any](v T) *T { return &v }

func TestValidateRefuses(t *testing.T) {
	const bad = "a\xffb"
	long := strings.Repeat("x", enact.MaxIDLength+1)
	failed := func(change func(*enact.ExecutionError)) enact.Event {
		e := enact.NewExecutionError(enact.CategoryTimeout, "m")
		change(&e)
		return enact.ExecutionFailed{Error: e}
	}
	tests := []struct {
		name          string
		event         enact.Event
		field, reason string
		readable      bool // AppendEvent writes it all the same: its JSON is sound
	}{
		{"text that is not UTF-8", enact.ExecutionPaused{Reason: bad}, "reason", "is not valid UTF-8", false},
		{"optional text that is not UTF-8", enact.ExecutionCompleted{Output: pointer(bad)}, "output", "is not valid UTF-8", false},
		{"no step id", enact.StepCompleted{}, "step_id", "is empty", true},
		{"a step id that is not UTF-8", enact.StepCompleted{StepID: bad}, "step_id", "is not valid UTF-8", false},
		{"a step id too long", enact.StepCompleted{StepID: enact.StepID(long)}, "step_id", "has 129 bytes, at most 128 are allowed", true},
		{"an optional step id that is empty", enact.CheckpointSaved{StepID: pointer(enact.StepID(""))}, "step_id", "is empty", true},
		{"an optional step id too long", enact.CheckpointSaved{StepID: pointer(enact.StepID(long))}, "step_id", "has 129 bytes, at most 128 are allowed", true},
		{"no step type", enact.StepStarted{StepID: "s"}, "step_type", "is empty", true},
		{"no source type", enact.StepDiscovered{StepID: "s"}, "source_type", "is empty", true},
		{"no parent type", enact.ExecutionStarted{Parent: &enact.ParentLink{}}, "parent.parent_type", "is empty", true},
		{"no category", failed(func(e *enact.ExecutionError) { e.Category = "" }), "error.category", "is empty", true},
		{"no strategy", failed(func(e *enact.ExecutionError) { e.RetryPolicy.BackoffStrategy = "" }), "error.retry_policy.backoff_strategy", "is empty", true},
		{"nanoseconds of a whole second", failed(func(e *enact.ExecutionError) { e.RetryPolicy.BaseDelay.Nanos = 1_000_000_000 }), "error.retry_policy.base_delay.nanos", "is not below 1000000000", true},
		{"details that are not JSON", failed(func(e *enact.ExecutionError) { e.Details = json.RawMessage("{") }), "error.details", "is not valid JSON: {", false},
		{"an unknown key that is known", failed(func(e *enact.ExecutionError) { e.Extra = map[string]json.RawMessage{"message": json.RawMessage("1")} }), "error.message", "is a known key, it has no place in Extra", false},
		{"an unknown key that is known in camelCase", failed(func(e *enact.ExecutionError) { e.Extra = map[string]json.RawMessage{"httpStatus": nil} }), "error.httpStatus", "is a known key, it has no place in Extra", false},
		{"an unknown key that is not UTF-8", failed(func(e *enact.ExecutionError) { e.Extra = map[string]json.RawMessage{bad: nil} }), "error.a\ufffdb", "the key is not valid UTF-8", false},
		{"an unknown value that is not JSON", failed(func(e *enact.ExecutionError) { e.Extra = map[string]json.RawMessage{"x": json.RawMessage("nope")} }), "error.x", "is not valid JSON: nope", false},
		{"nil input", enact.ToolCallStarted{}, "input", "is missing; JSON(nil) stands for null", false},
		{"nil output", enact.ToolCallCompleted{}, "output", "is missing; JSON(nil) stands for null", false},
		{"nil data", enact.Custom{}, "data", "is missing; JSON(nil) stands for null", false},
		{"empty data", enact.Custom{Data: json.RawMessage{}}, "data", "is not valid JSON", false},
		{"data that is not JSON", enact.Custom{Data: json.RawMessage(`{"a":}`)}, "data", `is not valid JSON: {"a":}`, false},
		{"data of two values", enact.Custom{Data: json.RawMessage(`1 2`)}, "data", "is not valid JSON: 1 2", false},
		{"data that is not UTF-8", enact.Custom{Data: json.RawMessage("\"\xff\"")}, "data", "is not valid JSON", false},
		{"data with a lone surrogate", enact.Custom{Data: json.RawMessage(`["\ud800"]`)}, "data", "is not valid JSON", false},
		{"data beyond a float64", enact.Custom{Data: json.RawMessage(`{"\"":"1e999","a":[-1E+400]}`)}, "data", "number out of range: -1E+400", false},
		{"metadata that is not JSON", enact.ExecutionStarted{Metadata: json.RawMessage("")}, "metadata", "is not valid JSON", false},
		{"a score that is no number", enact.GoalEvaluated{GoalID: "g", Score: pointer(math.NaN())}, "score", "is not finite", false},
		{"an infinite score", enact.GoalEvaluated{GoalID: "g", Score: pointer(math.Inf(-1))}, "score", "is not finite", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := eventError(t, tt.event.Validate())
			require.Equal(t, tt.event.Type(), got.Type)
			require.Equal(t, tt.field, got.Field)
			require.Contains(t, got.Reason, tt.reason)

			data, err := enact.AppendEvent(nil, tt.event)
			if tt.readable {
				require.NoError(t, err)
				parse(t, string(data))
				return
			}
			require.Nil(t, data)
			require.Equal(t, tt.field, eventError(t, err).Field)
			require.Equal(t, tt.event.Type(), eventError(t, err).Type)
		})
	}
}

// The least that each type needs is enough.
func TestValidateAccepts(t *testing.T) {
	null := enact.JSON(nil)
	failure := enact.NewExecutionError("c", "")
	for _, e := range []enact.Event{
		enact.ExecutionStarted{},
		enact.StepStarted{StepID: "s", StepType: "x"},
		enact.StepCompleted{StepID: "s"},
		enact.StepFailed{StepID: "s", Error: failure},
		enact.ExecutionPaused{},
		enact.ExecutionResumed{},
		enact.ExecutionCompleted{},
		enact.ExecutionFailed{Error: failure},
		enact.ExecutionCancelled{},
		enact.ArtifactStored{StepID: "s"},
		enact.StepDiscovered{StepID: "s", SourceType: "x"},
		enact.ToolCallStarted{Input: null},
		enact.ToolCallCompleted{Output: null},
		enact.CheckpointSaved{},
		enact.GoalEvaluated{},
		enact.Custom{Data: null},
		enact.StepCompleted{StepID: enact.StepID(strings.Repeat("x", enact.MaxIDLength))},
		enact.Custom{Data: json.RawMessage(`{"a":1e300,"b":1e-999,"c":0e999,"d":"1e999"}`)},
	} {
		require.NoError(t, e.Validate(), e.Type())
		require.Equal(t, e, parse(t, encode(t, e)))
	}
}

func TestNewExecutionError(t *testing.T) {
	e := enact.NewExecutionError(enact.CategoryToolError, "boom")
	require.NoError(t, enact.ExecutionFailed{Error: e}.Validate())
	require.Equal(t, uint32(1), e.Attempt)
	require.False(t, e.RetryPolicy.Retryable)
	require.Positive(t, e.OccurredAt)
}

// A pointer to a variant has the methods of an event, but is none.
func TestEventsAreValues(t *testing.T) {
	for name, e := range map[string]enact.Event{
		"is nil":                           nil,
		"is a pointer, events are values":  &enact.ExecutionResumed{},
		"is a pointer, events are values ": (*enact.StepCompleted)(nil),
	} {
		_, err := enact.AppendEvent(nil, e)
		require.Equal(t, strings.TrimSpace(name), eventError(t, err).Reason)
		_, err = enact.StoredEvent{Event: e}.AppendJSON(nil)
		require.Equal(t, "event", eventError(t, err).Field)
		batch := enact.Batch{TenantID: "t", ExecutionID: "e", Events: []enact.Event{enact.ExecutionResumed{}, e}}
		require.Equal(t, 1, eventError(t, batch.Validate()).Index)
	}
}

func TestTerminal(t *testing.T) {
	for _, e := range []enact.Event{enact.ExecutionCompleted{}, enact.ExecutionFailed{}, enact.ExecutionCancelled{}} {
		require.True(t, enact.Terminal(e), e.Type())
	}
	for _, e := range []enact.Event{
		nil,
		enact.ExecutionStarted{},
		enact.ExecutionPaused{},
		enact.ExecutionResumed{},
		enact.StepCompleted{},
		enact.StepFailed{},
		enact.Custom{},
		enact.Unknown{Tag: "execution_ended"},
		enact.Unreadable{},
	} {
		require.False(t, enact.Terminal(e), "%T", e)
	}
}

// An event of an unknown type comes back byte for byte, but for the space around it.
func TestUnknownKeepsItsBytes(t *testing.T) {
	for _, raw := range []string{
		`{"type":"unheard_of"}`,
		`{ "b" : 1.0 , "type" : "StepStarted", "a": {"x":1,"x":2}, "b": "\u00e9" }`,
		`{"type":"enact.later","n":18446744073709551616}`,
		"{\"type\":\"x\",\n\"y\":1}",
	} {
		e := parse(t, " "+raw+"\n")
		require.IsType(t, enact.Unknown{}, e)
		require.Equal(t, raw, string(e.(enact.Unknown).Raw))
		if !strings.Contains(raw, "enact.") {
			require.NoError(t, e.Validate())
			require.Equal(t, raw, encode(t, e))
		}
	}
}

func TestUnknownValidate(t *testing.T) {
	tests := []struct {
		name, tag, raw, field, reason string
	}{
		{"no raw object", "x", ``, "", "is not valid JSON"},
		{"not JSON", "x", `{`, "", "is not valid JSON"},
		{"not an object", "x", `[]`, "", "is an array, not an object"},
		{"no type", "x", `{"a":1}`, "type", "is missing"},
		{"another type", "x", `{"type":"y"}`, "type", "differs from the raw object's, y"},
		{"a known type", "execution_resumed", `{"type":"execution_resumed"}`, "type", "is a known type, which Unknown cannot carry"},
		{"a known type hidden under another", "x", `{"type":"execution_resumed"}`, "type", "differs from the raw object's, execution_resumed"},
		{"a reserved type", "enact.x", `{"type":"enact.x"}`, "type", "is reserved"},
		{"the type of Unreadable", "enact.unreadable", `{"type":"enact.unreadable","codec":"c","key_id":"k"}`, "type", "is a known type"},
		{"type twice", "x", `{"type":"x","type":"x"}`, "type", "is there twice"},
		{"a lone surrogate", "x", `{"type":"x","y":"\ud800"}`, "y", "is not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := enact.Unknown{Tag: tt.tag, Raw: json.RawMessage(tt.raw)}
			got := eventError(t, u.Validate())
			require.Equal(t, tt.field, got.Field)
			require.Contains(t, got.Reason, tt.reason)
			_, err := enact.AppendEvent(nil, u)
			require.Equal(t, u.Validate(), err)
			_, err = u.MarshalJSON()
			require.Error(t, err)
		})
	}
	// "enact" without the dot is nobody's.
	require.NoError(t, enact.Unknown{Tag: "enacted", Raw: json.RawMessage(`{"type":"enacted"}`)}.Validate())
}

func TestUnreadable(t *testing.T) {
	u := enact.Unreadable{Codec: "json+aes256gcm;key=k1", KeyID: "k1"}
	require.Equal(t, "stands for an event that cannot be read, it cannot be appended", eventError(t, u.Validate()).Reason)
	const text = `{"type":"enact.unreadable","codec":"json+aes256gcm;key=k1","key_id":"k1"}`
	require.Equal(t, text, encode(t, u))
	require.Equal(t, u, parse(t, text))
	data, err := u.MarshalJSON()
	require.NoError(t, err)
	require.Equal(t, text, string(data))
}

func TestJSON(t *testing.T) {
	type record struct {
		A string `json:"a"`
	}
	for _, tt := range []struct {
		in  any
		out string
	}{
		{nil, `null`},
		{map[string]any{"b": 1, "a": "<&>"}, `{"a":"<&>","b":1}`},
		{record{"x"}, `{"a":"x"}`},
		{[]int{1, 2}, `[1,2]`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{"a\nb", `"a\nb"`},
		{json.RawMessage(`{"b":1.50,"a":1E2}`), `{"b":1.50,"a":1E2}`},
		{json.RawMessage(nil), `null`},
	} {
		raw := enact.JSON(tt.in)
		require.Equal(t, tt.out, string(raw))
		require.NoError(t, enact.Custom{EventType: "x", Data: raw}.Validate())
	}
	for _, v := range []any{math.Inf(1), make(chan int), func() {}, map[string]any{"a": math.NaN()}, json.RawMessage(`{`), json.RawMessage(`"\ud800"`), json.RawMessage(`1e999`)} {
		got := eventError(t, enact.Custom{EventType: "x", Data: enact.JSON(v)}.Validate())
		require.Equal(t, "data", got.Field, "%v", v)
	}
	require.Contains(t, eventError(t, enact.Custom{Data: enact.JSON(math.Inf(1))}.Validate()).Reason, "unsupported value")
}
