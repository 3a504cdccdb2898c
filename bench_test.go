package enact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// benchEvents are the kinds of events that cost differently.
func benchEvents(b *testing.B) map[string]enact.Event {
	b.Helper()
	var failed enact.StepFailed
	require.NoError(b, json.Unmarshal([]byte(`{"type":"step_failed","step_id":"s","error":`+snakeError+`}`), &failed))
	var camel enact.StepFailed
	require.NoError(b, json.Unmarshal([]byte(`{"type":"step_failed","step_id":"s","error":`+camelError+`}`), &camel))
	text := strings.Repeat(`{"title":"a result","url":"https://example.org/?a=1&b=2","score":0.913,"snippet":"some <b>text</b> of a page"},`, 37)
	return map[string]enact.Event{
		"StepCompleted":   enact.StepCompleted{StepID: "step_2bKX1AaBbCcDdEeFfGgHhIiJjKk", Output: pointer("42"), DurationMS: 12},
		"StepFailed":      failed,
		"StepFailedCamel": camel,
		"ToolOutput4KiB":  enact.ToolCallCompleted{StepID: pointer(enact.StepID("s")), ToolCallID: "call_1", Output: json.RawMessage("[" + strings.TrimSuffix(text, ",") + "]")},
		"Unknown":         enact.Unknown{Tag: "unheard_of", Raw: json.RawMessage(`{"type":"unheard_of","a":1,"b":[1,2,3],"c":"text"}`)},
	}
}

func BenchmarkParseEvent(b *testing.B) {
	for name, e := range benchEvents(b) {
		data, err := enact.AppendEvent(nil, e)
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := enact.ParseEvent(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("StepCompletedTypeLast", func(b *testing.B) {
		data := []byte(`{"step_id":"step_2bKX1AaBbCcDdEeFfGgHhIiJjKk","output":"42","duration_ms":12,"type":"step_completed"}`)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := enact.ParseEvent(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	for name, e := range benchEvents(b) {
		b.Run(name, func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if buf, err = enact.AppendEvent(buf[:0], e); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	for name, e := range benchEvents(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := e.Validate(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStoredEvent(b *testing.B) {
	ev := storedEvent()
	ev.Event = benchEvents(b)["StepCompleted"]
	line, err := ev.AppendJSON(nil)
	require.NoError(b, err)
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := ev.UnmarshalJSON(line); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if line, err = ev.AppendJSON(line[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
