package enact_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func storedText(event string) string {
	return `{"sequence":1,"execution_id":"e","tenant_id":"t","event":` + event + `,"timestamp":"2026-02-23T12:00:00Z"}`
}

func storedEvent() enact.StoredEvent {
	return enact.StoredEvent{
		Sequence: 1, ExecutionID: "e", TenantID: "t", Event: enact.ExecutionResumed{},
		Timestamp: time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC),
	}
}

func TestStoredEventText(t *testing.T) {
	tests := []struct {
		name   string
		change func(*enact.StoredEvent)
		text   string
	}{
		{"as Rust writes it", func(*enact.StoredEvent) {}, storedText(`{"type":"execution_resumed"}`)},
		{
			"the extras where they are set",
			func(s *enact.StoredEvent) { s.Position, s.Metadata = 7, map[string]string{"b": "<2>", "a": "1\n"} },
			strings.Replace(storedText(`{"type":"execution_resumed"}`), `00Z"}`, `00Z","position":7,"metadata":{"a":"1\n","b":"<2>"}}`, 1),
		},
		{
			"a trace context where there is one",
			func(s *enact.StoredEvent) {
				s.Position, s.Trace = 7, enact.TraceContext{Parent: "00-1", State: "a=1"} // whatever it is
			},
			strings.Replace(storedText(`{"type":"execution_resumed"}`), `00Z"}`, `00Z","position":7,"traceparent":"00-1","tracestate":"a=1"}`, 1),
		},
		{"only a position", func(s *enact.StoredEvent) { s.Position = 7 }, strings.Replace(storedText(`{"type":"execution_resumed"}`), `00Z"}`, `00Z","position":7}`, 1)},
		{"empty metadata is none", func(s *enact.StoredEvent) { s.Metadata = map[string]string{} }, storedText(`{"type":"execution_resumed"}`)},
		{"times in UTC", func(s *enact.StoredEvent) { s.Timestamp = s.Timestamp.In(time.FixedZone("", 7200)) }, storedText(`{"type":"execution_resumed"}`)},
		{"ids as they are", func(s *enact.StoredEvent) { s.ExecutionID, s.TenantID = `a"b<`, "é>" }, strings.NewReplacer(`"e"`, `"a\"b<"`, `"t"`, `"é>"`).Replace(storedText(`{"type":"execution_resumed"}`))},
		{
			"one line even where raw JSON has line ends",
			func(s *enact.StoredEvent) {
				s.Event = enact.Custom{EventType: "x", Data: json.RawMessage("{\n\t\"b\": 1.50,\r\n\t\"a\": \"\\n \\u00e9\",\n\t\"b\": [ ]\n}")}
			},
			storedText(`{"type":"custom","event_type":"x","data":{"b":1.50,"a":"\n \u00e9","b":[]}}`),
		},
		{
			"one line even where they are carriage returns only",
			func(s *enact.StoredEvent) { s.Event = enact.Custom{EventType: "x", Data: json.RawMessage("[\r1]")} },
			storedText(`{"type":"custom","event_type":"x","data":[1]}`),
		},
		{
			"an unknown type with line ends",
			func(s *enact.StoredEvent) {
				s.Event = enact.Unknown{Tag: "x", Raw: json.RawMessage("{\n\"type\": \"x\"\n}")}
			},
			storedText(`{"type":"x"}`),
		},
		{"an unreadable event", func(s *enact.StoredEvent) { s.Event = enact.Unreadable{Codec: "c", KeyID: "k"} }, storedText(`{"type":"enact.unreadable","codec":"c","key_id":"k"}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev := storedEvent()
			tt.change(&ev)
			out, err := ev.AppendJSON([]byte("before\n"))
			require.NoError(t, err)
			require.Equal(t, "before\n"+tt.text, string(out))

			viaJSON, err := json.Marshal(ev)
			require.NoError(t, err)
			require.True(t, sameJSON(t, []byte(tt.text), viaJSON), "%s", viaJSON)

			var back enact.StoredEvent
			require.NoError(t, json.Unmarshal([]byte(tt.text), &back))
			again, err := back.AppendJSON(nil)
			require.NoError(t, err)
			require.Equal(t, tt.text, string(again))
		})
	}
}

func TestStoredEventIsReadTolerantly(t *testing.T) {
	for name, text := range map[string]string{
		"another order":   `{"timestamp":"2026-02-23T12:00:00Z","event":{"type":"execution_resumed"},"tenant_id":"t","execution_id":"e","sequence":1}`,
		"unknown keys":    strings.Replace(storedText(`{"type":"execution_resumed"}`), `{"sequence"`, `{"x":1,"x":2,"sequence"`, 1),
		"null extras":     strings.Replace(storedText(`{"type":"execution_resumed"}`), `{"sequence"`, `{"position":null,"metadata":null,"sequence"`, 1),
		"empty extras":    strings.Replace(storedText(`{"type":"execution_resumed"}`), `{"sequence"`, `{"position":0,"metadata":{},"sequence"`, 1),
		"another offset":  strings.Replace(storedText(`{"type":"execution_resumed"}`), `12:00:00Z`, `14:30:00+02:30`, 1),
		"an escaped time": strings.Replace(storedText(`{"type":"execution_resumed"}`), `2026-02-23T`, `2026-02-23\u0054`, 1),
		"spaced":          " " + storedText(" { \"type\"\n:\"execution_resumed\" } ") + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			var ev enact.StoredEvent
			require.NoError(t, ev.UnmarshalJSON([]byte(text)))
			require.Equal(t, storedEvent(), ev)
		})
	}
}

func TestStoredEventRefuses(t *testing.T) {
	valid := storedText(`{"type":"execution_resumed"}`)
	tests := []struct{ name, text, field, reason string }{
		{"null", `null`, "", "is null, not an object"},
		{"an array", `[` + valid + `]`, "", "is an array, not an object"},
		{"nothing", ``, "", "is not valid JSON"},
		{"something after", valid + "x", "", "something follows the object"},
		{"no sequence", strings.Replace(valid, `"sequence":1,`, ``, 1), "sequence", "is missing"},
		{"no execution", strings.Replace(valid, `"execution_id":"e",`, ``, 1), "execution_id", "is missing"},
		{"no tenant", strings.Replace(valid, `"tenant_id":"t",`, ``, 1), "tenant_id", "is missing"},
		{"no event", strings.Replace(valid, `"event":{"type":"execution_resumed"},`, ``, 1), "event", "is missing"},
		{"no time", strings.Replace(valid, `,"timestamp":"2026-02-23T12:00:00Z"`, ``, 1), "timestamp", "is missing"},
		{"a key twice", strings.Replace(valid, `{`, `{"sequence":1,`, 1), "sequence", "is there twice"},
		{"an event twice", strings.Replace(valid, `{`, `{"event":{"type":"execution_resumed"},`, 1), "event", "is there twice"},
		{"a null event", storedText(`null`), "event", "is null, not an object"},
		{"an invalid event", storedText(`{"type":"execution_paused"}`), "event.reason", "is missing"},
		{"a deep fault", storedText(failedText(strings.Replace(snakeError, `"nanos":0`, `"nanos":-1`, 1))), "event.error.retry_policy.max_delay.nanos", "is -1, not a u32"},
		{"a sequence of 1.0", strings.Replace(valid, `:1,`, `:1.0,`, 1), "sequence", "is 1.0, not a u64"},
		{"a sequence of 2^64", strings.Replace(valid, `:1,`, `:18446744073709551616,`, 1), "sequence", "not a u64"},
		{"a null id", strings.Replace(valid, `"e"`, `null`, 1), "execution_id", "is null, not a string"},
		{"a time without an offset", strings.Replace(valid, `00Z"`, `00"`, 1), "timestamp", "not an RFC 3339 time"},
		{"a numeric time", strings.Replace(valid, `"2026-02-23T12:00:00Z"`, `1`, 1), "timestamp", "is 1, not a string"},
		{"metadata that is no text", strings.Replace(valid, `{`, `{"metadata":{"a":1},`, 1), "metadata.a", "is 1, not a string"},
		{"metadata twice", strings.Replace(valid, `{`, `{"metadata":{"a":"1","a":"1"},`, 1), "metadata.a", "is there twice"},
		{"metadata of another kind", strings.Replace(valid, `{`, `{"metadata":[],`, 1), "metadata", "is an array, not an object"},
		{"a lone surrogate in an id", strings.Replace(valid, `"t"`, `"\ud800"`, 1), "tenant_id", "is not valid JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.NotEqual(t, valid, tt.text)
			ev := storedEvent()
			got := eventError(t, ev.UnmarshalJSON([]byte(tt.text)))
			require.Equal(t, tt.field, got.Field)
			require.Contains(t, got.Reason, tt.reason)
			require.Equal(t, storedEvent(), ev, "a failed read changes nothing")
		})
	}
}

// What has no JSON form is refused, not written in part.
func TestStoredEventCannotBeWritten(t *testing.T) {
	for field, change := range map[string]func(*enact.StoredEvent){
		"event":        func(s *enact.StoredEvent) { s.Event = nil },
		"event.data":   func(s *enact.StoredEvent) { s.Event = enact.Custom{EventType: "x"} },
		"execution_id": func(s *enact.StoredEvent) { s.ExecutionID = "\xff" },
		"metadata.k":   func(s *enact.StoredEvent) { s.Metadata = map[string]string{"k": "\xff"} },
	} {
		ev := storedEvent()
		change(&ev)
		out, err := ev.AppendJSON(nil)
		require.Nil(t, out)
		require.Equal(t, field, eventError(t, err).Field)
		_, err = json.Marshal(ev)
		require.ErrorIs(t, err, enact.ErrInvalidEvent)
	}
}

func TestTimeText(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		{"2026-02-23T12:00:00Z", "2026-02-23T12:00:00Z"},
		{"2026-02-23T12:00:00.000000000Z", "2026-02-23T12:00:00Z"},
		{"2026-02-23T12:00:00.1Z", "2026-02-23T12:00:00.100Z"},
		{"2026-02-23T12:00:00.1234Z", "2026-02-23T12:00:00.123400Z"},
		{"2026-02-23T12:00:00.0000001Z", "2026-02-23T12:00:00.000000100Z"},
		{"2026-02-23T12:00:00.9999999999999Z", "2026-02-23T12:00:00.999999999Z"},
		{"2026-02-23T00:30:00+01:00", "2026-02-22T23:30:00Z"},
		{"2026-02-23T23:30:00-23:59", "2026-02-24T23:29:00Z"},
		{"2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"},
		{"0000-01-01T00:00:00+00:01", "-0001-12-31T23:59:00Z"},
		{"9999-12-31T23:59:59-00:01", "+10000-01-01T00:00:59Z"},
		{"+2026-02-23T12:00:00Z", "2026-02-23T12:00:00Z"},
		{"+262142-12-31T23:59:59Z", "+262142-12-31T23:59:59Z"},
		{"-262143-01-01T00:00:00Z", "-262143-01-01T00:00:00Z"},
		{"2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500Z"},
	} {
		at, err := enact.ParseTime(tt.in)
		require.NoError(t, err, tt.in)
		require.Equal(t, time.UTC, at.Location())
		require.Equal(t, tt.out, string(enact.AppendTime(nil, at)), tt.in)
	}
	for _, text := range []string{
		"", "Z", "2026", "2026-02-23", "2026-02-23T12:00:00", "2026-02-23T12:00:00 ", "2026-02-23T12:00:00+2:00", "2026-02-23T12:00:00+24:00",
		"2026-02-23T12:00:00+00:60", "2026-02-23T12:00:00.Z", "2026-02-23T24:00:00Z", "2026-02-23T12:60:00Z", "2026-02-23T12:00:61Z",
		"2026-00-23T12:00:00Z", "2026-13-23T12:00:00Z", "2026-02-00T12:00:00Z", "2026-02-29T12:00:00Z", "2026-02-30T12:00:00Z",
		"20260-02-23T12:00:00Z", "026-02-23T12:00:00Z", "+026-02-23T12:00:00Z", "2026-02-23T12:00:00ZZ", "2026-02-23T12:00:00Z+00:00",
		"２026-02-23T12:00:00Z", "--026-02-23T12:00:00Z",
	} {
		_, err := enact.ParseTime(text)
		require.ErrorContains(t, err, "not an RFC 3339 time with an offset", text)
	}
}
