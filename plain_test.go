package enact

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// parseByDecoder reads an event without the plain tokenizer.
func parseByDecoder(data []byte) (Event, error) {
	r := newReader(data)
	defer r.free()
	return r.event(data)
}

func requireAgreement(t *testing.T, data []byte) {
	t.Helper()
	want, wantErr := parseByDecoder(data)
	got, err := ParseEvent(data)
	require.Equal(t, wantErr, err, "%q", data)
	require.Equal(t, want, got, "%q", data)
}

// plainCases are texts around which the two tokenizers might differ.
var plainCases = []string{
	``, ` `, `{}`, `{"type":"custom"`, `{"type":"custom","event_type":"e","data":{}}`, `{"type":"custom","event_type":"e","data":{}},`,
	`{"type":"custom","event_type":"e","data":{},}`, `{,"type":"custom","event_type":"e","data":{}}`, `{"type":"custom",,"event_type":"e","data":{}}`,
	" {\n\t\"type\" : \"custom\" ,\r\n\"event_type\": \"e\", \"data\" :[ 1 , 2 ] }\n ", `{"type":"custom","event_type":"e","data":{}} x`,
	`{"data":{},"event_type":"e","type":"custom"}`, `{"type":"custom","type":"custom","event_type":"e","data":1}`,
	`{"type":"custom","event_type":"e","data":[],"more":{"a":1}}`, `{"type":"custom","event_type":"e","data":[],"more":{"a":1,}}`,
	`{"type":"custom","event_type":"\ud83d\ude00","data":"\ud83d\ude00"}`, `{"type":"custom","event_type":"\ud83d","data":1}`,
	`{"type":"custom","event_type":"e","data":"\udc00"}`, "{\"type\":\"custom\",\"event_type\":\"\xff\",\"data\":1}", "{\"type\":\"custom\",\"event_type\":\"a\nb\",\"data\":1}",
	`{"type":"custom","event_type":"e","data":1e999}`, `{"type":"custom","event_type":"e","data":01}`, `{"type":"custom","event_type":"e","data":-}`,
	`{"ty\u0070e":"custom","event_type":"e","data":1}`, `{"type":"cust\u006fm","event_type":"\n\u00e9","data":"\u00e9"}`,
	`{"type":"heard_of","a":[{"b":null}]}`, ` {"type":"heard_of","a":[{"b":null}]} `, `{"a":1,"type":"heard_of"}`, `{"type":7}`, `{"type":null}`,
	`{"type":"step_completed","step_id":"s","output":null,"duration_ms":18446744073709551615}`,
	`{"type":"step_completed","step_id":"s","output":null,"duration_ms":18446744073709551616}`, `{"type":"step_completed","step_id":"s","duration_ms":1.0}`,
	`{"type":"step_completed","step_id":"s","output":"x"}`, `{"type":"execution_resumed"}`, `{"type":"execution_resumed"}}`, `["type"]`, `"type"`, `nul`, `null`,
	`{"type":"execution_started","parent":{"parent_id":"p","parent_type":"User","x":1},"metadata":{"a":"b"}}`,
	`{"type":"execution_started","parent":{"parentId":"p","parentType":"User"},"metadata":null}`, `{"type":"execution_started","parent":{"parent_id":"p"},"metadata":null}`,
}

// The plain tokenizer changes nothing: what is read, and what is refused, with which words.
func TestPlainTextAgreesWithTheDecoder(t *testing.T) {
	for _, text := range plainCases {
		requireAgreement(t, []byte(text))
		// Broken off anywhere.
		for i := range text {
			requireAgreement(t, []byte(text[:i]))
		}
	}
}

// What writers of events write is plain: were it not, reading would be slow and no test fail.
func TestWrittenEventsArePlain(t *testing.T) {
	for _, text := range []string{
		`{"type":"execution_started","parent":null,"metadata":{"goal":"naïve \"é\" \n <b>","n":[1,-2.5e3,true,null,{}]}}`,
		`{"type":"step_completed","step_id":"step_1","output":"two\nlines\t\\ of \u001b[0m","duration_ms":12}`,
		`{"type":"execution_resumed"}`,
	} {
		r := newPlainReader([]byte(text))
		e, err := r.event([]byte(text))
		r.free()
		require.NoError(t, err, text)
		again, err := AppendEvent(nil, e)
		require.NoError(t, err)
		require.Equal(t, text, string(again))
	}
}

func FuzzPlainText(f *testing.F) {
	for _, text := range plainCases {
		f.Add([]byte(text))
	}
	f.Fuzz(requireAgreement)
}
