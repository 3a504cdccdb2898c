package enact_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// parse reads an event that must be valid.
func parse(t *testing.T, text string) enact.Event {
	t.Helper()
	e, err := enact.ParseEvent([]byte(text))
	require.NoError(t, err, text)
	return e
}

// encode writes an event that must be valid.
func encode(t *testing.T, e enact.Event) string {
	t.Helper()
	data, err := enact.AppendEvent(nil, e)
	require.NoError(t, err)
	return string(data)
}

// eventError insists on an *EventError and returns it.
func eventError(t *testing.T, err error) *enact.EventError {
	t.Helper()
	require.ErrorIs(t, err, enact.ErrInvalidEvent)
	e, ok := errors.AsType[*enact.EventError](err)
	require.True(t, ok, "%T", err)
	return e
}

const (
	plainPolicy = `{"retryable":false,"max_retries":0,"backoff_strategy":"None","base_delay":{"secs":0,"nanos":0},"max_delay":{"secs":0,"nanos":0},"requires_idempotency_key":false}`
	plainError  = `{"category":"Timeout","message":"m","retry_policy":` + plainPolicy + `,"code":null,"attempt":1,"step_id":null,"provider":null,"http_status":null,"details":null,"occurred_at":0}`
)

// Each type as it is written, with and without its optionals.
func TestEventText(t *testing.T) {
	step, text, score := enact.StepID("s"), "o", 0.5
	failure := enact.ExecutionError{Category: enact.CategoryTimeout, Message: "m", Attempt: 1, RetryPolicy: enact.RetryPolicy{BackoffStrategy: enact.BackoffNone}}
	tests := []struct {
		event enact.Event
		text  string
	}{
		{enact.ExecutionStarted{}, `{"type":"execution_started","parent":null,"metadata":null}`},
		{
			enact.ExecutionStarted{Parent: &enact.ParentLink{ParentID: "p", ParentType: enact.ParentSystem}, Metadata: json.RawMessage(`{"b":1,"a":2}`)},
			`{"type":"execution_started","parent":{"parent_id":"p","parent_type":"System"},"metadata":{"b":1,"a":2}}`,
		},
		{enact.StepStarted{StepID: "s", StepType: enact.LLMNode, Name: "n"}, `{"type":"step_started","step_id":"s","parent_step_id":null,"step_type":"LlmNode","name":"n"}`},
		{enact.StepStarted{StepID: "s", ParentStepID: &step, StepType: enact.LLMNode}, `{"type":"step_started","step_id":"s","parent_step_id":"s","step_type":"LlmNode","name":""}`},
		{enact.StepCompleted{StepID: "s"}, `{"type":"step_completed","step_id":"s","output":null,"duration_ms":0}`},
		{enact.StepCompleted{StepID: "s", Output: &text, DurationMS: math.MaxUint64}, `{"type":"step_completed","step_id":"s","output":"o","duration_ms":18446744073709551615}`},
		{enact.StepFailed{StepID: "s", Error: failure}, `{"type":"step_failed","step_id":"s","error":` + plainError + `}`},
		{enact.ExecutionPaused{Reason: "r"}, `{"type":"execution_paused","reason":"r"}`},
		{enact.ExecutionResumed{}, `{"type":"execution_resumed"}`},
		{enact.ExecutionCompleted{}, `{"type":"execution_completed","output":null,"duration_ms":0}`},
		{enact.ExecutionCompleted{Output: &text, DurationMS: 7}, `{"type":"execution_completed","output":"o","duration_ms":7}`},
		{enact.ExecutionFailed{Error: failure}, `{"type":"execution_failed","error":` + plainError + `}`},
		{enact.ExecutionCancelled{}, `{"type":"execution_cancelled","reason":""}`},
		{enact.ArtifactStored{ArtifactID: "a", StepID: "s", ContentHash: "h", SizeBytes: 1}, `{"type":"artifact_stored","artifact_id":"a","step_id":"s","content_hash":"h","size_bytes":1}`},
		{enact.StepDiscovered{StepID: "s", SourceType: enact.SourceRetry, Reason: "r", Depth: 2}, `{"type":"step_discovered","step_id":"s","discovered_by":null,"source_type":"Retry","reason":"r","depth":2}`},
		{enact.StepDiscovered{StepID: "s", DiscoveredBy: &step, SourceType: enact.SourceRetry}, `{"type":"step_discovered","step_id":"s","discovered_by":"s","source_type":"Retry","reason":"","depth":0}`},
		{enact.ToolCallStarted{ToolCallID: "c", ToolName: "t", Input: json.RawMessage("null")}, `{"type":"tool_call_started","step_id":null,"tool_call_id":"c","tool_name":"t","input":null}`},
		{enact.ToolCallCompleted{StepID: &step, ToolCallID: "c", Output: json.RawMessage("[1]")}, `{"type":"tool_call_completed","step_id":"s","tool_call_id":"c","output":[1]}`},
		{enact.CheckpointSaved{CheckpointID: "c", StateHash: "h"}, `{"type":"checkpoint_saved","step_id":null,"checkpoint_id":"c","state_hash":"h"}`},
		{enact.GoalEvaluated{GoalID: "g", Status: "met"}, `{"type":"goal_evaluated","step_id":null,"goal_id":"g","status":"met","score":null,"reason":null}`},
		{enact.GoalEvaluated{StepID: &step, GoalID: "g", Status: "met", Score: &score, Reason: &text}, `{"type":"goal_evaluated","step_id":"s","goal_id":"g","status":"met","score":0.5,"reason":"o"}`},
		{enact.Custom{EventType: "x", Data: json.RawMessage(`"<&>"`)}, `{"type":"custom","event_type":"x","data":"<&>"}`},
	}
	seen := make(map[string]bool)
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			seen[tt.event.Type()] = true
			require.NoError(t, tt.event.Validate())
			require.Equal(t, tt.text, encode(t, tt.event))
			require.Equal(t, tt.event, parse(t, tt.text))
			viaJSON, err := tt.event.MarshalJSON()
			require.NoError(t, err)
			require.Equal(t, tt.text, string(viaJSON))
		})
	}
	require.Len(t, seen, 16)
	for _, tag := range enact.EventTypes() {
		require.True(t, seen[tag], tag)
	}
}

// Every required key, left out of an otherwise whole event, is missed by name;
// every optional key may be left out and is then null.
func TestAbsentKeys(t *testing.T) {
	for _, line := range readLines(t, "testdata/golden/serde.jsonl") {
		var stored struct{ Event map[string]json.RawMessage }
		require.NoError(t, json.Unmarshal(line, &stored))
		var tag string
		require.NoError(t, json.Unmarshal(stored.Event["type"], &tag))
		for key := range stored.Event {
			without := make(map[string]json.RawMessage)
			for k, v := range stored.Event {
				if k != key {
					without[k] = v
				}
			}
			data, err := json.Marshal(without)
			require.NoError(t, err)
			e, err := enact.ParseEvent(data)
			if optionalKey(tag, key) {
				require.NoError(t, err, "%s without %s", tag, key)
				require.Contains(t, encode(t, e), `"`+key+`":null`)
				continue
			}
			got := eventError(t, err)
			require.Equal(t, key, got.Field, tag)
			require.Equal(t, "is missing", got.Reason)
			if key != "type" {
				require.Equal(t, tag, got.Type)
			}
		}
	}
}

func optionalKey(tag, key string) bool {
	switch key {
	case "parent", "metadata", "parent_step_id", "output", "discovered_by", "score":
		return tag != enact.TypeToolCallCompleted
	case "reason":
		return tag == enact.TypeGoalEvaluated
	case "step_id":
		return tag == enact.TypeToolCallStarted || tag == enact.TypeToolCallCompleted || tag == enact.TypeCheckpointSaved || tag == enact.TypeGoalEvaluated
	}
	return false
}

// What is accepted in more than one spelling.
func TestReadingIsTolerant(t *testing.T) {
	tests := []struct{ name, in, out string }{
		{"type last", `{"reason":"r","type":"execution_paused"}`, `{"type":"execution_paused","reason":"r"}`},
		{"type in the middle", `{"step_id":"s","type":"step_completed","duration_ms":1}`, `{"type":"step_completed","step_id":"s","output":null,"duration_ms":1}`},
		{"type spelled with an escape", `{"\u0074ype":"execution_resumed"}`, `{"type":"execution_resumed"}`},
		{"a key spelled with an escape", `{"type":"execution_paused","re\u0061son":"r"}`, `{"type":"execution_paused","reason":"r"}`},
		{"space everywhere", " {\n\t\"type\" : \"execution_paused\" ,\r\n \"reason\" : \"r\" } ", `{"type":"execution_paused","reason":"r"}`},
		{"unknown keys", `{"x":[{"type":1}],"type":"execution_paused","reason":"r","y":null}`, `{"type":"execution_paused","reason":"r"}`},
		{"an unknown key twice", `{"type":"execution_paused","x":1,"reason":"r","x":2}`, `{"type":"execution_paused","reason":"r"}`},
		{"keys are case sensitive", `{"type":"execution_paused","reason":"r","Reason":"other"}`, `{"type":"execution_paused","reason":"r"}`},
		{"camelCase is unknown at the top", `{"type":"step_completed","step_id":"s","duration_ms":1,"durationMs":2}`, `{"type":"step_completed","step_id":"s","output":null,"duration_ms":1}`},
		{"an explicit null", `{"type":"step_completed","step_id":"s","output":null,"duration_ms":1}`, `{"type":"step_completed","step_id":"s","output":null,"duration_ms":1}`},
		{"a whole number where a float is due", `{"type":"goal_evaluated","goal_id":"g","status":"","score":1}`, `{"type":"goal_evaluated","step_id":null,"goal_id":"g","status":"","score":1.0,"reason":null}`},
		{"escapes in text", `{"type":"execution_paused","reason":"\ud83e\udd80\u00e9\/\u003c"}`, `{"type":"execution_paused","reason":"🦀é/<"}`},
		{"no HTML escape", `{"type":"execution_paused","reason":"<a href='x'>&</a>"}`, `{"type":"execution_paused","reason":"<a href='x'>&</a>"}`},
		{"line separators as they are", "{\"type\":\"execution_paused\",\"reason\":\"\u2028\u2029\"}", "{\"type\":\"execution_paused\",\"reason\":\"\u2028\u2029\"}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.out, encode(t, parse(t, tt.in)))
		})
	}
}

func TestReadingRefuses(t *testing.T) {
	tests := []struct{ name, in, field, reason string }{
		{"nothing", ``, "", "is not valid JSON"},
		{"space", " \n", "", "is not valid JSON"},
		{"null", `null`, "", "is null, not an object"},
		{"an array", `[]`, "", "is an array, not an object"},
		{"a string", `"x"`, "", "is a string, not an object"},
		{"a number", `1`, "", "is a number, not an object"},
		{"a boolean", `true`, "", "is a boolean, not an object"},
		{"an empty object", `{}`, "type", "is missing"},
		{"a byte order mark", "\ufeff{\"type\":\"execution_resumed\"}", "", "is not valid JSON"},
		{"cut off", `{"type":"execution_resumed"`, "", "is not valid JSON"},
		{"a trailing comma", `{"type":"execution_resumed",}`, "", "is not valid JSON"},
		{"two objects", `{"type":"execution_resumed"}{"type":"execution_resumed"}`, "", "something follows the object"},
		{"a bracket after", `{"type":"execution_resumed"}]`, "", "something follows the object"},
		{"no JSON after", `{"type":"execution_resumed"} x`, "", "something follows the object"},
		{"a comma after", `{"type":"execution_resumed"},`, "", "something follows the object"},
		{"a zero byte after", "{\"type\":\"execution_resumed\"}\x00", "", "something follows the object"},
		{"no JSON after, type last", `{"reason":"r","type":"execution_paused"}x`, "", "something follows the object"},
		{"no JSON after an unknown type", `{"type":"unheard_of"}x`, "", "something follows the object"},
		{"type is null", `{"type":null}`, "type", "is null, not a string"},
		{"type is a number", `{"type":1}`, "type", "is 1, not a string"},
		{"Type", `{"Type":"execution_resumed"}`, "type", "is missing"},
		{"type twice", `{"type":"execution_resumed","type":"execution_resumed"}`, "type", "is there twice"},
		{"type twice in an unknown type", `{"type":"x","type":"x"}`, "type", "is there twice"},
		{"type twice, not first", `{"a":1,"type":"x","type":"x"}`, "type", "is there twice"},
		{"a known key twice", `{"type":"execution_paused","reason":"a","reason":"a"}`, "reason", "is there twice"},
		{"a known key twice, type last", `{"reason":"a","reason":"a","type":"execution_paused"}`, "reason", "is there twice"},
		{"an optional key twice", `{"type":"step_completed","output":null,"output":null,"step_id":"s","duration_ms":1}`, "output", "is there twice"},
		{"a raw key twice", `{"type":"custom","event_type":"x","data":1,"data":2}`, "data", "is there twice"},
		{"a required string null", `{"type":"execution_paused","reason":null}`, "reason", "is null, not a string"},
		{"a number for a string", `{"type":"execution_paused","reason":1}`, "reason", "is 1, not a string"},
		{"an object for a string", `{"type":"execution_paused","reason":{}}`, "reason", "is {}, not a string"},
		{"a lone high surrogate", `{"type":"execution_paused","reason":"\ud800"}`, "reason", "is not valid JSON"},
		{"a lone low surrogate", `{"type":"execution_paused","reason":"\udc00x"}`, "reason", "is not valid JSON"},
		{"surrogates in the wrong order", `{"type":"execution_paused","reason":"\udd80\ud83e"}`, "reason", "is not valid JSON"},
		{"a lone surrogate in raw JSON", `{"type":"custom","event_type":"x","data":{"a":["\ud800"]}}`, "data", "is not valid JSON"},
		{"a lone surrogate in a key of raw JSON", `{"type":"custom","event_type":"x","data":{"\ud800":1}}`, "data", "is not valid JSON"},
		{"a lone surrogate in an unknown key", `{"type":"execution_resumed","\ud800":1}`, "", "is not valid JSON"},
		{"a lone surrogate in an unknown value", `{"type":"execution_resumed","x":"\ud800"}`, "x", "is not valid JSON"},
		{"a lone surrogate in an unknown type", `{"type":"x","data":"\ud800"}`, "data", "is not valid JSON"},
		{"invalid UTF-8", "{\"type\":\"execution_paused\",\"reason\":\"\xff\"}", "reason", "is not valid JSON"},
		{"invalid UTF-8 in raw JSON", "{\"type\":\"custom\",\"event_type\":\"x\",\"data\":\"\xff\"}", "data", "is not valid JSON"},
		{"a control character in text", "{\"type\":\"execution_paused\",\"reason\":\"a\nb\"}", "reason", "is not valid JSON"},
		{"a raw number beyond a float64", `{"type":"custom","event_type":"x","data":[1e400]}`, "data", "number out of range: 1e400"},
		{"a raw number of 400 digits", `{"type":"custom","event_type":"x","data":` + strings.Repeat("9", 400) + `}`, "data", "number out of range"},
		{"an unknown value beyond a float64", `{"type":"execution_resumed","x":-1e400}`, "x", "number out of range: -1e400"},
		{"a value beyond a float64 in an unknown type", `{"type":"x","y":1e400}`, "y", "number out of range: 1e400"},
		{"a float beyond a float64", `{"type":"goal_evaluated","goal_id":"g","status":"","score":1e400}`, "score", "is 1e400, not an f64"},
		{"text for a float", `{"type":"goal_evaluated","goal_id":"g","status":"","score":"1"}`, "score", `is "1", not an f64`},
		{"a boolean for a float", `{"type":"goal_evaluated","goal_id":"g","status":"","score":true}`, "score", "is true, not an f64"},
		{"a string for an error", `{"type":"execution_failed","error":"boom"}`, "error", "is a string, not an object"},
		{"an array for a parent", `{"type":"execution_started","parent":[]}`, "parent", "is an array, not an object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := enact.ParseEvent([]byte(tt.in))
			require.Nil(t, e)
			got := eventError(t, err)
			require.Equal(t, tt.field, got.Field)
			require.Contains(t, got.Reason, tt.reason)
		})
	}
}

// Integers are exact to the limits of their width and nothing else is accepted.
func TestIntegers(t *testing.T) {
	failed := func(member string) string {
		key, _, _ := strings.Cut(member, ":")
		members := strings.Split(`"category":"c"|"message":"m"|"retry_policy":`+plainPolicy+`|"attempt":1|"occurred_at":0|"http_status":null`, "|")
		for i, m := range members {
			if strings.HasPrefix(m, key+":") {
				members[i] = member
			}
		}
		return `{"type":"execution_failed","error":{` + strings.Join(members, ",") + `}}`
	}
	fields := []struct {
		name, min, max string
		path           string
		event          func(value string) string
		over           []string
	}{
		{"u64", "0", "18446744073709551615", "duration_ms", func(v string) string {
			return `{"type":"step_completed","step_id":"s","output":null,"duration_ms":` + v + `}`
		}, []string{"18446744073709551616", "-1", "-0"}},
		{"u32", "0", "4294967295", "depth", func(v string) string {
			return `{"type":"step_discovered","step_id":"s","discovered_by":null,"source_type":"x","reason":"","depth":` + v + `}`
		}, []string{"4294967296", "-1", "-0"}},
		{"u32 in an error", "0", "4294967295", "error.attempt", func(v string) string { return failed(`"attempt":` + v) }, []string{"4294967296", "-1"}},
		{"u16", "0", "65535", "error.http_status", func(v string) string { return failed(`"http_status":` + v) }, []string{"65536", "-1", "-0"}},
		{"i64", "-9223372036854775808", "9223372036854775807", "error.occurred_at", func(v string) string { return failed(`"occurred_at":` + v) }, []string{"9223372036854775808", "-9223372036854775809", "-0"}},
	}
	for _, f := range fields {
		for _, v := range []string{f.min, f.max, "1"} {
			t.Run(f.name+" "+v, func(t *testing.T) {
				in := f.event(v)
				key := f.path[strings.LastIndexByte(f.path, '.')+1:]
				out := encode(t, parse(t, in))
				require.Contains(t, out, `"`+key+`":`+v)
				require.True(t, sameJSON(t, []byte(in), []byte(out)) || strings.Contains(f.path, "."), out)
			})
		}
		for _, v := range append(f.over, "1.0", "1e0", "1E2", `"1"`, "true", "[1]", "{}", "100000000000000000000000000") {
			t.Run(f.name+" refuses "+v, func(t *testing.T) {
				_, err := enact.ParseEvent([]byte(f.event(v)))
				got := eventError(t, err)
				require.Equal(t, f.path, got.Field)
				require.Contains(t, got.Reason, "is "+v+", not a")
			})
		}
	}
}

// An integer that must be there is not null.
func TestRequiredIntegerIsNotNull(t *testing.T) {
	_, err := enact.ParseEvent([]byte(`{"type":"step_completed","step_id":"s","duration_ms":null}`))
	require.Equal(t, "is null, not a u64", eventError(t, err).Reason)
}

// Raw JSON keeps its text: key order, number text, repeated keys, escapes, space.
func TestRawJSONIsKept(t *testing.T) {
	for _, raw := range []string{
		`null`, `true`, `""`, `[]`, `{}`, `{"b":1,"a":2,"b":3}`, `{"z":{"y":{}},"a":[]}`,
		`1.50`, `1E2`, `-0`, `-0.0`, `1e-400`, `18446744073709551616`, `123456789012345678901234567890.10`,
		`"\u00e9\/\ud83e\udd80<>&"`, `{ "spaced" : [ 1 , 2 ] }`, "[\n1,\r\n\t2\n]",
		strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		t.Run(raw, func(t *testing.T) {
			for _, event := range []string{
				`{"type":"custom","event_type":"x","data":` + raw + `}`,
				`{"type":"tool_call_started","step_id":null,"tool_call_id":"c","tool_name":"t","input":` + raw + `}`,
				`{"type":"tool_call_completed","step_id":null,"tool_call_id":"c","output":` + raw + `}`,
				`{"type":"execution_started","parent":null,"metadata":` + raw + `}`,
			} {
				require.Equal(t, event, encode(t, parse(t, event)))
			}
		})
	}
}

// Raw JSON nests to MaxJSONDepth, wherever it stands, and not one level deeper.
func TestRawJSONDepth(t *testing.T) {
	nested := func(n int, left, right, core string) string {
		return strings.Repeat(left, n) + core + strings.Repeat(right, n)
	}
	for name, event := range map[string]string{
		"data":                  `{"type":"custom","event_type":"x","data":%}`,
		"metadata":              `{"type":"execution_started","parent":null,"metadata":%}`,
		"details":               failedText(strings.Replace(plainError, `"details":null`, `"details":%`, 1)),
		"an unknown error key":  failedText(strings.Replace(plainError, `"details":null`, `"details":null,"x":%`, 1)),
		"an unknown key":        `{"type":"execution_resumed","x":%}`,
		"an unknown event type": `{"type":"unheard_of","x":%}`,
	} {
		for _, shape := range []struct {
			left, right, core string
			inside            int // levels within the innermost
		}{{"[", "]", "1", 0}, {`{"a":`, `}`, `{}`, 1}, {`[[],[{}],`, `]`, `"]]]{[\""`, 2}} {
			most := enact.MaxJSONDepth - shape.inside
			parse(t, strings.Replace(event, "%", nested(most, shape.left, shape.right, shape.core), 1))
			_, err := enact.ParseEvent([]byte(strings.Replace(event, "%", nested(most+1, shape.left, shape.right, shape.core), 1)))
			require.Contains(t, eventError(t, err).Reason, "is nested more than 120 deep", name)
		}
	}
	require.NoError(t, enact.Custom{Data: json.RawMessage(nested(120, "[", "]", ""))}.Validate())
	tooDeep := enact.Custom{Data: json.RawMessage(nested(121, "[", "]", ""))}
	require.Equal(t, "data", eventError(t, tooDeep.Validate()).Field)
	_, err := enact.AppendEvent(nil, tooDeep)
	require.Equal(t, "data", eventError(t, err).Field)
}

func TestOpenStringsRoundTrip(t *testing.T) {
	for _, event := range []string{
		`{"type":"step_started","step_id":"s","parent_step_id":null,"step_type":"HumanNode","name":"n"}`,
		`{"type":"step_started","step_id":"s","parent_step_id":null,"step_type":"llm_node","name":"n"}`,
		`{"type":"step_discovered","step_id":"s","discovered_by":null,"source_type":"llm output","reason":"","depth":0}`,
		`{"type":"execution_started","parent":{"parent_id":"","parent_type":"Cron 🦀"},"metadata":null}`,
		`{"type":"execution_failed","error":` + strings.Replace(plainError, "Timeout", "cosmic_ray", 1) + `}`,
		`{"type":"execution_failed","error":` + strings.Replace(plainError, `"None"`, `"fibonacci"`, 1) + `}`,
		`{"type":"goal_evaluated","step_id":null,"goal_id":"g","status":"half met","score":null,"reason":null}`,
	} {
		e := parse(t, event)
		require.NoError(t, e.Validate())
		require.Equal(t, event, encode(t, e))
	}
}

// UnmarshalJSON of a variant insists on its type and leaves the variable alone otherwise.
func TestUnmarshalVariant(t *testing.T) {
	var e enact.StepCompleted
	require.NoError(t, json.Unmarshal([]byte(`{"type":"step_completed","step_id":"s","duration_ms":3}`), &e))
	require.Equal(t, enact.StepCompleted{StepID: "s", DurationMS: 3}, e)

	got := eventError(t, json.Unmarshal([]byte(`{"type":"execution_resumed"}`), &e))
	require.Equal(t, enact.EventError{Type: "execution_resumed", Field: "type", Reason: "is not step_completed"}, *got)
	require.Equal(t, enact.StepCompleted{StepID: "s", DurationMS: 3}, e)
}
