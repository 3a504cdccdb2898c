package loggen

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/enactlog/enact"
)

// event draws the event of an agent's turn: it starts, then thinks and calls tools,
// whose text has 20 bytes to 8 KiB, most of it a few hundred.
func (g *generator) event(e *Execution, turn int) enact.Event {
	switch {
	case turn == 1:
		return enact.ExecutionStarted{Metadata: enact.JSON(map[string]string{"goal": g.phrase(100), "model": "m-1"})}
	case turn == e.Records:
		return enact.ExecutionCompleted{Output: new(g.phrase(300)), DurationMS: uint64(g.random.IntN(100_000))}
	}
	step := enact.StepID(fmt.Sprintf("step_%027d", turn/4))
	call := fmt.Sprintf("call_%08x", turn/4)
	switch turn % 4 {
	case 0:
		return enact.StepStarted{StepID: step, StepType: enact.LLMNode, Name: g.phrase(20)}
	case 1:
		return enact.ToolCallStarted{
			StepID: new(step), ToolCallID: call, ToolName: "search",
			Input: json.RawMessage(`{"query":"` + g.phrase(g.length(120)) + `"}`),
		}
	case 2:
		return enact.ToolCallCompleted{
			StepID: new(step), ToolCallID: call, Output: json.RawMessage(`{"text":"` + g.phrase(g.length(400)) + `"}`),
		}
	default:
		return enact.StepCompleted{StepID: step, Output: new(g.phrase(g.length(300))), DurationMS: uint64(g.random.IntN(10_000))}
	}
}

// length draws a length whose median is typical.
func (g *generator) length(typical float64) int {
	return int(max(20, min(8<<10, typical*math.Exp(g.random.NormFloat64()))))
}

// phrase returns n bytes of text.
func (g *generator) phrase(n int) string {
	at := g.random.IntN(len(g.text) - n)
	return g.text[at : at+n]
}

// words returns at least n bytes of text, words of random letters.
func words(random *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		for range 2 + random.IntN(9) {
			b.WriteByte(byte('a' + random.IntN(26)))
		}
		b.WriteByte(' ')
	}
	return b.String()
}
