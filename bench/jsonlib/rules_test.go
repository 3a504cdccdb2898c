package jsonlib

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func refuses(l library, events ...string) bool {
	for _, event := range events {
		if _, err := l.readEvent([]byte(event)); err == nil {
			return false
		}
	}
	return true
}

// keeps reports whether the event is read, and written to the same text.
func keeps(l library, in, out string) bool {
	event, err := l.readEvent([]byte(in))
	if err != nil {
		return false
	}
	text, err := l.writeEvent(event)
	return err == nil && bytes.Equal(text, []byte(out))
}

func same(l library, event string) bool { return keeps(l, event, event) }

const (
	paused    = `{"type":"execution_paused","reason":%s}`
	completed = `{"type":"execution_completed","output":null,"duration_ms":%s}`
	customOf  = `{"type":"custom","event_type":"x","data":%s}`
)

// rules are what package enact promises of reading and writing.
var rules = []struct {
	name string
	hold func(l library) bool
}{
	{"repeated known key refused", func(l library) bool {
		return refuses(l, `{"type":"execution_paused","reason":"a","reason":"b"}`, `{"type":"execution_paused","type":"execution_paused","reason":"a"}`)
	}},
	{"absent required key refused", func(l library) bool { return refuses(l, `{"type":"execution_paused"}`) }},
	{"null for a required key refused", func(l library) bool { return refuses(l, fmt.Sprintf(paused, "null"), fmt.Sprintf(completed, "null")) }},
	{"keys matched by case", func(l library) bool {
		return keeps(l, `{"type":"execution_paused","reason":"a","Reason":"b"}`, `{"type":"execution_paused","reason":"a"}`)
	}},
	{"unknown keys ignored", func(l library) bool {
		return keeps(l, `{"type":"execution_paused","x":{"y":[1]},"reason":"a"}`, `{"type":"execution_paused","reason":"a"}`)
	}},
	{"lone surrogate in text refused", func(l library) bool { return refuses(l, fmt.Sprintf(paused, `"\ud800"`)) }},
	{"lone surrogate in raw JSON refused", func(l library) bool { return refuses(l, fmt.Sprintf(customOf, `["\ud800"]`)) }},
	{"invalid UTF-8 in text refused", func(l library) bool { return refuses(l, fmt.Sprintf(paused, "\"\xff\"")) }},
	{"invalid UTF-8 in raw JSON refused", func(l library) bool { return refuses(l, fmt.Sprintf(customOf, "\"\xff\"")) }},
	{"u64 exact", func(l library) bool {
		return same(l, fmt.Sprintf(completed, "18446744073709551615")) && same(l, fmt.Sprintf(completed, "9007199254740993"))
	}},
	{"1.0, \"1\", -1, 2^64 refused as u64", func(l library) bool {
		return refuses(l, fmt.Sprintf(completed, "1.0"), fmt.Sprintf(completed, `"1"`), fmt.Sprintf(completed, "-1"), fmt.Sprintf(completed, "18446744073709551616"))
	}},
	{"raw JSON kept: order, numbers, escapes", func(l library) bool {
		return same(l, fmt.Sprintf(customOf, `{"b":1.50,"a":1E2,"c":"\u00e9\/","d":18446744073709551616}`))
	}},
	{"raw JSON kept: repeated keys", func(l library) bool { return same(l, fmt.Sprintf(customOf, `{"b":1,"b":2}`)) }},
	{"raw number beyond a float64 refused", func(l library) bool { return refuses(l, fmt.Sprintf(customOf, `[1e400]`)) }},
	{"no HTML escape", func(l library) bool {
		return same(l, fmt.Sprintf(paused, `"<&>"`)) && same(l, fmt.Sprintf(customOf, `"<&>"`))
	}},
	{"text after the object refused", func(l library) bool {
		return refuses(l, fmt.Sprintf(paused, `"a"`)+"x", fmt.Sprintf(paused, `"a"`)+"{}")
	}},
}

func TestRules(t *testing.T) {
	for _, l := range libraries() {
		t.Run(l.name, func(t *testing.T) {
			missed := make(map[string]bool)
			for _, rule := range misses[l.name] {
				missed[rule] = true
			}
			for _, rule := range rules {
				if got := rule.hold(l); got == missed[rule.name] {
					t.Errorf("%s: holds is %v", rule.name, got)
				}
				delete(missed, rule.name)
			}
			for rule := range missed {
				t.Errorf("%s is no rule", rule)
			}
		})
	}
}

// Whatever a library misses of the rules, it must do the job on real lines.
func TestGoldenLines(t *testing.T) {
	lines := goldenLines(t)
	for _, l := range libraries() {
		for _, line := range lines {
			stored, err := l.readStored(line)
			if err != nil {
				t.Errorf("%s: %v: %s", l.name, err, line)
				continue
			}
			out, err := l.writeStored(stored)
			if err != nil || strings.Count(string(out), `"type"`) != strings.Count(string(line), `"type"`) {
				t.Errorf("%s: %v\n%s\n%s", l.name, err, line, out)
			}
		}
	}
}
