package codec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A plain array is read to the same events as by the decoder, and whatever is wrong with
// another one, the decoder says it.
func FuzzPlainArray(f *testing.F) {
	const a, b = `{"type":"execution_resumed"}`, `{"type":"execution_paused","reason":"]"}`
	for _, text := range []string{
		"[" + a + "," + b + "]", " [ " + a + " , " + b + " ] \n", "[" + a + "]", "[" + a + "," + b + "," + a + "]",
		"[" + a + "," + b, "[" + a + "," + b + "],", "[" + a + "," + b + ",]", "[" + a + b + "]", "[]", "", "[", a, "[1,2]",
		"[" + a + "," + strings.Replace(b, "]", `\ud83d\ude00`, 1) + "]", "[" + a + "," + strings.Replace(b, "]", `\ud83d`, 1) + "]",
	} {
		f.Add([]byte(text), 2)
	}
	f.Fuzz(func(t *testing.T, payload []byte, n int) {
		if n < 2 || n > 1024 {
			return
		}
		want, err := decodeArray(payload, n)
		got, ok := plainArray(payload, nil, n)
		if ok {
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		events, again := JSON{}.Decode(t.Context(), payload, JSONName, Place{}, n)
		require.Equal(t, err, again)
		require.Equal(t, want, events)
	})
}
