package jsonscan

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

// What plainly is a value is found at once.
func TestValue(t *testing.T) {
	deep := strings.Repeat("[", maxDepth)
	for _, text := range []string{
		`0`, `-0`, `10`, `-1.50`, `1e5`, `1.25E-07`, `18446744073709551616`,
		`true`, `false`, `null`, `""`, `"a"`, `"\"\\\/\b\f\n\r\t\u00e9\uFFFF"`, `"naïve 🦀 ` + strings.Repeat("x", 30) + `é"`,
		`{}`, `[]`, `[1,"a",{"b":[null,true]},{}]`, "{ \"a\" :\t1 ,\r\n\"a\": [ ] }",
		deep + strings.Repeat("]", maxDepth),
	} {
		require.Equal(t, len(text), Value([]byte(text+","), 0), text)
		require.Equal(t, len(text)+3, Value([]byte("a :"+text), 3), text)
	}
	for _, text := range []string{
		``, ` `, `x`, `-`, `01`, `1.`, `.5`, `1e`, `1e+`, `+1`, `tru`, `nul`, `"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`,
		"\"a\tb\"", "\"\x00\"", "\"\xff\"", "\"12345678\xc3\"", `"\ud83d\ude00"`, `"\udc00"`,
		`[`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{a:1}`, `{1:1}`, `{"a" 1}`, `[}`, `{]`,
		deep + "[[" + strings.Repeat("]", maxDepth+2),
	} {
		require.Equal(t, Unsure, func() int {
			if i := Value([]byte(text), 0); i != len(text) {
				return Unsure
			}
			return len(text)
		}(), text)
	}
}

// Where it finds an end, jsontext finds the same.
func FuzzValue(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,2.5e-3,"\u00e9\n",null],"b":{}}`, `"0123456789abcdef\\"`, `[true,false ]`, "\"\x7f\u0080\"", `-12`, `"\ud800"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		start := Space(text, 0)
		end := Value(text, start)
		if end == Unsure {
			return
		}
		dec := jsontext.NewDecoder(bytes.NewReader(text[:end]), jsontext.AllowDuplicateNames(true))
		v, err := dec.ReadValue()
		require.NoError(t, err)
		require.Equal(t, string(text[start:end]), string(v))
	})
}

func BenchmarkValue(b *testing.B) {
	text := []byte(`{"type":"tool_call_completed","step_id":null,"tool_call_id":"c","output":{"text":"` + strings.Repeat("some text\\n", 25) + `"}}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if Value(text, 0) != len(text) {
			b.Fatal("unsure")
		}
	}
}
