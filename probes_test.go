package enact_test

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// refused stands for an input that is refused with an error.
const refused = "refused"

// differences are the probes that are answered in another way than Rust answers
// them, each with this side's answer and the reason. Every other probe is
// answered as Rust does.
var differences = map[string]struct{ ours, why string }{
	`event {"type":"ExecutionPaused","reason":"r"}`: {
		ours: `{"type":"ExecutionPaused","reason":"r"}`,
		why:  "a type that is not known is kept as Unknown: a reader of an older release must not fail on the history of a newer one",
	},
	`event {"type":"unheard_of"}`: {
		ours: `{"type":"unheard_of"}`,
		why:  "as above",
	},
	`time 2026-02-23T23:59:60Z`: {
		ours: "2026-02-24T00:00:00Z",
		why:  "time.Time has no leap seconds: 23:59:60 reads as the first instant of the next minute",
	},
	`f64 inf`: {
		ours: refused,
		why:  "Rust writes null and so loses the value; an event that would not read back as it was is not stored",
	},
}

// probe is one line of reading-probes.txt.
type probe struct {
	kind, input, answer string // answer: Rust's, or refused
}

func (p probe) name() string { return p.kind + " " + p.input }

var (
	timeProbe = regexp.MustCompile(`^time  (.*?) +(?:Ok  "(.*)"|Err .+)$`)
	floatText = regexp.MustCompile(`^f64   (\S+) -> (\S+)$`)
)

// readProbes fails the test on a line that it does not understand, so that no
// line goes without an expectation.
func readProbes(t testing.TB) []probe {
	t.Helper()
	data, err := os.ReadFile("testdata/golden/reading-probes.txt")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var probes []probe
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if input, ok := strings.CutPrefix(line, "event "); ok {
			i++
			require.Less(t, i, len(lines), "no answer to %s", line)
			answer, ok := strings.CutPrefix(lines[i], "      Ok  ")
			if !ok {
				require.True(t, strings.HasPrefix(lines[i], "      Err "), "line %d: %s", i+1, lines[i])
				answer = refused
			}
			probes = append(probes, probe{"event", input, answer})
		} else if m := timeProbe.FindStringSubmatch(line); m != nil {
			if m[2] == "" {
				m[2] = refused
			}
			probes = append(probes, probe{"time", m[1], m[2]})
		} else if text, ok := strings.CutPrefix(line, "stamp "); ok {
			text, err := strconv.Unquote(text)
			require.NoError(t, err, "line %d", i+1)
			probes = append(probes, probe{"stamp", text, text})
		} else if m := floatText.FindStringSubmatch(line); m != nil {
			probes = append(probes, probe{"f64", m[1], m[2]})
		} else {
			t.Fatalf("line %d is no probe: %s", i+1, line)
		}
	}
	return probes
}

// What Rust accepts and refuses, this package accepts and refuses, but for the
// differences above.
func TestReadingProbes(t *testing.T) {
	named := make(map[string]bool)
	kinds := make(map[string]int)
	for _, p := range readProbes(t) {
		kinds[p.kind]++
		t.Run(p.name(), func(t *testing.T) {
			var ours string
			var same bool
			switch p.kind {
			case "event":
				ours = answerEvent(t, p.input)
				same = ours == p.answer || ours != refused && p.answer != refused && sameToRust(t, ours, p.answer)
			case "time", "stamp":
				ours = answerTime(p.input)
				same = ours == p.answer
			case "f64":
				ours, same = answerFloat(t, p.input, p.answer)
			}
			if d, ok := differences[p.name()]; ok {
				named[p.name()] = true
				require.NotEmpty(t, d.why)
				require.False(t, same, "the named difference is gone: Rust and this package say %s", ours)
				require.Equal(t, d.ours, ours)
				return
			}
			require.True(t, same, "Rust: %s\nours: %s", p.answer, ours)
		})
	}
	require.Len(t, named, len(differences), "a named difference has no probe")
	for _, kind := range []string{"event", "time", "stamp", "f64"} {
		require.NotZero(t, kinds[kind], "no %s probe was read", kind)
	}
}

func answerEvent(t *testing.T, input string) string {
	t.Helper()
	e, err := enact.ParseEvent([]byte(input))
	if err != nil {
		require.ErrorIs(t, err, enact.ErrInvalidEvent)
		return refused
	}
	out, err := enact.AppendEvent(nil, e)
	require.NoError(t, err)
	return string(out)
}

// sameToRust compares by value as a Rust reader sees raw JSON: every number that
// is no 64-bit integer a float64, the last of repeated keys winning.
func sameToRust(t *testing.T, a, b string) bool {
	t.Helper()
	var v, w any
	require.NoError(t, json.Unmarshal([]byte(a), &v))
	require.NoError(t, json.Unmarshal([]byte(b), &w))
	return reflect.DeepEqual(v, w)
}

func answerTime(input string) string {
	at, err := enact.ParseTime(input)
	if err != nil {
		return refused
	}
	return string(enact.AppendTime(nil, at))
}

// answerFloat writes the float and reads it again, and reads Rust's text of it:
// both must give the same 64 bits.
func answerFloat(t *testing.T, input, rust string) (ours string, same bool) {
	t.Helper()
	v, err := strconv.ParseFloat(input, 64)
	require.NoError(t, err)
	text, err := scoreText(v)
	if err != nil {
		require.ErrorIs(t, err, enact.ErrInvalidEvent)
		return refused, rust == refused
	}
	return text, math.Float64bits(v) == math.Float64bits(readScore(t, text)) &&
		math.Float64bits(v) == math.Float64bits(readScore(t, rust))
}

// scoreText returns the text of a float in an event.
func scoreText(v float64) (string, error) {
	e := enact.GoalEvaluated{GoalID: "g", Status: enact.GoalMet, Score: &v}
	out, err := enact.AppendEvent(nil, e)
	if invalid := e.Validate(); (invalid == nil) != (err == nil) {
		panic("Validate and AppendEvent disagree")
	}
	if err != nil {
		return "", err
	}
	_, after, _ := strings.Cut(string(out), `"score":`)
	text, _, _ := strings.Cut(after, ",")
	return text, nil
}

func readScore(t *testing.T, text string) float64 {
	t.Helper()
	e, err := enact.ParseEvent([]byte(`{"type":"goal_evaluated","goal_id":"g","status":"met","score":` + text + `}`))
	require.NoError(t, err)
	return *e.(enact.GoalEvaluated).Score
}

func TestScoreIsFinite(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := scoreText(v)
		require.ErrorIs(t, err, enact.ErrInvalidEvent)
		require.ErrorContains(t, err, "score: is not finite")
	}
}
