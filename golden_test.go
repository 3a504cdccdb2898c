package enact_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// Lines written by the real serde_json and chrono decode, and encode to what is
// equal by value.
func TestGoldenLines(t *testing.T) {
	for _, name := range []string{"serde", "serde-newer", "serde-alternative"} {
		t.Run(name, func(t *testing.T) {
			for i, line := range readLines(t, "testdata/golden/"+name+".jsonl") {
				var ev enact.StoredEvent
				require.NoError(t, json.Unmarshal(line, &ev), "line %d", i+1)
				out, err := ev.AppendJSON(nil)
				require.NoError(t, err, "line %d", i+1)
				require.True(t, sameJSON(t, line, out), "line %d\nin  %s\nout %s", i+1, line, out)
				if name == "serde" && !bytes.Contains(line, []byte("1e300")) {
					require.Equal(t, string(line), string(out), "line %d: bytes", i+1)
				}
				require.NoError(t, ev.Event.Validate(), "line %d", i+1)

				// Through encoding/json the same value comes out.
				viaJSON, err := json.Marshal(ev)
				require.NoError(t, err)
				require.True(t, sameJSON(t, line, viaJSON), "line %d", i+1)
				var again enact.StoredEvent
				require.NoError(t, json.Unmarshal(viaJSON, &again))
			}
		})
	}
}

func readLines(t *testing.T, path string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var lines [][]byte
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		lines = append(lines, bytes.Clone(sc.Bytes()))
	}
	require.NoError(t, sc.Err())
	require.NotEmpty(t, lines)
	return lines
}

// sameJSON compares by value: object keys in any order, whole numbers exactly,
// other numbers as float64.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	return equalValue(parseValue(t, a), parseValue(t, b))
}

func parseValue(t *testing.T, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	require.NoError(t, dec.Decode(&v))
	return v
}

func equalValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			w, ok := b[k]
			if !ok || !equalValue(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equalValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		if strings.ContainsAny(string(a)+string(b), ".eE") {
			x, err1 := a.Float64()
			y, err2 := b.Float64()
			return err1 == nil && err2 == nil && x == y
		}
		return a == b
	}
	return a == b
}
