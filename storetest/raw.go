package storetest

import (
	"encoding/json"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// rawTexts are JSON texts that decoding and encoding again would change.
var rawTexts = map[string]string{
	"null":                    `null`,
	"empty string":            `""`,
	"number beyond a uint64":  `18446744073709551616`,
	"number beyond a float64": `123456789012345678901234567890.123456789012345678901234567890`,
	"whole number as a float": `1.0`,
	"trailing zeros":          `1.500`,
	"exponents":               `[1e2,1E+2,1e-02,-0,-0.0,0e0]`,
	"order of keys":           `{"z":1,"a":2,"m":{"y":1,"b":2}}`,
	"repeated keys":           `{"a":1,"a":2}`,
	"spaces":                  `{ "a" :	[ 1 , 2 ] }`,
	"line ends":               "{\n  \"a\":\r\n1\n}",
	"escapes":                 `"\u00e9\/\u003c\ud83e\udd80\u0000\n"`,
	"characters of HTML":      `"<script>&amp;</script>"`,
	"separators of lines":     "\"\u2028\u2029\"",
	"unescaped text":          "\"é e\u0301 漢字 🦀 \x7f\"",
	"nested a hundred deep":   strings.Repeat("[", 100) + strings.Repeat("]", 100),
	"keys of an event":        `{"type":"step_started","sequence":0}`,
	"an empty key":            `{"":""}`,
}

func rawJSON() []sentence {
	kept := func(in func(raw json.RawMessage) enact.Event, out func(t require.TestingT, e enact.Event) json.RawMessage) func(f *fixture) {
		return func(f *fixture) {
			for name, text := range rawTexts {
				g := f.on(enact.NewExecutionID())
				g.append(in(json.RawMessage(text)))
				g.appendBatch([]enact.Event{note(0), in(json.RawMessage(text)), note(1)})
				loaded := g.loadN(4)
				require.Equal(f.t, text, string(out(f.t, loaded[0].Event)), name)
				require.Equal(f.t, text, string(out(f.t, loaded[2].Event)), "%s, in a batch", name)
			}
		}
	}
	return []sentence{
		{"the input of a tool call is kept byte for byte", kept(
			func(raw json.RawMessage) enact.Event { return enact.ToolCallStarted{Input: raw} },
			func(t require.TestingT, e enact.Event) json.RawMessage { return as[enact.ToolCallStarted](t, e).Input },
		)},
		{"the output of a tool call is kept byte for byte", kept(
			func(raw json.RawMessage) enact.Event { return enact.ToolCallCompleted{Output: raw} },
			func(t require.TestingT, e enact.Event) json.RawMessage {
				return as[enact.ToolCallCompleted](t, e).Output
			},
		)},
		{"the data of a custom event is kept byte for byte", kept(
			func(raw json.RawMessage) enact.Event { return enact.Custom{EventType: "x", Data: raw} },
			func(t require.TestingT, e enact.Event) json.RawMessage { return as[enact.Custom](t, e).Data },
		)},
		{"an event of an unknown type is kept byte for byte", kept(
			func(raw json.RawMessage) enact.Event {
				return enact.Unknown{Tag: "later", Raw: json.RawMessage(`{ "a":1, "type":"later", "raw":` + string(raw) + "}")}
			},
			func(t require.TestingT, e enact.Event) json.RawMessage {
				raw, _ := strings.CutPrefix(string(as[enact.Unknown](t, e).Raw), `{ "a":1, "type":"later", "raw":`)
				return json.RawMessage(strings.TrimSuffix(raw, "}"))
			},
		)},
		{"optional JSON that is null is the same as none", func(f *fixture) {
			f.append(enact.ExecutionStarted{Metadata: enact.JSON(nil)})
			require.Nil(f.t, as[enact.ExecutionStarted](f.t, f.loadN(1)[0].Event).Metadata)
		}},
	}
}
