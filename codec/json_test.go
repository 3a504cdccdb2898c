package codec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/eventgen"
)

func TestJSONText(t *testing.T) {
	paused, resumed := enact.ExecutionPaused{Reason: "<é>"}, enact.ExecutionResumed{}
	unknown := enact.Unknown{Tag: "new", Raw: json.RawMessage(`{"x": 1.0,"type":"new"}`)}
	for _, tt := range []struct {
		events []enact.Event
		text   string
	}{
		{[]enact.Event{resumed}, `{"type":"execution_resumed"}`},
		{[]enact.Event{unknown}, `{"x": 1.0,"type":"new"}`},
		{[]enact.Event{paused, resumed}, `[{"type":"execution_paused","reason":"<é>"},{"type":"execution_resumed"}]`},
		{[]enact.Event{resumed, unknown, resumed}, `[{"type":"execution_resumed"},{"x": 1.0,"type":"new"},{"type":"execution_resumed"}]`},
	} {
		payload, header, err := codec.JSON{}.Encode(t.Context(), []byte("before "), codec.Place{}, tt.events)
		require.NoError(t, err)
		require.Equal(t, "json", header)
		require.Equal(t, "before "+tt.text, string(payload))
		events, err := codec.JSON{}.Decode(t.Context(), []byte(tt.text), header, codec.Place{}, len(tt.events))
		require.NoError(t, err)
		require.Equal(t, tt.events, events)
	}
}

// Space between the tokens of the array changes nothing.
func TestJSONReadsSpace(t *testing.T) {
	events, err := codec.JSON{}.Decode(t.Context(), []byte(" [\n{ \"type\" : \"execution_resumed\" } ,\t{\"type\":\"execution_resumed\"}\r\n] \n"), "json", codec.Place{}, 2)
	require.NoError(t, err)
	require.Equal(t, []enact.Event{enact.ExecutionResumed{}, enact.ExecutionResumed{}}, events)
}

func TestJSONRefusesPayloads(t *testing.T) {
	const e = `{"type":"execution_resumed"}`
	for name, tt := range map[string]struct {
		n    int
		text string
	}{
		"nothing for one":           {1, ``},
		"nothing for two":           {2, ``},
		"space":                     {2, ` `},
		"null":                      {1, `null`},
		"null for two":              {2, `null`},
		"an array of one":           {1, `[` + e + `]`},
		"one for two":               {2, e},
		"two in a row":              {2, e + e},
		"something after one":       {1, e + `x`},
		"another after one":         {1, e + e},
		"an empty array":            {2, `[]`},
		"too few":                   {3, `[` + e + `,` + e + `]`},
		"too many":                  {2, `[` + e + `,` + e + `,` + e + `]`},
		"a hole":                    {2, `[` + e + `,,` + e + `]`},
		"a comma before":            {2, `[,` + e + `,` + e + `]`},
		"a comma at the end":        {2, `[` + e + `,` + e + `,]`},
		"no comma":                  {2, `[` + e + e + `]`},
		"null in the array":         {2, `[` + e + `,null]`},
		"an array in the array":     {2, `[[` + e + `,` + e + `]]`},
		"no end":                    {2, `[` + e + `,` + e},
		"no end, with a comma":      {2, `[` + e + `,` + e + `,`},
		"the wrong end":             {2, `[` + e + `,` + e + `}`},
		"cut inside an event":       {2, `[` + e + `,` + e[:10]},
		"a letter after the array":  {2, `[` + e + `,` + e + `]x`},
		"a NUL after the array":     {2, `[` + e + `,` + e + "]\x00"},
		"a comma after the array":   {2, `[` + e + `,` + e + `],`},
		"a bracket after the array": {2, `[` + e + `,` + e + `]]`},
		"an array after the array":  {2, `[` + e + `,` + e + `][]`},
		"a number after the array":  {2, `[` + e + `,` + e + `] 1`},
		"a byte order mark":         {2, "\ufeff[" + e + `,` + e + `]`},
		"an invalid event":          {2, `[` + e + `,{"type":"execution_paused"}]`},
		"an event without a type":   {2, `[` + e + `,{}]`},
		"a repeated key":            {2, `[` + e + `,{"type":"execution_resumed","type":"execution_resumed"}]`},
		"text that is not UTF-8":    {2, `[` + e + ",{\"type\":\"execution_paused\",\"reason\":\"\xff\"}]"},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := codec.JSON{}.Decode(t.Context(), []byte(tt.text), "json", codec.Place{}, tt.n)
			require.Error(t, err)
			require.Nil(t, events)
		})
	}
}

func TestJSONSaysWhichEventIsInvalid(t *testing.T) {
	_, err := codec.JSON{}.Decode(t.Context(), []byte(`[{"type":"execution_resumed"},{"type":"execution_paused"}]`), "json", codec.Place{}, 2)
	require.ErrorIs(t, err, enact.ErrInvalidEvent)
	require.ErrorContains(t, err, "event 1 of the payload")
}

// An event without an encoding gives the event's error and no bytes.
func TestJSONRefusesEvents(t *testing.T) {
	for _, events := range [][]enact.Event{
		{nil},
		{enact.ExecutionPaused{Reason: "\xff"}},
		{enact.Unknown{Tag: "enact.x", Raw: json.RawMessage(`{"type":"enact.x"}`)}},
		{enact.ExecutionResumed{}, nil},
		{enact.ExecutionResumed{}, &enact.ExecutionResumed{}},
		{enact.ExecutionResumed{}, enact.ToolCallStarted{}},
	} {
		payload, _, err := codec.JSON{}.Encode(t.Context(), []byte("x"), codec.Place{}, events)
		require.ErrorIs(t, err, enact.ErrInvalidEvent)
		require.Nil(t, payload)
	}
}

// What is encoded, from events or from their texts, decodes to itself, and shares no
// memory with the payload.
func TestJSONLaw(t *testing.T) {
	event := rapid.OneOf(eventgen.Event(), eventgen.Event(), eventgen.Unknown())
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(event, 1, 6).Draw(t, "events")
		payload, header, err := codec.JSON{}.Encode(t.Context(), nil, codec.Place{}, events)
		require.NoError(t, err)
		require.True(t, json.Valid(payload))

		texts := make([]json.RawMessage, len(events))
		for i, e := range events {
			texts[i], err = enact.AppendEvent(nil, e)
			require.NoError(t, err)
		}
		fromTexts, header2, err := codec.EncodeTexts(t.Context(), codec.JSON{}, []byte("before "), codec.Place{}, nil, texts)
		require.NoError(t, err)
		require.Equal(t, header, header2)
		require.Equal(t, "before "+string(payload), string(fromTexts))

		for n := range 8 {
			if n > 0 && n != len(events) {
				_, err := codec.JSON{}.Decode(t.Context(), payload, header, codec.Place{}, n)
				require.Error(t, err, "%d events read as %d", len(events), n)
			}
		}
		before := slices.Clone(payload)
		back, err := codec.JSON{}.Decode(t.Context(), payload, header, codec.Place{}, len(events))
		require.NoError(t, err, "%s", payload)
		require.Equal(t, string(before), string(payload), "the payload is left alone")
		clear(payload)
		require.Equal(t, events, back)
	})
}

// A payload that is cut anywhere, or that anything but space follows, is refused.
func TestJSONEndLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(eventgen.Event(), 1, 3).Draw(t, "events")
		payload, header, err := codec.JSON{}.Encode(t.Context(), nil, codec.Place{}, events)
		require.NoError(t, err)
		cut := rapid.IntRange(0, len(payload)-1).Draw(t, "cut")
		_, err = codec.JSON{}.Decode(t.Context(), payload[:cut:cut], header, codec.Place{}, len(events))
		require.Error(t, err, "%s", payload[:cut])
		more := append(payload, rapid.Byte().Filter(func(b byte) bool { return !bytes.ContainsRune([]byte(" \t\r\n"), rune(b)) }).Draw(t, "more"))
		_, err = codec.JSON{}.Decode(t.Context(), more, header, codec.Place{}, len(events))
		require.Error(t, err, "%q", more)
	})
}

// Never a panic; and what decodes encodes to a payload that decodes to the same.
func FuzzJSONDecode(f *testing.F) {
	const e = `{"type":"execution_resumed"}`
	f.Add([]byte(e), 1)
	f.Add([]byte(`[`+e+`,`+e+`]`), 2)
	f.Add([]byte(`[`+e+` , {"x":[1.0,{}],"type":"new"}] `), 2)
	f.Add([]byte(`[`+e+`,`+e+`],`), 2)
	f.Add([]byte(`[[`), 3)
	f.Fuzz(func(t *testing.T, payload []byte, n int) {
		n = 1 + n&1023
		events, err := codec.JSON{}.Decode(t.Context(), payload, "json", codec.Place{}, n)
		if err != nil {
			return
		}
		require.Len(t, events, n)
		require.True(t, json.Valid(payload), "%q", payload)
		again, header, err := codec.JSON{}.Encode(t.Context(), nil, codec.Place{}, events)
		if err != nil {
			// Types that begin with "enact." are read but never written by this release.
			require.ErrorContains(t, err, "is reserved")
			return
		}
		back, err := codec.JSON{}.Decode(t.Context(), again, header, codec.Place{}, n)
		require.NoError(t, err, "%s", again)
		require.Equal(t, events, back)
	})
}

func BenchmarkJSONDecode(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("%devents", n), func(b *testing.B) {
			events := make([]enact.Event, n)
			for i := range events {
				events[i] = enact.StepCompleted{StepID: "step_2qJ8fVvB0mYc4kN7sTzRdWxEa1G", Output: new(strings.Repeat("x", 150)), DurationMS: 12}
			}
			payload, header, err := codec.JSON{}.Encode(b.Context(), nil, codec.Place{}, events)
			require.NoError(b, err)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (codec.JSON{}).Decode(b.Context(), payload, header, codec.Place{}, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// JSON has no parameters: a later release has given it some, and what they mean is not known.
func TestJSONWithParameters(t *testing.T) {
	zipped, err := codec.NewZstd(nil)
	require.NoError(t, err)
	payload := []byte(`{"type":"execution_resumed"}`)
	for _, c := range []codec.Codec{codec.JSON{}, zipped} {
		_, err := c.Decode(t.Context(), payload, "json", codec.Place{}, 1)
		require.NoError(t, err)
		for _, header := range []string{"json;v=2", "json;"} {
			_, err := c.Decode(t.Context(), payload, header, codec.Place{}, 1)
			require.ErrorContains(t, err, "unknown parameters", "%s: %s", c.Name(), header)
		}
	}
}
