package jsonlib

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// goldenLines returns the stored events that Rust wrote.
func goldenLines(tb testing.TB) [][]byte {
	tb.Helper()
	data, err := os.ReadFile("../../testdata/golden/serde.jsonl")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

// toolOutput returns one stored event whose raw JSON is about 4 KiB.
func toolOutput() [][]byte {
	result := `{"title":"a result","url":"https://example.org/?a=1&b=2","score":0.913,"snippet":"some <b>text</b> of a page é"}`
	output := "[" + strings.Repeat(result+",", 35) + result + "]"
	return [][]byte{[]byte(`{"sequence":7,"execution_id":"exec_2bKX0QpY7n6T5mVfL9cZr3wHsDe","tenant_id":"acme","event":` +
		`{"type":"tool_call_completed","step_id":null,"tool_call_id":"call_1","output":` + output + `},"timestamp":"2026-02-23T12:00:00.123456Z"}`)}
}

func run(b *testing.B, job func(b *testing.B, l library, lines [][]byte)) {
	for _, input := range []struct {
		name  string
		lines [][]byte
	}{{"golden", goldenLines(b)}, {"tool-4KiB", toolOutput()}} {
		for _, l := range libraries() {
			b.Run(input.name+"/"+strings.NewReplacer("/", "_", " ", "_").Replace(l.name), func(b *testing.B) {
				size := 0
				for _, line := range input.lines {
					size += len(line)
				}
				b.ReportAllocs()
				b.SetBytes(int64(size))
				job(b, l, input.lines)
			})
		}
	}
}

// Each iteration reads every line of the input.
func BenchmarkRead(b *testing.B) {
	run(b, func(b *testing.B, l library, lines [][]byte) {
		for b.Loop() {
			for _, line := range lines {
				if _, err := l.readStored(line); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// Each iteration writes every event of the input.
func BenchmarkWrite(b *testing.B) {
	run(b, func(b *testing.B, l library, lines [][]byte) {
		var stored []any
		for _, line := range lines {
			s, err := l.readStored(line)
			if err != nil {
				b.Fatal(err)
			}
			stored = append(stored, s)
		}
		for b.Loop() {
			for _, s := range stored {
				if _, err := l.writeStored(s); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
